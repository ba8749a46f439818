package com.licel.jcardsim.crypto;

import com.licel.jcardsim.bouncycastle.crypto.CipherParameters;
import com.licel.jcardsim.bouncycastle.crypto.KeyGenerationParameters;
import com.licel.jcardsim.bouncycastle.crypto.params.RSAKeyGenerationParameters;
import com.licel.jcardsim.bouncycastle.crypto.params.RSAKeyParameters;
import java.math.BigInteger;
import java.security.SecureRandom;
import javacard.security.CryptoException;
import javacard.security.KeyBuilder;
import javacard.security.RSAPrivateKey;
import javacard.security.RSAPublicKey;

/**
 * RSA keys with a modulus and an exponent: each of its own kind, in place of jCardSim's, which is public and private at once,
 * also where it has the parts of the Chinese remainder theorem.
 *
 * <p>Spec: Java Card API 3.0.5, javacard.security.RSAPublicKey, RSAPrivateKey, RSAPrivateCrtKey.
 */
public abstract class RSAKeyImpl extends KeyImpl {
    private static final short BITS = 8;
    private static final BigInteger EXPONENT = BigInteger.valueOf(65537);

    /** How sure it is that a generated prime is one: not by less than 2 to the power of minus that. */
    private static final int CERTAINTY = 80;

    protected ByteContainer exponent = new ByteContainer();
    protected ByteContainer modulus = new ByteContainer();
    protected boolean isPrivate;

    protected RSAKeyImpl(boolean isPrivate, short size) {
        this.isPrivate = isPrivate;
        this.size = size;
        type = isPrivate ? KeyBuilder.TYPE_RSA_PRIVATE : KeyBuilder.TYPE_RSA_PUBLIC;
    }

    /** Makes a key without the parts of the theorem, not initialized. */
    public static RSAKeyImpl build(boolean isPrivate, short bits) {
        return isPrivate ? new Private(bits) : new Public(bits);
    }

    @Override
    public void setParameters(CipherParameters parameters) {
        modulus.setBigInteger(((RSAKeyParameters) parameters).getModulus());
        exponent.setBigInteger(((RSAKeyParameters) parameters).getExponent());
    }

    public short getExponent(byte[] buffer, short offset) {
        return exponent.getBytes(buffer, offset);
    }

    public short getModulus(byte[] buffer, short offset) {
        return modulus.getBytes(buffer, offset);
    }

    public void setExponent(byte[] buffer, short offset, short length) throws CryptoException {
        exponent.setBytes(buffer, offset, length);
    }

    public void setModulus(byte[] buffer, short offset, short length) throws CryptoException {
        modulus.setBytes(buffer, offset, length);
    }

    @Override
    public void clearKey() {
        exponent.clear();
        modulus.clear();
    }

    @Override
    public boolean isInitialized() {
        return exponent.isInitialized() && modulus.isInitialized();
    }

    /**
     * Returns how long a block of it is in bytes: as the modulus was set, with zeros that it begins with, which may be
     * shorter than the key is made for; with the parts of the theorem, which need no modulus, as the key is made for.
     */
    short blockLength() {
        return modulus.isInitialized() ? modulus.length() : (short) (size / BITS);
    }

    @Override
    public CipherParameters getParameters() {
        if (!isInitialized()) {
            CryptoException.throwIt(CryptoException.UNINITIALIZED_KEY);
        }
        try {
            return new RSAKeyParameters(isPrivate, modulus.getBigInteger(), exponent.getBigInteger());
        } catch (IllegalArgumentException even) {
            CryptoException.throwIt(CryptoException.ILLEGAL_VALUE); // a public exponent that has no inverse
            return null;
        }
    }

    /**
     * Returns the same for raising numbers to its power, whatever that is: applets compute squares so. To Bouncy Castle
     * only the exponent of a private key may be even.
     */
    CipherParameters getPower() {
        return isPrivate ? getParameters() : new RSAKeyParameters(true, modulus.getBigInteger(), exponent.getBigInteger());
    }

    /** A pair is generated for the exponent that its public key was given. */
    @Override
    public KeyGenerationParameters getKeyGenerationParameters(SecureRandom random) {
        boolean isGiven = !isPrivate && exponent.isInitialized();
        return new RSAKeyGenerationParameters(isGiven ? exponent.getBigInteger() : EXPONENT, random, size, CERTAINTY);
    }

    /** What jCardSim's key pairs ask for. */
    static KeyGenerationParameters getDefaultKeyGenerationParameters(short bits, SecureRandom random) {
        return new RSAKeyGenerationParameters(EXPONENT, random, bits, CERTAINTY);
    }

    private static final class Public extends RSAKeyImpl implements RSAPublicKey {
        Public(short bits) {
            super(false, bits);
        }
    }

    private static final class Private extends RSAKeyImpl implements RSAPrivateKey {
        Private(short bits) {
            super(true, bits);
        }
    }
}
