package opentsm.runtime;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import javacard.framework.JCSystem;

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
    private final Limits limits;

    /** Bytes in use, by kind: of all, and of each instance. */
    private final transient int[] taken = new int[GLOBAL + 1];

    private final transient Map<ApplicationEntry, int[]> takenBy = new IdentityHashMap<>();
    private int made;

    Heap(Limits limits) {
        this.limits = limits;
    }

    /** Returns how many bytes of a kind of memory are in use. */
    int used(byte kind) {
        return taken[kind];
    }

    /** Returns how many an instance uses. */
    int used(ApplicationEntry instance, byte kind) {
        int[] own = takenBy.get(instance);
        return own == null ? 0 : own[kind];
    }

    private void count(Item item, int sign) {
        taken[item.kind] += sign * item.bytes;
        if (item.instance != null) {
            takenBy.computeIfAbsent(item.instance, of -> new int[GLOBAL + 1])[item.kind] += sign * item.bytes;
        }
    }

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
            known = new Item(object, instance, context, kind, limits.bytesOf(object), ++made);
            items.put(object, known);
            count(known, 1);
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
        if (gone != null) {
            count(gone, -1);
        }
    }

    List<Item> removeIf(Predicate<Item> of) {
        List<Item> gone = new ArrayList<>();
        items.values().removeIf(item -> of.test(item) && gone.add(item));
        for (Item item : gone) {
            count(item, -1);
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
        takenBy.clear();
        Arrays.fill(taken, 0);
        putBack(all);
        made = madeBefore;
    }

    void putBack(List<Item> gone) {
        for (Item item : gone) {
            items.put(item.object, item);
            count(item, 1);
        }
    }
}
