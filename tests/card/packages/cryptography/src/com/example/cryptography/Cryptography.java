package com.example.cryptography;

import javacard.framework.*;
import javacard.security.*;
import javacardx.crypto.AEADCipher;
import javacardx.crypto.Cipher;

/** Commands of class 80, each for one call of the API; 66xx is the reason of a CryptoException. */
public final class Cryptography extends Applet {
    private final Key[] keys = new Key[4];
    private final byte[] result;
    private Cipher cipher;
    private Signature signature;
    private MessageDigest hash;
    private Checksum checksum;
    private KeyAgreement agreement;

    private Cryptography() {
        result = JCSystem.makeTransientByteArray((short) 512, JCSystem.CLEAR_ON_DESELECT);
        register();
    }

    public static void install(byte[] parameters, short offset, byte length) {
        new Cryptography();
    }

    public void process(APDU apdu) {
        if (selectingApplet()) {
            return;
        }
        byte[] buffer = apdu.getBuffer();
        short length = apdu.setIncomingAndReceive();
        try {
            short size = call(buffer, apdu.getOffsetCdata(), length);
            apdu.setOutgoing();
            apdu.setOutgoingLength(size);
            apdu.sendBytesLong(result, (short) 0, size);
        } catch (CryptoException refused) {
            ISOException.throwIt((short) (0x6600 + refused.getReason()));
        }
    }

    private short call(byte[] data, short offset, short length) {
        byte p1 = data[ISO7816.OFFSET_P1];
        byte p2 = data[ISO7816.OFFSET_P2];
        switch (data[ISO7816.OFFSET_INS]) {
            case 0x10: // key P1 of the type P2, of so many bits
                keys[p1] = KeyBuilder.buildKey(p2, Util.getShort(data, offset), false);
                return 0;
            case 0x11: // the same, of a kind and a memory
                keys[p1] = KeyBuilder.buildKey(p2, data[(short) (offset + 2)], Util.getShort(data, offset), false);
                return 0;
            case 0x12:
                set(keys[p1], data, offset, length);
                return 0;
            case 0x13: // is key P1 initialized? And its type
                result[0] = (byte) (keys[p1].isInitialized() ? 1 : 0);
                result[1] = keys[p1].getType();
                return 2;
            case 0x18: // which interfaces has it?
                return kinds(keys[p1]);
            case 0x19: // the order of an EC key
                ((ECKey) keys[p1]).setR(data, offset, length);
                return 0;
            case 0x1A:
                return ((ECPrivateKey) keys[p1]).getS(result, (short) 0);
            case 0x1B:
                return ((ECKey) keys[p1]).getR(result, (short) 0);
            case 0x1C:
                ((ECKey) keys[p1]).copyDomainParametersFrom((ECKey) keys[p2]);
                return 0;
            case 0x1D:
                return Util.setShort(result, (short) 0, ((ECKey) keys[p1]).getK());
            case 0x14: // generate a pair
                new KeyPair((PublicKey) keys[p1], (PrivateKey) keys[p2]).genKeyPair();
                return 0;
            case 0x15:
                keys[p1].clearKey();
                return 0;
            case 0x16:
                return ((ECPublicKey) keys[p1]).getW(result, (short) 0);
            case 0x17:
                return ((RSAPublicKey) keys[p1]).getModulus(result, (short) 0);
            case 0x1E: // the modulus (P2 0) or the exponent (1) of an RSA key
                setPart(keys[p1], p2, data, offset, length);
                return 0;
            case 0x1F: // key P1 of the kind P2 and a memory, with the parameters of key 0
                keys[p1] = KeyBuilder.buildKeyWithSharedDomain(p2, data[offset], keys[0], false);
                return 0;
            case 0x20: // a cipher; with data: of a padding, by one call
                cipher = length == 0 ? Cipher.getInstance(p1, false) : Cipher.getInstance(p1, p2, false);
                result[0] = cipher.getAlgorithm();
                result[1] = cipher.getCipherAlgorithm();
                result[2] = cipher.getPaddingAlgorithm();
                return 3;
            case 0x21: // begin: mode P1, key P2, initial vector
                if (length == 0) {
                    cipher.init(keys[p2], p1);
                } else {
                    cipher.init(keys[p2], p1, data, offset, length);
                }
                return 0;
            case 0x22:
                return cipher.update(data, offset, length, result, (short) 0);
            case 0x23:
                return cipher.doFinal(data, offset, length, result, (short) 0);
            case 0x24: // one use: cipher P1 with padding P2, key 0
                return oneShot(p1, p2, data, offset, length);
            case 0x25: // begin with a nonce: mode P1, key 0, tag P2; bytes of additional data, of the message; the nonce
                ((AEADCipher) cipher).init(keys[0], p1, data, (short) (offset + 2), (short) (length - 2),
                        data[offset], data[(short) (offset + 1)], p2);
                return 0;
            case 0x26:
                ((AEADCipher) cipher).updateAAD(data, offset, length);
                return 0;
            case 0x27:
                return ((AEADCipher) cipher).retrieveTag(result, (short) 0, p1);
            case 0x28:
                result[0] = (byte) (((AEADCipher) cipher).verifyTag(data, offset, length, p1) ? 1 : 0);
                return 1;
            case 0x30: // a signature; with data: of a digest, a cipher and a padding
                signature = length == 0 ? Signature.getInstance(p1, false)
                        : Signature.getInstance(p1, p2, data[offset], false);
                result[0] = signature.getAlgorithm();
                result[1] = signature.getMessageDigestAlgorithm();
                result[2] = signature.getCipherAlgorithm();
                result[3] = signature.getPaddingAlgorithm();
                return 4;
            case 0x31: // begin: mode P1, key P2, initial vector
                if (length == 0) {
                    signature.init(keys[p2], p1);
                } else {
                    signature.init(keys[p2], p1, data, offset, length);
                }
                return Util.setShort(result, (short) 0, signature.getLength());
            case 0x32:
                signature.update(data, offset, length);
                return 0;
            case 0x33:
                return signature.sign(data, offset, length, result, (short) 0);
            case 0x34: // verify: P1 bytes of the message, and the signature
                result[0] = (byte) (signature.verify(data, offset, p1, data, (short) (offset + p1),
                        (short) (length - p1)) ? 1 : 0);
                return 1;
            case 0x35:
                return signature.signPreComputedHash(data, offset, length, result, (short) 0);
            case 0x40: // a digest for one use
                MessageDigest.OneShot digest = MessageDigest.OneShot.open(p1);
                short size = digest.doFinal(data, offset, length, result, (short) 0);
                digest.close();
                return size;
            case 0x41: // a signature for one use: of a digest, a cipher and a padding, by key 0
                Signature.OneShot signer = Signature.OneShot.open(p1, p2, data[offset]);
                signer.init(keys[0], Signature.MODE_SIGN);
                short end = signer.sign(data, (short) (offset + 1), (short) (length - 1), result, (short) 0);
                signer.close();
                return end;
            case 0x42:
                hash = MessageDigest.getInstance(p1, false);
                return 0;
            case 0x43:
                hash.update(data, offset, length);
                return 0;
            case 0x44:
                return hash.doFinal(data, offset, length, result, (short) 0);
            case 0x45:
                checksum = Checksum.getInstance(p1, false);
                return 0;
            case 0x46:
                checksum.update(data, offset, length);
                return 0;
            case 0x47:
                return checksum.doFinal(data, offset, length, result, (short) 0);
            case 0x50:
                agreement = KeyAgreement.getInstance(p1, false);
                return 0;
            case 0x51:
                agreement.init((PrivateKey) keys[p1]);
                return 0;
            case 0x52:
                return agreement.generateSecret(data, offset, length, result, (short) 0);
            case 0x53: // the prime (P2 0), generator (1) or secret number (2) of a key of DH
                if (p2 == 0) {
                    ((DHPrivateKey) keys[p1]).setP(data, offset, length);
                } else if (p2 == 1) {
                    ((DHPrivateKey) keys[p1]).setG(data, offset, length);
                } else {
                    ((DHPrivateKey) keys[p1]).setX(data, offset, length);
                }
                return 0;
            default:
                ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
                return 0;
        }
    }

    private short kinds(Key key) {
        result[0] = (byte) (key instanceof DESKey ? 1 : 0);
        result[1] = (byte) (key instanceof AESKey ? 1 : 0);
        result[2] = (byte) (key instanceof HMACKey ? 1 : 0);
        result[3] = (byte) (key instanceof KoreanSEEDKey ? 1 : 0);
        result[4] = (byte) (key instanceof RSAPublicKey ? 1 : 0);
        result[5] = (byte) (key instanceof RSAPrivateKey ? 1 : 0);
        result[6] = (byte) (key instanceof RSAPrivateCrtKey ? 1 : 0);
        return 7;
    }

    private short oneShot(byte algorithm, byte padding, byte[] data, short offset, short length) {
        Cipher.OneShot once = Cipher.OneShot.open(algorithm, padding);
        try {
            once.init(keys[0], Cipher.MODE_ENCRYPT);
            return once.doFinal(data, offset, length, result, (short) 0);
        } finally {
            once.close();
        }
    }

    private static void setPart(Key key, byte part, byte[] data, short offset, short length) {
        if (key instanceof RSAPublicKey && part == 0) {
            ((RSAPublicKey) key).setModulus(data, offset, length);
        } else if (key instanceof RSAPublicKey) {
            ((RSAPublicKey) key).setExponent(data, offset, length);
        } else if (part == 0) {
            ((RSAPrivateKey) key).setModulus(data, offset, length);
        } else {
            ((RSAPrivateKey) key).setExponent(data, offset, length);
        }
    }

    private static void set(Key key, byte[] data, short offset, short length) {
        if (key instanceof AESKey) {
            ((AESKey) key).setKey(data, offset);
        } else if (key instanceof HMACKey) {
            ((HMACKey) key).setKey(data, offset, length);
        } else if (key instanceof ECPrivateKey) {
            ((ECPrivateKey) key).setS(data, offset, length);
        } else {
            ((DESKey) key).setKey(data, offset);
        }
    }
}
