package opentsm.runtime;

import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.lang.reflect.Proxy;
import java.math.BigInteger;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Hashtable;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Set;
import java.util.TreeMap;
import java.util.Vector;

/**
 * How objects of a class stand in a card image, and which classes may.
 *
 * <p>Classes of the card's packages, of the APIs and of what jCardSim makes them with are taken field by field; those of the
 * APIs without what is {@code transient}, which is how far an object is with a message. Of the runtime's own, those of
 * {@link #STATEFUL} are: each of their fields is part of what the card keeps without power, unless it is {@code transient} or
 * of a class of {@link #STATELESS}. A class that is in neither has been forgotten.
 */
final class ImageShape {
    static final byte PLAIN = 1;
    static final byte ARRAY = 2;
    static final byte LIST = 3;
    static final byte MAP = 4;
    static final byte HEAP = 5;
    static final byte PROXY = 6;
    static final byte TEXT = 7;
    static final byte NUMBER = 8;
    static final byte BOXED = 9;
    static final byte CLASS = 10;
    static final byte ENUM = 11;
    static final byte RANDOM = 12;

    /** Classes of the runtime with state that lasts. */
    private static final Set<Class<?>> STATEFUL = new HashSet<>(Arrays.asList(CardRuntime.class, Memory.class,
            Heap.class, Heap.Item.class, Registry.class, RegistryEntry.class, ApplicationEntry.class,
            LoadFileEntry.class, ModuleEntry.class, Contactless.class, ContactlessRecord.class, CardData.class,
            Effects.class, GlobalServices.class, Budget.class, ContextMemory.class, Limits.class));

    /** Classes of the runtime without: what they hold ends with the power, or is found again. */
    private static final Set<Class<?>> STATELESS = new HashSet<>(Arrays.asList(CardInterface.class, Channel.class,
            Exchange.class, Services.class, ApplicationServices.class,
            ContactlessServices.class, ManagementServices.class, Contexts.class, Locks.class,
            PackageReader.class, CardClassLoader.class, PackageClassLoader.class, SelectionOrder.class,
            ContactlessEvents.class, CardImage.class, Firewall.class));

    private static final Set<Class<?>> LISTS = new HashSet<>(Arrays.asList(ArrayList.class, Vector.class));

    private static final Set<Class<?>> MAPS = new HashSet<>(
            Arrays.asList(HashMap.class, TreeMap.class, LinkedHashMap.class, Hashtable.class));

    /** What can be a key of a map: what is equal by its value. */
    static final Set<Class<?>> KEYS = new HashSet<>(
            Arrays.asList(String.class, Integer.class, Short.class, Byte.class, Long.class));

    private static final String[] IMAGED = {
        "javacard.", "javacardx.", "org.globalplatform.", "com.licel.jcardsim.crypto.",
        "com.licel.jcardsim.bouncycastle.",
    };

    private static final ClassValue<ImageShape> SHAPES = new ClassValue<ImageShape>() {
        @Override
        protected ImageShape computeValue(Class<?> type) {
            return new ImageShape(type);
        }
    };

    final Class<?> type;
    final byte kind;

    /** Instance fields of a PLAIN class, its own first, by name. */
    final Field[] fields;

    /** The static fields of a class of the card that code can write. */
    final Field[] statics;

    /** Tells whether a class has the same fields elsewhere. */
    final long fingerprint;

    private final Constructor<?> constructor;

    private ImageShape(Class<?> type) {
        this.type = type;
        kind = kindOf(type);
        fields = kind == PLAIN ? instanceFields(type) : new Field[0];
        statics = Slot.isOfCard(type) ? staticFields(type) : new Field[0];
        fingerprint = fingerprint();
        // Interfaces are abstract as well.
        constructor = kind == PLAIN && !Modifier.isAbstract(type.getModifiers()) ? constructor(type) : null;
    }

    /** @throws ImageError such objects have no place in an image */
    static ImageShape of(Class<?> type) {
        return SHAPES.get(type);
    }

    private static byte kindOf(Class<?> type) {
        if (type.isArray()) {
            return ARRAY;
        }
        if (type == Heap.class) {
            return HEAP;
        }
        if (Proxy.isProxyClass(type)) {
            return PROXY;
        }
        if (type == String.class) {
            return TEXT;
        }
        if (type == BigInteger.class) {
            return NUMBER;
        }
        if (KEYS.contains(type) || type == Boolean.class) {
            return BOXED;
        }
        if (type == Class.class) {
            return CLASS;
        }
        if (SecureRandom.class.isAssignableFrom(type)) {
            return RANDOM;
        }
        if (LISTS.contains(type)) {
            return LIST;
        }
        if (MAPS.contains(type)) {
            return MAP;
        }
        if (type.isEnum() || type.getSuperclass() != null && type.getSuperclass().isEnum()) {
            return requireImaged(type, ENUM);
        }
        return type == Object.class ? PLAIN : requireImaged(type, PLAIN);
    }

    private static byte requireImaged(Class<?> type, byte kind) {
        if (!isImaged(type)) {
            throw new ImageError(type.getName() + " has no place in a card image");
        }
        return kind;
    }

    private static boolean isImaged(Class<?> type) {
        if (type == null) {
            return false;
        }
        if (Slot.isOfCard(type) || STATEFUL.contains(type)) {
            return true;
        }
        String name = type.getName();
        if (name.equals("com.licel.jcardsim.base.TransientMemory")) {
            return true;
        }
        for (String prefix : IMAGED) {
            if (name.startsWith(prefix)) {
                return true;
            }
        }
        return false;
    }

    private static Field[] instanceFields(Class<?> type) {
        List<Field> found = new ArrayList<>();
        for (Class<?> level = type; isImaged(level); level = level.getSuperclass()) {
            for (Field field : sorted(level)) {
                if (!Modifier.isStatic(field.getModifiers()) && lasts(field)) {
                    field.setAccessible(true);
                    found.add(field);
                }
            }
        }
        return found.toArray(new Field[0]);
    }

    private static Field[] sorted(Class<?> type) {
        Field[] all = type.getDeclaredFields();
        Arrays.sort(all, Comparator.comparing(Field::getName));
        return all;
    }

    private static boolean lasts(Field field) {
        Class<?> owner = field.getDeclaringClass();
        if (Modifier.isTransient(field.getModifiers()) && !Slot.isOfCard(owner)) {
            return false;
        }
        if (!STATEFUL.contains(owner)) {
            return true;
        }
        Class<?> type = field.getType();
        while (type.isArray()) {
            type = type.getComponentType();
        }
        if (!type.getName().startsWith("opentsm.runtime.") || STATEFUL.contains(type)) {
            return true;
        }
        if (!STATELESS.contains(type)) {
            throw new ImageError(field + ": does it last without power? ImageShape does not say");
        }
        return false;
    }

    /** What is not of the Java Card VM's in translated code (counters of steps) is none of the card's. */
    private static Field[] staticFields(Class<?> type) {
        boolean translated = type.getClassLoader() instanceof PackageClassLoader;
        List<Field> found = new ArrayList<>();
        for (Field field : sorted(type)) {
            int modifiers = field.getModifiers();
            boolean isCards = !translated || field.getName().matches("s[0-9a-f]{4}");
            if (Modifier.isStatic(modifiers) && !Modifier.isFinal(modifiers) && isCards) {
                field.setAccessible(true);
                found.add(field);
            }
        }
        return found.toArray(new Field[0]);
    }

    /** FNV-1a over names and types of the fields. */
    private long fingerprint() {
        long hash = 0xcbf29ce484222325L;
        for (Field[] some : new Field[][] {fields, statics}) {
            for (Field field : some) {
                String line = field.getName() + letter(field.getType()) + ';';
                for (int i = 0; i < line.length(); i++) {
                    hash = (hash ^ line.charAt(i)) * 0x100000001b3L;
                }
            }
        }
        return hash;
    }

    static char letter(Class<?> type) {
        return type.isPrimitive() ? Array.newInstance(type, 0).getClass().getName().charAt(1) : 'L';
    }

    /** Makes an object without running a constructor of its own: that of Object, or of an exception of Java's. */
    private static Constructor<?> constructor(Class<?> type) {
        Class<?> base = type;
        while (isImaged(base)) {
            base = base.getSuperclass();
        }
        if (base == com.licel.jcardsim.base.SimulatorRuntime.class) {
            return null;
        }
        if (base != Object.class && !Throwable.class.isAssignableFrom(base)) {
            throw new ImageError(type.getName() + " extends " + base.getName());
        }
        try {
            Class<?> factory = Class.forName("sun.reflect.ReflectionFactory");
            Object instance = factory.getMethod("getReflectionFactory").invoke(null);
            return (Constructor<?>) factory
                    .getMethod("newConstructorForSerialization", Class.class, Constructor.class)
                    .invoke(instance, type, base.getDeclaredConstructor());
        } catch (ReflectiveOperationException missing) {
            throw new ImageError(type.getName(), missing);
        }
    }

    Object make() throws ReflectiveOperationException {
        if (constructor == null) {
            throw new ImageError("it was written by another release of opentsm, where objects are a " + type.getName()
                    + ": use that one, or make the card anew");
        }
        return constructor.newInstance();
    }
}
