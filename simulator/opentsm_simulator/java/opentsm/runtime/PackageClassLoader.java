package opentsm.runtime;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.util.List;
import javacard.framework.ISOException;

/**
 * The classes of one package that was loaded as a CAP file: a package that is deleted and loaded again begins anew.
 *
 * <p>Its code sees its own classes, those of the packages it imports, and what every applet sees.
 */
final class PackageClassLoader extends CardClassLoader {
    private static final String CODE = ".Code";

    final List<PackageClassLoader> imports;

    /** What packages that import this one name it by. */
    final String code;

    /** The classes with the applets' install methods, in the order of the modules. */
    final List<String> applets;

    /** Whether its code can ask the firewall. */
    final boolean firewalled;

    /** Whose classes they are. */
    LoadFileEntry loadFile;

    Memory memory;

    /**
     * @param card the card
     * @param found its class files
     * @param imports the packages that it is linked to
     */
    PackageClassLoader(CardRuntime card, LoadedPackage found, List<PackageClassLoader> imports) {
        super(CardRuntime.class.getClassLoader(), found.classes);
        this.code = found.code;
        this.applets = found.appletClasses;
        this.firewalled = found.firewalled;
        this.imports = imports;
        this.memory = card.memory;
    }

    /** Makes the static fields begin, as they do when a package is loaded (JCVM 3.1 clause 6.11). */
    void begin() {
        for (String name : names()) {
            if (name.endsWith(CODE)) {
                try {
                    memory.madeStatic(Class.forName(name, true, this), loadFile);
                } catch (ClassNotFoundException | LinkageError broken) {
                    ISOException.throwIt(Sw.WRONG_DATA);
                }
            }
        }
    }

    /** Has the runs of its code counted. */
    void count(LoadedPackage found, Trace trace) {
        try {
            for (String name : names()) {
                if (name.endsWith(CODE)) {
                    trace.load(found, loadClass(name));
                }
            }
        } catch (ReflectiveOperationException | LinkageError broken) {
            ISOException.throwIt(Sw.WRONG_DATA);
        }
    }

    /** Returns an applet's install method: install(byte[], short, byte). */
    MethodHandle install(String className) {
        try {
            return MethodHandles.publicLookup().findStatic(Class.forName(className, false, this), "install",
                    MethodType.methodType(void.class, byte[].class, short.class, byte.class));
        } catch (ReflectiveOperationException | LinkageError broken) {
            ISOException.throwIt(Sw.WRONG_DATA);
            return null;
        }
    }

    /** Has the package's code ask the firewall; null: ask for nothing. */
    void guard(Firewall firewall) {
        for (String name : names()) {
            if (name.endsWith(CODE)) {
                try {
                    loadClass(name).getField("wall").set(null, firewall);
                } catch (ReflectiveOperationException impossible) {
                    throw new IllegalStateException(impossible);
                }
            }
        }
    }

    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
        if (!has(name)) {
            for (PackageClassLoader imported : imports) {
                if (imported.has(name)) {
                    return imported.loadClass(name, resolve);
                }
            }
        }
        return super.loadClass(name, resolve);
    }
}
