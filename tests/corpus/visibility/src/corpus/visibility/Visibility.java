package corpus.visibility;

class Base {
    short value = 1;
    protected byte trace;
    static short shared = 5;

    Base() {
        prepare();
        trace = (byte) (trace * 2 + 1);
    }

    void prepare() {
        value = 10;
    }

    public short visible() {
        return (short) (value + hidden() + own());
    }

    short hidden() {
        return 2;
    }

    private short own() {
        return 3;
    }

    protected short guarded(short by) {
        return (short) (by + shared);
    }

    static short made(short of) {
        return (short) (of * shared);
    }
}

class Middle extends Base {
    short value = 100;

    void prepare() {
        super.prepare();
        trace += 5;
    }

    short hidden() {
        return (short) (super.hidden() + value + super.value);
    }

    /** Not an override: the superclass's is private. */
    short own() {
        return 3000;
    }
}

final class Last extends Middle {
    private short extra;

    Last(short extra) {
        this.extra = extra;
        shared++;
    }

    Last(byte small) {
        this((short) (small * 2));
        extra -= made(small);
    }

    public short visible() {
        return (short) (super.visible() ^ extra);
    }

    protected short guarded(short by) {
        return (short) (super.guarded(by) - ((Base) this).value + this.value);
    }
}

public class Visibility {
    public static short all(byte small, short number) {
        Base.shared = 5;
        Base[] all = {new Base(), new Middle(), new Last(number), new Last(small)};
        short sum = 0;
        for (Base each : all) {
            sum += each.visible();
            sum ^= each.guarded(number);
            sum += each.trace;
            sum -= each.value;
        }
        return (short) (sum + ((Middle) all[2]).own() + Last.shared);
    }
}
