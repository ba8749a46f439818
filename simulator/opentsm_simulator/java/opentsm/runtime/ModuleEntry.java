package opentsm.runtime;

import java.lang.invoke.MethodHandle;
import opentsm.open.Entry;

/** An Executable Module: an applet class that instances are made of. */
final class ModuleEntry extends RegistryEntry {
    final LoadFileEntry loadFile;

    /** The applet class's install(byte[], short, byte). */
    transient MethodHandle install;

    ModuleEntry(byte[] name, LoadFileEntry loadFile, MethodHandle install) {
        super(KIND_MODULE, name, loadFile.domain());
        this.loadFile = loadFile;
        this.install = install;
    }

    @Override
    public byte state() {
        live();
        return LifeCycle.LOADED;
    }

    @Override
    public LoadFileEntry loadFile() {
        live();
        return loadFile;
    }

    @Override
    public short getVersion(byte[] buffer, short offset) {
        return loadFile.getVersion(buffer, offset);
    }
}
