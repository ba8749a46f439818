package opentsm.runtime;

import javacard.framework.AID;
import javacard.framework.Util;
import opentsm.open.Entry;

/**
 * What every entry of the registry has: an AID, a kind, and the Security Domain it is associated with.
 *
 * <p>Spec: GP Card 2.3.1 clause 6.4.1.
 */
abstract class RegistryEntry implements Entry {
    byte[] name;
    private AID aid;
    private final byte kind;

    /** The associated Security Domain; the entry itself where a domain is associated with itself. */
    private ApplicationEntry domain;

    private boolean deleted;

    RegistryEntry(byte kind, byte[] name, ApplicationEntry domain) {
        this.kind = kind;
        this.name = name.clone();
        this.aid = new AID(name, (short) 0, (byte) name.length);
        this.domain = domain;
    }

    final void live() {
        Sw.require(!deleted, Sw.REFERENCED_DATA_NOT_FOUND);
    }

    final boolean isDeleted() {
        return deleted;
    }

    void markDeleted() {
        deleted = true;
    }

    final void associate(ApplicationEntry newDomain) {
        domain = newDomain;
    }

    /** Gives the entry another AID; who has the old one's object goes on having it. */
    final void rename(byte[] newName) {
        name = newName.clone();
        aid = new AID(newName, (short) 0, (byte) newName.length);
    }

    @Override
    public final byte kind() {
        live();
        return kind;
    }

    @Override
    public final AID aid() {
        live();
        return aid;
    }

    @Override
    public final short getAid(byte[] buffer, short offset) {
        live();
        return Util.arrayCopyNonAtomic(name, (short) 0, buffer, offset, (short) name.length);
    }

    @Override
    public final boolean hasAid(byte[] buffer, short offset, short length) {
        return length == name.length && matches(buffer, offset, length);
    }

    @Override
    public final boolean matches(byte[] buffer, short offset, short length) {
        live();
        return length <= name.length && Util.arrayCompare(buffer, offset, name, (short) 0, length) == 0;
    }

    @Override
    public final ApplicationEntry domain() {
        live();
        return domain;
    }

    @Override
    public final boolean isUnder(Entry ancestor) {
        live();
        for (RegistryEntry entry = this; entry != ancestor; entry = entry.domain) {
            if (entry.domain == entry) {
                return false;
            }
        }
        return true;
    }

    @Override
    public short getPrivileges(byte[] buffer, short offset) {
        live();
        return Privileges.encode(0, buffer, offset);
    }

    @Override
    public boolean isPrivileged(byte privilege) {
        live();
        return false;
    }

    @Override
    public Entry module() {
        live();
        return null;
    }

    @Override
    public Entry nextModule(Entry previous) {
        live();
        return null;
    }

    @Override
    public byte contactlessState() {
        live();
        return org.globalplatform.contactless.GPCLRegistryEntry.STATE_CL_NON_ACTIVATABLE;
    }

    @Override
    public short getImplicitSelection(byte[] buffer, short offset) {
        live();
        return offset;
    }

    /** Returns the AID in upper-case hex, for people. */
    @Override
    public final String toString() {
        return Hex.encode(name, 0, name.length);
    }
}
