package opentsm.runtime;

/** Reads, verifies and translates the load file data blocks that LOAD brings; given by whoever makes the card. */
public interface PackageReader {
    /**
     * Describes a package.
     *
     * @param block the load file data block, in clear
     * @param into what is found in it
     * @return false when it is no package that this card can take
     */
    boolean read(byte[] block, LoadedPackage into);

    /** Is told that a package can't be linked: one that it imports is not on the card, or too old. */
    void missing(byte[] packageAid, byte[] importedAid, int major, int minor);

    /**
     * Translates a package to classes of the Java Virtual Machine.
     *
     * @param block the load file data block, in clear
     * @param imported the names (LoadedPackage.setCode) of the packages on the card that it imports
     * @param into where classes, applets' classes and its own name go
     * @return false when it can't be linked or translated
     */
    boolean translate(byte[] block, String[] imported, LoadedPackage into);
}
