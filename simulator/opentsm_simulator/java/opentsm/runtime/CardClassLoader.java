package opentsm.runtime;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/**
 * The classes of one card: each card has statics of its own.
 *
 * <p>An applet sees the Java Card and GlobalPlatform APIs and its card's own classes, nothing of the runtime and of Java
 * what Java Card has of it.
 */
class CardClassLoader extends ClassLoader {
    private static final String[] VISIBLE = {
        "javacard.", "javacardx.", "org.globalplatform.", "opentsm.open.", "java.rmi.",
    };

    /** What Java's compiler itself and translated code refer to, beside exceptions. */
    private static final Set<String> LANGUAGE = new HashSet<>(Arrays.asList("java.lang.Object", "java.lang.Throwable",
            "java.lang.String", "java.lang.Class", "java.io.IOException", "opentsm.runtime.Jcvm",
            "opentsm.runtime.Firewall"));

    private final Map<String, byte[]> classes;
    private List<Class<?>> withStatics;

    /** Where proxies of this card's interfaces are defined: it sees Java's reflection, which applets do not. */
    private final ClassLoader proxies = new ClassLoader(null) {
        @Override
        protected Class<?> findClass(String name) throws ClassNotFoundException {
            return CardClassLoader.this.loadClass(name);
        }
    };

    /**
     * @param runtime the loader of the APIs
     * @param classes class files by name; shared between cards
     */
    CardClassLoader(ClassLoader runtime, Map<String, byte[]> classes) {
        super(runtime);
        this.classes = classes;
    }

    /** Tells whether it defines a class itself. */
    boolean has(String name) {
        return classes.containsKey(name);
    }

    Set<String> names() {
        return classes.keySet();
    }

    /** Returns the classes with static fields that code can write. */
    List<Class<?>> withStatics() {
        if (withStatics == null) {
            List<Class<?>> found = new ArrayList<>();
            for (String name : new TreeSet<>(names())) {
                try {
                    Class<?> type = Class.forName(name, false, this);
                    if (ImageShape.of(type).statics.length != 0) {
                        found.add(type);
                    }
                } catch (ClassNotFoundException impossible) {
                    throw new IllegalStateException(impossible);
                }
            }
            withStatics = found;
        }
        return withStatics;
    }

    ClassLoader forProxies() {
        return proxies;
    }

    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
        synchronized (getClassLoadingLock(name)) {
            byte[] bytes = classes.get(name);
            if (bytes != null) {
                Class<?> loaded = findLoadedClass(name);
                return loaded != null ? loaded : defineClass(name, bytes, 0, bytes.length);
            }
        }
        if (!isVisible(name)) {
            throw new ClassNotFoundException(name + " is not on a card");
        }
        return super.loadClass(name, resolve);
    }

    private static boolean isVisible(String name) {
        if (name.equals("javacard.framework.ApduAccess")) {
            return false;
        }
        for (String prefix : VISIBLE) {
            if (name.startsWith(prefix)) {
                return true;
            }
        }
        return LANGUAGE.contains(name)
                || name.startsWith("java.lang.") && (name.endsWith("Exception") || name.endsWith("Error"));
    }
}
