package corpus.library;

/** A public abstract class whose methods have each visibility. */
public abstract class Shape implements Measured {
    public static final byte SIDES_UNKNOWN = -1;
    public static byte made;
    protected static short weightSum;
    static byte hidden;

    public byte tag;
    protected short weight;
    protected Object owner;
    short secret;
    private byte sealed;
    private Object keeper;

    protected Shape(byte tag, short weight) {
        this.tag = tag;
        this.weight = weight;
        weightSum += weight;
        made++;
    }

    Shape() {
        this((byte) 7, (short) 70);
        hidden++;
        keeper = this;
        sealed = (byte) (hidden + secret);
    }

    public abstract short area();

    public short weigh() {
        return (short) (weight + hook());
    }

    /** Package-visible: a method of this name in another package overrides nothing. */
    short hook() {
        return 1;
    }

    protected short twice(short number) {
        return (short) (number * 2 + sealed);
    }

    public final boolean owned() {
        return owner != null || keeper != null;
    }

    public static Shape square(short side) {
        return new Square(side);
    }

    public static short sum() {
        return weightSum;
    }
}
