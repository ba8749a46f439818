package opentsm.runtime;

import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.ArrayDeque;
import java.util.Collection;
import java.util.Deque;
import java.util.Map;
import java.util.Set;

/**
 * Deletes what no instance, static field or service of the card reaches any more, when an applet has asked for it.
 *
 * <p>Spec: JC API, JCSystem.requestObjectDeletion; JCRE 3.0.5 clause 11.3.
 */
final class ObjectDeletion {
    private final CardRuntime card;
    private final Set<Object> reached = ContextMemory.newCardSet();
    private final Deque<Object> pending = new ArrayDeque<>();

    private ObjectDeletion(CardRuntime card) {
        this.card = card;
    }

    /** Deletes from a card; behind the command in which it was asked for. */
    static void run(CardRuntime card) {
        try {
            new ObjectDeletion(card).sweep();
        } catch (IllegalAccessException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private void sweep() throws IllegalAccessException {
        for (Object root : new Object[] {card.registry, card.contactless, card.data, card.globalServices()}) {
            reach(root);
        }
        for (Heap.Item item : card.memory.heap.items()) {
            if (item.object instanceof Class) {
                fields((Class<?>) item.object, null);
            }
        }
        while (!pending.isEmpty()) {
            visit(pending.poll());
        }
        card.memory.delete(item -> !(item.object instanceof Class) && !reached.contains(item.object) && forget(item));
    }

    private static boolean forget(Heap.Item item) {
        if (item.instance != null) {
            item.instance.memory.forget(item.object);
        }
        return true;
    }

    private void reach(Object object) {
        // The memory itself knows every object: it is no way to one.
        boolean skipped = object == null || object instanceof Class || object instanceof Memory || object instanceof Heap
                || object instanceof ContextMemory || object instanceof ClassLoader || object instanceof CardRuntime;
        if (!skipped && reached.add(object)) {
            pending.add(object);
        }
    }

    private void visit(Object object) throws IllegalAccessException {
        if (object instanceof Object[]) {
            for (Object element : (Object[]) object) {
                reach(element);
            }
        } else if (object instanceof Map) {
            ((Map<?, ?>) object).forEach((key, value) -> {
                reach(key);
                reach(value);
            });
        } else if (object instanceof Collection) {
            ((Collection<?>) object).forEach(this::reach);
        } else if (!object.getClass().getName().startsWith("java.")) {
            for (Class<?> type = object.getClass(); type != null && !type.getName().startsWith("java."); type = type
                    .getSuperclass()) {
                fields(type, object);
            }
        }
    }

    private void fields(Class<?> type, Object object) throws IllegalAccessException {
        for (Field field : type.getDeclaredFields()) {
            if (!field.getType().isPrimitive() && Modifier.isStatic(field.getModifiers()) == (object == null)) {
                field.setAccessible(true);
                reach(field.get(object));
            }
        }
    }
}
