package opentsm.openpgp;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;

/**
 * BER-TLV objects with up to 32767 bytes of value. What is malformed is answered by 6A80.
 *
 * <p>Spec: ISO 7816-4 clause 5.2.2.
 */
final class Tlv {
    static final short ABSENT = -1;

    private static final byte ONE_LENGTH_BYTE = (byte) 0x81;
    private static final byte TWO_LENGTH_BYTES = (byte) 0x82;

    private Tlv() {}

    /** Returns where the length of the first object with a tag stands, or ABSENT. */
    static short find(byte[] data, short offset, short end, byte tag) {
        while (offset < end) {
            short field = (short) (offset + 1);
            short next = (short) (value(data, field, end) + length(data, field, end));
            if (next > end || next < field) {
                throw malformed();
            }
            if (data[offset] == tag) {
                return field;
            }
            offset = next;
        }
        return ABSENT;
    }

    /** Returns the length that stands in a length field. */
    static short length(byte[] data, short field, short end) {
        short value = value(data, field, end);
        switch ((short) (value - field)) {
            case 1:
                return data[field];
            case 2:
                return (short) (data[(short) (field + 1)] & 0xFF);
            default:
                short length = Util.getShort(data, (short) (field + 1));
                if (length < 0) {
                    throw malformed();
                }
                return length;
        }
    }

    /** Returns where the value behind a length field begins. */
    static short value(byte[] data, short field, short end) {
        if (field >= end) {
            throw malformed();
        }
        short value = (short) (field + 1);
        if (data[field] == ONE_LENGTH_BYTE) {
            value += 1;
        } else if (data[field] == TWO_LENGTH_BYTES) {
            value += 2;
        } else if (data[field] < 0) {
            throw malformed();
        }
        if (value > end) {
            throw malformed();
        }
        return value;
    }

    /** Writes a tag and the shortest length field; returns where the value goes. */
    static short header(byte[] data, short offset, byte tag, short length) {
        data[offset++] = tag;
        if (length > 0xFF) {
            data[offset++] = TWO_LENGTH_BYTES;
            return Util.setShort(data, offset, length);
        }
        if (length > 0x7F) {
            data[offset++] = ONE_LENGTH_BYTE;
        }
        data[offset++] = (byte) length;
        return offset;
    }

    /** Returns how long an object with a tag of one byte is. */
    static short size(short length) {
        return (short) (length + (length > 0xFF ? 4 : length > 0x7F ? 3 : 2));
    }

    /** Answers 6A80; to be thrown, so that the compiler sees that nothing follows. */
    static ISOException malformed() {
        ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        return null;
    }
}
