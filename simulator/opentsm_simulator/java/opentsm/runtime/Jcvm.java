package opentsm.runtime;

import javacard.framework.JCSystem;
import javacard.framework.SystemException;

/**
 * What translated Java Card code calls: instructions that need more than the JVM's own.
 *
 * <p>Its references are Objects; what they are is seen here. The exceptions are those of the instructions: null, an index
 * out of bounds, a class that does not fit.
 *
 * <p>Spec: Java Card VM Specification 3.1, Classic Edition, clause 7.5.
 */
public final class Jcvm {
    /** Element types of arrays in the StaticField component (JCVM clause 6.11). */
    private static final int BOOLEAN = 2;

    private static final int BYTE = 3;
    private static final int SHORT = 4;

    /**
     * Whether any card of this process wants to know of writes now; code asks before each. A plain field: whoever switches
     * it on is the thread whose writes matter.
     */
    public static boolean watched;

    private static int watchers;

    private Jcvm() {}

    static synchronized void watch(boolean more) {
        watchers += more ? 1 : -1;
        watched = watchers != 0;
    }

    /** Hears of an object that code made. */
    public static void made(Object object) {
        CardRuntime.current().memory.made(object);
    }

    /** Hears of a write to an array, before it happens. */
    public static void writes(Object array, int index) {
        if (array != null) {
            CardRuntime.current().memory.element(array, index);
        }
    }

    /** Hears of a write to a field, before it happens; a static one has no object. */
    public static void writes(Object object, Class<?> owner, String name) {
        CardRuntime.current().memory.field(object, owner, name);
    }

    /** Begins a call of an API that gets these references; {@link ApiWrites} says how it writes. */
    public static Object enter(Object[] references, int how) {
        return CardRuntime.current().memory.apis.enter(references, how);
    }

    /** Ends what {@link #enter} began; {@link ApiWrites} says how it writes. */
    public static void leave(Object call, int how) {
        if (call != null) {
            CardRuntime.current().memory.apis.leave((ApiCall) call, how);
        }
    }

    /** Returns how many steps translated code may go on for, or ends it. */
    public static int portion() {
        return CardRuntime.current().budget.portion();
    }

    /** Lets nothing that ends code without end, or too deep, or without power, stop at an applet's handler. */
    public static void caught(Object thrown) {
        if (thrown instanceof Runaway || thrown instanceof PowerCut || thrown instanceof VirtualMachineError) {
            throw (Error) thrown;
        }
    }

    /** Refuses to have a reference stored that is for the moment only (JCRE clauses 6.2.1, 6.2.2). */
    public static void stored(Object value) {
        CardRuntime.current().firewall.stored(value);
    }

    /** Refuses to have an array made that the current context could not access now (JCRE clause 6.1.5). */
    public static void makesTransient(int event) {
        if (event == JCSystem.CLEAR_ON_DESELECT && !CardRuntime.current().contexts.isSelected()) {
            SystemException.throwIt(SystemException.ILLEGAL_TRANSIENT);
        }
    }

    /** Returns the firewall, for code that asks it from the start; null when the card has none. */
    public static Firewall wall() {
        Firewall firewall = CardRuntime.current().firewall;
        return firewall.isEnabled() ? firewall : null;
    }

    /** Does what JCSystem's method of this name does, which jCardSim leaves out (JC API 3.0.5). */
    public static void getAvailableMemory(short[] buffer, short offset, byte type) {
        CardRuntime card = CardRuntime.current();
        if (type < Heap.PERSISTENT || type > Heap.CLEAR_ON_DESELECT) {
            SystemException.throwIt(SystemException.ILLEGAL_VALUE);
        }
        int bytes = card.memory.limits.available(type, card.contexts.current);
        buffer[offset] = (short) (bytes >> 16);
        buffer[(short) (offset + 1)] = (short) bytes;
    }

    public static Object aaload(Object array, int index) {
        return ((Object[]) array)[index];
    }

    public static int baload(Object array, int index) {
        if (array instanceof byte[]) {
            return ((byte[]) array)[index];
        }
        return ((boolean[]) array)[index] ? 1 : 0;
    }

    public static int saload(Object array, int index) {
        return ((short[]) array)[index];
    }

    public static int iaload(Object array, int index) {
        return ((int[]) array)[index];
    }

    public static void aastore(Object array, int index, Object value) {
        ((Object[]) array)[index] = value;
    }

    public static void bastore(Object array, int index, int value) {
        if (array instanceof byte[]) {
            ((byte[]) array)[index] = (byte) value;
        } else {
            ((boolean[]) array)[index] = (value & 1) != 0;
        }
    }

    public static void sastore(Object array, int index, int value) {
        ((short[]) array)[index] = (short) value;
    }

    public static void iastore(Object array, int index, int value) {
        ((int[]) array)[index] = value;
    }

    public static int arraylength(Object array) {
        if (array instanceof byte[]) {
            return ((byte[]) array).length;
        }
        if (array instanceof short[]) {
            return ((short[]) array).length;
        }
        if (array instanceof boolean[]) {
            return ((boolean[]) array).length;
        }
        if (array instanceof int[]) {
            return ((int[]) array).length;
        }
        return ((Object[]) array).length;
    }

    public static int icmp(int left, int right) {
        return Integer.compare(left, right);
    }

    /** Makes an array of a static field of a package, whose it is. */
    public static Object array(Class<?> code, int type, int length) {
        Object array = array(type, length);
        PackageClassLoader loader = (PackageClassLoader) code.getClassLoader();
        loader.memory.madeStatic(array, loader.loadFile);
        return array;
    }

    private static Object array(int type, int length) {
        switch (type) {
            case BOOLEAN:
                return new boolean[length];
            case BYTE:
                return new byte[length];
            case SHORT:
                return new short[length];
            default:
                return new int[length];
        }
    }

    /** Fills a part of an array of a static field: bytes, high ones first, one in a character. */
    public static void fill(Object array, int from, String bytes) {
        int size = array instanceof int[] ? 4 : array instanceof short[] ? 2 : 1;
        for (int i = 0; i < bytes.length() / size; i++) {
            int value = 0;
            for (int j = 0; j < size; j++) {
                value = value << 8 | bytes.charAt(i * size + j);
            }
            if (size == 4) {
                ((int[]) array)[from + i] = value;
            } else if (size == 2) {
                ((short[]) array)[from + i] = (short) value;
            } else {
                bastore(array, from + i, value);
            }
        }
    }
}
