package opentsm.openpgp;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.OwnerPIN;
import javacard.framework.Util;

/**
 * The passwords: the user's (PW1), which counts for signatures (81) apart from all else (82), the administrator's (PW3,
 * 83), and a code to reset PW1 with.
 *
 * <p>Spec: OpenPGP card 3.4 clauses 4.3, 4.4.3 (C4), 7.2.2 to 7.2.4.
 */
final class Passwords {
    static final byte PW1_SIGN = (byte) 0x81;
    static final byte PW1 = (byte) 0x82;
    static final byte PW3 = (byte) 0x83;

    /** Who may: rules of data objects. */
    static final byte ALWAYS = 0;

    static final byte NEVER = 1;

    static final byte MOST = 64;

    private static final byte TRIES = 3;
    private static final byte FEWEST_PW1 = 6;
    private static final byte FEWEST_PW3 = 8;
    private static final byte RESET_STATUS = (byte) 0xFF;
    private static final byte BY_ADMINISTRATOR = 2;

    private static final short SW_TRIES_LEFT = 0x63C0;
    private static final short SW_BLOCKED = 0x6983;
    private static final short SW_REFERENCE_NOT_FOUND = 0x6A88;

    /** Places of the passwords in the arrays below. */
    private static final short USER = 0;

    private static final short CODE = 1;
    private static final short ADMINISTRATOR = 2;
    private static final short COUNT = 3;

    private final OwnerPIN[] passwords = new OwnerPIN[COUNT];

    /** Their lengths; 0 as long as there is no code. */
    private final byte[] lengths = new byte[COUNT];

    /** What they are when the application is new. */
    private final byte[] firstUser;

    private final byte[] firstAdministrator;

    /** Which of 81, 82, 83 was verified. */
    private final byte[] verified = JCSystem.makeTransientByteArray(COUNT, JCSystem.CLEAR_ON_RESET);

    /** Whether PW1 counts for more than one signature. */
    private boolean signsMore;

    Passwords(byte[] user, byte[] administrator) {
        require(user.length >= FEWEST_PW1 && user.length <= MOST, ISO7816.SW_WRONG_DATA);
        require(administrator.length >= FEWEST_PW3 && administrator.length <= MOST, ISO7816.SW_WRONG_DATA);
        for (short i = 0; i < COUNT; i++) {
            passwords[i] = new OwnerPIN(TRIES, MOST);
        }
        firstUser = user;
        firstAdministrator = administrator;
        renew();
    }

    /** Makes the passwords those of a new application. */
    void renew() {
        set(USER, firstUser, (short) 0, (byte) firstUser.length);
        set(ADMINISTRATOR, firstAdministrator, (short) 0, (byte) firstAdministrator.length);
        lengths[CODE] = 0;
        signsMore = false;
        forget();
    }

    /** Forgets who has been verified. */
    void forget() {
        Util.arrayFillNonAtomic(verified, (short) 0, COUNT, (byte) 0);
    }

    private void set(short which, byte[] data, short offset, byte length) {
        JCSystem.beginTransaction();
        passwords[which].update(data, offset, length);
        lengths[which] = length;
        JCSystem.commitTransaction();
    }

    /** Refuses with 6982 what a reference, or a rule, does not allow now. */
    void requireVerified(byte reference) {
        require(reference == ALWAYS || reference != NEVER && verified[status(reference)] != 0,
                ISO7816.SW_SECURITY_STATUS_NOT_SATISFIED);
    }

    private static short status(byte reference) {
        return (short) (reference - PW1_SIGN);
    }

    private static short password(byte reference) {
        require(reference == PW1_SIGN || reference == PW1 || reference == PW3, SW_REFERENCE_NOT_FOUND);
        return reference == PW3 ? ADMINISTRATOR : USER;
    }

    /** Ends what PW1 allows of signatures, if it counts for one only. */
    void passSignature() {
        if (!signsMore) {
            verified[status(PW1_SIGN)] = 0;
        }
    }

    /** VERIFY: with the password; without data it asks for the status, or resets it (P1 = FF). */
    void verify(byte p1, byte reference, byte[] data, short length) {
        short which = password(reference);
        short status = status(reference);
        if (p1 == RESET_STATUS && length == 0) {
            verified[status] = 0;
            return;
        }
        require(p1 == 0, ISO7816.SW_INCORRECT_P1P2);
        if (length == 0) {
            require(verified[status] != 0, (short) (SW_TRIES_LEFT | passwords[which].getTriesRemaining()));
            return;
        }
        verified[status] = 0;
        check(which, data, (short) 0, length);
        verified[status] = 1;
    }

    private void check(short which, byte[] data, short offset, short length) {
        require(passwords[which].getTriesRemaining() > 0, SW_BLOCKED);
        // One that can't be it costs a try as well: it tells nothing of the length.
        byte size = (byte) (length > MOST ? 0 : length);
        require(passwords[which].check(data, offset, size), ISO7816.SW_SECURITY_STATUS_NOT_SATISFIED);
    }

    /** CHANGE REFERENCE DATA: the old password and, right behind it, the new one. */
    void change(byte p1, byte reference, byte[] data, short length) {
        require(p1 == 0 && reference != PW1, ISO7816.SW_INCORRECT_P1P2);
        short which = password(reference);
        byte old = lengths[which];
        requireLength(which, (short) (length - old));
        check(which, data, (short) 0, old);
        set(which, data, old, (byte) (length - old));
        forget(which);
    }

    /** RESET RETRY COUNTER: the code (P1 = 00) and a new PW1, or the new PW1 alone from the administrator (02). */
    void resetRetryCounter(byte p1, byte reference, byte[] data, short length) {
        require((p1 == 0 || p1 == BY_ADMINISTRATOR) && reference == PW1_SIGN, ISO7816.SW_INCORRECT_P1P2);
        byte code = 0;
        if (p1 == 0) {
            code = lengths[CODE];
            require(code != 0, SW_BLOCKED);
            requireLength(USER, (short) (length - code));
            check(CODE, data, (short) 0, code);
        } else {
            requireVerified(PW3);
            requireLength(USER, length);
        }
        set(USER, data, code, (byte) (length - code));
        forget(USER);
    }

    private static void requireLength(short which, short length) {
        require(length >= (which == USER ? FEWEST_PW1 : FEWEST_PW3) && length <= MOST, ISO7816.SW_WRONG_LENGTH);
    }

    private void forget(short which) {
        if (which == USER) {
            verified[status(PW1_SIGN)] = 0;
            verified[status(PW1)] = 0;
        } else {
            verified[status(PW3)] = 0;
        }
    }

    /** Takes a code to reset PW1 with, or none. */
    void setCode(byte[] data, short length) {
        if (length == 0) {
            lengths[CODE] = 0;
            return;
        }
        requireLength(CODE, length);
        set(CODE, data, (short) 0, (byte) length);
    }

    /** Takes the first byte of the status object: whether PW1 counts for more than one signature. */
    void setStatus(byte[] data, short length) {
        require(length > 0 && (data[0] == 0 || data[0] == 1), ISO7816.SW_WRONG_DATA);
        signsMore = data[0] == 1;
    }

    /** Writes the status object's value, seven bytes (C4). */
    short writeStatus(byte[] output, short offset) {
        output[offset++] = (byte) (signsMore ? 1 : 0);
        for (short i = 0; i < COUNT; i++) {
            output[offset++] = MOST;
        }
        for (short i = 0; i < COUNT; i++) {
            output[offset++] = lengths[i] == 0 ? 0 : passwords[i].getTriesRemaining();
        }
        return offset;
    }

    /** Tells whether the application may be terminated: by the administrator, or when nobody can get in any more. */
    void requireTermination() {
        boolean lost = passwords[USER].getTriesRemaining() == 0 && passwords[ADMINISTRATOR].getTriesRemaining() == 0;
        if (!lost) {
            requireVerified(PW3);
        }
    }

    private static void require(boolean condition, short otherwise) {
        if (!condition) {
            ISOException.throwIt(otherwise);
        }
    }
}
