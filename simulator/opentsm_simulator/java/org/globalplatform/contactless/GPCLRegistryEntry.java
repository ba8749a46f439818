package org.globalplatform.contactless;

import javacard.framework.AID;
import org.globalplatform.GPRegistryEntry;

/**
 * An application's entry in the GlobalPlatform Registry with its contactless parameters.
 *
 * <p>Spec: GP Card API, org.globalplatform.contactless 1.4, GPCLRegistryEntry; GP Amendment C clause 3.
 */
public interface GPCLRegistryEntry extends GPRegistryEntry {
    byte CONTINUOUS_PROCESS_DISABLED = 0x01;
    byte CONTINUOUS_PROCESS_ENABLED = 0x02;
    byte DISPLAY_REQUIREMENT_NO = 0x01;
    byte DISPLAY_REQUIREMENT_YES = 0x00;
    byte IMPLICIT_SELECTION_TYPE_A = (byte) 0x81;
    byte IMPLICIT_SELECTION_TYPE_B = (byte) 0x82;
    byte IMPLICIT_SELECTION_TYPE_F = (byte) 0x84;
    short INFO_CONTINUOUS_PROCESS = 0x000D;
    short INFO_COUNTER_UPDATE = 0x000E;
    short INFO_DISCRETIONARY_DATA = 0x0005;
    short INFO_DISPLAY_MESSAGE = 0x000A;
    short INFO_DISPLAY_REQUIREMENT = 0x000F;
    short INFO_FAMILY_IDENTIFIER = 0x000B;
    short INFO_GROUP_HEAD_APPLICATION = 0x0013;
    short INFO_IMPLICIT_SELECTION_PROTOCOLS = 0x000C;
    short INFO_IMPLICIT_SELECTION_RECOGNITION_ALGORITHM = 0x0011;
    short INFO_LOGO = 0x0006;
    short INFO_POLICY_RESTRICTED_APPLICATIONS = 0x0010;
    short INFO_PRIVACY_SENSITIVE_INDICATOR = 0x0015;
    short INFO_PROTOCOL_DATA_TYPE_A = 0x0007;
    short INFO_PROTOCOL_DATA_TYPE_B = 0x0008;
    short INFO_PROTOCOL_DATA_TYPE_F = 0x0009;
    short INFO_PROTOCOL_TYPE_F_MODE_FLAG = 0x0014;
    short INFO_SELECTION_PRIORITY = 0x0012;
    short INFO_URI = 0x0004;
    byte PRIVILEGE_CONTACTLESS_ACTIVATION = 18;
    byte PRIVILEGE_CONTACTLESS_SELF_ACTIVATION = 19;
    byte PROTOCOL_TYPE_F_MODE_FLAG_FALSE = 0x00;
    byte PROTOCOL_TYPE_F_MODE_FLAG_TRUE = 0x01;
    byte STATE_CL_ACTIVATED = 0x01;
    byte STATE_CL_DEACTIVATED = 0x00;
    byte STATE_CL_NON_ACTIVATABLE = (byte) 0x80;

    byte setCLState(byte state);

    byte getCLState();

    short getInfo(byte[] buffer, short offset, short info);

    short setInfo(byte[] buffer, short offset, short length, short info);

    GPCLRegistryEntry getNextConflictingApplication(GPCLRegistryEntry previous);

    void joinGroup(AID head);

    GPCLRegistryEntry getNextGroupMember(GPCLRegistryEntry previous);

    void addToGroupAuthorizationList(byte[] aid, short offset, short length);

    void removeFromGroupAuthorizationList(byte[] aid, short offset, short length);

    void setPartialSelectionOrder(boolean first);

    GPCLRegistryEntry getNextCRELApplication(GPCLRegistryEntry previous);

    void addToCRELApplicationList(byte[] aid, short offset, short length);

    void removeFromCRELApplicationList(byte[] aid, short offset, short length);

    GPCLRegistryEntry getNextReferencingApplication(GPCLRegistryEntry previous);

    boolean isGroupHead();

    boolean isGroupMember();
}
