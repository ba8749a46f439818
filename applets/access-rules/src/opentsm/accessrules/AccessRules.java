package opentsm.accessrules;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.RandomData;
import org.globalplatform.Personalization;

/**
 * The access rule application master (ARA-M): a device reads from it which of its applications may use which of the card's.
 *
 * <p>Anyone reads; rules come and go by personalization through the Security Domain, each data object as a whole or not at
 * all. The refresh tag changes with each change, so that a device need not read the rules again and again.
 *
 * <p>Spec: GPD_SPE_013 (GlobalPlatform Secure Element Access Control) 1.1: clauses 4.1 (GET DATA), 5.1 (STORE DATA).
 */
public final class AccessRules extends Applet implements Personalization {
    private static final byte INS_STORE_DATA = (byte) 0xE2;
    private static final byte INS_GET_DATA = (byte) 0xCA;
    private static final short ALL = (short) 0xFF40;
    private static final short NEXT = (short) 0xFF60;
    private static final short REFRESH_TAG = (short) 0xDF20;
    private static final byte COMMAND_STORE = (byte) 0xF0;
    private static final byte COMMAND_DELETE = (byte) 0xF1;
    private static final byte COMMAND_REFRESH = (byte) 0xF2;
    private static final short SW_NOT_FOUND = 0x6A88;
    private static final short REFRESH_BYTES = 8;
    private static final short ANSWER_BYTES = 255;

    private final Rules rules = new Rules();
    private final byte[] refreshTag = new byte[REFRESH_BYTES];
    private final RandomData random = RandomData.getInstance(RandomData.ALG_SECURE_RANDOM);

    /** How much of the rules was given since GET DATA [All]. */
    private final short[] given = JCSystem.makeTransientShortArray((short) 1, JCSystem.CLEAR_ON_DESELECT);

    private AccessRules() {
        refresh();
    }

    /** Installs the instance; it takes no parameters. */
    public static void install(byte[] array, short offset, byte length) {
        new AccessRules().register(array, (short) (offset + 1), array[offset]);
    }

    @Override
    public void process(APDU apdu) {
        if (selectingApplet()) {
            return;
        }
        byte[] buffer = apdu.getBuffer();
        if (buffer[ISO7816.OFFSET_INS] != INS_GET_DATA) {
            ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
        }
        if (buffer[ISO7816.OFFSET_CLA] >= 0) {
            ISOException.throwIt(ISO7816.SW_CLA_NOT_SUPPORTED);
        }
        short what = Util.getShort(buffer, ISO7816.OFFSET_P1);
        short end;
        if (what == ALL) {
            end = Util.setShort(buffer, (short) 0, ALL);
            given[0] = 0;
            end = more(buffer, Tlv.putLength(buffer, end, rules.size()));
        } else if (what == NEXT) {
            if (given[0] == 0 || given[0] >= rules.size()) {
                ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
            }
            end = more(buffer, (short) 0);
        } else if (what == REFRESH_TAG) {
            end = Util.setShort(buffer, (short) 0, REFRESH_TAG);
            buffer[end++] = (byte) REFRESH_BYTES;
            end = Util.arrayCopyNonAtomic(refreshTag, (short) 0, buffer, end, REFRESH_BYTES);
        } else {
            ISOException.throwIt(SW_NOT_FOUND);
            return;
        }
        apdu.setOutgoingAndSend((short) 0, end);
    }

    /** Puts what the answer still takes of the rules. */
    private short more(byte[] buffer, short offset) {
        short left = (short) (rules.size() - given[0]);
        short room = (short) (ANSWER_BYTES - offset);
        short length = left < room ? left : room;
        Util.arrayCopyNonAtomic(rules.data(), given[0], buffer, offset, length);
        given[0] += length;
        return (short) (offset + length);
    }

    /** Takes a STORE DATA command (GP Card 2.3.1 clause 7.3.3): command data objects, one behind the other. */
    @Override
    public short processData(byte[] in, short offset, short length, byte[] out, short outOffset) {
        if (in[(short) (offset + ISO7816.OFFSET_INS)] != INS_STORE_DATA) {
            ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
        }
        boolean extended = in[(short) (offset + ISO7816.OFFSET_LC)] == 0;
        short at = (short) (offset + (extended ? ISO7816.OFFSET_EXT_CDATA : ISO7816.OFFSET_CDATA));
        short end = (short) (offset + length);
        while (at < end) {
            short value = Tlv.value(in, at, end);
            short next = Tlv.end(in, at, end);
            run(in[at], in, value, next);
            at = next;
        }
        return 0;
    }

    private void run(byte command, byte[] in, short value, short end) {
        switch (command) {
            case COMMAND_STORE:
                rules.store(in, value, end);
                break;
            case COMMAND_DELETE:
                if (value == end) {
                    rules.clear();
                } else if (rules.delete(in, value, end) == 0) {
                    ISOException.throwIt(SW_NOT_FOUND);
                }
                break;
            case COMMAND_REFRESH:
                break;
            default:
                ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        refresh();
    }

    private void refresh() {
        random.generateData(refreshTag, (short) 0, REFRESH_BYTES);
    }
}
