package opentsm.crs;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;

/** Reads and writes BER-TLV data objects with tags of one or two bytes (ISO 7816-4 clause 5.2.2). */
final class Tlv {
    /** Before a value that is being written: room for the longest header, a tag of two bytes and a length of three. */
    static final short HEADER_LIMIT = 5;

    private Tlv() {}

    /** Returns the tag at an offset. */
    static short tag(byte[] buffer, short offset, short end) {
        if (offset >= end) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        if ((byte) (buffer[offset] & 0x1F) != 0x1F) {
            return (short) (buffer[offset] & 0xFF);
        }
        if ((short) (offset + 1) >= end || buffer[(short) (offset + 1)] < 0) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        return Util.getShort(buffer, offset);
    }

    /** Returns how many bytes a tag has. */
    static short size(short tag) {
        return (short) ((tag & (short) 0xFF00) == 0 ? 1 : 2);
    }

    /** Returns the offset of the value of the data object at an offset, whose length has one byte. */
    static short value(byte[] buffer, short offset, short end) {
        return (short) (offset + size(tag(buffer, offset, end)) + 1);
    }

    /** Returns the offset behind the data object at an offset, which must lie before the end. */
    static short next(byte[] buffer, short offset, short end) {
        short value = value(buffer, offset, end);
        if (value > end || buffer[(short) (value - 1)] < 0) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        short next = (short) (value + buffer[(short) (value - 1)]);
        if (next > end) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        return next;
    }

    /**
     * Makes a data object of a value that stands {@link #HEADER_LIMIT} bytes behind an offset: writes the header at the
     * offset and moves the value up to it.
     *
     * @param end the offset behind the value
     * @return the offset behind the data object
     */
    static short close(byte[] buffer, short offset, short tag, short end) {
        short value = (short) (offset + HEADER_LIMIT);
        short length = (short) (end - value);
        if (size(tag) == 2) {
            offset = Util.setShort(buffer, offset, tag);
        } else {
            buffer[offset++] = (byte) tag;
        }
        if (length >= (short) 0x100) {
            buffer[offset++] = (byte) 0x82;
            offset = Util.setShort(buffer, offset, length);
        } else {
            if (length >= (short) 0x80) {
                buffer[offset++] = (byte) 0x81;
            }
            buffer[offset++] = (byte) length;
        }
        return Util.arrayCopyNonAtomic(buffer, value, buffer, offset, length);
    }
}
