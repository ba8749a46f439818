package org.globalplatform;

import javacard.framework.AID;
import javacard.framework.Shareable;

/**
 * One application's entry in the GlobalPlatform Registry.
 *
 * <p>Spec: GP Card API 1.7, GPRegistryEntry; GP Card 2.3.1 clause 6.4.
 */
public interface GPRegistryEntry extends Shareable {
    byte PRIVILEGE_AUTHORIZED_MANAGEMENT = 9;
    byte PRIVILEGE_CARD_LOCK = 3;
    byte PRIVILEGE_CARD_RESET = 5;
    byte PRIVILEGE_CARD_TERMINATE = 4;
    byte PRIVILEGE_CIPHERED_LOAD_FILE_DATA_BLOCK = 17;
    byte PRIVILEGE_CVM_MANAGEMENT = 6;
    byte PRIVILEGE_DAP_VERIFICATION = 1;
    byte PRIVILEGE_DELEGATED_MANAGEMENT = 2;
    byte PRIVILEGE_FINAL_APPLICATION = 14;
    byte PRIVILEGE_GLOBAL_DELETE = 11;
    byte PRIVILEGE_GLOBAL_LOCK = 12;
    byte PRIVILEGE_GLOBAL_REGISTRY = 13;
    byte PRIVILEGE_GLOBAL_SERVICE = 15;
    byte PRIVILEGE_MANDATED_DAP = 7;
    byte PRIVILEGE_RECEIPT_GENERATION = 16;
    byte PRIVILEGE_SECURITY_DOMAIN = 0;
    byte PRIVILEGE_TOKEN_VERIFICATION = 10;
    byte PRIVILEGE_TRUSTED_PATH = 8;

    void deregisterService(short service);

    AID getAID();

    short getPrivileges(byte[] buffer, short offset);

    byte getState();

    boolean isAssociated(AID securityDomain);

    boolean isPrivileged(byte privilege);

    void registerService(short service);

    boolean setState(byte state);
}
