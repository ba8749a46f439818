package com.example.guest;

import javacard.framework.AID;
import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.OwnerPIN;
import javacard.framework.Shareable;
import javacard.framework.Util;

import com.example.treaty.Box;
import com.example.treaty.Plain;
import com.example.treaty.Safe;
import com.example.treaty.Trouble;

/**
 * Tries accesses across the firewall: INS says which, P1 to what. It answers 00 when the access was let through, and 53
 * when that was refused with a SecurityException; with INS of 80 and more the exception is left to the runtime.
 */
public final class Guest extends Applet {
    private static final byte[] VAULT = {(byte) 0xF0, 0x6F, 0x70, 0x65, 0x6E, 0x74, 0x73, 0x6D, 0x0E, 0x04, 0x01};
    private static final byte REFUSED = 0x53;

    private static Object common;
    private static byte[] commonBytes;

    private final Object[] places = new Object[2];
    private final byte[] mine = {42, 43, 44, 45};
    private final Box box = Box.make();
    private final OwnerPIN pin = new OwnerPIN((byte) 3, (byte) 4);
    private Object kept;
    private byte[] keptBytes;
    private APDU keptApdu;
    private Safe safe;
    private boolean installArrayRefused;

    private Guest(byte[] array) {
        pin.update(mine, (short) 0, (byte) 4);
        try {
            keptBytes = array;
        } catch (SecurityException refused) {
            installArrayRefused = true;
        }
    }

    public static void install(byte[] array, short offset, byte length) {
        new Guest(array).register();
    }

    @Override
    public void process(APDU apdu) {
        if (selectingApplet()) {
            return;
        }
        byte[] buffer = apdu.getBuffer();
        byte ins = buffer[ISO7816.OFFSET_INS];
        byte what = buffer[ISO7816.OFFSET_P1];
        if (safe == null && ins != 0x70) {
            safe = ask((byte) 1);
        }
        short length = 1;
        if (ins < 0) {
            attempt((byte) (ins & 0x7F), what, apdu, buffer);
            buffer[0] = 0;
        } else if (ins >= 0x60) {
            length = answer(ins, what, buffer);
        } else {
            try {
                attempt(ins, what, apdu, buffer);
                buffer[0] = 0;
            } catch (SecurityException refused) {
                buffer[0] = REFUSED;
            }
        }
        apdu.setOutgoingAndSend((short) 0, length);
    }

    private static Safe ask(byte parameter) {
        AID aid = JCSystem.lookupAID(VAULT, (short) 0, (byte) VAULT.length);
        return (Safe) JCSystem.getAppletShareableInterfaceObject(aid, parameter);
    }

    /** Answers with more than whether something was let through. */
    private short answer(byte ins, byte what, byte[] buffer) {
        switch (ins) {
            case 0x60:
                return safe.who(buffer);
            case 0x61:
                buffer[0] = (byte) (installArrayRefused ? 1 : 0);
                buffer[1] = (byte) (keptBytes == null ? 1 : 0);
                return 2;
            case 0x62:
                // The server's context ends with its exception.
                try {
                    safe.fail(what != 0);
                } catch (Trouble thrown) {
                    buffer[12] = 1;
                } catch (ISOException thrown) {
                    buffer[12] = (byte) thrown.getReason();
                }
                buffer[0] = JCSystem.getAID().getBytes(buffer, (short) 1);
                AID previous = JCSystem.getPreviousContextAID();
                buffer[13] = (byte) (previous == null ? 0 : 1);
                buffer[14] = mine[3];
                return 15;
            case 0x63:
                Util.setShort(buffer, (short) 0, safe.use(what, buffer, null));
                return 2;
            case 0x70:
                buffer[0] = (byte) (ask(what) == null ? 0 : 1);
                return 1;
            default:
                ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
                return 0;
        }
    }

    private void attempt(byte ins, byte what, APDU apdu, byte[] buffer) {
        switch (ins) {
            case 0x01:
                statics(what, apdu, buffer);
                break;
            case 0x02:
                arrays(what, apdu, buffer);
                break;
            case 0x03:
                fields(what, apdu, buffer);
                break;
            case 0x04:
                methods(what, apdu);
                break;
            case 0x05:
                interfaces(what);
                break;
            case 0x06:
                shared(what, buffer);
                break;
            case 0x07:
                exceptions(what);
                break;
            case 0x08:
                classes(what);
                break;
            case 0x0B:
                arrayMethods(what, buffer);
                break;
            case 0x0C:
                library(what, buffer);
                break;
            default:
                ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
        }
    }

    /** Clause 6.2.8.1. */
    private void statics(byte what, APDU apdu, byte[] buffer) {
        switch (what) {
            case 0:
                common = mine;
                break;
            case 1:
                commonBytes = buffer;
                break;
            case 2:
                common = apdu;
                break;
            case 3:
                common = Box.shared;
                break;
            case 4:
                Box.shared = buffer;
                break;
            default:
                common = JCSystem.getAID();
        }
    }

    /** Clause 6.2.8.2. */
    private void arrays(byte what, APDU apdu, byte[] buffer) {
        switch (what) {
            case 0:
                mine[0] = buffer[0];
                break;
            case 1:
                kept = safe.bytes()[0] == 42 ? null : this;
                break;
            case 2:
                safe.bytes()[0] = 1;
                break;
            case 3:
                mine[1] = (byte) safe.bytes().length;
                break;
            case 4:
                safe.booleans()[1] = true;
                break;
            case 5:
                safe.shorts()[1]++;
                break;
            case 6:
                kept = safe.objects()[0];
                break;
            case 7:
                safe.objects()[0] = mine;
                break;
            case 8:
                places[0] = buffer;
                break;
            case 9:
                places[0] = apdu;
                break;
            case 10:
                places[0] = mine;
                places[1] = JCSystem.getAID();
                break;
            case 11:
                Object array = safe.bytes();
                kept = ((byte[]) array)[0] == 0 ? this : null;
                break;
            case 12:
                Object other = safe.shorts();
                mine[1] = (byte) (other instanceof short[] ? 1 : 0);
                break;
            default:
                mine[1] = (byte) (apdu.getBuffer().length + buffer[2]);
        }
    }

    /** Clause 6.2.8.3. */
    private void fields(byte what, APDU apdu, byte[] buffer) {
        switch (what) {
            case 0:
                box.value++;
                break;
            case 1:
                box.value = safe.box().value;
                break;
            case 2:
                safe.box().value = 1;
                break;
            case 3:
                safe.box().content = mine;
                break;
            case 4:
                keptBytes = buffer;
                break;
            case 5:
                keptApdu = apdu;
                break;
            case 6:
                box.content = buffer;
                break;
            case 7:
                kept = safe.box();
                break;
            case 8:
                try {
                    mine[(short) 100] = 1;
                } catch (ArrayIndexOutOfBoundsException thrown) {
                    kept = thrown;
                }
                break;
            default:
                kept = JCSystem.getAID();
        }
    }

    /** Clause 6.2.8.4. */
    private void methods(byte what, APDU apdu) {
        switch (what) {
            case 0:
                box.read();
                break;
            case 1:
                safe.box().read();
                break;
            case 2:
                apdu.getCLAChannel();
                JCSystem.getAID().equals(null);
                break;
            default:
                box.equals(safe.box());
                safe.box().equals(box);
        }
    }

    /** Clause 6.2.8.5. */
    private void interfaces(byte what) {
        Plain plain = what == 0 ? box : safe.plain();
        plain.plain();
    }

    /** Clause 6.2.8.6. */
    private void shared(byte what, byte[] buffer) {
        switch (what) {
            case 0:
                safe.use((byte) 9, null, null);
                break;
            case 1:
                safe.use((byte) 0, mine, null);
                break;
            case 2:
                safe.use((byte) 0, buffer, null);
                break;
            case 3:
                safe.use((byte) 1, null, box);
                break;
            case 4:
                safe.use((byte) 2, mine, null);
                break;
            case 5:
                safe.use((byte) 2, buffer, null);
                break;
            case 6:
                safe.use((byte) 3, null, null);
                break;
            default:
                safe.use((byte) 0, safe.bytes(), null);
        }
    }

    /** Clause 6.2.8.7; and, in 4, whose methods an exception's are that was let through. */
    private void exceptions(byte what) {
        try {
            switch (what) {
                case 0:
                    throw new Trouble((short) 1);
                case 1:
                    throw safe.trouble();
                case 2:
                    ISOException.throwIt((short) 2);
                    break;
                case 3:
                    safe.fail(false);
                    break;
                default:
                    safe.fail(true);
            }
        } catch (Trouble thrown) {
            thrown.getReason();
        } catch (ISOException thrown) {
            thrown.getReason();
            try {
                throw thrown;
            } catch (ISOException again) {
                again.getReason();
            }
        }
    }

    /** Clauses 6.2.8.8 to 6.2.8.10. */
    private void classes(byte what) {
        Object any = what < 8 ? safe.any() : box;
        boolean is = false;
        switch (what & 7) {
            case 0:
                is = any instanceof Box;
                break;
            case 1:
                is = (Box) any != null;
                break;
            case 2:
                is = any instanceof Plain;
                break;
            case 3:
                is = (Plain) any != null;
                break;
            case 4:
                is = any instanceof Safe;
                break;
            case 5:
                is = (Object) safe instanceof Safe;
                break;
            case 6:
                Shareable object = ask((byte) 1);
                is = (Safe) object != null;
                break;
            default:
                is = JCSystem.getAID() instanceof AID;
        }
        mine[2] = (byte) (is ? 1 : 0);
    }

    /** Clause 6.2.8.11. */
    private void arrayMethods(byte what, byte[] buffer) {
        byte[] array = what == 0 ? mine : what == 1 ? buffer : safe.bytes();
        array.equals(null);
    }

    /** Methods of the API that are given arrays and objects. */
    private void library(byte what, byte[] buffer) {
        byte[] theirs = safe.bytes();
        switch (what) {
            case 0:
                Util.arrayCopy(mine, (short) 0, buffer, (short) 8, (short) 4);
                break;
            case 1:
                Util.arrayCopy(theirs, (short) 0, buffer, (short) 8, (short) 4);
                break;
            case 2:
                Util.arrayCopyNonAtomic(buffer, (short) 8, theirs, (short) 0, (short) 4);
                break;
            case 3:
                Util.arrayCompare(mine, (short) 0, theirs, (short) 0, (short) 4);
                break;
            case 4:
                Util.getShort(theirs, (short) 0);
                break;
            case 5:
                pin.check(theirs, (short) 0, (byte) 4);
                break;
            case 6:
                JCSystem.lookupAID(theirs, (short) 0, (byte) 4);
                break;
            case 7:
                pin.check(buffer, (short) 0, (byte) 4);
                pin.check(mine, (short) 0, (byte) 4);
                break;
            default:
                JCSystem.getAID().equals(theirs, (short) 0, (byte) 4);
        }
    }
}
