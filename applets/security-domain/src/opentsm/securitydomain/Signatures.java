package opentsm.securitydomain;

import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.AESKey;
import javacard.security.DESKey;
import javacard.security.ECPrivateKey;
import javacard.security.KeyBuilder;
import javacard.security.PublicKey;
import javacard.security.Signature;
import javacardx.crypto.Cipher;

/**
 * The signatures of secure content management, by the type and length of the key.
 *
 * <p>DES: single DES plus final triple DES MAC, 8 bytes. AES: CMAC, 16 bytes. RSA of 1024 bits: PKCS#1 v1.5 with SHA-1,
 * longer: PSS with SHA-256. ECC: ECDSA with SHA-256 or SHA-384, r and s one behind the other. Keys are loaded into working
 * key objects for one operation, secret ones in memory that is cleared at reset.
 *
 * <p>Spec: GP Card 2.3.1 annexes B.1.2.2, B.1.3, B.2.2, B.3.1.1, B.3.2.1, B.4.3, C (table C-1).
 */
final class Signatures {
    /** Lengths of the hashes (annex B.5). */
    static final short SHA_1 = 20;

    static final short SHA_256 = 32;
    static final short SHA_384 = 48;
    static final short SHA_512 = 64;

    private static final short DES_SIZE = 8;
    private static final short AES_SIZE = 16;
    private static final short DES_KEY_SIZE = 16;

    /** The length of the modulus of an RSA key of scheme 1. */
    private static final short RSA_SCHEME_1 = 128;

    /** Sequence and two integers of at most 49 bytes. */
    private static final short DER_SIZE = 104;

    private static final byte DER_SEQUENCE = 0x30;
    private static final byte DER_INTEGER = 0x02;

    private final KeyStore keys;
    private final Signature desMac;
    private final Signature aesMac;
    private final Cipher desCbc;
    private final Cipher aesCbc;
    private final Signature rsaPkcs1;
    private final Signature rsaPss;
    private final Signature ecdsa256;
    private final Signature ecdsa384;
    private final PublicKeys publicKeys;
    private final ECPrivateKey p256;
    private final ECPrivateKey p384;
    private final DESKey des;
    private final AESKey aes128;
    private final AESKey aes192;
    private final AESKey aes256;

    /** A MAC to compare with, and the last block of what is being decrypted; cleared at reset. */
    private final byte[] mac;

    private final byte[] vector;

    /** An ECDSA signature as Java Card takes it: DER; cleared at reset. */
    private final byte[] der;

    Signatures(KeyStore keys, PublicKeys publicKeys) {
        this.keys = keys;
        this.publicKeys = publicKeys;
        rsaPkcs1 = Signature.getInstance(Signature.ALG_RSA_SHA_PKCS1, false);
        rsaPss = Signature.getInstance(Signature.ALG_RSA_SHA_256_PKCS1_PSS, false);
        ecdsa256 = Signature.getInstance(Signature.ALG_ECDSA_SHA_256, false);
        ecdsa384 = Signature.getInstance(Signature.ALG_ECDSA_SHA_384, false);
        p256 = Curves.privateKey(Curves.P256);
        p384 = Curves.privateKey(Curves.P384);
        der = JCSystem.makeTransientByteArray(DER_SIZE, JCSystem.CLEAR_ON_RESET);
        desMac = Signature.getInstance(Signature.ALG_DES_MAC8_ISO9797_1_M2_ALG3, false);
        aesMac = Signature.getInstance(Signature.ALG_AES_CMAC_128, false);
        desCbc = Cipher.getInstance(Cipher.ALG_DES_CBC_NOPAD, false);
        aesCbc = Cipher.getInstance(Cipher.ALG_AES_BLOCK_128_CBC_NOPAD, false);
        des = (DESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_DES_TRANSIENT_RESET, KeyBuilder.LENGTH_DES3_2KEY, false);
        aes128 = aes(KeyBuilder.LENGTH_AES_128);
        aes192 = aes(KeyBuilder.LENGTH_AES_192);
        aes256 = aes(KeyBuilder.LENGTH_AES_256);
        mac = JCSystem.makeTransientByteArray(AES_SIZE, JCSystem.CLEAR_ON_RESET);
        vector = JCSystem.makeTransientByteArray(AES_SIZE, JCSystem.CLEAR_ON_RESET);
    }

    private static AESKey aes(short bits) {
        return (AESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_AES_TRANSIENT_RESET, bits, false);
    }

    private AESKey load(KeySlot key) {
        AESKey working = key.length == 16 ? aes128 : key.length == 24 ? aes192 : aes256;
        working.setKey(keys.values(), key.offset);
        return working;
    }

    private static boolean isDes(KeySlot key) {
        return key.type == Gp.KEY_TYPE_DES || key.type == Gp.KEY_TYPE_DES_CBC;
    }

    /** Tells whether a key is one that signs by itself: a DES key of 16 bytes, or an AES key. */
    static boolean isMacKey(KeySlot key) {
        return key.type == Gp.KEY_TYPE_AES || isDes(key) && key.length == DES_KEY_SIZE;
    }

    /** Tells whether a key makes signatures: one that signs by itself, or a private ECC key. */
    static boolean isSigningKey(KeySlot key) {
        return isMacKey(key) || key.type == Gp.KEY_TYPE_ECC_PRIVATE;
    }

    /** Tells whether a key verifies signatures: one that signs by itself, or a public RSA or ECC key. */
    static boolean isVerificationKey(KeySlot key) {
        return isMacKey(key) || key.type == Gp.KEY_TYPE_RSA_MODULUS || key.type == Gp.KEY_TYPE_ECC_PUBLIC;
    }

    /** Returns the length of the hash that signatures under a key are made of; 0 of a MAC key (annex B). */
    static short hashLength(KeySlot key) {
        if (key.type == Gp.KEY_TYPE_RSA_MODULUS) {
            return key.length <= RSA_SCHEME_1 ? SHA_1 : SHA_256;
        }
        if (key.type == Gp.KEY_TYPE_ECC_PUBLIC) {
            return key.length == (short) (1 + 2 * Curves.P256_SIZE) ? SHA_256 : SHA_384;
        }
        return 0;
    }

    /** Returns the length of the hash that the cipher of a key asks for (table C-3). */
    static short hashLengthForCipher(KeySlot key) {
        if (isDes(key)) {
            return SHA_1;
        }
        return key.length == 16 ? SHA_256 : key.length == 24 ? SHA_384 : SHA_512;
    }

    /** Verifies a signature of two pieces of data; the first may be empty, the second not. */
    boolean verify(KeySlot key, byte[] first, short firstLength, byte[] data, short offset, short length,
            byte[] signature, short signatureOffset, short signatureLength) {
        if (isMacKey(key)) {
            short size = sign(key, first, firstLength, data, offset, length, mac, (short) 0);
            return size == signatureLength
                    && Messaging.equal(mac, (short) 0, signature, signatureOffset, size);
        }
        boolean isRsa = key.type == Gp.KEY_TYPE_RSA_MODULUS;
        short component = (short) ((short) (key.length - 1) >> 1);
        if (signatureLength != (isRsa ? key.length : (short) (component << 1))) {
            return false;
        }
        Signature algorithm = isRsa ? key.length <= RSA_SCHEME_1 ? rsaPkcs1 : rsaPss
                : component == Curves.P256_SIZE ? ecdsa256 : ecdsa384;
        try {
            PublicKey loaded = publicKeys.load(keys, key);
            if (loaded == null) {
                return false;
            }
            algorithm.init(loaded, Signature.MODE_VERIFY);
            if (firstLength > 0) {
                algorithm.update(first, (short) 0, firstLength);
            }
            if (isRsa) {
                return algorithm.verify(data, offset, length, signature, signatureOffset, signatureLength);
            }
            return algorithm.verify(
                    data, offset, length, der, (short) 0, encode(signature, signatureOffset, component));
        } catch (RuntimeException malformed) {
            // CryptoException by the API; runtimes throw others too for a point that is on no curve.
            return false;
        }
    }

    /** Writes r and s in DER and returns the length. */
    private short encode(byte[] signature, short offset, short component) {
        der[0] = DER_SEQUENCE;
        short end = encodeInteger(signature, offset, component, (short) 2);
        end = encodeInteger(signature, (short) (offset + component), component, end);
        der[1] = (byte) (end - 2);
        return end;
    }

    private short encodeInteger(byte[] source, short offset, short length, short at) {
        while (length > 1 && source[offset] == 0) {
            offset++;
            length--;
        }
        der[at++] = DER_INTEGER;
        boolean signed = source[offset] < 0;
        der[at++] = (byte) (signed ? length + 1 : length);
        if (signed) {
            der[at++] = 0;
        }
        return Util.arrayCopyNonAtomic(source, offset, der, at, length);
    }

    /** Writes a signature of two pieces of data, the second not empty, and returns its length. */
    short sign(KeySlot key, byte[] first, short firstLength, byte[] data, short offset, short length, byte[] output,
            short outputOffset) {
        if (key.type == Gp.KEY_TYPE_ECC_PRIVATE) {
            return signByCurve(key, first, firstLength, data, offset, length, output, outputOffset);
        }
        boolean isDes = isDes(key);
        Signature algorithm = isDes ? desMac : aesMac;
        if (isDes) {
            des.setKey(keys.values(), key.offset);
            algorithm.init(des, Signature.MODE_SIGN);
        } else {
            algorithm.init(load(key), Signature.MODE_SIGN);
        }
        if (firstLength > 0) {
            algorithm.update(first, (short) 0, firstLength);
        }
        algorithm.sign(data, offset, length, output, outputOffset);
        return isDes ? DES_SIZE : AES_SIZE;
    }

    private short signByCurve(KeySlot key, byte[] first, short firstLength, byte[] data, short offset, short length,
            byte[] output, short outputOffset) {
        byte curve = Curves.ofLength(key.length);
        ECPrivateKey working = curve == Curves.P256 ? p256 : p384;
        Signature algorithm = curve == Curves.P256 ? ecdsa256 : ecdsa384;
        Curves.setParameters(working, curve);
        working.setS(keys.values(), key.offset, key.length);
        try {
            algorithm.init(working, Signature.MODE_SIGN);
            if (firstLength > 0) {
                algorithm.update(first, (short) 0, firstLength);
            }
            algorithm.sign(data, offset, length, der, (short) 0);
        } finally {
            working.clearKey();
        }
        // 30, the length of both, 02, the length of r, r, 02, the length of s, s.
        short second = (short) (4 + der[3]);
        decodeInteger((short) 3, output, outputOffset, key.length);
        decodeInteger((short) (second + 1), output, (short) (outputOffset + key.length), key.length);
        return (short) (key.length << 1);
    }

    /** Writes an integer in DER, from its length on, as an unsigned number of a length. */
    private void decodeInteger(short at, byte[] output, short offset, short length) {
        short from = (short) (at + 1);
        short size = der[at];
        if (size > length) {
            from++;
            size--;
        }
        short zeros = (short) (length - size);
        Util.arrayFillNonAtomic(output, offset, zeros, (byte) 0);
        Util.arrayCopyNonAtomic(der, from, output, (short) (offset + zeros), size);
    }

    /** Begins the decryption of blocks in CBC mode, with a vector or, when it is empty, one of zeros. */
    void beginDecryption(byte[] from, short length) {
        Util.arrayFillNonAtomic(vector, (short) 0, AES_SIZE, (byte) 0);
        Util.arrayCopyNonAtomic(from, (short) 0, vector, (short) 0, length);
    }


    static short blockSize(KeySlot key) {
        return isDes(key) ? DES_SIZE : AES_SIZE;
    }

    /** Decrypts the next blocks in place. */
    void decrypt(KeySlot key, byte[] data, short offset, short length) {
        short size = blockSize(key);
        Util.arrayCopyNonAtomic(data, (short) (offset + length - size), mac, (short) 0, size);
        if (isDes(key)) {
            des.setKey(keys.values(), key.offset);
            desCbc.init(des, Cipher.MODE_DECRYPT, vector, (short) 0, size);
            desCbc.doFinal(data, offset, length, data, offset);
        } else {
            aesCbc.init(load(key), Cipher.MODE_DECRYPT, vector, (short) 0, size);
            aesCbc.doFinal(data, offset, length, data, offset);
        }
        Util.arrayCopyNonAtomic(mac, (short) 0, vector, (short) 0, size);
    }
}
