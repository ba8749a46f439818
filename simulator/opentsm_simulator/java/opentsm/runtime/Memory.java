package opentsm.runtime;

import java.lang.reflect.Array;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.function.Predicate;
import javacard.framework.TransactionException;

/**
 * The persistent memory of a card, write by write: what a transaction undoes, where the power is cut, what wears.
 *
 * <p>Code tells of each write before it happens, as long as anything wants to know ({@link Jcvm#watched}): while a
 * transaction or an atomic section is in progress, writes are counted, or a power cut is set up. What an API writes is
 * found by comparing (ApiCall). Writes nest in levels: a transaction of an applet, an atomic section of the OPEN; a level
 * that ends well hands what would undo it to the level around it.
 *
 * <p>When the power is cut, the write does not happen, nor does any later one, and what was begun is undone at the next
 * reset.
 *
 * <p>Spec: JCRE 3.0.5 clause 7.
 */
public final class Memory {
    /** What each place takes in the commit buffer beside its old value: where it is. */
    private static final int PLACE_BYTES = 4;

    /** One call of an API is one write: all of it or nothing (JC API, Util.arrayCopy and its like). */
    static final int ATOMIC = 1;

    /** No transaction undoes what it writes (JC API, Util.arrayCopyNonAtomic and its like). */
    static final int UNCONDITIONAL = 2;

    /** It is an operation of the OPEN: all that happens in it, or nothing. */
    static final int OPEN = 4;

    /** What happened in it stays when it refuses: there it takes back what it must itself. */
    static final int STAYS = 8;

    /** It ended with an exception. */
    static final int FAILED = 16;

    final Limits limits;
    final Heap heap;
    private final CardRuntime card;
    private final transient List<Level> levels = new ArrayList<>();
    private final transient List<ApiCall> calls = new ArrayList<>();

    /** Bytes of the commit buffer. */
    private int capacity = 4096;

    private transient boolean counting;
    private transient long writes;

    /** The number of the write at which the power is cut; 0 for none. */
    private transient long cutAt;

    private transient boolean cut;
    private transient int running;
    private transient boolean watching;

    /** What is kept of the card may differ from what is on it. */
    private transient boolean changed;

    Memory(CardRuntime card) {
        this.card = card;
        limits = new Limits(card);
        heap = new Heap(limits);
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

    private void review() {
        boolean wanted = running != 0 && (card.image != null || counting || cutAt != 0 || cut || !levels.isEmpty());
        if (wanted != watching) {
            watching = wanted;
            Jcvm.watch(wanted);
        }
    }

    /** Counts writes from now on, in all and for each address. */
    void count() {
        counting = true;
        review();
    }

    /** Returns how many writes were counted. */
    long writes() {
        return writes;
    }

    /** Tells whether anything may have been written since this was asked last; not in the middle of something. */
    boolean takeChanged() {
        if (cut || !levels.isEmpty()) {
            return false;
        }
        boolean was = changed;
        changed = false;
        return was;
    }

    /** Cuts the power at the n-th write from now; 0 takes that back. */
    void cutPower(long atWrite) {
        cutAt = atWrite == 0 ? 0 : writes + atWrite;
        review();
    }

    /** Tells whether the power was cut, and no reset has brought it back. */
    boolean isCut() {
        return cut;
    }

    void setCapacity(int bytes) {
        capacity = bytes;
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

    /** Registers an object that code makes. */
    void made(Object object) {
        made(object, Heap.PERSISTENT);
    }

    void made(Object object, byte kind) {
        Heap.Item item = heap.find(object);
        if (item != null) {
            return;
        }
        limits.require(object, kind, card.contexts.current);
        if (kind == Heap.PERSISTENT) {
            tick();
        }
        changed = true;
        item = heap.add(object, card.contexts.current, kind);
        if (!levels.isEmpty()) {
            top().made.add(item);
        }
    }

    /** Registers what is a package's own: its statics, and the arrays that they begin with. */
    void madeStatic(Object object, LoadFileEntry context) {
        Heap.Item item = heap.addStatic(object, context);
        if (!levels.isEmpty()) {
            top().made.add(item);
        }
    }

    /** Forgets what a deleted instance, or a deleted package, made. */
    void delete(Predicate<Heap.Item> of) {
        changed = true;
        List<Heap.Item> gone = heap.removeIf(of);
        if (!levels.isEmpty()) {
            top().undos.add(() -> heap.putBack(gone));
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
        boolean logs = !levels.isEmpty() && !top().made.contains(item) && !top().logged.contains(key);
        if (logs) {
            reserve(bytes);
        }
        tick();
        wear(item, offset);
        for (ApiCall call : calls) {
            call.told(item, offset);
        }
        if (logs) {
            log(key, bytes, before.take());
        }
    }

    /** Counts a write, unless the power is cut here, or was before. */
    private void tick() {
        if (cut) {
            throw new PowerCut();
        }
        changed = true;
        if (counting || cutAt != 0) {
            writes++;
        }
        if (cutAt != 0 && writes == cutAt) {
            cutAt = 0;
            cut = true;
            throw new PowerCut();
        }
    }

    private void wear(Heap.Item item, int offset) {
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

    private Level top() {
        return levels.get(levels.size() - 1);
    }

    private void reserve(int bytes) {
        if (top().isTransaction && top().used + PLACE_BYTES + bytes > capacity) {
            TransactionException.throwIt(TransactionException.BUFFER_FULL);
        }
    }

    private void log(long key, int bytes, Undo undo) {
        top().logged.add(key);
        top().used += PLACE_BYTES + bytes;
        top().undos.add(undo);
    }

    // Writes of the APIs.

    /** Begins a call of an API; null when there is nothing that it could write. */
    ApiCall enter(Object[] references, int how) {
        if (!watching) {
            return null;
        }
        ApiCall call = new ApiCall(heap);
        boolean remembers = call.remember(references);
        if ((how & OPEN) != 0) {
            OpenState open = OpenState.of(card);
            push(false);
            top().undos.add(open::restore);
            call.open = open;
            call.levels = levels.size();
        } else if (!remembers) {
            return null;
        }
        calls.add(call);
        return call;
    }

    /** Ends a call of an API: looks at what it wrote. */
    void leave(ApiCall call, int how) {
        calls.remove(calls.size() - 1);
        if (call.open != null) {
            endOperation(call, how);
        }
        boolean conditional = (how & UNCONDITIONAL) == 0;
        List<ApiCall.Change> elements = call.elements();
        List<ApiCall.Change> state = call.state();
        if ((how & ATOMIC) != 0) {
            elements.addAll(state);
            apply(elements, 0, elements.size(), conditional, elements);
            return;
        }
        List<ApiCall.Change> all = new ArrayList<>(state);
        all.addAll(elements);
        // What is inside an object of the API changes at once, before its results are put out.
        apply(all, 0, state.size(), conditional, all);
        for (int i = state.size(); i < all.size(); i++) {
            apply(all, i, i + 1, conditional, all);
        }
    }

    /** Ends an operation of the OPEN: what it changed is one write. */
    private void endOperation(ApiCall call, int how) {
        if (cut) {
            return;
        }
        undoAbove(call.levels);
        boolean stays = (how & FAILED) == 0 || (how & STAYS) != 0;
        if (stays && call.open.hasChanged()) {
            tick();
        }
        pop(stays);
    }

    /** Does something once what is in progress has ended well; at once when nothing is. */
    void afterwards(Runnable action) {
        if (levels.isEmpty()) {
            action.run();
        } else {
            top().afterwards.add(action);
        }
    }

    /** Counts some changes as one write; where it does not happen, they and all later ones are taken back. */
    private void apply(List<ApiCall.Change> changes, int from, int to, boolean conditional, List<ApiCall.Change> all) {
        if (from == to) {
            return;
        }
        boolean logs = conditional && !levels.isEmpty();
        try {
            if (logs) {
                int bytes = 0;
                for (ApiCall.Change change : changes.subList(from, to)) {
                    bytes += isLogged(change) ? 0 : PLACE_BYTES + change.bytes;
                }
                if (bytes != 0) {
                    reserve(bytes - PLACE_BYTES);
                }
            }
            tick();
        } catch (PowerCut | TransactionException refused) {
            for (int i = all.size() - 1; i >= from; i--) {
                all.get(i).undo.run();
            }
            throw refused;
        }
        for (ApiCall.Change change : changes.subList(from, to)) {
            wear(change.item, change.offset);
            for (ApiCall outer : calls) {
                outer.told(change.item, change.offset);
            }
            if (logs && !isLogged(change)) {
                log(ApiCall.key(change.item, change.offset), change.bytes, change.undo);
            }
        }
    }

    private boolean isLogged(ApiCall.Change change) {
        Level level = top();
        return level.made.contains(change.item) || level.logged.contains(ApiCall.key(change.item, change.offset));
    }

    /** Tells of a write inside of an API's object that no transaction undoes, before it happens. */
    void unconditional(Object array) {
        tick();
        for (ApiCall call : calls) {
            call.told(array);
        }
    }

    // Operations of the OPEN.

    /** Runs something of the OPEN that happens whole or not at all, by whatever way it is called. */
    <T> T atomically(Contexts.Action<T> action) throws Throwable {
        int depth = levels.size();
        push(false);
        try {
            T result = action.run();
            undoAbove(depth + 1);
            tick();
            pop(true);
            return result;
        } finally {
            // What failed leaves its level, and is undone; what the power was cut in is undone at the next reset.
            if (!cut) {
                undoAbove(depth);
            }
        }
    }

    private void undoAbove(int depth) {
        while (levels.size() > depth) {
            pop(false);
        }
    }

    // Transactions of applets.

    byte depth() {
        return (byte) (!levels.isEmpty() && top().isTransaction ? 1 : 0);
    }

    void beginTransaction() {
        if (depth() != 0) {
            TransactionException.throwIt(TransactionException.IN_PROGRESS);
        }
        push(true);
    }

    void commitTransaction() {
        requireInProgress();
        tick();
        pop(true);
    }

    /** Undoes the transaction; returns whether objects were made in it, which are gone. */
    boolean abortTransaction() {
        requireInProgress();
        boolean made = !top().made.isEmpty();
        pop(false);
        return made;
    }

    private void requireInProgress() {
        if (depth() == 0) {
            TransactionException.throwIt(TransactionException.NOT_IN_PROGRESS);
        }
    }

    int capacity() {
        return capacity;
    }

    int unusedCapacity() {
        return depth() == 0 ? capacity : Math.max(0, capacity - top().used);
    }

    private void push(boolean isTransaction) {
        levels.add(new Level(isTransaction));
        review();
    }

    private void pop(boolean keeps) {
        Level level = levels.remove(levels.size() - 1);
        if (!keeps) {
            undo(level);
        } else if (!levels.isEmpty()) {
            top().undos.addAll(level.undos);
            top().made.addAll(level.made);
            top().afterwards.addAll(level.afterwards);
        } else {
            level.afterwards.forEach(Runnable::run);
        }
        review();
    }

    private void undo(Level level) {
        for (int i = level.undos.size() - 1; i >= 0; i--) {
            level.undos.get(i).run();
        }
        if (!level.made.isEmpty()) {
            Set<Object> gone = ContextMemory.newCardSet();
            for (Heap.Item item : level.made) {
                gone.add(item.object);
                heap.remove(item.object);
                if (item.instance != null) {
                    item.instance.memory.forget(item.object);
                }
            }
            forgetReferences(gone);
        }
    }

    /** References to what is gone are null wherever no transaction restores them (JCRE 7.6.3). */
    private void forgetReferences(Set<Object> gone) {
        for (Heap.Item item : heap.items()) {
            if (item.object instanceof Object[]) {
                Object[] array = (Object[]) item.object;
                for (int i = 0; i < array.length; i++) {
                    if (array[i] != null && gone.contains(array[i])) {
                        array[i] = null;
                    }
                }
            }
        }
    }

    /** Has what is kept of the card taken anew: something of it changed that is none of its persistent memory. */
    void outdate() {
        changed = true;
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

    /** Undoes what was in progress when the power was cut; for the reset that follows. */
    void recover() {
        while (!levels.isEmpty()) {
            pop(false);
        }
        calls.clear();
        cut = false;
        review();
    }
}
