package opentsm.runtime;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/**
 * Bytes of a card image while it is read, as {@link ImageBuffer} wrote them. Where they end too early, a
 * BufferUnderflowException says so.
 */
final class ImageInput {
    private final ByteBuffer in;

    ImageInput(byte[] image) {
        in = ByteBuffer.wrap(image);
    }

    /** Returns how many bytes are left. */
    int remaining() {
        return in.remaining();
    }

    boolean flag() {
        return in.get() != 0;
    }

    byte i8() {
        return in.get();
    }

    int u8() {
        return in.get() & 0xFF;
    }

    short i16() {
        return in.getShort();
    }

    int u16() {
        return in.getShort() & 0xFFFF;
    }

    int i32() {
        return in.getInt();
    }

    long i64() {
        return in.getLong();
    }

    /** Fills an array. */
    void raw(byte[] bytes) {
        in.get(bytes);
    }

    /** Reads how many things follow, of which each takes some bytes at least. */
    int count(int each) {
        int count = in.getInt();
        require(count, each);
        return count;
    }

    /** Requires that as many things can follow as it says, of which each takes some bytes at least. */
    void require(int count, int each) {
        ImageError.require(count >= 0 && (long) count * each <= in.remaining(),
                "it says that it holds more than it does");
    }

    /** Reads bytes with their length before them. */
    byte[] block() {
        byte[] bytes = new byte[count(1)];
        in.get(bytes);
        return bytes;
    }

    String text() {
        return new String(block(), StandardCharsets.UTF_8);
    }
}
