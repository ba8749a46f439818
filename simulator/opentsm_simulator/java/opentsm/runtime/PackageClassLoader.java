package opentsm.runtime;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import javacard.framework.ISOException;

/**
 * The classes of one package that was loaded as a CAP file: a package that is deleted and loaded again begins anew.
 *
 * <p>Its code sees its own classes, those of the packages it imports, and what every applet sees.
 */
final class PackageClassLoader extends CardClassLoader {
    private final List<PackageClassLoader> imports = new ArrayList<>();

    /**
     * @param card the card's own class loader
     * @param classes class files by name
     * @param imported the packages that it was linked to
     */
    PackageClassLoader(CardClassLoader card, Map<String, byte[]> classes, List<LoadFileEntry> imported) {
        super(card.getParent(), classes);
        for (LoadFileEntry entry : imported) {
            imports.add(entry.loader);
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

    /** Returns the classes with the static fields of this package, and of those it imports. */
    void addStatics(List<Class<?>> into) {
        for (String name : names()) {
            if (name.endsWith(".Code")) {
                try {
                    into.add(loadClass(name));
                } catch (ClassNotFoundException impossible) {
                    throw new IllegalStateException(impossible);
                }
            }
        }
        for (PackageClassLoader imported : imports) {
            imported.addStatics(into);
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
