package javacard.framework;

/**
 * Makes PINs: in place of jCardSim's, which answers null.
 *
 * <p>Spec: JC API 3.0.5, javacard.framework.OwnerPINBuilder, OwnerPINx, OwnerPINxWithPredecrement.
 */
public class OwnerPINBuilder {
    public static final byte OWNER_PIN = 1;
    public static final byte OWNER_PIN_X = 2;
    public static final byte OWNER_PIN_X_WITH_PREDECREMENT = 3;

    private OwnerPINBuilder() {}

    public static PIN buildOwnerPIN(byte tryLimit, byte maxPINSize, byte ownerPINType) throws PINException {
        switch (ownerPINType) {
            case OWNER_PIN:
                return new OwnerPIN(tryLimit, maxPINSize);
            case OWNER_PIN_X:
                return new Managed(tryLimit, maxPINSize);
            case OWNER_PIN_X_WITH_PREDECREMENT:
                return new Predecremented(tryLimit, maxPINSize);
            default:
                PINException.throwIt(PINException.ILLEGAL_VALUE);
                return null;
        }
    }

    /** One whose try limit and tries its owner can change. */
    private static class Managed extends OwnerPIN implements OwnerPINx {
        Managed(byte tryLimit, byte maxPINSize) {
            super(tryLimit, maxPINSize);
        }

        @Override
        public byte getTryLimit() {
            return limit();
        }

        @Override
        public void setTryLimit(byte newLimit) {
            require(newLimit >= 1, PINException.ILLEGAL_VALUE);
            setLimit(newLimit);
        }

        @Override
        public void setTriesRemaining(byte remaining) {
            require(remaining >= 0 && remaining <= limit(), PINException.ILLEGAL_VALUE);
            setTries(remaining);
        }

        static void require(boolean holds, short reason) {
            if (!holds) {
                PINException.throwIt(reason);
            }
        }
    }

    /** One whose tries are counted by a call of their own, before the PIN is looked at. */
    private static final class Predecremented extends Managed implements OwnerPINxWithPredecrement {
        private final boolean[] counted = JCSystem.makeTransientBooleanArray((short) 1, JCSystem.CLEAR_ON_RESET);

        Predecremented(byte tryLimit, byte maxPINSize) {
            super(tryLimit, maxPINSize);
        }

        @Override
        public byte decrementTriesRemaining() {
            setValidatedFlag(false);
            counted[0] = countTry();
            return getTriesRemaining();
        }

        @Override
        public boolean check(byte[] candidate, short offset, byte length)
                throws PINException, ArrayIndexOutOfBoundsException, NullPointerException {
            setValidatedFlag(false);
            if (!counted[0]) {
                require(getTriesRemaining() == 0, PINException.ILLEGAL_STATE);
                return false;
            }
            counted[0] = false;
            return compare(candidate, offset, length);
        }

        @Override
        public void reset() {
            counted[0] = false;
            super.reset();
        }

        @Override
        public void update(byte[] newPin, short offset, byte length) throws PINException {
            counted[0] = false;
            super.update(newPin, offset, length);
        }

        @Override
        public void setTryLimit(byte newLimit) {
            counted[0] = false;
            super.setTryLimit(newLimit);
        }

        @Override
        public void setTriesRemaining(byte remaining) {
            counted[0] = false;
            super.setTriesRemaining(remaining);
        }
    }
}
