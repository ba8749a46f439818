package com.licel.jcardsim.crypto;

import com.licel.jcardsim.bouncycastle.crypto.Digest;
import com.licel.jcardsim.bouncycastle.crypto.engines.RSAEngine;
import com.licel.jcardsim.bouncycastle.crypto.signers.PSSSigner;
import javacard.security.CryptoException;
import javacard.security.Key;
import opentsm.runtime.CardSession;

/**
 * Signatures of RSA, DSA and ECDSA: jCardSim's, with the salt and the lengths that the specification says, and no longer
 * with a key that was cleared.
 *
 * <p>Spec: JC API 3.0.5, javacard.security.Signature; PKCS #1 v2.2 (RFC 8017) 9.1; ISO 8825-1 for the lengths.
 */
public final class KeyPairSignature extends AsymmetricSignatureImpl {
    /** How long the order of a DSA key is that SHA-1 goes with (FIPS 186-2). */
    private static final int DSA_ORDER_BITS = 160;

    private final byte digestAlgorithm;
    private byte mode;

    /** When it began. */
    private transient CardSession session;

    /**
     * @param algorithm as Signature.ALG_* says; 0 for what has no number
     * @param digest as MessageDigest.ALG_* says
     * @param cipher as Signature.SIG_CIPHER_* says
     * @param padding as Cipher.PAD_* says
     */
    public KeyPairSignature(byte algorithm, byte digest, byte cipher, byte padding) {
        super(algorithm, cipher, padding);
        digestAlgorithm = digest;
        if (algorithm == ALG_RSA_SHA_PKCS1_PSS) {
            // jCardSim's salt is 16 bytes long; it is as long as the digest.
            Digest hash = new BouncyCastlePrecomputedOrDigestProxy(this.digest);
            engine = new PSSSigner(new RSAEngine(), hash, this.digest.getDigestSize());
        }
    }

    @Override
    public void init(Key newKey, byte newMode) throws CryptoException {
        super.init(newKey, newMode);
        mode = newMode;
        session = CardSession.current();
    }

    /** Is as init() left it behind a reset. */
    private void forgetAfterReset() {
        if (isInitialized && key.isInitialized() && CardSession.isOver(session)) {
            init(key, mode);
            engine.reset();
            preSig = null;
        }
    }

    @Override
    public byte getMessageDigestAlgorithm() {
        return digestAlgorithm;
    }

    @Override
    public byte getCipherAlgorithm() {
        return cipherAlgorithm;
    }

    @Override
    public byte getPaddingAlgorithm() {
        return paddingAlgorithm;
    }

    @Override
    public short getLength() throws CryptoException {
        requireReady();
        switch (cipherAlgorithm) {
            case SIG_CIPHER_RSA:
                return (short) ((key.getSize() + 7) / 8);
            case SIG_CIPHER_DSA:
                return longest(DSA_ORDER_BITS);
            default:
                return longest(key.getSize());
        }
    }

    /** A DER sequence of two integers of so many bits. */
    private static short longest(int bits) {
        int integers = 2 * (2 + bits / 8 + 1);
        return (short) (integers + (integers > 127 ? 3 : 2));
    }

    private void requireReady() {
        if (!isInitialized) {
            CryptoException.throwIt(CryptoException.INVALID_INIT);
        }
        if (!key.isInitialized()) {
            CryptoException.throwIt(CryptoException.UNINITIALIZED_KEY);
        }
        forgetAfterReset();
    }

    @Override
    public void update(byte[] input, short offset, short length) throws CryptoException {
        requireReady();
        super.update(input, offset, length);
    }

    @Override
    public short sign(byte[] input, short offset, short length, byte[] signature, short signatureOffset)
            throws CryptoException {
        requireReady();
        return super.sign(input, offset, length, signature, signatureOffset);
    }

    @Override
    public boolean verify(byte[] input, short offset, short length, byte[] signature, short signatureOffset,
            short signatureLength) throws CryptoException {
        requireReady();
        return super.verify(input, offset, length, signature, signatureOffset, signatureLength);
    }

    @Override
    public short signPreComputedHash(byte[] hash, short offset, short length, byte[] signature, short signatureOffset)
            throws CryptoException {
        forgetAfterReset();
        return super.signPreComputedHash(hash, offset, length, signature, signatureOffset);
    }

    @Override
    public boolean verifyPreComputedHash(byte[] hash, short offset, short length, byte[] signature,
            short signatureOffset, short signatureLength) throws CryptoException {
        forgetAfterReset();
        return super.verifyPreComputedHash(hash, offset, length, signature, signatureOffset, signatureLength);
    }

    // Those of SignatureMessageRecovery.

    @Override
    public short beginVerify(byte[] signature, short offset, short length) throws CryptoException {
        forgetAfterReset();
        return super.beginVerify(signature, offset, length);
    }

    @Override
    public short sign(byte[] input, short offset, short length, byte[] signature, short signatureOffset,
            short[] recovered, short recoveredOffset) throws CryptoException {
        forgetAfterReset();
        return super.sign(input, offset, length, signature, signatureOffset, recovered, recoveredOffset);
    }

    @Override
    public boolean verify(byte[] input, short offset, short length) throws CryptoException {
        forgetAfterReset();
        return super.verify(input, offset, length);
    }
}
