package opentsm.runtime;

import java.io.FileWriter;
import java.io.IOException;
import java.io.Writer;
import java.util.ArrayList;
import java.util.List;

/**
 * What commands left behind on the card, in order: the card's own count, for tests that nothing ran twice.
 *
 * <p>One line each: what was done, the AID, and details that are never secret.
 */
final class Effects {
    private final List<String> lines = new ArrayList<>();
    private transient Writer log;

    /** Appends every later effect to a file also, one line each, written through. */
    void logTo(String path) throws IOException {
        log = new FileWriter(path, true);
    }

    void record(String line) {
        lines.add(line);
        if (log != null) {
            try {
                log.write(line + "\n");
                log.flush();
            } catch (IOException lost) {
                throw new IllegalStateException("the effects log can't be written", lost);
            }
        }
    }

    String[] list() {
        return lines.toArray(new String[0]);
    }
}
