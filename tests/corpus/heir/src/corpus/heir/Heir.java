package corpus.heir;

import corpus.library.Measured;
import corpus.library.Refused;
import corpus.library.Shape;
import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.Util;

public class Heir extends Applet {
    public static void install(byte[] parameters, short offset, byte length) {
        new Heir().register();
    }

    public void process(APDU apdu) {
        if (selectingApplet()) {
            return;
        }
        byte[] buffer = apdu.getBuffer();
        Util.setShort(buffer, (short) 0, run(buffer[2]));
        apdu.setOutgoingAndSend((short) 0, (short) 2);
    }

    static short run(byte which) {
        Box box = new Box((short) 5);
        switch (which) {
            case 0:
                return box.weigh();
            case 1:
                return box.deep();
            case 2:
                return new Sheet().weigh();
            case 3:
                return new Sheet().own();
            case 4:
                return total(new Measured[] {box, new Sheet(), Shape.square((short) 9)});
            case 5:
                return refused();
            case 6:
                return box.larger(new Box((short) 4)) ? (short) 1 : (short) 2;
            case 7:
                return (short) (box.weightNow() - Shape.sum());
            case 8:
                return Shape.square((short) 3).weigh();
            default:
                return box.owned() ? box.tag : Shape.SIDES_UNKNOWN;
        }
    }

    private static short total(Measured[] all) {
        short sum = 0;
        for (Measured each : all) {
            sum += each.area();
            sum -= each.perimeter();
        }
        return sum;
    }

    private static short refused() {
        try {
            Refused.because((short) 0x1234);
            return 0;
        } catch (Refused refused) {
            return refused.getReason();
        }
    }
}
