package opentsm.runtime;

import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.math.BigInteger;
import java.nio.BufferUnderflowException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * Makes a card of what {@link ImageWriter} wrote. What is not an image is refused with {@link ImageError}, and takes no more
 * memory than a few times its own length.
 *
 * <p>Classes of load files that the card before had as well are used again, with the code that the JVM compiled for them:
 * that card must be used no longer.
 */
final class ImageReader {
    /** The most that transient arrays of one image may take, in bytes: many times what any card has. */
    private static final int MOST_TRANSIENT_BYTES = 1 << 24;

    private final ImageInput in;
    private final ImageClasses classes;
    private final CardRuntime card;
    private Object[] objects;
    private int parts;
    private int transientBytes;
    private final List<Object> filled = new ArrayList<>();
    private final List<Runnable> atLast = new ArrayList<>();

    private ImageReader(byte[] image, CardRuntime card, CardRuntime before) {
        this.in = new ImageInput(image);
        this.card = card;
        this.classes = new ImageClasses(in, card, before);
    }

    /**
     * Fills a new card.
     *
     * @param card a card with nothing on it
     * @param before a card whose classes may be used again; null for none
     */
    static void read(byte[] image, CardRuntime card, CardRuntime before) {
        try {
            new ImageReader(image, card, before).run();
        } catch (ImageError refused) {
            throw refused;
        } catch (BufferUnderflowException cut) {
            throw new ImageError("it ends too early", cut);
        } catch (ReflectiveOperationException | RuntimeException | LinkageError broken) {
            throw new ImageError("it does not hold together", broken);
        }
    }

    private void run() throws ReflectiveOperationException {
        int version = in.u16();
        ImageError.require(version == CardImage.VERSION,
                "its state is of version " + version + ", this release reads version " + CardImage.VERSION);
        classes.read();
        objects();
        for (Object part : card.parts()) {
            content(part);
        }
        statics();
        for (Object object : filled) {
            content(object);
        }
        ImageError.require(in.remaining() == 0, "something follows its end");
        classes.link(this::object, atLast);
        ImageError.require(card.registry.issuerDomain() != null, "it has no issuer security domain");
        for (Runnable each : atLast) {
            each.run();
        }
        card.firewall.restore();
    }

    // Objects.

    private void objects() throws ReflectiveOperationException {
        Object[] places = card.places();
        parts = places.length;
        int count = in.count(2);
        objects = Arrays.copyOf(places, parts + count);
        List<int[]> proxies = new ArrayList<>();
        for (int i = parts; i < objects.length; i++) {
            ImageShape shape = classes.shape();
            if (shape == null) {
                proxies.add(new int[] {i, in.i32(), in.i32()});
            } else {
                objects[i] = make(shape);
            }
        }
        for (int[] proxy : proxies) {
            Object object = object(proxy[1]);
            Object server = object(proxy[2]);
            ImageError.require(object instanceof javacard.framework.Shareable && server instanceof ApplicationEntry,
                    "a shareable object is none");
            objects[proxy[0]] = card.contexts.share(
                    (javacard.framework.Shareable) object, (ApplicationEntry) server, null);
        }
    }

    private Object object(int number) {
        ImageError.require(number >= 0 && number <= objects.length, "an object is not there");
        return number == 0 ? null : objects[number - 1];
    }

    private Object make(ImageShape shape) throws ReflectiveOperationException {
        switch (shape.kind) {
            case ImageShape.ARRAY:
                return array(shape.type.getComponentType());
            case ImageShape.TEXT:
                return in.text();
            case ImageShape.NUMBER:
                return new BigInteger(in.block());
            case ImageShape.BOXED:
                return boxed(shape.type, in.i64());
            case ImageShape.CLASS:
                ImageShape named = classes.shape();
                ImageError.require(named != null, "a class is none");
                return named.type;
            case ImageShape.ENUM:
                return named(shape.type, in.text());
            case ImageShape.RANDOM:
                // A generator's state is not what a card keeps.
                return shape.type.getName().startsWith("com.licel.") ? newRandom(shape.type)
                        : new java.security.SecureRandom();
            case ImageShape.LIST:
            case ImageShape.MAP:
                return filled(shape.type.getDeclaredConstructor().newInstance());
            case ImageShape.PLAIN:
                return filled(shape.make());
            default:
                throw new ImageError("a " + shape.type.getName() + " can't be made");
        }
    }

    private Object filled(Object object) {
        filled.add(object);
        return object;
    }

    private static Object newRandom(Class<?> type) throws ReflectiveOperationException {
        java.lang.reflect.Constructor<?> constructor = type.getDeclaredConstructor();
        constructor.setAccessible(true);
        return constructor.newInstance();
    }

    private Object array(Class<?> element) {
        int length = in.i32();
        boolean cleared = in.flag();
        int each = sizeOf(element);
        if (cleared) {
            ImageError.require(length >= 0 && length <= MOST_TRANSIENT_BYTES, "a transient array is too long");
            transientBytes += length * (long) each > MOST_TRANSIENT_BYTES ? MOST_TRANSIENT_BYTES : length * each;
            ImageError.require(transientBytes <= MOST_TRANSIENT_BYTES, "its transient arrays are too long");
            return Array.newInstance(element, length);
        }
        in.require(length, each);
        return filled(Array.newInstance(element, length));
    }

    private static int sizeOf(Class<?> element) {
        switch (ImageShape.letter(element)) {
            case 'Z':
            case 'B':
                return 1;
            case 'S':
            case 'C':
                return 2;
            case 'J':
                return 8;
            default:
                return 4;
        }
    }

    private static Object boxed(Class<?> type, long value) {
        if (type == Integer.class) {
            return (int) value;
        }
        if (type == Short.class) {
            return (short) value;
        }
        if (type == Byte.class) {
            return (byte) value;
        }
        return type == Long.class ? (Object) value : (Object) (value != 0);
    }

    private static Object named(Class<?> type, String name) {
        Class<?> declared = type.isEnum() ? type : type.getSuperclass();
        for (Object constant : declared.getEnumConstants()) {
            if (((Enum<?>) constant).name().equals(name)) {
                return constant;
            }
        }
        throw new ImageError(type.getName() + " has no " + name);
    }

    // What is in them.

    /** Static fields are set at last: the card before may go on with its own if the image is refused. */
    private void statics() throws ReflectiveOperationException {
        for (int left = in.u16(); left != 0; left--) {
            ImageShape shape = classes.shape();
            ImageError.require(shape != null && Slot.isOfCard(shape.type), "a class is not one of the card's");
            Class.forName(shape.type.getName(), true, shape.type.getClassLoader());
            for (Field field : shape.statics) {
                Object value = value(field.getType());
                ImageError.require(value == null || field.getType().isPrimitive() || field.getType().isInstance(value),
                        "a static field holds what it can't");
                atLast.add(() -> set(field, value));
            }
        }
    }

    private static void set(Field field, Object value) {
        try {
            field.set(null, value);
        } catch (IllegalAccessException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private Object value(Class<?> type) {
        switch (ImageShape.letter(type)) {
            case 'Z':
                return in.flag();
            case 'B':
                return in.i8();
            case 'S':
                return in.i16();
            case 'C':
                return (char) in.u16();
            case 'I':
                return in.i32();
            case 'J':
                return in.i64();
            default:
                return object(in.i32());
        }
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
                list(object);
                break;
            case ImageShape.MAP:
                map(object);
                break;
            default:
                heap((Heap) object);
        }
    }

    private void fields(Object object, Field[] fields) throws IllegalAccessException {
        for (Field field : fields) {
            switch (ImageShape.letter(field.getType())) {
                case 'Z':
                    field.setBoolean(object, in.flag());
                    break;
                case 'B':
                    field.setByte(object, in.i8());
                    break;
                case 'S':
                    field.setShort(object, in.i16());
                    break;
                case 'I':
                    field.setInt(object, in.i32());
                    break;
                default:
                    field.set(object, value(field.getType()));
            }
        }
    }

    private void elements(Object array) {
        if (array instanceof byte[]) {
            in.raw((byte[]) array);
            return;
        }
        int length = Array.getLength(array);
        for (int i = 0; i < length; i++) {
            if (array instanceof short[]) {
                ((short[]) array)[i] = in.i16();
            } else if (array instanceof int[]) {
                ((int[]) array)[i] = in.i32();
            } else if (array instanceof Object[]) {
                ((Object[]) array)[i] = object(in.i32());
            } else {
                Array.set(array, i, value(array.getClass().getComponentType()));
            }
        }
    }

    @SuppressWarnings("unchecked")
    private void list(Object object) {
        for (int left = in.count(4); left != 0; left--) {
            ((List<Object>) object).add(object(in.i32()));
        }
    }

    @SuppressWarnings("unchecked")
    private void map(Object object) {
        for (int left = in.count(8); left != 0; left--) {
            Object key = object(in.i32());
            ImageError.require(key != null && ImageShape.KEYS.contains(key.getClass()), "a key of a map is none");
            ((Map<Object, Object>) object).put(key, object(in.i32()));
        }
    }

    private void heap(Heap heap) {
        int made = in.i32();
        List<Heap.Item> items = new ArrayList<>();
        for (int left = in.count(4); left != 0; left--) {
            items.add((Heap.Item) object(in.i32()));
        }
        atLast.add(() -> heap.restore(items, made));
    }
}
