package com.example.vault;

import javacard.framework.AID;
import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.JCSystem;
import javacard.framework.Shareable;
import javacard.framework.Util;

import com.example.treaty.Safe;

/** Another applet of the vault's package: both have one context. */
public final class Clerk extends Applet {
    private static final byte[] VAULT = {(byte) 0xF0, 0x6F, 0x70, 0x65, 0x6E, 0x74, 0x73, 0x6D, 0x0E, 0x04, 0x01};

    public static void install(byte[] array, short offset, byte length) {
        new Clerk().register();
    }

    @Override
    public void process(APDU apdu) {
        if (selectingApplet()) {
            return;
        }
        byte[] buffer = apdu.getBuffer();
        AID aid = JCSystem.lookupAID(VAULT, (short) 0, (byte) VAULT.length);
        Safe safe = (Safe) JCSystem.getAppletShareableInterfaceObject(aid, (byte) 1);
        short length = safe.who(buffer);
        Util.setShort(buffer, length, safe.box().value);
        buffer[(short) (length + 2)] = safe.bytes()[0];
        apdu.setOutgoingAndSend((short) 0, (short) (length + 3));
    }
}
