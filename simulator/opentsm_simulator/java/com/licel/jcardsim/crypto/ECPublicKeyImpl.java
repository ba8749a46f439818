package com.licel.jcardsim.crypto;

import com.licel.jcardsim.bouncycastle.crypto.CipherParameters;
import com.licel.jcardsim.bouncycastle.crypto.params.ECDomainParameters;
import com.licel.jcardsim.bouncycastle.crypto.params.ECPublicKeyParameters;
import javacard.framework.JCSystem;
import javacard.security.CryptoException;
import javacard.security.ECPublicKey;

/**
 * A public key on an elliptic curve. In place of jCardSim's, which takes any bytes for its point, and fails when it is used.
 *
 * <p>That the point is on the curve is looked at when it is used: its parameters may be set after it.
 *
 * <p>Spec: Java Card API 3.0.5, javacard.security.ECPublicKey.
 */
public class ECPublicKeyImpl extends ECKeyImpl implements ECPublicKey {
    // ANSI X9.62, 4.3.6: the form of a point.
    private static final byte COMPRESSED_EVEN = 2;
    private static final byte COMPRESSED_ODD = 3;
    private static final byte UNCOMPRESSED = 4;

    protected ByteContainer w = new ByteContainer();

    public ECPublicKeyImpl(byte type, short bits) {
        super(type, bits);
    }

    public ECPublicKeyImpl(ECPublicKeyParameters parameters) {
        super(parameters);
        setParameters(parameters);
    }

    public void setParameters(CipherParameters parameters) {
        w.setBytes(((ECPublicKeyParameters) parameters).getQ().getEncoded(false));
    }

    @Override
    public void setW(byte[] buffer, short offset, short length) throws CryptoException {
        if (length < 1 || length != pointLength(buffer[offset])) {
            CryptoException.throwIt(CryptoException.ILLEGAL_VALUE);
        }
        w.setBytes(buffer, offset, length);
    }

    /** Returns how many bytes a point of this form has, 0 for one that there isn't. */
    private int pointLength(byte form) {
        int coordinate = (getSize() + 7) / 8;
        switch (form) {
            case COMPRESSED_EVEN:
            case COMPRESSED_ODD:
                return 1 + coordinate;
            case UNCOMPRESSED:
                return 1 + 2 * coordinate;
            default:
                return 0;
        }
    }

    @Override
    public short getW(byte[] buffer, short offset) throws CryptoException {
        return w.getBytes(buffer, offset);
    }

    @Override
    public boolean isInitialized() {
        return isDomainParametersInitialized() && w.isInitialized();
    }

    @Override
    public void clearKey() {
        super.clearKey();
        w.clear();
    }

    /** Returns the key as it is computed with. */
    public CipherParameters getParameters() {
        if (!isInitialized()) {
            CryptoException.throwIt(CryptoException.UNINITIALIZED_KEY);
        }
        ECDomainParameters domain = getDomainParameters();
        byte[] point = w.getBytes(JCSystem.CLEAR_ON_RESET);
        return new ECPublicKeyParameters(domain.getCurve().decodePoint(point), domain);
    }
}
