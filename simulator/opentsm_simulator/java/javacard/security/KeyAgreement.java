package javacard.security;

import com.licel.jcardsim.crypto.KeyAgreementImpl;
import javacard.framework.Util;

/**
 * Key agreement: in place of jCardSim's, where a point that is not on the curve, as hosts may send it, is an exception that
 * no card has, and a secret of Diffie and Hellman is shorter where it begins with zeros.
 *
 * <p>Spec: JC API 3.0.5, javacard.security.KeyAgreement; NIST SP 800-56A 5.7.1.1 (a secret is as long as the prime).
 */
public abstract class KeyAgreement {
    public static final byte ALG_EC_SVDP_DH = 1;
    public static final byte ALG_EC_SVDP_DH_KDF = 1;
    public static final byte ALG_EC_SVDP_DHC = 2;
    public static final byte ALG_EC_SVDP_DHC_KDF = 2;
    public static final byte ALG_EC_SVDP_DH_PLAIN = 3;
    public static final byte ALG_EC_SVDP_DHC_PLAIN = 4;
    public static final byte ALG_EC_PACE_GM = 5;
    public static final byte ALG_EC_SVDP_DH_PLAIN_XY = 6;
    public static final byte ALG_DH_PLAIN = 7;

    protected KeyAgreement() {}

    public static final KeyAgreement getInstance(byte algorithm, boolean externalAccess) throws CryptoException {
        return new Checked(new KeyAgreementImpl(algorithm));
    }

    public abstract void init(PrivateKey privateKey) throws CryptoException;

    public abstract byte getAlgorithm();

    public abstract short generateSecret(byte[] publicData, short publicOffset, short publicLength, byte[] secret,
            short secretOffset) throws CryptoException;

    /** jCardSim's, with the exceptions of a card. */
    private static final class Checked extends KeyAgreement {
        private final KeyAgreementImpl agreement;
        private PrivateKey key;

        Checked(KeyAgreementImpl agreement) {
            this.agreement = agreement;
        }

        @Override
        public void init(PrivateKey privateKey) throws CryptoException {
            agreement.init(privateKey);
            key = privateKey;
        }

        @Override
        public byte getAlgorithm() {
            return agreement.getAlgorithm();
        }

        @Override
        public short generateSecret(byte[] publicData, short publicOffset, short publicLength, byte[] secret,
                short secretOffset) throws CryptoException {
            if (key == null) {
                CryptoException.throwIt(CryptoException.INVALID_INIT);
            }
            if (!key.isInitialized()) {
                CryptoException.throwIt(CryptoException.UNINITIALIZED_KEY);
            }
            try {
                short length = agreement.generateSecret(publicData, publicOffset, publicLength, secret, secretOffset);
                return getAlgorithm() == ALG_DH_PLAIN ? padded(secret, secretOffset, length) : length;
            } catch (IllegalArgumentException | IllegalStateException e) {
                CryptoException.throwIt(CryptoException.ILLEGAL_VALUE); // no point of the curve, or infinity
                return 0;
            }
        }

        /** Puts zeros before a secret that is shorter than its key. */
        private short padded(byte[] secret, short offset, short length) {
            short size = (short) ((key.getSize() + 7) / 8);
            if (length < size) {
                System.arraycopy(secret, offset, secret, offset + size - length, length);
                Util.arrayFillNonAtomic(secret, offset, (short) (size - length), (byte) 0);
            }
            return (short) Math.max(size, length);
        }
    }
}
