package com.licel.jcardsim.crypto;

import com.licel.jcardsim.bouncycastle.asn1.sec.SECNamedCurves;
import com.licel.jcardsim.bouncycastle.asn1.x9.X9ECParameters;
import com.licel.jcardsim.bouncycastle.crypto.KeyGenerationParameters;
import com.licel.jcardsim.bouncycastle.crypto.params.ECDomainParameters;
import com.licel.jcardsim.bouncycastle.crypto.params.ECKeyGenerationParameters;
import com.licel.jcardsim.bouncycastle.crypto.params.ECKeyParameters;
import com.licel.jcardsim.bouncycastle.math.ec.ECCurve;
import java.math.BigInteger;
import java.security.SecureRandom;
import javacard.framework.JCSystem;
import javacard.security.CryptoException;
import javacard.security.ECKey;
import javacard.security.KeyBuilder;
import javacard.security.KeyPair;

/**
 * What EC keys have in common: the domain parameters. In place of jCardSim's, which can't copy them from another key, and
 * computes with cofactor 0 where it was not set.
 *
 * <p>A new key has the parameters of the curve that SEC 2 has of its length; keys of the lengths 320 and 512 have none.
 *
 * <p>Spec: Java Card API 3.0.5, javacard.security.ECKey.
 */
public abstract class ECKeyImpl extends KeyImpl implements ECKey {
    /** Lengths that RFC 5639 has curves of, and SEC 2 has not. */
    private static final short BRAINPOOL_320 = 320;

    private static final short BRAINPOOL_512 = 512;

    protected ByteContainer a = new ByteContainer();
    protected ByteContainer b = new ByteContainer();
    protected ByteContainer g = new ByteContainer();
    protected ByteContainer r = new ByteContainer();
    protected ByteContainer fp = new ByteContainer();
    protected short k;
    protected short e1;
    protected short e2;
    protected short e3;
    protected boolean isKInitialized;

    protected ECKeyImpl(byte keyType, short keySize) {
        type = keyType;
        size = keySize;
        begin(keyType);
    }

    /** Begins with the parameters of the curve of its length, where SEC 2 has one. */
    final void begin(byte keyType) {
        if (size != BRAINPOOL_320 && size != BRAINPOOL_512) {
            setDomainParameters(getDefaultsDomainParameters(keyType, size));
        }
    }

    protected ECKeyImpl(ECKeyParameters parameters) {
        ECDomainParameters domain = parameters.getParameters();
        boolean isBinary = domain.getCurve() instanceof ECCurve.F2m;
        byte secret = isBinary ? KeyBuilder.TYPE_EC_F2M_PRIVATE : KeyBuilder.TYPE_EC_FP_PRIVATE;
        byte open = isBinary ? KeyBuilder.TYPE_EC_F2M_PUBLIC : KeyBuilder.TYPE_EC_FP_PUBLIC;
        type = parameters.isPrivate() ? secret : open;
        size = (short) domain.getCurve().getFieldSize();
        setDomainParameters(domain);
    }

    @Override
    public void clearKey() {
        a.clear();
        b.clear();
        g.clear();
        r.clear();
        fp.clear();
        k = 0;
        isKInitialized = false;
        setFieldF2M((short) 0, (short) 0, (short) 0);
    }

    /** The cofactor is not among what must be there. */
    protected boolean isDomainParametersInitialized() {
        boolean hasField = fp.isInitialized() || e1 != 0;
        return a.isInitialized() && b.isInitialized() && g.isInitialized() && r.isInitialized() && hasField;
    }

    private void requireDomain() {
        if (!isDomainParametersInitialized()) {
            CryptoException.throwIt(CryptoException.UNINITIALIZED_KEY);
        }
    }

    @Override
    public void setFieldFP(byte[] buffer, short offset, short length) throws CryptoException {
        fp.setBytes(buffer, offset, length);
    }

    @Override
    public void setFieldF2M(short e) throws CryptoException {
        setFieldF2M(e, (short) 0, (short) 0);
    }

    @Override
    public void setFieldF2M(short first, short second, short third) throws CryptoException {
        e1 = first;
        e2 = second;
        e3 = third;
    }

    @Override
    public void setA(byte[] buffer, short offset, short length) throws CryptoException {
        a.setBytes(buffer, offset, length);
    }

    @Override
    public void setB(byte[] buffer, short offset, short length) throws CryptoException {
        b.setBytes(buffer, offset, length);
    }

    @Override
    public void setG(byte[] buffer, short offset, short length) throws CryptoException {
        g.setBytes(buffer, offset, length);
    }

    @Override
    public void setR(byte[] buffer, short offset, short length) throws CryptoException {
        r.setBytes(buffer, offset, length);
    }

    @Override
    public void setK(short cofactor) {
        k = cofactor;
        isKInitialized = true;
    }

    @Override
    public short getField(byte[] buffer, short offset) throws CryptoException {
        return fp.getBytes(buffer, offset);
    }

    @Override
    public short getA(byte[] buffer, short offset) throws CryptoException {
        return a.getBytes(buffer, offset);
    }

    @Override
    public short getB(byte[] buffer, short offset) throws CryptoException {
        return b.getBytes(buffer, offset);
    }

    @Override
    public short getG(byte[] buffer, short offset) throws CryptoException {
        return g.getBytes(buffer, offset);
    }

    @Override
    public short getR(byte[] buffer, short offset) throws CryptoException {
        return r.getBytes(buffer, offset);
    }

    @Override
    public short getK() throws CryptoException {
        if (!isKInitialized) {
            CryptoException.throwIt(CryptoException.UNINITIALIZED_KEY);
        }
        return k;
    }

    @Override
    public void copyDomainParametersFrom(ECKey other) throws CryptoException {
        if (!(other instanceof ECKeyImpl) || ((ECKeyImpl) other).size != size) {
            CryptoException.throwIt(CryptoException.ILLEGAL_VALUE);
        }
        ECKeyImpl from = (ECKeyImpl) other;
        from.requireDomain();
        copy(from.a, a);
        copy(from.b, b);
        copy(from.g, g);
        copy(from.r, r);
        if (from.fp.isInitialized()) {
            copy(from.fp, fp);
        }
        k = from.k;
        isKInitialized = from.isKInitialized;
        setFieldF2M(from.e1, from.e2, from.e3);
    }

    private static void copy(ByteContainer from, ByteContainer to) {
        to.setBytes(from.getBytes(JCSystem.CLEAR_ON_RESET));
    }

    public ECDomainParameters getDomainParameters() {
        requireDomain();
        BigInteger cofactor = isKInitialized ? BigInteger.valueOf(k) : BigInteger.ONE;
        ECCurve curve = fp.isInitialized()
                ? new ECCurve.Fp(fp.getBigInteger(), a.getBigInteger(), b.getBigInteger())
                : new ECCurve.F2m(size, e1, e2, e3, a.getBigInteger(), b.getBigInteger(), r.getBigInteger(), cofactor);
        return new ECDomainParameters(
                curve, curve.decodePoint(g.getBytes(JCSystem.CLEAR_ON_RESET)), r.getBigInteger(), cofactor);
    }

    final void setDomainParameters(ECDomainParameters parameters) {
        ECCurve curve = parameters.getCurve();
        a.setBigInteger(curve.getA().toBigInteger());
        b.setBigInteger(curve.getB().toBigInteger());
        g.setBytes(parameters.getG().getEncoded(false));
        r.setBigInteger(parameters.getN());
        setK(parameters.getH().shortValue());
        if (curve instanceof ECCurve.Fp) {
            fp.setBigInteger(((ECCurve.Fp) curve).getQ());
        } else {
            ECCurve.F2m binary = (ECCurve.F2m) curve;
            setFieldF2M((short) binary.getK1(), (short) binary.getK2(), (short) binary.getK3());
        }
    }

    @Override
    public KeyGenerationParameters getKeyGenerationParameters(SecureRandom random) {
        boolean isOwn = isDomainParametersInitialized();
        return new ECKeyGenerationParameters(
                isOwn ? getDomainParameters() : getDefaultsDomainParameters(type, size), random);
    }

    /** What jCardSim's key pairs ask for. */
    static KeyGenerationParameters getDefaultKeyGenerationParameters(byte algorithm, short bits, SecureRandom random) {
        byte type = algorithm == KeyPair.ALG_EC_FP ? KeyBuilder.TYPE_EC_FP_PUBLIC : KeyBuilder.TYPE_EC_F2M_PUBLIC;
        return new ECKeyGenerationParameters(getDefaultsDomainParameters(type, bits), random);
    }

    /** Returns the parameters of the SEC curve of a length, which says whether its field is prime or binary. */
    static ECDomainParameters getDefaultsDomainParameters(byte keyType, short bits) {
        boolean isPrime = keyType == KeyBuilder.TYPE_EC_FP_PUBLIC || keyType == KeyBuilder.TYPE_EC_FP_PRIVATE;
        X9ECParameters found = SECNamedCurves.getByName((isPrime ? "secp" : "sect") + bits + "r1");
        if (found == null) {
            CryptoException.throwIt(CryptoException.ILLEGAL_VALUE);
        }
        return new ECDomainParameters(found.getCurve(), found.getG(), found.getN(), found.getH(), found.getSeed());
    }
}
