package opentsm.openpgp;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.SystemException;
import javacard.framework.Util;

/** A data object that hosts write and read as it is; it takes the place of what there was by one write. */
final class Record {
    private static final short SW_NOT_ENOUGH_MEMORY = 0x6A84;

    final short tag;

    /** The passwords that allow reading and writing. */
    final byte reading;

    final byte writing;

    private final short most;
    private byte[] value;

    Record(short tag, short most, byte reading, byte writing) {
        this.tag = tag;
        this.most = most;
        this.reading = reading;
        this.writing = writing;
    }

    void clear() {
        value = null;
    }

    void set(byte[] data, short length) {
        if (length > most) {
            ISOException.throwIt(ISO7816.SW_WRONG_LENGTH);
        }
        byte[] fresh = null;
        if (length > 0) {
            try {
                fresh = new byte[length];
            } catch (SystemException e) {
                ISOException.throwIt(SW_NOT_ENOUGH_MEMORY);
            }
            Util.arrayCopyNonAtomic(data, (short) 0, fresh, (short) 0, length);
        }
        value = fresh;
        if (JCSystem.isObjectDeletionSupported()) {
            JCSystem.requestObjectDeletion();
        }
    }

    short length() {
        return value == null ? 0 : (short) value.length;
    }

    /** Returns the value, or another array when there is none. */
    byte[] valueOr(byte[] otherwise) {
        return value == null ? otherwise : value;
    }

    /** Writes the value. */
    short write(byte[] output, short offset) {
        return value == null ? offset : Util.arrayCopyNonAtomic(value, (short) 0, output, offset, (short) value.length);
    }
}
