package bench.neighbour;

import javacard.framework.AID;
import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.Shareable;

/** Shares itself, and nothing with it. */
public final class Neighbour extends Applet implements Shareable {
    public static void install(byte[] array, short offset, byte length) {
        new Neighbour().register();
    }

    @Override
    public Shareable getShareableInterfaceObject(AID client, byte parameter) {
        return this;
    }

    @Override
    public void process(APDU apdu) {}
}
