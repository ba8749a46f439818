package corpus.interfaces;

interface Named {
    byte NAME = 7;

    short name();
}

interface Aged extends Named {
    short BASE = 1000;

    short age(short now);
}

interface Ranked {
    boolean above(Ranked other);

    short rank();
}

/** Leaves Aged's methods open: calls to them through this class need them all the same. */
abstract class Being implements Aged, Ranked {
    protected short born;

    Being(short born) {
        this.born = born;
    }

    short both(short now) {
        return (short) (age(now) + name());
    }

    public boolean above(Ranked other) {
        return rank() > other.rank();
    }
}

class Person extends Being {
    Person(short born) {
        super(born);
    }

    public short name() {
        return NAME;
    }

    public short age(short now) {
        return (short) (now - born);
    }

    public short rank() {
        return born;
    }

    public boolean equals(Object other) {
        return other instanceof Person && ((Person) other).born == born;
    }
}

class Elder extends Person {
    Elder(short born) {
        super(born);
    }

    public short age(short now) {
        return (short) (super.age(now) + BASE);
    }

    public short rank() {
        return (short) (super.rank() - 50);
    }
}

public class Interfaces {
    private static Being make(short born) {
        return (born & 1) == 0 ? new Person(born) : new Elder(born);
    }

    public static short sum(short first, short second, short now) {
        Being[] all = new Being[] {make(first), make(second), null, new Elder(now)};
        short sum = 0;
        for (short i = 0; i < all.length; i++) {
            Named named = all[i];
            if (named == null) {
                continue;
            }
            sum += named.name();
            if (named instanceof Aged) {
                sum += ((Aged) named).age(now);
            }
            if (all[i] instanceof Elder) {
                sum ^= 0x55;
            }
            sum -= all[i].both(now);
        }
        return sum;
    }

    public static boolean higher(short first, short second) {
        Ranked a = make(first);
        Ranked b = make(second);
        return a.above(b) ^ a.equals(b);
    }

    public static short cast(short born) {
        Object object = make(born);
        try {
            return ((Elder) object).rank();
        } catch (ClassCastException e) {
            return -1;
        }
    }

    public static short kinds(short born) {
        Object[] things = new Object[5];
        things[0] = new byte[2];
        things[1] = new short[3];
        things[2] = new boolean[1];
        things[3] = new Being[] {make(born)};
        things[4] = make(born);
        short kinds = 0;
        for (short i = 0; i < 5; i++) {
            Object thing = things[i];
            kinds <<= 2;
            if (thing instanceof byte[]) {
                kinds |= ((byte[]) thing).length;
            }
            if (thing instanceof short[]) {
                kinds ^= ((short[]) thing).length;
            }
            if (thing instanceof boolean[]) {
                kinds += ((boolean[]) thing).length;
            }
            if (thing instanceof Being[]) {
                kinds += ((Being[]) thing)[0].rank();
            }
            if (thing instanceof Being) {
                kinds += ((Being) thing).born;
            }
        }
        return kinds;
    }
}
