package opentsm.crs;

import javacard.framework.AID;
import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.MultiSelectable;
import javacard.framework.Shareable;
import javacard.framework.Util;
import org.globalplatform.GPRegistryEntry;
import org.globalplatform.contactless.CLAppletEvent;
import org.globalplatform.contactless.CRSApplication;
import org.globalplatform.contactless.GPCLRegistryEntry;
import org.globalplatform.contactless.GPCLSystem;

/**
 * The CRS application: shows a device's user interface the contactless applications, and has it switch them.
 *
 * <p>It is an application like any other: all that it does, it does by org.globalplatform.contactless, with the
 * Contactless Activation and Global Registry privileges.
 *
 * <p>Spec: GP Amendment C 1.3 clause 3.11.
 */
public final class Crs extends Applet implements MultiSelectable, CRSApplication {
    private static final byte INS_GET_STATUS = (byte) 0xF2;
    private static final byte INS_SET_STATUS = (byte) 0xF0;
    private static final byte INS_GET_DATA = (byte) 0xCA;

    private static final byte SCOPE_APPLICATIONS = 0x40;
    private static final byte NEXT = 0x01;
    private static final byte REMAINING = (byte) 0x80;

    private static final short TAG_FCI = 0x006F;
    private static final short TAG_DF_NAME = 0x0084;
    private static final short TAG_PROPRIETARY = 0x00A5;
    private static final short TAG_VERSION = (short) 0x9F08;
    private static final short TAG_UPDATE_COUNTER = 0x0080;
    private static final short VERSION = 0x0100;

    private static final short SW_MORE_DATA = 0x6310;
    private static final short SW_NOT_FOUND = 0x6A88;

    /** What one response holds. */
    private static final short RESPONSE_LIMIT = 256;

    /** One template, the largest, behind a response that is nearly full. */
    private static final short BUFFER_SIZE = 1536;

    /** Indexes in the state: what of the buffer is still to be sent, the status word behind it, whose it is. */
    private static final short PENDING = 0;

    private static final short PENDING_END = 1;
    private static final short PENDING_STATUS = 2;
    private static final short PENDING_INSTRUCTION = 3;

    /** Index in the state: the logical channel, plus 1, that what is pending belongs to; 0: nothing is. */
    private static final short CHANNEL = 4;

    private final Query query;
    private final Report report;
    private final StatusChange change;

    /** All of these are cleared at deselect. */
    private final byte[] response;

    private final short[] state;

    /** [0]: the application that GET STATUS reported last. */
    private final Object[] cursor;

    private Crs() {
        query = new Query();
        report = new Report(query);
        change = new StatusChange();
        response = JCSystem.makeTransientByteArray(BUFFER_SIZE, JCSystem.CLEAR_ON_DESELECT);
        state = JCSystem.makeTransientShortArray((short) 5, JCSystem.CLEAR_ON_DESELECT);
        cursor = JCSystem.makeTransientObjectArray((short) 1, JCSystem.CLEAR_ON_DESELECT);
    }

    /** Installs the CRS application; it has no parameters of its own. */
    public static void install(byte[] array, short offset, byte length) {
        new Crs().register(array, (short) (offset + 1), array[offset]);
    }

    @Override
    public boolean select(boolean alreadyActive) {
        return true;
    }

    @Override
    public void deselect(boolean stillActive) {
        end();
    }

    @Override
    public void process(APDU apdu) {
        byte[] buffer = apdu.getBuffer();
        if (selectingApplet()) {
            end();
            send(apdu, fileControlInformation());
            return;
        }
        if (buffer[ISO7816.OFFSET_INS] == ISO7816.INS_SELECT) {
            ISOException.throwIt(ISO7816.SW_FILE_NOT_FOUND); // of no application of this card (JCRE clause 4.5.2)
        }
        if (apdu.isISOInterindustryCLA()) {
            ISOException.throwIt(ISO7816.SW_CLA_NOT_SUPPORTED);
        }
        if (apdu.isSecureMessagingCLA()) {
            ISOException.throwIt(ISO7816.SW_SECURE_MESSAGING_NOT_SUPPORTED);
        }
        switch (buffer[ISO7816.OFFSET_INS]) {
            case INS_GET_STATUS:
                getStatus(apdu, buffer);
                break;
            case INS_SET_STATUS:
                setStatus(apdu, buffer);
                break;
            case INS_GET_DATA:
                end();
                if (Util.getShort(buffer, ISO7816.OFFSET_P1) != TAG_PROPRIETARY) {
                    ISOException.throwIt(SW_NOT_FOUND);
                }
                send(apdu, proprietary((short) 0));
                break;
            default:
                ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
        }
    }

    // SELECT and GET DATA.

    /** Writes 6F { 84 name, A5 { 9F08 version, 80 global update counter } } (clause 3.11.5.2, table 3-30). */
    private short fileControlInformation() {
        short at = Tlv.HEADER_LIMIT;
        at = Report.aid(GPCLSystem.getGPCLRegistryEntry(null), response, at, TAG_DF_NAME);
        return Tlv.close(response, (short) 0, TAG_FCI, proprietary(at));
    }

    private short proprietary(short offset) {
        short at = (short) (offset + Tlv.HEADER_LIMIT);
        short value = (short) (at + Tlv.HEADER_LIMIT);
        at = Tlv.close(response, at, TAG_VERSION, Util.setShort(response, value, VERSION));
        value = (short) (at + Tlv.HEADER_LIMIT);
        at = Tlv.close(response, at, TAG_UPDATE_COUNTER,
                GPCLSystem.getCardCLInfo(response, value, GPCLSystem.CARD_INFO_COUNTER_UPDATE));
        return Tlv.close(response, offset, TAG_PROPRIETARY, at);
    }

    private void send(APDU apdu, short length) {
        apdu.setOutgoing();
        apdu.setOutgoingLength(length);
        apdu.sendBytesLong(response, (short) 0, length);
    }

    // GET STATUS.

    private void getStatus(APDU apdu, byte[] buffer) {
        byte p2 = buffer[ISO7816.OFFSET_P2];
        if (buffer[ISO7816.OFFSET_P1] != SCOPE_APPLICATIONS || (byte) (p2 & ~NEXT) != 0) {
            end();
            ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        }
        short length = apdu.setIncomingAndReceive();
        if (p2 == NEXT) {
            requirePending(INS_GET_STATUS);
        } else {
            end();
            query.take(buffer, ISO7816.OFFSET_CDATA, length);
            requireSomething();
        }
        if (state[PENDING] < state[PENDING_END]) {
            sendPending(apdu);
            return;
        }
        report(apdu);
    }

    /** Refuses a search that finds nothing, or nothing of what its tag list names (clause 3.11.3.3.1). */
    private void requireSomething() {
        boolean found = false;
        GPCLRegistryEntry entry = nextMatch(null);
        while (entry != null && !found) {
            report.write(entry, response, (short) 0);
            found = !query.hasList() || report.hadListed();
            entry = nextMatch(entry);
        }
        if (!found) {
            ISOException.throwIt(SW_NOT_FOUND);
        }
    }

    private GPCLRegistryEntry nextMatch(GPCLRegistryEntry previous) {
        GPCLRegistryEntry entry = GPCLSystem.getNextGPCLRegistryEntry(previous, GPCLSystem.AFI_ANY);
        while (entry != null && !query.matches(entry)) {
            entry = GPCLSystem.getNextGPCLRegistryEntry(entry, GPCLSystem.AFI_ANY);
        }
        return entry;
    }

    /** Sends as many whole templates as fit; one that is larger than a response goes in pieces. */
    private void report(APDU apdu) {
        GPCLRegistryEntry last = (GPCLRegistryEntry) cursor[0];
        if (last != null) {
            last.getAID(); // throws when it was deleted since
        }
        short length = 0;
        GPCLRegistryEntry entry = nextMatch(last);
        while (entry != null) {
            short end = report.write(entry, response, length);
            if (end > RESPONSE_LIMIT && length > 0) {
                break;
            }
            length = end;
            cursor[0] = entry;
            entry = nextMatch(entry);
            if (end > RESPONSE_LIMIT) {
                break;
            }
        }
        begin(INS_GET_STATUS, length, entry == null ? ISO7816.SW_NO_ERROR : SW_MORE_DATA);
        sendPending(apdu);
    }

    // SET STATUS.

    private void setStatus(APDU apdu, byte[] buffer) {
        short length = apdu.setIncomingAndReceive();
        byte p1 = buffer[ISO7816.OFFSET_P1];
        if (p1 == REMAINING) {
            requirePending(INS_SET_STATUS);
        } else {
            end();
            short end = change.run(buffer, p1, buffer[ISO7816.OFFSET_P2], (short) (ISO7816.OFFSET_CDATA + length), response);
            if (end == 0) {
                return;
            }
            begin(INS_SET_STATUS, end, StatusChange.SW_PARTLY_FAILED);
        }
        sendPending(apdu);
    }

    // What is to be sent, in one response or several.

    private void begin(byte instruction, short length, short status) {
        state[PENDING] = 0;
        state[PENDING_END] = length;
        state[PENDING_STATUS] = status;
        state[PENDING_INSTRUCTION] = instruction;
        state[CHANNEL] = (short) (APDU.getCLAChannel() + 1);
    }

    private void end() {
        state[PENDING] = 0;
        state[PENDING_END] = 0;
        state[CHANNEL] = 0;
        cursor[0] = null;
    }

    private void requirePending(byte instruction) {
        if (state[CHANNEL] != (short) (APDU.getCLAChannel() + 1) || state[PENDING_INSTRUCTION] != instruction) {
            end();
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
    }

    private void sendPending(APDU apdu) {
        short from = state[PENDING];
        short length = (short) (state[PENDING_END] - from);
        short status = state[PENDING_STATUS];
        if (length > RESPONSE_LIMIT) {
            length = RESPONSE_LIMIT;
            status = SW_MORE_DATA;
        }
        state[PENDING] += length;
        apdu.setOutgoing();
        apdu.setOutgoingLength(length);
        apdu.sendBytesLong(response, from, length);
        if (status != SW_MORE_DATA) {
            end();
        }
        if (status != ISO7816.SW_NO_ERROR) {
            ISOException.throwIt(status);
        }
    }

    // What the OPEN asks.

    @Override
    public Shareable getShareableInterfaceObject(AID client, byte parameter) {
        boolean known = parameter == GPCLSystem.GPCL_CRS_APPLICATION || parameter == GPCLSystem.GPCL_CREL_APPLICATION;
        return client == null && known ? this : null;
    }

    @Override
    public void notifyCLEvent(GPCLRegistryEntry target, short event) {
        // The device's user interface sees by the update counter that something has changed.
    }

    /** Lets an application that asks be activated, unless it conflicts with one that is active. */
    @Override
    public boolean processCLRequest(GPRegistryEntry requester, GPCLRegistryEntry target, short event) {
        if (event != CLAppletEvent.EVENT_ACTIVATED) {
            return false;
        }
        try {
            return target.setCLState(GPCLRegistryEntry.STATE_CL_ACTIVATED) == GPCLRegistryEntry.STATE_CL_ACTIVATED;
        } catch (ISOException refused) {
            return false;
        }
    }
}
