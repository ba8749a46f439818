package corpus.attempts;

import javacard.framework.CardRuntimeException;
import javacard.framework.ISOException;
import javacard.framework.UserException;

class Checked extends UserException {
    private final byte detail;

    Checked(byte detail) {
        super((short) 77);
        this.detail = detail;
    }

    byte detail() {
        return detail;
    }
}

public class Attempts {
    private static short trace;

    private static byte[] pair() {
        return new byte[2];
    }

    private static short risky(byte which) throws UserException {
        trace = (short) (trace * 3 + which);
        switch (which & 7) {
            case 0:
                return 10;
            case 1:
                ISOException.throwIt((short) 0x6A80);
            case 2:
                UserException.throwIt((short) 5);
            case 3:
                throw new Checked(which);
            case 4:
                return pair()[which];
            case 5:
                return (short) (7 / (which - 5));
            case 6:
                byte[] none = null;
                return none[0];
            default:
                throw new CardRuntimeException(which);
        }
    }

    public static short caught(byte which) {
        trace = 1;
        try {
            return risky(which);
        } catch (Checked e) {
            return (short) (e.detail() + e.getReason());
        } catch (UserException e) {
            return e.getReason();
        } catch (ISOException e) {
            return (short) (e.getReason() + 1);
        } catch (ArithmeticException e) {
            return -2;
        } catch (IndexOutOfBoundsException e) {
            return -3;
        } finally {
            trace += 100;
        }
    }

    public static short nested(byte first, byte second) {
        trace = 0;
        short result = 0;
        try {
            try {
                result += risky(first);
                try {
                    result += risky(second);
                } finally {
                    result += 1;
                    trace ^= 0x11;
                }
            } catch (ISOException e) {
                result += 1000;
                risky(second);
            } finally {
                result *= 2;
            }
        } catch (UserException e) {
            result -= e.getReason();
        } catch (RuntimeException e) {
            result -= 9;
        } finally {
            trace += result;
        }
        return (short) (result ^ trace);
    }

    public static short loop(byte start) {
        short sum = 0;
        for (byte i = start; i < (byte) (start + 6); i++) {
            try {
                if ((i & 3) == 1) {
                    continue;
                }
                if (i == 100) {
                    break;
                }
                sum += risky(i);
            } catch (UserException e) {
                sum += 1;
                continue;
            } catch (RuntimeException e) {
                sum -= 1;
            } finally {
                sum <<= 1;
            }
            sum++;
        }
        return sum;
    }

    @SuppressWarnings("finally")
    public static short overruled(byte which) {
        try {
            return risky(which);
        } catch (UserException e) {
            throw new CardRuntimeException((short) 3);
        } finally {
            if (which > 20) {
                return 42;
            }
        }
    }

    public static short rethrown(byte which) {
        short seen = 0;
        try {
            try {
                seen = risky(which);
            } catch (RuntimeException e) {
                seen = 1;
                throw e;
            }
        } catch (UserException e) {
            seen += 2;
        } catch (ISOException e) {
            seen += 4;
        }
        return seen;
    }

    public static short uncaught(byte which) {
        trace = 0;
        try {
            if (which < 0) {
                throw new Checked(which);
            }
            return risky(which);
        } catch (UserException e) {
            return trace;
        }
    }
}
