package com.licel.jcardsim.crypto;

import com.licel.jcardsim.bouncycastle.crypto.BlockCipher;
import com.licel.jcardsim.bouncycastle.crypto.CipherParameters;
import com.licel.jcardsim.bouncycastle.crypto.KeyGenerationParameters;
import com.licel.jcardsim.bouncycastle.crypto.engines.AESEngine;
import com.licel.jcardsim.bouncycastle.crypto.engines.DESEngine;
import com.licel.jcardsim.bouncycastle.crypto.engines.DESedeEngine;
import com.licel.jcardsim.bouncycastle.crypto.engines.SEEDEngine;
import com.licel.jcardsim.bouncycastle.crypto.params.KeyParameter;
import java.security.SecureRandom;
import javacard.framework.JCSystem;
import javacard.security.AESKey;
import javacard.security.CryptoException;
import javacard.security.DESKey;
import javacard.security.HMACKey;
import javacard.security.KeyBuilder;
import javacard.security.KoreanSEEDKey;

/**
 * Keys of DES, AES, SEED and HMAC: each of its own kind, in place of jCardSim's, which is of all kinds at once, so that an
 * applet that asks for one finds another.
 *
 * <p>Spec: Java Card API 3.0.5, javacard.security.KeyBuilder.
 */
public abstract class SymmetricKeyImpl extends KeyImpl {
    private static final short BITS = 8;

    protected ByteContainer key;

    private SymmetricKeyImpl(byte type, short bits) {
        this.type = type;
        size = bits;
        key = new ByteContainer(memory(type));
    }

    /** Makes a key, not initialized, of one of KeyBuilder's types of them. */
    public static SymmetricKeyImpl build(byte type, short bits) {
        switch (type) {
            case KeyBuilder.TYPE_DES:
            case KeyBuilder.TYPE_DES_TRANSIENT_RESET:
            case KeyBuilder.TYPE_DES_TRANSIENT_DESELECT:
                return new Des(type, bits);
            case KeyBuilder.TYPE_AES:
            case KeyBuilder.TYPE_AES_TRANSIENT_RESET:
            case KeyBuilder.TYPE_AES_TRANSIENT_DESELECT:
                return new Aes(type, bits);
            case KeyBuilder.TYPE_HMAC:
            case KeyBuilder.TYPE_HMAC_TRANSIENT_RESET:
            case KeyBuilder.TYPE_HMAC_TRANSIENT_DESELECT:
                return new Hmac(type, bits);
            default:
                return new Seed(type, bits);
        }
    }

    private static byte memory(byte type) {
        switch (type) {
            case KeyBuilder.TYPE_DES_TRANSIENT_RESET:
            case KeyBuilder.TYPE_AES_TRANSIENT_RESET:
            case KeyBuilder.TYPE_HMAC_TRANSIENT_RESET:
            case KeyBuilder.TYPE_KOREAN_SEED_TRANSIENT_RESET:
                return JCSystem.MEMORY_TYPE_TRANSIENT_RESET;
            case KeyBuilder.TYPE_DES_TRANSIENT_DESELECT:
            case KeyBuilder.TYPE_AES_TRANSIENT_DESELECT:
            case KeyBuilder.TYPE_HMAC_TRANSIENT_DESELECT:
            case KeyBuilder.TYPE_KOREAN_SEED_TRANSIENT_DESELECT:
                return JCSystem.MEMORY_TYPE_TRANSIENT_DESELECT;
            default:
                return JCSystem.MEMORY_TYPE_PERSISTENT;
        }
    }

    /** Returns a cipher of one block for it; null for a key of HMAC. */
    public abstract BlockCipher getCipher();

    /** Sets it to as many bytes as it is long. */
    public void setKey(byte[] data, short offset) throws CryptoException {
        key.setBytes(data, offset, (short) (size / BITS));
    }

    public byte getKey(byte[] data, short offset) {
        return (byte) key.getBytes(data, offset);
    }

    @Override
    public void clearKey() {
        key.clear();
    }

    @Override
    public boolean isInitialized() {
        return key.isInitialized();
    }

    @Override
    public void setParameters(CipherParameters parameters) {
        key.setBytes(((KeyParameter) parameters).getKey());
    }

    @Override
    public CipherParameters getParameters() throws CryptoException {
        return new KeyParameter(key.getBytes(JCSystem.CLEAR_ON_RESET));
    }

    @Override
    public KeyGenerationParameters getKeyGenerationParameters(SecureRandom random) {
        return null;
    }

    private static final class Des extends SymmetricKeyImpl implements DESKey {
        Des(byte type, short bits) {
            super(type, bits);
        }

        @Override
        public BlockCipher getCipher() {
            return size == KeyBuilder.LENGTH_DES ? new DESEngine() : new DESedeEngine();
        }
    }

    private static final class Aes extends SymmetricKeyImpl implements AESKey {
        Aes(byte type, short bits) {
            super(type, bits);
        }

        @Override
        public BlockCipher getCipher() {
            return new AESEngine();
        }
    }

    private static final class Seed extends SymmetricKeyImpl implements KoreanSEEDKey {
        Seed(byte type, short bits) {
            super(type, bits);
        }

        @Override
        public BlockCipher getCipher() {
            return new SEEDEngine();
        }
    }

    private static final class Hmac extends SymmetricKeyImpl implements HMACKey {
        Hmac(byte type, short bits) {
            super(type, bits);
        }

        @Override
        public BlockCipher getCipher() {
            return null;
        }

        @Override
        public void setKey(byte[] data, short offset, short length) throws CryptoException {
            key.setBytes(data, offset, length);
        }
    }
}
