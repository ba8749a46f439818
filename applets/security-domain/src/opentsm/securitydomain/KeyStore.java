package opentsm.securitydomain;

import javacard.framework.JCSystem;
import javacard.security.DESKey;
import javacard.security.KeyBuilder;
import javacardx.crypto.Cipher;

/**
 * The keys of one Security Domain: all slots are allocated at install, so that a key never fails for memory later.
 *
 * <p>An SCP03 key set is three AES keys of one length under one version, with identifiers 01, 02 and 03.
 *
 * <p>Spec: GP Card 2.3.1 clause 7.5; GP Amendment D clause 5.
 */
final class KeyStore {
    static final byte ID_ENC = 1;
    static final byte ID_MAC = 2;
    static final byte ID_DEK = 3;
    static final short CHECK_VALUE_SIZE = 3;

    /** Eight sets of three. */
    private static final short SLOTS = 24;

    private final KeySlot[] slots;
    private final Scp03Crypto crypto;
    private final Cipher desEcb;
    private final DESKey des2;
    private final DESKey des3;

    /** One block for a check value; cleared at reset. */
    private final byte[] block;

    KeyStore(Scp03Crypto crypto) {
        this.crypto = crypto;
        slots = new KeySlot[SLOTS];
        for (short i = 0; i < SLOTS; i++) {
            slots[i] = new KeySlot();
        }
        desEcb = Cipher.getInstance(Cipher.ALG_DES_ECB_NOPAD, false);
        des2 = (DESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_DES_TRANSIENT_RESET, KeyBuilder.LENGTH_DES3_2KEY, false);
        des3 = (DESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_DES_TRANSIENT_RESET, KeyBuilder.LENGTH_DES3_3KEY, false);
        block = JCSystem.makeTransientByteArray(Scp03Crypto.BLOCK, JCSystem.CLEAR_ON_RESET);
    }

    short size() {
        return SLOTS;
    }

    KeySlot slot(short index) {
        return slots[index];
    }

    /** Returns the slot of a key, or null; free room has version and identifier 00. */
    KeySlot find(byte version, byte identifier) {
        for (short i = 0; i < SLOTS; i++) {
            if (slots[i].version == version && slots[i].identifier == identifier) {
                return slots[i];
            }
        }
        return null;
    }

    /** Returns a free slot, or null. */
    KeySlot free() {
        return find((byte) 0, (byte) 0);
    }

    /** Tells whether a version is a complete SCP03 key set. */
    boolean isScp03Set(byte version) {
        KeySlot enc = find(version, ID_ENC);
        KeySlot mac = find(version, ID_MAC);
        KeySlot dek = find(version, ID_DEK);
        return enc != null && mac != null && dek != null && enc.type == Gp.KEY_TYPE_AES && mac.type == Gp.KEY_TYPE_AES
                && dek.type == Gp.KEY_TYPE_AES && enc.length == mac.length && enc.length == dek.length;
    }

    /**
     * Returns the version of the default SCP03 key set, or 0: the first in the order of the slots, since for key version
     * 00 the Security Domain chooses (Amendment D clause 7.1.1.2).
     */
    byte defaultVersion() {
        for (short i = 0; i < SLOTS; i++) {
            byte version = slots[i].version;
            if (version != 0 && slots[i].identifier == ID_ENC && isScp03Set(version)) {
                return version;
            }
        }
        return 0;
    }

    /** Tells whether the Security Domain has an SCP03 key set of its own. */
    boolean hasScp03Set() {
        return defaultVersion() != 0;
    }

    /**
     * Writes the 3 bytes of a key check value: of an AES key, from a block of 01; of a DES key, from 8 bytes of 00.
     *
     * <p>Spec: GP Card 2.3.1 clause B.6; GP Amendment D clause 4.1.2.
     */
    void checkValue(byte type, byte[] key, short offset, short length, byte[] output, short outputOffset) {
        if (type == Gp.KEY_TYPE_AES) {
            for (short i = 0; i < Scp03Crypto.BLOCK; i++) {
                block[i] = 1;
            }
            crypto.encryptBlock(key, offset, length, block, (short) 0);
        } else {
            for (short i = 0; i < Scp03Crypto.BLOCK; i++) {
                block[i] = 0;
            }
            DESKey working = length == 16 ? des2 : des3;
            working.setKey(key, offset);
            desEcb.init(working, Cipher.MODE_ENCRYPT);
            desEcb.doFinal(block, (short) 0, (short) 8, block, (short) 0);
            working.clearKey();
        }
        for (short i = 0; i < CHECK_VALUE_SIZE; i++) {
            output[(short) (outputOffset + i)] = block[i];
        }
    }
}
