package corpus.library;

/** Adds methods behind those it inherits, and overrides a package-visible one. */
public abstract class Solid extends Shape implements Sized {
    protected Solid(short weight) {
        super((byte) 3, weight);
    }

    short hook() {
        return 100;
    }

    public abstract short volume();

    protected short depth() {
        return 5;
    }
}
