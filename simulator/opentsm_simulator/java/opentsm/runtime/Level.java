package opentsm.runtime;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/** A transaction, or an atomic section. */
final class Level {
    final boolean isTransaction;
    final List<Undo> undos = new ArrayList<>();
    final Set<Long> logged = new HashSet<>();
    final Set<Heap.Item> made = new LinkedHashSet<>();

    /** What is to be done once all levels have ended well. */
    final List<Runnable> afterwards = new ArrayList<>();

    int used;

    Level(boolean isTransaction) {
        this.isTransaction = isTransaction;
    }
}
