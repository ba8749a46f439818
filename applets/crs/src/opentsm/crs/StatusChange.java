package opentsm.crs;

import javacard.framework.AID;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import org.globalplatform.contactless.GPCLRegistryEntry;
import org.globalplatform.contactless.GPCLSystem;

/**
 * SET STATUS: activation of applications, their order in partial selection, the communication interface.
 *
 * <p>A list of applications is worked off to its end. What could not be done is told: 61 { 4F, A0 { conflicting ones } }
 * for each application that conflicts with active ones, then A1 { the others } (clause 3.11.4.3.1).
 *
 * <p>Spec: GP Amendment C 1.3 clause 3.11.4.
 */
final class StatusChange {
    static final short SW_PARTLY_FAILED = 0x6320;

    private static final byte AVAILABILITY = 0x01;
    private static final byte PRIORITY = 0x02;
    private static final byte INTERFACE = 0x04;

    private static final byte FIRST = 0x01;
    private static final byte LAST = (byte) 0x81;
    private static final byte VOLATILE = 0x02;
    private static final byte NO_VOLATILE = (byte) 0x82;

    private static final byte OFF = 0x00;
    private static final byte ON = (byte) 0x80;

    /** The data field for the interface: 80, one byte, proximity based. */
    private static final short TAG_INTERFACE = 0x0080;

    private static final byte PROXIMITY = 0x40;

    private static final short TAG_APPLICATION = 0x0061;
    private static final short TAG_CONFLICTING = 0x00A0;
    private static final short TAG_FAILED = 0x00A1;

    /** Where the AIDs of A1 are gathered in the response buffer; the 61 templates grow from its beginning. */
    private static final short FAILED_AT = 1024;

    /** Indexes in the state: the ends of the templates and of the gathered AIDs. */
    private static final short TEMPLATES_END = 0;

    private static final short FAILED_END = 1;

    private final short[] state;

    StatusChange() {
        state = JCSystem.makeTransientShortArray((short) 2, JCSystem.CLEAR_ON_DESELECT);
    }

    /** Runs a command and returns the length of its response; 0 when all was done. */
    short run(byte[] buffer, byte p1, byte p2, short end, byte[] response) {
        if (p1 == INTERFACE) {
            setInterface(buffer, p2, end);
            return 0;
        }
        boolean availability = p1 == AVAILABILITY
                && (p2 == GPCLRegistryEntry.STATE_CL_ACTIVATED || p2 == GPCLRegistryEntry.STATE_CL_DEACTIVATED);
        boolean priority = p1 == PRIORITY && (p2 == FIRST || p2 == LAST || p2 == VOLATILE || p2 == NO_VOLATILE);
        if (!availability && !priority) {
            ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        }
        short data = ISO7816.OFFSET_CDATA;
        checkList(buffer, data, end, p1 == PRIORITY && p2 == NO_VOLATILE);
        if (priority && p2 == NO_VOLATILE) {
            GPCLSystem.setVolatilePriority(null);
            return 0;
        }
        state[TEMPLATES_END] = 0;
        state[FAILED_END] = FAILED_AT;
        for (short at = data; at < end; at = Tlv.next(buffer, at, end)) {
            change(buffer, at, end, p1, p2, response);
        }
        return answer(response);
    }

    /** A list of 4F, each an AID; at least one, unless none is needed. */
    private static void checkList(byte[] buffer, short data, short end, boolean optional) {
        if (data == end && !optional) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        for (short at = data; at < end; at = Tlv.next(buffer, at, end)) {
            short length = (short) (Tlv.next(buffer, at, end) - Tlv.value(buffer, at, end));
            if (Tlv.tag(buffer, at, end) != Query.TAG_AID || length < 5 || length > 16) {
                ISOException.throwIt(ISO7816.SW_WRONG_DATA);
            }
        }
    }

    private void change(byte[] buffer, short at, short end, byte p1, byte p2, byte[] response) {
        short value = Tlv.value(buffer, at, end);
        AID name = JCSystem.lookupAID(buffer, value, (byte) (Tlv.next(buffer, at, end) - value));
        GPCLRegistryEntry entry = name == null ? null : GPCLSystem.getGPCLRegistryEntry(name);
        if (entry == null) {
            failed(buffer, at, end, response);
            return;
        }
        try {
            if (p1 == AVAILABILITY) {
                entry.setCLState(p2);
            } else if (p2 == VOLATILE) {
                GPCLSystem.setVolatilePriority(entry);
            } else {
                entry.setPartialSelectionOrder(p2 == FIRST);
            }
        } catch (ISOException refused) {
            if (p1 == AVAILABILITY && entry.getNextConflictingApplication(null) != null) {
                conflicting(entry, response);
            } else {
                failed(buffer, at, end, response);
            }
        }
    }

    private void failed(byte[] buffer, short at, short end, byte[] response) {
        short length = (short) (Tlv.next(buffer, at, end) - at);
        state[FAILED_END] = Util.arrayCopyNonAtomic(buffer, at, response, state[FAILED_END], length);
    }

    /** Adds 61 { 4F, A0 { 4F … } }; a list that grows too long is cut off. */
    private void conflicting(GPCLRegistryEntry entry, byte[] response) {
        short offset = state[TEMPLATES_END];
        if (offset > (short) (FAILED_AT - 256)) {
            return;
        }
        short at = Report.aid(entry, response, (short) (offset + Tlv.HEADER_LIMIT), Query.TAG_AID);
        short list = (short) (at + Tlv.HEADER_LIMIT);
        GPCLRegistryEntry other = entry.getNextConflictingApplication(null);
        while (other != null && list < (short) (FAILED_AT - 64)) {
            list = Report.aid(other, response, list, Query.TAG_AID);
            other = entry.getNextConflictingApplication(other);
        }
        at = Tlv.close(response, at, TAG_CONFLICTING, list);
        state[TEMPLATES_END] = Tlv.close(response, offset, TAG_APPLICATION, at);
    }

    /** Puts A1 behind the templates; returns the length of all. */
    private short answer(byte[] response) {
        short offset = state[TEMPLATES_END];
        short length = (short) (state[FAILED_END] - FAILED_AT);
        if (length == 0) {
            return offset;
        }
        short value = (short) (offset + Tlv.HEADER_LIMIT);
        Util.arrayCopyNonAtomic(response, FAILED_AT, response, value, length);
        return Tlv.close(response, offset, TAG_FAILED, (short) (value + length));
    }

    private static void setInterface(byte[] buffer, byte p2, short end) {
        if (p2 != ON && p2 != OFF) {
            ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        }
        short data = ISO7816.OFFSET_CDATA;
        if ((short) (end - data) != 3 || Tlv.tag(buffer, data, end) != TAG_INTERFACE
                || Tlv.next(buffer, data, end) != end || buffer[(short) (data + 2)] != PROXIMITY) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        GPCLSystem.setCommunicationInterface(GPCLSystem.GPCL_PROXIMITY_IO_INTERFACE, p2 == ON);
    }
}
