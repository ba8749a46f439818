package org.globalplatform.contactless;

import javacard.framework.AID;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import opentsm.runtime.CardRuntime;
import opentsm.runtime.ContactlessServices;
import org.globalplatform.GPRegistryEntry;

/**
 * What applications may ask of the OPEN about the contactless interface.
 *
 * <p>Spec: GP Card API, org.globalplatform.contactless 1.4, GPCLSystem; GP Amendment C.
 */
public class GPCLSystem {
    public static final short AFI_ANY = 0x0000;
    public static final short AFI_DATA_STORAGE = 0x0080;
    public static final short AFI_FINANCIAL = 0x0020;
    public static final short AFI_GAMING = 0x0070;
    public static final short AFI_IDENTIFICATION = 0x0030;
    public static final short AFI_MEDICAL = 0x0050;
    public static final short AFI_MULTIMEDIA = 0x0060;
    public static final short AFI_TELECOMMUNICATION = 0x0040;
    public static final short AFI_TRANSPORT = 0x0010;
    public static final short CARD_INFO_CONTACTLESS_PROTOCOL_TYPE_STATE = 0x0008;
    public static final short CARD_INFO_COUNTER_UPDATE = 0x0007;
    public static final short CARD_INFO_CURRENT_PROTOCOL_DATA_TYPE_A = 0x0004;
    public static final short CARD_INFO_CURRENT_PROTOCOL_DATA_TYPE_B = 0x0005;
    public static final short CARD_INFO_CURRENT_PROTOCOL_DATA_TYPE_F = 0x0006;
    public static final short CARD_INFO_DEFAULT_PROTOCOL_DATA_TYPE_A = 0x0001;
    public static final short CARD_INFO_DEFAULT_PROTOCOL_DATA_TYPE_B = 0x0002;
    public static final short CARD_INFO_DEFAULT_PROTOCOL_DATA_TYPE_F = 0x0003;
    public static final byte GPCL_CL_APPLICATION = (byte) 0x86;
    public static final byte GPCL_CL_APPLICATION_ACTIVATION_POLICY = (byte) 0x83;
    public static final byte GPCL_CREL_APPLICATION = (byte) 0x85;
    public static final byte GPCL_CRS_APPLICATION = (byte) 0x84;
    public static final short GPCL_INTERFACE_ISO14443 = 0x0001;
    public static final short GPCL_PROXIMITY_IO_INTERFACE = 0x0001;
    public static final short GPCL_PROXIMITY_IO_PROTOCOL_TYPE_A = 0x0041;
    public static final short GPCL_PROXIMITY_IO_PROTOCOL_TYPE_B = 0x0042;
    public static final short GPCL_PROXIMITY_IO_PROTOCOL_TYPE_F = 0x0044;
    public static final short HOST_DEVICE_UI_AVAILABLE = 0x4000;
    public static final short HOST_DEVICE_UI_STATE_UNKNOWN = (short) 0x8000;
    public static final byte SECURE_ELEMENT_EMBEDDED = 0x02;
    public static final byte SECURE_ELEMENT_SDCARD = 0x03;
    public static final byte SECURE_ELEMENT_UICC = 0x01;
    public static final byte SECURE_ELEMENT_UNKNOWN = 0x00;

    /**
     * Returns an application's entry: the caller's own for null or its own AID, another's when it may see it; or null.
     *
     * <p>It sees all with the Global Registry or the Contactless Activation privilege, else what is under it, and the
     * applications that have it in their CREL list.
     */
    private GPCLSystem() {}

    public static GPCLRegistryEntry getGPCLRegistryEntry(AID aid) {
        return services().entry(aid);
    }

    /**
     * Enumerates the applications with access to the contactless interface that the caller may see, in the order of
     * partial selection.
     *
     * @param previous the entry returned before, or null to begin
     * @param familyIdentifier only applications of this family (AFI_*), or AFI_ANY
     */
    public static GPCLRegistryEntry getNextGPCLRegistryEntry(GPCLRegistryEntry previous, short familyIdentifier) {
        return services().next(previous, familyIdentifier);
    }

    /** Gives an application (a head: with its group) the volatile priority; null takes it away. */
    public static void setVolatilePriority(GPCLRegistryEntry entry) {
        services().setVolatilePriority(entry);
    }

    /** Writes contactless information on the card; 0 bytes for what this card does not have. */
    public static short getCardCLInfo(byte[] buffer, short offset, short info) {
        return services().getCardInfo(buffer, offset, info);
    }

    /** Switches the contactless interface on or off, until it is switched again. */
    public static void setCommunicationInterface(short commInterface, boolean enabled) {
        services().setInterface(commInterface, enabled);
    }

    /** Tells whether an application may use a communication interface; null: the caller. */
    public static boolean checkCommunicationInterfaceAccess(GPRegistryEntry entry, short commInterface) {
        return services().mayUseInterface(entry, commInterface);
    }

    /** Returns SECURE_ELEMENT_*, from the profile. */
    public static byte getSecureElementType() {
        return CardRuntime.current().applicationServices().secureElementType();
    }

    /** Returns the state of the host device's user interface, which this card does not know. */
    public static short getHostDeviceUserInterfaceState() {
        return HOST_DEVICE_UI_STATE_UNKNOWN;
    }

    /** Asks the host device to launch an application: 6A81, since this card has no way to ask it. */
    public static void launchHostDeviceApplication(byte[] buffer, short offset, short length) {
        ISOException.throwIt(ISO7816.SW_FUNC_NOT_SUPPORTED);
    }

    /** Tells whether a communication interface is enabled. */
    public static boolean isCommunicationInterfaceEnabled(short commInterface) {
        return services().isInterfaceEnabled(commInterface);
    }

    private static ContactlessServices services() {
        return CardRuntime.current().contactlessServices();
    }
}
