package corpus.compound;

public class Compound {
    private byte small;
    private short large;
    private static byte tiny;
    private static short wide;
    private final byte[] bytes = new byte[3];
    private final short[] shorts = new short[3];

    public static byte bytes(byte b, byte x) {
        b += x;
        b -= 3;
        b *= x;
        b <<= 1;
        b |= 0x10;
        b ^= x;
        b >>= 1;
        b &= 0x7E;
        b >>>= 1;
        if (x != 0) {
            b /= x;
            b %= 7;
        }
        b++;
        --b;
        return b--;
    }

    public static short shorts(short s, short x, byte b) {
        s += x;
        s += 1;
        s -= b;
        s *= 3;
        s <<= b;
        s |= x;
        s ^= 0x5A5A;
        s >>= 3;
        s >>>= 2;
        if (x != 0) {
            s /= x;
        }
        s %= 100;
        s += 127;
        s += 128;
        s -= 200;
        return s++;
    }

    public static short arrays(byte[] b, short[] s, byte x) {
        short at = 0;
        b[at] += x;
        b[++at]++;
        b[at++] -= 2;
        b[at] <<= 2;
        b[at] >>>= 1;
        s[at] += b[at];
        s[at--] *= x;
        s[at]++;
        short old = s[at]++;
        byte before = --b[at];
        s[0] ^= s[1] = (short) (s[2] + 5);
        b[0] = b[1] = b[2];
        return (short) (old + before + at);
    }

    public static short fields(byte x, short y) {
        Compound c = new Compound();
        c.small += x;
        c.large -= y;
        c.small++;
        short old = c.large++;
        c.bytes[1] += c.small *= 2;
        c.shorts[2] = c.large += 3;
        c.shorts[1] = c.small--;
        tiny = x;
        tiny += y;
        wide = tiny++;
        wide <<= 3;
        return (short) (c.small + c.large + old + c.bytes[1] + c.shorts[2] + c.shorts[1] + tiny + wide);
    }

    public static short chained(byte x) {
        short a;
        short b;
        byte c;
        a = b = c = x;
        a += b -= c *= 2;
        return (short) (a ^ b ^ c);
    }
}
