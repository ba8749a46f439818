package com.example.tearing;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.OwnerPIN;
import javacard.framework.TransactionException;
import javacard.framework.Util;
import javacard.security.AESKey;
import javacard.security.KeyBuilder;

/**
 * Writes P2 in the way that INS says. P1: 01 begins a transaction before, 02 commits it behind, 04 aborts it, none of both
 * leaves it open, 08 ends the command with 6985.
 */
public class Tearing extends Applet {
    private static final short RECORD_BYTES = 16;
    private static final short BIG_BYTES = 8192;
    private static final short MEMORY_BYTES = 256;

    private static short shared = 1;
    private static byte[] table = {1, 2, 3};

    private short number = 1;
    private short other = 1;
    private final byte[] record = new byte[RECORD_BYTES];
    private final short[] shorts = new short[2];
    private final byte[] big = new byte[BIG_BYTES];
    private final OwnerPIN pin = new OwnerPIN((byte) 3, (byte) 4);
    private final AESKey key =
            (AESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_AES, KeyBuilder.LENGTH_AES_128, false);
    private final byte[] scratch = JCSystem.makeTransientByteArray(MEMORY_BYTES, JCSystem.CLEAR_ON_DESELECT);
    private final Object[] session = JCSystem.makeTransientObjectArray((short) 1, JCSystem.CLEAR_ON_RESET);
    private byte[] made;

    /** What select() and deselect() do: 1 and 2 leave a transaction open there. */
    private byte mode;

    private Tearing() {
        fill((byte) 1);
        pin.update(scratch, (short) 0, (byte) 4);
        key.setKey(scratch, (short) 0);
    }

    public static void install(byte[] parameters, short offset, byte length) {
        Tearing applet = new Tearing();
        short at = (short) (offset + parameters[offset] + 1);
        at += (short) (parameters[at] + 1);
        if (parameters[at] != 0) {
            // Refuses, behind writes to what is not its own alone.
            shared = 77;
            table[0] = 77;
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        applet.register();
    }

    public boolean select() {
        if (mode == 1) {
            JCSystem.beginTransaction();
            number = 99;
        }
        return true;
    }

    public void deselect() {
        if (mode == 2) {
            JCSystem.beginTransaction();
            number = 99;
        }
        if (mode == 3) {
            number = 99;
        }
    }

    public void process(APDU apdu) {
        if (selectingApplet()) {
            return;
        }
        byte[] buffer = apdu.getBuffer();
        byte how = buffer[ISO7816.OFFSET_P1];
        byte value = buffer[ISO7816.OFFSET_P2];
        byte ins = buffer[ISO7816.OFFSET_INS];
        if (ins == (byte) 0x20) {
            report(apdu);
            return;
        }
        try {
            if ((how & 1) != 0) {
                JCSystem.beginTransaction();
            }
            write(buffer, value);
            if ((how & 2) != 0) {
                JCSystem.commitTransaction();
            }
            if ((how & 4) != 0) {
                JCSystem.abortTransaction();
            }
        } catch (TransactionException refused) {
            ISOException.throwIt((short) (0x6A00 + refused.getReason()));
        }
        if ((how & 8) != 0) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        if (ins == (byte) 0x0D) {
            apdu.setOutgoingAndSend((short) 0, (short) 6);
        }
    }

    private void fill(byte value) {
        Util.arrayFillNonAtomic(scratch, (short) 0, MEMORY_BYTES, value);
    }

    private void write(byte[] buffer, byte value) {
        fill(value);
        switch (buffer[ISO7816.OFFSET_INS]) {
            case 0x01:
                number = value;
                break;
            case 0x02:
                for (short i = 0; i < RECORD_BYTES; i++) {
                    record[i] = value;
                }
                break;
            case 0x03:
                shared = value;
                table[0] = value;
                break;
            case 0x04:
                Util.arrayCopy(scratch, (short) 0, record, (short) 0, RECORD_BYTES);
                break;
            case 0x05:
                Util.arrayCopyNonAtomic(scratch, (short) 0, record, (short) 0, RECORD_BYTES);
                break;
            case 0x06:
                Util.arrayFillNonAtomic(record, (short) 0, RECORD_BYTES, value);
                break;
            case 0x07:
                pin.check(scratch, (short) 0, (byte) 4);
                break;
            case 0x08:
                pin.update(scratch, (short) 0, (byte) 4);
                break;
            case 0x09:
                key.setKey(scratch, (short) 0);
                break;
            case 0x0A:
                session[0] = record;
                break;
            case 0x0B:
                made = new byte[8];
                made[0] = value;
                session[0] = made;
                break;
            case 0x0D:
                buffer[0] = JCSystem.getTransactionDepth();
                Util.setShort(buffer, (short) 1, JCSystem.getMaxCommitCapacity());
                number = value;
                Util.setShort(buffer, (short) 3, JCSystem.getUnusedCommitCapacity());
                break;
            case 0x0E:
                for (short i = 0; i < BIG_BYTES; i++) {
                    big[i] = value;
                }
                break;
            case 0x0F:
                JCSystem.beginTransaction();
                break;
            case 0x10:
                shorts[0] = value;
                shorts[1] = value;
                break;
            case 0x11:
                Util.setShort(record, (short) 0, (short) (value << 8 | value));
                break;
            case 0x12:
                number = value;
                other = value;
                break;
            case 0x13:
                mode = value;
                break;
            case 0x14:
                Util.arrayCopy(big, (short) 0, big, (short) 4096, (short) 0);
                Util.arrayFillNonAtomic(big, (short) 0, (short) 4000, value);
                Util.arrayCopy(big, (short) 0, big, (short) 4096, (short) 4000);
                break;
            case 0x15:
                Util.arrayFillNonAtomic(record, (short) 0, RECORD_BYTES, value);
                number = value;
                break;
            case 0x16:
                number = value;
                JCSystem.abortTransaction();
                other = value;
                break;
            default:
                ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
        }
    }

    private void report(APDU apdu) {
        byte[] buffer = apdu.getBuffer();
        short at = Util.setShort(buffer, (short) 0, number);
        at = Util.setShort(buffer, at, other);
        at = Util.setShort(buffer, at, shared);
        buffer[at++] = table[0];
        at = Util.arrayCopyNonAtomic(record, (short) 0, buffer, at, RECORD_BYTES);
        at = Util.setShort(buffer, at, shorts[0]);
        at = Util.setShort(buffer, at, shorts[1]);
        buffer[at++] = pin.getTriesRemaining();
        buffer[at++] = (byte) (pin.isValidated() ? 1 : 0);
        at += key.getKey(buffer, at);
        buffer[at++] = scratch[0];
        buffer[at++] = (byte) (session[0] == null ? 0 : 1);
        buffer[at++] = made == null ? 0 : made[0];
        apdu.setOutgoingAndSend((short) 0, at);
    }
}
