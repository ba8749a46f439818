package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.Util;

/**
 * Reads BER-TLV and LV structures in place, and writes them.
 *
 * <p>Every reader takes the end of the structure it works in and throws 6A80 rather than look beyond it.
 *
 * <p>Spec: ISO 7816-4 clause 5.2.2; GP Card 2.3.1 clause 11.1.5 (length fields).
 */
final class Tlv {
    /** What {@link #find} returns for a tag that is not there. */
    static final short ABSENT = -1;

    private Tlv() {}

    /** Returns the tag at an offset: one byte, or two when its first has the five low bits set. */
    static short tag(byte[] buffer, short offset, short end) {
        if (offset >= end) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        if ((byte) (buffer[offset] & 0x1F) != 0x1F) {
            return (short) (buffer[offset] & 0xFF);
        }
        if ((short) (offset + 1) >= end || (buffer[(short) (offset + 1)] & 0x80) != 0) {
            ISOException.throwIt(Gp.SW_WRONG_DATA); // tags of three bytes have no meaning to a Security Domain
        }
        return Util.getShort(buffer, offset);
    }

    /** Returns the offset of the length field of the TLV at an offset. */
    static short lengthOffset(byte[] buffer, short offset, short end) {
        return (short) (offset + ((tag(buffer, offset, end) & (short) 0xFF00) == 0 ? 1 : 2));
    }

    /** Returns the length that a length field says, checked to lie before the end. */
    static short length(byte[] buffer, short lengthOffset, short end) {
        if (lengthOffset >= end) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        short value = valueOffset(buffer, lengthOffset);
        if (value > end) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        short length = (short) (buffer[lengthOffset] & 0xFF);
        if (length == (short) 0x81) {
            length = (short) (buffer[(short) (lengthOffset + 1)] & 0xFF);
        } else if (length == (short) 0x82) {
            length = Util.getShort(buffer, (short) (lengthOffset + 1));
        }
        if (length < 0 || length > (short) (end - value)) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        return length;
    }

    /** Returns the offset of the value behind a length field of one, two (81) or three (82) bytes. */
    static short valueOffset(byte[] buffer, short lengthOffset) {
        short first = (short) (buffer[lengthOffset] & 0xFF);
        if (first < (short) 0x80) {
            return (short) (lengthOffset + 1);
        }
        if (first != (short) 0x81 && first != (short) 0x82) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        return (short) (lengthOffset + (first == (short) 0x81 ? 2 : 3));
    }

    /** Returns the offset of the value behind a length field, or 0 where there is none (ABSENT). */
    static short valueOrStart(byte[] buffer, short lengthOffset) {
        return lengthOffset == ABSENT ? 0 : valueOffset(buffer, lengthOffset);
    }

    /** Returns the offset behind the TLV at an offset. */
    static short next(byte[] buffer, short offset, short end) {
        short lengthOffset = lengthOffset(buffer, offset, end);
        short length = length(buffer, lengthOffset, end);
        return (short) (valueOffset(buffer, lengthOffset) + length);
    }

    /** Returns the offset of the length field of the first TLV with a tag, or ABSENT. */
    static short find(byte[] buffer, short offset, short end, short tag) {
        while (offset < end) {
            if (tag(buffer, offset, end) == tag) {
                return lengthOffset(buffer, offset, end);
            }
            offset = next(buffer, offset, end);
        }
        return ABSENT;
    }

    /** Returns the offset behind the LV (one length byte, then that many bytes) at an offset. */
    static short afterLv(byte[] buffer, short offset, short end) {
        if (offset >= end) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        short after = (short) (offset + 1 + (short) (buffer[offset] & 0xFF));
        if (after > end) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        return after;
    }

    /** Returns the length of an LV whose length field has one to three bytes; the single byte 80 says 128. */
    static short longLvLength(byte[] buffer, short lv) {
        short first = (short) (buffer[lv] & 0xFF);
        if (first == (short) 0x81) {
            return (short) (buffer[(short) (lv + 1)] & 0xFF);
        }
        return first == (short) 0x82 ? Util.getShort(buffer, (short) (lv + 1)) : first;
    }

    /** Returns where the value of an LV whose length field has one to three bytes begins. */
    static short longLvValue(byte[] buffer, short lv) {
        short first = (short) (buffer[lv] & 0xFF);
        return (short) (lv + (first == (short) 0x81 ? 2 : first == (short) 0x82 ? 3 : 1));
    }

    /** Returns the offset behind an LV whose length field has one to three bytes. */
    static short afterLongLv(byte[] buffer, short lv, short end) {
        if (lv >= end || (short) (buffer[lv] & 0xFF) > (short) 0x82) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        short value = longLvValue(buffer, lv);
        if (value > end) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        short length = longLvLength(buffer, lv);
        if (length < 0 || length > (short) (end - value)) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        return (short) (value + length);
    }

    /** Writes a tag of one or two bytes and returns the offset behind it. */
    static short putTag(byte[] buffer, short offset, short tag) {
        if ((tag & (short) 0xFF00) != 0) {
            return Util.setShort(buffer, offset, tag);
        }
        buffer[offset] = (byte) tag;
        return (short) (offset + 1);
    }

    /** Writes a tag and a length of at most 127, and returns the offset behind them. */
    static short putHeader(byte[] buffer, short offset, short tag, short length) {
        offset = putTag(buffer, offset, tag);
        buffer[offset] = (byte) length;
        return (short) (offset + 1);
    }

    /**
     * Sets the length of a TLV whose value has been written behind a one-byte length field; a value longer than 127 bytes
     * moves up for the field's second or third byte.
     *
     * @return the offset behind the value
     */
    static short closeLength(byte[] buffer, short lengthOffset, short end) {
        short length = (short) (end - lengthOffset - 1);
        if (length < (short) 0x80) {
            buffer[lengthOffset] = (byte) length;
            return end;
        }
        short more = (short) (length < 256 ? 1 : 2);
        Util.arrayCopyNonAtomic(buffer, (short) (lengthOffset + 1), buffer, (short) (lengthOffset + 1 + more), length);
        buffer[lengthOffset] = (byte) (0x80 | more);
        if (more == 1) {
            buffer[(short) (lengthOffset + 1)] = (byte) length;
        } else {
            Util.setShort(buffer, (short) (lengthOffset + 1), length);
        }
        return (short) (end + more);
    }

    /** Moves the value of the data object at the beginning of a buffer to the beginning, and returns its length. */
    static short bare(byte[] buffer, short end) {
        short field = lengthOffset(buffer, (short) 0, end);
        short length = length(buffer, field, end);
        return Util.arrayCopyNonAtomic(buffer, valueOffset(buffer, field), buffer, (short) 0, length);
    }
}
