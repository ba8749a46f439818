package com.licel.jcardsim.crypto;

import com.licel.jcardsim.bouncycastle.crypto.AsymmetricBlockCipher;
import com.licel.jcardsim.bouncycastle.crypto.InvalidCipherTextException;
import com.licel.jcardsim.bouncycastle.crypto.RuntimeCryptoException;
import com.licel.jcardsim.bouncycastle.crypto.encodings.OAEPEncoding;
import com.licel.jcardsim.bouncycastle.crypto.encodings.PKCS1Encoding;
import com.licel.jcardsim.bouncycastle.crypto.engines.RSAEngine;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.CryptoException;
import javacard.security.Key;
import javacardx.crypto.Cipher;
import opentsm.runtime.CardSession;

/**
 * RSA encryption. In place of jCardSim's, which without padding refuses a full block under a public key and leaves out
 * the zeros that a result begins with, and which takes new transient memory each time that it is initialized.
 *
 * <p>Spec: Java Card API 3.0.5, javacardx.crypto.Cipher (ALG_RSA_NOPAD, ALG_RSA_PKCS1, ALG_RSA_PKCS1_OAEP).
 */
public final class AsymmetricCipherImpl extends Cipher {
    private final byte algorithm;
    private final AsymmetricBlockCipher engine;

    /** What update() has brought; as long as a block at least, and null before a beginning. */
    private transient byte[] buffer;

    private transient short length;

    /** When it began. */
    private transient CardSession session;

    /** How long a block is: as the modulus was set. */
    private short block;

    /** Null before the first. */
    private Key key;

    public AsymmetricCipherImpl(byte algorithm) {
        this.algorithm = algorithm;
        engine = engine(algorithm);
    }

    private static AsymmetricBlockCipher engine(byte algorithm) {
        switch (algorithm) {
            case ALG_RSA_NOPAD:
                return new RSAEngine();
            case ALG_RSA_PKCS1:
                return new PKCS1Encoding(new RSAEngine());
            case ALG_RSA_PKCS1_OAEP:
                return new OAEPEncoding(new RSAEngine());
            default:
                CryptoException.throwIt(CryptoException.NO_SUCH_ALGORITHM);
                return null;
        }
    }

    @Override
    public void init(Key with, byte mode) throws CryptoException {
        if (with == null || !with.isInitialized()) {
            CryptoException.throwIt(CryptoException.UNINITIALIZED_KEY);
        }
        if (!(with instanceof RSAKeyImpl) || mode != MODE_ENCRYPT && mode != MODE_DECRYPT) {
            CryptoException.throwIt(CryptoException.ILLEGAL_VALUE);
        }
        RSAKeyImpl rsa = (RSAKeyImpl) with;
        engine.init(mode == MODE_ENCRYPT, algorithm == ALG_RSA_NOPAD ? rsa.getPower() : rsa.getParameters());
        block = rsa.blockLength();
        key = with;
        begin();
    }

    private void begin() {
        if (buffer == null || buffer.length < block) {
            buffer = JCSystem.makeTransientByteArray(block, JCSystem.CLEAR_ON_DESELECT);
        }
        length = 0;
        session = CardSession.current();
    }

    @Override
    public void init(Key with, byte mode, byte[] parameters, short offset, short size) throws CryptoException {
        CryptoException.throwIt(CryptoException.ILLEGAL_VALUE); // there are none for RSA
    }

    @Override
    public short update(byte[] input, short offset, short size, byte[] output, short to) throws CryptoException {
        collect(input, offset, size);
        return 0;
    }

    private void collect(byte[] input, short offset, short size) {
        if (key == null) {
            CryptoException.throwIt(CryptoException.INVALID_INIT);
        }
        if (!key.isInitialized()) {
            CryptoException.throwIt(CryptoException.UNINITIALIZED_KEY); // it was cleared since
        }
        if (CardSession.isOver(session)) {
            begin();
        }
        if (size > block - length) {
            CryptoException.throwIt(CryptoException.ILLEGAL_USE);
        }
        length = Util.arrayCopyNonAtomic(input, offset, buffer, length, size);
    }

    @Override
    public short doFinal(byte[] input, short offset, short size, byte[] output, short to) throws CryptoException {
        collect(input, offset, size);
        short taken = length;
        length = 0;
        if (algorithm == ALG_RSA_NOPAD && taken != block) {
            CryptoException.throwIt(CryptoException.ILLEGAL_USE);
        }
        byte[] result = process(taken);
        short zeros = (short) (algorithm == ALG_RSA_NOPAD ? block - result.length : 0);
        short end = Util.arrayFillNonAtomic(output, to, zeros, (byte) 0);
        return (short) (Util.arrayCopyNonAtomic(result, (short) 0, output, end, (short) result.length) - to);
    }

    private byte[] process(short taken) {
        // A modulus may begin with zeros; the engine takes a block that is longer than its digits for too large a number.
        int from = 0;
        while (algorithm == ALG_RSA_NOPAD && from < taken - 1 && buffer[from] == 0) {
            from++;
        }
        try {
            return engine.processBlock(buffer, from, taken - from);
        } catch (InvalidCipherTextException | RuntimeCryptoException e) {
            // Padding that is none; a number that is not below the modulus; a message that is too long.
            CryptoException.throwIt(CryptoException.ILLEGAL_USE);
            return null;
        }
    }

    @Override
    public byte getAlgorithm() {
        return algorithm;
    }

    @Override
    public byte getCipherAlgorithm() {
        return CIPHER_RSA;
    }

    @Override
    public byte getPaddingAlgorithm() {
        switch (algorithm) {
            case ALG_RSA_NOPAD:
                return PAD_NOPAD;
            case ALG_RSA_PKCS1:
                return PAD_PKCS1;
            default:
                return PAD_PKCS1_OAEP;
        }
    }
}
