package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import opentsm.open.Entry;
import opentsm.open.Open;
import org.globalplatform.GPSystem;

/**
 * PUT KEY and DELETE [key].
 *
 * <p>All keys of one command change in one transaction; a Security Domain that has a secure channel key set keeps one.
 *
 * <p>Spec: GP Card 2.3.1 clauses 11.2.2.3.2, 11.8; GP Amendment D clause 7.2; GP Amendment F clause 7.2.
 */
final class KeyManagement {
    private static final byte MULTIPLE_KEYS = (byte) 0x80;
    private static final short TAG_KEY_IDENTIFIER = 0x00D0;
    private static final short TAG_KEY_VERSION = 0x00D2;
    private static final byte UNCOMPRESSED = 0x04;

    private final KeyStore keys;
    private final SecureChannelService channel;
    private final CertificateStore certificates;
    private final KeyDataField field;

    /** Details of effects; used within one call, cleared at reset. */
    private final byte[] scratch;

    KeyManagement(KeyStore keys, SecureChannelService channel, CertificateStore certificates) {
        this.certificates = certificates;
        this.keys = keys;
        this.channel = channel;
        field = new KeyDataField();
        scratch = JCSystem.makeTransientByteArray((short) 4, JCSystem.CLEAR_ON_RESET);
    }

    /**
     * Takes a key set from install parameters: version, key length, Key-ENC, Key-MAC, Key-DEK, of AES or of DES; behind
     * them, where it was used before, its sequence counter.
     */
    void takeKeySet(byte type, byte[] array, short offset, short length) {
        byte version = length > 2 ? array[offset] : 0;
        byte keyLength = length > 2 ? array[(short) (offset + 1)] : 0;
        boolean known = keyLength == 16 || type == Gp.KEY_TYPE_AES && (keyLength == 24 || keyLength == 32);
        short counter = (short) (2 + 3 * keyLength);
        if (!isVersion(version) || !known || length != counter && length != (short) (counter + KeySlot.COUNTER_SIZE)
                || keys.find(version, KeyStore.ID_ENC) != null) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        short end = (short) (offset + length);
        offset += 2;
        for (byte identifier = KeyStore.ID_ENC; identifier <= KeyStore.ID_DEK; identifier++) {
            KeySlot slot = keys.add(type, array, offset, keyLength, (byte) 0, offset, (short) 0);
            if (slot == null) {
                ISOException.throwIt(Gp.SW_NOT_ENOUGH_MEMORY);
            }
            slot.name(version, identifier);
            offset += keyLength;
        }
        if (offset != end) {
            Util.arrayCopy(array, offset, keys.find(version, KeyStore.ID_ENC).counter, (short) 0, KeySlot.COUNTER_SIZE);
        }
    }

    /**
     * Makes a supplementary domain PERSONALIZED once it has a key set of its own: with that, in one transaction.
     *
     * <p>Spec: clause 5.3.2.3.
     */
    void settle() {
        if (GPSystem.getCardContentState() == Gp.STATE_SELECTABLE && keys.hasSet()
                && Open.self().kind() == Entry.KIND_DOMAIN) {
            GPSystem.setCardContentState(Gp.STATE_PERSONALIZED);
        }
    }

    /** Puts an AES key set that was agreed on: version, key length, Key-ENC, Key-MAC, Key-DEK; all or none. */
    void putKeySet(byte[] array, short offset, short length) {
        boolean done = false;
        JCSystem.beginTransaction();
        try {
            takeKeySet(Gp.KEY_TYPE_AES, array, offset, length);
            forgetInitialKeys();
            done = true;
        } finally {
            if (done) {
                settle();
                settle();
        JCSystem.commitTransaction();
            } else {
                JCSystem.abortTransaction();
            }
        }
        scratch[0] = array[offset];
        Open.effect(Open.EFFECT_PUT_KEY, scratch, (short) 0, (short) 1);
    }

    /**
     * Adds or replaces keys.
     *
     * @param p1 version of the keys to replace, or 00 to add
     * @param p2 identifier of the first key; b8: more than one
     * @return length of the response: version, and the check values of the symmetric keys
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
        short at = (short) (data + 1);
        while (at < end) {
            requirePlace(p1, version, (byte) (identifier + count));
            at = field.read(buffer, at, end);
            written = open(buffer, response, written);
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
     * Decrypts the key of the field just read in place, if it is a secret, and compares its check value.
     *
     * @return the end of the response, to which a symmetric key's check value is added
     */
    private short open(byte[] buffer, byte[] response, short written) {
        if (KeyDataField.isSecret(field.type())) {
            channel.decryptData(buffer, field.value(), field.blocks());
        }
        if (!KeyDataField.isSymmetric(field.type())) {
            checkAsymmetric(buffer);
            return written;
        }
        keys.checkValue(field.type(), buffer, field.value(), field.length(), response, written);
        if (field.checkLength() != 0 && !Messaging.equal(
                buffer, field.checkValue(), response, written, KeyStore.CHECK_VALUE_SIZE)) {
            Util.arrayFillNonAtomic(buffer, field.value(), field.blocks(), (byte) 0);
            ISOException.throwIt(Gp.SW_INVALID_KEY_CHECK_VALUE);
        }
        return (short) (written + KeyStore.CHECK_VALUE_SIZE);
    }

    /** Checks an ECC key against its curve: 9484 for a curve that is not known, 6A80 for a key that is not on it. */
    private void checkAsymmetric(byte[] buffer) {
        if (field.type() == Gp.KEY_TYPE_RSA_MODULUS) {
            return;
        }
        short size = Curves.size(field.curve(buffer));
        if (size == 0) {
            ISOException.throwIt(Gp.SW_ALGORITHM_NOT_SUPPORTED);
        }
        boolean right = field.type() == Gp.KEY_TYPE_ECC_PRIVATE
                ? field.length() == size && Curves.isScalar(field.curve(buffer), buffer, field.value())
                : field.length() == (short) (1 + 2 * size) && buffer[field.value()] == UNCOMPRESSED;
        if (!right) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
    }

    private void store(byte[] buffer, byte replaced, byte version, byte identifier, short at, short end) {
        boolean hadSet = keys.hasSet();
        short status = 0;
        JCSystem.beginTransaction();
        while (at < end && status == 0) {
            at = field.read(buffer, at, end);
            if (replaced != 0) {
                KeySlot old = keys.find(replaced, identifier);
                certificates.forget(old);
                keys.clear(old);
            }
            KeySlot slot = field.store(keys, buffer);
            if (slot == null) {
                status = Gp.SW_NOT_ENOUGH_MEMORY;
            } else {
                slot.name(version, identifier);
            }
            identifier++;
        }
        if (status == 0 && keys.protocol(version) != 0) {
            keys.find(version, KeyStore.ID_ENC).resetCounter(); // whichever key of the set it was (clause E.1.2)
            forgetInitialKeys();
        }
        finish(status, hadSet);
    }

    /** The first complete set that a host puts takes the place of the initial keys (clause 7.5.2). */
    private void forgetInitialKeys() {
        for (byte identifier = KeyStore.ID_ENC; identifier <= KeyStore.ID_DEK; identifier++) {
            KeySlot slot = keys.find(KeyStore.VERSION_INITIAL, identifier);
            if (slot != null) {
                keys.clear(slot);
            }
        }
    }

    /** Commits, unless something failed or the last secure channel key set would go: nothing could open it then. */
    private void finish(short status, boolean hadSet) {
        if (status == 0 && hadSet && !keys.hasSet()) {
            status = Gp.SW_CONDITIONS;
        }
        if (status != 0) {
            JCSystem.abortTransaction();
            ISOException.throwIt(status);
        }
        settle();
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
        boolean hadSet = keys.hasSet();
        short status = Gp.SW_NOT_FOUND;
        JCSystem.beginTransaction();
        for (short i = 0; i < keys.size(); i++) {
            KeySlot slot = keys.slot(i);
            if (!slot.isFree() && (version == 0 || slot.version == version)
                    && (identifier == 0 || slot.identifier == identifier)) {
                certificates.forget(slot);
                keys.clear(slot);
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
        boolean known = tag == TAG_KEY_VERSION ? isVersion(value) : isNumber(value);
        if (Tlv.length(buffer, field, end) != 1 || !known) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        return value;
    }

    private static boolean isNumber(byte value) {
        return value > 0;
    }

    private static boolean isVersion(byte value) {
        return isNumber(value) || value == KeyStore.VERSION_INITIAL;
    }
}
