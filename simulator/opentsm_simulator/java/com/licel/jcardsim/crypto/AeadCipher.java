package com.licel.jcardsim.crypto;

import com.licel.jcardsim.bouncycastle.crypto.BufferedBlockCipher;
import com.licel.jcardsim.bouncycastle.crypto.InvalidCipherTextException;
import com.licel.jcardsim.bouncycastle.crypto.engines.AESEngine;
import com.licel.jcardsim.bouncycastle.crypto.modes.AEADBlockCipher;
import com.licel.jcardsim.bouncycastle.crypto.modes.CCMBlockCipher;
import com.licel.jcardsim.bouncycastle.crypto.modes.GCMBlockCipher;
import com.licel.jcardsim.bouncycastle.crypto.modes.SICBlockCipher;
import com.licel.jcardsim.bouncycastle.crypto.params.AEADParameters;
import com.licel.jcardsim.bouncycastle.crypto.params.KeyParameter;
import com.licel.jcardsim.bouncycastle.crypto.params.ParametersWithIV;
import java.security.MessageDigest;
import java.util.Arrays;
import javacard.security.AESKey;
import javacard.security.CryptoException;
import javacard.security.Key;
import javacardx.crypto.AEADCipher;
import opentsm.runtime.CardSession;

/**
 * AES-GCM and AES-CCM, in place of jCardSim's, which writes the tag behind the enciphered message, and wants it there to
 * decipher.
 *
 * <p>What is deciphered goes out by the counter mode that both are made of, and through the library's cipher once more in
 * the direction of enciphering, whose tag is the one to compare.
 *
 * <p>A reset leaves the key and the direction (JC API 3.2 says so); a nonce of zeros follows, as behind init(key, mode), which
 * CCM does not have: it has to be initialized again.
 *
 * <p>Spec: JC API 3.0.5, javacardx.crypto.AEADCipher; NIST SP 800-38C A.3, SP 800-38D 7.1.
 */
public final class AeadCipher extends AEADCipher {
    private static final int BLOCK = 16;
    private static final int BITS = 8;

    /** Of GCM's; another would have to be hashed first. */
    private static final int NONCE = 12;

    private static final byte[] GCM_TAGS = {4, 8, 12, 13, 14, 15, 16};
    private static final byte[] CCM_TAGS = {4, 6, 8, 10, 12, 14, 16};

    private final byte algorithm;
    private SymmetricKeyImpl key;
    private byte mode;

    /** When it began. */
    private transient CardSession session;

    /** Null where there is nothing to go on with. */
    private transient AEADBlockCipher engine;

    /** What deciphers; null to encipher. */
    private transient BufferedBlockCipher counter;

    /** How long the tag is that was announced; 0: it was not. */
    private transient short announcedTag;

    /** How much additional data and message is still to come, with CCM. */
    private transient int dataToCome;

    private transient int messageToCome;
    private transient byte[] tag;

    public AeadCipher(byte algorithm) {
        this.algorithm = algorithm;
    }

    @Override
    public byte getAlgorithm() {
        return algorithm;
    }

    @Override
    public byte getCipherAlgorithm() {
        return isCcm() ? CIPHER_AES_CCM : CIPHER_AES_GCM;
    }

    @Override
    public byte getPaddingAlgorithm() {
        return PAD_NULL;
    }

    private boolean isCcm() {
        return algorithm == ALG_AES_CCM;
    }

    private static void require(boolean holds, short reason) {
        if (!holds) {
            CryptoException.throwIt(reason);
        }
    }

    @Override
    public void init(Key newKey, byte newMode) throws CryptoException {
        require(!isCcm(), CryptoException.INVALID_INIT);
        begin(newKey, newMode, new byte[NONCE], BLOCK);
    }

    @Override
    public void init(Key newKey, byte newMode, byte[] nonce, short offset, short length) throws CryptoException {
        require(!isCcm(), CryptoException.INVALID_INIT);
        begin(newKey, newMode, part(nonce, offset, length), BLOCK);
    }

    @Override
    public void init(Key newKey, byte newMode, byte[] nonce, short offset, short length, short dataLength,
            short messageLength, short tagSize) throws CryptoException {
        require(isTag(tagSize) && dataLength >= 0 && messageLength >= 0, CryptoException.ILLEGAL_VALUE);
        begin(newKey, newMode, part(nonce, offset, length), tagSize);
        announcedTag = tagSize;
        dataToCome = dataLength;
        messageToCome = messageLength;
    }

    private static byte[] part(byte[] bytes, short offset, short length) {
        byte[] copy = new byte[length];
        System.arraycopy(bytes, offset, copy, 0, length);
        return copy;
    }

    private boolean isTag(short length) {
        for (byte each : isCcm() ? CCM_TAGS : GCM_TAGS) {
            if (each == length) {
                return true;
            }
        }
        return false;
    }

    private void begin(Key newKey, byte newMode, byte[] nonce, int tagSize) {
        require(newKey != null && newKey.isInitialized(), CryptoException.UNINITIALIZED_KEY);
        require(newKey instanceof AESKey && newKey instanceof SymmetricKeyImpl, CryptoException.ILLEGAL_VALUE);
        require(newMode == MODE_ENCRYPT || newMode == MODE_DECRYPT, CryptoException.ILLEGAL_VALUE);
        boolean fits = isCcm() ? nonce.length >= 7 && nonce.length <= 13 : nonce.length == NONCE;
        require(fits, CryptoException.ILLEGAL_VALUE);
        key = (SymmetricKeyImpl) newKey;
        mode = newMode;
        session = CardSession.current();
        KeyParameter parameter = (KeyParameter) key.getParameters();
        engine = isCcm() ? new CCMBlockCipher(new AESEngine()) : new GCMBlockCipher(new AESEngine());
        engine.init(true, new AEADParameters(parameter, tagSize * BITS, nonce));
        counter = null;
        if (mode == MODE_DECRYPT) {
            counter = new BufferedBlockCipher(new SICBlockCipher(new AESEngine()));
            counter.init(false, new ParametersWithIV(parameter, firstCounter(nonce)));
        }
        announcedTag = 0;
        tag = null;
    }

    /** The block that the first block of the message is enciphered with. */
    private byte[] firstCounter(byte[] nonce) {
        byte[] block = new byte[BLOCK];
        if (isCcm()) {
            block[0] = (byte) (BLOCK - 2 - nonce.length);
            System.arraycopy(nonce, 0, block, 1, nonce.length);
            block[BLOCK - 1] = 1;
        } else {
            System.arraycopy(nonce, 0, block, 0, nonce.length);
            block[BLOCK - 1] = 2;
        }
        return block;
    }

    /** The nonce was for one message: the next needs another beginning. */
    private void requireReady() {
        forgetAfterReset();
        require(engine != null && tag == null, CryptoException.INVALID_INIT);
        require(key.isInitialized(), CryptoException.UNINITIALIZED_KEY);
    }

    private void forgetAfterReset() {
        if (key == null || !CardSession.isOver(session)) {
            return;
        }
        require(key.isInitialized(), CryptoException.UNINITIALIZED_KEY);
        if (isCcm()) {
            session = CardSession.current();
            engine = null;
            tag = null;
        } else {
            begin(key, mode, new byte[NONCE], BLOCK);
        }
    }

    @Override
    public void updateAAD(byte[] data, short offset, short length) throws CryptoException {
        requireReady();
        dataToCome -= length;
        require(!isCcm() || dataToCome >= 0, CryptoException.ILLEGAL_VALUE);
        engine.processAADBytes(data, offset, length);
    }

    @Override
    public short update(byte[] input, short offset, short length, byte[] output, short outputOffset)
            throws CryptoException {
        requireReady();
        take(length);
        byte[] result = counter == null ? enciphered(input, offset, length) : deciphered(input, offset, length, false);
        System.arraycopy(result, 0, output, outputOffset, result.length);
        return (short) result.length;
    }

    @Override
    public short doFinal(byte[] input, short offset, short length, byte[] output, short outputOffset)
            throws CryptoException {
        requireReady();
        take(length);
        require(!isCcm() || dataToCome == 0 && messageToCome == 0, CryptoException.ILLEGAL_USE);
        byte[] result = counter == null ? enciphered(input, offset, length) : deciphered(input, offset, length, true);
        byte[] rest = finish();
        if (counter == null) {
            int first = result.length;
            result = Arrays.copyOf(result, first + rest.length);
            System.arraycopy(rest, 0, result, first, rest.length);
        }
        System.arraycopy(result, 0, output, outputOffset, result.length);
        return (short) result.length;
    }

    private void take(short length) {
        messageToCome -= length;
        require(!isCcm() || messageToCome >= 0, CryptoException.ILLEGAL_USE);
    }

    private byte[] enciphered(byte[] message, int offset, int length) {
        byte[] out = new byte[engine.getUpdateOutputSize(length)];
        return Arrays.copyOf(out, engine.processBytes(message, offset, length, out, 0));
    }

    private byte[] deciphered(byte[] input, int offset, int length, boolean isLast) {
        byte[] out = new byte[counter.getOutputSize(length)];
        int done = counter.processBytes(input, offset, length, out, 0);
        try {
            done += isLast ? counter.doFinal(out, done) : 0;
        } catch (InvalidCipherTextException impossible) {
            throw new IllegalStateException(impossible);
        }
        enciphered(out, 0, done);
        return Arrays.copyOf(out, done);
    }

    /** Ends the message, and returns what of it was still to be enciphered. */
    private byte[] finish() {
        byte[] out = new byte[engine.getOutputSize(0)];
        try {
            int done = engine.doFinal(out, 0);
            // Behind the message; what getMac() has for CCM is not enciphered.
            int size = engine.getMac().length;
            tag = Arrays.copyOfRange(out, done - size, done);
            return Arrays.copyOf(out, done - size);
        } catch (InvalidCipherTextException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private void requireTag(boolean isDirection, short length) {
        require(tag != null && isDirection, CryptoException.ILLEGAL_USE);
        boolean fits = announcedTag == 0 || announcedTag == length;
        require(isTag(length) && fits, CryptoException.ILLEGAL_VALUE);
    }

    @Override
    public short retrieveTag(byte[] output, short offset, short length) throws CryptoException {
        forgetAfterReset();
        requireTag(counter == null, length);
        System.arraycopy(tag, 0, output, offset, length);
        return length;
    }

    @Override
    public boolean verifyTag(byte[] received, short offset, short receivedLength, short requiredLength)
            throws CryptoException {
        forgetAfterReset();
        requireTag(counter != null, requiredLength);
        byte[] claimed = part(received, offset, receivedLength);
        return receivedLength >= requiredLength
                && MessageDigest.isEqual(Arrays.copyOf(tag, requiredLength), Arrays.copyOf(claimed, requiredLength));
    }
}
