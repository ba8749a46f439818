package opentsm.securitydomain;

import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.DESKey;
import javacard.security.KeyBuilder;
import javacardx.crypto.Cipher;

/**
 * The keys of one Security Domain, of any type: secure channels', token, receipt and DAP keys alike.
 *
 * <p>Everything is allocated at install: the slots, and one array for the bytes of all keys, in which a key takes the
 * lowest place that is free. So PUT KEY fails for room (6A84) in its own transaction, never later. How to look for keys:
 * {@link #find} by version and identifier; {@link #size}, {@link #slot} and {@link KeySlot#type} for all of a kind. Their
 * bytes are in {@link #values} from {@link KeySlot#offset}.
 *
 * <p>An SCP03 key set is three AES keys of one length under one version, with identifiers 01, 02 and 03; one of SCP02 the
 * same of triple DES with two keys, or a single one with identifier 01 (the base key).
 *
 * <p>Spec: GP Card 2.3.1 clauses 7.5, E.1.4; GP Amendment D clause 5.
 */
final class KeyStore {
    static final byte ID_ENC = 1;
    static final byte ID_MAC = 2;
    static final byte ID_DEK = 3;
    private static final byte ID_SCP11A = 0x11;
    private static final byte ID_SCP11C = 0x15;
    static final short CHECK_VALUE_SIZE = 3;

    /** The version of initial keys, which the first complete set put by a host replaces (clause 7.5.2). */
    static final byte VERSION_INITIAL = (byte) 0xFF;

    private static final short SLOTS = 60;
    private static final short VALUES_SIZE = 4096;
    private static final short DES2_SIZE = 16;

    private final KeySlot[] slots;
    private final byte[] values;
    private final Scp03Crypto crypto;
    private final Protocols protocols;
    private final Cipher desEcb;
    private final DESKey des2;
    private final DESKey des3;

    /** One block for a check value; cleared at reset. */
    private final byte[] block;

    KeyStore(Scp03Crypto crypto, Protocols protocols) {
        this.crypto = crypto;
        this.protocols = protocols;
        slots = new KeySlot[SLOTS];
        for (short i = 0; i < SLOTS; i++) {
            slots[i] = new KeySlot();
        }
        values = new byte[VALUES_SIZE];
        desEcb = Cipher.getInstance(Cipher.ALG_DES_ECB_NOPAD, false);
        des2 = (DESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_DES_TRANSIENT_RESET, KeyBuilder.LENGTH_DES3_2KEY, false);
        des3 = (DESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_DES_TRANSIENT_RESET, KeyBuilder.LENGTH_DES3_3KEY, false);
        block = JCSystem.makeTransientByteArray(Scp03Crypto.BLOCK, JCSystem.CLEAR_ON_RESET);
    }

    /** Returns how many slots there are, free ones included; {@link #slot} gives each. */
    short size() {
        return SLOTS;
    }

    KeySlot slot(short index) {
        return slots[index];
    }

    /** Returns the array that holds the bytes of all keys; to be read only. */
    byte[] values() {
        return values;
    }

    /** Returns the slot of a key, or null. */
    KeySlot find(byte version, byte identifier) {
        for (short i = 0; i < SLOTS; i++) {
            if (slots[i].version == version && slots[i].identifier == identifier && version != 0) {
                return slots[i];
            }
        }
        return null;
    }

    /** Returns the first key with an identifier in any version, or null: what key version 00 means of a single key. */
    KeySlot findAny(byte identifier) {
        for (short i = 0; i < SLOTS; i++) {
            if (!slots[i].isFree() && slots[i].identifier == identifier) {
                return slots[i];
            }
        }
        return null;
    }

    /**
     * Returns a free slot with its value, of one or two components, copied; or null when there is no room. The caller
     * gives it a name. To be called in a transaction.
     *
     * @param second the second component; its length may be 0
     */
    KeySlot add(byte type, byte[] source, short first, short length, byte secondType, short second, short secondLength) {
        short at = place((short) (length + secondLength));
        for (short i = 0; i < SLOTS && at >= 0; i++) {
            KeySlot slot = slots[i];
            if (slot.isFree()) {
                slot.type = type;
                slot.offset = at;
                slot.length = length;
                slot.secondType = secondType;
                slot.secondLength = secondLength;
                at = Util.arrayCopy(source, first, values, at, length);
                Util.arrayCopy(source, second, values, at, secondLength);
                return slot;
            }
        }
        return null;
    }

    /** Returns the lowest place where a value overlaps no other, or -1. */
    private short place(short size) {
        short at = 0;
        short i = 0;
        while (i < SLOTS) {
            KeySlot slot = slots[i];
            short end = (short) (slot.offset + slot.size());
            if (!slot.isFree() && slot.offset < (short) (at + size) && at < end) {
                at = end; // behind what is in the way, and all others are looked at again
                i = 0;
            } else {
                i++;
            }
        }
        return (short) (at + size) <= VALUES_SIZE ? at : -1;
    }

    /** Forgets a key, its bytes too. */
    void clear(KeySlot slot) {
        for (short i = (short) (slot.size() - 1); i >= 0; i--) {
            values[(short) (slot.offset + i)] = 0;
        }
        slot.clear();
    }

    /**
     * Returns the secure channel protocol that a version's keys 01 to 03 are a complete set for and the domain knows: 03,
     * 02, or 0 for none.
     */
    byte protocol(byte version) {
        KeySlot enc = find(version, ID_ENC);
        if (enc == null) {
            return 0;
        }
        if (protocols.hasScp03() && isSet(enc, Gp.KEY_TYPE_AES)) {
            return Protocols.SCP03;
        }
        boolean scp02 = protocols.hasScp02() && enc.length == DES2_SIZE
                && (protocols.isScp02BaseKey() ? isOf(enc, Gp.KEY_TYPE_DES) : isSet(enc, Gp.KEY_TYPE_DES));
        return scp02 ? Protocols.SCP02 : 0;
    }

    private boolean isSet(KeySlot enc, byte type) {
        KeySlot mac = find(enc.version, ID_MAC);
        KeySlot dek = find(enc.version, ID_DEK);
        return mac != null && dek != null && isOf(enc, type) && isOf(mac, type) && isOf(dek, type)
                && enc.length == mac.length && enc.length == dek.length;
    }

    /** Tells whether a key is of a type; DES keys (80) are for any mode, also those given as triple DES in CBC (82). */
    private static boolean isOf(KeySlot slot, byte type) {
        return slot.isForDomain()
                && (slot.type == type || type == Gp.KEY_TYPE_DES && slot.type == Gp.KEY_TYPE_DES_CBC);
    }

    /**
     * Returns the version of the default secure channel key set, or 0: the first in the order of the slots, since for key
     * version 00 the Security Domain chooses (Amendment D clause 7.1.1.2).
     */
    byte defaultVersion() {
        for (short i = 0; i < SLOTS; i++) {
            byte version = slots[i].version;
            if (version != 0 && slots[i].identifier == ID_ENC && protocol(version) != 0) {
                return version;
            }
        }
        return 0;
    }

    /**
     * Tells whether the Security Domain has keys of its own by which a host can authenticate: a set of SCP02 or SCP03, or
     * for SCP11 an authority's key and a private one.
     */
    boolean hasSet() {
        return defaultVersion() != 0 || protocols.hasScp11() && hasScp11Set();
    }

    private boolean hasScp11Set() {
        boolean hasAuthority = false;
        boolean hasPrivate = false;
        for (short i = 0; i < SLOTS; i++) {
            if (slots[i].type == Gp.KEY_TYPE_ECC_PUBLIC) {
                hasAuthority |= isAuthority(slots[i].identifier);
            } else if (slots[i].type == Gp.KEY_TYPE_ECC_PRIVATE) {
                hasPrivate |= slots[i].identifier == ID_SCP11A || slots[i].identifier == ID_SCP11C;
            }
        }
        return hasAuthority && hasPrivate;
    }

    /** Tells whether an identifier is one of keys of SCP11's authorities: 10, 20 to 2F (Amendment F table 7-1). */
    private static boolean isAuthority(byte identifier) {
        return identifier == 0x10 || (identifier & 0xF0) == 0x20;
    }

    /** Tells whether there is a private key of SCP11. */
    boolean hasScp11Key() {
        for (short i = 0; i < SLOTS; i++) {
            if (slots[i].type == Gp.KEY_TYPE_ECC_PRIVATE) {
                return true;
            }
        }
        return false;
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
            DESKey working = length == DES2_SIZE ? des2 : des3;
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
