package opentsm.runtime;

import java.util.concurrent.TimeUnit;

/**
 * What one command may take: steps of translated code (calls of methods that loop, or call more than a few others, and
 * 4096 turns each of a loop that does not end by itself), and time.
 *
 * <p>A real card that runs without end is mute until its reader resets it; so is this one, and its host lives on. Code
 * counts in portions, so that a step costs little.
 */
final class Budget {
    private static final long MOST_NANOSECONDS = TimeUnit.SECONDS.toNanos(20);
    private static final int PORTION = 1 << 12;
    private static final int PORTIONS = 16;

    /** The most steps of a command. */
    private long most = 100_000_000L;

    private transient long left;
    private transient long begun;
    private transient boolean exhausted;

    void setMost(long steps) {
        most = steps;
    }

    /** Begins a command. */
    void begin() {
        left = most;
        begun = System.nanoTime();
    }

    /** Returns the next portion of steps; ends the command when there is none. */
    int portion() {
        if (exhausted || left <= 0 || System.nanoTime() - begun > MOST_NANOSECONDS) {
            exhausted = true;
            throw new Runaway();
        }
        // Each package that runs takes portions of its own: they must be small beside the whole.
        int portion = (int) Math.min(PORTION, most / PORTIONS + 1);
        left -= portion;
        return portion;
    }

    /** Looks at what code ended with: recursion without end, or more memory than there is, is a runaway too. */
    void failed(Throwable thrown) {
        exhausted |= thrown instanceof VirtualMachineError;
    }

    /** Tells whether the card is mute. */
    boolean isExhausted() {
        return exhausted;
    }

    /** A reset gives the card its voice back. */
    void reset() {
        exhausted = false;
    }
}
