package opentsm.runtime;

import javacard.framework.Util;

/**
 * The 24 privilege bits and the rules of who may give them.
 *
 * <p>A set of privileges is an int with byte 1 of the encoding in bits 23 to 16.
 *
 * <p>Spec: GP Card 2.3.1 clause 6.6, tables 11-7 to 11-9; GP Amendment C for bits 18 and 19.
 */
final class Privileges {
    static final int SECURITY_DOMAIN = bit(0);
    static final int DAP_VERIFICATION = bit(1);
    static final int DELEGATED_MANAGEMENT = bit(2);
    static final int CARD_LOCK = bit(3);
    static final int CARD_TERMINATE = bit(4);
    static final int CARD_RESET = bit(5);
    static final int CVM_MANAGEMENT = bit(6);
    static final int MANDATED_DAP = bit(7);
    static final int TRUSTED_PATH = bit(8);
    static final int AUTHORIZED_MANAGEMENT = bit(9);
    static final int TOKEN_VERIFICATION = bit(10);
    static final int GLOBAL_DELETE = bit(11);
    static final int GLOBAL_LOCK = bit(12);
    static final int GLOBAL_REGISTRY = bit(13);
    static final int FINAL_APPLICATION = bit(14);
    static final int GLOBAL_SERVICE = bit(15);
    static final int RECEIPT_GENERATION = bit(16);
    static final int CIPHERED_LOAD_FILE = bit(17);
    static final int CONTACTLESS_ACTIVATION = bit(18);
    static final int CONTACTLESS_SELF_ACTIVATION = bit(19);

    /** Privileges that one application has at a time; the ISD has them as long as no other does (6.6.2.3, 6.6.2.10). */
    static final int SINGLE = CARD_RESET | FINAL_APPLICATION;

    /** Bits with no meaning yet: they are never granted. */
    private static final int RESERVED = 0x00000F;

    /** Privileges that mean something for a Security Domain only. */
    private static final int DOMAIN_ONLY = DAP_VERIFICATION | DELEGATED_MANAGEMENT | MANDATED_DAP
            | AUTHORIZED_MANAGEMENT | TOKEN_VERIFICATION | RECEIPT_GENERATION | CIPHERED_LOAD_FILE;

    /** Privileges over the whole card, which the Issuer Security Domain alone gives away. */
    private static final int ISSUER_GIVES = CARD_LOCK | CARD_TERMINATE | CARD_RESET | MANDATED_DAP
            | DELEGATED_MANAGEMENT | AUTHORIZED_MANAGEMENT | TOKEN_VERIFICATION | GLOBAL_DELETE | GLOBAL_LOCK
            | GLOBAL_REGISTRY | FINAL_APPLICATION | RECEIPT_GENERATION | CIPHERED_LOAD_FILE | CONTACTLESS_ACTIVATION;

    private Privileges() {}

    /** Returns the bit of a privilege number (GPRegistryEntry.PRIVILEGE_*), or 0 for a number that is none. */
    static int bit(int number) {
        return number < 0 || number > 23 ? 0 : 0x800000 >> number;
    }

    /** Reads 1 or 3 bytes; with 1 byte the others are 0. */
    static int parse(byte[] buffer, int offset, int length) {
        Sw.require(length == 1 || length == 3, Sw.WRONG_DATA);
        int privileges = (buffer[offset] & 0xFF) << 16;
        return length == 1 ? privileges
                : privileges | (buffer[offset + 1] & 0xFF) << 8 | buffer[offset + 2] & 0xFF;
    }

    /**
     * Reads 1 or 3 bytes for what is being installed; with 1 byte a Security Domain gets Trusted Path as well.
     *
     * <p>Spec: clause 11.5.2.3.2 (note) and table 6-2, of supplementary domains.
     */
    static int parseNew(byte[] buffer, int offset, int length) {
        int privileges = parse(buffer, offset, length);
        return length == 1 && (privileges & SECURITY_DOMAIN) != 0 ? privileges | TRUSTED_PATH : privileges;
    }

    /** Writes 3 bytes and returns the offset behind them. */
    static short encode(int privileges, byte[] buffer, short offset) {
        buffer[offset] = (byte) (privileges >> 16);
        return Util.setShort(buffer, (short) (offset + 1), (short) privileges);
    }

    /**
     * Refuses a set of privileges that contradicts itself, or that this giver may not give.
     *
     * @param privileges what an application shall have
     * @param before what it has already, which nobody has to give
     * @param byIssuer whether the Issuer Security Domain, or the card's maker, gives them
     */
    static void check(int privileges, int before, boolean byIssuer) {
        boolean domain = (privileges & SECURITY_DOMAIN) != 0;
        Sw.require((privileges & RESERVED) == 0, Sw.WRONG_DATA);
        Sw.require(domain || (privileges & DOMAIN_ONLY) == 0, Sw.WRONG_DATA);
        int management = DELEGATED_MANAGEMENT | AUTHORIZED_MANAGEMENT;
        // Mandated DAP Verification is coded with both bits (table 11-7).
        Sw.require((privileges & MANDATED_DAP) == 0 || (privileges & DAP_VERIFICATION) != 0, Sw.WRONG_DATA);
        // Delegated and Authorized Management exclude each other: one needs tokens, the other does not.
        Sw.require((privileges & management) != management, Sw.WRONG_DATA);
        Sw.require(byIssuer || (privileges & ~before & ISSUER_GIVES) == 0, Sw.CONDITIONS_NOT_SATISFIED);
    }
}
