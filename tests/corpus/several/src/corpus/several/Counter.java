package corpus.several;

import javacard.framework.AID;
import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Shareable;
import javacard.framework.Util;
import org.globalplatform.GPSystem;

/** Counts, and lets the other applet read. */
public class Counter extends Applet implements Shared, Codes {
    private short count;
    private final byte[] scratch;
    private final Object[] memory;

    private Counter(byte[] parameters, short offset) {
        count = START;
        scratch = JCSystem.makeTransientByteArray((short) 8, JCSystem.CLEAR_ON_DESELECT);
        memory = new Object[] {this, scratch, null};
        if (parameters != null && parameters[offset] > 16) {
            ISOException.throwIt(ISO7816.SW_WRONG_LENGTH);
        }
    }

    public static void install(byte[] parameters, short offset, byte length) {
        new Counter(parameters, offset).register(parameters, (short) (offset + 1), parameters[offset]);
    }

    public boolean select() {
        scratch[0] = 1;
        return super.select();
    }

    public void deselect() {
        memory[2] = null;
    }

    public void process(APDU apdu) {
        if (selectingApplet()) {
            return;
        }
        byte[] buffer = apdu.getBuffer();
        if (buffer[ISO7816.OFFSET_CLA] != CLA && (buffer[ISO7816.OFFSET_CLA] & 0xFC) != 0) {
            ISOException.throwIt(ISO7816.SW_CLA_NOT_SUPPORTED);
        }
        switch (buffer[ISO7816.OFFSET_INS]) {
            case INS_COUNT:
                JCSystem.beginTransaction();
                count += (short) (buffer[ISO7816.OFFSET_P1] & 0xFF);
                JCSystem.commitTransaction();
                break;
            case INS_READ:
                Util.setShort(buffer, (short) 0, count);
                buffer[2] = GPSystem.getCardState();
                apdu.setOutgoingAndSend((short) 0, (short) 3);
                break;
            default:
                ISOException.throwIt(SW_UNKNOWN);
        }
    }

    public Shareable getShareableInterfaceObject(AID client, byte parameter) {
        return parameter == INS_READ ? this : null;
    }

    public short count(byte by) {
        return count += by;
    }

    public boolean full() {
        return count == MAX;
    }
}
