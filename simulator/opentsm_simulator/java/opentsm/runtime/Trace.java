package opentsm.runtime;

import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.StringJoiner;

/**
 * What a virtual SE executed and wrote, for people: how often each run of instructions was begun, and a row for each command.
 * No data of commands or answers are in it.
 *
 * <p>It stays when the SE is made anew, so that it tells of all its cards.
 */
public final class Trace {
    /** The field of a package's code that its runs are counted in. */
    private static final String COUNTS = "counts";

    /** The runs of a package that was loaded. */
    private static final class Counted {
        final String code;
        final int[] sizes;
        final long[] counts;

        Counted(String code, int[] sizes) {
            this.code = code;
            this.sizes = sizes;
            this.counts = new long[sizes.length];
        }
    }

    /** What a card had before a command. */
    private static final class Before {
        final long instructions;
        final long writes;
        final long[] memory;
        final Map<Heap.Item, Long> worn;
        final String selected;

        Before(long instructions, long writes, long[] memory, Map<Heap.Item, Long> worn, String selected) {
            this.instructions = instructions;
            this.writes = writes;
            this.memory = memory;
            this.worn = worn;
            this.selected = selected;
        }
    }

    private final List<Counted> counted = new ArrayList<>();
    private final List<String> rows = new ArrayList<>();
    private Before before;

    /** Has the runs of a package counted that is being loaded. */
    void load(LoadedPackage found, Class<?> code) throws ReflectiveOperationException {
        Counted runs = new Counted(found.code, found.runs);
        code.getField(COUNTS).set(null, runs.counts);
        counted.add(runs);
    }

    /** A command begins, or a reset. */
    void begin(CardRuntime card, Channel on) {
        String selected = on.selected == null ? "" : Hex.encode(on.selected.name, 0, on.selected.name.length);
        before = new Before(instructions(), card.memory.writes.counted(), memory(card.memory.heap), worn(card.memory.heap), selected);
    }

    /**
     * What began has ended.
     *
     * @param command the C-APDU; null for a reset
     * @param answer the R-APDU; null when the card is mute
     */
    void end(CardRuntime card, CardInterface side, Channel on, byte[] command, byte[] answer) {
        StringJoiner row = new StringJoiner("\t");
        row.add(command == null ? "reset" : "apdu");
        row.add(side.contactless() ? "contactless" : "contact");
        row.add(Integer.toString(on.number));
        row.add(command == null ? "" : Hex.encode(command, 0, Math.min(4, command.length)));
        row.add(Integer.toString(command == null ? 0 : command.length));
        row.add(Integer.toString(answer == null || answer.length < 2 ? 0 : answer.length - 2));
        row.add(answer == null || answer.length < 2 ? "" : Hex.encode(answer, answer.length - 2, 2));
        row.add(before.selected);
        row.add(Long.toString(instructions() - before.instructions));
        row.add(Long.toString(card.memory.writes.counted() - before.writes));
        long[] now = memory(card.memory.heap);
        for (int i = 0; i < now.length; i++) {
            row.add(Long.toString(now[i] - before.memory[i]));
        }
        row.add(written(card.memory.heap));
        rows.add(row.toString());
        before = null;
    }

    /** Writes a line of the user's between the rows, such as which test begins. */
    public synchronized void mark(String text) {
        rows.add("mark\t" + text.replace('\t', ' '));
    }

    private long instructions() {
        long all = 0;
        for (Counted runs : counted) {
            for (int i = 0; i < runs.counts.length; i++) {
                all += runs.counts[i] * runs.sizes[i];
            }
        }
        return all;
    }

    /** Returns objects, and bytes of each kind: persistent, cleared on reset, cleared on deselection. */
    private static long[] memory(Heap heap) {
        long[] sums = new long[4];
        for (Heap.Item item : heap.items()) {
            if (item.kind != Heap.GLOBAL) {
                sums[0]++;
                sums[1 + item.kind] += item.bytes;
            }
        }
        return sums;
    }

    private static Map<Heap.Item, Long> worn(Heap heap) {
        Map<Heap.Item, Long> sums = new IdentityHashMap<>();
        for (Heap.Item item : heap.items()) {
            if (item.wear != null) {
                sums.put(item, worn(item));
            }
        }
        return sums;
    }

    private static long worn(Heap.Item item) {
        long sum = 0;
        for (int writes : item.wear) {
            sum += writes;
        }
        return sum;
    }

    /** Returns the objects written since, each `number:what:owner:writes`, separated by semicolons. */
    private String written(Heap heap) {
        StringJoiner written = new StringJoiner(";");
        for (Heap.Item item : heap.items()) {
            long writes = item.wear == null ? 0 : worn(item) - before.worn.getOrDefault(item, 0L);
            if (writes != 0) {
                written.add(item.number + ":" + Wear.nameOf(item) + ":" + Wear.ownerOf(item) + ":" + writes);
            }
        }
        return written.toString();
    }

    /**
     * Returns the rows, fields separated by tabs: `mark` and a text; or `apdu` or `reset`, the interface, the logical
     * channel, the command's header, bytes of the command and of the answer's data, the status word, what was selected,
     * instructions executed, persistent writes, then by how much these grew: objects, bytes of persistent memory, of
     * memory that a reset clears and that deselection clears; at last the objects written.
     */
    public synchronized String[] rows() {
        return rows.toArray(new String[0]);
    }

    /** Returns the names (LoadedPackage.setCode) of the packages that were loaded, in order; one may be there several times. */
    public synchronized String[] packages() {
        return counted.stream().map(runs -> runs.code).toArray(String[]::new);
    }

    /** Returns how often each run of a package was begun. */
    public synchronized long[] counts(int number) {
        return counted.get(number).counts.clone();
    }
}
