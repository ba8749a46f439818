package opentsm.runtime;

import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import javacard.framework.OwnerPIN;
import javacard.framework.TransactionException;

/**
 * Transactions of applications whose code does not tell of its writes ({@link Memory}), because it is no CAP file's.
 *
 * <p>When a transaction begins, every persistent object that the running application can reach (its instance, the statics
 * of its classes, keys included) is remembered with its values; another application's, when the transaction enters its
 * context. Aborting writes the values back. Transient arrays keep what was written to them.
 *
 * <p>Spec: JCRE 3.0.5 clause 7.
 */
final class Transactions {
    /** What each object and array takes beside its contents. */
    private static final int HEADER_BYTES = 8;

    private final Heap heap;

    private final Map<Object, Object[]> objects = new IdentityHashMap<>();
    private final Map<Object, Object> arrays = new IdentityHashMap<>();
    private final Map<Class<?>, Object[]> statics = new HashMap<>();
    private final Map<Class<?>, Field[]> instanceFields = new HashMap<>();
    private final Map<Class<?>, Field[]> staticFields = new HashMap<>();
    private byte depth;

    Transactions(Heap heap) {
        this.heap = heap;
    }

    byte depth() {
        return depth;
    }

    void begin(ApplicationEntry application) {
        if (depth != 0) {
            TransactionException.throwIt(TransactionException.IN_PROGRESS);
        }
        depth = 1;
        include(application);
    }

    void commit() {
        requireInProgress();
        forget();
    }

    void abort() {
        requireInProgress();
        try {
            for (Map.Entry<Object, Object> array : arrays.entrySet()) {
                System.arraycopy(array.getValue(), 0, array.getKey(), 0, Array.getLength(array.getKey()));
            }
            for (Map.Entry<Object, Object[]> object : objects.entrySet()) {
                restore(object.getKey(), fieldsOf(object.getKey().getClass()), object.getValue());
            }
            for (Map.Entry<Class<?>, Object[]> type : statics.entrySet()) {
                restore(null, staticFieldsOf(type.getKey()), type.getValue());
            }
        } finally {
            forget();
        }
    }

    /** Keeps what an array's first byte is now: aborting does not undo it. */
    void keep(byte[] array) {
        byte[] saved = (byte[]) arrays.get(array);
        if (saved != null) {
            saved[0] = array[0];
        }
    }

    private void requireInProgress() {
        if (depth == 0) {
            TransactionException.throwIt(TransactionException.NOT_IN_PROGRESS);
        }
    }

    private void forget() {
        depth = 0;
        objects.clear();
        arrays.clear();
        statics.clear();
    }

    /** Remembers what an application can reach. */
    void include(ApplicationEntry application) {
        if (application == null || application.applet == null || application.module().loadFile().loader != null) {
            return;
        }
        Deque<Object> pending = new ArrayDeque<>();
        pending.add(application.applet);
        while (!pending.isEmpty()) {
            remember(pending.pop(), pending);
        }
    }

    private void remember(Object object, Deque<Object> pending) {
        Class<?> type = object.getClass();
        if (type.isArray()) {
            rememberArray(object, pending);
        } else if (isPersistent(type) && !objects.containsKey(object)) {
            objects.put(object, values(object, fieldsOf(type), pending));
            for (Class<?> level = type; isOfCard(level); level = level.getSuperclass()) {
                rememberStatics(level, pending);
            }
        }
    }

    private void rememberStatics(Class<?> type, Deque<Object> pending) {
        if (!statics.containsKey(type)) {
            statics.put(type, new Object[0]);
            statics.put(type, values(null, staticFieldsOf(type), pending));
        }
    }

    private void rememberArray(Object array, Deque<Object> pending) {
        if (heap.find(array) != null || arrays.containsKey(array)) {
            return;
        }
        int length = Array.getLength(array);
        Object copy = Array.newInstance(array.getClass().getComponentType(), length);
        System.arraycopy(array, 0, copy, 0, length);
        arrays.put(array, copy);
        if (array instanceof Object[]) {
            for (Object element : (Object[]) array) {
                if (element != null) {
                    pending.push(element);
                }
            }
        }
    }

    /** Returns the persistent bytes that were included so far, as a Java Card of 16 bits counts them. */
    int persistentBytes() {
        int bytes = 0;
        for (Object array : arrays.keySet()) {
            bytes += bytesOf(array);
        }
        for (Object object : objects.keySet()) {
            bytes += HEADER_BYTES + bytesOf(fieldsOf(object.getClass()));
        }
        for (Class<?> type : statics.keySet()) {
            bytes += bytesOf(staticFieldsOf(type));
        }
        return bytes;
    }

    private static int bytesOf(Object array) {
        Class<?> element = array.getClass().getComponentType();
        boolean single = element == byte.class || element == boolean.class;
        return HEADER_BYTES + Array.getLength(array) * (single ? 1 : sizeOf(element));
    }

    private static int bytesOf(Field[] fields) {
        int bytes = 0;
        for (Field field : fields) {
            bytes += sizeOf(field.getType());
        }
        return bytes;
    }

    /** A field or element takes one cell of 16 bits, an int two. */
    private static int sizeOf(Class<?> type) {
        return type == int.class ? 4 : 2;
    }

    /** Objects of applets, and jCardSim's keys and ciphers, are on the card; the runtime's and Java's own are not. */
    private static boolean isPersistent(Class<?> type) {
        return isOfCard(type) || type.getName().startsWith("com.licel.jcardsim.crypto.")
                || type.getName().startsWith("javacard.");
    }

    private static boolean isOfCard(Class<?> type) {
        return type.getClassLoader() instanceof CardClassLoader;
    }

    private static Object[] values(Object object, Field[] fields, Deque<Object> pending) {
        Object[] values = new Object[fields.length];
        for (int i = 0; i < fields.length; i++) {
            values[i] = get(fields[i], object);
            if (values[i] != null && !fields[i].getType().isPrimitive() && !isTryCounter(fields[i])) {
                pending.push(values[i]);
            }
        }
        return values;
    }

    /** A PIN's tries are no part of a transaction: aborting one gives none back (JC API, OwnerPIN.check). */
    private static boolean isTryCounter(Field field) {
        return field.getDeclaringClass() == OwnerPIN.class && field.getName().equals("triesLeft");
    }

    private static Object get(Field field, Object object) {
        try {
            return field.get(object);
        } catch (IllegalAccessException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private static void restore(Object object, Field[] fields, Object[] values) {
        try {
            for (int i = 0; i < fields.length; i++) {
                if (!Modifier.isFinal(fields[i].getModifiers())) {
                    fields[i].set(object, values[i]);
                }
            }
        } catch (IllegalAccessException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private Field[] fieldsOf(Class<?> type) {
        Field[] known = instanceFields.get(type);
        if (known == null) {
            List<Field> found = new ArrayList<>();
            for (Class<?> level = type; level != null && isPersistent(level); level = level.getSuperclass()) {
                found.addAll(declared(level, false));
            }
            known = found.toArray(new Field[0]);
            instanceFields.put(type, known);
        }
        return known;
    }

    private Field[] staticFieldsOf(Class<?> type) {
        Field[] known = staticFields.get(type);
        if (known == null) {
            known = declared(type, true).toArray(new Field[0]);
            staticFields.put(type, known);
        }
        return known;
    }

    private static List<Field> declared(Class<?> type, boolean ofClass) {
        List<Field> found = new ArrayList<>();
        for (Field field : Arrays.asList(type.getDeclaredFields())) {
            if (Modifier.isStatic(field.getModifiers()) == ofClass) {
                field.setAccessible(true);
                found.add(field);
            }
        }
        return found;
    }
}
