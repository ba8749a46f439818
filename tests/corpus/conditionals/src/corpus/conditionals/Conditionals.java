package corpus.conditionals;

public class Conditionals {
    public static short mixed(byte b, short s, boolean z) {
        short first = z ? b : s;
        short second = z ? s : 100;
        byte third = z ? b : 5;
        short fourth = (short) ((z ? b : s) + (b > 0 ? 1 : s));
        short fifth = b < s ? (s < 0 ? b : -7) : z ? 3 : b;
        return (short) (first ^ second ^ third ^ fourth ^ fifth);
    }

    public static boolean logic(boolean a, boolean b, byte x, short y) {
        boolean c = a && x > y || b && !(x <= 3) ^ a;
        boolean d = a & b | c ^ (x == y);
        a |= x < 0;
        b &= y > 0;
        a ^= d;
        return (a || !b) && (c != d) || (x & y) != 0 == a;
    }

    public static boolean bits(byte flags, short mask) {
        return (flags & mask) == mask || (flags & 0x80) != 0 && (mask & (short) 0x8000) == 0;
    }

    public static short unsigned(byte high, byte low) {
        short value = (short) ((high & 0xFF) << 8 | low & 0xFF);
        return (high & 0xFF) > (low & 0xFF) ? value : (short) ~value;
    }

    public static byte nibbles(byte value) {
        return (byte) ((byte) (value & 0x0F) << 4 | (value & 0xF0) >> 4);
    }

    public static short argument(boolean z, byte b) {
        return pick(z ? b : (byte) 3, z ? (short) 300 : b);
    }

    private static short pick(byte b, short s) {
        return (short) (b * 1000 + s);
    }

    public static short compared(short a, short b) {
        short result = 0;
        if (a < b) {
            result |= 1;
        }
        if (a <= 0) {
            result |= 2;
        }
        if ((short) (a + b) >= 0) {
            result |= 4;
        }
        if (0 > b) {
            result |= 8;
        }
        if (a != 0 && (short) (b / a) > 2) {
            result |= 16;
        }
        while (a > 10) {
            a >>= 1;
            result++;
        }
        return result;
    }
}
