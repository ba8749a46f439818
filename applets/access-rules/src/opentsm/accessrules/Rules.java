package opentsm.accessrules;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/**
 * The rules: REF-AR-DOs one behind the other, as they came, each REF-DO once.
 *
 * <p>Spec: GPD_SPE_013 1.1 clause 6.
 */
final class Rules {
    private static final byte TAG_REF_AR = (byte) 0xE2;
    private static final byte TAG_REF = (byte) 0xE1;
    private static final byte TAG_AR = (byte) 0xE3;
    private static final short CAPACITY = 2048;

    private final byte[] data = new byte[CAPACITY];
    private short size;

    short size() {
        return size;
    }

    byte[] data() {
        return data;
    }

    /** Adds a REF-AR-DO, in place of one with the same REF-DO. */
    void store(byte[] from, short offset, short end) {
        short value = Tlv.value(from, offset, end);
        if (from[offset] != TAG_REF_AR) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        short after = (short) (value + Tlv.length(from, offset, end));
        short access = Tlv.end(from, value, after);
        if (after != end || from[value] != TAG_REF || access >= after || from[access] != TAG_AR
                || Tlv.end(from, access, after) != after) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        JCSystem.beginTransaction();
        remove(from, value, access, TAG_REF);
        short length = (short) (after - offset);
        if ((short) (CAPACITY - size) < length) {
            JCSystem.abortTransaction();
            ISOException.throwIt(ISO7816.SW_FILE_FULL);
        }
        Util.arrayCopy(from, offset, data, size, length);
        size += length;
        JCSystem.commitTransaction();
    }

    /**
     * Removes rules.
     *
     * @param from holds a REF-AR-DO, a REF-DO or an AID-REF-DO: rules that are it, or have it
     */
    short delete(byte[] from, short offset, short end) {
        JCSystem.beginTransaction();
        short removed = remove(from, offset, Tlv.end(from, offset, end), from[offset]);
        JCSystem.commitTransaction();
        return removed;
    }

    void clear() {
        size = 0;
    }

    private short remove(byte[] from, short offset, short end, byte tag) {
        short removed = 0;
        short at = 0;
        while (at < size) {
            short next = Tlv.end(data, at, size);
            if (has(at, next, from, offset, end, tag)) {
                // Not covered where both lie in one array, but for the transaction around it.
                Util.arrayCopy(data, next, data, at, (short) (size - next));
                size -= (short) (next - at);
                removed++;
            } else {
                at = next;
            }
        }
        return removed;
    }

    private boolean has(short at, short next, byte[] from, short offset, short end, byte tag) {
        if (tag == TAG_REF_AR) {
            return equal(at, next, from, offset, end);
        }
        short ref = Tlv.value(data, at, next);
        short refEnd = Tlv.end(data, ref, next);
        if (tag == TAG_REF) {
            return equal(ref, refEnd, from, offset, end);
        }
        short part = Tlv.value(data, ref, refEnd);
        while (part < refEnd) {
            short partEnd = Tlv.end(data, part, refEnd);
            if (equal(part, partEnd, from, offset, end)) {
                return true;
            }
            part = partEnd;
        }
        return false;
    }

    private boolean equal(short at, short next, byte[] from, short offset, short end) {
        short length = (short) (next - at);
        return length == (short) (end - offset) && Util.arrayCompare(data, at, from, offset, length) == 0;
    }
}
