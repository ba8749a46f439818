package opentsm.runtime;

import java.util.ArrayList;
import java.util.List;

/** What a {@link PackageReader} finds in a load file data block. */
public final class LoadedPackage {
    byte[] aid = {};
    byte[] version = {0, 0};

    /** AIDs of the applets, in the file's order. */
    final List<byte[]> modules = new ArrayList<>();

    /** Packages that must be on the card: AID, then major and minor version. */
    final List<byte[]> imports = new ArrayList<>();

    /** Sets the package's AID and its version: major, minor. */
    public void setPackage(byte[] packageAid, int major, int minor) {
        aid = packageAid.clone();
        version = new byte[] {(byte) major, (byte) minor};
    }

    /** Adds an applet. */
    public void addModule(byte[] moduleAid) {
        modules.add(moduleAid.clone());
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
