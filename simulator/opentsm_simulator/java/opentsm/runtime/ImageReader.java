package opentsm.runtime;

import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.math.BigInteger;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
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

    private final ByteBuffer in;
    private final CardRuntime card;
    private final CardRuntime before;
    private final ClassLoader runtime = CardRuntime.class.getClassLoader();
    private final List<PackageClassLoader> loaders = new ArrayList<>();
    private final List<ByteBuffer> blocks = new ArrayList<>();
    private final List<Integer> entries = new ArrayList<>();
    private ImageShape[] classes;
    private Object[] objects;
    private int parts;
    private int transientBytes;
    private final List<Object> filled = new ArrayList<>();
    private final List<Runnable> atLast = new ArrayList<>();

    private ImageReader(byte[] image, CardRuntime card, CardRuntime before) {
        this.in = ByteBuffer.wrap(image);
        this.card = card;
        this.before = before;
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

    private static void require(boolean holds, String otherwise) {
        if (!holds) {
            throw new ImageError(otherwise);
        }
    }

    private void run() throws ReflectiveOperationException {
        int version = u16();
        require(version == CardImage.VERSION,
                "its state is of version " + version + ", this release reads version " + CardImage.VERSION);
        loadFiles();
        classes();
        objects();
        for (Object part : card.parts()) {
            content(part);
        }
        statics();
        for (Object object : filled) {
            content(object);
        }
        require(!in.hasRemaining(), "something follows its end");
        link();
        require(card.registry.issuerDomain() != null, "it has no issuer security domain");
        for (Runnable each : atLast) {
            each.run();
        }
        card.firewall.restore();
    }

    private int u16() {
        return in.getShort() & 0xFFFF;
    }

    /** Reads how many things follow, of which each takes some bytes at least. */
    private int count(int each) {
        int count = in.getInt();
        require(count >= 0 && (long) count * each <= in.remaining(), "it says that it holds more than it does");
        return count;
    }

    private byte[] block() {
        byte[] bytes = new byte[count(1)];
        in.get(bytes);
        return bytes;
    }

    private String text() {
        return new String(block(), StandardCharsets.UTF_8);
    }

    // Classes.

    private void loadFiles() {
        int count = u16();
        for (int i = 0; i < count; i++) {
            entries.add(in.getInt());
            List<PackageClassLoader> imports = new ArrayList<>();
            for (int left = in.get() & 0xFF; left != 0; left--) {
                int imported = u16();
                require(imported < i, "a load file imports one that comes later");
                imports.add(loaders.get(imported));
            }
            boolean firewalled = in.get() != 0;
            byte[] block = block();
            PackageClassLoader used = usedBefore(block, firewalled, imports);
            loaders.add(used != null ? used : translated(block, firewalled, imports));
            blocks.add(used != null ? used.loadFile.block : LoadedPackage.shared(block));
        }
    }

    private PackageClassLoader usedBefore(byte[] block, boolean firewalled, List<PackageClassLoader> imports) {
        if (before != null) {
            for (LoadFileEntry entry : before.registry.loadFiles()) {
                PackageClassLoader loader = entry.loader;
                if (!loaders.contains(loader) && loader.imports.equals(imports)
                        && loader.firewalled == firewalled && Arrays.equals(entry.block.array(), block)) {
                    return loader;
                }
            }
        }
        return null;
    }

    private PackageClassLoader translated(byte[] block, boolean firewalled, List<PackageClassLoader> imports) {
        String[] codes = new String[imports.size()];
        for (int i = 0; i < codes.length; i++) {
            codes[i] = imports.get(i).code;
        }
        LoadedPackage found = new LoadedPackage(card);
        found.firewalled = firewalled;
        require(card.packages.translate(block, codes, found), "one of its load files can't be translated; see the log");
        return new PackageClassLoader(card, found, imports);
    }

    private void classes() throws ReflectiveOperationException {
        classes = new ImageShape[u16()];
        for (int i = 0; i < classes.length; i++) {
            int loader = u16();
            String name = text();
            byte kind = in.get();
            long fingerprint = in.getLong();
            if (kind == ImageShape.PROXY) {
                continue;
            }
            ImageShape shape = ImageShape.of(find(loader, name));
            require(shape.kind == kind && shape.fingerprint == fingerprint,
                    "it was written by another release of opentsm, whose " + name + " has other fields: use that one, or "
                            + "make the card anew");
            classes[i] = shape;
        }
    }

    private Class<?> find(int loader, String name) throws ClassNotFoundException {
        if (loader == CardImage.RUNTIME) {
            return Class.forName(name, false, runtime);
        }
        require(loader < loaders.size(), "a class is of a load file that is not there");
        return Class.forName(name, false, loaders.get(loader));
    }

    private ImageShape shape() {
        int number = u16();
        require(number < classes.length, "a class is not there");
        return classes[number];
    }

    // Objects.

    private void objects() throws ReflectiveOperationException {
        Object[] places = card.places();
        parts = places.length;
        int count = count(2);
        objects = Arrays.copyOf(places, parts + count);
        List<int[]> proxies = new ArrayList<>();
        for (int i = parts; i < objects.length; i++) {
            ImageShape shape = shape();
            if (shape == null) {
                proxies.add(new int[] {i, in.getInt(), in.getInt()});
            } else {
                objects[i] = make(shape);
            }
        }
        for (int[] proxy : proxies) {
            Object object = object(proxy[1]);
            Object server = object(proxy[2]);
            require(object instanceof javacard.framework.Shareable && server instanceof ApplicationEntry,
                    "a shareable object is none");
            objects[proxy[0]] = card.contexts.share(
                    (javacard.framework.Shareable) object, (ApplicationEntry) server, null);
        }
    }

    private Object object(int number) {
        require(number >= 0 && number <= objects.length, "an object is not there");
        return number == 0 ? null : objects[number - 1];
    }

    private Object make(ImageShape shape) throws ReflectiveOperationException {
        switch (shape.kind) {
            case ImageShape.ARRAY:
                return array(shape.type.getComponentType());
            case ImageShape.TEXT:
                return text();
            case ImageShape.NUMBER:
                return new BigInteger(block());
            case ImageShape.BOXED:
                return boxed(shape.type, in.getLong());
            case ImageShape.CLASS:
                ImageShape named = shape();
                require(named != null, "a class is none");
                return named.type;
            case ImageShape.ENUM:
                return named(shape.type, text());
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
        int length = in.getInt();
        boolean cleared = in.get() != 0;
        int each = sizeOf(element);
        if (cleared) {
            require(length >= 0 && length <= MOST_TRANSIENT_BYTES, "a transient array is too long");
            transientBytes += length * (long) each > MOST_TRANSIENT_BYTES ? MOST_TRANSIENT_BYTES : length * each;
            require(transientBytes <= MOST_TRANSIENT_BYTES, "its transient arrays are too long");
            return Array.newInstance(element, length);
        }
        require(length >= 0 && (long) length * each <= in.remaining(), "it says that it holds more than it does");
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
        for (int left = u16(); left != 0; left--) {
            ImageShape shape = shape();
            require(shape != null && Slot.isOfCard(shape.type), "a class is not one of the card's");
            Class.forName(shape.type.getName(), true, shape.type.getClassLoader());
            for (Field field : shape.statics) {
                Object value = value(field.getType());
                require(value == null || field.getType().isPrimitive() || field.getType().isInstance(value),
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
                return in.get() != 0;
            case 'B':
                return in.get();
            case 'S':
                return in.getShort();
            case 'C':
                return in.getChar();
            case 'I':
                return in.getInt();
            case 'J':
                return in.getLong();
            default:
                return object(in.getInt());
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
                    field.setBoolean(object, in.get() != 0);
                    break;
                case 'B':
                    field.setByte(object, in.get());
                    break;
                case 'S':
                    field.setShort(object, in.getShort());
                    break;
                case 'I':
                    field.setInt(object, in.getInt());
                    break;
                default:
                    field.set(object, value(field.getType()));
            }
        }
    }

    private void elements(Object array) {
        if (array instanceof byte[]) {
            in.get((byte[]) array);
            return;
        }
        int length = Array.getLength(array);
        for (int i = 0; i < length; i++) {
            if (array instanceof short[]) {
                ((short[]) array)[i] = in.getShort();
            } else if (array instanceof int[]) {
                ((int[]) array)[i] = in.getInt();
            } else if (array instanceof Object[]) {
                ((Object[]) array)[i] = object(in.getInt());
            } else {
                Array.set(array, i, value(array.getClass().getComponentType()));
            }
        }
    }

    @SuppressWarnings("unchecked")
    private void list(Object object) {
        for (int left = count(4); left != 0; left--) {
            ((List<Object>) object).add(object(in.getInt()));
        }
    }

    @SuppressWarnings("unchecked")
    private void map(Object object) {
        for (int left = count(8); left != 0; left--) {
            Object key = object(in.getInt());
            require(key != null && ImageShape.KEYS.contains(key.getClass()), "a key of a map is none");
            ((Map<Object, Object>) object).put(key, object(in.getInt()));
        }
    }

    private void heap(Heap heap) {
        int made = in.getInt();
        List<Heap.Item> items = new ArrayList<>();
        for (int left = count(4); left != 0; left--) {
            items.add((Heap.Item) object(in.getInt()));
        }
        atLast.add(() -> heap.restore(items, made));
    }

    /** Gives load files their classes, and modules their install methods. */
    private void link() {
        for (int i = 0; i < loaders.size(); i++) {
            LoadFileEntry entry = (LoadFileEntry) object(entries.get(i));
            PackageClassLoader loader = loaders.get(i);
            require(entry != null && entry.modules.size() <= loader.applets.size(), "a load file has no entry");
            ByteBuffer block = blocks.get(i);
            for (int module = 0; module < entry.modules.size(); module++) {
                entry.modules.get(module).install = loader.install(loader.applets.get(module));
            }
            atLast.add(() -> entry.take(loader, block, card.memory));
        }
    }
}
