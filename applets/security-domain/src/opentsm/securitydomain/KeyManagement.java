package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import opentsm.open.Open;

/**
 * PUT KEY and DELETE [key].
 *
 * <p>All keys of one command change in one transaction; a Security Domain that has an SCP03 key set keeps one.
 *
 * <p>Spec: GP Card 2.3.1 clauses 11.2.2.3.2, 11.8; GP Amendment D clause 7.2.
 */
final class KeyManagement {
    private static final byte MULTIPLE_KEYS = (byte) 0x80;
    private static final short TAG_KEY_IDENTIFIER = 0x00D0;
    private static final short TAG_KEY_VERSION = 0x00D2;

    private static final short TYPE = 0;
    private static final short LENGTH = 1;
    private static final short BLOCK = 2;

    private final KeyStore keys;
    private final SecureChannelService channel;

    /** Check values being compared, and details of effects; used within one call, cleared at reset. */
    private final byte[] scratch;

    KeyManagement(KeyStore keys, SecureChannelService channel) {
        this.keys = keys;
        this.channel = channel;
        scratch = JCSystem.makeTransientByteArray((short) 4, JCSystem.CLEAR_ON_RESET);
    }

    /** Takes a key set from install parameters: version, key length, Key-ENC, Key-MAC, Key-DEK. */
    void takeKeySet(byte[] array, short offset, short length) {
        byte version = length > 2 ? array[offset] : 0;
        byte keyLength = length > 2 ? array[(short) (offset + 1)] : 0;
        if (!isNumber(version) || !isLength(Gp.KEY_TYPE_AES, keyLength) || length != (short) (2 + 3 * keyLength)
                || keys.isScp03Set(version)) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        offset += 2;
        for (byte identifier = KeyStore.ID_ENC; identifier <= KeyStore.ID_DEK; identifier++) {
            room().set(version, identifier, Gp.KEY_TYPE_AES, keyLength, array, offset);
            offset += keyLength;
        }
    }

    private KeySlot room() {
        KeySlot free = keys.free();
        if (free == null) {
            ISOException.throwIt(Gp.SW_NOT_ENOUGH_MEMORY);
        }
        return free;
    }

    /**
     * Adds or replaces keys.
     *
     * @param p1 version of the keys to replace, or 00 to add
     * @param p2 identifier of the first key; b8: more than one
     * @return length of the response: version and check values
     */
    short put(byte[] buffer, byte p1, byte p2, short data, short end, byte[] response) {
        byte identifier = (byte) (p2 & 0x7F);
        if (p1 < 0 || identifier == 0) {
            ISOException.throwIt(Gp.SW_INCORRECT_P1P2); // more than one PUT KEY for a set (P1 b8) is not known here
        }
        if (data >= end || !isNumber(buffer[data])) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        byte version = buffer[data];
        response[0] = version;
        short written = 1;
        short count = 0;
        for (short at = (short) (data + 1); at < end; at = after(buffer, at)) {
            requirePlace(p1, version, (byte) (identifier + count));
            open(buffer, at, end, response, written);
            written += KeyStore.CHECK_VALUE_SIZE;
            count++;
        }
        boolean multiple = (p2 & MULTIPLE_KEYS) != 0;
        if (count == 0 || !multiple && count != 1) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        store(buffer, p1, version, identifier, (short) (data + 1), end);
        Util.arrayFillNonAtomic(buffer, data, (short) (end - data), (byte) 0);
        scratch[0] = version;
        Open.effect(Open.EFFECT_PUT_KEY, scratch, (short) 0, (short) 1);
        return written;
    }

    /** A key to replace must be there, and one to add (or to give a new version) must not. */
    private void requirePlace(byte replaced, byte version, byte identifier) {
        if (identifier <= 0) {
            ISOException.throwIt(Gp.SW_INCORRECT_P1P2);
        }
        if (replaced != 0 && keys.find(replaced, identifier) == null) {
            ISOException.throwIt(Gp.SW_NOT_FOUND);
        }
        if (replaced != version && keys.find(version, identifier) != null) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
    }

    /**
     * Decrypts one key in place and compares its check value.
     *
     * <p>The key data field (table 11-68) is type, length, key, length of check value, check value; the key is the
     * encrypted blocks alone, or they follow a byte with the key's length, which keys of 24 bytes need.
     */
    private void open(byte[] buffer, short at, short end, byte[] response, short checkValue) {
        if ((short) (at + BLOCK) > end) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        byte type = buffer[(short) (at + TYPE)];
        if (type != Gp.KEY_TYPE_AES && type != Gp.KEY_TYPE_DES) {
            ISOException.throwIt(Gp.SW_ALGORITHM_NOT_SUPPORTED);
        }
        short field = (short) (buffer[(short) (at + LENGTH)] & 0xFF);
        short check = (short) (at + BLOCK + field);
        if (check >= end || field == 0) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        short checkLength = (short) (buffer[check] & 0xFF);
        short length = keyLength(buffer, at);
        short offset = keyOffset(buffer, at);
        short blocks = (short) (check - offset);
        if ((short) (check + 1 + checkLength) > end || checkLength != 0 && checkLength != KeyStore.CHECK_VALUE_SIZE
                || !isLength(type, length) || (short) (blocks & 15) != 0 || blocks < length
                || (short) (blocks - length) >= Scp03Crypto.BLOCK) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        channel.decryptData(buffer, offset, blocks);
        keys.checkValue(type, buffer, offset, length, response, checkValue);
        if (checkLength != 0 && Util.arrayCompare(buffer, (short) (check + 1), response, checkValue, checkLength) != 0) {
            Util.arrayFillNonAtomic(buffer, offset, blocks, (byte) 0);
            ISOException.throwIt(Gp.SW_INVALID_KEY_CHECK_VALUE);
        }
    }

    private static boolean hasInnerLength(byte[] buffer, short at) {
        return (short) (buffer[(short) (at + LENGTH)] & 15) == 1;
    }

    private static short keyLength(byte[] buffer, short at) {
        return (short) (buffer[(short) (at + (hasInnerLength(buffer, at) ? BLOCK : LENGTH))] & 0xFF);
    }

    private static short keyOffset(byte[] buffer, short at) {
        return (short) (at + BLOCK + (hasInnerLength(buffer, at) ? 1 : 0));
    }

    /** Returns the offset behind a key data field that was opened, so that its lengths are known to be right. */
    private static short after(byte[] buffer, short at) {
        short check = (short) (at + BLOCK + (short) (buffer[(short) (at + LENGTH)] & 0xFF));
        return (short) (check + 1 + (short) (buffer[check] & 0xFF));
    }

    private void store(byte[] buffer, byte replaced, byte version, byte identifier, short at, short end) {
        boolean hadSet = keys.hasScp03Set();
        short status = 0;
        JCSystem.beginTransaction();
        while (at < end && status == 0) {
            KeySlot slot = replaced == 0 ? keys.free() : keys.find(replaced, identifier);
            if (slot == null) {
                status = Gp.SW_NOT_ENOUGH_MEMORY;
            } else {
                slot.set(version, identifier, buffer[(short) (at + TYPE)], (byte) keyLength(buffer, at), buffer,
                        keyOffset(buffer, at));
            }
            identifier++;
            at = after(buffer, at);
        }
        finish(status, hadSet);
    }

    /** Commits, unless something failed or the last SCP03 key set would go: nothing could open the domain then. */
    private void finish(short status, boolean hadSet) {
        if (status == 0 && hadSet && !keys.hasScp03Set()) {
            status = Gp.SW_CONDITIONS;
        }
        if (status != 0) {
            JCSystem.abortTransaction();
            ISOException.throwIt(status);
        }
        JCSystem.commitTransaction();
    }

    /** Deletes the keys with an identifier (D0), a version (D2), or both. */
    short delete(byte[] buffer, byte p1, byte p2, short data, short end, byte[] response) {
        // P2 80 is with what is related to the object, which a key has none of (table 11-22; GPShell sends it). P2 01 is
        // how yubikit says that the last key may go; it may not, but the command is taken.
        if (p1 != 0 || (p2 & 0x7E) != 0) {
            ISOException.throwIt(Gp.SW_INCORRECT_P1P2);
        }
        byte identifier = number(buffer, data, end, TAG_KEY_IDENTIFIER);
        byte version = number(buffer, data, end, TAG_KEY_VERSION);
        if (identifier == 0 && version == 0) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        boolean hadSet = keys.hasScp03Set();
        short status = Gp.SW_NOT_FOUND;
        JCSystem.beginTransaction();
        for (short i = 0; i < keys.size(); i++) {
            KeySlot slot = keys.slot(i);
            if (!slot.isFree() && (version == 0 || slot.version == version)
                    && (identifier == 0 || slot.identifier == identifier)) {
                slot.clear();
                status = 0;
            }
        }
        finish(status, hadSet);
        scratch[0] = version;
        scratch[1] = identifier;
        Open.effect(Open.EFFECT_DELETE_KEY, scratch, (short) 0, (short) (identifier == 0 ? 1 : 2));
        response[0] = 0; // no receipt
        return 1;
    }

    /** Returns the one-byte value of a tag, or 0 when it is absent. */
    private static byte number(byte[] buffer, short data, short end, short tag) {
        short field = Tlv.find(buffer, data, end, tag);
        if (field == Tlv.ABSENT) {
            return 0;
        }
        byte value = buffer[(short) (field + 1)];
        if (Tlv.length(buffer, field, end) != 1 || !isNumber(value)) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        return value;
    }

    private static boolean isNumber(byte value) {
        return value > 0;
    }

    private static boolean isLength(byte type, short length) {
        return length == 16 || length == 24 || length == 32 && type == Gp.KEY_TYPE_AES;
    }
}
