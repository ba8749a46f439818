package corpus.statics;

import javacard.framework.APDU;
import javacard.framework.Applet;

public class Statics extends Applet {
    public static final byte CONSTANT = 0x21;
    static final short FOLDED = (short) (CONSTANT * 100 + 7);

    private static final byte[] BYTES = {1, -2, 3, (byte) 0x84, FOLDED & 0x7F};
    private static final short[] SHORTS = {1000, -1000, (short) 0xABCD};
    private static final boolean[] FLAGS = {true, false, true};
    static final byte[] EMPTY = {};
    static byte[] zeros = new byte[6];
    static short[] later;
    static Object object = null;

    static byte plain;
    static byte set = -5;
    static short number = 0x1234;
    static boolean yes = true;
    static boolean no;
    static short computed;

    static {
        short sum = 0;
        for (byte i = 0; i < 3; i++) {
            sum += SHORTS[i];
        }
        computed = (short) (sum * 2);
        zeros[2] = 9;
    }

    public static void install(byte[] parameters, short offset, byte length) {
        new Statics().register();
    }

    public void process(APDU apdu) {
        later = new short[2];
    }

    public static short read(byte index) {
        short at = (short) (index & 1);
        return (short) (BYTES[at] * SHORTS[at] + (FLAGS[at] ? 5 : 6) + BYTES.length + EMPTY.length + zeros[2]);
    }

    public static short write(byte value, short amount) {
        plain += value;
        set ^= plain;
        number -= amount;
        yes = !yes;
        no |= value > 0;
        zeros[3] = (byte) (zeros[2] + plain);
        return (short) (plain + set + number + (yes ? 1 : 0) + (no ? 2 : 0) + computed + zeros[3] + FOLDED);
    }

    public static boolean fresh() {
        return later == null && object == null;
    }
}
