package opentsm.runtime;

import java.util.Arrays;

/** A data object with a tag of one byte in an array, checked against the array's end. */
final class Tlv {
    final int tag;
    final int length;
    private final byte[] array;
    private final int offset;

    private Tlv(byte[] array, int tag, int offset, int length) {
        this.array = array;
        this.tag = tag;
        this.offset = offset;
        this.length = length;
    }

    /** Reads the one at an offset; 6A80 when it is malformed. */
    static Tlv at(byte[] array, int offset) {
        Sw.require(offset + 2 <= array.length, Sw.WRONG_DATA);
        int length = array[offset + 1] & 0xFF;
        int value = offset + 2;
        if (length >= 0x80) {
            int bytes = length - 0x80;
            Sw.require(bytes >= 1 && bytes <= 2 && value + bytes <= array.length, Sw.WRONG_DATA);
            length = 0;
            for (; bytes > 0; bytes--) {
                length = length << 8 | array[value++] & 0xFF;
            }
        }
        Sw.require(value + length <= array.length, Sw.WRONG_DATA);
        return new Tlv(array, array[offset] & 0xFF, value, length);
    }

    /** Returns the offset behind it. */
    int end() {
        return offset + length;
    }

    byte[] value() {
        return Arrays.copyOfRange(array, offset, offset + length);
    }
}
