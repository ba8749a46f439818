package opentsm.runtime;

import javacard.framework.ISOException;

/**
 * Status words that the OPEN answers.
 *
 * <p>Spec: ISO 7816-4 clause 5.6; GP Card 2.3.1 clause 11.1.3.
 */
final class Sw {
    static final short OK = (short) 0x9000;
    static final short WARNING_CARD_LOCKED = 0x6283;
    static final short WARNING_CHANNEL_CLOSED = 0x6200;
    static final short WRONG_LENGTH = 0x6700;
    static final short CHANNEL_NOT_SUPPORTED = 0x6881;
    static final short SECURITY_STATUS_NOT_SATISFIED = 0x6982;
    static final short CONDITIONS_NOT_SATISFIED = 0x6985;
    static final short NO_APPLICATION = 0x6999;
    static final short WRONG_DATA = 0x6A80;
    static final short FUNCTION_NOT_SUPPORTED = 0x6A81;
    static final short NOT_ENOUGH_MEMORY = 0x6A84;
    static final short NOT_FOUND = 0x6A82;
    static final short INCORRECT_P1_P2 = 0x6A86;
    static final short RECORD_NOT_FOUND = 0x6A83;
    static final short REFERENCED_DATA_NOT_FOUND = 0x6A88;
    static final short CLASS_NOT_SUPPORTED = 0x6E00;
    static final short NO_PRECISE_DIAGNOSIS = 0x6F00;

    private Sw() {}

    /** Throws the status word unless the condition holds. */
    static void require(boolean condition, short sw) {
        if (!condition) {
            ISOException.throwIt(sw);
        }
    }

    /** Returns a response of a status word alone. */
    static byte[] answer(short sw) {
        return new byte[] {(byte) (sw >> 8), (byte) sw};
    }
}
