package opentsm.runtime;

/**
 * Where the parts of a C-APDU are: one of the four cases, short or extended.
 *
 * <p>One object serves all commands of a card, so that reading one allocates nothing.
 *
 * <p>Spec: ISO 7816-4 clause 5.2, ISO 7816-3 clause 12.1.
 */
final class CommandForm {
    /** What an applet is told when the command has no Le, or the greatest: as T=0 would have it (JC API, setOutgoing). */
    static final short ANY_SHORT = 256;

    static final short ANY_EXTENDED = Short.MAX_VALUE;

    /** The most data a command can have: an applet's buffer is an array of Java Card, with 7 bytes of header in it. */
    static final int MOST_DATA = Short.MAX_VALUE - 7;

    boolean extended;

    /** Nc: the number of data bytes. */
    int dataLength;

    int dataOffset;

    /** Ne as an applet is told. */
    short expected;

    /** The third byte of the parameters as it stands in the buffer of an applet: Lc, or Le in case 2, or 0. */
    byte p3;

    /** Reads a command; false when it is none of the cases. */
    boolean parse(byte[] command) {
        int length = command.length;
        extended = false;
        dataLength = 0;
        dataOffset = 4;
        expected = ANY_SHORT;
        p3 = 0;
        if (length < 5) {
            return length == 4;
        }
        int first = command[4] & 0xFF;
        if (length == 5) {
            expected = first == 0 ? ANY_SHORT : (short) first;
            p3 = command[4];
            return true;
        }
        if (first == 0) {
            return parseExtended(command, length);
        }
        dataLength = first;
        dataOffset = 5;
        p3 = command[4];
        if (length == 6 + first) {
            int le = command[length - 1] & 0xFF;
            expected = le == 0 ? ANY_SHORT : (short) le;
            return true;
        }
        return length == 5 + first;
    }

    private boolean parseExtended(byte[] command, int length) {
        extended = true;
        expected = ANY_EXTENDED;
        if (length < 7) {
            return false;
        }
        int second = (command[5] & 0xFF) << 8 | command[6] & 0xFF;
        if (length == 7) {
            expected = limited(second);
            return true;
        }
        if (second == 0 || second > MOST_DATA) {
            return false;
        }
        dataLength = second;
        dataOffset = 7;
        if (length == 9 + second) {
            expected = limited((command[length - 2] & 0xFF) << 8 | command[length - 1] & 0xFF);
            return true;
        }
        return length == 7 + second;
    }

    private static short limited(int le) {
        return le == 0 || le > ANY_EXTENDED ? ANY_EXTENDED : (short) le;
    }
}
