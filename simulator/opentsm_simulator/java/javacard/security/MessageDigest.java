package javacard.security;

import com.licel.jcardsim.crypto.SessionDigest;

/**
 * Digests: in place of jCardSim's, which answers null to a digest for one use.
 *
 * <p>Spec: JC API 3.0.5, javacard.security.MessageDigest.
 */
public abstract class MessageDigest {
    public static final byte ALG_NULL = 0;
    public static final byte ALG_SHA = 1;
    public static final byte ALG_MD5 = 2;
    public static final byte ALG_RIPEMD160 = 3;
    public static final byte ALG_SHA_256 = 4;
    public static final byte ALG_SHA_384 = 5;
    public static final byte ALG_SHA_512 = 6;
    public static final byte ALG_SHA_224 = 7;
    public static final byte ALG_SHA3_224 = 8;
    public static final byte ALG_SHA3_256 = 9;
    public static final byte ALG_SHA3_384 = 10;
    public static final byte ALG_SHA3_512 = 11;
    public static final byte LENGTH_MD5 = 16;
    public static final byte LENGTH_RIPEMD160 = 20;
    public static final byte LENGTH_SHA = 20;
    public static final byte LENGTH_SHA_224 = 28;
    public static final byte LENGTH_SHA_256 = 32;
    public static final byte LENGTH_SHA_384 = 48;
    public static final byte LENGTH_SHA_512 = 64;
    public static final byte LENGTH_SHA3_224 = 28;
    public static final byte LENGTH_SHA3_256 = 32;
    public static final byte LENGTH_SHA3_384 = 48;
    public static final byte LENGTH_SHA3_512 = 64;

    protected MessageDigest() {}

    public static final MessageDigest getInstance(byte algorithm, boolean externalAccess) throws CryptoException {
        return make(algorithm, externalAccess);
    }

    public static final InitializedMessageDigest getInitializedMessageDigestInstance(
            byte algorithm, boolean externalAccess) throws CryptoException {
        return make(algorithm, externalAccess);
    }

    private static SessionDigest make(byte algorithm, boolean externalAccess) {
        if (externalAccess) {
            CryptoException.throwIt(CryptoException.NO_SUCH_ALGORITHM);
        }
        return new SessionDigest(algorithm);
    }

    public abstract byte getAlgorithm();

    public abstract byte getLength();

    public abstract short doFinal(byte[] input, short offset, short length, byte[] output, short outputOffset)
            throws CryptoException;

    public abstract void update(byte[] input, short offset, short length) throws CryptoException;

    public abstract void reset();

    /** A digest for one use: the message comes all at once. */
    public static final class OneShot extends MessageDigest {
        private MessageDigest digest;

        private OneShot(MessageDigest digest) {
            this.digest = digest;
        }

        public static final OneShot open(byte algorithm) throws CryptoException {
            return new OneShot(MessageDigest.getInstance(algorithm, false));
        }

        public void close() {
            digest = null;
        }

        private MessageDigest opened() {
            if (digest == null) {
                CryptoException.throwIt(CryptoException.ILLEGAL_USE);
            }
            return digest;
        }

        @Override
        public byte getAlgorithm() {
            return opened().getAlgorithm();
        }

        @Override
        public byte getLength() {
            return opened().getLength();
        }

        @Override
        public short doFinal(byte[] input, short offset, short length, byte[] output, short outputOffset)
                throws CryptoException {
            return opened().doFinal(input, offset, length, output, outputOffset);
        }

        @Override
        public void update(byte[] input, short offset, short length) throws CryptoException {
            CryptoException.throwIt(CryptoException.ILLEGAL_USE);
        }

        @Override
        public void reset() {
            opened().reset();
        }
    }
}
