package bench;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;

/** Answers with the data it was sent. */
public class Echo extends Applet {
    public static void install(byte[] array, short offset, byte length) {
        new Echo().register(array, (short) (offset + 1), array[offset]);
    }

    public void process(APDU apdu) {
        short length = apdu.setIncomingAndReceive();
        if (!selectingApplet()) {
            apdu.setOutgoingAndSend(ISO7816.OFFSET_CDATA, length);
        }
    }
}
