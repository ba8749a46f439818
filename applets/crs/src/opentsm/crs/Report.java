package opentsm.crs;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import org.globalplatform.contactless.GPCLRegistryEntry;

/**
 * Writes what the registry says of one application, as GET STATUS reports it.
 *
 * <p>Spec: GP Amendment C 1.3 clause 3.11.3.3.1, tables 3-9 and 3-15.
 */
final class Report {
    private static final short TAG_APPLICATION = 0x0061;
    private static final short TAG_DISPLAY_CONTROL = 0x7F20;
    private static final short TAG_URI = 0x5F50;
    private static final short TAG_IMAGE = 0x5F44;
    private static final short TAG_MESSAGE = 0x5F45;
    private static final short TAG_UPDATE_COUNTER = 0x0080;
    private static final short TAG_PRIORITY = 0x0081;
    private static final short TAG_GROUP_HEAD = 0x00A2;
    private static final short TAG_GROUP_MEMBERS = 0x00A3;
    private static final short TAG_LISTENERS = 0x00A4;
    private static final short TAG_RESTRICTED = 0x00A5;
    private static final short TAG_DISCRETIONARY = 0x00A6;
    private static final short TAG_CONTINUOUS = 0x008A;
    private static final short TAG_RECOGNITION = 0x008B;
    private static final short TAG_PROTOCOLS = 0x008C;

    /** What is kept free at the buffer's end: room for the data objects of fixed size, and for an AID. */
    private static final short RESERVE = 256;

    private static final short LIST_RESERVE = 64;

    private final Query query;

    /** [0]: whether the last template has a data object that the tag list names; cleared at deselect. */
    private final short[] listed;

    Report(Query query) {
        this.query = query;
        listed = JCSystem.makeTransientShortArray((short) 1, JCSystem.CLEAR_ON_DESELECT);
    }

    boolean hadListed() {
        return listed[0] != 0;
    }

    /** Writes 61 { 4F, 9F70, what is asked for } at an offset and returns the offset behind it. */
    short write(GPCLRegistryEntry entry, byte[] buffer, short offset) {
        listed[0] = 0;
        short at = (short) (offset + Tlv.HEADER_LIMIT);
        note(Query.TAG_AID);
        at = aid(entry, buffer, at, Query.TAG_AID);
        note(Query.TAG_LIFE_CYCLE);
        short value = (short) (at + Tlv.HEADER_LIMIT);
        buffer[value++] = entry.getState();
        buffer[value++] = entry.getCLState();
        at = Tlv.close(buffer, at, Query.TAG_LIFE_CYCLE, value);
        at = displayControl(entry, buffer, at);
        at = info(entry, buffer, at, TAG_UPDATE_COUNTER, GPCLRegistryEntry.INFO_COUNTER_UPDATE);
        at = info(entry, buffer, at, TAG_PRIORITY, GPCLRegistryEntry.INFO_SELECTION_PRIORITY);
        at = groupHead(entry, buffer, at);
        at = members(entry, buffer, at);
        at = listeners(entry, buffer, at);
        at = info(entry, buffer, at, TAG_RESTRICTED, GPCLRegistryEntry.INFO_POLICY_RESTRICTED_APPLICATIONS);
        at = info(entry, buffer, at, TAG_DISCRETIONARY, GPCLRegistryEntry.INFO_DISCRETIONARY_DATA);
        at = info(entry, buffer, at, Query.TAG_FAMILY, GPCLRegistryEntry.INFO_FAMILY_IDENTIFIER);
        at = info(entry, buffer, at, Query.TAG_DISPLAY_REQUIRED, GPCLRegistryEntry.INFO_DISPLAY_REQUIREMENT);
        at = info(entry, buffer, at, TAG_CONTINUOUS, GPCLRegistryEntry.INFO_CONTINUOUS_PROCESS);
        at = info(entry, buffer, at, TAG_RECOGNITION, GPCLRegistryEntry.INFO_IMPLICIT_SELECTION_RECOGNITION_ALGORITHM);
        at = info(entry, buffer, at, TAG_PROTOCOLS, GPCLRegistryEntry.INFO_IMPLICIT_SELECTION_PROTOCOLS);
        return Tlv.close(buffer, offset, TAG_APPLICATION, at);
    }

    private void note(short tag) {
        if (query.lists(tag)) {
            listed[0] = 1;
        }
    }

    /** Tells whether a data object is asked for; without a tag list all are. */
    private boolean isWanted(short tag) {
        return !query.hasList() || query.lists(tag);
    }

    /** Writes a list of AIDs as a data object, if it is not empty. */
    private short list(byte[] buffer, short offset, short tag, short end) {
        if (end == (short) (offset + Tlv.HEADER_LIMIT)) {
            return offset;
        }
        note(tag);
        return Tlv.close(buffer, offset, tag, end);
    }

    static short aid(GPCLRegistryEntry entry, byte[] buffer, short offset, short tag) {
        short value = (short) (offset + Tlv.HEADER_LIMIT);
        return Tlv.close(buffer, offset, tag, (short) (value + entry.getAID().getBytes(buffer, value)));
    }

    private short displayControl(GPCLRegistryEntry entry, byte[] buffer, short offset) {
        if (!isWanted(TAG_DISPLAY_CONTROL)) {
            return offset;
        }
        short at = (short) (offset + Tlv.HEADER_LIMIT);
        at = put(entry, buffer, at, TAG_URI, GPCLRegistryEntry.INFO_URI);
        at = put(entry, buffer, at, TAG_IMAGE, GPCLRegistryEntry.INFO_LOGO);
        at = put(entry, buffer, at, TAG_MESSAGE, GPCLRegistryEntry.INFO_DISPLAY_MESSAGE);
        return list(buffer, offset, TAG_DISPLAY_CONTROL, at);
    }

    private short groupHead(GPCLRegistryEntry entry, byte[] buffer, short offset) {
        if (!isWanted(TAG_GROUP_HEAD) || !entry.isGroupMember()) {
            return offset;
        }
        short at = (short) (offset + Tlv.HEADER_LIMIT);
        return list(buffer, offset, TAG_GROUP_HEAD,
                put(entry, buffer, at, Query.TAG_AID, GPCLRegistryEntry.INFO_GROUP_HEAD_APPLICATION));
    }

    private short members(GPCLRegistryEntry entry, byte[] buffer, short offset) {
        if (!isWanted(TAG_GROUP_MEMBERS)) {
            return offset;
        }
        short at = (short) (offset + Tlv.HEADER_LIMIT);
        GPCLRegistryEntry member = entry.getNextGroupMember(null);
        while (member != null && at < (short) (buffer.length - LIST_RESERVE)) {
            at = aid(member, buffer, at, Query.TAG_AID);
            member = entry.getNextGroupMember(member);
        }
        return list(buffer, offset, TAG_GROUP_MEMBERS, at);
    }

    private short listeners(GPCLRegistryEntry entry, byte[] buffer, short offset) {
        if (!isWanted(TAG_LISTENERS)) {
            return offset;
        }
        short at = (short) (offset + Tlv.HEADER_LIMIT);
        GPCLRegistryEntry listener = entry.getNextCRELApplication(null);
        while (listener != null && at < (short) (buffer.length - LIST_RESERVE)) {
            at = aid(listener, buffer, at, Query.TAG_AID);
            listener = entry.getNextCRELApplication(listener);
        }
        return list(buffer, offset, TAG_LISTENERS, at);
    }

    private short info(GPCLRegistryEntry entry, byte[] buffer, short offset, short tag, short info) {
        if (!isWanted(tag)) {
            return offset;
        }
        short end = put(entry, buffer, offset, tag, info);
        if (end != offset) {
            note(tag);
        }
        return end;
    }

    /** Writes an information as a data object; what is absent, or too long for the buffer, is left out. */
    private static short put(GPCLRegistryEntry entry, byte[] buffer, short offset, short tag, short info) {
        short end;
        try {
            end = entry.getInfo(buffer, (short) (offset + Tlv.HEADER_LIMIT), info);
        } catch (ISOException absent) {
            return offset;
        } catch (ArrayIndexOutOfBoundsException tooLong) {
            return offset;
        }
        return end > (short) (buffer.length - RESERVE) ? offset : Tlv.close(buffer, offset, tag, end);
    }
}
