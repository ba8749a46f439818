package opentsm.runtime;

/** Bytes as people read them. */
final class Hex {
    private static final char[] DIGITS = "0123456789ABCDEF".toCharArray();

    private Hex() {}

    /** Returns two upper-case digits for each byte. */
    static String encode(byte[] bytes, int offset, int length) {
        StringBuilder text = new StringBuilder(2 * length);
        for (int i = offset; i < offset + length; i++) {
            text.append(DIGITS[bytes[i] >> 4 & 0xF]).append(DIGITS[bytes[i] & 0xF]);
        }
        return text.toString();
    }
}
