package opentsm.runtime;

import javacard.framework.ISOException;
import javacard.framework.Util;
import opentsm.open.Open;

/**
 * What the card has left, as it tells it ({@link Limits}).
 *
 * <p>Spec: ETSI TS 102 226 clause 8.2.1.7.2.
 */
final class Resources {
    private final CardRuntime card;

    Resources(CardRuntime card) {
        this.card = card;
    }

    short get(byte resource, byte[] buffer, short offset) {
        switch (resource) {
            case Open.RESOURCE_APPLICATIONS:
                return Util.setShort(buffer, offset, (short) card.registry.applications().size());
            case Open.RESOURCE_FREE_NON_VOLATILE:
                return put(card.memory.limits.free(Heap.PERSISTENT, null), buffer, offset);
            case Open.RESOURCE_FREE_VOLATILE:
                return put(freeVolatile(), buffer, offset);
            default:
                ISOException.throwIt(Sw.WRONG_DATA);
                return offset;
        }
    }

    /** Returns bytes of non-volatile memory in all and free, and of volatile memory in all and free. */
    int[] figures() {
        Limits limits = card.memory.limits;
        int all = limits.size(Heap.CLEAR_ON_RESET) + limits.size(Heap.CLEAR_ON_DESELECT);
        return new int[] {limits.size(Heap.PERSISTENT), limits.free(Heap.PERSISTENT, null), all, freeVolatile()};
    }

    private int freeVolatile() {
        Limits limits = card.memory.limits;
        return limits.free(Heap.CLEAR_ON_RESET, null) + limits.free(Heap.CLEAR_ON_DESELECT, null);
    }

    private static short put(int free, byte[] buffer, short offset) {
        int shown = Math.max(free, 0);
        Util.setShort(buffer, offset, (short) (shown >> 16));
        return Util.setShort(buffer, (short) (offset + 2), (short) shown);
    }
}
