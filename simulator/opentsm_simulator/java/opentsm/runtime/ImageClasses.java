package opentsm.runtime;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntFunction;

/**
 * The load files and the classes of a card image that is read.
 *
 * <p>Load files are translated again, unless the card before had the same: its classes are used again.
 */
final class ImageClasses {
    private final ImageInput in;
    private final CardRuntime card;
    private final CardRuntime before;
    private final ClassLoader runtime = CardRuntime.class.getClassLoader();
    private final List<PackageClassLoader> loaders = new ArrayList<>();
    private final List<ByteBuffer> blocks = new ArrayList<>();
    private final List<Integer> entries = new ArrayList<>();
    private ImageShape[] classes;

    ImageClasses(ImageInput in, CardRuntime card, CardRuntime before) {
        this.in = in;
        this.card = card;
        this.before = before;
    }

    /** Reads both tables. */
    void read() throws ReflectiveOperationException {
        readLoadFiles();
        readClasses();
    }

    private void readLoadFiles() {
        int count = in.u16();
        for (int i = 0; i < count; i++) {
            entries.add(in.i32());
            List<PackageClassLoader> imports = new ArrayList<>();
            for (int left = in.u8(); left != 0; left--) {
                int imported = in.u16();
                ImageError.require(imported < i, "a load file imports one that comes later");
                imports.add(loaders.get(imported));
            }
            boolean firewalled = in.flag();
            byte[] block = in.block();
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
        ImageError.require(card.packages.translate(block, codes, found),
                "one of its load files can't be translated; see the log");
        return new PackageClassLoader(card, found, imports);
    }

    private void readClasses() throws ReflectiveOperationException {
        classes = new ImageShape[in.u16()];
        for (int i = 0; i < classes.length; i++) {
            int loader = in.u16();
            String name = in.text();
            byte kind = in.i8();
            long fingerprint = in.i64();
            if (kind == ImageShape.PROXY) {
                continue;
            }
            ImageShape shape = ImageShape.of(find(loader, name));
            ImageError.require(shape.kind == kind && shape.fingerprint == fingerprint,
                    "it was written by another release of opentsm, whose " + name + " has other fields: use that one, or "
                            + "make the card anew");
            classes[i] = shape;
        }
    }

    private Class<?> find(int loader, String name) throws ClassNotFoundException {
        if (loader == CardImage.RUNTIME) {
            return Class.forName(name, false, runtime);
        }
        ImageError.require(loader < loaders.size(), "a class is of a load file that is not there");
        return Class.forName(name, false, loaders.get(loader));
    }

    /** Reads which class comes next; null for that of a shareable object. */
    ImageShape shape() {
        int number = in.u16();
        ImageError.require(number < classes.length, "a class is not there");
        return classes[number];
    }

    /**
     * Gives load files their classes, and modules their install methods.
     *
     * @param objects finds an object by its number
     * @param atLast takes what is done once the image is known to be whole
     */
    void link(IntFunction<Object> objects, List<Runnable> atLast) {
        for (int i = 0; i < loaders.size(); i++) {
            LoadFileEntry entry = (LoadFileEntry) objects.apply(entries.get(i));
            PackageClassLoader loader = loaders.get(i);
            ImageError.require(entry != null && entry.modules.size() <= loader.applets.size(),
                    "a load file has no entry");
            ByteBuffer block = blocks.get(i);
            for (int module = 0; module < entry.modules.size(); module++) {
                entry.modules.get(module).install = loader.install(loader.applets.get(module));
            }
            atLast.add(() -> entry.take(loader, block, card.memory));
        }
    }
}
