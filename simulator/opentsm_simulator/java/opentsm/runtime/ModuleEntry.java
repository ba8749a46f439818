package opentsm.runtime;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import opentsm.open.Entry;

/** An Executable Module: an applet class that instances are made of. */
final class ModuleEntry extends RegistryEntry {
    final LoadFileEntry loadFile;

    /** The applet class's install(byte[], short, byte). */
    transient MethodHandle install;

    /** The class that it is in, where that was not loaded as a CAP file. */
    String className = "";

    ModuleEntry(byte[] name, LoadFileEntry loadFile, MethodHandle install) {
        super(KIND_MODULE, name, loadFile.domain());
        this.loadFile = loadFile;
        this.install = install;
    }

    /** Finds the install method of a class that was not loaded as a CAP file. */
    void link(CardClassLoader classes) throws ReflectiveOperationException {
        install = MethodHandles.publicLookup().findStatic(Class.forName(className, false, classes), "install",
                MethodType.methodType(void.class, byte[].class, short.class, byte.class));
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
