package opentsm.payment;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;

/**
 * Reads and writes BER-TLV data objects with tags of one or two bytes; anything malformed is 6A80.
 *
 * <p>Spec: ISO 7816-4 clause 5.2.2; EMV Book 3 annex B.
 */
final class DataObjects {
    static final short LABEL = 0x50;
    static final short TRACK_2 = 0x57;
    static final short PAN = 0x5A;
    static final short EXPIRY = 0x5F24;
    static final short RECORD = 0x70;
    static final short GPO_RESPONSE = 0x77;
    static final short AIP = 0x82;
    static final short DF_NAME = 0x84;
    static final short PRIORITY = 0x87;
    static final short AFL = 0x94;
    static final short PROPRIETARY = 0xA5;
    static final short FCI = 0x6F;

    /** Ours: qualifier, account's unique identifier, most accounts, account, and what GET DATA tells. */
    static final short QUALIFIER = 0xC0;

    static final short UID = 0xC1;
    static final short MAX_ACCOUNTS = 0xC2;
    static final short ACCOUNT = 0xE1;
    static final short LAST_OPERATION = (short) 0xDF01;
    static final short ACCOUNTS = (short) 0xDF02;
    static final short ACCOUNT_COUNT = (short) 0xDF03;

    static final short ABSENT = -1;

    private DataObjects() {}

    private static short tagSize(byte[] buffer, short offset, short end) {
        if (offset >= end) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        short size = (short) ((byte) (buffer[offset] & 0x1F) == 0x1F ? 2 : 1);
        if ((short) (offset + size) >= end) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        return size;
    }

    /** Returns the offset behind the data object at an offset. */
    private static short next(byte[] buffer, short offset, short end) {
        short field = (short) (offset + tagSize(buffer, offset, end));
        short after = (short) (field + 1 + length(buffer, field));
        if (after > end) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        return after;
    }

    /** Returns the length that a length field says; none of ours is longer than 127. */
    static short length(byte[] buffer, short field) {
        if (buffer[field] < 0) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        return buffer[field];
    }

    /** Returns the offset of the length field of a data object, or ABSENT; all of the template is checked. */
    static short find(byte[] buffer, short offset, short end, short tag) {
        short found = ABSENT;
        while (offset < end) {
            short size = tagSize(buffer, offset, end);
            short here = size == 1 ? (short) (buffer[offset] & 0xFF) : Util.getShort(buffer, offset);
            if (here == tag && found == ABSENT) {
                found = (short) (offset + size);
            }
            offset = next(buffer, offset, end);
        }
        return found;
    }

    /** Finds a data object that must be there, with a value of at least and at most so many bytes. */
    static short require(byte[] buffer, short offset, short end, short tag, short least, short most) {
        short field = find(buffer, offset, end, tag);
        if (field == ABSENT || length(buffer, field) < least || length(buffer, field) > most) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        return field;
    }

    /** Writes a tag and a length below 128, and returns the offset behind them. */
    static short header(byte[] buffer, short offset, short tag, short length) {
        if ((tag & (short) 0xFF00) != 0) {
            buffer[offset++] = (byte) (tag >> 8);
        }
        buffer[offset++] = (byte) tag;
        buffer[offset++] = (byte) length;
        return offset;
    }

    /**
     * Sets the length of a data object whose value was written behind a one-byte length field, moving a value of 128
     * bytes or more up by one.
     *
     * @return the offset behind the value
     */
    static short close(byte[] buffer, short value, short end) {
        short length = (short) (end - value);
        if (length < (short) 0x80) {
            buffer[(short) (value - 1)] = (byte) length;
            return end;
        }
        Util.arrayCopyNonAtomic(buffer, value, buffer, (short) (value + 1), length);
        buffer[(short) (value - 1)] = (byte) 0x81;
        buffer[value] = (byte) length;
        return (short) (end + 1);
    }
}
