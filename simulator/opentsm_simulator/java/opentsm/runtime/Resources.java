package opentsm.runtime;

import javacard.framework.ISOException;
import javacard.framework.Util;
import opentsm.open.Open;

/**
 * What the card has left, counted from what is there: the arrays and objects that applications reach, and their code.
 *
 * <p>Sizes are those of a Java Card of 16 bits. What the card has in all is fixed here, and no allocation is refused.
 *
 * <p>Spec: ETSI TS 102 226 clause 8.2.1.7.2.
 */
final class Resources {
    private static final int NON_VOLATILE_BYTES = 1 << 20;
    private static final int VOLATILE_BYTES = 1 << 17;

    private final CardRuntime card;

    Resources(CardRuntime card) {
        this.card = card;
    }

    short get(byte resource, byte[] buffer, short offset) {
        switch (resource) {
            case Open.RESOURCE_APPLICATIONS:
                return Util.setShort(buffer, offset, (short) card.registry.applications().size());
            case Open.RESOURCE_FREE_NON_VOLATILE:
                return put(NON_VOLATILE_BYTES - codeBytes() - persistentBytes(), buffer, offset);
            case Open.RESOURCE_FREE_VOLATILE:
                return put(VOLATILE_BYTES - bytes(false), buffer, offset);
            default:
                ISOException.throwIt(Sw.WRONG_DATA);
                return offset;
        }
    }

    /** Returns bytes of non-volatile memory in all and free, and of volatile memory in all and free. */
    int[] figures() {
        return new int[] {NON_VOLATILE_BYTES, NON_VOLATILE_BYTES - codeBytes() - persistentBytes(),
            VOLATILE_BYTES, VOLATILE_BYTES - bytes(false)};
    }

    private static short put(int free, byte[] buffer, short offset) {
        int shown = Math.max(free, 0);
        Util.setShort(buffer, offset, (short) (shown >> 16));
        return Util.setShort(buffer, (short) (offset + 2), (short) shown);
    }

    private int persistentBytes() {
        return bytes(true);
    }

    private int bytes(boolean persistent) {
        int bytes = 0;
        for (Heap.Item item : card.memory.heap.items()) {
            bytes += item.isPersistent() == persistent ? item.bytes : 0;
        }
        return bytes;
    }

    private int codeBytes() {
        int bytes = 0;
        for (LoadFileEntry loadFile : card.registry.loadFiles()) {
            bytes += loadFile.codeBytes;
        }
        return bytes;
    }
}
