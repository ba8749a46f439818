package opentsm.runtime;

import java.lang.reflect.Array;
import java.lang.reflect.Field;

/** Takes back one write. */
interface Undo {
    void run();

    /** Puts back what an array's element was. */
    static Undo element(Object array, int index) {
        if (array instanceof byte[]) {
            byte[] bytes = (byte[]) array;
            byte before = bytes[index];
            return () -> bytes[index] = before;
        }
        Object before = Array.get(array, index);
        return () -> Array.set(array, index, before);
    }

    /** Puts back a value into a field. */
    static Undo field(Object object, Field field, Object before) {
        return () -> {
            try {
                field.set(object, before);
            } catch (IllegalAccessException impossible) {
                throw new IllegalStateException(impossible);
            }
        };
    }
}
