package corpus.switches;

public class Switches {
    public static short dense(short key) {
        switch (key) {
            case -3:
                return 1;
            case -2:
                return 2;
            case -1:
                return 4;
            case 0:
                return 8;
            case 1:
                return 16;
            case 2:
                return 32;
            case 4:
                return 64;
            default:
                return -1;
        }
    }

    public static short sparse(short key) {
        switch (key) {
            case -32768:
                return 1;
            case -1000:
                return 2;
            case 0:
                return 3;
            case 7:
                return 4;
            case 1000:
                return 5;
            case 32767:
                return 6;
        }
        return 0;
    }

    public static short falling(byte key) {
        short sum = 0;
        switch (key) {
            case 3:
                sum += 1;
            default:
                sum += 10;
            case 4:
                sum += 100;
                break;
            case 5:
            case 6:
                sum += 1000;
        }
        return sum;
    }

    public static short single(byte key) {
        switch (key) {
            case 127:
                return 1;
        }
        return 2;
    }

    public static short empty(byte key) {
        switch (key) {
            default:
        }
        return key;
    }

    public static short onExpression(byte key, short amount) {
        switch ((byte) (key + amount)) {
            case 0:
                return 1;
            case 1:
                switch (amount & 0x0F) {
                    case 1:
                        return 11;
                    case 15:
                        return 115;
                    default:
                        return 100;
                }
            case -128:
                return 128;
            case 100:
                break;
            default:
                return (short) (key ^ amount);
        }
        return 0;
    }

    /** A card's short is signed: the constants are written with a cast. */
    public static short words(short sw) {
        switch (sw) {
            case (short) 0x9000:
                return 0;
            case (short) 0x6A80:
            case (short) 0x6A82:
                return 1;
            case (short) 0x8001:
                return 2;
            default:
                return 3;
        }
    }

    public static short unsigned(byte value) {
        switch (value & 0xFF) {
            case 0x80:
                return 1;
            case 0xFF:
                return 2;
            case 0x7F:
                return 3;
            default:
                return 4;
        }
    }
}
