package bench;

import javacard.framework.AID;
import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.JCSystem;
import javacard.framework.Shareable;
import javacard.framework.Util;

/** Computes in the ways that applets do: bytes and shorts in arrays, fields, calls, library methods. */
public final class Mill extends Applet {
    private static final short ROUNDS = 1000;

    private abstract static class Wheel {
        short turns;

        abstract short turn(short value);
    }

    private static final class Up extends Wheel {
        @Override
        short turn(short value) {
            turns++;
            return (short) (value * 5 + turns);
        }
    }

    private static final class Down extends Wheel {
        @Override
        short turn(short value) {
            turns--;
            return (short) (value ^ (value >> 3) + turns);
        }
    }

    private final byte[] box = new byte[256];
    private final short[] state = JCSystem.makeTransientShortArray((short) 16, JCSystem.CLEAR_ON_RESET);
    private final byte[] block = JCSystem.makeTransientByteArray((short) 64, JCSystem.CLEAR_ON_RESET);
    private final Wheel[] wheels = {new Up(), new Down()};
    private Shareable neighbour;
    private short total;

    private Mill() {
        for (short i = 0; i < 256; i++) {
            box[i] = (byte) (i * 7 + 3);
        }
        register();
    }

    public static void install(byte[] array, short offset, byte length) {
        new Mill();
    }

    @Override
    public void process(APDU apdu) {
        if (selectingApplet()) {
            return;
        }
        byte[] buffer = apdu.getBuffer();
        switch (buffer[ISO7816.OFFSET_INS]) {
            case 0x01:
                bytes();
                break;
            case 0x02:
                shorts();
                break;
            case 0x03:
                calls();
                break;
            case 0x7F:
                apdu.setIncomingAndReceive();
                AID aid = JCSystem.lookupAID(buffer, ISO7816.OFFSET_CDATA, buffer[ISO7816.OFFSET_LC]);
                neighbour = JCSystem.getAppletShareableInterfaceObject(aid, (byte) 0);
                return;
            default:
                library(buffer);
                break;
        }
        Util.setShort(buffer, (short) 0, total);
        apdu.setOutgoingAndSend((short) 0, (short) 2);
    }

    private void bytes() {
        for (short round = 0; round < ROUNDS; round++) {
            for (short i = 0; i < 64; i++) {
                block[i] = box[(short) ((block[i] ^ i) & 0xFF)];
                total += block[i];
            }
        }
    }

    private void shorts() {
        for (short round = 0; round < ROUNDS; round++) {
            for (short i = 0; i < 16; i++) {
                short left = state[i];
                short right = state[(short) ((i + 1) & 15)];
                state[i] = (short) ((left << 3 | (left >> 13) & 7) + right * 13 - round);
                total += state[i];
            }
        }
    }

    private void calls() {
        for (short i = 0; i < (short) (ROUNDS * 30); i++) {
            total = wheels[(short) (i & 1)].turn(total);
        }
    }

    private void library(byte[] buffer) {
        for (short i = 0; i < ROUNDS; i++) {
            Util.arrayCopyNonAtomic(block, (short) 0, buffer, (short) 8, (short) 64);
            Util.setShort(buffer, (short) 8, (short) (total + i));
            total += Util.getShort(buffer, (short) 8);
            Util.arrayCopyNonAtomic(buffer, (short) 8, block, (short) 0, (short) 64);
        }
    }
}
