package javacard.security;

import com.licel.jcardsim.crypto.KeyPairSignature;
import com.licel.jcardsim.crypto.MacSignature;
import javacardx.crypto.Cipher;

/**
 * Signatures and message authentication codes: in place of jCardSim's, which takes the number of a digest for that of an
 * algorithm, ends in an exception of its own for what it lacks, and says on the console what it does.
 *
 * <p>Spec: JC API 3.0.5, javacard.security.Signature.
 */
public abstract class Signature {
    public static final byte ALG_DES_MAC4_NOPAD = 1;
    public static final byte ALG_DES_MAC8_NOPAD = 2;
    public static final byte ALG_DES_MAC4_ISO9797_M1 = 3;
    public static final byte ALG_DES_MAC8_ISO9797_M1 = 4;
    public static final byte ALG_DES_MAC4_ISO9797_M2 = 5;
    public static final byte ALG_DES_MAC8_ISO9797_M2 = 6;
    public static final byte ALG_DES_MAC4_PKCS5 = 7;
    public static final byte ALG_DES_MAC8_PKCS5 = 8;
    public static final byte ALG_RSA_SHA_ISO9796 = 9;
    public static final byte ALG_RSA_SHA_PKCS1 = 10;
    public static final byte ALG_RSA_MD5_PKCS1 = 11;
    public static final byte ALG_RSA_RIPEMD160_ISO9796 = 12;
    public static final byte ALG_RSA_RIPEMD160_PKCS1 = 13;
    public static final byte ALG_DSA_SHA = 14;
    public static final byte ALG_RSA_SHA_RFC2409 = 15;
    public static final byte ALG_RSA_MD5_RFC2409 = 16;
    public static final byte ALG_ECDSA_SHA = 17;
    public static final byte ALG_AES_MAC_128_NOPAD = 18;
    public static final byte ALG_AES_CMAC_128 = 49;
    public static final byte ALG_DES_MAC4_ISO9797_1_M2_ALG3 = 19;
    public static final byte ALG_DES_MAC8_ISO9797_1_M2_ALG3 = 20;
    public static final byte ALG_RSA_SHA_PKCS1_PSS = 21;
    public static final byte ALG_RSA_MD5_PKCS1_PSS = 22;
    public static final byte ALG_RSA_RIPEMD160_PKCS1_PSS = 23;
    public static final byte ALG_HMAC_SHA1 = 24;
    public static final byte ALG_HMAC_SHA_256 = 25;
    public static final byte ALG_HMAC_SHA_384 = 26;
    public static final byte ALG_HMAC_SHA_512 = 27;
    public static final byte ALG_HMAC_MD5 = 28;
    public static final byte ALG_HMAC_RIPEMD160 = 29;
    public static final byte ALG_RSA_SHA_ISO9796_MR = 30;
    public static final byte ALG_RSA_RIPEMD160_ISO9796_MR = 31;
    public static final byte ALG_KOREAN_SEED_MAC_NOPAD = 32;
    public static final byte ALG_ECDSA_SHA_256 = 33;
    public static final byte ALG_ECDSA_SHA_384 = 34;
    public static final byte ALG_AES_MAC_192_NOPAD = 35;
    public static final byte ALG_AES_MAC_256_NOPAD = 36;
    public static final byte ALG_ECDSA_SHA_224 = 37;
    public static final byte ALG_ECDSA_SHA_512 = 38;
    public static final byte ALG_RSA_SHA_224_PKCS1 = 39;
    public static final byte ALG_RSA_SHA_256_PKCS1 = 40;
    public static final byte ALG_RSA_SHA_384_PKCS1 = 41;
    public static final byte ALG_RSA_SHA_512_PKCS1 = 42;
    public static final byte ALG_RSA_SHA_224_PKCS1_PSS = 43;
    public static final byte ALG_RSA_SHA_256_PKCS1_PSS = 44;
    public static final byte ALG_RSA_SHA_384_PKCS1_PSS = 45;
    public static final byte ALG_RSA_SHA_512_PKCS1_PSS = 46;
    public static final byte ALG_DES_MAC4_ISO9797_1_M1_ALG3 = 47;
    public static final byte ALG_DES_MAC8_ISO9797_1_M1_ALG3 = 48;
    public static final byte SIG_CIPHER_DES_MAC4 = 1;
    public static final byte SIG_CIPHER_DES_MAC8 = 2;
    public static final byte SIG_CIPHER_RSA = 3;
    public static final byte SIG_CIPHER_DSA = 4;
    public static final byte SIG_CIPHER_ECDSA = 5;
    public static final byte SIG_CIPHER_ECDSA_PLAIN = 9;
    public static final byte SIG_CIPHER_AES_MAC128 = 6;
    public static final byte SIG_CIPHER_AES_CMAC128 = 10;
    public static final byte SIG_CIPHER_HMAC = 7;
    public static final byte SIG_CIPHER_KOREAN_SEED_MAC = 8;
    public static final byte MODE_SIGN = 1;
    public static final byte MODE_VERIFY = 2;

    /** What there is: {algorithm, digest, cipher, padding}; algorithm 0 has no number of its own. */
    private static final byte[][] ALGORITHMS = {
        {ALG_DES_MAC4_NOPAD, MessageDigest.ALG_NULL, SIG_CIPHER_DES_MAC4, Cipher.PAD_NOPAD},
        {ALG_DES_MAC4_ISO9797_M1, MessageDigest.ALG_NULL, SIG_CIPHER_DES_MAC4, Cipher.PAD_ISO9797_M1},
        {ALG_DES_MAC4_ISO9797_M2, MessageDigest.ALG_NULL, SIG_CIPHER_DES_MAC4, Cipher.PAD_ISO9797_M2},
        {ALG_DES_MAC4_PKCS5, MessageDigest.ALG_NULL, SIG_CIPHER_DES_MAC4, Cipher.PAD_PKCS5},
        {ALG_DES_MAC4_ISO9797_1_M1_ALG3, MessageDigest.ALG_NULL, SIG_CIPHER_DES_MAC4, Cipher.PAD_ISO9797_1_M1_ALG3},
        {ALG_DES_MAC4_ISO9797_1_M2_ALG3, MessageDigest.ALG_NULL, SIG_CIPHER_DES_MAC4, Cipher.PAD_ISO9797_1_M2_ALG3},
        {ALG_DES_MAC8_NOPAD, MessageDigest.ALG_NULL, SIG_CIPHER_DES_MAC8, Cipher.PAD_NOPAD},
        {ALG_DES_MAC8_ISO9797_M1, MessageDigest.ALG_NULL, SIG_CIPHER_DES_MAC8, Cipher.PAD_ISO9797_M1},
        {ALG_DES_MAC8_ISO9797_M2, MessageDigest.ALG_NULL, SIG_CIPHER_DES_MAC8, Cipher.PAD_ISO9797_M2},
        {ALG_DES_MAC8_PKCS5, MessageDigest.ALG_NULL, SIG_CIPHER_DES_MAC8, Cipher.PAD_PKCS5},
        {ALG_DES_MAC8_ISO9797_1_M1_ALG3, MessageDigest.ALG_NULL, SIG_CIPHER_DES_MAC8, Cipher.PAD_ISO9797_1_M1_ALG3},
        {ALG_DES_MAC8_ISO9797_1_M2_ALG3, MessageDigest.ALG_NULL, SIG_CIPHER_DES_MAC8, Cipher.PAD_ISO9797_1_M2_ALG3},
        {ALG_AES_MAC_128_NOPAD, MessageDigest.ALG_NULL, SIG_CIPHER_AES_MAC128, Cipher.PAD_NOPAD},
        {ALG_AES_CMAC_128, MessageDigest.ALG_NULL, SIG_CIPHER_AES_CMAC128, Cipher.PAD_NULL},
        {ALG_KOREAN_SEED_MAC_NOPAD, MessageDigest.ALG_NULL, SIG_CIPHER_KOREAN_SEED_MAC, Cipher.PAD_NOPAD},
        {ALG_HMAC_SHA1, MessageDigest.ALG_SHA, SIG_CIPHER_HMAC, Cipher.PAD_NULL},
        {ALG_HMAC_SHA_256, MessageDigest.ALG_SHA_256, SIG_CIPHER_HMAC, Cipher.PAD_NULL},
        {ALG_HMAC_SHA_384, MessageDigest.ALG_SHA_384, SIG_CIPHER_HMAC, Cipher.PAD_NULL},
        {ALG_HMAC_SHA_512, MessageDigest.ALG_SHA_512, SIG_CIPHER_HMAC, Cipher.PAD_NULL},
        {ALG_HMAC_MD5, MessageDigest.ALG_MD5, SIG_CIPHER_HMAC, Cipher.PAD_NULL},
        {ALG_HMAC_RIPEMD160, MessageDigest.ALG_RIPEMD160, SIG_CIPHER_HMAC, Cipher.PAD_NULL},
        {ALG_RSA_SHA_PKCS1, MessageDigest.ALG_SHA, SIG_CIPHER_RSA, Cipher.PAD_PKCS1},
        {ALG_RSA_SHA_PKCS1_PSS, MessageDigest.ALG_SHA, SIG_CIPHER_RSA, Cipher.PAD_PKCS1_PSS},
        {ALG_RSA_SHA_224_PKCS1, MessageDigest.ALG_SHA_224, SIG_CIPHER_RSA, Cipher.PAD_PKCS1},
        {ALG_RSA_SHA_224_PKCS1_PSS, MessageDigest.ALG_SHA_224, SIG_CIPHER_RSA, Cipher.PAD_PKCS1_PSS},
        {ALG_RSA_SHA_256_PKCS1, MessageDigest.ALG_SHA_256, SIG_CIPHER_RSA, Cipher.PAD_PKCS1},
        {ALG_RSA_SHA_256_PKCS1_PSS, MessageDigest.ALG_SHA_256, SIG_CIPHER_RSA, Cipher.PAD_PKCS1_PSS},
        {ALG_RSA_SHA_384_PKCS1, MessageDigest.ALG_SHA_384, SIG_CIPHER_RSA, Cipher.PAD_PKCS1},
        {ALG_RSA_SHA_384_PKCS1_PSS, MessageDigest.ALG_SHA_384, SIG_CIPHER_RSA, Cipher.PAD_PKCS1_PSS},
        {ALG_RSA_SHA_512_PKCS1, MessageDigest.ALG_SHA_512, SIG_CIPHER_RSA, Cipher.PAD_PKCS1},
        {ALG_RSA_SHA_512_PKCS1_PSS, MessageDigest.ALG_SHA_512, SIG_CIPHER_RSA, Cipher.PAD_PKCS1_PSS},
        {ALG_RSA_MD5_PKCS1, MessageDigest.ALG_MD5, SIG_CIPHER_RSA, Cipher.PAD_PKCS1},
        {ALG_RSA_MD5_PKCS1_PSS, MessageDigest.ALG_MD5, SIG_CIPHER_RSA, Cipher.PAD_PKCS1_PSS},
        {ALG_RSA_RIPEMD160_PKCS1, MessageDigest.ALG_RIPEMD160, SIG_CIPHER_RSA, Cipher.PAD_PKCS1},
        {ALG_RSA_RIPEMD160_PKCS1_PSS, MessageDigest.ALG_RIPEMD160, SIG_CIPHER_RSA, Cipher.PAD_PKCS1_PSS},
        {ALG_RSA_SHA_ISO9796, MessageDigest.ALG_SHA, SIG_CIPHER_RSA, Cipher.PAD_ISO9796},
        {ALG_RSA_RIPEMD160_ISO9796, MessageDigest.ALG_RIPEMD160, SIG_CIPHER_RSA, Cipher.PAD_ISO9796},
        {ALG_RSA_SHA_ISO9796_MR, MessageDigest.ALG_SHA, SIG_CIPHER_RSA, Cipher.PAD_ISO9796_MR},
        {ALG_DSA_SHA, MessageDigest.ALG_SHA, SIG_CIPHER_DSA, Cipher.PAD_NULL},
        {ALG_ECDSA_SHA, MessageDigest.ALG_SHA, SIG_CIPHER_ECDSA, Cipher.PAD_NULL},
        {ALG_ECDSA_SHA_224, MessageDigest.ALG_SHA_224, SIG_CIPHER_ECDSA, Cipher.PAD_NULL},
        {ALG_ECDSA_SHA_256, MessageDigest.ALG_SHA_256, SIG_CIPHER_ECDSA, Cipher.PAD_NULL},
        {ALG_ECDSA_SHA_384, MessageDigest.ALG_SHA_384, SIG_CIPHER_ECDSA, Cipher.PAD_NULL},
        {ALG_ECDSA_SHA_512, MessageDigest.ALG_SHA_512, SIG_CIPHER_ECDSA, Cipher.PAD_NULL},
        {0, MessageDigest.ALG_NULL, SIG_CIPHER_ECDSA, Cipher.PAD_NULL},
    };

    protected Signature() {}

    public static final Signature getInstance(byte algorithm, boolean externalAccess) throws CryptoException {
        for (byte[] each : ALGORITHMS) {
            if (each[0] == algorithm && algorithm != 0) {
                return make(each);
            }
        }
        CryptoException.throwIt(CryptoException.NO_SUCH_ALGORITHM);
        return null;
    }

    public static final Signature getInstance(
            byte messageDigestAlgorithm, byte cipherAlgorithm, byte paddingAlgorithm, boolean externalAccess)
            throws CryptoException {
        for (byte[] each : ALGORITHMS) {
            if (each[1] == messageDigestAlgorithm && each[2] == cipherAlgorithm && each[3] == paddingAlgorithm) {
                return make(each);
            }
        }
        CryptoException.throwIt(CryptoException.NO_SUCH_ALGORITHM);
        return null;
    }

    private static Signature make(byte[] of) {
        switch (of[2]) {
            case SIG_CIPHER_RSA:
            case SIG_CIPHER_DSA:
            case SIG_CIPHER_ECDSA:
                return new KeyPairSignature(of[0], of[1], of[2], of[3]);
            default:
                return new MacSignature(of[0], of[1], of[2], of[3]);
        }
    }

    public abstract void init(Key key, byte mode) throws CryptoException;

    public abstract void init(Key key, byte mode, byte[] initial, short offset, short length) throws CryptoException;

    public abstract void setInitialDigest(byte[] state, short stateOffset, short stateLength, byte[] digested,
            short digestedOffset, short digestedLength) throws CryptoException;

    public abstract byte getAlgorithm();

    public abstract byte getMessageDigestAlgorithm();

    public abstract byte getCipherAlgorithm();

    public abstract byte getPaddingAlgorithm();

    public abstract short getLength() throws CryptoException;

    public abstract void update(byte[] input, short offset, short length) throws CryptoException;

    public abstract short sign(byte[] input, short offset, short length, byte[] signature, short signatureOffset)
            throws CryptoException;

    public abstract short signPreComputedHash(byte[] hash, short offset, short length, byte[] signature,
            short signatureOffset) throws CryptoException;

    public abstract boolean verify(byte[] input, short offset, short length, byte[] signature, short signatureOffset,
            short signatureLength) throws CryptoException;

    public abstract boolean verifyPreComputedHash(byte[] hash, short offset, short length, byte[] signature,
            short signatureOffset, short signatureLength) throws CryptoException;

    /** A signature for one use: the message comes all at once. */
    public static final class OneShot extends Signature {
        private Signature signature;

        private OneShot(Signature signature) {
            this.signature = signature;
        }

        public static final OneShot open(byte messageDigestAlgorithm, byte cipherAlgorithm, byte paddingAlgorithm)
                throws CryptoException {
            return new OneShot(
                    Signature.getInstance(messageDigestAlgorithm, cipherAlgorithm, paddingAlgorithm, false));
        }

        public void close() {
            signature = null;
        }

        private Signature opened() {
            if (signature == null) {
                CryptoException.throwIt(CryptoException.ILLEGAL_USE);
            }
            return signature;
        }

        @Override
        public void init(Key key, byte mode) throws CryptoException {
            opened().init(key, mode);
        }

        @Override
        public void init(Key key, byte mode, byte[] initial, short offset, short length) throws CryptoException {
            opened().init(key, mode, initial, offset, length);
        }

        @Override
        public void setInitialDigest(byte[] state, short stateOffset, short stateLength, byte[] digested,
                short digestedOffset, short digestedLength) throws CryptoException {
            opened().setInitialDigest(state, stateOffset, stateLength, digested, digestedOffset, digestedLength);
        }

        @Override
        public byte getAlgorithm() {
            return opened().getAlgorithm();
        }

        @Override
        public byte getMessageDigestAlgorithm() {
            return opened().getMessageDigestAlgorithm();
        }

        @Override
        public byte getCipherAlgorithm() {
            return opened().getCipherAlgorithm();
        }

        @Override
        public byte getPaddingAlgorithm() {
            return opened().getPaddingAlgorithm();
        }

        @Override
        public short getLength() throws CryptoException {
            return opened().getLength();
        }

        @Override
        public final void update(byte[] input, short offset, short length) throws CryptoException {
            CryptoException.throwIt(CryptoException.ILLEGAL_USE);
        }

        @Override
        public short sign(byte[] input, short offset, short length, byte[] signed, short signedOffset)
                throws CryptoException {
            return opened().sign(input, offset, length, signed, signedOffset);
        }

        @Override
        public short signPreComputedHash(byte[] hash, short offset, short length, byte[] signed, short signedOffset)
                throws CryptoException {
            return opened().signPreComputedHash(hash, offset, length, signed, signedOffset);
        }

        @Override
        public boolean verify(byte[] input, short offset, short length, byte[] signed, short signedOffset,
                short signedLength) throws CryptoException {
            return opened().verify(input, offset, length, signed, signedOffset, signedLength);
        }

        @Override
        public boolean verifyPreComputedHash(byte[] hash, short offset, short length, byte[] signed,
                short signedOffset, short signedLength) throws CryptoException {
            return opened().verifyPreComputedHash(hash, offset, length, signed, signedOffset, signedLength);
        }
    }
}
