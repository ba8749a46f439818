package javacard.security;

import java.security.SecureRandom;

/**
 * Random numbers: in place of jCardSim's, which gives every card the same ones from its first on.
 *
 * <p>All algorithms but the pre-seeded one draw from the platform's generator; a seed supplements what it has.
 *
 * <p>Spec: JC API 3.0.5, javacard.security.RandomData.
 */
public abstract class RandomData {
    public static final byte ALG_PSEUDO_RANDOM = 1;
    public static final byte ALG_SECURE_RANDOM = 2;
    public static final byte ALG_TRNG = 3;
    public static final byte ALG_PRESEEDED_DRBG = 4;
    public static final byte ALG_FAST = 5;
    public static final byte ALG_KEYGENERATION = 6;

    protected RandomData() {}

    public static final RandomData getInstance(byte algorithm) throws CryptoException {
        boolean known = algorithm >= ALG_PSEUDO_RANDOM && algorithm <= ALG_KEYGENERATION;
        if (!known || algorithm == ALG_PRESEEDED_DRBG) {
            CryptoException.throwIt(CryptoException.NO_SUCH_ALGORITHM);
        }
        return new Platform(algorithm);
    }

    public abstract void generateData(byte[] buffer, short offset, short length) throws CryptoException;

    public abstract void setSeed(byte[] buffer, short offset, short length);

    public abstract short nextBytes(byte[] buffer, short offset, short length) throws CryptoException;

    public abstract byte getAlgorithm();

    /** The platform's generator. */
    private static final class Platform extends RandomData {
        private final SecureRandom generator = new SecureRandom();
        private final byte algorithm;

        Platform(byte algorithm) {
            this.algorithm = algorithm;
        }

        @Override
        public void generateData(byte[] buffer, short offset, short length) {
            nextBytes(buffer, offset, length);
        }

        @Override
        public void setSeed(byte[] buffer, short offset, short length) {
            byte[] seed = new byte[length];
            System.arraycopy(buffer, offset, seed, 0, length);
            generator.setSeed(seed);
        }

        @Override
        public short nextBytes(byte[] buffer, short offset, short length) throws CryptoException {
            if (length == 0) {
                CryptoException.throwIt(CryptoException.ILLEGAL_VALUE);
            }
            byte[] random = new byte[length];
            generator.nextBytes(random);
            System.arraycopy(random, 0, buffer, offset, length);
            return (short) (offset + length);
        }

        @Override
        public byte getAlgorithm() {
            return algorithm;
        }
    }

    /** A generator for one use. */
    public static final class OneShot extends RandomData {
        private RandomData generator;

        private OneShot(RandomData generator) {
            this.generator = generator;
        }

        public static final OneShot open(byte algorithm) throws CryptoException {
            return new OneShot(RandomData.getInstance(algorithm));
        }

        public void close() {
            generator = null;
        }

        private RandomData opened() {
            if (generator == null) {
                CryptoException.throwIt(CryptoException.ILLEGAL_USE);
            }
            return generator;
        }

        @Override
        public void generateData(byte[] buffer, short offset, short length) throws CryptoException {
            opened().generateData(buffer, offset, length);
        }

        @Override
        public void setSeed(byte[] buffer, short offset, short length) {
            opened().setSeed(buffer, offset, length);
        }

        @Override
        public short nextBytes(byte[] buffer, short offset, short length) throws CryptoException {
            return opened().nextBytes(buffer, offset, length);
        }

        @Override
        public byte getAlgorithm() {
            return opened().getAlgorithm();
        }
    }
}
