package corpus.ints;

public class Ints {
    private int total;
    private short step = 3;
    private static int calls = 0x12345678;
    private static final int[] TABLE = {1, -1, 0x10000, Integer.MIN_VALUE};
    private static final int LIMIT = 100000;

    public static int arithmetic(int i, int j, short s, byte b) {
        int result = i + j * s - (b << 20);
        result ^= i >>> 3;
        result -= j >> b;
        if (s != 0) {
            result += i / s + j % s;
        }
        result = -result & ~b | s;
        return result;
    }

    public static short down(int i, short s) {
        short low = (short) i;
        byte lower = (byte) (i >> 8);
        return (short) (low + lower + (short) (s * s) + (short) (i % 1000));
    }

    public static int counted(short from, short to) {
        int sum = 0;
        for (int i = from; i < to; i += 1000) {
            sum += i;
            sum++;
        }
        for (int k = 0; k < 300; k++) {
            sum -= k * k;
        }
        return sum;
    }

    public static int widened(short a, short b, byte c) {
        int product = a * b;
        int sum = a + b + c;
        return product / 7 + (sum > 40000 ? sum : product) + (a + b) / 2;
    }

    public static boolean compared(int i, int j, short s) {
        return i < j && i != s || j > LIMIT ^ i == 0 || (i & 0x8000) != 0 && s <= j;
    }

    public static int switched(int i) {
        switch (i) {
            case -1:
                return 1;
            case 0:
                return 2;
            case 1:
                return 3;
            case 0x10000:
                return 4;
            case Integer.MAX_VALUE:
                return 5;
            default:
                return i % 4;
        }
    }

    private int add(int amount, short s, int more) {
        total += amount;
        total -= s;
        int old = total++;
        return old ^ more + step;
    }

    public static int objects(int amount, short s) {
        Ints ints = new Ints();
        calls += amount;
        ints.total = calls--;
        int[] array = new int[4];
        array[1] = amount;
        array[1] += s;
        array[(short) (s & 3)] ^= ints.add(amount, s, calls);
        array[2] = array[3] = TABLE[2] + s;
        int got = array[1]++;
        return got + array[(short) (s & 3)] + TABLE[(short) (amount & 3)] - ints.add(s, (short) amount, 1);
    }

    public static int each(int[] numbers) {
        int best = numbers[0];
        for (int number : numbers) {
            best = number > best ? number : best;
        }
        return best;
    }

    public static short mixedCondition(boolean z, int i, short s) {
        int chosen = z ? i : s;
        short other = (short) (z ? i : s);
        return (short) (chosen + other);
    }
}
