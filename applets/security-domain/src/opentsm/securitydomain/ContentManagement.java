package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import opentsm.open.Entry;
import opentsm.open.Open;
import org.globalplatform.GPRegistryEntry;

/**
 * INSTALL in its forms, LOAD, and DELETE of card content.
 *
 * <p>A domain with Authorized Management acts on its own authority and takes no token; one with Delegated Management
 * needs one for each change, and gives back a confirmation.
 *
 * <p>Spec: GP Card 2.3.1 clauses 9, 11.2, 11.5, 11.6.
 */
final class ContentManagement {
    /** P1 of INSTALL (table 11-41). */
    private static final byte FOR_LOAD = 0x02;

    private static final byte FOR_INSTALL = 0x04;
    private static final byte FOR_MAKE_SELECTABLE = 0x08;
    private static final byte FOR_INSTALL_AND_MAKE_SELECTABLE = 0x0C;
    private static final byte FOR_LOAD_INSTALL_AND_MAKE_SELECTABLE = 0x0E;
    private static final byte FOR_EXTRADITION = 0x10;
    private static final byte FOR_PERSONALIZATION = 0x20;
    private static final byte FOR_REGISTRY_UPDATE = 0x40;

    /** P2 of INSTALL (clause 11.5.2.2). */
    private static final byte COMBINED_BEGIN = 0x01;

    private static final byte COMBINED_END = 0x03;

    /** P1 of LOAD (table 11-57). */
    private static final byte LAST_BLOCK = (byte) 0x80;

    /** P2 of DELETE: the object and what is related to it (clause 11.2.2.2). */
    private static final byte RELATED = (byte) 0x80;


    /** Bit of the first byte of privileges (table 11-7). */
    private static final byte CARD_RESET = 0x04;

    private static final short FIELDS = 6;
    private static final short LOAD_FIELDS = 5;

    private static final short TAG_TEMPLATE = 0x00B6;
    private static final short TAG_TOKEN = 0x009E;

    /**
     * Annex H.4, tables H-5, H-8 and H-9: SHA-1, SHA-256, SHA-384, SHA-512; triple DES and AES of all lengths with an ICV;
     * all signatures of byte 1 for tokens and DAPs, MACs and ECDSA for receipts; P-256 and P-384.
     */
    private static final byte[] CAPABILITIES = {
        (byte) 0x83, 0x04, 0x01, 0x02, 0x03, 0x04,
        (byte) 0x84, 0x01, (byte) 0x8F,
        (byte) 0x85, 0x01, (byte) 0xFF,
        (byte) 0x86, 0x01, (byte) 0xFC,
        (byte) 0x87, 0x01, (byte) 0xFF,
        (byte) 0x88, 0x02, Curves.P256, Curves.P384
    };

    private final Personalization personalization;
    private final InstallFields fields = new InstallFields();

    /** The number of the next block of LOAD, cleared at reset; the load itself is the OPEN's. */
    private final short[] nextBlock;

    ContentManagement(Personalization personalization) {
        this.personalization = personalization;
        nextBlock = JCSystem.makeTransientShortArray((short) 1, JCSystem.CLEAR_ON_RESET);
    }

    /** Tells whether a command goes on with a load under way; every other one ends it, GET DATA apart. */
    static boolean continuesLoad(byte ins, byte p1, byte p2) {
        return ins == Gp.INS_LOAD || ins == Gp.INS_GET_DATA
                || ins == Gp.INS_INSTALL && p1 == FOR_LOAD_INSTALL_AND_MAKE_SELECTABLE && p2 == COMBINED_END;
    }

    /**
     * Writes the content management's part of card capability information (annex H.4): 83 hashes of load files, 84 to 87
     * cipher suites of ciphered load files, tokens, receipts and DAPs, 88 the curves.
     */
    short putCapabilities(byte[] response, short at) {
        return Util.arrayCopyNonAtomic(CAPABILITIES, (short) 0, response, at, (short) CAPABILITIES.length);
    }

    /** Runs INSTALL. */
    short install(byte[] buffer, byte p1, byte p2, short data, short end, byte[] response) {
        boolean combined = p1 == FOR_LOAD_INSTALL_AND_MAKE_SELECTABLE;
        if (combined ? p2 != COMBINED_BEGIN && p2 != COMBINED_END : p2 != 0) {
            ISOException.throwIt(Gp.SW_INCORRECT_P1P2);
        }
        if (p1 == FOR_LOAD || combined && p2 == COMBINED_BEGIN) {
            beginLoad(buffer, data, end, combined);
            response[0] = 0;
            return 1;
        }
        fields.split(buffer, data, end, FIELDS);
        switch (p1) {
            case FOR_INSTALL:
            case FOR_INSTALL_AND_MAKE_SELECTABLE:
                install(buffer, p1 == FOR_INSTALL_AND_MAKE_SELECTABLE, response);
                break;
            case FOR_LOAD_INSTALL_AND_MAKE_SELECTABLE:
                installLoaded(buffer, response);
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
                personalize(buffer);
                break;
            default:
                ISOException.throwIt(Gp.SW_INCORRECT_P1P2);
                break;
        }
        return confirmation(response);
    }

    /** Writes the length and the confirmation of what was done, which is a 00 alone where there is none. */
    private static short confirmation(byte[] response) {
        return Tlv.closeLength(response, (short) 0, Open.confirm(response, (short) 1));
    }

    /**
     * Returns this domain's entry, allowed to do what the command says: on its own authority, or by the command's token.
     *
     * <p>Spec: clauses 9.1.3.2, 9.1.3.3: with Authorized Management a token is an error.
     */
    private Entry manager(byte[] buffer) {
        Entry self = Authority.manager();
        if (Authority.needsToken(self) != fields.hasToken(buffer)) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        return self;
    }

    /** Has the token verified, once everything else about the command is known to be right. */
    private void authorize(byte[] buffer) {
        if (fields.hasToken(buffer)) {
            short token = fields.token();
            short template = fields.template(buffer);
            short end = fields.token();
            short from = fields.sealed(buffer);
            Open.authorize(buffer, from, fields.sealedLength(from), Tlv.valueOrStart(buffer, template),
                    template == Tlv.ABSENT ? 0 : Tlv.length(buffer, template, end),
                    Tlv.longLvValue(buffer, token), Tlv.longLvLength(buffer, token));
        }
    }

    /** Spec: clauses 9.3.5, 9.3.8, 11.5.2.3.1: load file, its domain, hash, parameters, token. */
    private void beginLoad(byte[] buffer, short data, short end, boolean combined) {
        fields.split(buffer, data, end, LOAD_FIELDS);
        Entry self;
        if (combined) {
            // The token that this process may need comes at its end.
            self = Authority.manager();
            if (fields.hasToken(buffer)) {
                ISOException.throwIt(Gp.SW_CONDITIONS);
            }
        } else {
            self = manager(buffer);
        }
        if (!fields.isEmpty(buffer, InstallFields.SECOND)) {
            newDomain(buffer, fields.lv(InstallFields.SECOND), self);
        }
        authorize(buffer);
        short from = fields.sealed(buffer);
        Open.beginLoad(buffer, fields.lv(InstallFields.FIRST), fields.lv(InstallFields.SECOND),
                fields.lv(InstallFields.THIRD), fields.parameters(), combined, from, fields.sealedLength(from));
        nextBlock[0] = 0;
    }

    /** Runs LOAD. Spec: clause 11.6: blocks are numbered from 00, without a gap. */
    short load(byte[] buffer, byte p1, byte p2, short data, short end, byte[] response) {
        if (!Open.isLoading()) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        if ((short) (p2 & 0xFF) != nextBlock[0] || data == end) {
            Open.abortLoad();
            ISOException.throwIt(data == end ? Gp.SW_WRONG_LENGTH : Gp.SW_INCORRECT_P1P2);
        }
        nextBlock[0]++;
        Open.load(buffer, data, (short) (end - data), (p1 & LAST_BLOCK) != 0);
        return confirmation(response);
    }

    /** Spec: clauses 9.3.5, 11.5.2.3.2: load file, module, application, privileges, parameters, token. */
    private void install(byte[] buffer, boolean selectable, byte[] scratch) {
        Entry self = manager(buffer);
        requireNewPrivileges(buffer, self, scratch);
        authorize(buffer);
        Open.install(buffer, fields.lv(InstallFields.FIRST), fields.lv(InstallFields.SECOND),
                fields.lv(InstallFields.APPLICATION), fields.lv(InstallFields.PRIVILEGES), fields.parameters(),
                selectable);
    }

    private void requireNewPrivileges(byte[] buffer, Entry self, byte[] scratch) {
        if (fields.isEmpty(buffer, InstallFields.PRIVILEGES)) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        Authority.requireGrantable(self, buffer, fields.lv(InstallFields.PRIVILEGES), scratch);
    }

    /** Spec: clause 9.3.8: the end of a combined process; if anything is wrong nothing of it stays. */
    private void installLoaded(byte[] buffer, byte[] scratch) {
        boolean done = false;
        try {
            Entry self = manager(buffer);
            requireNewPrivileges(buffer, self, scratch);
            authorize(buffer);
            Open.installLoaded(buffer, fields.lv(InstallFields.FIRST), fields.lv(InstallFields.SECOND),
                    fields.lv(InstallFields.APPLICATION), fields.lv(InstallFields.PRIVILEGES), fields.parameters());
            done = true;
        } finally {
            if (!done) {
                Open.abortLoad();
            }
        }
    }

    /**
     * Spec: clauses 9.3.7, 11.5.2.3.3: of the privileges only Card Reset counts, which is added to those that the
     * application has.
     */
    private void makeSelectable(byte[] buffer, byte[] scratch) {
        Entry self = manager(buffer);
        fields.requireEmpty(buffer, InstallFields.FIRST);
        fields.requireEmpty(buffer, InstallFields.SECOND);
        Entry application = Authority.find(buffer, fields.lv(InstallFields.APPLICATION));
        Authority.requireUnder(application, self);
        short privileges = fields.lv(InstallFields.PRIVILEGES);
        Authority.requireGrantable(self, buffer, privileges, scratch);
        authorize(buffer);
        if (buffer[privileges] == 0 || (byte) (buffer[(short) (privileges + 1)] & CARD_RESET) == 0) {
            Open.makeSelectable(application, buffer, fields.lv(InstallFields.FIRST), fields.parameters());
            return;
        }
        // The header has been read: its place holds the LV.
        buffer[0] = 3;
        application.getPrivileges(buffer, (short) 1);
        buffer[1] |= CARD_RESET;
        Open.makeSelectable(application, buffer, (short) 0, fields.parameters());
    }

    /**
     * Spec: clauses 9.4.1, 11.5.2.3.4: the new Security Domain, an empty field, the application or load file.
     *
     * <p>The new domain must be this one or under it, so that both sides of the extradition are in one hand; it accepts
     * by being PERSONALIZED (clause 5.3.2.2: before that no application can be associated with it). A token puts both
     * sides in the hand of who signed it: with one, any domain under the same authority may be the new one.
     */
    private void extradite(byte[] buffer) {
        Entry self = manager(buffer);
        fields.requireEmpty(buffer, InstallFields.SECOND);
        fields.requireEmpty(buffer, InstallFields.PRIVILEGES);
        Entry entry = Authority.find(buffer, fields.lv(InstallFields.APPLICATION));
        Authority.requireUnder(entry, self);
        Entry domain = newDomain(buffer, fields.lv(InstallFields.FIRST), self);
        authorize(buffer);
        Open.extradite(entry, domain);
    }

    private static Entry newDomain(byte[] buffer, short lv, Entry self) {
        Entry domain = Authority.find(buffer, lv);
        boolean isDomain = domain.kind() == Entry.KIND_DOMAIN || domain.kind() == Entry.KIND_ISSUER_DOMAIN;
        if (!isDomain || !domain.isUnder(Authority.reach(self))
                || domain.kind() == Entry.KIND_DOMAIN && domain.state() != Gp.STATE_PERSONALIZED) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        return domain;
    }

    /**
     * Spec: clauses 9.4.2, 11.5.2.3.5: a new Security Domain or nothing, an empty field, the application; without an
     * application functions of the whole card are restricted.
     */
    private void updateRegistry(byte[] buffer, byte[] scratch) {
        Entry self = manager(buffer);
        fields.requireEmpty(buffer, InstallFields.SECOND);
        if (fields.isEmpty(buffer, InstallFields.APPLICATION)) {
            fields.requireEmpty(buffer, InstallFields.FIRST);
            fields.requireEmpty(buffer, InstallFields.PRIVILEGES);
            authorize(buffer);
            Open.restrict(buffer, fields.parameters());
            return;
        }
        Entry application = Authority.find(buffer, fields.lv(InstallFields.APPLICATION));
        Authority.requireUnder(application, self);
        short privileges = fields.lv(InstallFields.PRIVILEGES);
        Authority.requireGrantable(self, buffer, privileges, scratch);
        boolean moves = !fields.isEmpty(buffer, InstallFields.FIRST);
        Entry domain = moves ? newDomain(buffer, fields.lv(InstallFields.FIRST), self) : null;
        authorize(buffer);
        Open.updateRegistry(application, domain == application.domain() ? null : domain, buffer, privileges,
                fields.parameters());
    }

    /** Spec: clause 11.5.2.3.6: the application's AID and nothing else. */
    private void personalize(byte[] buffer) {
        fields.requireEmpty(buffer, InstallFields.FIRST);
        fields.requireEmpty(buffer, InstallFields.SECOND);
        fields.requireEmpty(buffer, InstallFields.PRIVILEGES);
        if (buffer[fields.parameters()] != 0 || fields.hasToken(buffer)) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        personalization.begin(Authority.find(buffer, fields.lv(InstallFields.APPLICATION)));
    }

    /**
     * Deletes an application, a domain or a load file.
     *
     * <p>Spec: clauses 9.5, 11.2.2.3.1: its AID (4F), then for a delegated deletion the token's control reference
     * template (B6) and the token (9E), which signs what is before it. Of P1 and P2 all but b8 of P2 is reserved, and
     * ignored (clause 11.1).
     */
    short delete(byte[] buffer, byte p2, short data, short end, byte[] response) {
        Entry self = Authority.ready();
        if (!self.isPrivileged(GPRegistryEntry.PRIVILEGE_GLOBAL_DELETE)) {
            Authority.manager(); // refused before the AID is looked at: what others own stays unknown
        }
        short aid = Tlv.find(buffer, data, end, Gp.TAG_AID);
        short next = Tlv.next(buffer, data, end);
        short template = Tlv.ABSENT;
        if (next < end && Tlv.tag(buffer, next, end) == TAG_TEMPLATE) {
            template = Tlv.lengthOffset(buffer, next, end);
            next = Tlv.next(buffer, next, end);
        }
        short token = Tlv.ABSENT;
        short signedEnd = next;
        if (next < end && Tlv.tag(buffer, next, end) == TAG_TOKEN) {
            token = Tlv.lengthOffset(buffer, next, end);
            next = Tlv.next(buffer, next, end);
        }
        if (next != end || Tlv.tag(buffer, data, end) != Gp.TAG_AID) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        if (Authority.needsToken(self) != (token != Tlv.ABSENT)) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        Entry entry = Authority.find(buffer, Tlv.valueOffset(buffer, aid), Tlv.length(buffer, aid, end));
        Authority.requireReach(entry, self, GPRegistryEntry.PRIVILEGE_GLOBAL_DELETE);
        if (token != Tlv.ABSENT) {
            short from = InstallFields.sealed(buffer, data, (short) (signedEnd - data));
            Open.authorize(buffer, from, (short) (signedEnd - from), Tlv.valueOrStart(buffer, template),
                    template == Tlv.ABSENT ? 0 : Tlv.length(buffer, template, end),
                    Tlv.valueOffset(buffer, token), Tlv.length(buffer, token, end));
        }
        Open.delete(entry, (p2 & RELATED) != 0);
        return confirmation(response);
    }
}
