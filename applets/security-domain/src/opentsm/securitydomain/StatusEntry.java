package opentsm.securitydomain;

import javacard.framework.JCSystem;
import opentsm.open.Entry;

/**
 * Writes one registry entry as GET STATUS reports it.
 *
 * <p>Spec: GP Card 2.3.1 clause 11.4.3.1, the form of version 2.1, and tables 11-36 and 11-37 (E3 templates); GP
 * Amendment C for the second byte of 9F70.
 */
final class StatusEntry {
    private static final short TAG_VERSION = 0x00CE;
    private static final short TAG_IMPLICIT_SELECTION = 0x00CF;
    private static final short TAG_MODULE = 0x0084;

    /** Which data objects a template has: one bit each. */
    private static final short AID = 0x01;

    private static final short LIFE_CYCLE = 0x02;
    private static final short PRIVILEGES = 0x04;
    private static final short LOAD_FILE = 0x08;
    private static final short DOMAIN = 0x10;
    private static final short VERSION = 0x20;
    private static final short IMPLICIT_SELECTION = 0x40;
    private static final short MODULE = 0x80;

    /** Without a tag list: all but what is the same for every instance of a module. */
    private static final short BY_DEFAULT = AID | LIFE_CYCLE | PRIVILEGES | LOAD_FILE | DOMAIN | IMPLICIT_SELECTION;

    /** Of a load file, the modules too: P1 10 is how they are asked for. */
    private static final short BY_DEFAULT_OF_LOAD_FILE = AID | LIFE_CYCLE | DOMAIN | VERSION | MODULE;

    /** Index in the state. */
    private static final short WANTED = 0;

    private static final short HAS_LIST = 1;
    private static final short IS_TEMPLATE = 2;
    private static final short WITH_MODULES = 3;

    /** What the command asks for; used within one call, cleared at reset. */
    private final short[] state;

    StatusEntry() {
        state = JCSystem.makeTransientShortArray((short) 4, JCSystem.CLEAR_ON_RESET);
    }

    /** Takes what a command asks for: the form, and the tag list (5C) if there is one. */
    void wanted(byte[] buffer, short data, short end, boolean template, boolean withModules) {
        state[IS_TEMPLATE] = (short) (template ? 1 : 0);
        state[WITH_MODULES] = (short) (withModules ? 1 : 0);
        state[HAS_LIST] = 0;
        state[WANTED] = 0;
        short field = Tlv.find(buffer, data, end, Gp.TAG_TAG_LIST);
        if (field == Tlv.ABSENT || Tlv.length(buffer, field, end) == 0) {
            return; // an empty tag list asks for no less than none
        }
        state[HAS_LIST] = 1;
        short at = Tlv.valueOffset(buffer, field);
        short listEnd = (short) (at + Tlv.length(buffer, field, end));
        while (at < listEnd) {
            short tag = Tlv.tag(buffer, at, listEnd);
            state[WANTED] |= bit(tag);
            at += (short) ((tag & (short) 0xFF00) == 0 ? 1 : 2);
        }
    }

    private static short bit(short tag) {
        switch (tag) {
            case Gp.TAG_AID:
                return AID;
            case Gp.TAG_LIFE_CYCLE:
                return LIFE_CYCLE;
            case Gp.TAG_PRIVILEGES:
                return PRIVILEGES;
            case Gp.TAG_LOAD_FILE:
                return LOAD_FILE;
            case Gp.TAG_DOMAIN:
                return DOMAIN;
            case TAG_VERSION:
                return VERSION;
            case TAG_IMPLICIT_SELECTION:
                return IMPLICIT_SELECTION;
            case TAG_MODULE:
                return MODULE;
            default:
                return 0;
        }
    }

    /** Writes an entry and returns the offset behind it. The buffer has room for any one entry behind the offset. */
    short write(Entry entry, byte[] response, short at) {
        return state[IS_TEMPLATE] != 0 ? writeTemplate(entry, response, at) : writePlain(entry, response, at);
    }

    private boolean has(Entry entry, short bit) {
        boolean loadFile = entry.kind() == Entry.KIND_LOAD_FILE;
        if (bit == MODULE && loadFile && state[WITH_MODULES] == 0) {
            return false;
        }
        short wanted = state[HAS_LIST] != 0 ? state[WANTED] : loadFile ? BY_DEFAULT_OF_LOAD_FILE : BY_DEFAULT;
        return (wanted & bit) != 0;
    }

    private short writeTemplate(Entry entry, byte[] response, short at) {
        boolean loadFile = entry.kind() == Entry.KIND_LOAD_FILE;
        response[at++] = (byte) Gp.TAG_STATUS_ENTRY;
        short lengthOffset = at++;
        if (has(entry, AID)) {
            at = putAid(response, at, Gp.TAG_AID, entry);
        }
        if (has(entry, LIFE_CYCLE)) {
            at = putLifeCycle(response, at, entry);
        }
        if (has(entry, PRIVILEGES) && !loadFile) {
            at = Tlv.putHeader(response, at, Gp.TAG_PRIVILEGES, (short) 3);
            at = entry.getPrivileges(response, at);
        }
        if (has(entry, IMPLICIT_SELECTION) && !loadFile) {
            at = putImplicitSelection(response, at, entry);
        }
        if (has(entry, LOAD_FILE) && entry.loadFile() != null) {
            at = putAid(response, at, Gp.TAG_LOAD_FILE, entry.loadFile());
        }
        if (has(entry, VERSION)) {
            at = Tlv.putHeader(response, at, TAG_VERSION, (short) 2);
            at = entry.getVersion(response, at);
        }
        if (has(entry, MODULE)) {
            at = loadFile ? putModules(response, at, entry) : putAid(response, at, TAG_MODULE, entry.module());
        }
        if (has(entry, DOMAIN)) {
            at = putAid(response, at, Gp.TAG_DOMAIN, entry.domain());
        }
        return Tlv.closeLength(response, lengthOffset, at);
    }

    private static short putAid(byte[] response, short at, short tag, Entry entry) {
        short value = Tlv.putHeader(response, at, tag, (short) 0);
        at = entry.getAid(response, value);
        response[(short) (value - 1)] = (byte) (at - value);
        return at;
    }

    /** The life cycle state; for an application, its contactless activation state too. */
    private static short putLifeCycle(byte[] response, short at, Entry entry) {
        boolean application = entry.kind() == Entry.KIND_APPLICATION;
        at = Tlv.putHeader(response, at, Gp.TAG_LIFE_CYCLE, (short) (application ? 2 : 1));
        response[at++] = entry.state();
        if (application) {
            response[at++] = entry.contactlessState();
        }
        return at;
    }

    /** One CF for each parameter; moved up behind their headers, last first. */
    private static short putImplicitSelection(byte[] response, short at, Entry entry) {
        short count = (short) (entry.getImplicitSelection(response, at) - at);
        for (short i = (short) (count - 1); i >= 0; i--) {
            byte parameter = response[(short) (at + i)];
            short place = (short) (at + 3 * i);
            response[(short) (place + 2)] = parameter;
            response[(short) (place + 1)] = 1;
            response[place] = (byte) TAG_IMPLICIT_SELECTION;
        }
        return (short) (at + 3 * count);
    }

    private static short putModules(byte[] response, short at, Entry loadFile) {
        Entry module = loadFile.nextModule(null);
        while (module != null && at <= SecurityDomain.LONG_RESPONSE_LIMIT) {
            at = putAid(response, at, TAG_MODULE, module);
            module = loadFile.nextModule(module);
        }
        return at;
    }

    /** Length and AID, life cycle state, privileges' first byte; with modules, their number, lengths and AIDs. */
    private short writePlain(Entry entry, byte[] response, short at) {
        at = putLv(response, at, entry);
        response[at++] = entry.state();
        entry.getPrivileges(response, at++);
        if (entry.kind() == Entry.KIND_LOAD_FILE && state[WITH_MODULES] != 0) {
            short count = at++;
            response[count] = 0;
            Entry module = entry.nextModule(null);
            while (module != null && at <= SecurityDomain.LONG_RESPONSE_LIMIT) {
                at = putLv(response, at, module);
                response[count]++;
                module = entry.nextModule(module);
            }
        }
        return at;
    }

    private static short putLv(byte[] response, short at, Entry entry) {
        short end = entry.getAid(response, (short) (at + 1));
        response[at] = (byte) (end - at - 1);
        return end;
    }
}
