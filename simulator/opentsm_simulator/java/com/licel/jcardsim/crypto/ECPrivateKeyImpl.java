package com.licel.jcardsim.crypto;

import com.licel.jcardsim.bouncycastle.crypto.CipherParameters;
import com.licel.jcardsim.bouncycastle.crypto.params.ECPrivateKeyParameters;
import java.math.BigInteger;
import javacard.security.CryptoException;
import javacard.security.ECPrivateKey;

/**
 * Private EC keys. In place of jCardSim's, whose generated S is a byte shorter where it begins with zeros.
 *
 * <p>Spec: Java Card API 3.0.5, javacard.security.ECPrivateKey.
 */
public class ECPrivateKeyImpl extends ECKeyImpl implements ECPrivateKey {
    private static final int BITS = 8;

    protected ByteContainer s = new ByteContainer();

    public ECPrivateKeyImpl(byte keyType, short keySize) {
        super(keyType, keySize);
    }

    @Override
    public void setParameters(CipherParameters parameters) {
        BigInteger number = ((ECPrivateKeyParameters) parameters).getD();
        byte[] bytes = number.toByteArray();
        byte[] padded = new byte[Math.max((size + BITS - 1) / BITS, (number.bitLength() + BITS - 1) / BITS)];
        int from = Math.max(0, bytes.length - padded.length);
        System.arraycopy(bytes, from, padded, padded.length - bytes.length + from, bytes.length - from);
        s.setBytes(padded);
    }

    @Override
    public void setS(byte[] buffer, short offset, short length) throws CryptoException {
        s.setBytes(buffer, offset, length);
    }

    @Override
    public short getS(byte[] buffer, short offset) throws CryptoException {
        return s.getBytes(buffer, offset);
    }

    @Override
    public boolean isInitialized() {
        return isDomainParametersInitialized() && s.isInitialized();
    }

    @Override
    public void clearKey() {
        super.clearKey();
        s.clear();
    }

    @Override
    public CipherParameters getParameters() {
        if (!isInitialized()) {
            CryptoException.throwIt(CryptoException.UNINITIALIZED_KEY);
        }
        return new ECPrivateKeyParameters(s.getBigInteger(), getDomainParameters());
    }
}
