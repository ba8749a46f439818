package opentsm.runtime;

import java.nio.ByteBuffer;
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

    /** What whoever translates packages names its code by. */
    transient String code = "";

    /** Its classes. */
    transient PackageClassLoader loader;

    /** Its load file data block, which cards that hold the same one share. */
    transient ByteBuffer block;

    /** The application provider's identifier (5F20); null when none was given. */
    byte[] provider;

    /** Its code asks the firewall: something of another context may have come in. */
    boolean guarded;

    /** Some of what its context owns, for {@link Firewall}; null before anything asked. */
    transient Object[] known;

    LoadFileEntry(byte[] name, byte[] version, ApplicationEntry domain) {
        super(KIND_LOAD_FILE, name, domain);
        this.version = version.clone();
    }

    /** Takes the code that a package was translated to, with the load file data block that it was in. */
    void take(LoadedPackage found, byte[] data, CardRuntime card) {
        codeBytes = data.length;
        List<PackageClassLoader> linked = new ArrayList<>();
        for (LoadFileEntry entry : imports) {
            linked.add(entry.loader);
        }
        take(new PackageClassLoader(card, found, linked), LoadedPackage.shared(data), card.memory);
        for (int i = 0; i < found.modules.size(); i++) {
            modules.add(new ModuleEntry(found.modules.get(i), this, loader.install(found.appletClasses.get(i))));
        }
        loader.begin();
        if (card.trace != null) {
            loader.count(found, card.trace);
        }
    }

    /** Takes its classes. */
    void take(PackageClassLoader classes, ByteBuffer data, Memory memory) {
        code = classes.code;
        loader = classes;
        block = data;
        classes.loadFile = this;
        classes.memory = memory;
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
