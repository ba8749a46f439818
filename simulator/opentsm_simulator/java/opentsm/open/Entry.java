package opentsm.open;

import javacard.framework.AID;

/**
 * A handle on one entry of the GlobalPlatform Registry, for Security Domains only.
 *
 * <p>Handles belong to the OPEN; there is one for each entry, so they compare with <code>==</code>. After its entry was
 * deleted, every method of a handle throws ISOException 6A88.
 *
 * <p>Methods that write to a buffer return the offset behind the last byte written.
 *
 * <p>Spec: GP Card 2.3.1 clause 6.4.
 */
public interface Entry {
    /** The Issuer Security Domain. */
    byte KIND_ISSUER_DOMAIN = 1;

    /** A supplementary Security Domain. */
    byte KIND_DOMAIN = 2;

    /** An application that is not a Security Domain. */
    byte KIND_APPLICATION = 3;

    /** An Executable Load File. */
    byte KIND_LOAD_FILE = 4;

    /** An Executable Module. */
    byte KIND_MODULE = 5;

    /** Returns one of the KIND constants. */
    byte kind();

    /** Returns the AID; it belongs to the OPEN. */
    AID aid();

    /** Writes the AID's 5 to 16 bytes. */
    short getAid(byte[] buffer, short offset);

    /** Tells whether the AID is exactly these bytes. */
    boolean hasAid(byte[] buffer, short offset, short length);

    /** Tells whether the AID begins with these bytes; no bytes (length 0) begin every AID. */
    boolean matches(byte[] buffer, short offset, short length);

    /** Returns the effective life cycle state (tables 11-3 to 11-6); of the ISD, the card's; of a module, its load file's. */
    byte state();

    /** Writes the 3 bytes of privileges (tables 11-7 to 11-9); zeros for load files and modules. */
    short getPrivileges(byte[] buffer, short offset);

    /** Tells whether the entry has a privilege, by its number in GPRegistryEntry.PRIVILEGE_* or GPCLRegistryEntry's. */
    boolean isPrivileged(byte privilege);

    /** Returns the associated Security Domain; a domain extradited to itself, as the ISD is, returns itself. */
    Entry domain();

    /** Tells whether a Security Domain is directly or indirectly associated with this entry, or is this entry. */
    boolean isUnder(Entry domain);

    /** Returns the load file of an application, domain or module; null for a load file. */
    Entry loadFile();

    /** Returns the module that an application or domain is an instance of; null for others. */
    Entry module();

    /** Returns the first module of a load file (previous null) or the next one; null after the last. */
    Entry nextModule(Entry previous);

    /** Writes a load file's version (tag CE, 2 bytes); for an application or module, its load file's. */
    short getVersion(byte[] buffer, short offset);

    /** Returns GPCLRegistryEntry.STATE_CL_*: the contactless activation state (GP Amendment C, second byte of tag 9F70). */
    byte contactlessState();

    /** Writes the implicit selection parameters (values of tag CF, one byte each, table 11-49); often none. */
    short getImplicitSelection(byte[] buffer, short offset);
}
