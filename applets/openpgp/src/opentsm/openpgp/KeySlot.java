package opentsm.openpgp;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.CryptoException;
import javacard.security.ECKey;
import javacard.security.ECPublicKey;
import javacard.security.KeyBuilder;
import javacard.security.KeyPair;
import javacard.security.RSAPublicKey;
import javacard.security.Signature;
import javacardx.crypto.Cipher;

/**
 * One of the three keys, RSA with 2048 bits or P-256, with what hosts keep beside it. It is generated on the card, and the
 * private key never leaves it.
 *
 * <p>Spec: OpenPGP card 3.4 clauses 4.4.3.9 (algorithm attributes), 7.2.10 to 7.2.14.
 */
final class KeySlot {
    static final short FINGERPRINT_SIZE = 20;
    static final short TIME_SIZE = 4;

    /** What is copied where something is cleared within a transaction, or at once. */
    static final byte[] ZEROS = new byte[FINGERPRINT_SIZE];

    private static final byte RSA = 1;
    private static final byte ECDH = 0x12;
    private static final byte ECDSA = 0x13;

    private static final short RSA_BITS = 2048;
    private static final short RSA_BYTES = 256;
    private static final short P256_BYTES = 32;
    private static final short POINT_BYTES = 65;

    /** A message to be signed may have 40 % of the modulus's length (7.2.10, 7.2.13). */
    private static final short MOST_MESSAGE = 102;

    /** 2048 bits of modulus, 32 of exponent; keys are imported as e, p and q, which are not imported here. */
    private static final byte[] RSA_ATTRIBUTES = {RSA, 0x08, 0x00, 0x00, 0x20, 0x00};

    /** 1.2.840.10045.3.1.7, behind the algorithm. */
    private static final byte[] P256_OID = {0x2A, (byte) 0x86, 0x48, (byte) 0xCE, 0x3D, 0x03, 0x01, 0x07};

    private static final byte TAG_MODULUS = (byte) 0x81;
    private static final byte TAG_EXPONENT = (byte) 0x82;
    private static final byte TAG_POINT = (byte) 0x86;
    private static final byte TAG_CIPHER = (byte) 0xA6;
    private static final byte TAG_PUBLIC_KEY_FIRST = 0x7F;
    private static final byte TAG_PUBLIC_KEY_SECOND = 0x49;
    private static final short EXPONENT_LIMIT = 4;

    private static final short SW_KEY_NOT_FOUND = 0x6A88;

    /** The tag of the control reference template that stands for it in commands. */
    final byte template;

    /** As the host computed it; zeros when there is none. */
    final byte[] fingerprint = new byte[FINGERPRINT_SIZE];

    /** When the key was made, by the host's clock. */
    final byte[] time = new byte[TIME_SIZE];

    private final byte elliptic;
    private final Engines engines;
    private boolean isElliptic;

    /** Replaced by one write; null as long as there is none. */
    private KeyPair pair;

    KeySlot(byte template, boolean deciphers, Engines engines) {
        this.template = template;
        this.engines = engines;
        elliptic = deciphers ? ECDH : ECDSA;
    }

    boolean hasKey() {
        return pair != null;
    }

    /** Makes it what it is in a new application. */
    void renew() {
        pair = null;
        isElliptic = false;
        forgetOrigin();
    }

    private void forgetOrigin() {
        Util.arrayCopy(ZEROS, (short) 0, fingerprint, (short) 0, FINGERPRINT_SIZE);
        Util.arrayCopy(ZEROS, (short) 0, time, (short) 0, TIME_SIZE);
    }

    /** Writes its algorithm attributes, or the others that it may have. */
    short writeAttributes(boolean others, byte[] output, short offset) {
        if (isElliptic == others) {
            return Util.arrayCopyNonAtomic(RSA_ATTRIBUTES, (short) 0, output, offset, (short) RSA_ATTRIBUTES.length);
        }
        output[offset++] = elliptic;
        return Util.arrayCopyNonAtomic(P256_OID, (short) 0, output, offset, (short) P256_OID.length);
    }

    /** Takes algorithm attributes; a key of another algorithm is gone. */
    void setAttributes(byte[] data, short length) {
        boolean wanted;
        if (length >= 5 && data[0] == RSA && Util.getShort(data, (short) 1) == RSA_BITS) {
            wanted = false;
        } else if (length > P256_OID.length && data[0] == elliptic
                && Util.arrayCompare(data, (short) 1, P256_OID, (short) 0, (short) P256_OID.length) == 0) {
            wanted = true;
        } else {
            throw Tlv.malformed();
        }
        if (wanted == isElliptic) {
            return;
        }
        JCSystem.beginTransaction();
        isElliptic = wanted;
        pair = null;
        forgetOrigin();
        JCSystem.commitTransaction();
        deleteObjects();
    }

    private static void deleteObjects() {
        if (JCSystem.isObjectDeletionSupported()) {
            JCSystem.requestObjectDeletion();
        }
    }

    /** Generates a key in place of what there was. */
    void generate() {
        KeyPair fresh;
        if (isElliptic) {
            fresh = new KeyPair(KeyPair.ALG_EC_FP, KeyBuilder.LENGTH_EC_FP_256);
            P256.set((ECKey) fresh.getPublic());
            P256.set((ECKey) fresh.getPrivate());
        } else {
            fresh = new KeyPair(KeyPair.ALG_RSA_CRT, KeyBuilder.LENGTH_RSA_2048);
        }
        fresh.genKeyPair();
        pair = fresh;
        deleteObjects();
    }

    /** Writes its public key as 7F49 and returns the end. */
    short writePublicKey(byte[] output) {
        requireKey();
        return isElliptic ? ecPublicKey(output) : rsaPublicKey(output);
    }

    private void requireKey() {
        if (pair == null) {
            ISOException.throwIt(SW_KEY_NOT_FOUND);
        }
    }

    private short rsaPublicKey(byte[] output) {
        RSAPublicKey key = (RSAPublicKey) pair.getPublic();
        // At the end of the buffer, to learn how long it is.
        short exponent = key.getExponent(output, (short) (output.length - EXPONENT_LIMIT));
        short at = publicKey(output, (short) (Tlv.size(RSA_BYTES) + Tlv.size(exponent)));
        at = Tlv.header(output, at, TAG_MODULUS, RSA_BYTES);
        at += key.getModulus(output, at);
        at = Tlv.header(output, at, TAG_EXPONENT, exponent);
        return (short) (at + key.getExponent(output, at));
    }

    private short ecPublicKey(byte[] output) {
        short at = publicKey(output, Tlv.size(POINT_BYTES));
        at = Tlv.header(output, at, TAG_POINT, POINT_BYTES);
        return (short) (at + ((ECPublicKey) pair.getPublic()).getW(output, at));
    }

    private static short publicKey(byte[] output, short length) {
        output[0] = TAG_PUBLIC_KEY_FIRST;
        return Tlv.header(output, (short) 1, TAG_PUBLIC_KEY_SECOND, length);
    }

    /** Signs: with RSA what the host made of a hash (DigestInfo), padded here; with P-256 a hash. Returns the length. */
    short sign(byte[] data, short length, byte[] output) {
        requireKey();
        if (isElliptic) {
            return signHash(data, length, output);
        }
        if (length > MOST_MESSAGE) {
            ISOException.throwIt(ISO7816.SW_WRONG_LENGTH);
        }
        engines.rsa.init(pair.getPrivate(), Cipher.MODE_ENCRYPT);
        return engines.rsa.doFinal(data, (short) 0, length, output, (short) 0);
    }

    /** The leftmost bits of a longer hash (FIPS 186-4 clause 6.4), zeros before a shorter one; the answer is r and s. */
    private short signHash(byte[] data, short length, byte[] output) {
        if (length == 0) {
            ISOException.throwIt(ISO7816.SW_WRONG_LENGTH);
        }
        short taken = length > P256_BYTES ? P256_BYTES : length;
        byte[] scratch = engines.scratch;
        short zeros = (short) (P256_BYTES - taken);
        Util.arrayFillNonAtomic(scratch, (short) 0, zeros, (byte) 0);
        Util.arrayCopyNonAtomic(data, (short) 0, scratch, zeros, taken);
        engines.ecdsa.init(pair.getPrivate(), Signature.MODE_SIGN);
        engines.ecdsa.signPreComputedHash(scratch, (short) 0, P256_BYTES, scratch, (short) 0);
        // 30 length { 02 length r, 02 length s }, lengths of one byte.
        short r = 3;
        short s = (short) (r + 1 + scratch[r] + 1);
        number(scratch, r, output, (short) 0);
        number(scratch, s, output, P256_BYTES);
        return (short) (2 * P256_BYTES);
    }

    /** Copies a DER INTEGER, whose length field is given, to 32 bytes. */
    private static void number(byte[] data, short field, byte[] output, short offset) {
        short length = data[field];
        short skipped = (short) (length > P256_BYTES ? length - P256_BYTES : 0);
        short zeros = (short) (length < P256_BYTES ? P256_BYTES - length : 0);
        Util.arrayFillNonAtomic(output, offset, zeros, (byte) 0);
        Util.arrayCopyNonAtomic(data, (short) (field + 1 + skipped), output, (short) (offset + zeros),
                (short) (length - skipped));
    }

    /** Deciphers a block of RSA behind 00, or agrees on a secret with the point in A6 { 7F49 { 86 } }. */
    short decipher(byte[] data, short length, byte[] output) {
        requireKey();
        try {
            if (isElliptic) {
                short point = point(data, length);
                engines.ecdh.init(pair.getPrivate());
                return engines.ecdh.generateSecret(data, point, POINT_BYTES, output, (short) 0);
            }
            if (length != (short) (1 + RSA_BYTES) || data[0] != 0) {
                throw Tlv.malformed();
            }
            engines.rsa.init(pair.getPrivate(), Cipher.MODE_DECRYPT);
            return engines.rsa.doFinal(data, (short) 1, RSA_BYTES, output, (short) 0);
        } catch (CryptoException e) {
            throw Tlv.malformed(); // no padding, or no point of the curve
        }
    }

    private static short point(byte[] data, short length) {
        short cipher = Tlv.find(data, (short) 0, length, TAG_CIPHER);
        if (cipher == Tlv.ABSENT) {
            throw Tlv.malformed();
        }
        short at = Tlv.value(data, cipher, length);
        short key = (short) (at + 1);
        if (key >= length || data[at] != TAG_PUBLIC_KEY_FIRST || data[key] != TAG_PUBLIC_KEY_SECOND) {
            throw Tlv.malformed();
        }
        short start = Tlv.value(data, ++key, length);
        short point = Tlv.find(data, start, length, TAG_POINT);
        if (point == Tlv.ABSENT || Tlv.length(data, point, length) != POINT_BYTES) {
            throw Tlv.malformed();
        }
        return Tlv.value(data, point, length);
    }
}
