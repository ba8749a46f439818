package opentsm.runtime;

import java.lang.ref.WeakReference;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.WeakHashMap;

/** What a {@link PackageReader} finds in a load file data block. */
public final class LoadedPackage {
    private static final Map<ByteBuffer, WeakReference<ByteBuffer>> BLOCKS = new WeakHashMap<>();

    byte[] aid = {};
    byte[] version = {0, 0};

    /** AIDs of the applets, in the file's order. */
    final List<byte[]> modules = new ArrayList<>();

    /** The classes that the applets' install methods are in, in the same order. */
    final List<String> appletClasses = new ArrayList<>();

    /** Class files by name. */
    final Map<String, byte[]> classes = new HashMap<>();

    /** What a package that imports this one names it by, to whoever translates it. */
    String code = "";

    /** Its code is to ask the card's firewall. */
    boolean firewalled;

    /** Its code is to tell the card's memory of its writes. */
    private final boolean transactional;

    /** Instructions of each run that is counted. */
    int[] runs = {};

    /** Packages that must be on the card: AID, then major and minor version. */
    final List<byte[]> imports = new ArrayList<>();

    /** @param card the card that it is for */
    LoadedPackage(CardRuntime card) {
        firewalled = card.firewall.isEnabled();
        transactional = card.transactional;
    }

    /** Returns a load file data block, the same object for all cards that hold it. */
    static ByteBuffer shared(byte[] block) {
        synchronized (BLOCKS) {
            ByteBuffer key = ByteBuffer.wrap(block);
            WeakReference<ByteBuffer> known = BLOCKS.get(key);
            ByteBuffer there = known == null ? null : known.get();
            if (there == null) {
                BLOCKS.put(key, new WeakReference<>(key));
                return key;
            }
            return there;
        }
    }

    /** Sets the package's AID and its version: major, minor. */
    public void setPackage(byte[] packageAid, int major, int minor) {
        aid = packageAid.clone();
        version = new byte[] {(byte) major, (byte) minor};
    }

    /** Adds an applet. */
    public void addModule(byte[] moduleAid) {
        modules.add(moduleAid.clone());
    }

    /** Tells whether its code is to ask the card's firewall. */
    public boolean isFirewalled() {
        return firewalled;
    }

    /** Tells whether its code is to tell the card's memory of its writes. */
    public boolean isTransactional() {
        return transactional;
    }

    /** Says under which name packages that import this one are linked to it. */
    public void setCode(String name) {
        code = name;
    }

    /** Says how many instructions each run has that its code counts ({@link Trace}). */
    public void setRuns(int[] sizes) {
        runs = sizes.clone();
    }

    /** Adds a class of the translated package. */
    public void addClass(String name, byte[] classFile) {
        classes.put(name, classFile);
    }

    /** Says which class holds the next applet's install method. */
    public void addAppletClass(String name) {
        appletClasses.add(name);
    }

    /** Adds an imported package that is not of the platform: its AID, and the version it was compiled against. */
    public void addImport(byte[] packageAid, int major, int minor) {
        byte[] entry = new byte[packageAid.length + 2];
        System.arraycopy(packageAid, 0, entry, 0, packageAid.length);
        entry[packageAid.length] = (byte) major;
        entry[packageAid.length + 1] = (byte) minor;
        imports.add(entry);
    }
}
