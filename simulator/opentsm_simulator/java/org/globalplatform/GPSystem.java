package org.globalplatform;

import javacard.framework.AID;
import opentsm.runtime.CardRuntime;

/**
 * What every application may ask of the OPEN.
 *
 * <p>Spec: GP Card API 1.7, GPSystem.
 */
public class GPSystem {
    public static final byte APPLICATION_INSTALLED = 0x03;
    public static final byte APPLICATION_LOCKED = (byte) 0x80;
    public static final byte APPLICATION_SELECTABLE = 0x07;
    public static final short CARD_INFO_ATR_HISTORICAL_BYTES = 0x0080;
    public static final short CARD_INFO_CL_IO_RANDOM = 0x0081;
    public static final byte CARD_INITIALIZED = 0x07;
    public static final byte CARD_LOCKED = 0x7F;
    public static final byte CARD_OP_READY = 0x01;
    public static final byte CARD_SECURED = 0x0F;
    public static final byte CARD_TERMINATED = (byte) 0xFF;
    public static final byte CVM_ETSI_PIN_APP_1 = 0x01;
    public static final byte CVM_ETSI_PIN_APP_2 = 0x02;
    public static final byte CVM_ETSI_PIN_APP_3 = 0x03;
    public static final byte CVM_ETSI_PIN_APP_4 = 0x04;
    public static final byte CVM_ETSI_PIN_APP_5 = 0x05;
    public static final byte CVM_ETSI_PIN_APP_6 = 0x06;
    public static final byte CVM_ETSI_PIN_APP_7 = 0x07;
    public static final byte CVM_ETSI_PIN_APP_8 = 0x08;
    public static final byte CVM_GLOBAL_PIN = 0x11;
    public static final byte FAMILY_AUHTORITY = (byte) 0x83;
    public static final byte FAMILY_AUTHORITY = (byte) 0x83;
    public static final byte FAMILY_AUTHORITY_SIGNATURE = (byte) 0x87;
    public static final byte FAMILY_BROKER = (byte) 0x88;
    public static final byte FAMILY_CVM = (byte) 0x82;
    public static final byte FAMILY_HTTP_ADMINISTRATION = (byte) 0x84;
    public static final byte FAMILY_HTTP_REPORT = (byte) 0x85;
    public static final byte FAMILY_PRIVACY_PROTOCOL = (byte) 0x86;
    public static final byte FAMILY_SECURE_CHANNEL = (byte) 0x81;
    public static final byte FAMILY_USSM = (byte) 0xA0;
    public static final byte GLOBAL_SERVICE_IDENTIFIER = (byte) 0x80;
    public static final byte SECURITY_DOMAIN_PERSONALIZED = 0x0F;

    /** Returns the calling application's life cycle state. */
    public static byte getCardContentState() {
        return CardRuntime.current().applicationServices().state();
    }

    /** Returns the card's life cycle state. */
    public static byte getCardState() {
        return CardRuntime.current().applicationServices().cardState();
    }

    /**
     * Returns a cardholder verification method: the service of the family FAMILY_CVM that an application registered under
     * this identifier, or for the whole family; null when there is none.
     */
    public static CVM getCVM(byte identifier) {
        return CardRuntime.current().globalServices().cvm(identifier);
    }

    /** Returns the secure channel of the calling application's associated Security Domain, or null. */
    public static SecureChannel getSecureChannel() {
        return CardRuntime.current().applicationServices().secureChannel();
    }

    /** Locks the card; needs the Card Lock privilege. */
    public static boolean lockCard() {
        return CardRuntime.current().applicationServices().lockCard();
    }

    /** Terminates the card; needs the Card Terminate privilege. */
    public static boolean terminateCard() {
        return CardRuntime.current().applicationServices().terminateCard();
    }

    /**
     * Sets the historical bytes that the ATR shows from the next power-up on; false without the Card Reset privilege, or
     * when they are none or more than 15.
     */
    public static boolean setATRHistBytes(byte[] buffer, short offset, byte length) {
        return CardRuntime.current().applicationServices().setHistoricalBytes(buffer, offset, length);
    }

    /** Sets the calling application's life cycle state; false when the transition is not allowed. */
    public static boolean setCardContentState(byte state) {
        return CardRuntime.current().applicationServices().setState(state);
    }

    /**
     * Returns an application's registry entry: the caller's own for null or its own AID, another's only to a caller with
     * the Global Registry privilege or which is its direct or indirect Security Domain; null otherwise.
     */
    public static GPRegistryEntry getRegistryEntry(AID aid) {
        return CardRuntime.current().applicationServices().registryEntry(aid);
    }

    /**
     * Returns a global service.
     *
     * @param server the application that offers it, or null for the one that registered its name as unique
     * @param service family and identifier; identifier 00: any of the family
     * @return the service, or null when there is none
     */
    public static GlobalService getService(AID server, short service) {
        return CardRuntime.current().globalServices().service(server, service);
    }

    /** Writes information on the card: its historical bytes. */
    public static short getCardInfo(byte[] buffer, short offset, short info) {
        return CardRuntime.current().applicationServices().getCardInfo(buffer, offset, info);
    }

    /** Returns the length of information on the card; 0 when it has none of the kind. */
    public static short getCardInfoLength(short info) {
        return CardRuntime.current().applicationServices().getCardInfoLength(info);
    }
}
