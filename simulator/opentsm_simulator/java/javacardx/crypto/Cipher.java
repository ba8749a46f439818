package javacardx.crypto;

import com.licel.jcardsim.crypto.AeadCipher;
import com.licel.jcardsim.crypto.AsymmetricCipherImpl;
import com.licel.jcardsim.crypto.SymmetricCipher;
import javacard.security.CryptoException;
import javacard.security.Key;

/**
 * Ciphers: in place of jCardSim's, which answers null to a cipher with a padding, and lacks some of the paddings.
 *
 * <p>Spec: JC API 3.0.5, javacardx.crypto.Cipher.
 */
public abstract class Cipher {
    public static final byte ALG_DES_CBC_NOPAD = 1;
    public static final byte ALG_DES_CBC_ISO9797_M1 = 2;
    public static final byte ALG_DES_CBC_ISO9797_M2 = 3;
    public static final byte ALG_DES_CBC_PKCS5 = 4;
    public static final byte ALG_DES_ECB_NOPAD = 5;
    public static final byte ALG_DES_ECB_ISO9797_M1 = 6;
    public static final byte ALG_DES_ECB_ISO9797_M2 = 7;
    public static final byte ALG_DES_ECB_PKCS5 = 8;
    public static final byte ALG_RSA_ISO14888 = 9;
    public static final byte ALG_RSA_PKCS1 = 10;
    public static final byte ALG_RSA_ISO9796 = 11;
    public static final byte ALG_RSA_NOPAD = 12;
    public static final byte ALG_AES_BLOCK_128_CBC_NOPAD = 13;
    public static final byte ALG_AES_BLOCK_128_ECB_NOPAD = 14;
    public static final byte ALG_RSA_PKCS1_OAEP = 15;
    public static final byte ALG_KOREAN_SEED_ECB_NOPAD = 16;
    public static final byte ALG_KOREAN_SEED_CBC_NOPAD = 17;
    public static final byte ALG_AES_BLOCK_192_CBC_NOPAD = 18;
    public static final byte ALG_AES_BLOCK_192_ECB_NOPAD = 19;
    public static final byte ALG_AES_BLOCK_256_CBC_NOPAD = 20;
    public static final byte ALG_AES_BLOCK_256_ECB_NOPAD = 21;
    public static final byte ALG_AES_CBC_ISO9797_M1 = 22;
    public static final byte ALG_AES_CBC_ISO9797_M2 = 23;
    public static final byte ALG_AES_CBC_PKCS5 = 24;
    public static final byte ALG_AES_ECB_ISO9797_M1 = 25;
    public static final byte ALG_AES_ECB_ISO9797_M2 = 26;
    public static final byte ALG_AES_ECB_PKCS5 = 27;
    public static final byte CIPHER_AES_CBC = 1;
    public static final byte CIPHER_AES_ECB = 2;
    public static final byte CIPHER_DES_CBC = 3;
    public static final byte CIPHER_DES_ECB = 4;
    public static final byte CIPHER_KOREAN_SEED_CBC = 5;
    public static final byte CIPHER_KOREAN_SEED_ECB = 6;
    public static final byte CIPHER_RSA = 7;
    public static final byte PAD_NULL = 0;
    public static final byte PAD_NOPAD = 1;
    public static final byte PAD_ISO9797_M1 = 2;
    public static final byte PAD_ISO9797_M2 = 3;
    public static final byte PAD_ISO9797_1_M1_ALG3 = 4;
    public static final byte PAD_ISO9797_1_M2_ALG3 = 5;
    public static final byte PAD_PKCS5 = 6;
    public static final byte PAD_PKCS1 = 7;
    public static final byte PAD_PKCS1_PSS = 8;
    public static final byte PAD_PKCS1_OAEP = 9;
    public static final byte PAD_PKCS1_OAEP_SHA224 = 13;
    public static final byte PAD_PKCS1_OAEP_SHA256 = 14;
    public static final byte PAD_PKCS1_OAEP_SHA384 = 15;
    public static final byte PAD_PKCS1_OAEP_SHA512 = 16;
    public static final byte PAD_PKCS1_OAEP_SHA3_224 = 17;
    public static final byte PAD_PKCS1_OAEP_SHA3_256 = 18;
    public static final byte PAD_PKCS1_OAEP_SHA3_384 = 19;
    public static final byte PAD_PKCS1_OAEP_SHA3_512 = 20;
    public static final byte PAD_ISO9796 = 10;
    public static final byte PAD_ISO9796_MR = 11;
    public static final byte PAD_RFC2409 = 12;
    public static final byte MODE_DECRYPT = 1;
    public static final byte MODE_ENCRYPT = 2;
    public static final byte ALG_AES_CTR = -16;

    /** Which algorithm a cipher with a padding is: {cipher, padding, algorithm}. */
    private static final byte[][] ALGORITHMS = {
        {CIPHER_DES_CBC, PAD_NOPAD, ALG_DES_CBC_NOPAD},
        {CIPHER_DES_CBC, PAD_ISO9797_M1, ALG_DES_CBC_ISO9797_M1},
        {CIPHER_DES_CBC, PAD_ISO9797_M2, ALG_DES_CBC_ISO9797_M2},
        {CIPHER_DES_CBC, PAD_PKCS5, ALG_DES_CBC_PKCS5},
        {CIPHER_DES_ECB, PAD_NOPAD, ALG_DES_ECB_NOPAD},
        {CIPHER_DES_ECB, PAD_ISO9797_M1, ALG_DES_ECB_ISO9797_M1},
        {CIPHER_DES_ECB, PAD_ISO9797_M2, ALG_DES_ECB_ISO9797_M2},
        {CIPHER_DES_ECB, PAD_PKCS5, ALG_DES_ECB_PKCS5},
        {CIPHER_AES_CBC, PAD_NOPAD, ALG_AES_BLOCK_128_CBC_NOPAD},
        {CIPHER_AES_CBC, PAD_ISO9797_M1, ALG_AES_CBC_ISO9797_M1},
        {CIPHER_AES_CBC, PAD_ISO9797_M2, ALG_AES_CBC_ISO9797_M2},
        {CIPHER_AES_CBC, PAD_PKCS5, ALG_AES_CBC_PKCS5},
        {CIPHER_AES_ECB, PAD_NOPAD, ALG_AES_BLOCK_128_ECB_NOPAD},
        {CIPHER_AES_ECB, PAD_ISO9797_M1, ALG_AES_ECB_ISO9797_M1},
        {CIPHER_AES_ECB, PAD_ISO9797_M2, ALG_AES_ECB_ISO9797_M2},
        {CIPHER_AES_ECB, PAD_PKCS5, ALG_AES_ECB_PKCS5},
        {CIPHER_KOREAN_SEED_CBC, PAD_NOPAD, ALG_KOREAN_SEED_CBC_NOPAD},
        {CIPHER_KOREAN_SEED_ECB, PAD_NOPAD, ALG_KOREAN_SEED_ECB_NOPAD},
        {AEADCipher.CIPHER_AES_GCM, PAD_NULL, AEADCipher.ALG_AES_GCM},
        {AEADCipher.CIPHER_AES_CCM, PAD_NULL, AEADCipher.ALG_AES_CCM},
        {CIPHER_RSA, PAD_NOPAD, ALG_RSA_NOPAD},
        {CIPHER_RSA, PAD_PKCS1, ALG_RSA_PKCS1},
        {CIPHER_RSA, PAD_PKCS1_OAEP, ALG_RSA_PKCS1_OAEP},
    };

    protected Cipher() {}

    public static final Cipher getInstance(byte algorithm, boolean externalAccess) throws CryptoException {
        if (!externalAccess) {
            switch (algorithm) {
                case ALG_RSA_PKCS1:
                case ALG_RSA_NOPAD:
                case ALG_RSA_PKCS1_OAEP:
                    return new AsymmetricCipherImpl(algorithm);
                case AEADCipher.ALG_AES_GCM:
                case AEADCipher.ALG_AES_CCM:
                    return new AeadCipher(algorithm);
                case ALG_AES_CTR:
                    return new SymmetricCipher(algorithm, (byte) 0, PAD_NULL);
                default:
                    for (byte[] each : ALGORITHMS) {
                        if (each[2] == algorithm) {
                            return new SymmetricCipher(algorithm, each[0], each[1]);
                        }
                    }
            }
        }
        CryptoException.throwIt(CryptoException.NO_SUCH_ALGORITHM);
        return null;
    }

    public static final Cipher getInstance(byte cipherAlgorithm, byte paddingAlgorithm, boolean externalAccess)
            throws CryptoException {
        for (byte[] each : ALGORITHMS) {
            if (each[0] == cipherAlgorithm && each[1] == paddingAlgorithm) {
                return getInstance(each[2], externalAccess);
            }
        }
        CryptoException.throwIt(CryptoException.NO_SUCH_ALGORITHM);
        return null;
    }

    public abstract void init(Key key, byte mode) throws CryptoException;

    public abstract void init(Key key, byte mode, byte[] initial, short offset, short length) throws CryptoException;

    public abstract byte getAlgorithm();

    public abstract byte getCipherAlgorithm();

    public abstract byte getPaddingAlgorithm();

    public abstract short doFinal(byte[] input, short inputOffset, short inputLength, byte[] output, short outputOffset)
            throws CryptoException;

    public abstract short update(byte[] input, short inputOffset, short inputLength, byte[] output, short outputOffset)
            throws CryptoException;

    /** A cipher for one use: data comes all at once. */
    public static final class OneShot extends Cipher {
        private Cipher cipher;

        private OneShot(Cipher cipher) {
            this.cipher = cipher;
        }

        public static final OneShot open(byte cipherAlgorithm, byte paddingAlgorithm) throws CryptoException {
            return new OneShot(Cipher.getInstance(cipherAlgorithm, paddingAlgorithm, false));
        }

        public void close() {
            cipher = null;
        }

        private Cipher opened() {
            if (cipher == null) {
                CryptoException.throwIt(CryptoException.ILLEGAL_USE);
            }
            return cipher;
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
        public byte getAlgorithm() {
            return opened().getAlgorithm();
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
        public short doFinal(byte[] input, short inputOffset, short inputLength, byte[] output, short outputOffset)
                throws CryptoException {
            return opened().doFinal(input, inputOffset, inputLength, output, outputOffset);
        }

        @Override
        public short update(byte[] input, short inputOffset, short inputLength, byte[] output, short outputOffset)
                throws CryptoException {
            CryptoException.throwIt(CryptoException.ILLEGAL_USE);
            return 0;
        }
    }
}
