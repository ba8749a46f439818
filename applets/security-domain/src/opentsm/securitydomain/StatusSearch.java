package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import opentsm.open.Entry;

/**
 * The search criteria of GET STATUS: an entry is reported when it meets all that the command brings.
 *
 * <p>4F: the AID begins so. 9F70: its life cycle state, or state and contactless activation state. C5: it has at least
 * these privileges. C4, CC: its load file's and its Security Domain's AID. Other data objects are no criteria here and
 * are passed over, as clause 11.4.2.3 leaves to the card.
 *
 * <p>Spec: GP Card 2.3.1 clause 11.4.2.3, tables 11-34 and 11-36.
 */
final class StatusSearch {
    private static final short PRIVILEGES_SIZE = 3;

    /** An entry's privileges; used within one call, cleared at reset. */
    private final byte[] privileges;

    StatusSearch() {
        privileges = JCSystem.makeTransientByteArray(PRIVILEGES_SIZE, JCSystem.CLEAR_ON_RESET);
    }

    /** Tells whether a command has a criterion that an entry can fail; a malformed data field is refused. */
    boolean isSelective(byte[] buffer, short data, short end) {
        boolean selective = false;
        for (short at = data; at < end; at = Tlv.next(buffer, at, end)) {
            short tag = Tlv.tag(buffer, at, end);
            short length = Tlv.length(buffer, Tlv.lengthOffset(buffer, at, end), end);
            if (tag == Gp.TAG_PRIVILEGES && length != 1 && length != PRIVILEGES_SIZE
                    || tag == Gp.TAG_LIFE_CYCLE && length != 1 && length != 2) {
                ISOException.throwIt(Gp.SW_WRONG_DATA);
            }
            selective |= tag == Gp.TAG_AID && length != 0 || tag == Gp.TAG_PRIVILEGES || tag == Gp.TAG_LIFE_CYCLE
                    || tag == Gp.TAG_LOAD_FILE || tag == Gp.TAG_DOMAIN;
        }
        return selective;
    }

    /** Tells whether an entry meets all criteria. */
    boolean finds(Entry entry, byte[] buffer, short data, short end) {
        for (short at = data; at < end; at = Tlv.next(buffer, at, end)) {
            short field = Tlv.lengthOffset(buffer, at, end);
            short value = Tlv.valueOffset(buffer, field);
            if (!meets(entry, Tlv.tag(buffer, at, end), buffer, value, Tlv.length(buffer, field, end))) {
                return false;
            }
        }
        return true;
    }

    private boolean meets(Entry entry, short tag, byte[] buffer, short value, short length) {
        switch (tag) {
            case Gp.TAG_AID:
                return entry.matches(buffer, value, length);
            case Gp.TAG_LIFE_CYCLE:
                return buffer[value] == entry.state()
                        && (length == 1 || buffer[(short) (value + 1)] == entry.contactlessState());
            case Gp.TAG_PRIVILEGES:
                return hasPrivileges(entry, buffer, value, length);
            case Gp.TAG_LOAD_FILE:
                return entry.loadFile() != null && entry.loadFile().hasAid(buffer, value, length);
            case Gp.TAG_DOMAIN:
                return entry.domain().hasAid(buffer, value, length);
            default:
                return true;
        }
    }

    private boolean hasPrivileges(Entry entry, byte[] buffer, short value, short length) {
        entry.getPrivileges(privileges, (short) 0);
        for (short i = 0; i < length; i++) {
            byte wanted = buffer[(short) (value + i)];
            if ((byte) (privileges[i] & wanted) != wanted) {
                return false;
            }
        }
        return entry.kind() != Entry.KIND_LOAD_FILE;
    }
}
