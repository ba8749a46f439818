package corpus.ints;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.Util;

/** Only a package with an applet may have arrays with initial values. */
public class IntApplet extends Applet {
    public static void install(byte[] parameters, short offset, byte length) {
        new IntApplet().register();
    }

    public void process(APDU apdu) {
        byte[] buffer = apdu.getBuffer();
        int sum = Ints.each(new int[] {buffer[0] << 24, buffer[1] << 16, 1});
        Util.setShort(buffer, (short) 0, (short) (sum >> 16));
        apdu.setOutgoingAndSend((short) 0, (short) 2);
    }
}
