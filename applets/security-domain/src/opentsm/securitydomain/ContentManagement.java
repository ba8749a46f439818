package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import opentsm.open.Entry;
import opentsm.open.Open;
import org.globalplatform.GPRegistryEntry;

/**
 * INSTALL in its forms and DELETE of card content.
 *
 * <p>Spec: GP Card 2.3.1 clauses 9, 11.2, 11.5.
 */
final class ContentManagement {
    /** P1 of INSTALL (table 11-41). */
    private static final byte FOR_LOAD = 0x02;

    private static final byte FOR_INSTALL = 0x04;
    private static final byte FOR_MAKE_SELECTABLE = 0x08;
    private static final byte FOR_INSTALL_AND_MAKE_SELECTABLE = 0x0C;
    private static final byte FOR_EXTRADITION = 0x10;
    private static final byte FOR_PERSONALIZATION = 0x20;
    private static final byte FOR_REGISTRY_UPDATE = 0x40;

    /** P2 of DELETE: the object and what is related to it (clause 11.2.2.2). */
    private static final byte RELATED = (byte) 0x80;

    private static final short TAG_HASHES = 0x0083;

    /** Bit of the first byte of privileges (table 11-7). */
    private static final byte CARD_RESET = 0x04;

    /** The LVs of INSTALL's data field: what the first two are depends on P1. */
    private static final short FIRST = 0;

    private static final short SECOND = 1;
    private static final short APPLICATION = 2;
    private static final short PRIVILEGES = 3;
    private static final short PARAMETERS = 4;
    private static final short TOKEN = 5;
    private static final short FIELDS = 6;

    private final Personalization personalization;

    /** Where each LV begins; used within one call, cleared at reset. */
    private final short[] at;

    ContentManagement(Personalization personalization) {
        this.personalization = personalization;
        at = JCSystem.makeTransientShortArray(FIELDS, JCSystem.CLEAR_ON_RESET);
    }

    /**
     * Writes the content management's part of card capability information (annex H.4): 83 hashes of load files, 84 to 87
     * cipher suites of ciphered load files, tokens, receipts and DAPs. No hash as long as no LOAD is taken.
     */
    short putCapabilities(byte[] response, short at) {
        return Tlv.putHeader(response, at, TAG_HASHES, (short) 0);
    }

    /** Runs INSTALL. */
    short install(byte[] buffer, byte p1, byte p2, short data, short end, byte[] response) {
        if (p1 == FOR_LOAD) {
            // Packages are built in until CAP files can be loaded: the function is not there (clause 11.5.3.2).
            ISOException.throwIt(Gp.SW_FUNCTION_NOT_SUPPORTED);
        }
        if (p2 != 0) {
            ISOException.throwIt(Gp.SW_INCORRECT_P1P2);
        }
        split(buffer, data, end);
        switch (p1) {
            case FOR_INSTALL:
            case FOR_INSTALL_AND_MAKE_SELECTABLE:
                install(buffer, p1 == FOR_INSTALL_AND_MAKE_SELECTABLE, response);
                break;
            case FOR_MAKE_SELECTABLE:
                makeSelectable(buffer, response);
                break;
            case FOR_EXTRADITION:
                extradite(buffer);
                break;
            case FOR_REGISTRY_UPDATE:
                updateRegistry(buffer, response);
                break;
            case FOR_PERSONALIZATION:
                personalization.begin(Authority.find(buffer, at[APPLICATION]));
                break;
            default:
                ISOException.throwIt(Gp.SW_INCORRECT_P1P2);
                break;
        }
        response[0] = 0; // no receipt
        return 1;
    }

    /** Finds the six LVs; the last, the token, may be left out. */
    private void split(byte[] buffer, short data, short end) {
        for (short i = 0; i < FIELDS; i++) {
            if (i == TOKEN && data == end) {
                return;
            }
            at[i] = data;
            data = Tlv.afterLv(buffer, data, end);
        }
        if (data != end) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        if (buffer[at[TOKEN]] != 0) {
            ISOException.throwIt(Gp.SW_CONDITIONS); // a token, from a domain that manages on its own authority
        }
    }

    private void requireEmpty(byte[] buffer, short field) {
        if (buffer[at[field]] != 0) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
    }

    /** Spec: clauses 9.3.5, 11.5.2.3.2: load file, module, application. */
    private void install(byte[] buffer, boolean selectable, byte[] scratch) {
        Entry self = Authority.manager();
        if (buffer[at[PRIVILEGES]] == 0) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        Authority.requireGrantable(self, buffer, at[PRIVILEGES], scratch);
        Open.install(buffer, at[FIRST], at[SECOND], at[APPLICATION], at[PRIVILEGES], at[PARAMETERS], selectable);
    }

    /**
     * Spec: clauses 9.3.6, 11.5.2.3.3: of the privileges only Card Reset counts, which is added to those that
     * the application has.
     */
    private void makeSelectable(byte[] buffer, byte[] scratch) {
        Entry self = Authority.manager();
        requireEmpty(buffer, FIRST);
        requireEmpty(buffer, SECOND);
        Entry application = Authority.find(buffer, at[APPLICATION]);
        Authority.requireUnder(application, self);
        Authority.requireGrantable(self, buffer, at[PRIVILEGES], scratch);
        short unchanged = at[FIRST];
        if (buffer[at[PRIVILEGES]] == 0 || (byte) (buffer[(short) (at[PRIVILEGES] + 1)] & CARD_RESET) == 0) {
            Open.makeSelectable(application, buffer, unchanged, at[PARAMETERS]);
            return;
        }
        // The header has been read: its place holds the LV.
        buffer[0] = 3;
        application.getPrivileges(buffer, (short) 1);
        buffer[1] |= CARD_RESET;
        Open.makeSelectable(application, buffer, (short) 0, at[PARAMETERS]);
    }

    /**
     * Spec: clauses 9.4.1, 11.5.2.3.4: the new Security Domain, an empty field, the application or load file.
     *
     * <p>The new domain must be this one or under it, so that both sides of the extradition are in one hand; it accepts
     * by being PERSONALIZED (clause 5.3.2.2: before that no application can be associated with it).
     */
    private void extradite(byte[] buffer) {
        Entry self = Authority.manager();
        requireEmpty(buffer, SECOND);
        requireEmpty(buffer, PRIVILEGES);
        Entry entry = Authority.find(buffer, at[APPLICATION]);
        Authority.requireUnder(entry, self);
        Open.extradite(entry, newDomain(buffer, self));
    }

    private Entry newDomain(byte[] buffer, Entry self) {
        Entry domain = Authority.find(buffer, at[FIRST]);
        boolean isDomain = domain.kind() == Entry.KIND_DOMAIN || domain.kind() == Entry.KIND_ISSUER_DOMAIN;
        if (!isDomain || !domain.isUnder(self)
                || domain.kind() == Entry.KIND_DOMAIN && domain.state() != Gp.STATE_PERSONALIZED) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        return domain;
    }

    /** Spec: clauses 9.4.2, 11.5.2.3.5: a new Security Domain or nothing, an empty field, the application. */
    private void updateRegistry(byte[] buffer, byte[] scratch) {
        Entry self = Authority.manager();
        requireEmpty(buffer, SECOND);
        Entry application = Authority.find(buffer, at[APPLICATION]);
        Authority.requireUnder(application, self);
        Authority.requireGrantable(self, buffer, at[PRIVILEGES], scratch);
        Entry domain = buffer[at[FIRST]] == 0 ? null : newDomain(buffer, self);
        if (domain != null && domain != application.domain()) {
            Open.extradite(application, domain);
        }
        Open.updateRegistry(application, buffer, at[PRIVILEGES], at[PARAMETERS]);
    }

    /** Deletes an application, a domain or a load file. Spec: clauses 9.5, 11.2.2.3.1. */
    short delete(byte[] buffer, byte p1, byte p2, short data, short end, byte[] response) {
        if (p1 != 0 || p2 != 0 && p2 != RELATED) {
            ISOException.throwIt(Gp.SW_INCORRECT_P1P2);
        }
        Entry self = Authority.ready();
        if (!self.isPrivileged(GPRegistryEntry.PRIVILEGE_GLOBAL_DELETE)) {
            Authority.manager(); // refused before the AID is looked at: what others own stays unknown
        }
        short field = Tlv.find(buffer, data, end, Gp.TAG_AID);
        Entry entry = Authority.find(buffer, Tlv.valueOffset(buffer, field), Tlv.length(buffer, field, end));
        Authority.requireReach(entry, self, GPRegistryEntry.PRIVILEGE_GLOBAL_DELETE);
        Open.delete(entry, p2 == RELATED);
        response[0] = 0; // no receipt
        return 1;
    }
}
