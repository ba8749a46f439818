package opentsm.runtime;

/** Ends code that does not end by itself; no handler of an applet stops it ({@link Jcvm#caught}). */
final class Runaway extends Error {
    private static final long serialVersionUID = 1;

    Runaway() {
        super("a command took more steps than the card allows", null, false, true);
    }
}
