package opentsm.runtime;

import opentsm.open.ContentAuthority;

/**
 * One use of a token: it is spent when it is verified, and given back when what it allowed does not come about.
 *
 * <p>Spec: GP Card 2.3.1 clauses 9.1.3.1, 9.2.3, annex C.4.
 */
final class Authorization {
    private final ContentAuthority verifier;

    /** The token's identifier (tag 93); empty when it has none. */
    final byte[] number;

    /** How long the hash of a load file must be for this token's signature. */
    final short hashLength;

    private boolean used;

    Authorization(ContentAuthority verifier, byte[] number, short hashLength) {
        this.verifier = verifier;
        this.number = number;
        this.hashLength = hashLength;
        verifier.spendToken(number, (short) 0, (short) number.length);
    }

    /** What the token allowed has been done. */
    void use() {
        used = true;
    }

    /** Gives the token back unless it was used. */
    void settle() {
        if (!used) {
            used = true;
            verifier.returnToken(number, (short) 0, (short) number.length);
        }
    }
}
