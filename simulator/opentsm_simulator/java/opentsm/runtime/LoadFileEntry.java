package opentsm.runtime;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
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

    /** The load files that this one was linked to: they stay as long as it does. */
    final List<LoadFileEntry> imports = new ArrayList<>();

    /** Minimum memory in bytes, by the tags C6, C7 and C8 of INSTALL [for load]. */
    final Map<Integer, Long> memory = new TreeMap<>();

    /** What whoever translates packages names its code by; empty for what was not loaded as a CAP file. */
    String code = "";

    /** Its classes; null for what was not loaded as a CAP file. */
    PackageClassLoader loader;

    /** The application provider's identifier (5F20); null when none was given. */
    byte[] provider;

    /** Its code asks the firewall: something of another context may have come in. */
    boolean guarded;

    /** Some of what its context owns, for {@link Firewall}; null before anything asked. */
    Object[] known;

    LoadFileEntry(byte[] name, byte[] version, ApplicationEntry domain) {
        super(KIND_LOAD_FILE, name, domain);
        this.version = version.clone();
    }

    /**
     * Takes the code that a package was translated to.
     *
     * @param bytes the length of its load file data block
     */
    void take(LoadedPackage found, int bytes, CardRuntime card) {
        code = found.code;
        codeBytes = bytes;
        loader = new PackageClassLoader(card, found.classes, this);
        for (int i = 0; i < found.modules.size(); i++) {
            modules.add(new ModuleEntry(found.modules.get(i), this, loader.install(found.appletClasses.get(i))));
        }
        loader.begin();
    }

    /** Tells whether what was compiled against a version can use this one (JC VM 4.5.2: same major, minor not older). */
    boolean isCompatible(byte major, byte minor) {
        return version[0] == major && (version[1] & 0xFF) >= (minor & 0xFF);
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
