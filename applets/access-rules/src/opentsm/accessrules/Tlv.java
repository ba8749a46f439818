package opentsm.accessrules;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;

/** BER-TLV with one byte of tag and up to three of length, inside bounds. */
final class Tlv {
    private Tlv() {}

    /** Returns where the value of the data object begins. */
    static short value(byte[] data, short offset, short end) {
        short length = (short) (offset + 1);
        if (offset < 0 || length >= end) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        byte first = data[length];
        short more = first == (byte) 0x81 ? (short) 1 : first == (byte) 0x82 ? (short) 2 : (short) 0;
        if (first < 0 && more == 0 || (short) (length + more) >= end) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        return (short) (length + 1 + more);
    }

    /** Returns the length of its value. */
    static short length(byte[] data, short offset, short end) {
        short value = value(data, offset, end);
        short length = 0;
        short at = (short) (offset + 1);
        if (data[at] >= 0) {
            length = data[at];
        } else {
            for (at++; at < value; at++) {
                length = (short) (length << 8 | data[at] & 0xFF);
            }
        }
        if (length < 0 || length > (short) (end - value)) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        return length;
    }

    /** Returns where it ends. */
    static short end(byte[] data, short offset, short end) {
        return (short) (value(data, offset, end) + length(data, offset, end));
    }

    /** Writes a length in as few bytes as it takes, and returns where it ends. */
    static short putLength(byte[] into, short offset, short length) {
        if (length > 0xFF) {
            into[offset++] = (byte) 0x82;
            into[offset++] = (byte) (length >> 8);
        } else if (length > 0x7F) {
            into[offset++] = (byte) 0x81;
        }
        into[offset++] = (byte) length;
        return offset;
    }
}
