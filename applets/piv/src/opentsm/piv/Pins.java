package opentsm.piv;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.OwnerPIN;

/**
 * The PIN of the application and its unblocking key (PUK): VERIFY, CHANGE REFERENCE DATA, RESET RETRY COUNTER.
 *
 * <p>Both are 8 bytes; a PIN is 6 to 8 digits, the rest filled with FF. What is no PIN costs no try.
 *
 * <p>Spec: SP 800-73-4 part 2 clauses 2.4.3 and 3.2.1 to 3.2.3.
 */
final class Pins {
    static final byte PIN = (byte) 0x80;
    static final byte PUK = (byte) 0x81;
    static final short SIZE = 8;

    private static final byte TRIES = 3;
    private static final short FEWEST_DIGITS = 6;
    private static final byte FILLING = (byte) 0xFF;
    private static final byte RESET_STATUS = (byte) 0xFF;
    private static final short SW_TRIES_LEFT = 0x63C0;
    private static final short SW_BLOCKED = 0x6983;
    private static final short SW_REFERENCE_NOT_FOUND = 0x6A88;

    private final OwnerPIN pin = new OwnerPIN(TRIES, (byte) SIZE);
    private final OwnerPIN puk = new OwnerPIN(TRIES, (byte) SIZE);
    private final SecurityStatus status;

    Pins(SecurityStatus status) {
        this.status = status;
    }

    /** Sets the first values, 8 bytes each. */
    void initialize(byte[] pinValue, short pinOffset, byte[] pukValue, short pukOffset) {
        requirePin(pinValue, pinOffset);
        pin.update(pinValue, pinOffset, (byte) SIZE);
        puk.update(pukValue, pukOffset, (byte) SIZE);
    }

    /** VERIFY: with the PIN; without data it asks for the status, or resets it (P1 = FF). */
    void verify(byte p1, byte reference, byte[] data, short offset, short length) {
        if (reference != PIN) {
            ISOException.throwIt(SW_REFERENCE_NOT_FOUND);
        }
        if (p1 == RESET_STATUS && length == 0) {
            status.setPin(false);
            return;
        }
        requireP1(p1);
        if (length == 0) {
            if (!status.isPinVerified()) {
                refuse(pin);
            }
            return;
        }
        requireLength(length, SIZE);
        requirePin(data, offset);
        status.setPin(false);
        check(pin, data, offset);
        status.setPin(true);
    }

    /** CHANGE REFERENCE DATA: the old value and the new one. */
    void change(byte p1, byte reference, byte[] data, short offset, short length) {
        if (reference != PIN && reference != PUK) {
            ISOException.throwIt(SW_REFERENCE_NOT_FOUND);
        }
        requireP1(p1);
        requireLength(length, (short) (2 * SIZE));
        short fresh = (short) (offset + SIZE);
        if (reference == PIN) {
            requirePin(data, offset);
            requirePin(data, fresh);
            status.setPin(false);
            check(pin, data, offset);
            update(pin, data, fresh);
            status.setPin(true);
        } else {
            check(puk, data, offset);
            update(puk, data, fresh);
        }
    }

    /** RESET RETRY COUNTER: the PUK and a new PIN. */
    void resetRetryCounter(byte p1, byte reference, byte[] data, short offset, short length) {
        if (reference != PIN) {
            ISOException.throwIt(SW_REFERENCE_NOT_FOUND);
        }
        requireP1(p1);
        requireLength(length, (short) (2 * SIZE));
        short fresh = (short) (offset + SIZE);
        requirePin(data, fresh);
        check(puk, data, offset);
        update(pin, data, fresh);
    }

    private static void check(OwnerPIN reference, byte[] data, short offset) {
        if (!reference.check(data, offset, (byte) SIZE)) {
            refuse(reference);
        }
    }

    private static void refuse(OwnerPIN reference) {
        byte left = reference.getTriesRemaining();
        ISOException.throwIt(left == 0 ? SW_BLOCKED : (short) (SW_TRIES_LEFT | left));
    }

    /** Value, length and counter of an OwnerPIN are written one by one. */
    private static void update(OwnerPIN reference, byte[] data, short offset) {
        JCSystem.beginTransaction();
        reference.update(data, offset, (byte) SIZE);
        JCSystem.commitTransaction();
    }

    private static void requirePin(byte[] data, short offset) {
        short digits = 0;
        while (digits < SIZE && data[(short) (offset + digits)] >= '0' && data[(short) (offset + digits)] <= '9') {
            digits++;
        }
        for (short i = digits; i < SIZE; i++) {
            if (digits < FEWEST_DIGITS || data[(short) (offset + i)] != FILLING) {
                ISOException.throwIt(ISO7816.SW_WRONG_DATA);
            }
        }
    }

    private static void requireP1(byte p1) {
        if (p1 != 0) {
            ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        }
    }

    private static void requireLength(short length, short expected) {
        if (length != expected) {
            ISOException.throwIt(ISO7816.SW_WRONG_LENGTH);
        }
    }
}
