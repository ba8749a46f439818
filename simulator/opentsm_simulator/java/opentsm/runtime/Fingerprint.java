package opentsm.runtime;

import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.IdentityHashMap;
import java.util.Map;
import java.util.TreeMap;

/**
 * What the applications of a card hold in persistent memory, as a digest for each: two cards that tell the same hold the
 * same. Objects that nothing reaches any more do not count, nor does in which order they were made.
 */
final class Fingerprint {
    private final Heap heap;
    private final MessageDigest digest;
    private final Map<Object, Integer> seen = new IdentityHashMap<>();
    private final Deque<Object> pending = new ArrayDeque<>();

    private Fingerprint(Heap heap) {
        this.heap = heap;
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException missing) {
            throw new IllegalStateException(missing);
        }
    }

    /** Returns a line for each instance, and each package with static fields: its AID, a tab, the digest in hex. */
    static String[] of(CardRuntime card) {
        Map<String, String> lines = new TreeMap<>();
        for (ApplicationEntry entry : card.registry.applications()) {
            lines.put(Hex.encode(entry.name, 0, entry.name.length), new Fingerprint(card.memory.heap).of(entry.applet));
        }
        for (Heap.Item item : card.memory.heap.items()) {
            if (item.object instanceof Class && item.context != null) {
                byte[] aid = item.context.name;
                lines.put(Hex.encode(aid, 0, aid.length), new Fingerprint(card.memory.heap).of(item.object));
            }
        }
        String[] all = new String[lines.size()];
        int at = 0;
        for (Map.Entry<String, String> line : lines.entrySet()) {
            all[at++] = line.getKey() + "\t" + line.getValue();
        }
        return all;
    }

    private String of(Object root) {
        reference(root);
        while (!pending.isEmpty()) {
            Object object = pending.remove();
            if (object instanceof Class) {
                fields((Class<?>) object, null);
            } else if (object.getClass().isArray()) {
                array(object);
            } else {
                object(object);
            }
        }
        byte[] sum = digest.digest();
        return Hex.encode(sum, 0, 8);
    }

    private void number(long value) {
        digest.update(ByteBuffer.allocate(8).putLong(value).array());
    }

    private void text(String value) {
        digest.update(value.getBytes(java.nio.charset.StandardCharsets.UTF_8));
    }

    private void reference(Object object) {
        if (object == null) {
            number(-1);
            return;
        }
        Integer known = seen.get(object);
        if (known == null) {
            known = seen.size();
            seen.put(object, known);
            pending.add(object);
        }
        number(known);
    }

    private void value(Object value, boolean isReference) {
        if (isReference) {
            reference(value);
        } else {
            number(value instanceof Boolean ? ((Boolean) value ? 1 : 0) : ((Number) value).longValue());
        }
    }

    private void object(Object object) {
        Class<?> type = object.getClass();
        text(type.getName());
        for (Class<?> level = type; Slot.isOfCard(level); level = level.getSuperclass()) {
            fields(level, object);
        }
        ApiState.visit(object, new ApiState.Visitor() {
            @Override
            public void field(Object owner, Field field) {
                if (field.getType().isPrimitive()) {
                    value(ApiState.get(field, owner), false);
                }
            }

            @Override
            public void array(Object array) {
                if (heap.find(array) == null) {
                    Fingerprint.this.array(array);
                }
            }
        });
    }

    private void fields(Class<?> level, Object object) {
        for (Map.Entry<String, Slot> entry : new TreeMap<>(Slot.of(level)).entrySet()) {
            Slot slot = entry.getValue();
            // The runtime's own count of steps is no field of the package's.
            boolean counts = slot.isStatic() && entry.getKey().equals("steps");
            if (slot.isStatic() == (object == null) && !counts) {
                value(slot.get(object), !slot.field.getType().isPrimitive());
            }
        }
    }

    private void array(Object array) {
        Heap.Item item = heap.find(array);
        int length = Array.getLength(array);
        text(array.getClass().getName());
        number(length);
        if (item != null && !item.isPersistent()) {
            return;
        }
        for (int i = 0; i < length; i++) {
            value(Array.get(array, i), array instanceof Object[]);
        }
    }
}
