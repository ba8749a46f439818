package opentsm.securitydomain;

import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.DESKey;
import javacard.security.KeyBuilder;
import javacardx.crypto.Cipher;

/**
 * The DES operations of SCP02: triple DES with two keys in CBC and ECB mode, and the retail MAC.
 *
 * <p>The retail MAC (single DES plus final triple DES) is built from the block ciphers, since not every card has it as an
 * algorithm. It can be interrupted: what has been computed so far are two blocks and a number, which the caller keeps.
 *
 * <p>Spec: GP Card 2.3.1 clauses B.1.1, B.1.2.2 (ISO 9797-1 algorithm 3, padding method 2).
 */
final class Scp02Crypto {
    static final short BLOCK = 8;
    static final short KEY_SIZE = 16;

    private static final short CHUNK = 24;
    private static final byte PADDING = (byte) 0x80;

    /** Layout of a MAC being computed: chaining value, incomplete block. */
    private static final short STATE = 0;

    private static final short PARTIAL = 8;
    private static final short MAC_SIZE = 16;

    private final Cipher cbc;
    private final Cipher ecb;
    private final DESKey single;
    private final DESKey triple;

    /** The MAC being computed, and how many bytes its last block has; cleared at reset. */
    private final byte[] mac;

    private final short[] partial;

    /** Input and output of derivations; cleared at reset. */
    private final byte[] chunk;

    Scp02Crypto() {
        cbc = Cipher.getInstance(Cipher.ALG_DES_CBC_NOPAD, false);
        ecb = Cipher.getInstance(Cipher.ALG_DES_ECB_NOPAD, false);
        single = (DESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_DES_TRANSIENT_RESET, KeyBuilder.LENGTH_DES, false);
        triple = (DESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_DES_TRANSIENT_RESET, KeyBuilder.LENGTH_DES3_2KEY, false);
        mac = JCSystem.makeTransientByteArray(MAC_SIZE, JCSystem.CLEAR_ON_RESET);
        partial = JCSystem.makeTransientShortArray((short) 1, JCSystem.CLEAR_ON_RESET);
        chunk = JCSystem.makeTransientByteArray(CHUNK, JCSystem.CLEAR_ON_RESET);
    }

    /** Encrypts or decrypts whole blocks in place, triple DES in CBC mode with an initial value of zero. */
    void cbc(byte mode, byte[] key, short keyOffset, byte[] data, short offset, short length) {
        triple.setKey(key, keyOffset);
        cbc.init(triple, mode);
        cbc.doFinal(data, offset, length, data, offset);
    }

    /** Encrypts or decrypts whole blocks in place, triple DES in ECB mode. */
    void ecb(byte mode, byte[] key, short keyOffset, byte[] data, short offset, short length) {
        triple.setKey(key, keyOffset);
        ecb.init(triple, mode);
        ecb.doFinal(data, offset, length, data, offset);
    }

    /** Encrypts a block in place with single DES and the first half of a key. */
    void encryptSingle(byte[] key, short keyOffset, byte[] block, short offset) {
        single.setKey(key, keyOffset);
        ecb.init(single, Cipher.MODE_ENCRYPT);
        ecb.doFinal(block, offset, BLOCK, block, offset);
    }

    /** Begins a retail MAC with an initial chaining value. */
    void macBegin(byte[] icv, short offset) {
        Util.arrayCopyNonAtomic(icv, offset, mac, STATE, BLOCK);
        partial[0] = 0;
    }

    /** Begins a retail MAC with an initial chaining value of zero. */
    void macBegin() {
        Util.arrayFillNonAtomic(mac, STATE, BLOCK, (byte) 0);
        partial[0] = 0;
    }

    /** Goes on with a retail MAC that {@link #macSuspend} left: 16 bytes, then the length of the incomplete block. */
    void macResume(byte[] from, short state, byte length) {
        Util.arrayCopyNonAtomic(from, state, mac, STATE, MAC_SIZE);
        partial[0] = length;
    }

    /** Writes the 16 bytes of a MAC being computed and returns the length of its incomplete block. */
    byte macSuspend(byte[] into, short state) {
        Util.arrayCopyNonAtomic(mac, STATE, into, state, MAC_SIZE);
        return (byte) partial[0];
    }

    /** Adds data to the MAC; the last block, complete or not, waits for what follows. */
    void macUpdate(byte[] key, short keyOffset, byte[] data, short offset, short length) {
        single.setKey(key, keyOffset);
        short end = (short) (offset + length);
        while (offset < end) {
            if (partial[0] == BLOCK) {
                step();
            }
            short part = (short) (BLOCK - partial[0]);
            if (part > (short) (end - offset)) {
                part = (short) (end - offset);
            }
            Util.arrayCopyNonAtomic(data, offset, mac, (short) (PARTIAL + partial[0]), part);
            partial[0] += part;
            offset += part;
        }
    }

    void macUpdate(byte[] key, short keyOffset, byte value) {
        chunk[0] = value;
        macUpdate(key, keyOffset, chunk, (short) 0, (short) 1);
    }

    private void step() {
        add();
        ecb.init(single, Cipher.MODE_ENCRYPT);
        ecb.doFinal(mac, STATE, BLOCK, mac, STATE);
        partial[0] = 0;
    }

    private void add() {
        for (short i = 0; i < BLOCK; i++) {
            mac[(short) (STATE + i)] ^= mac[(short) (PARTIAL + i)];
        }
    }

    /** Pads and ends the MAC, and writes its 8 bytes. */
    void macFinish(byte[] key, short keyOffset, byte[] output, short outputOffset) {
        single.setKey(key, keyOffset);
        if (partial[0] == BLOCK) {
            step();
        }
        mac[(short) (PARTIAL + partial[0])] = PADDING;
        for (short i = (short) (partial[0] + 1); i < BLOCK; i++) {
            mac[(short) (PARTIAL + i)] = 0;
        }
        add();
        triple.setKey(key, keyOffset);
        ecb.init(triple, Cipher.MODE_ENCRYPT);
        ecb.doFinal(mac, STATE, BLOCK, output, outputOffset);
        Util.arrayFillNonAtomic(mac, (short) 0, MAC_SIZE, (byte) 0);
        partial[0] = 0;
    }

    /**
     * Derives a session key: triple DES in CBC mode of constant, sequence counter and zeros (clause E.4.1).
     *
     * @param constant 0101 C-MAC, 0102 R-MAC, 0181 data encryption, 0182 encryption
     */
    void derive(byte[] key, short keyOffset, short constant, byte[] counter, short counterOffset, byte[] output,
            short outputOffset) {
        Util.setShort(chunk, (short) 0, constant);
        Util.arrayCopyNonAtomic(counter, counterOffset, chunk, (short) 2, (short) 2);
        Util.arrayFillNonAtomic(chunk, (short) 4, (short) 12, (byte) 0);
        cbc(Cipher.MODE_ENCRYPT, key, keyOffset, chunk, (short) 0, KEY_SIZE);
        Util.arrayCopyNonAtomic(chunk, (short) 0, output, outputOffset, KEY_SIZE);
        Util.arrayFillNonAtomic(chunk, (short) 0, KEY_SIZE, (byte) 0);
    }

    /** Writes a cryptogram: the last block of triple DES in CBC mode over 16 bytes and padding (clause E.4.2). */
    void cryptogram(byte[] key, short keyOffset, byte[] data, short offset, byte[] output, short outputOffset) {
        Util.arrayCopyNonAtomic(data, offset, chunk, (short) 0, (short) 16);
        Util.arrayFillNonAtomic(chunk, (short) 16, BLOCK, (byte) 0);
        chunk[16] = PADDING;
        cbc(Cipher.MODE_ENCRYPT, key, keyOffset, chunk, (short) 0, (short) 24);
        Util.arrayCopyNonAtomic(chunk, (short) 16, output, outputOffset, BLOCK);
    }
}
