package com.licel.jcardsim.crypto;

import com.licel.jcardsim.bouncycastle.crypto.BlockCipher;
import com.licel.jcardsim.bouncycastle.crypto.CipherParameters;
import com.licel.jcardsim.bouncycastle.crypto.Digest;
import com.licel.jcardsim.bouncycastle.crypto.Mac;
import com.licel.jcardsim.bouncycastle.crypto.digests.MD5Digest;
import com.licel.jcardsim.bouncycastle.crypto.digests.RIPEMD160Digest;
import com.licel.jcardsim.bouncycastle.crypto.digests.SHA1Digest;
import com.licel.jcardsim.bouncycastle.crypto.digests.SHA256Digest;
import com.licel.jcardsim.bouncycastle.crypto.digests.SHA384Digest;
import com.licel.jcardsim.bouncycastle.crypto.digests.SHA512Digest;
import com.licel.jcardsim.bouncycastle.crypto.engines.DESEngine;
import com.licel.jcardsim.bouncycastle.crypto.macs.CBCBlockCipherMac;
import com.licel.jcardsim.bouncycastle.crypto.macs.CMac;
import com.licel.jcardsim.bouncycastle.crypto.macs.HMac;
import com.licel.jcardsim.bouncycastle.crypto.macs.ISO9797Alg3Mac;
import com.licel.jcardsim.bouncycastle.crypto.paddings.BlockCipherPadding;
import com.licel.jcardsim.bouncycastle.crypto.paddings.ISO7816d4Padding;
import com.licel.jcardsim.bouncycastle.crypto.paddings.PKCS7Padding;
import com.licel.jcardsim.bouncycastle.crypto.params.ParametersWithIV;
import java.security.MessageDigest;
import javacard.security.CryptoException;
import javacard.security.Key;
import javacard.security.KeyBuilder;
import javacard.security.Signature;
import javacardx.crypto.Cipher;
import opentsm.runtime.CardSession;

/**
 * Message authentication codes of DES, AES, SEED and hashes, in place of jCardSim's, which pads whole blocks by method 1 of
 * ISO 9797, takes any length where a MAC does not pad, and works on with a key that was cleared.
 *
 * <p>Spec: JC API 3.0.5, javacard.security.Signature, init, sign and verify; ISO/IEC 9797-1 6.3.2.
 */
public final class MacSignature extends Signature {
    private final byte algorithm;
    private final byte digest;
    private final byte cipher;
    private final byte padding;

    private SymmetricKeyImpl key;
    private byte mode;
    private transient Mac engine;

    /** How many bytes came since the beginning. */
    private transient int given;

    /** When it began. */
    private transient CardSession session;

    /**
     * @param algorithm as Signature.ALG_* says
     * @param digest as MessageDigest.ALG_* says
     * @param cipher as Signature.SIG_CIPHER_* says
     * @param padding as Cipher.PAD_* says
     */
    public MacSignature(byte algorithm, byte digest, byte cipher, byte padding) {
        this.algorithm = algorithm;
        this.digest = digest;
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

    private void begin(Key newKey, byte newMode, byte[] vector) {
        require(newKey != null && newKey.isInitialized(), CryptoException.UNINITIALIZED_KEY);
        require(takes(newKey.getType()), CryptoException.ILLEGAL_VALUE);
        require(newMode == MODE_SIGN || newMode == MODE_VERIFY, CryptoException.ILLEGAL_VALUE);
        SymmetricKeyImpl taken = (SymmetricKeyImpl) newKey;
        BlockCipher block = taken.getCipher();
        require(vector == null || vector.length == block.getBlockSize(), CryptoException.ILLEGAL_VALUE);
        boolean isRetail = padding == Cipher.PAD_ISO9797_1_M1_ALG3 || padding == Cipher.PAD_ISO9797_1_M2_ALG3;
        require(!isRetail || taken.getSize() != KeyBuilder.LENGTH_DES, CryptoException.ILLEGAL_VALUE);
        key = taken;
        mode = newMode;
        begin(block, vector);
    }

    private void begin(BlockCipher block, byte[] vector) {
        engine = engine(block);
        session = CardSession.current();
        start(vector);
    }

    private boolean hasVector() {
        return cipher != SIG_CIPHER_HMAC && cipher != SIG_CIPHER_AES_CMAC128;
    }

    /** Begins with a message; its initial vector is 0 where none is given. */
    private void start(byte[] vector) {
        CipherParameters parameters = key.getParameters();
        if (hasVector()) {
            byte[] first = vector == null ? new byte[key.getCipher().getBlockSize()] : vector;
            parameters = new ParametersWithIV(parameters, first);
        }
        engine.init(parameters);
        given = 0;
    }

    private boolean takes(byte type) {
        switch (cipher) {
            case SIG_CIPHER_HMAC:
                return type >= KeyBuilder.TYPE_HMAC_TRANSIENT_RESET && type <= KeyBuilder.TYPE_HMAC;
            case SIG_CIPHER_AES_MAC128:
            case SIG_CIPHER_AES_CMAC128:
                return type >= KeyBuilder.TYPE_AES_TRANSIENT_RESET && type <= KeyBuilder.TYPE_AES;
            case SIG_CIPHER_KOREAN_SEED_MAC:
                return type >= KeyBuilder.TYPE_KOREAN_SEED_TRANSIENT_RESET && type <= KeyBuilder.TYPE_KOREAN_SEED;
            default:
                return type >= KeyBuilder.TYPE_DES_TRANSIENT_RESET && type <= KeyBuilder.TYPE_DES;
        }
    }

    private Mac engine(BlockCipher block) {
        switch (cipher) {
            case SIG_CIPHER_HMAC:
                return new HMac(hash());
            case SIG_CIPHER_AES_CMAC128:
                return new CMac(block, 128);
            case SIG_CIPHER_AES_MAC128:
            case SIG_CIPHER_KOREAN_SEED_MAC:
                return new CBCBlockCipherMac(block, 128, null);
            default:
                int bits = cipher == SIG_CIPHER_DES_MAC4 ? 32 : 64;
                boolean isRetail = padding == Cipher.PAD_ISO9797_1_M1_ALG3 || padding == Cipher.PAD_ISO9797_1_M2_ALG3;
                return isRetail ? new ISO9797Alg3Mac(new DESEngine(), bits, filler())
                        : new CBCBlockCipherMac(block, bits, filler());
        }
    }

    /** What fills the last block; null: zeros, as few as are needed. */
    private BlockCipherPadding filler() {
        switch (padding) {
            case Cipher.PAD_ISO9797_M2:
            case Cipher.PAD_ISO9797_1_M2_ALG3:
                return new ISO7816d4Padding();
            case Cipher.PAD_PKCS5:
                return new PKCS7Padding();
            default:
                return null;
        }
    }

    private Digest hash() {
        switch (digest) {
            case javacard.security.MessageDigest.ALG_SHA:
                return new SHA1Digest();
            case javacard.security.MessageDigest.ALG_MD5:
                return new MD5Digest();
            case javacard.security.MessageDigest.ALG_RIPEMD160:
                return new RIPEMD160Digest();
            case javacard.security.MessageDigest.ALG_SHA_256:
                return new SHA256Digest();
            case javacard.security.MessageDigest.ALG_SHA_384:
                return new SHA384Digest();
            default:
                return new SHA512Digest();
        }
    }

    @Override
    public byte getAlgorithm() {
        return algorithm;
    }

    @Override
    public byte getMessageDigestAlgorithm() {
        return digest;
    }

    @Override
    public byte getCipherAlgorithm() {
        return cipher;
    }

    @Override
    public byte getPaddingAlgorithm() {
        return padding;
    }

    @Override
    public short getLength() throws CryptoException {
        requireReady();
        return (short) engine.getMacSize();
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
    public void update(byte[] input, short offset, short length) throws CryptoException {
        requireReady();
        engine.update(input, offset, length);
        given += length;
    }

    @Override
    public short sign(byte[] input, short offset, short length, byte[] signature, short signatureOffset)
            throws CryptoException {
        byte[] mac = mac(MODE_SIGN, input, offset, length);
        System.arraycopy(mac, 0, signature, signatureOffset, mac.length);
        return (short) mac.length;
    }

    @Override
    public boolean verify(byte[] input, short offset, short length, byte[] signature, short signatureOffset,
            short signatureLength) throws CryptoException {
        byte[] mac = mac(MODE_VERIFY, input, offset, length);
        byte[] claimed = new byte[signatureLength];
        System.arraycopy(signature, signatureOffset, claimed, 0, signatureLength);
        return MessageDigest.isEqual(mac, claimed);
    }

    /** Ends a message; the next begins without an initial vector. */
    private byte[] mac(byte asked, byte[] input, short offset, short length) {
        requireReady();
        require(mode == asked, CryptoException.INVALID_INIT);
        boolean fills = padding != Cipher.PAD_NOPAD;
        try {
            int total = given + length;
            require(fills || total != 0 && total % key.getCipher().getBlockSize() == 0, CryptoException.ILLEGAL_USE);
            engine.update(input, offset, length);
            byte[] mac = new byte[engine.getMacSize()];
            engine.doFinal(mac, 0);
            return mac;
        } finally {
            start(null);
        }
    }

    @Override
    public void setInitialDigest(byte[] state, short stateOffset, short stateLength, byte[] digested,
            short digestedOffset, short digestedLength) throws CryptoException {
        CryptoException.throwIt(CryptoException.ILLEGAL_USE);
    }

    @Override
    public short signPreComputedHash(byte[] hash, short offset, short length, byte[] signature, short signatureOffset)
            throws CryptoException {
        CryptoException.throwIt(CryptoException.ILLEGAL_USE);
        return 0;
    }

    @Override
    public boolean verifyPreComputedHash(byte[] hash, short offset, short length, byte[] signature,
            short signatureOffset, short signatureLength) throws CryptoException {
        CryptoException.throwIt(CryptoException.ILLEGAL_USE);
        return false;
    }
}
