package opentsm.runtime;

import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * One call of an API by an applet, while writes are watched: what it could change is remembered before, and compared
 * behind it; each difference was a write.
 *
 * <p>That are the persistent arrays among its arguments, and the state of keys and PINs.
 */
final class ApiCall {
    /** One change that the call made. */
    static final class Change {
        final Heap.Item item;
        final int offset;
        final int bytes;
        final Undo undo;

        Change(Heap.Item item, int offset, int bytes, Undo undo) {
            this.item = item;
            this.offset = offset;
            this.bytes = bytes;
            this.undo = undo;
        }
    }

    /** An array as it was. */
    private static final class Kept {
        final Heap.Item item;
        final Object array;
        final Object before;

        /** Whether it is inside an object of the API: that is written as one. */
        final boolean inside;

        Kept(Heap.Item item, Object array, boolean inside) {
            this.item = item;
            this.array = array;
            this.inside = inside;
            int length = Array.getLength(array);
            before = Array.newInstance(array.getClass().getComponentType(), length);
            System.arraycopy(array, 0, before, 0, length);
        }
    }

    /** A field of an object of the API as it was. */
    private static final class KeptField {
        final Heap.Item item;
        final Object object;
        final Field field;
        final Object before;

        KeptField(Heap.Item item, Object object, Field field) {
            this.item = item;
            this.object = object;
            this.field = field;
            this.before = ApiState.get(field, object);
        }
    }

    private final Heap heap;

    /** How many levels there are while an operation of the OPEN is in progress that happens whole; 0 for other calls. */
    int levels;

    /** What the OPEN kept before it. */
    OpenState open;

    private final List<Kept> arrays = new ArrayList<>();
    private final List<KeptField> fields = new ArrayList<>();

    /** Places that were written by writes of their own meanwhile: code that the API called, PIN tries. */
    private final Set<Long> told = new HashSet<>();

    private final Set<Object> toldArrays = ContextMemory.newCardSet();

    ApiCall(Heap heap) {
        this.heap = heap;
    }

    /** Remembers what is persistent among the receiver and the arguments of a call. */
    boolean remember(Object[] references) {
        for (Object reference : references) {
            Heap.Item item = reference == null ? null : heap.find(reference);
            if (item != null && item.isPersistent()) {
                if (reference.getClass().isArray()) {
                    arrays.add(new Kept(item, reference, false));
                } else {
                    rememberState(item);
                }
            }
        }
        return !arrays.isEmpty() || !fields.isEmpty();
    }

    private void rememberState(Heap.Item item) {
        ApiState.visit(item.object, new ApiState.Visitor() {
            @Override
            public void field(Object object, Field field) {
                fields.add(new KeptField(item, object, field));
            }

            @Override
            public void array(Object array) {
                if (heap.find(array) == null) {
                    arrays.add(new Kept(item, array, true));
                }
            }
        });
    }

    /** Hears of a write that was counted by itself. */
    void told(Heap.Item item, int offset) {
        told.add(key(item, offset));
    }

    /** Hears that an array inside of an API's object is written by writes of its own. */
    void told(Object array) {
        toldArrays.add(array);
    }

    static long key(Heap.Item item, int offset) {
        return (long) item.number << 32 | offset & 0xFFFFFFFFL;
    }

    /** Returns what changed of arrays among the arguments, element by element in order. */
    List<Change> elements() {
        List<Change> found = new ArrayList<>();
        for (Kept kept : arrays) {
            if (!kept.inside) {
                compare(kept, 0, found);
            }
        }
        return found;
    }

    /** Returns what changed inside of keys and PINs. */
    List<Change> state() {
        List<Change> found = new ArrayList<>();
        int offset = 0;
        for (KeptField kept : fields) {
            Object now = ApiState.get(kept.field, kept.object);
            boolean same = kept.field.getType().isPrimitive() ? now.equals(kept.before) : now == kept.before;
            if (!same) {
                Undo undo = Undo.field(kept.object, kept.field, kept.before);
                found.add(new Change(kept.item, offset, 2, undo));
            }
            offset++;
        }
        for (Kept kept : arrays) {
            if (kept.inside && !toldArrays.contains(kept.array)) {
                compare(kept, offset, found);
                offset += Array.getLength(kept.before);
            }
        }
        return found;
    }

    private void compare(Kept kept, int base, List<Change> into) {
        if (kept.array instanceof byte[]) {
            byte[] before = (byte[]) kept.before;
            byte[] now = (byte[]) kept.array;
            for (int i = 0; i < before.length; i++) {
                if (before[i] != now[i]) {
                    byte value = before[i];
                    int index = i;
                    add(kept, base + i, 1, () -> now[index] = value, into);
                }
            }
            return;
        }
        for (int i = 0; i < Array.getLength(kept.before); i++) {
            Object before = Array.get(kept.before, i);
            Object now = Array.get(kept.array, i);
            boolean same = kept.array instanceof Object[] ? before == now : before.equals(now);
            if (!same) {
                int index = i;
                int bytes = kept.array instanceof int[] ? 4 : kept.array instanceof boolean[] ? 1 : 2;
                add(kept, base + i, bytes, () -> Array.set(kept.array, index, before), into);
            }
        }
    }

    private void add(Kept kept, int offset, int bytes, Undo undo, List<Change> into) {
        if (!told.contains(key(kept.item, offset))) {
            into.add(new Change(kept.item, offset, bytes, undo));
        }
    }
}
