package opentsm.runtime;

/** The card lost its power at a write: nothing of it goes on, and no handler of an applet stops this. */
final class PowerCut extends Error {
    private static final long serialVersionUID = 1L;

    PowerCut() {
        super("power cut", null, false, false);
    }
}
