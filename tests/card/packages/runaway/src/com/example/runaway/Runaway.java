package com.example.runaway;

import javacard.framework.*;

/** The first byte of its install parameters says where it runs away; INS 01 and above do so in a command. */
public final class Runaway extends Applet implements Endless, AppletEvent {
    private static final byte CONSTRUCTOR = 1;
    private static final byte INSTALL = 2;
    private static final byte SELECT = 3;
    private static final byte DESELECT = 4;
    private static final byte UNINSTALL = 5;
    private static final byte SHARING = 6;

    private final byte where;
    private short count;
    private Object[] kept;

    private Runaway(byte where) {
        this.where = where;
        if (where == CONSTRUCTOR) {
            endless();
        }
    }

    public static void install(byte[] parameters, short offset, byte length) {
        short at = (short) (offset + parameters[offset] + 1);
        at += (short) (parameters[at] + 1);
        byte where = parameters[at] == 0 ? 0 : parameters[(short) (at + 1)];
        Runaway made = new Runaway(where);
        if (where == INSTALL) {
            made.deep();
        }
        made.register(parameters, (short) (offset + 1), parameters[offset]);
    }

    public boolean select() {
        if (where == SELECT) {
            endless();
        }
        return true;
    }

    public void deselect() {
        if (where == DESELECT) {
            deep();
        }
    }

    public void uninstall() {
        if (where == UNINSTALL) {
            endless();
        }
    }

    public Shareable getShareableInterfaceObject(AID client, byte parameter) {
        if (where == SHARING && client != null) {
            endless();
        }
        return this;
    }

    public short never() {
        return deep();
    }

    public void process(APDU apdu) {
        if (selectingApplet()) {
            return;
        }
        byte[] buffer = apdu.getBuffer();
        switch (buffer[ISO7816.OFFSET_INS]) {
            case 0x00:
                Util.setShort(buffer, (short) 0, ++count);
                apdu.setOutgoingAndSend((short) 0, (short) 2);
                return;
            case 0x01:
                handled();
                return;
            case 0x02:
                handledDeep();
                return;
            case 0x03:
                arrays();
                return;
            case 0x04:
                short length = apdu.setIncomingAndReceive();
                AID server = JCSystem.lookupAID(buffer, ISO7816.OFFSET_CDATA, (byte) length);
                ((Endless) JCSystem.getAppletShareableInterfaceObject(server, (byte) 0)).never();
                return;
            case 0x05:
                finished();
                return;
            default:
                ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
        }
    }

    private short endless() {
        while (true) {
            count++;
        }
    }

    private short deep() {
        return (short) (deep() + 1);
    }

    /** Catches whatever would end it, and goes on. */
    private void handled() {
        while (true) {
            try {
                endless();
            } catch (Throwable caught) {
                count++;
            }
        }
    }

    private void handledDeep() {
        try {
            handledDeep();
        } catch (Throwable caught) {
            handledDeep();
        }
    }

    private void finished() {
        while (true) {
            try {
                deep();
            } finally {
                endless();
            }
        }
    }

    /** Takes more memory than there is. */
    private void arrays() {
        while (true) {
            Object[] next = new Object[] {kept, new short[32767], new short[32767]};
            kept = next;
        }
    }
}
