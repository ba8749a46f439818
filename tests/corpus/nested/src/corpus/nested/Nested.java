package corpus.nested;

public class Nested {
    private short base;
    private static byte count;
    private final byte[] log = new byte[4];

    private Nested(short base) {
        this.base = base;
    }

    private short secret(short by) {
        return (short) (base * by);
    }

    private static byte next() {
        return ++count;
    }

    class Inner {
        private short own = 3;

        short both() {
            base += own;
            log[1]++;
            log[own] -= 2;
            return (short) (base + secret((short) 2) + log[1] + log[3]);
        }

        class Deeper {
            short all() {
                own++;
                base--;
                return (short) (base * 100 + own * 10 + next());
            }
        }
    }

    static class Pair {
        private byte first;
        private short second;

        private Pair(byte first, short second) {
            this.first = first;
            this.second = second;
        }

        static Pair of(byte first, short second) {
            return new Pair(first, second);
        }
    }

    interface Operation {
        short apply(short a, short b);
    }

    private static Operation chosen(byte which, final short extra) {
        switch (which) {
            case 0:
                return new Operation() {
                    public short apply(short a, short b) {
                        return (short) (a + b + extra);
                    }
                };
            case 1:
                return new Operation() {
                    private short calls;

                    public short apply(short a, short b) {
                        calls++;
                        return (short) (a - b - extra + calls);
                    }
                };
            default:
                class Local implements Operation {
                    public short apply(short a, short b) {
                        return (short) (a ^ b ^ extra);
                    }
                }
                return new Local();
        }
    }

    public static short operate(byte which, short a, short b, short extra) {
        Operation operation = chosen((byte) (which & 3), extra);
        return (short) (operation.apply(a, b) + operation.apply(b, a));
    }

    public static short inner(short base) {
        Nested outer = new Nested(base);
        Nested.Inner inner = outer.new Inner();
        short sum = inner.both();
        sum += inner.both();
        Nested.Inner.Deeper deeper = inner.new Deeper();
        count = 0;
        return (short) (sum + deeper.all() + outer.base);
    }

    public static short pair(byte first, short second) {
        Pair pair = Pair.of(first, second);
        pair.first += 3;
        pair.second -= pair.first;
        return (short) (pair.first ^ pair.second--);
    }

    public static short nothing() {
        Nested none = null;
        return none.new Inner().both();
    }
}
