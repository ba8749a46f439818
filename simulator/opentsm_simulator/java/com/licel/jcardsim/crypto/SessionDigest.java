package com.licel.jcardsim.crypto;

import javacard.security.CryptoException;
import opentsm.runtime.CardSession;

/**
 * Digests: jCardSim's, without what came before a reset.
 *
 * <p>Spec: JC API 3.0.5, javacard.security.MessageDigest, InitializedMessageDigest.
 */
public final class SessionDigest extends MessageDigestImpl {
    /** When something came last. */
    private transient CardSession session;

    public SessionDigest(byte algorithm) {
        super(algorithm);
    }

    private void forgetAfterReset() {
        if (CardSession.isOver(session)) {
            reset();
            session = CardSession.current();
        }
    }

    @Override
    public void setInitialDigest(byte[] state, short stateOffset, short stateLength, byte[] digested,
            short digestedOffset, short digestedLength) throws CryptoException {
        forgetAfterReset();
        super.setInitialDigest(state, stateOffset, stateLength, digested, digestedOffset, digestedLength);
    }

    @Override
    public void update(byte[] input, short offset, short length) {
        forgetAfterReset();
        super.update(input, offset, length);
    }

    @Override
    public short doFinal(byte[] input, short offset, short length, byte[] output, short outputOffset) {
        forgetAfterReset();
        return super.doFinal(input, offset, length, output, outputOffset);
    }
}
