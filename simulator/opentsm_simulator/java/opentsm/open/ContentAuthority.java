package opentsm.open;

import javacard.framework.Shareable;

/**
 * What a Security Domain does at the OPEN's request when card content changes: tokens, DAPs, receipts, ciphered load
 * files.
 *
 * <p>The OPEN finds the domain by its privilege and asks for this object by getShareableInterfaceObject(null,
 * {@link #PARAMETER}); no application can. Which key serves what is the domain's to know (GP Card 2.3.1 annex C.1); by
 * its version number it is the one that GlobalPlatform's configurations reserve.
 *
 * <p>Spec: GP Card 2.3.1 clauses 9.1.3, 9.3 to 9.5, annex C.
 */
public interface ContentAuthority extends Shareable {
    /** The parameter by which the OPEN asks for this object. */
    byte PARAMETER = 0x43;

    /** Verification of tokens. */
    byte TOKEN = 0x70;

    /** Generation of receipts. */
    byte RECEIPT = 0x71;

    /** Verification of DAPs. */
    byte DAP = 0x73;

    /** Decryption of ciphered load file data blocks. */
    byte CIPHERED_LOAD_FILE = 0x75;

    /**
     * Tells how long the load file data block's hash must be at least for a service of this domain (table C-3).
     *
     * @param service one of the constants above
     * @return 0 when any is good enough, -1 when the domain has no key for the service
     */
    short hashLength(byte service);

    /**
     * Verifies a token.
     *
     * @param first what is signed before the command: the first command of a combined process; may be empty
     * @param command what is signed: P1, P2, length and fields, from the offset
     * @param template value of the control reference template (B6): 42 and 45, where they are, must be this domain's
     * @return false when the token is not this domain's provider's, or was spent
     */
    boolean verifyToken(byte[] first, short firstLength, byte[] command, short offset, short length,
            byte[] template, short templateOffset, short templateLength,
            byte[] token, short tokenOffset, short tokenLength);

    /** Remembers that the token with a number (tag 93) was used; 6985 when it was before. No number: nothing to do. */
    void spendToken(byte[] number, short offset, short length);

    /** Takes back {@link #spendToken}: what the token allowed did not come about. */
    void returnToken(byte[] number, short offset, short length);

    /** Tells whether a DAP is this domain's provider's signature of a load file data block hash (annex C.3). */
    boolean verifyDap(byte[] hash, short hashLength, byte[] signature, short offset, short length);

    /**
     * Writes a confirmation with a receipt, and counts it.
     *
     * @param operation what the receipt is for: the data behind the confirmation data in tables C-11 to C-16
     * @param token the token's identifier (tag 93), which may be empty
     * @return the offset behind the confirmation (table 11-13)
     */
    short confirm(byte[] operation, short operationLength, byte[] token, short tokenLength, byte[] output,
            short outputOffset);

    /** Begins the decryption of a ciphered load file data block; the vector is empty when none came (annex C.6). */
    void beginDecryption(byte[] vector, short length);

    /** Decrypts the next blocks in place. */
    void decrypt(byte[] data, short offset, short length);
}
