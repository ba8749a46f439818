package opentsm.cvm;

import javacard.framework.JCSystem;
import javacard.framework.Util;
import org.globalplatform.CVM;

/**
 * A PIN with a try limit, in one of three formats.
 *
 * <p>ACTIVE once it has a value and a limit. Whether it was submitted, and rightly, lasts until a reset. The try counter is
 * decremented before the value is looked at, so that cutting the power saves no try; for the same reason nothing is
 * verified within a transaction, which could take the try back.
 *
 * <p>Spec: GP Card 2.3.1 clause 8.2 (figure 8-1); GP Card API 1.7, CVM.
 */
final class SharedPin implements CVM {
    private static final byte VALUE_SIZE = 16;

    /** Layout of the persistent state. */
    private static final short FORMAT = 0;

    private static final short LENGTH = 1;
    private static final short LIMIT = 2;
    private static final short TRIES = 3;
    private static final short BLOCKED = 4;
    private static final short STATE_SIZE = 5;

    private static final byte NOT_SUBMITTED = 0;
    private static final byte INVALID = 1;
    private static final byte VALID = 2;

    private static final byte PADDING_DIGIT = 0x0F;
    private static final short NO_DIGIT = -1;

    private final Clients clients;
    private final byte[] value = new byte[VALUE_SIZE];
    private final byte[] state = new byte[STATE_SIZE];

    /** What the last submission was; cleared at reset. */
    private final byte[] submission;

    SharedPin(Clients clients) {
        this.clients = clients;
        submission = JCSystem.makeTransientByteArray((short) 1, JCSystem.CLEAR_ON_RESET);
    }

    @Override
    public boolean isActive() {
        return state[LENGTH] != 0 && state[LIMIT] != 0;
    }

    @Override
    public boolean isSubmitted() {
        return isActive() && !isBlocked() && submission[0] != NOT_SUBMITTED;
    }

    @Override
    public boolean isVerified() {
        return isActive() && !isBlocked() && submission[0] == VALID;
    }

    @Override
    public boolean isBlocked() {
        return isActive() && state[BLOCKED] != 0;
    }

    @Override
    public byte getTriesRemaining() {
        return isBlocked() ? 0 : state[TRIES];
    }

    @Override
    public boolean update(byte[] buffer, short offset, byte length, byte format) {
        if (!clients.callerManages() || length <= 0 || length > VALUE_SIZE || !isWellFormed(buffer, offset, length, format)) {
            return false;
        }
        JCSystem.beginTransaction();
        Util.arrayCopy(buffer, offset, value, (short) 0, length);
        state[FORMAT] = format;
        state[LENGTH] = length;
        activate();
        JCSystem.commitTransaction();
        return true;
    }

    /** Returns to ACTIVE with all tries. */
    private void activate() {
        state[TRIES] = state[LIMIT];
        state[BLOCKED] = 0;
        submission[0] = NOT_SUBMITTED;
    }

    @Override
    public boolean resetState() {
        if (!isSubmitted()) {
            return false;
        }
        submission[0] = NOT_SUBMITTED;
        return true;
    }

    @Override
    public boolean blockState() {
        if (!clients.callerManages() || !isActive()) {
            return false;
        }
        state[BLOCKED] = 1;
        submission[0] = NOT_SUBMITTED;
        return true;
    }

    @Override
    public boolean resetAndUnblockState() {
        if (!clients.callerManages() || !isActive()) {
            return false;
        }
        JCSystem.beginTransaction();
        activate();
        JCSystem.commitTransaction();
        return true;
    }

    @Override
    public boolean setTryLimit(byte limit) {
        if (!clients.callerManages() || limit <= 0) {
            return false;
        }
        JCSystem.beginTransaction();
        state[LIMIT] = limit;
        activate();
        JCSystem.commitTransaction();
        return true;
    }

    @Override
    public short verify(byte[] buffer, short offset, byte length, byte format) {
        if (!isActive() || isBlocked() || JCSystem.getTransactionDepth() != 0) {
            return CVM_FAILURE;
        }
        submission[0] = INVALID;
        state[TRIES]--;
        if (isEqual(buffer, offset, length, format)) {
            state[TRIES] = state[LIMIT];
            submission[0] = VALID;
            return CVM_SUCCESS;
        }
        if (state[TRIES] == 0) {
            state[BLOCKED] = 1;
        }
        return CVM_FAILURE;
    }

    /** Refuses BCD that is no number, and formats that are none; ASCII and HEX are any bytes. */
    private static boolean isWellFormed(byte[] buffer, short offset, byte length, byte format) {
        if (format == FORMAT_BCD) {
            return digits(buffer, offset, length, format) != NO_DIGIT;
        }
        return format == FORMAT_ASCII || format == FORMAT_HEX;
    }

    /** HEX equals HEX only; ASCII and BCD are compared as numbers where one of them is BCD. */
    private boolean isEqual(byte[] buffer, short offset, byte length, byte format) {
        if (format == state[FORMAT]) {
            return length == state[LENGTH] && equalBytes(buffer, offset, length);
        }
        if (format == FORMAT_HEX || state[FORMAT] == FORMAT_HEX || format != FORMAT_ASCII && format != FORMAT_BCD) {
            return false;
        }
        short count = digits(buffer, offset, length, format);
        if (count == NO_DIGIT || count != digits(value, (short) 0, state[LENGTH], state[FORMAT])) {
            return false;
        }
        short differences = 0;
        for (short i = 0; i < count; i++) {
            differences |= (short) (digit(buffer, offset, format, i) ^ digit(value, (short) 0, state[FORMAT], i));
        }
        return differences == 0;
    }

    private boolean equalBytes(byte[] buffer, short offset, byte length) {
        byte differences = 0;
        for (short i = 0; i < length; i++) {
            differences |= (byte) (buffer[(short) (offset + i)] ^ value[i]);
        }
        return differences == 0;
    }

    /** Returns how many digits a value has, or NO_DIGIT when it is no number; BCD may end with one nibble of F. */
    private static short digits(byte[] buffer, short offset, byte length, byte format) {
        short count = (short) (format == FORMAT_BCD ? 2 * length : length);
        if (count > 0 && format == FORMAT_BCD && digit(buffer, offset, format, (short) (count - 1)) == PADDING_DIGIT) {
            count--;
        }
        for (short i = 0; i < count; i++) {
            short digit = digit(buffer, offset, format, i);
            if (digit < 0 || digit > 9) {
                return NO_DIGIT;
            }
        }
        return count;
    }

    private static short digit(byte[] buffer, short offset, byte format, short index) {
        if (format == FORMAT_ASCII) {
            return (short) (buffer[(short) (offset + index)] - '0');
        }
        byte pair = buffer[(short) (offset + index / 2)];
        return (short) ((index & 1) == 0 ? (short) (pair >> 4) & 0x0F : pair & 0x0F);
    }
}
