package opentsm.runtime;

import java.lang.reflect.Array;

/**
 * The persistent writes of a card, one by one: how many there were, at which addresses, and at which one the power is cut.
 *
 * <p>When the power is cut, the write does not happen, nor does any later one.
 *
 * <p>Spec: JCRE 3.0.5 clause 7.
 */
final class Writes {
    private boolean counting;
    private long counted;

    /** The number of the write at which the power is cut; 0 for none. */
    private long cutAt;

    private boolean cut;

    /** What is kept of the card may differ from what is on it. */
    private boolean changed;

    /** Tells whether anything here wants to know of writes. */
    boolean areWanted() {
        return counting || cutAt != 0 || cut;
    }

    /** Counts from now on, in all and for each address. */
    void count() {
        counting = true;
    }

    /** Returns how many were counted. */
    long counted() {
        return counted;
    }

    /** Cuts the power at the n-th write from now; 0 takes that back. */
    void cutPower(long atWrite) {
        cutAt = atWrite == 0 ? 0 : counted + atWrite;
    }

    /** Tells whether the power was cut, and no reset has brought it back. */
    boolean isCut() {
        return cut;
    }

    /** One more write, unless the power is cut here, or was before. */
    void next() {
        if (cut) {
            throw new PowerCut();
        }
        changed = true;
        if (counting || cutAt != 0) {
            counted++;
        }
        if (cutAt != 0 && counted == cutAt) {
            cutAt = 0;
            cut = true;
            throw new PowerCut();
        }
    }

    /** Counts a write at its address. */
    void wear(Heap.Item item, int offset) {
        if (counting) {
            if (item.wear == null || offset >= item.wear.length) {
                int[] longer = new int[Math.max(offset + 1, sizeOf(item))];
                if (item.wear != null) {
                    System.arraycopy(item.wear, 0, longer, 0, item.wear.length);
                }
                item.wear = longer;
            }
            item.wear[offset]++;
        }
    }

    private static int sizeOf(Heap.Item item) {
        return item.object.getClass().isArray() ? Array.getLength(item.object) : 0;
    }

    /** Has what is kept of the card taken anew: something of it changed, by a write or otherwise. */
    void outdate() {
        changed = true;
    }

    /** Tells whether anything may have been written since this was asked last. */
    boolean takeChanged() {
        boolean was = changed;
        changed = false;
        return was;
    }

    /** Stops the card until it is reset. */
    void lockUp() {
        cut = true;
        throw new PowerCut();
    }

    /** Stops the card until it is reset: what it wrote could not be kept. */
    void lose() {
        cut = true;
        changed = true;
    }

    /** The power is back. */
    void goOn() {
        cut = false;
    }
}
