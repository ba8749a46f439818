package opentsm.piv;

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
 * One of the holder's key pairs: RSA with 2048 bits, or elliptic curve P-256. It is generated on the card, and the private
 * key never leaves it.
 *
 * <p>Spec: SP 800-73-4 part 1 table 4b (access rules), part 2 clauses 3.2.4 and 3.3.2; SP 800-78-4 table 6-2.
 */
final class KeySlot {
    static final byte AUTHENTICATION = (byte) 0x9A;
    static final byte SIGNATURE = (byte) 0x9C;
    static final byte KEY_MANAGEMENT = (byte) 0x9D;
    static final byte CARD_AUTHENTICATION = (byte) 0x9E;

    private static final byte ALGORITHM_RSA_2048 = 0x07;
    private static final byte ALGORITHM_P256 = 0x11;

    private static final short RSA_BYTES = 256;
    private static final short P256_BYTES = 32;
    private static final short POINT_BYTES = (short) (1 + 2 * P256_BYTES);

    private static final byte TAG_MODULUS = (byte) 0x81;
    private static final byte TAG_EXPONENT = (byte) 0x82;
    private static final byte TAG_POINT = (byte) 0x86;
    private static final byte TAG_EXPONENTIATION = (byte) 0x85;
    private static final byte TAG_PUBLIC_KEY_SECOND = 0x49;

    /** Bytes of an exponent, at most: what is generated has 65537. */
    private static final short EXPONENT_LIMIT = 4;

    private static final short SW_KEY_NOT_FOUND = 0x6A88;

    private final byte reference;
    private final Engines engines;

    /** Replaced by one write; null before the first is generated. */
    private KeyPair pair;

    KeySlot(byte reference, Engines engines) {
        this.reference = reference;
        this.engines = engines;
    }

    boolean is(byte wanted) {
        return reference == wanted;
    }

    /** Generates a key pair in place of what there was; writes its public key as 7F49 and returns the end. */
    short generate(byte algorithm, byte[] output) {
        KeyPair fresh;
        if (algorithm == ALGORITHM_RSA_2048) {
            fresh = new KeyPair(KeyPair.ALG_RSA_CRT, KeyBuilder.LENGTH_RSA_2048);
        } else if (algorithm == ALGORITHM_P256) {
            fresh = new KeyPair(KeyPair.ALG_EC_FP, KeyBuilder.LENGTH_EC_FP_256);
            P256.set((ECKey) fresh.getPublic());
            P256.set((ECKey) fresh.getPrivate());
        } else {
            throw Tlv.malformed();
        }
        fresh.genKeyPair();
        pair = fresh;
        if (JCSystem.isObjectDeletionSupported()) {
            JCSystem.requestObjectDeletion();
        }
        return isRsa() ? rsaPublicKey(output) : ecPublicKey(output);
    }

    private boolean isRsa() {
        return pair.getPublic().getType() == KeyBuilder.TYPE_RSA_PUBLIC;
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
        output[0] = Piv.TAG_PUBLIC_KEY_FIRST;
        return Tlv.header(output, (short) 1, TAG_PUBLIC_KEY_SECOND, length);
    }

    /**
     * GENERAL AUTHENTICATE under the private key: signs or deciphers what 81 has (RSA: a block of the modulus's length,
     * padded by the host; P-256: a hash), or agrees on a secret with the point in 85.
     *
     * @return the end of the response
     */
    short use(byte algorithm, SecurityStatus status, byte[] input, short offset, short end, byte[] output) {
        if (pair == null) {
            ISOException.throwIt(SW_KEY_NOT_FOUND);
        }
        if (algorithm != (isRsa() ? ALGORITHM_RSA_2048 : ALGORITHM_P256)) {
            ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        }
        requireAccess(status);
        short response = Tlv.find(input, offset, end, Piv.TAG_RESPONSE);
        if (response == Tlv.ABSENT || Tlv.length(input, response, end) != 0) {
            throw Tlv.malformed();
        }
        short challenge = Tlv.find(input, offset, end, Piv.TAG_CHALLENGE);
        if (challenge != Tlv.ABSENT) {
            short value = Tlv.value(input, challenge, end);
            short length = Tlv.length(input, challenge, end);
            return isRsa() ? raise(input, value, length, output) : sign(input, value, length, output);
        }
        short point = Tlv.find(input, offset, end, TAG_EXPONENTIATION);
        if (point == Tlv.ABSENT || isRsa()) {
            throw Tlv.malformed();
        }
        return agree(input, Tlv.value(input, point, end), Tlv.length(input, point, end), output);
    }

    /** Only the card authentication key is free, and it alone works without contacts. */
    private void requireAccess(SecurityStatus status) {
        if (reference == CARD_AUTHENTICATION) {
            return;
        }
        SecurityStatus.requireContacts();
        SecurityStatus.require(reference == SIGNATURE ? status.isPinVerifiedJustNow() : status.isPinVerified());
    }

    private short raise(byte[] input, short offset, short length, byte[] output) {
        if (length != RSA_BYTES) {
            throw Tlv.malformed();
        }
        short value = Tlv.header(output, (short) 0, Piv.TAG_TEMPLATE, Tlv.size(RSA_BYTES));
        value = Tlv.header(output, value, Piv.TAG_RESPONSE, RSA_BYTES);
        engines.rsa.init(pair.getPrivate(), Cipher.MODE_DECRYPT);
        engines.rsa.doFinal(input, offset, length, output, value);
        return (short) (value + RSA_BYTES);
    }

    /** Signs a hash: the leftmost bits of a longer one (FIPS 186-4 clause 6.4), zeros before a shorter one. */
    private short sign(byte[] input, short offset, short length, byte[] output) {
        byte[] hash = engines.hash;
        short taken = length > P256_BYTES ? P256_BYTES : length;
        if (taken == 0) {
            throw Tlv.malformed();
        }
        short zeros = (short) (P256_BYTES - taken);
        Util.arrayFillNonAtomic(hash, (short) 0, zeros, (byte) 0);
        Util.arrayCopyNonAtomic(input, offset, hash, zeros, taken);
        engines.ecdsa.init(pair.getPrivate(), Signature.MODE_SIGN);
        // A DER signature of P-256 and the template around it have lengths of one byte.
        short value = Tlv.header(output, (short) 0, Piv.TAG_TEMPLATE, (short) 0);
        value = Tlv.header(output, value, Piv.TAG_RESPONSE, (short) 0);
        short size = engines.ecdsa.signPreComputedHash(hash, (short) 0, P256_BYTES, output, value);
        value = Tlv.header(output, (short) 0, Piv.TAG_TEMPLATE, Tlv.size(size));
        return (short) (Tlv.header(output, value, Piv.TAG_RESPONSE, size) + size);
    }

    private short agree(byte[] input, short offset, short length, byte[] output) {
        if (length != POINT_BYTES) {
            throw Tlv.malformed();
        }
        short value = Tlv.header(output, (short) 0, Piv.TAG_TEMPLATE, Tlv.size(P256_BYTES));
        value = Tlv.header(output, value, Piv.TAG_RESPONSE, P256_BYTES);
        engines.ecdh.init(pair.getPrivate());
        try {
            engines.ecdh.generateSecret(input, offset, length, output, value);
        } catch (CryptoException e) {
            throw Tlv.malformed(); // no point of the curve
        }
        return (short) (value + P256_BYTES);
    }
}
