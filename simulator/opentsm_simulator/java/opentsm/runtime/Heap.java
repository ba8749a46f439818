package opentsm.runtime;

import java.lang.reflect.Array;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import javacard.framework.JCSystem;
import javacard.framework.SystemException;

/**
 * Every object on the card that code of a package made: by new, as an array of a static field, or through an API.
 *
 * <p>There is no garbage collection, as on a card: an object stays until it is deleted, or the transaction is undone that
 * it was made in. Objects of the runtime's own, the APDU buffer among them, are none of the heap.
 *
 * <p>Spec: JCRE 3.0.5 clauses 5, 6.1.3 (who owns what), 7.6.3.
 */
public final class Heap {
    /** Kinds of objects; the first three are JCSystem.isTransient's answers. */
    static final byte PERSISTENT = JCSystem.NOT_A_TRANSIENT_OBJECT;

    static final byte CLEAR_ON_RESET = JCSystem.CLEAR_ON_RESET;
    static final byte CLEAR_ON_DESELECT = JCSystem.CLEAR_ON_DESELECT;
    static final byte GLOBAL = 3;

    /** More than any card has: what an applet takes without end must not be the memory of the card's host. */
    private static final int MOST_BYTES = 4 << 20;

    /** What each object and array takes beside its contents, in bytes. */
    private static final int HEADER_BYTES = 8;

    /** An object on the card. */
    static final class Item {
        /** The object itself; a class for its static fields. */
        final Object object;

        /** The instance that its memory is charged to; null for statics and their arrays, which are the package's. */
        final ApplicationEntry instance;

        /** The package in whose context it was made: its owner. Null for what the card was made with outside of any. */
        final LoadFileEntry context;

        final byte kind;
        final int bytes;

        /** Its number: the card's objects are counted from 1 in the order in which they were made. */
        final int number;

        /** Writes to each of its elements or fields; null before the first that was counted. */
        int[] wear;

        Item(Object object, ApplicationEntry instance, LoadFileEntry context, byte kind, int bytes, int number) {
            this.object = object;
            this.instance = instance;
            this.context = context;
            this.kind = kind;
            this.bytes = bytes;
            this.number = number;
        }

        boolean isPersistent() {
            return kind == PERSISTENT;
        }
    }

    private final Map<Object, Item> items = new IdentityHashMap<>();
    private int taken;
    private int made;

    /** Registers an object that an instance makes; one that is known already stays as it is. */
    Item add(Object object, ApplicationEntry instance, byte kind) {
        return add(object, instance, instance == null ? null : instance.owner(), kind);
    }

    /** Registers an object that is its package's: a class with static fields, or an array that one begins with. */
    Item addStatic(Object object, LoadFileEntry context) {
        return add(object, null, context, PERSISTENT);
    }

    private Item add(Object object, ApplicationEntry instance, LoadFileEntry context, byte kind) {
        Item known = items.get(object);
        if (known == null) {
            int bytes = bytesOf(object);
            if (taken + bytes > MOST_BYTES) {
                SystemException.throwIt(SystemException.NO_RESOURCE);
            }
            known = new Item(object, instance, context, kind, bytes, ++made);
            items.put(object, known);
            taken += bytes;
        }
        return known;
    }

    /** Returns what is known of an object; null for one of the runtime's own. */
    Item find(Object object) {
        return items.get(object);
    }

    /** Returns the package that owns an object; null for an object of the runtime's own. */
    LoadFileEntry ownerOf(Object object) {
        Item item = items.get(object);
        return item == null ? null : item.context;
    }

    /** Returns all objects, in the order in which they were made. */
    List<Item> items() {
        List<Item> all = new ArrayList<>(items.values());
        all.sort(Comparator.comparingInt(item -> item.number));
        return all;
    }

    void remove(Object object) {
        Item gone = items.remove(object);
        taken -= gone == null ? 0 : gone.bytes;
    }

    List<Item> removeIf(Predicate<Item> of) {
        List<Item> gone = new ArrayList<>();
        items.values().removeIf(item -> of.test(item) && gone.add(item));
        for (Item item : gone) {
            taken -= item.bytes;
        }
        return gone;
    }

    /** Returns how many objects were made so far. */
    int made() {
        return made;
    }

    /** Takes the objects of a card image in place of what is here. */
    void restore(List<Item> all, int madeBefore) {
        items.clear();
        putBack(all);
        made = madeBefore;
    }

    void putBack(List<Item> gone) {
        for (Item item : gone) {
            items.put(item.object, item);
            taken += item.bytes;
        }
    }

    /** Returns what an object takes, as a Java Card of 16 bits counts it. */
    private static int bytesOf(Object object) {
        if (object.getClass().isArray()) {
            Class<?> element = object.getClass().getComponentType();
            int each = element == byte.class || element == boolean.class ? 1 : element == int.class ? 4 : 2;
            return HEADER_BYTES + Array.getLength(object) * each;
        }
        if (object instanceof Class) {
            int bytes = 0;
            for (Slot slot : Slot.of((Class<?>) object).values()) {
                bytes += slot.isStatic() ? slot.bytes : 0;
            }
            return bytes;
        }
        return HEADER_BYTES + ApiState.bytesOf(object) + Slot.bytesOf(object.getClass());
    }
}
