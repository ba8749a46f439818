package opentsm.runtime;

import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;
import javacard.framework.OwnerPIN;
import javacard.security.Key;
import javacard.security.KeyPair;

/**
 * The persistent state inside an object of the APIs: the fields and arrays of a key, a key pair or a PIN.
 *
 * <p>What a cipher, a signature or a digest has in it while it works is not persistent (JC API 3.0.5, javacardx.crypto.Cipher
 * and its like: a reset takes it).
 */
final class ApiState {
    private ApiState() {}

    /** A place in the state: a field, or an array's elements. */
    interface Visitor {
        void field(Object object, Field field);

        void array(Object array);
    }

    /** Tells whether objects of a class have such a state. */
    static boolean has(Object object) {
        return object instanceof Key || object instanceof KeyPair || object instanceof OwnerPIN;
    }

    /** Visits all of it, in an order that stays the same. */
    static void visit(Object object, Visitor visitor) {
        if (has(object)) {
            visit(object, visitor, Collections.newSetFromMap(new IdentityHashMap<>()));
        }
    }

    private static void visit(Object object, Visitor visitor, Set<Object> seen) {
        if (object == null || !seen.add(object)) {
            return;
        }
        if (object.getClass().isArray()) {
            visitor.array(object);
            return;
        }
        for (Field field : FIELDS.get(object.getClass())) {
            visitor.field(object, field);
            if (!field.getType().isPrimitive()) {
                visit(get(field, object), visitor, seen);
            }
        }
    }

    private static final ClassValue<Field[]> FIELDS = new ClassValue<Field[]>() {
        @Override
        protected Field[] computeValue(Class<?> type) {
            List<Field> found = new ArrayList<>();
            for (Class<?> level = type; level != null; level = level.getSuperclass()) {
                if (isApi(level)) {
                    for (Field field : level.getDeclaredFields()) {
                        if ((field.getModifiers() & (Modifier.STATIC | Modifier.FINAL)) == 0) {
                            field.setAccessible(true);
                            found.add(field);
                        }
                    }
                }
            }
            return found.toArray(new Field[0]);
        }
    };

    /** Java's own values (BigInteger) and the cryptographic library's are replaced as a whole, never changed. */
    private static boolean isApi(Class<?> type) {
        return type.getName().startsWith("javacard") || type.getName().startsWith("com.licel.jcardsim.crypto.");
    }

    static Object get(Field field, Object object) {
        try {
            return field.get(object);
        } catch (IllegalAccessException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    /** Returns what the state takes, in bytes. */
    static int bytesOf(Object object) {
        int[] bytes = {0};
        visit(object, new Visitor() {
            @Override
            public void field(Object owner, Field field) {
                bytes[0] += field.getType() == int.class ? 4 : 2;
            }

            @Override
            public void array(Object array) {
                boolean wide = array instanceof short[] || array instanceof Object[];
                bytes[0] += Array.getLength(array) * (array instanceof int[] ? 4 : wide ? 2 : 1);
            }
        });
        return bytes[0];
    }
}
