package opentsm.runtime;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Bytes of a card image while it is written ({@link ImageInput} reads them): numbers have their high bytes first. */
final class ImageBuffer {
    private byte[] bytes;
    private int size;

    ImageBuffer(int capacity) {
        bytes = new byte[capacity];
    }

    private int grow(int more) {
        int at = size;
        size += more;
        if (size > bytes.length) {
            bytes = Arrays.copyOf(bytes, Math.max(size, 2 * bytes.length));
        }
        return at;
    }

    void u8(int value) {
        int at = grow(1);
        bytes[at] = (byte) value;
    }

    void u16(int value) {
        int at = grow(2);
        bytes[at] = (byte) (value >> 8);
        bytes[at + 1] = (byte) value;
    }

    void i32(int value) {
        int at = grow(4);
        bytes[at] = (byte) (value >> 24);
        bytes[at + 1] = (byte) (value >> 16);
        bytes[at + 2] = (byte) (value >> 8);
        bytes[at + 3] = (byte) value;
    }

    void i64(long value) {
        i32((int) (value >> 32));
        i32((int) value);
    }

    void raw(byte[] value) {
        int at = grow(value.length);
        System.arraycopy(value, 0, bytes, at, value.length);
    }

    /** Writes bytes with their length before them. */
    void block(byte[] value) {
        i32(value.length);
        raw(value);
    }

    void text(String value) {
        block(value.getBytes(StandardCharsets.UTF_8));
    }

    void all(ImageBuffer other) {
        int at = grow(other.size);
        System.arraycopy(other.bytes, 0, bytes, at, other.size);
    }

    byte[] toBytes() {
        return Arrays.copyOf(bytes, size);
    }
}
