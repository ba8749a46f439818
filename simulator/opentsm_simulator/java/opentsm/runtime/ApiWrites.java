package opentsm.runtime;

import java.util.ArrayList;
import java.util.List;
import javacard.framework.TransactionException;

/**
 * What the APIs write: code tells of each call before and behind it, and what the call changed was written.
 *
 * <p>A call that is an operation of the OPEN is a level of its own ({@link Levels}), and one write.
 *
 * <p>Spec: JC API 3.0.5, the descriptions of the methods; JCRE 3.0.5 clause 7.
 */
final class ApiWrites {
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

    private final CardRuntime card;
    private final Memory memory;

    /** The calls in progress, the innermost last. */
    private final List<ApiCall> calls = new ArrayList<>();

    ApiWrites(CardRuntime card, Memory memory) {
        this.card = card;
        this.memory = memory;
    }

    /** Begins a call of an API; null when there is nothing that it could write. */
    ApiCall enter(Object[] references, int how) {
        if (!memory.isWatched()) {
            return null;
        }
        ApiCall call = new ApiCall(memory.heap);
        boolean remembers = call.remember(references);
        if ((how & OPEN) != 0) {
            OpenState open = OpenState.of(card);
            memory.levels.push(false);
            memory.levels.happened(open::restore);
            call.open = open;
            call.levels = memory.levels.count();
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
            apply(elements, 0, elements.size(), conditional);
            return;
        }
        List<ApiCall.Change> all = new ArrayList<>(state);
        all.addAll(elements);
        // What is inside an object of the API changes at once, before its results are put out.
        apply(all, 0, state.size(), conditional);
        for (int i = state.size(); i < all.size(); i++) {
            apply(all, i, i + 1, conditional);
        }
    }

    /** Ends an operation of the OPEN: what it changed is one write. */
    private void endOperation(ApiCall call, int how) {
        if (memory.writes.isCut()) {
            return;
        }
        memory.levels.undoAbove(call.levels);
        boolean stays = (how & FAILED) == 0 || (how & STAYS) != 0;
        if (stays && call.open.hasChanged()) {
            memory.writes.next();
        }
        memory.levels.pop(stays);
    }

    /** Counts some changes as one write; where it does not happen, they and all later ones are taken back. */
    private void apply(List<ApiCall.Change> all, int from, int to, boolean conditional) {
        if (from == to) {
            return;
        }
        List<ApiCall.Change> changes = all.subList(from, to);
        try {
            if (conditional) {
                reserve(changes);
            }
            memory.writes.next();
        } catch (PowerCut | TransactionException refused) {
            for (int i = all.size() - 1; i >= from; i--) {
                all.get(i).undo.run();
            }
            throw refused;
        }
        for (ApiCall.Change change : changes) {
            memory.writes.wear(change.item, change.offset);
            told(change.item, change.offset);
            if (conditional && logs(change)) {
                memory.levels.log(ApiCall.key(change.item, change.offset), change.bytes, change.undo);
            }
        }
    }

    private void reserve(List<ApiCall.Change> changes) {
        int bytes = 0;
        for (ApiCall.Change change : changes) {
            bytes += logs(change) ? Levels.PLACE_BYTES + change.bytes : 0;
        }
        if (bytes != 0) {
            memory.levels.reserve(bytes);
        }
    }

    private boolean logs(ApiCall.Change change) {
        return memory.levels.logs(change.item, ApiCall.key(change.item, change.offset));
    }

    /** Tells the calls in progress of a write that is counted by itself. */
    void told(Heap.Item item, int offset) {
        for (ApiCall call : calls) {
            call.told(item, offset);
        }
    }

    /** Tells of a write inside of an API's object that no transaction undoes, before it happens. */
    void unconditional(Object array) {
        memory.writes.next();
        for (ApiCall call : calls) {
            call.told(array);
        }
    }

    /** Forgets the calls that the power was cut in. */
    void clear() {
        calls.clear();
    }
}
