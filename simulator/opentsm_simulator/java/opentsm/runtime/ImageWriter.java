package opentsm.runtime;

import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.lang.reflect.Proxy;
import java.math.BigInteger;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Deque;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Writes what a card keeps without power ({@link CardImage} says in which form).
 *
 * <p>Objects are numbered as they are first met, beginning with the card's own; what nothing reaches is not written, but
 * for the heap, which holds all that applets made.
 */
final class ImageWriter {
    private final CardRuntime card;
    private final Map<Object, Integer> numbers = new IdentityHashMap<>();
    private final Map<Class<?>, Integer> classNumbers = new IdentityHashMap<>();
    private final Map<ClassLoader, Integer> loaders = new IdentityHashMap<>();
    private final Deque<Object> pending = new ArrayDeque<>();
    private final ImageBuffer classes = new ImageBuffer(1 << 12);
    private final ImageBuffer headers = new ImageBuffer(1 << 13);
    private final ImageBuffer contents = new ImageBuffer(1 << 15);
    private final List<LoadFileEntry> loadFiles = new ArrayList<>();
    private int made;

    private ImageWriter(CardRuntime card) {
        this.card = card;
    }

    static byte[] write(CardRuntime card) {
        try {
            return new ImageWriter(card).run();
        } catch (IllegalAccessException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private byte[] run() throws IllegalAccessException {
        for (LoadFileEntry entry : card.registry.loadFiles()) {
            loaders.put(entry.loader, loadFiles.size());
            loadFiles.add(entry);
        }
        Object[] places = card.places();
        for (Object place : places) {
            numbers.put(place, numbers.size() + 1);
        }
        Object[] parts = card.parts();
        for (Object part : parts) {
            content(part);
        }
        statics();
        while (!pending.isEmpty()) {
            content(pending.poll());
        }
        ImageBuffer image = new ImageBuffer(1 << 17);
        image.u16(CardImage.VERSION);
        loadFiles(image);
        image.u16(classNumbers.size());
        image.all(classes);
        image.i32(made);
        image.all(headers);
        image.all(contents);
        return image.toBytes();
    }

    private void loadFiles(ImageBuffer image) {
        image.u16(loadFiles.size());
        for (LoadFileEntry entry : loadFiles) {
            image.i32(number(entry));
            image.u8(entry.imports.size());
            for (LoadFileEntry imported : entry.imports) {
                image.u16(loadFiles.indexOf(imported));
            }
            image.u8(entry.loader.firewalled ? 1 : 0);
            image.block(entry.block.array());
        }
    }

    private void statics() throws IllegalAccessException {
        List<Class<?>> found = new ArrayList<>();
        for (LoadFileEntry entry : loadFiles) {
            found.addAll(entry.loader.withStatics());
        }
        contents.u16(found.size());
        for (Class<?> type : found) {
            contents.u16(classNumber(type));
            fields(null, ImageShape.of(type).statics);
        }
    }

    /** Returns the number of a class, which is written to the table when it is new; -1 for one that is gone. */
    private int classNumber(Class<?> type) {
        Integer known = classNumbers.get(type);
        if (known != null) {
            return known;
        }
        Class<?> element = type;
        while (element.isArray()) {
            element = element.getComponentType();
        }
        Integer loader = element.getClassLoader() instanceof CardClassLoader
                ? loaders.get(element.getClassLoader()) : Integer.valueOf(CardImage.RUNTIME);
        if (loader == null) {
            return -1;
        }
        ImageShape shape = ImageShape.of(type);
        boolean hidden = shape.kind == ImageShape.PROXY;
        classNumbers.put(type, classNumbers.size());
        classes.u16(hidden ? CardImage.RUNTIME : loader);
        classes.text(hidden ? Proxy.class.getName() : type.getName());
        classes.u8(shape.kind);
        classes.i64(shape.fingerprint);
        return classNumbers.size() - 1;
    }

    /** Returns an object's number, 0 for null and for what is left of a deleted package. */
    private int number(Object object) {
        if (object == null) {
            return 0;
        }
        Integer known = numbers.get(object);
        if (known != null) {
            return known;
        }
        if (object instanceof Class && classNumber((Class<?>) object) < 0) {
            return 0;
        }
        int type = classNumber(object.getClass());
        if (type < 0) {
            return 0;
        }
        ImageShape shape = ImageShape.of(object.getClass());
        // What these are made of comes before them.
        int behind = shape.kind == ImageShape.PROXY ? number(Contexts.behind(object)) : 0;
        int server = shape.kind == ImageShape.PROXY ? number(Contexts.serverOf(object)) : 0;
        int number = numbers.size() + 1;
        numbers.put(object, number);
        made++;
        headers.u16(type);
        header(object, shape, behind, server);
        return number;
    }

    private void header(Object object, ImageShape shape, int behind, int server) {
        switch (shape.kind) {
            case ImageShape.ARRAY:
                boolean cleared = isCleared(object);
                headers.i32(Array.getLength(object));
                headers.u8(cleared ? 1 : 0);
                if (!cleared) {
                    pending.add(object);
                }
                break;
            case ImageShape.PROXY:
                headers.i32(behind);
                headers.i32(server);
                break;
            case ImageShape.TEXT:
                headers.text((String) object);
                break;
            case ImageShape.NUMBER:
                headers.block(((BigInteger) object).toByteArray());
                break;
            case ImageShape.BOXED:
                headers.i64(object instanceof Boolean ? ((Boolean) object ? 1 : 0) : ((Number) object).longValue());
                break;
            case ImageShape.CLASS:
                headers.u16(classNumber((Class<?>) object));
                break;
            case ImageShape.ENUM:
                headers.text(((Enum<?>) object).name());
                break;
            case ImageShape.RANDOM:
                break;
            default:
                pending.add(object);
        }
    }

    /** Transient and global arrays are there, and empty. */
    private boolean isCleared(Object array) {
        Heap.Item item = card.memory.heap.find(array);
        return item != null && !item.isPersistent();
    }

    private void content(Object object) throws IllegalAccessException {
        ImageShape shape = ImageShape.of(object.getClass());
        switch (shape.kind) {
            case ImageShape.PLAIN:
                fields(object, shape.fields);
                break;
            case ImageShape.ARRAY:
                elements(object);
                break;
            case ImageShape.LIST:
                List<?> list = (List<?>) object;
                contents.i32(list.size());
                for (Object element : list) {
                    contents.i32(number(element));
                }
                break;
            case ImageShape.MAP:
                Map<?, ?> map = (Map<?, ?>) object;
                contents.i32(map.size());
                for (Map.Entry<?, ?> entry : entries(map)) {
                    contents.i32(number(entry.getKey()));
                    contents.i32(number(entry.getValue()));
                }
                break;
            case ImageShape.HEAP:
                heap((Heap) object);
                break;
            default:
                throw new IllegalStateException("kind " + shape.kind);
        }
    }

    /** Entries in an order that is the map's own, or that of its keys: a hash table's is another in every copy. */
    @SuppressWarnings({"unchecked", "rawtypes"})
    private static List<Map.Entry<?, ?>> entries(Map<?, ?> map) {
        List<Map.Entry<?, ?>> entries = new ArrayList<>(map.entrySet());
        for (Map.Entry<?, ?> entry : entries) {
            if (!ImageShape.KEYS.contains(entry.getKey().getClass())) {
                throw new ImageError("a map by " + entry.getKey().getClass().getName());
            }
        }
        if (!(map instanceof LinkedHashMap || map instanceof TreeMap)) {
            Comparator<Map.Entry<?, ?>> byClass = Comparator.comparing(entry -> entry.getKey().getClass().getName());
            entries.sort(byClass.thenComparing(entry -> (Comparable) entry.getKey()));
        }
        return entries;
    }

    /** All but what a load that is not finished brought: a reset ends it. */
    private void heap(Heap heap) {
        List<Heap.Item> items = heap.items();
        items.removeIf(item -> item.context != null && !loadFiles.contains(item.context));
        contents.i32(heap.made());
        contents.i32(items.size());
        for (Heap.Item item : items) {
            contents.i32(number(item));
        }
    }

    private void fields(Object object, Field[] fields) throws IllegalAccessException {
        for (Field field : fields) {
            switch (ImageShape.letter(field.getType())) {
                case 'Z':
                    contents.u8(field.getBoolean(object) ? 1 : 0);
                    break;
                case 'B':
                    contents.u8(field.getByte(object));
                    break;
                case 'S':
                    contents.u16(field.getShort(object));
                    break;
                case 'C':
                    contents.u16(field.getChar(object));
                    break;
                case 'I':
                    contents.i32(field.getInt(object));
                    break;
                case 'J':
                    contents.i64(field.getLong(object));
                    break;
                case 'L':
                    contents.i32(number(field.get(object)));
                    break;
                default:
                    throw new ImageError(field + " is of a type that no card has");
            }
        }
    }

    private void elements(Object array) {
        if (array instanceof byte[]) {
            contents.raw((byte[]) array);
        } else if (array instanceof boolean[]) {
            for (boolean each : (boolean[]) array) {
                contents.u8(each ? 1 : 0);
            }
        } else if (array instanceof short[]) {
            for (short each : (short[]) array) {
                contents.u16(each);
            }
        } else if (array instanceof int[]) {
            for (int each : (int[]) array) {
                contents.i32(each);
            }
        } else if (array instanceof long[]) {
            for (long each : (long[]) array) {
                contents.i64(each);
            }
        } else if (array instanceof Object[]) {
            for (Object each : (Object[]) array) {
                contents.i32(number(each));
            }
        } else {
            throw new ImageError("an array " + array.getClass().getName());
        }
    }
}
