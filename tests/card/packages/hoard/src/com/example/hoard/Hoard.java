package com.example.hoard;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.SystemException;
import javacard.framework.Util;

/** Takes memory, lets go of it, and says what is left. */
public final class Hoard extends Applet {
    private static final short MOST = 64;

    private final Object[] kept = new Object[MOST];
    private short count;

    private Hoard(short bytes) {
        if (bytes != 0) {
            kept[count++] = new byte[bytes];
        }
    }

    /** Its parameters: how many bytes to take at once. */
    public static void install(byte[] array, short offset, byte length) {
        short privileges = (short) (offset + 1 + array[offset]);
        short parameters = (short) (privileges + 1 + array[privileges]);
        short bytes = array[parameters] == 2 ? Util.getShort(array, (short) (parameters + 1)) : 0;
        new Hoard(bytes).register(array, (short) (offset + 1), array[offset]);
    }

    @Override
    public void process(APDU apdu) {
        if (selectingApplet()) {
            return;
        }
        byte[] buffer = apdu.getBuffer();
        short amount = Util.getShort(buffer, ISO7816.OFFSET_P1);
        try {
            run(buffer[ISO7816.OFFSET_INS], amount, buffer);
        } catch (SystemException refused) {
            ISOException.throwIt((short) (0x6B00 | refused.getReason()));
        }
        apdu.setOutgoingAndSend((short) 0, (short) 4);
    }

    private void run(byte ins, short amount, byte[] buffer) {
        switch (ins) {
            case 0x01:
                kept[count++] = new byte[amount];
                break;
            case 0x02:
                kept[count++] = JCSystem.makeTransientByteArray(amount, JCSystem.CLEAR_ON_RESET);
                break;
            case 0x03:
                kept[count++] = JCSystem.makeTransientByteArray(amount, JCSystem.CLEAR_ON_DESELECT);
                break;
            case 0x04:
                for (short i = 0; i < MOST; i++) {
                    kept[i] = null;
                }
                count = 0;
                break;
            case 0x05:
                JCSystem.requestObjectDeletion();
                break;
            case 0x06:
                Util.setShort(buffer, (short) 0, (short) 0);
                Util.setShort(buffer, (short) 2, JCSystem.getAvailableMemory((byte) amount));
                return;
            case 0x07:
                Util.setShort(buffer, (short) 0, (short) (JCSystem.isObjectDeletionSupported() ? 1 : 0));
                return;
            case 0x08:
                JCSystem.getAvailableMemory(wide, (short) 0, (byte) amount);
                Util.setShort(buffer, (short) 0, wide[0]);
                Util.setShort(buffer, (short) 2, wide[1]);
                return;
            case 0x09:
                ((byte[]) kept[0])[0] = 5;
                buffer[0] = ((byte[]) kept[0])[0];
                return;
            default:
                ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
        }
        Util.setShort(buffer, (short) 0, count);
    }

    private final short[] wide = new short[2];
}
