package opentsm.runtime;

import java.lang.reflect.Array;
import java.util.List;
import java.util.function.Predicate;

/**
 * The persistent memory of a card: what is in it ({@link Heap}, {@link Limits}), and each write to it.
 *
 * <p>Code tells of each write before it happens, as long as anything wants to know ({@link Jcvm#watched}): while a
 * transaction or an atomic section is in progress ({@link Levels}), writes are counted, or a power cut is set up
 * ({@link Writes}). What an API writes is found by comparing ({@link ApiWrites}).
 *
 * <p>When the power is cut, what was begun is undone at the next reset.
 *
 * <p>Spec: JCRE 3.0.5 clause 7.
 */
public final class Memory {
    final Limits limits;
    final Heap heap;
    final transient Writes writes = new Writes();
    final transient Levels levels = new Levels(this);
    final transient ApiWrites apis;

    /** Bytes of the commit buffer. */
    int capacity = 4096;

    private final CardRuntime card;
    private transient int running;
    private transient boolean watching;

    Memory(CardRuntime card) {
        this.card = card;
        limits = new Limits(card);
        heap = new Heap(limits);
        apis = new ApiWrites(card, this);
    }

    // What wants to know of writes.

    /** Begins something that the card does: a command, a reset. */
    void begin() {
        running++;
        review();
    }

    void end() {
        running--;
        review();
    }

    /** Looks again at whether anything wants to know of writes. */
    void review() {
        boolean wanted = running != 0 && (card.image != null || writes.areWanted() || !levels.isEmpty());
        if (wanted != watching) {
            watching = wanted;
            Jcvm.watch(wanted);
        }
    }

    boolean isWatched() {
        return watching;
    }

    /** Tells whether anything may have been written since this was asked last; not in the middle of something. */
    boolean takeChanged() {
        return !writes.isCut() && levels.isEmpty() && writes.takeChanged();
    }

    // Writes of translated code; each is told of before it happens.

    /** A field of an object, or a static one of a class, which is in the heap itself. */
    void field(Object object, Class<?> owner, String name) {
        Heap.Item item = heap.find(object == null ? owner : object);
        if (item != null && item.isPersistent()) {
            Slot slot = Slot.of(owner).get(name);
            write(item, slot.offset, slot.bytes, () -> Undo.field(object, slot.field, slot.get(object)));
        }
    }

    void element(Object array, int index) {
        Heap.Item item = heap.find(array);
        if (item != null && item.isPersistent() && index >= 0 && index < Array.getLength(array)) {
            int bytes = array instanceof byte[] || array instanceof boolean[] ? 1 : array instanceof int[] ? 4 : 2;
            write(item, index, bytes, () -> Undo.element(array, index));
        }
    }

    private interface Before {
        Undo take();
    }

    private void write(Heap.Item item, int offset, int bytes, Before before) {
        if (!watching) {
            return;
        }
        long key = ApiCall.key(item, offset);
        boolean logs = levels.logs(item, key);
        if (logs) {
            levels.reserve(Levels.PLACE_BYTES + bytes);
        }
        writes.next();
        writes.wear(item, offset);
        apis.told(item, offset);
        if (logs) {
            levels.log(key, bytes, before.take());
        }
    }

    // Objects that come and go.

    /** Registers an object that code makes. */
    void made(Object object) {
        made(object, Heap.PERSISTENT);
    }

    void made(Object object, byte kind) {
        if (heap.find(object) != null) {
            return;
        }
        limits.require(object, kind, card.contexts.current);
        if (kind == Heap.PERSISTENT) {
            writes.next();
        }
        writes.outdate();
        levels.made(heap.add(object, card.contexts.current, kind));
    }

    /** Registers what is a package's own: its statics, and the arrays that they begin with. */
    void madeStatic(Object object, LoadFileEntry context) {
        levels.made(heap.addStatic(object, context));
    }

    /** Forgets what a deleted instance, or a deleted package, made. */
    void delete(Predicate<Heap.Item> of) {
        writes.outdate();
        List<Heap.Item> gone = heap.removeIf(of);
        levels.happened(() -> heap.putBack(gone));
    }

    /** Undoes what was in progress when the power was cut; for the reset that follows. */
    void recover() {
        levels.undoAbove(0);
        apis.clear();
        writes.goOn();
        review();
    }
}
