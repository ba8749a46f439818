package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.Util;
import opentsm.open.Entry;
import opentsm.open.Open;
import org.globalplatform.GPRegistryEntry;

/**
 * What a Security Domain may do, by its privileges and its place in the hierarchy.
 *
 * <p>Without a global privilege it reaches only what is directly or indirectly associated with it; content management
 * needs Authorized Management too; nothing is managed before a domain is PERSONALIZED.
 *
 * <p>Spec: GP Card 2.3.1 clauses 5.3.2, 6.6 (table 6-1), 7.2, 9.
 */
final class Authority {
    /** Privileges that a manager may grant without having them: Security Domain, CVM Management; Global Service... */
    private static final byte GRANTABLE_1 = (byte) 0x82;

    /** ... and Contactless Self-Activation: they give no power over what others own. */
    private static final byte GRANTABLE_2 = 0x01;

    private static final byte GRANTABLE_3 = 0x10;

    /** In card capability information (annex H.4): what a domain (81) and an application (82) can be given. */
    private static final byte[] CAPABILITIES = {
        (byte) 0x81, 0x03, (byte) 0xFF, (byte) 0xFF, (byte) 0xF0, (byte) 0x82, 0x03, 0x1E, (byte) 0x9F, 0x30
    };

    private Authority() {}

    /** Writes the privileges' part of card capability information. */
    static short putCapabilities(byte[] response, short at) {
        return Util.arrayCopyNonAtomic(CAPABILITIES, (short) 0, response, at, (short) CAPABILITIES.length);
    }

    /** Returns this domain's entry, refusing one that is not in the state to manage anything (clause 5.3.2). */
    static Entry ready() {
        Entry self = Open.self();
        if (self.kind() != Entry.KIND_ISSUER_DOMAIN && self.state() != Gp.STATE_PERSONALIZED) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        return self;
    }

    /** Returns this domain's entry, refusing one that manages no content (clauses 9.1.3, 6.6.2.4). */
    static Entry manager() {
        Entry self = ready();
        if (!self.isPrivileged(GPRegistryEntry.PRIVILEGE_AUTHORIZED_MANAGEMENT) && !needsToken(self)) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        return self;
    }

    /** Tells whether a domain manages content by tokens, each for one change (clause 9.1.3.3). */
    static boolean needsToken(Entry self) {
        return self.isPrivileged(GPRegistryEntry.PRIVILEGE_DELEGATED_MANAGEMENT);
    }

    /**
     * Returns the domain under which this one may bring content: itself; with tokens, the one on whose authority they are
     * given, the first above with Authorized Management.
     */
    static Entry reach(Entry self) {
        Entry reach = self;
        while (needsToken(self) && !reach.isPrivileged(GPRegistryEntry.PRIVILEGE_AUTHORIZED_MANAGEMENT)
                && reach.domain() != reach) {
            reach = reach.domain();
        }
        return reach;
    }

    /** Finds an application, domain or load file by the AID in an LV. */
    static Entry find(byte[] buffer, short lv) {
        return find(buffer, (short) (lv + 1), (short) (buffer[lv] & 0xFF));
    }

    /** Finds an application, domain or load file by its AID; 6A88 when there is none. */
    static Entry find(byte[] buffer, short offset, short length) {
        Entry entry = Open.find(buffer, offset, length);
        if (entry == null) {
            ISOException.throwIt(Gp.SW_NOT_FOUND);
        }
        return entry;
    }

    /** Refuses an entry that is this domain itself or is not under it. */
    static void requireUnder(Entry entry, Entry self) {
        if (entry == self || !entry.isUnder(self)) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
    }

    /** Refuses an entry that is this domain itself, or is not under it and not reached by a global privilege either. */
    static void requireReach(Entry entry, Entry self, byte globalPrivilege) {
        if (entry == self || !entry.isUnder(self) && !self.isPrivileged(globalPrivilege)) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
    }

    /**
     * Refuses privileges that this domain must not grant: the issuer grants any; another those that it has, and those
     * that give no power over others.
     *
     * @param lv privileges: none, 1 or 3 bytes
     * @param scratch room for 3 bytes from its offset 0
     */
    static void requireGrantable(Entry self, byte[] buffer, short lv, byte[] scratch) {
        short length = (short) (buffer[lv] & 0xFF);
        if (length != 0 && length != 1 && length != 3) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        if (self.kind() == Entry.KIND_ISSUER_DOMAIN) {
            return;
        }
        self.getPrivileges(scratch, (short) 0);
        scratch[0] |= GRANTABLE_1;
        scratch[1] |= GRANTABLE_2;
        scratch[2] |= GRANTABLE_3;
        for (short i = 0; i < length; i++) {
            if ((byte) (buffer[(short) (lv + 1 + i)] & ~scratch[i]) != 0) {
                ISOException.throwIt(Gp.SW_CONDITIONS);
            }
        }
    }
}
