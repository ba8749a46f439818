package javacard.framework;

import opentsm.runtime.CardRuntime;

/**
 * A PIN with a try counter. In place of jCardSim's, so that translated applets can extend it: its constructor's work can be
 * done on an object that exists already.
 *
 * <p>The PIN and the counter are persistent, and no transaction keeps a try from being counted; that the PIN was
 * presented is forgotten at reset.
 *
 * <p>Spec: Java Card API 3.0.5, javacard.framework.OwnerPIN, PIN.
 */
public class OwnerPIN implements PIN {
    private static final short VALIDATED = 0;

    private byte tryLimit;
    private byte maxPinSize;
    private byte[] pin;
    private byte pinSize;

    /** Tries that are left. */
    private byte[] triesLeft;

    private boolean[] flags;

    /** Makes one that {@link #initialize} completes; for translated subclasses. */
    protected OwnerPIN() {}

    public OwnerPIN(byte tryLimit, byte maxPINSize) throws PINException {
        initialize(tryLimit, maxPINSize);
    }

    /** Does the constructor's work. No token names it, so no applet can. */
    public final void initialize(byte limit, byte size) {
        if (limit < 1 || size < 1) {
            PINException.throwIt(PINException.ILLEGAL_VALUE);
        }
        tryLimit = limit;
        maxPinSize = size;
        pin = new byte[size];
        pinSize = size;
        triesLeft = new byte[] {limit};
        flags = JCSystem.makeTransientBooleanArray((short) 1, JCSystem.CLEAR_ON_RESET);
    }

    protected boolean getValidatedFlag() {
        return flags[VALIDATED];
    }

    protected void setValidatedFlag(boolean value) {
        flags[VALIDATED] = value;
    }

    @Override
    public byte getTriesRemaining() {
        return triesLeft[0];
    }

    @Override
    public boolean check(byte[] candidate, short offset, byte length)
            throws ArrayIndexOutOfBoundsException, NullPointerException {
        setValidatedFlag(false);
        return countTry() && compare(candidate, offset, length);
    }

    /** Counts a try before it is known how it ends: whatever happens in it, and to a transaction, it was one. */
    final boolean countTry() {
        if (triesLeft[0] == 0) {
            return false;
        }
        CardRuntime.current().setUnconditionally(triesLeft, (byte) (triesLeft[0] - 1));
        return true;
    }

    /** Compares, and when they are the same gives all tries again. */
    final boolean compare(byte[] candidate, short offset, byte length) {
        if (length != pinSize || !equal(candidate, offset, length)) {
            return false;
        }
        setValidatedFlag(true);
        CardRuntime.current().setUnconditionally(triesLeft, tryLimit);
        return true;
    }

    /** Compares without stopping at the first difference. */
    private boolean equal(byte[] candidate, short offset, byte length) {
        byte difference = 0;
        for (short i = 0; i < length; i++) {
            difference |= (byte) (candidate[(short) (offset + i)] ^ pin[i]);
        }
        return difference == 0;
    }

    @Override
    public boolean isValidated() {
        return getValidatedFlag();
    }

    @Override
    public void reset() {
        if (isValidated()) {
            resetAndUnblock();
        }
    }

    public void update(byte[] newPin, short offset, byte length) throws PINException {
        if (length > maxPinSize || length < 0) {
            PINException.throwIt(PINException.ILLEGAL_VALUE);
        }
        Util.arrayCopy(newPin, offset, pin, (short) 0, length);
        pinSize = length;
        triesLeft[0] = tryLimit;
        setValidatedFlag(false);
    }

    final byte limit() {
        return tryLimit;
    }

    final void setLimit(byte limit) {
        tryLimit = limit;
        resetAndUnblock();
    }

    final void setTries(byte tries) {
        triesLeft[0] = tries;
        setValidatedFlag(false);
    }

    public void resetAndUnblock() {
        triesLeft[0] = tryLimit;
        setValidatedFlag(false);
    }
}
