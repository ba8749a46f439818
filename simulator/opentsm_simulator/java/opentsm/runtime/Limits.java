package opentsm.runtime;

import java.lang.reflect.Array;
import java.util.Map;
import javacard.framework.SystemException;

/**
 * How much memory the card has, what each object takes of it, and who may have how much.
 *
 * <p>Objects and arrays have a header and are rounded up to a boundary, as the profile says; fields and elements take what
 * a Java Card of 16 bits gives them. An instance may take no more than its quotas (C7, C8), and nobody may take what is
 * reserved for another (D7, D8).
 *
 * <p>Spec: GP Card 2.3.1 clauses 9.7, 11.5.2.3.7; JC API, JCSystem.getAvailableMemory.
 */
final class Limits {
    private static final int VOLATILE_QUOTA = 0xC7;
    private static final int NON_VOLATILE_QUOTA = 0xC8;
    private static final int VOLATILE_RESERVED = 0xD7;
    private static final int NON_VOLATILE_RESERVED = 0xD8;

    private final CardRuntime card;
    private int nonVolatileBytes = 1 << 20;
    private int resetBytes = 1 << 16;
    private int deselectBytes = 1 << 16;
    private int objectHeaderBytes = 8;
    private int arrayHeaderBytes = 8;
    private int boundaryBytes = 1;

    Limits(CardRuntime card) {
        this.card = card;
    }

    void setSizes(int nonVolatile, int reset, int deselect) {
        nonVolatileBytes = nonVolatile;
        resetBytes = reset;
        deselectBytes = deselect;
    }

    void setModel(int objectHeader, int arrayHeader, int boundary) {
        objectHeaderBytes = objectHeader;
        arrayHeaderBytes = arrayHeader;
        boundaryBytes = boundary;
    }

    /** Returns what an object takes. */
    int bytesOf(Object object) {
        if (object instanceof Class) {
            int bytes = 0;
            for (Slot slot : Slot.of((Class<?>) object).values()) {
                bytes += slot.isStatic() ? slot.bytes : 0;
            }
            return bytes;
        }
        if (!object.getClass().isArray()) {
            return rounded(objectHeaderBytes + ApiState.bytesOf(object) + Slot.bytesOf(object.getClass()));
        }
        Class<?> element = object.getClass().getComponentType();
        int each = element == byte.class || element == boolean.class ? 1 : element == int.class ? 4 : 2;
        return rounded(arrayHeaderBytes + Array.getLength(object) * each);
    }

    private int rounded(int bytes) {
        return (bytes + boundaryBytes - 1) / boundaryBytes * boundaryBytes;
    }

    int size(byte kind) {
        return kind == Heap.PERSISTENT ? nonVolatileBytes : kind == Heap.CLEAR_ON_DESELECT ? deselectBytes : resetBytes;
    }

    /** Returns the bytes of a kind of memory that nothing is in, and that is reserved for nobody but an instance. */
    int free(byte kind, ApplicationEntry instance) {
        int free = size(kind) - card.memory.heap.used(kind);
        boolean persistent = kind == Heap.PERSISTENT;
        if (persistent) {
            free -= codeBytes();
        }
        for (ApplicationEntry other : card.registry.applications()) {
            if (other != instance && !other.memoryResources.isEmpty()) {
                long reserved = amount(other, persistent ? NON_VOLATILE_RESERVED : VOLATILE_RESERVED, 0);
                free -= (int) Math.max(0, Math.min(reserved - usedBy(other, persistent), size(kind)));
            }
        }
        return free;
    }

    /** Returns how many bytes more an instance may take; what belongs to no instance has no quota. */
    int available(byte kind, ApplicationEntry instance) {
        int free = free(kind, instance);
        if (instance == null || instance.memoryResources.isEmpty()) {
            return Math.max(0, free);
        }
        boolean persistent = kind == Heap.PERSISTENT;
        long quota = amount(instance, persistent ? NON_VOLATILE_QUOTA : VOLATILE_QUOTA, Integer.MAX_VALUE);
        return (int) Math.max(0, Math.min(free, quota - usedBy(instance, persistent)));
    }

    /** Lets an instance have an object, or has it refused (JC API, SystemException.NO_RESOURCE). */
    void require(Object object, byte kind, ApplicationEntry instance) {
        if (kind != Heap.GLOBAL && bytesOf(object) > available(kind, instance)) {
            SystemException.throwIt(SystemException.NO_RESOURCE);
        }
    }

    /** Requires that what is to be reserved for an instance is there (6A84). */
    void requireReserved(ApplicationEntry instance) {
        long persistent = amount(instance, NON_VOLATILE_RESERVED, 0) - usedBy(instance, true);
        long transients = amount(instance, VOLATILE_RESERVED, 0) - usedBy(instance, false);
        Sw.require(persistent <= free(Heap.PERSISTENT, instance)
                && transients <= Math.min(free(Heap.CLEAR_ON_RESET, instance), free(Heap.CLEAR_ON_DESELECT, instance)),
                Sw.NOT_ENOUGH_MEMORY);
    }

    /** Requires what a load file says that it takes at least: code, volatile and non-volatile data (table 11-49). */
    void requireForLoad(Map<Integer, Long> minimum) {
        long persistent = minimum.getOrDefault(0xC6, 0L) + minimum.getOrDefault(NON_VOLATILE_QUOTA, 0L);
        long transients = minimum.getOrDefault(VOLATILE_QUOTA, 0L);
        Sw.require(persistent <= free(Heap.PERSISTENT, null)
                && transients <= Math.min(free(Heap.CLEAR_ON_RESET, null), free(Heap.CLEAR_ON_DESELECT, null)),
                Sw.NOT_ENOUGH_MEMORY);
    }

    void requireCode(int bytes) {
        Sw.require(bytes <= free(Heap.PERSISTENT, null), Sw.NOT_ENOUGH_MEMORY);
    }

    private int usedBy(ApplicationEntry instance, boolean persistent) {
        Heap heap = card.memory.heap;
        return persistent ? heap.used(instance, Heap.PERSISTENT)
                : heap.used(instance, Heap.CLEAR_ON_RESET) + heap.used(instance, Heap.CLEAR_ON_DESELECT);
    }

    private static long amount(ApplicationEntry instance, int tag, long otherwise) {
        return instance.memoryResources.getOrDefault(tag, otherwise);
    }

    private int codeBytes() {
        int bytes = 0;
        for (LoadFileEntry loadFile : card.registry.loadFiles()) {
            bytes += loadFile.codeBytes;
        }
        return bytes;
    }
}
