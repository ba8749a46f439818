package opentsm.runtime;

import java.util.ArrayList;
import java.util.List;
import javacard.framework.ISOException;

/**
 * What ended an applet's code: for whoever runs the card and looks for a mistake, never for who talks to it.
 *
 * <p>Of the code of loaded packages it tells methods and lines, or pcs where no lines are known, as they were translated.
 */
final class Faults {
    private static final String PACKAGES = "cap.";
    private static final String CODE = ".Code";
    private static final int MOST_FRAMES = 32;

    private final Registry registry;
    private Throwable first;

    Faults(Registry registry) {
        this.registry = registry;
    }

    /** Forgets the one before: a command begins. */
    void begin() {
        first = null;
    }

    /** Hears of an exception that reached the runtime; the first of a command stays, what follows it is a consequence. */
    void note(Throwable thrown) {
        if (thrown instanceof PowerCut) {
            return; // no fault of the applet's
        }
        if (first == null) {
            first = thrown;
        }
    }

    /**
     * Returns what ended an applet in the last command; nothing when nothing did.
     *
     * @return whether it is an ISOException ("iso"), and which it is; then for each method on the way, the innermost
     *     first, the name of its code (LoadedPackage.setCode), its own, and its line, separated by tabs
     */
    String[] describe() {
        if (first == null) {
            return new String[0];
        }
        List<String> lines = new ArrayList<>();
        if (first instanceof ISOException) {
            lines.add("iso\t" + String.format("%04X", ((ISOException) first).getReason()));
        } else {
            lines.add("\t" + first);
        }
        for (StackTraceElement frame : first.getStackTrace()) {
            String type = frame.getClassName();
            if (lines.size() > MOST_FRAMES) {
                break;
            }
            if (type.startsWith(PACKAGES) && type.endsWith(CODE) && frame.getMethodName().matches("m[0-9a-f]{4}")) {
                byte[] aid = Hex.decode(type.substring(PACKAGES.length(), type.length() - CODE.length()));
                RegistryEntry entry = registry.find(aid, 0, aid.length);
                String code = entry instanceof LoadFileEntry ? ((LoadFileEntry) entry).code : "";
                lines.add(code + "\t" + frame.getMethodName() + "\t" + frame.getLineNumber());
            }
        }
        return lines.toArray(new String[0]);
    }
}
