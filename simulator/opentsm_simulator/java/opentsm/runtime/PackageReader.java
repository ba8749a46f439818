package opentsm.runtime;

/** Reads and verifies the load file data blocks that LOAD brings; given by whoever makes the card. */
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

    /** Is told that an instance was asked for of a module that can't run here yet. */
    void cannotRun(byte[] packageAid, byte[] moduleAid);
}
