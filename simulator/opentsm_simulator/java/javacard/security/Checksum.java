package javacard.security;

import com.licel.jcardsim.crypto.CRC16;
import com.licel.jcardsim.crypto.CRC32;
import opentsm.runtime.CardSession;

/**
 * Checksums: in place of jCardSim's, which go on behind a reset.
 *
 * <p>Spec: JC API 3.0.5, javacard.security.Checksum.
 */
public abstract class Checksum {
    public static final byte ALG_ISO3309_CRC16 = 1;
    public static final byte ALG_ISO3309_CRC32 = 2;

    protected Checksum() {}

    public static final Checksum getInstance(byte algorithm, boolean externalAccess) throws CryptoException {
        if (externalAccess || algorithm != ALG_ISO3309_CRC16 && algorithm != ALG_ISO3309_CRC32) {
            CryptoException.throwIt(CryptoException.NO_SUCH_ALGORITHM);
        }
        return new OfSession(algorithm);
    }

    public abstract void init(byte[] initial, short offset, short length) throws CryptoException;

    public abstract byte getAlgorithm();

    public abstract short doFinal(byte[] input, short offset, short length, byte[] output, short outputOffset);

    public abstract void update(byte[] input, short offset, short length);

    /** jCardSim's, made anew behind a reset. */
    private static final class OfSession extends Checksum {
        private final byte algorithm;
        private transient Checksum engine;

        /** When the engine was made. */
        private transient CardSession session;

        OfSession(byte algorithm) {
            this.algorithm = algorithm;
        }

        private Checksum engine() {
            if (CardSession.isOver(session)) {
                engine = algorithm == ALG_ISO3309_CRC16 ? new CRC16() : new CRC32();
                session = CardSession.current();
            }
            return engine;
        }

        @Override
        public void init(byte[] initial, short offset, short length) throws CryptoException {
            engine().init(initial, offset, length);
        }

        @Override
        public byte getAlgorithm() {
            return algorithm;
        }

        @Override
        public short doFinal(byte[] input, short offset, short length, byte[] output, short outputOffset) {
            return engine().doFinal(input, offset, length, output, outputOffset);
        }

        @Override
        public void update(byte[] input, short offset, short length) {
            engine().update(input, offset, length);
        }
    }
}
