package opentsm.runtime;

import java.util.Arrays;

/**
 * A length and value in a buffer, checked against the buffer's end.
 *
 * <p>Spec: GP Card 2.3.1 clause 11.5.2.3: one byte of length, or for parameters and tokens one to three, where the single
 * byte 80 says 128.
 */
final class Lv {
    final byte[] buffer;
    final int offset;
    final int length;

    private Lv(byte[] buffer, int offset, int length) {
        Sw.require(offset + length <= buffer.length, Sw.WRONG_DATA);
        this.buffer = buffer;
        this.offset = offset;
        this.length = length;
    }

    /** Reads one with a length of one byte. */
    static Lv at(byte[] buffer, short lv) {
        Sw.require(lv >= 0 && lv < buffer.length, Sw.WRONG_DATA);
        return new Lv(buffer, lv + 1, buffer[lv] & 0xFF);
    }

    /** Reads one with a length of one to three bytes. */
    static Lv longAt(byte[] buffer, short lv) {
        Sw.require(lv >= 0 && lv < buffer.length, Sw.WRONG_DATA);
        int bytes = (buffer[lv] & 0xFF) - 0x80;
        if (bytes <= 0) {
            return at(buffer, lv);
        }
        Sw.require(bytes <= 2 && lv + bytes < buffer.length, Sw.WRONG_DATA);
        int length = 0;
        for (int i = 1; i <= bytes; i++) {
            length = length << 8 | buffer[lv + i] & 0xFF;
        }
        return new Lv(buffer, lv + 1 + bytes, length);
    }

    byte[] value() {
        return Arrays.copyOfRange(buffer, offset, offset + length);
    }
}
