package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/**
 * The numbers of the tokens (tag 93) that were used, so that none is used twice.
 *
 * <p>Persistent. The last sixteen are remembered one by one, so that tokens may be used in another order than they were
 * numbered in; every number up to the greatest that had to be forgotten counts as used. A number has up to 8 bytes, the
 * most significant first.
 *
 * <p>Spec: GP Card 2.3.1 tables 11-48 to 11-52 (token identifier/number, digital signature counter).
 */
final class TokenNumbers {
    private static final short SIZE = 8;
    private static final short PLACES = 16;

    /** One place: a flag, then the number. */
    private static final short PLACE = 9;

    private final byte[] used = new byte[(short) (PLACES * PLACE)];

    /** A place that holds the greatest number that was forgotten; its flag is clear when none was. */
    private final byte[] floor = new byte[PLACE];

    /** The number in question as a place; cleared at reset. */
    private final byte[] number;

    TokenNumbers() {
        number = JCSystem.makeTransientByteArray(PLACE, JCSystem.CLEAR_ON_RESET);
    }

    private void take(byte[] buffer, short offset, short length) {
        if (length > SIZE) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        Util.arrayFillNonAtomic(number, (short) 0, PLACE, (byte) 0);
        number[0] = 1;
        Util.arrayCopyNonAtomic(buffer, offset, number, (short) (PLACE - length), length);
    }

    /** Returns the place that holds the number, or a free one; -1 when there is none. */
    private short find(boolean free) {
        for (short at = 0; at < (short) used.length; at += PLACE) {
            boolean found = free ? used[at] == 0 : Util.arrayCompare(used, at, number, (short) 0, PLACE) == 0;
            if (found) {
                return at;
            }
        }
        return -1;
    }

    /** Compares as the unsigned numbers that they are. */
    private static boolean isGreater(byte[] a, short aOffset, byte[] b, short bOffset) {
        return Util.arrayCompare(a, aOffset, b, bOffset, PLACE) > 0;
    }

    /** Tells whether a token with this number was used; one without a number (length 0) can be used again. */
    boolean isSpent(byte[] buffer, short offset, short length) {
        if (length == 0) {
            return false;
        }
        take(buffer, offset, length);
        return floor[0] != 0 && !isGreater(number, (short) 0, floor, (short) 0) || find(false) >= 0;
    }

    /** Remembers a number as used; 6985 when it is already. */
    void spend(byte[] buffer, short offset, short length) {
        if (length == 0) {
            return;
        }
        if (isSpent(buffer, offset, length)) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        short at = find(true);
        if (at >= 0) {
            Util.arrayCopy(number, (short) 0, used, at, PLACE);
            return;
        }
        short least = 0;
        for (at = PLACE; at < (short) used.length; at += PLACE) {
            if (isGreater(used, least, used, at)) {
                least = at;
            }
        }
        if (isGreater(used, least, number, (short) 0)) {
            Util.arrayCopy(number, (short) 0, floor, (short) 0, PLACE);
            return;
        }
        JCSystem.beginTransaction();
        Util.arrayCopy(used, least, floor, (short) 0, PLACE);
        Util.arrayCopy(number, (short) 0, used, least, PLACE);
        JCSystem.commitTransaction();
    }

    /** Forgets a number that was just remembered. */
    void giveBack(byte[] buffer, short offset, short length) {
        if (length == 0) {
            return;
        }
        take(buffer, offset, length);
        short at = find(false);
        if (at >= 0) {
            used[at] = 0;
        }
    }
}
