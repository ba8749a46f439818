package opentsm.securitydomain;

import javacard.framework.Util;

/**
 * The 4 bytes by which the OPEN names a selection, to which state of this domain can be bound: one domain may be selected
 * on several channels at a time, and what one host does there is no other's.
 */
final class Selections {
    static final short SIZE = 4;

    private Selections() {}

    static boolean equal(byte[] state, short one, short other) {
        return Util.arrayCompare(state, one, state, other, SIZE) == 0;
    }

    static void copy(byte[] state, short from, short to) {
        Util.arrayCopyNonAtomic(state, from, state, to, SIZE);
    }
}
