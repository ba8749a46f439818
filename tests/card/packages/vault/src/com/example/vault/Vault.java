package com.example.vault;

import javacard.framework.AID;
import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Shareable;
import javacard.framework.SystemException;
import javacard.framework.Util;

import com.example.treaty.Box;
import com.example.treaty.Plain;
import com.example.treaty.Safe;
import com.example.treaty.Trouble;

/** Shares itself: to a parameter of 1; a parameter of 2 is answered by null. */
public final class Vault extends Applet implements Safe {
    private final byte[] bytes = {42, 43, 44, 45};
    private final boolean[] booleans = new boolean[2];
    private final short[] shorts = new short[2];
    private final Object[] objects = new Object[2];
    private final Box box = new Box();
    private final Trouble trouble = new Trouble((short) 0x6F42);
    private final byte[] session = JCSystem.makeTransientByteArray((short) 4, JCSystem.CLEAR_ON_DESELECT);
    private AID asked;
    private byte parameter;

    public static void install(byte[] array, short offset, byte length) {
        Vault vault = new Vault();
        vault.session[0] = 1;
        vault.register();
    }

    @Override
    public Shareable getShareableInterfaceObject(AID client, byte wanted) {
        asked = client;
        parameter = wanted;
        return wanted == 1 ? this : null;
    }

    @Override
    public void process(APDU apdu) {
        byte[] buffer = apdu.getBuffer();
        if (selectingApplet()) {
            Box.shared = box;
            return;
        }
        session[0]++;
        short length = 0;
        if (asked != null) {
            length = asked.getBytes(buffer, (short) 0);
        }
        buffer[length] = parameter;
        buffer[(short) (length + 1)] = session[0];
        apdu.setOutgoingAndSend((short) 0, (short) (length + 2));
    }

    public byte[] bytes() {
        return bytes;
    }

    public boolean[] booleans() {
        return booleans;
    }

    public short[] shorts() {
        return shorts;
    }

    public Object[] objects() {
        return objects;
    }

    public Box box() {
        return box;
    }

    public Plain plain() {
        return box;
    }

    public Object any() {
        return box;
    }

    public Trouble trouble() {
        return trouble;
    }

    public short who(byte[] into) {
        AID previous = JCSystem.getPreviousContextAID();
        short at = 1;
        into[0] = 0;
        if (previous != null) {
            into[0] = previous.getBytes(into, at);
            at += into[0];
        }
        into[at] = JCSystem.getAID().getBytes(into, (short) (at + 1));
        return (short) (at + 1 + into[at]);
    }

    public short use(byte how, byte[] array, Box given) {
        switch (how) {
            case 0:
                return array[0];
            case 1:
                return given.value;
            case 2:
                return Util.getShort(array, (short) 0);
            case 3:
                return session[0];
            case 4:
                try {
                    JCSystem.makeTransientByteArray((short) 1, JCSystem.CLEAR_ON_DESELECT);
                    return 0;
                } catch (SystemException thrown) {
                    return thrown.getReason();
                }
            default:
                return bytes[0];
        }
    }

    public void fail(boolean own) {
        if (own) {
            throw trouble;
        }
        ISOException.throwIt((short) 0x6A42);
    }
}
