package com.licel.jcardsim.crypto;

import com.licel.jcardsim.bouncycastle.crypto.BlockCipher;
import com.licel.jcardsim.bouncycastle.crypto.BufferedBlockCipher;
import com.licel.jcardsim.bouncycastle.crypto.CipherParameters;
import com.licel.jcardsim.bouncycastle.crypto.DataLengthException;
import com.licel.jcardsim.bouncycastle.crypto.InvalidCipherTextException;
import com.licel.jcardsim.bouncycastle.crypto.modes.CBCBlockCipher;
import com.licel.jcardsim.bouncycastle.crypto.modes.SICBlockCipher;
import com.licel.jcardsim.bouncycastle.crypto.paddings.ISO7816d4Padding;
import com.licel.jcardsim.bouncycastle.crypto.paddings.PKCS7Padding;
import com.licel.jcardsim.bouncycastle.crypto.paddings.PaddedBufferedBlockCipher;
import com.licel.jcardsim.bouncycastle.crypto.params.ParametersWithIV;
import javacard.security.CryptoException;
import javacard.security.Key;
import javacard.security.KeyBuilder;
import javacardx.crypto.Cipher;
import opentsm.runtime.CardSession;

/**
 * DES, AES and SEED in ECB, CBC and counter mode, in place of jCardSim's, which lacks paddings for AES, pads by method 1 of
 * ISO 9797 what needs none and takes zeros off behind it, keeps the initial vector, and works on with a key that was cleared.
 *
 * <p>Spec: JC API 3.0.5, javacardx.crypto.Cipher, init, update and doFinal.
 */
public final class SymmetricCipher extends Cipher {
    private final byte algorithm;
    private final byte cipher;
    private final byte padding;

    private SymmetricKeyImpl key;
    private byte mode;
    private transient BufferedBlockCipher engine;

    /** How many bytes came since the beginning. */
    private transient int given;

    /** When it began. */
    private transient CardSession session;

    /**
     * @param algorithm as Cipher.ALG_* says
     * @param cipher as Cipher.CIPHER_* says
     * @param padding as Cipher.PAD_* says
     */
    public SymmetricCipher(byte algorithm, byte cipher, byte padding) {
        this.algorithm = algorithm;
        this.cipher = cipher;
        this.padding = padding;
    }

    @Override
    public void init(Key newKey, byte newMode) throws CryptoException {
        begin(newKey, newMode, null);
    }

    @Override
    public void init(Key newKey, byte newMode, byte[] initial, short offset, short length) throws CryptoException {
        require(hasVector(), CryptoException.ILLEGAL_VALUE);
        byte[] vector = new byte[length];
        System.arraycopy(initial, offset, vector, 0, length);
        begin(newKey, newMode, vector);
    }

    private boolean hasVector() {
        return algorithm == ALG_AES_CTR || cipher == CIPHER_DES_CBC || cipher == CIPHER_AES_CBC
                || cipher == CIPHER_KOREAN_SEED_CBC;
    }

    private void begin(Key newKey, byte newMode, byte[] vector) {
        require(newKey != null && newKey.isInitialized(), CryptoException.UNINITIALIZED_KEY);
        require(takes(newKey), CryptoException.ILLEGAL_VALUE);
        require(newMode == MODE_ENCRYPT || newMode == MODE_DECRYPT, CryptoException.ILLEGAL_VALUE);
        BlockCipher block = ((SymmetricKeyImpl) newKey).getCipher();
        require(vector == null || vector.length == block.getBlockSize(), CryptoException.ILLEGAL_VALUE);
        key = (SymmetricKeyImpl) newKey;
        mode = newMode;
        begin(block, vector);
    }

    private void begin(BlockCipher block, byte[] vector) {
        engine = engine(block);
        session = CardSession.current();
        start(vector);
    }

    /** Begins with a message; its initial vector is 0 where none is given. */
    private void start(byte[] vector) {
        CipherParameters parameters = key.getParameters();
        if (hasVector()) {
            parameters = new ParametersWithIV(parameters, vector == null ? new byte[size()] : vector);
        }
        engine.init(mode == MODE_ENCRYPT, parameters);
        given = 0;
    }

    private int size() {
        return engine.getBlockSize();
    }

    private boolean takes(Key other) {
        switch (other.getType()) {
            case KeyBuilder.TYPE_DES:
            case KeyBuilder.TYPE_DES_TRANSIENT_RESET:
            case KeyBuilder.TYPE_DES_TRANSIENT_DESELECT:
                return cipher == CIPHER_DES_CBC || cipher == CIPHER_DES_ECB;
            case KeyBuilder.TYPE_AES:
            case KeyBuilder.TYPE_AES_TRANSIENT_RESET:
            case KeyBuilder.TYPE_AES_TRANSIENT_DESELECT:
                return algorithm == ALG_AES_CTR || cipher == CIPHER_AES_CBC || cipher == CIPHER_AES_ECB;
            case KeyBuilder.TYPE_KOREAN_SEED:
            case KeyBuilder.TYPE_KOREAN_SEED_TRANSIENT_RESET:
            case KeyBuilder.TYPE_KOREAN_SEED_TRANSIENT_DESELECT:
                return cipher == CIPHER_KOREAN_SEED_CBC || cipher == CIPHER_KOREAN_SEED_ECB;
            default:
                return false;
        }
    }

    private BufferedBlockCipher engine(BlockCipher block) {
        if (algorithm == ALG_AES_CTR) {
            return new BufferedBlockCipher(new SICBlockCipher(block));
        }
        BlockCipher chained = hasVector() ? new CBCBlockCipher(block) : block;
        switch (padding) {
            case PAD_ISO9797_M2:
                return new PaddedBufferedBlockCipher(chained, new ISO7816d4Padding());
            case PAD_PKCS5:
                return new PaddedBufferedBlockCipher(chained, new PKCS7Padding());
            default:
                return new BufferedBlockCipher(chained);
        }
    }

    @Override
    public byte getAlgorithm() {
        return algorithm;
    }

    @Override
    public byte getCipherAlgorithm() {
        return cipher;
    }

    @Override
    public byte getPaddingAlgorithm() {
        return padding;
    }

    private void requireReady() {
        require(key != null, CryptoException.INVALID_INIT);
        require(key.isInitialized(), CryptoException.UNINITIALIZED_KEY);
        if (CardSession.isOver(session)) {
            begin(key.getCipher(), null);
        }
    }

    private static void require(boolean holds, short reason) {
        if (!holds) {
            CryptoException.throwIt(reason);
        }
    }

    @Override
    public short update(byte[] input, short inputOffset, short inputLength, byte[] output, short outputOffset)
            throws CryptoException {
        requireReady();
        given += inputLength;
        return (short) engine.processBytes(input, inputOffset, inputLength, output, outputOffset);
    }

    @Override
    public short doFinal(byte[] input, short inputOffset, short inputLength, byte[] output, short outputOffset)
            throws CryptoException {
        requireReady();
        int total = given + inputLength;
        boolean aligned = total % size() == 0;
        try {
            require(padding != PAD_NOPAD || aligned && total != 0, CryptoException.ILLEGAL_USE);
            int done = engine.processBytes(input, inputOffset, inputLength, output, outputOffset);
            if (padding == PAD_ISO9797_M1 && mode == MODE_ENCRYPT && (!aligned || total == 0)) {
                byte[] zeros = new byte[size() - total % size()];
                done += engine.processBytes(zeros, 0, zeros.length, output, outputOffset + done);
            }
            return (short) (done + engine.doFinal(output, outputOffset + done));
        } catch (InvalidCipherTextException | DataLengthException wrong) {
            CryptoException.throwIt(CryptoException.ILLEGAL_USE);
            return 0;
        } finally {
            start(null);
        }
    }
}
