package opentsm.runtime;

import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.HashMap;
import java.util.Map;

/** A field as the memory sees it: where it lies in its object, or among its class's statics, and what it takes. */
final class Slot {
    private static final ClassValue<Map<String, Slot>> SLOTS = new ClassValue<Map<String, Slot>>() {
        @Override
        protected Map<String, Slot> computeValue(Class<?> type) {
            return declared(type);
        }
    };

    final Field field;

    /** Fields before it: of its superclasses and of its own class. */
    final int offset;

    /** A byte and a short take one cell of 16 bits, as a reference does, an int two. */
    final int bytes;

    private Slot(Field field, int offset) {
        this.field = field;
        this.offset = offset;
        this.bytes = field.getType() == int.class ? 4 : 2;
    }

    /** Returns the slots of the fields that a class declares, by name. */
    static Map<String, Slot> of(Class<?> type) {
        return SLOTS.get(type);
    }

    private static Map<String, Slot> declared(Class<?> type) {
        Map<String, Slot> found = new HashMap<>();
        int statics = 0;
        int own = count(type.getSuperclass());
        for (Field field : type.getDeclaredFields()) {
            if (field.isSynthetic()) {
                continue; // the translator's own, none of the package's
            }
            field.setAccessible(true);
            boolean isStatic = Modifier.isStatic(field.getModifiers());
            found.put(field.getName(), new Slot(field, isStatic ? statics++ : own++));
        }
        return found;
    }

    /** Counts the instance fields of a class and its superclasses on the card. */
    static int count(Class<?> type) {
        int fields = 0;
        for (Class<?> level = type; isOfCard(level); level = level.getSuperclass()) {
            for (Field field : level.getDeclaredFields()) {
                fields += Modifier.isStatic(field.getModifiers()) ? 0 : 1;
            }
        }
        return fields;
    }

    /** Returns what the instance fields of a class and its superclasses on the card take. */
    static int bytesOf(Class<?> type) {
        int bytes = 0;
        for (Class<?> level = type; isOfCard(level); level = level.getSuperclass()) {
            for (Slot slot : of(level).values()) {
                bytes += slot.isStatic() ? 0 : slot.bytes;
            }
        }
        return bytes;
    }

    boolean isStatic() {
        return Modifier.isStatic(field.getModifiers());
    }

    static boolean isOfCard(Class<?> type) {
        return type != null && type.getClassLoader() instanceof CardClassLoader;
    }

    Object get(Object object) {
        try {
            return field.get(object);
        } catch (IllegalAccessException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    void set(Object object, Object value) {
        try {
            field.set(object, value);
        } catch (IllegalAccessException impossible) {
            throw new IllegalStateException(impossible);
        }
    }
}
