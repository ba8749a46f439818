package javacard.security;

/**
 * Digests that can go on from a state: in place of jCardSim's, which answers null to one for one use.
 *
 * <p>Spec: JC API 3.0.5, javacard.security.InitializedMessageDigest.
 */
public abstract class InitializedMessageDigest extends MessageDigest {
    protected InitializedMessageDigest() {}

    public abstract void setInitialDigest(byte[] state, short stateOffset, short stateLength, byte[] digested,
            short digestedOffset, short digestedLength) throws CryptoException;

    /** A digest for one use: the message comes all at once. */
    public static final class OneShot extends InitializedMessageDigest {
        private InitializedMessageDigest digest;

        private OneShot(InitializedMessageDigest digest) {
            this.digest = digest;
        }

        public static final OneShot open(byte algorithm) throws CryptoException {
            return new OneShot(MessageDigest.getInitializedMessageDigestInstance(algorithm, false));
        }

        public void close() {
            digest = null;
        }

        private InitializedMessageDigest opened() {
            if (digest == null) {
                CryptoException.throwIt(CryptoException.ILLEGAL_USE);
            }
            return digest;
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
        public byte getLength() {
            return opened().getLength();
        }

        @Override
        public short doFinal(byte[] input, short offset, short length, byte[] output, short outputOffset)
                throws CryptoException {
            return opened().doFinal(input, offset, length, output, outputOffset);
        }

        @Override
        public void reset() {
            opened().reset();
        }

        @Override
        public void update(byte[] input, short offset, short length) throws CryptoException {
            CryptoException.throwIt(CryptoException.ILLEGAL_USE);
        }
    }
}
