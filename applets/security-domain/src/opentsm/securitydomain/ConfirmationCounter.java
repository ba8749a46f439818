package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import opentsm.open.Open;
import org.globalplatform.GPRegistryEntry;

/**
 * The confirmation counter of a Security Domain that gives receipts.
 *
 * <p>It is persistent, begins at 0 and goes up by one after each receipt, never back: at 32767 no more receipts are given.
 *
 * <p>Spec: GP Card 2.3.1 clause 9.1.3.6, annex C.5.
 */
final class ConfirmationCounter implements DataHolder {
    static final short SIZE = 2;

    private static final short LAST = 0x7FFF;

    private final byte[] counter = new byte[SIZE];
    private final byte[] next;

    ConfirmationCounter() {
        next = JCSystem.makeTransientByteArray(SIZE, JCSystem.CLEAR_ON_RESET);
    }

    @Override
    public boolean holds(short tag) {
        return tag == Gp.TAG_CONFIRMATION_COUNTER;
    }

    /** The card alone counts. */
    @Override
    public void check(short tag, byte[] buffer, short offset, short length) {
        ISOException.throwIt(Gp.SW_NOT_FOUND);
    }

    @Override
    public void store(short tag, byte[] buffer, short offset, short length) {
        ISOException.throwIt(Gp.SW_NOT_FOUND);
    }

    /** {@inheritDoc} Only a domain that gives receipts shows it (clause 11.3.3.1). */
    @Override
    public short get(short tag, byte[] response, short at) {
        if (!Open.self().isPrivileged(GPRegistryEntry.PRIVILEGE_RECEIPT_GENERATION)) {
            return Tlv.ABSENT;
        }
        return get(response, Tlv.putHeader(response, at, tag, SIZE));
    }

    /** Writes its 2 bytes and returns the offset behind them. */
    short get(byte[] buffer, short offset) {
        return Util.arrayCopyNonAtomic(counter, (short) 0, buffer, offset, SIZE);
    }

    /** Tells whether it is at its end. */
    boolean isExhausted() {
        return Util.getShort(counter, (short) 0) == LAST;
    }

    /** Adds one, in one atomic write. */
    void increment() {
        if (isExhausted()) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        Util.setShort(next, (short) 0, (short) (Util.getShort(counter, (short) 0) + 1));
        Util.arrayCopy(next, (short) 0, counter, (short) 0, SIZE);
    }
}
