package corpus.several;

import javacard.framework.AID;
import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/** Reads the counter through its shareable interface. */
public final class Reader extends Applet implements Codes {
    private static final byte[] COUNTER = {(byte) 0xF0, 0, 0, 0x6F, 0x19, 1};
    private Shared counter;

    public static void install(byte[] parameters, short offset, byte length) {
        new Reader().register();
    }

    public void process(APDU apdu) {
        if (selectingApplet()) {
            return;
        }
        if (counter == null) {
            AID aid = JCSystem.lookupAID(COUNTER, (short) 0, (byte) COUNTER.length);
            counter = (Shared) JCSystem.getAppletShareableInterfaceObject(aid, INS_READ);
        }
        if (counter == null || counter.full()) {
            ISOException.throwIt(SW_UNKNOWN);
        }
        byte[] buffer = apdu.getBuffer();
        Util.setShort(buffer, (short) 0, counter.count(buffer[2]));
        apdu.setOutgoingAndSend((short) 0, (short) 2);
    }
}
