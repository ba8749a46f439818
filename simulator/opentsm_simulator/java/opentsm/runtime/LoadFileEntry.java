package opentsm.runtime;

import java.util.ArrayList;
import java.util.List;
import javacard.framework.Util;
import opentsm.open.Entry;

/**
 * An Executable Load File with its modules.
 *
 * <p>Spec: GP Card 2.3.1 clauses 5.2, 6.4.1.1.
 */
final class LoadFileEntry extends RegistryEntry {
    private final byte[] version;
    /** What its code takes of the card's memory, in bytes. */
    int codeBytes;

    final List<ModuleEntry> modules = new ArrayList<>();

    LoadFileEntry(byte[] name, byte[] version, ApplicationEntry domain) {
        super(KIND_LOAD_FILE, name, domain);
        this.version = version.clone();
    }

    @Override
    void markDeleted() {
        super.markDeleted();
        for (ModuleEntry module : modules) {
            module.markDeleted();
        }
    }

    @Override
    public byte state() {
        live();
        return LifeCycle.LOADED;
    }

    @Override
    public Entry loadFile() {
        live();
        return null;
    }

    @Override
    public Entry nextModule(Entry previous) {
        live();
        int next = previous == null ? 0 : modules.indexOf(previous) + 1;
        Sw.require(previous == null || next > 0, Sw.REFERENCED_DATA_NOT_FOUND);
        return next < modules.size() ? modules.get(next) : null;
    }

    @Override
    public short getVersion(byte[] buffer, short offset) {
        live();
        return Util.arrayCopyNonAtomic(version, (short) 0, buffer, offset, (short) version.length);
    }
}
