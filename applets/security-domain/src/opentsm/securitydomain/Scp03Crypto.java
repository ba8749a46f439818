package opentsm.securitydomain;

import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.AESKey;
import javacard.security.KeyBuilder;
import javacard.security.RandomData;
import javacard.security.Signature;
import javacardx.crypto.Cipher;

/**
 * The AES operations of SCP03: key derivation, CMAC, CBC and single blocks.
 *
 * <p>Keys come as bytes in arrays. There is one working key object of each length, in memory that is cleared at reset,
 * into which a key is loaded for one operation: so neither sessions nor stored keys need key objects of their own.
 *
 * <p>Spec: GP Amendment D clauses 4.1.5 (data derivation, NIST SP 800-108 in counter mode with CMAC) and 6.2.
 */
final class Scp03Crypto {
    static final short BLOCK = 16;

    /** Derivation constants (Amendment D table 4-1). */
    static final byte DERIVE_CARD_CRYPTOGRAM = 0x00;

    static final byte DERIVE_HOST_CRYPTOGRAM = 0x01;
    static final byte DERIVE_CARD_CHALLENGE = 0x02;
    static final byte DERIVE_S_ENC = 0x04;
    static final byte DERIVE_S_MAC = 0x06;
    static final byte DERIVE_S_RMAC = 0x07;

    private static final short KDF_CONSTANT = 11;
    private static final short KDF_LENGTH = 13;
    private static final short KDF_COUNTER = 15;
    private static final short KDF_CONTEXT = 16;

    private final Signature cmac;
    private final Cipher cbc;
    private final Cipher ecb;
    private final RandomData randomData;
    private final AESKey key128;
    private final AESKey key192;
    private final AESKey key256;

    /** Input of one derivation step: label, constant, separation, length, counter, context of at most 32 bytes. */
    private final byte[] kdfInput;

    /** Result of one derivation step or CMAC. */
    private final byte[] kdfOutput;

    Scp03Crypto() {
        cmac = Signature.getInstance(Signature.ALG_AES_CMAC_128, false);
        cbc = Cipher.getInstance(Cipher.ALG_AES_BLOCK_128_CBC_NOPAD, false);
        ecb = Cipher.getInstance(Cipher.ALG_AES_BLOCK_128_ECB_NOPAD, false);
        randomData = RandomData.getInstance(RandomData.ALG_SECURE_RANDOM);
        key128 = workingKey(KeyBuilder.LENGTH_AES_128);
        key192 = workingKey(KeyBuilder.LENGTH_AES_192);
        key256 = workingKey(KeyBuilder.LENGTH_AES_256);
        // Derived values pass through here; both are cleared at reset and live as long as a session may.
        kdfInput = JCSystem.makeTransientByteArray((short) (KDF_CONTEXT + 32), JCSystem.CLEAR_ON_RESET);
        kdfOutput = JCSystem.makeTransientByteArray(BLOCK, JCSystem.CLEAR_ON_RESET);
    }

    private static AESKey workingKey(short bits) {
        return (AESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_AES_TRANSIENT_RESET, bits, false);
    }

    private AESKey load(byte[] key, short keyOffset, short keyLength) {
        AESKey working = keyLength == 16 ? key128 : keyLength == 24 ? key192 : key256;
        working.setKey(key, keyOffset);
        return working;
    }

    /**
     * Derives data or a key.
     *
     * @param constant a DERIVE constant
     * @param length how many bytes to derive, at most 32
     * @param context at most 32 bytes; may not overlap the output
     */
    void derive(byte[] key, short keyOffset, short keyLength, byte constant, short length, byte[] context,
            short contextOffset, short contextLength, byte[] output, short outputOffset) {
        Util.arrayFillNonAtomic(kdfInput, (short) 0, KDF_CONTEXT, (byte) 0);
        kdfInput[KDF_CONSTANT] = constant;
        Util.setShort(kdfInput, KDF_LENGTH, (short) (length << 3));
        Util.arrayCopyNonAtomic(context, contextOffset, kdfInput, KDF_CONTEXT, contextLength);
        cmac.init(load(key, keyOffset, keyLength), Signature.MODE_SIGN);
        while (length > 0) {
            kdfInput[KDF_COUNTER]++;
            cmac.sign(kdfInput, (short) 0, (short) (KDF_CONTEXT + contextLength), kdfOutput, (short) 0);
            short part = length < BLOCK ? length : BLOCK;
            Util.arrayCopyNonAtomic(kdfOutput, (short) 0, output, outputOffset, part);
            outputOffset += part;
            length -= part;
        }
    }

    /** Writes random bytes. */
    void random(byte[] output, short offset, short length) {
        randomData.generateData(output, offset, length);
    }

    /** Begins a CMAC; {@link #macUpdate} and {@link #macFinish} follow. */
    void macBegin(byte[] key, short keyOffset, short keyLength) {
        cmac.init(load(key, keyOffset, keyLength), Signature.MODE_SIGN);
    }

    void macUpdate(byte[] data, short offset, short length) {
        if (length > 0) {
            cmac.update(data, offset, length);
        }
    }

    /** Ends a CMAC over what was given and this last part, which must not be empty; writes 16 bytes. */
    void macFinish(byte[] data, short offset, short length, byte[] output, short outputOffset) {
        cmac.sign(data, offset, length, output, outputOffset);
    }

    /** Encrypts one block in place. */
    void encryptBlock(byte[] key, short keyOffset, short keyLength, byte[] block, short offset) {
        ecb.init(load(key, keyOffset, keyLength), Cipher.MODE_ENCRYPT);
        ecb.doFinal(block, offset, BLOCK, block, offset);
    }

    /** Encrypts or decrypts whole blocks in place in CBC mode (mode: Cipher.MODE_*). */
    void cbc(byte mode, byte[] key, short keyOffset, short keyLength, byte[] iv, short ivOffset, byte[] data,
            short offset, short length) {
        cbc.init(load(key, keyOffset, keyLength), mode, iv, ivOffset, BLOCK);
        cbc.doFinal(data, offset, length, data, offset);
    }
}
