package opentsm.runtime;

import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Deque;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What the OPEN keeps in persistent memory, as it was at one moment: the registry with all its entries, data objects of the
 * card, services, contactless settings, the card's state.
 *
 * <p>It is found by walking through the runtime's own objects. What belongs to a session (which applications are selected
 * where) and what is only known (of the firewall) is none of it.
 */
final class OpenState {
    /** Fields of sessions, and caches. */
    private static final Set<String> NOT_KEPT =
            new HashSet<>(Arrays.asList("selections", "guarded", "known", "volatilePriority", "memory", "card"));

    private static final Set<String> OF_CARD =
            new HashSet<>(Arrays.asList("state", "restrictions", "historicalBytes", "nextHistoricalBytes"));

    private static final ClassValue<Field[]> FIELDS = new ClassValue<Field[]>() {
        @Override
        protected Field[] computeValue(Class<?> type) {
            List<Field> found = new ArrayList<>();
            for (Class<?> level = type; level.getName().startsWith("opentsm.runtime."); level = level.getSuperclass()) {
                for (Field field : level.getDeclaredFields()) {
                    boolean kept = type == CardRuntime.class ? OF_CARD.contains(field.getName())
                            : !NOT_KEPT.contains(field.getName());
                    if (kept && !Modifier.isStatic(field.getModifiers())) {
                        field.setAccessible(true);
                        found.add(field);
                    }
                }
            }
            return found.toArray(new Field[0]);
        }
    };

    /** Of each object its fields' values, of each collection and map its contents, of each byte array its bytes. */
    private final Map<Object, Object> kept = new IdentityHashMap<>();

    private OpenState() {}

    static OpenState of(CardRuntime card) {
        OpenState state = new OpenState();
        Deque<Object> pending = new ArrayDeque<>();
        pending.addAll(Arrays.asList(card, card.registry, card.data, card.contactless, card.globalServices()));
        while (!pending.isEmpty()) {
            Object object = pending.pop();
            if (!state.kept.containsKey(object)) {
                state.kept.put(object, contentsOf(object, pending));
            }
        }
        return state;
    }

    private static Object contentsOf(Object object, Deque<Object> pending) {
        if (object instanceof byte[]) {
            return ((byte[]) object).clone();
        }
        if (object instanceof Map) {
            Map<?, ?> contents = new LinkedHashMap<>((Map<?, ?>) object);
            contents.values().forEach(value -> follow(value, pending));
            return contents;
        }
        if (object instanceof Collection) {
            List<?> contents = new ArrayList<>((Collection<?>) object);
            contents.forEach(value -> follow(value, pending));
            return contents;
        }
        Field[] fields = FIELDS.get(object.getClass());
        Object[] values = new Object[fields.length];
        for (int i = 0; i < fields.length; i++) {
            values[i] = ApiState.get(fields[i], object);
            follow(values[i], pending);
        }
        return values;
    }

    private static void follow(Object value, Deque<Object> pending) {
        if (value instanceof byte[] || value instanceof Map || value instanceof Collection
                || value instanceof RegistryEntry || value instanceof ContactlessRecord || value instanceof SelectionOrder) {
            pending.push(value);
        }
    }

    /** Tells whether anything is different now. */
    boolean hasChanged() {
        for (Map.Entry<Object, Object> entry : kept.entrySet()) {
            Object now = contentsOf(entry.getKey(), new ArrayDeque<>());
            Object before = entry.getValue();
            boolean same = before instanceof byte[] ? Arrays.equals((byte[]) before, (byte[]) now)
                    : before instanceof Object[] ? Arrays.equals((Object[]) before, (Object[]) now) : before.equals(now);
            if (!same) {
                return true;
            }
        }
        return false;
    }

    /** Makes all of it as it was. */
    @SuppressWarnings("unchecked")
    void restore() {
        for (Map.Entry<Object, Object> entry : kept.entrySet()) {
            Object object = entry.getKey();
            Object before = entry.getValue();
            if (object instanceof byte[]) {
                System.arraycopy(before, 0, object, 0, ((byte[]) before).length);
            } else if (object instanceof Map) {
                ((Map<Object, Object>) object).clear();
                ((Map<Object, Object>) object).putAll((Map<Object, Object>) before);
            } else if (object instanceof Collection) {
                ((Collection<Object>) object).clear();
                ((Collection<Object>) object).addAll((Collection<Object>) before);
            } else {
                restoreFields(object, (Object[]) before);
            }
        }
    }

    private static void restoreFields(Object object, Object[] before) {
        Field[] fields = FIELDS.get(object.getClass());
        for (int i = 0; i < fields.length; i++) {
            if (!Modifier.isFinal(fields[i].getModifiers())) {
                Undo.field(object, fields[i], before[i]).run();
            }
        }
    }
}
