package opentsm.runtime;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import javacard.framework.TransactionException;

/**
 * The transactions of applets and the atomic sections of the OPEN that are in progress, the innermost last; what undoes
 * each is in its {@link Level}.
 *
 * <p>A level that ends well hands what would undo it to the level around it; any other is undone.
 *
 * <p>Spec: JCRE 3.0.5 clause 7.
 */
final class Levels {
    /** What each place takes in the commit buffer beside its old value: where it is. */
    static final int PLACE_BYTES = 4;

    private final Memory memory;
    private final List<Level> levels = new ArrayList<>();

    Levels(Memory memory) {
        this.memory = memory;
    }

    boolean isEmpty() {
        return levels.isEmpty();
    }

    int count() {
        return levels.size();
    }

    private Level top() {
        return levels.get(levels.size() - 1);
    }

    /** Begins a level: a transaction, or an atomic section. */
    void push(boolean isTransaction) {
        levels.add(new Level(isTransaction));
        memory.review();
    }

    /** Ends the innermost level, and undoes it unless it keeps what happened in it. */
    void pop(boolean keeps) {
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
        memory.review();
    }

    /** Undoes all levels but some of the outermost. */
    void undoAbove(int count) {
        while (levels.size() > count) {
            pop(false);
        }
    }

    // What happens in the innermost level.

    /** Hears of an object that was made. */
    void made(Heap.Item item) {
        if (!levels.isEmpty()) {
            top().made.add(item);
        }
    }

    /** Hears of something that happened; without a level it is for good. */
    void happened(Undo undo) {
        if (!levels.isEmpty()) {
            top().undos.add(undo);
        }
    }

    /** Tells whether what a place holds has to be logged before it is written. */
    boolean logs(Heap.Item item, long key) {
        return !levels.isEmpty() && !top().made.contains(item) && !top().logged.contains(key);
    }

    /** Requires room in the commit buffer. */
    void reserve(int bytes) {
        if (top().isTransaction && top().used + bytes > memory.capacity) {
            TransactionException.throwIt(TransactionException.BUFFER_FULL);
        }
    }

    void log(long key, int bytes, Undo undo) {
        top().logged.add(key);
        top().used += PLACE_BYTES + bytes;
        top().undos.add(undo);
    }

    /** Does something once what is in progress has ended well; at once when nothing is. */
    void afterwards(Runnable action) {
        if (levels.isEmpty()) {
            action.run();
        } else {
            top().afterwards.add(action);
        }
    }

    // Operations of the OPEN.

    /** Runs something of the OPEN that happens whole or not at all, by whatever way it is called. */
    <T> T atomically(Contexts.Action<T> action) throws Throwable {
        int around = levels.size();
        push(false);
        try {
            T result = action.run();
            undoAbove(around + 1);
            memory.writes.next();
            pop(true);
            return result;
        } finally {
            // What failed leaves its level, and is undone; what the power was cut in is undone at the next reset.
            if (!memory.writes.isCut()) {
                undoAbove(around);
            }
        }
    }

    // Transactions of applets.

    boolean inTransaction() {
        return !levels.isEmpty() && top().isTransaction;
    }

    void beginTransaction() {
        if (inTransaction()) {
            TransactionException.throwIt(TransactionException.IN_PROGRESS);
        }
        push(true);
    }

    void commitTransaction() {
        requireInProgress();
        memory.writes.next();
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
        if (!inTransaction()) {
            TransactionException.throwIt(TransactionException.NOT_IN_PROGRESS);
        }
    }

    int unusedCapacity() {
        return inTransaction() ? Math.max(0, memory.capacity - top().used) : memory.capacity;
    }

    // Taking back.

    private void undo(Level level) {
        for (int i = level.undos.size() - 1; i >= 0; i--) {
            level.undos.get(i).run();
        }
        if (!level.made.isEmpty()) {
            Set<Object> gone = ContextMemory.newCardSet();
            for (Heap.Item item : level.made) {
                gone.add(item.object);
                memory.heap.remove(item.object);
                if (item.instance != null) {
                    item.instance.memory.forget(item.object);
                }
            }
            forgetReferences(gone);
        }
    }

    /** References to what is gone are null wherever no transaction restores them (JCRE 7.6.3). */
    private void forgetReferences(Set<Object> gone) {
        for (Heap.Item item : memory.heap.items()) {
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
}
