package com.example.platform;

import javacard.framework.*;
import javacard.security.*;
import javacardx.apdu.util.APDUUtil;
import javacardx.crypto.Cipher;
import javacardx.framework.util.ArrayLogic;
import javacardx.framework.util.UtilException;
import javacardx.framework.util.intx.JCint;
import org.globalplatform.GPSystem;

/** Commands of class 80, each for one thing of the API. */
public final class Platform extends Applet {
    private final byte[] reselections = new byte[3];
    private int[] numbers;
    private short[] shorts = {0x0102, 0x0304, 0x0506};
    private KeyPair pair;
    private PIN pin;
    private byte behind;

    private Platform() {
        register();
    }

    public static void install(byte[] parameters, short offset, byte length) {
        // As applets do that look for a parameter of theirs before they ask whether there is one.
        new Platform().behind = parameters[(short) (offset + length)];
    }

    public boolean select() {
        reselections[1] = (byte) (reSelectingApplet() ? 1 : 0);
        return true;
    }

    public void deselect() {
        reselections[0] = (byte) (reSelectingApplet() ? 1 : 0);
    }

    public void process(APDU apdu) {
        byte[] buffer = apdu.getBuffer();
        if (selectingApplet()) {
            reselections[2] = (byte) (reSelectingApplet() ? 1 : 0);
            Util.arrayCopyNonAtomic(reselections, (short) 0, buffer, (short) 0, (short) 3);
            apdu.setOutgoingAndSend((short) 0, (short) 3);
            return;
        }
        byte p1 = buffer[ISO7816.OFFSET_P1];
        switch (buffer[ISO7816.OFFSET_INS]) {
            case 0x01:
                apdu.setOutgoingAndSend((short) 0, newKey(buffer));
                return;
            case 0x02:
                apdu.setOutgoingAndSend((short) 0, sign(buffer));
                return;
            case 0x03:
                apdu.setOutgoingAndSend((short) 0, power(buffer, p1, buffer[ISO7816.OFFSET_P2]));
                return;
            case 0x04:
                ISOException.throwIt(reason());
                return;
            case 0x05:
                apdu.setOutgoingAndSend((short) 0, fill(buffer, p1));
                return;
            case 0x06:
                apdu.setOutgoingAndSend((short) 0, ints(buffer));
                return;
            case 0x07:
                apdu.setOutgoingAndSend((short) 0, generic(buffer, p1));
                return;
            case 0x08:
                apdu.setOutgoingAndSend((short) 0, classByte(buffer, p1));
                return;
            case 0x09:
                apdu.setOutgoingAndSend((short) 0, pin(buffer, p1, buffer[ISO7816.OFFSET_P2]));
                return;
            case 0x0A:
                point(buffer, apdu.setIncomingAndReceive());
                return;
            case 0x0B:
                apdu.setOutgoingAndSend((short) 0, transients(buffer, p1));
                return;
            case 0x50: // INITIALIZE UPDATE, EXTERNAL AUTHENTICATE: whose data is received before the domain is asked
            case (byte) 0x82:
                apdu.setIncomingAndReceive();
                apdu.setOutgoingAndSend(ISO7816.OFFSET_CDATA, GPSystem.getSecureChannel().processSecurity(apdu));
                return;
            default:
                ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
        }
    }

    private static short classByte(byte[] buffer, byte cla) {
        buffer[0] = APDUUtil.getCLAChannel(cla);
        buffer[1] = (byte) (APDUUtil.isSecureMessagingCLA(cla) ? 1 : 0);
        buffer[2] = (byte) (APDUUtil.isCommandChainingCLA(cla) ? 1 : 0);
        buffer[3] = (byte) (APDUUtil.isISOInterindustryCLA(cla) ? 1 : 0);
        buffer[4] = (byte) (APDUUtil.isValidCLA(cla) ? 1 : 0);
        return 5;
    }

    /** Tells the reason that each kind of transient array is refused for when it is to be cleared at an event; 0: it is not. */
    private static short transients(byte[] buffer, byte event) {
        for (short kind = 0; kind < 5; kind++) {
            buffer[kind] = 0;
            try {
                switch (kind) {
                    case 0:
                        JCSystem.makeTransientBooleanArray((short) 1, event);
                        break;
                    case 1:
                        JCSystem.makeTransientByteArray((short) 1, event);
                        break;
                    case 2:
                        JCSystem.makeTransientShortArray((short) 1, event);
                        break;
                    case 3:
                        JCSystem.makeTransientObjectArray((short) 1, event);
                        break;
                    default:
                        JCint.makeTransientIntArray((short) 1, event);
                        break;
                }
            } catch (SystemException refused) {
                buffer[kind] = (byte) refused.getReason();
            }
        }
        return 5;
    }

    /** Does something with a PIN of two zeros, and tells the tries that are left and whether it was presented. */
    private short pin(byte[] buffer, byte what, byte value) {
        try {
            switch (what) {
                case 0:
                    pin = OwnerPINBuilder.buildOwnerPIN((byte) 3, (byte) 2, value);
                    break;
                case 1:
                    Util.setShort(buffer, (short) 0, value);
                    pin.check(buffer, (short) 0, (byte) 2);
                    break;
                case 2:
                    ((OwnerPINxWithPredecrement) pin).decrementTriesRemaining();
                    break;
                case 3:
                    ((OwnerPINx) pin).setTryLimit(value);
                    break;
                case 4:
                    ((OwnerPINx) pin).setTriesRemaining(value);
                    break;
                default:
                    ((OwnerPINx) pin).update(new byte[2], (short) 0, (byte) 2);
                    break;
            }
        } catch (PINException refused) {
            ISOException.throwIt((short) (0x6600 + refused.getReason()));
        }
        buffer[0] = pin.getTriesRemaining();
        buffer[1] = (byte) (pin.isValidated() ? 1 : 0);
        return 2;
    }

    /** Sets the command's data as the point of a key of 256 bits. */
    private static void point(byte[] buffer, short length) {
        ECPublicKey key = (ECPublicKey) KeyBuilder.buildKey(
                KeyBuilder.TYPE_EC_FP_PUBLIC, KeyBuilder.LENGTH_EC_FP_256, false);
        try {
            key.setW(buffer, ISO7816.OFFSET_CDATA, length);
        } catch (CryptoException refused) {
            ISOException.throwIt((short) (0x6600 | refused.getReason()));
        }
    }

    private short newKey(byte[] buffer) {
        pair = new KeyPair(KeyPair.ALG_EC_FP, KeyBuilder.LENGTH_EC_FP_256);
        pair.genKeyPair();
        return ((ECPublicKey) pair.getPublic()).getW(buffer, (short) 0);
    }

    private short sign(byte[] buffer) {
        Signature signature = Signature.getInstance(Signature.ALG_ECDSA_SHA_256, false);
        signature.init(pair.getPrivate(), Signature.MODE_SIGN);
        return signature.sign(buffer, (short) 0, (short) 1, buffer, (short) 0);
    }

    /** Raises 1 to a power modulo a number with a small factor, as libraries of long numbers do; it may begin with zeros. */
    private short power(byte[] buffer, byte mode, byte zeros) {
        RSAPublicKey key = (RSAPublicKey) KeyBuilder.buildKey(KeyBuilder.TYPE_RSA_PUBLIC, (short) 512, false);
        byte[] modulus = new byte[64];
        modulus[zeros] = (byte) 0x80;
        modulus[63] = 3;
        key.setModulus(modulus, (short) 0, (short) 64);
        key.setExponent(new byte[] {1, 0, 1}, (short) 0, (short) 3);
        Cipher cipher = Cipher.getInstance(Cipher.ALG_RSA_NOPAD, false);
        cipher.init(key, mode);
        Util.arrayFill(buffer, (short) 0, (short) 64, (byte) 0);
        buffer[63] = 1;
        return cipher.doFinal(buffer, (short) 0, (short) 64, buffer, (short) 0);
    }

    private short reason() {
        try {
            throw new UserException();
        } catch (UserException thrown) {
            thrown.setReason((short) (0x6700 + thrown.getReason() + 1));
            return thrown.getReason();
        }
    }

    private short fill(byte[] buffer, byte aborts) {
        byte[] kept = new byte[4];
        JCSystem.beginTransaction();
        short end = Util.arrayFill(kept, (short) 1, (short) 2, (byte) 0x55);
        if (aborts != 0) {
            JCSystem.abortTransaction();
        } else {
            JCSystem.commitTransaction();
        }
        Util.arrayCopyNonAtomic(kept, (short) 0, buffer, (short) 0, (short) 4);
        buffer[4] = (byte) end;
        return 5;
    }

    private short ints(byte[] buffer) {
        if (numbers == null) {
            numbers = JCint.makeTransientIntArray((short) 2, JCSystem.CLEAR_ON_DESELECT);
        }
        numbers[1] += 0x01020304;
        JCint.setInt(buffer, (short) 0, numbers[1]);
        buffer[4] = JCSystem.isTransient(numbers);
        return 5;
    }

    private short generic(byte[] buffer, byte which) {
        switch (which) {
            case 0:
                return ArrayLogic.arrayCopyRepackNonAtomic(shorts, (short) 1, (short) 2, buffer, (short) 0);
            case 1:
                buffer[0] = 5;
                buffer[1] = 6;
                buffer[0] = (byte) ArrayLogic.arrayFindGeneric(shorts, (short) 0, buffer, (short) 0);
                return 1;
            case 2:
                short[] filled = {1, 2, 3};
                ArrayLogic.arrayFillGeneric(filled, (short) 0, (short) 2, shorts, (short) 2);
                buffer[0] = ArrayLogic.arrayCompareGeneric(filled, (short) 0, shorts, (short) 0, (short) 3);
                buffer[1] = ArrayLogic.arrayCompareGeneric(filled, (short) 1, shorts, (short) 2, (short) 1);
                return 2;
            default:
                try {
                    ArrayLogic.arrayCompareGeneric(buffer, (short) 0, shorts, (short) 0, (short) 1);
                } catch (UtilException thrown) {
                    buffer[0] = (byte) thrown.getReason();
                }
                buffer[1] = (byte) (SensitiveArrays.isIntegritySensitiveArraysSupported() ? 1 : 0);
                buffer[2] = (byte) SensitiveArrays.clearArray(shorts);
                buffer[3] = (byte) shorts[0];
                return 4;
        }
    }
}
