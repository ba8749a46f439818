package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/**
 * One key data field of PUT KEY: where its components, check value, usage and access are.
 *
 * <p>Format 1: for each component its type, the length of its block and the block; then length and value of the check
 * value. Format 2 has FF before each type, and at the end length and value of the key usage qualifier and of the key
 * access. A block that is encrypted is the encrypted component alone, or the component's length followed by it.
 *
 * <p>Lengths are of one byte (80 is 128, too), or 81 and one byte, or 82 and two.
 *
 * <p>Spec: GP Card 2.3.1 clauses 11.8.2.3, 11.1.8 (tables 11-68 to 11-71).
 */
final class KeyDataField {
    private static final short TYPE = 0;
    private static final short VALUE = 1;
    private static final short LENGTH = 2;
    private static final short BLOCKS = 3;
    private static final short SECOND_TYPE = 4;
    private static final short SECOND_VALUE = 5;
    private static final short SECOND_LENGTH = 6;
    private static final short CHECK_VALUE = 7;
    private static final short CHECK_LENGTH = 8;
    private static final short EXTENDED = 9;
    private static final short USAGE = 10;
    private static final short USAGE_LENGTH = 11;
    private static final short ACCESS = 12;
    private static final short ACCESS_LENGTH = 13;
    private static final short PARTS = 14;

    private static final short MOST_USAGE = 2;

    /** Used within one command; cleared at reset. */
    private final short[] part;

    KeyDataField() {
        part = JCSystem.makeTransientShortArray(PARTS, JCSystem.CLEAR_ON_RESET);
    }

    /** Returns the type of the first component, which is the key's. */
    byte type() {
        return (byte) part[TYPE];
    }

    short value() {
        return part[VALUE];
    }

    /** Returns the length of the first component itself. */
    short length() {
        return part[LENGTH];
    }

    /** Returns the length of the first component as it stands in the command: encrypted, with padding. */
    short blocks() {
        return part[BLOCKS];
    }

    short checkValue() {
        return part[CHECK_VALUE];
    }

    short checkLength() {
        return part[CHECK_LENGTH];
    }

    /** Tells whether components of a type are secret, and so encrypted. */
    static boolean isSecret(byte type) {
        return isSymmetric(type) || type == Gp.KEY_TYPE_ECC_PRIVATE;
    }

    static boolean isSymmetric(byte type) {
        return type == Gp.KEY_TYPE_DES || type == Gp.KEY_TYPE_DES_CBC || type == Gp.KEY_TYPE_AES;
    }

    /**
     * Reads the field at an offset.
     *
     * @return the offset behind it
     * @throws ISOException 9484 for a type that is not known, 6A80 when it is malformed
     */
    short read(byte[] buffer, short at, short end) {
        for (short i = 0; i < PARTS; i++) {
            part[i] = 0;
        }
        part[EXTENDED] = (short) (buffer[at] == Gp.KEY_TYPE_EXTENDED ? 1 : 0);
        at = readComponent(buffer, at, end, TYPE);
        if (!isSymmetric(type()) && hasSecond(buffer, at, end)) {
            at = isCurveParameter(buffer, at, end)
                    ? readCurve(buffer, at, end)
                    : readComponent(buffer, at, end, SECOND_TYPE);
        }
        orderComponents();
        at = readCounted(buffer, at, end, CHECK_VALUE, CHECK_LENGTH, KeyStore.CHECK_VALUE_SIZE);
        if (part[EXTENDED] != 0) {
            at = readCounted(buffer, at, end, USAGE, USAGE_LENGTH, MOST_USAGE);
            at = readCounted(buffer, at, end, ACCESS, ACCESS_LENGTH, (short) 1);
        }
        checkComponents();
        return at;
    }

    /** A second component begins with a type that no length of a check value can be taken for. */
    private boolean hasSecond(byte[] buffer, short at, short end) {
        if (part[EXTENDED] != 0) {
            return at < end && buffer[at] == Gp.KEY_TYPE_EXTENDED;
        }
        return at < end && buffer[at] < 0;
    }

    /** Tells whether a number of a curve begins here (B2 to B7), in the field's format. */
    private boolean isCurveParameter(byte[] buffer, short at, short end) {
        if (part[EXTENDED] != 0 && (at >= end || buffer[at++] != Gp.KEY_TYPE_EXTENDED) || at >= end) {
            return false;
        }
        return buffer[at] >= Gp.KEY_TYPE_ECC_FIELD && buffer[at] <= Gp.KEY_TYPE_ECC_COFACTOR;
    }

    /**
     * Reads a curve that is given number by number, as GPShell does, and not by reference: it must be the one that
     * the key's length tells.
     *
     * <p>Spec: clause 11.1.8, table 11-16.
     */
    private short readCurve(byte[] buffer, short at, short end) {
        byte curve = curve(buffer);
        while (isCurveParameter(buffer, at, end)) {
            at += part[EXTENDED];
            byte type = buffer[at++];
            short value = valueOffset(buffer, at, end);
            short length = length(buffer, at, end, value);
            if (!Curves.has(curve, type, buffer, value, length)) {
                ISOException.throwIt(Gp.SW_ALGORITHM_NOT_SUPPORTED);
            }
            at = (short) (value + length);
        }
        return at;
    }

    private short readComponent(byte[] buffer, short at, short end, short into) {
        if (part[EXTENDED] != 0) {
            if (at >= end || buffer[at] != Gp.KEY_TYPE_EXTENDED) {
                ISOException.throwIt(Gp.SW_WRONG_DATA);
            }
            at++;
        }
        if (at >= end) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        byte type = buffer[at++];
        requireKnown(type);
        part[into] = type;
        short field = at;
        at = valueOffset(buffer, field, end);
        short length = length(buffer, field, end, at);
        short behind = (short) (at + length);
        if (isSecret(type)) {
            // Blocks alone are a multiple of 8; one byte more is the length of what they hold.
            boolean inner = (short) (length & 7) == 1;
            part[LENGTH] = inner ? (short) (buffer[at] & 0xFF) : length;
            part[BLOCKS] = inner ? (short) (length - 1) : length;
            part[VALUE] = inner ? (short) (at + 1) : at;
        } else {
            part[(short) (into + 1)] = at;
            part[(short) (into + 2)] = length;
        }
        return behind;
    }

    private static void requireKnown(byte type) {
        switch (type) {
            case Gp.KEY_TYPE_DES:
            case Gp.KEY_TYPE_DES_CBC:
            case Gp.KEY_TYPE_AES:
            case Gp.KEY_TYPE_RSA_EXPONENT:
            case Gp.KEY_TYPE_RSA_MODULUS:
            case Gp.KEY_TYPE_ECC_PUBLIC:
            case Gp.KEY_TYPE_ECC_PRIVATE:
            case Gp.KEY_TYPE_ECC_PARAMETERS:
                return;
            default:
                ISOException.throwIt(Gp.SW_ALGORITHM_NOT_SUPPORTED);
        }
    }

    private static short valueOffset(byte[] buffer, short field, short end) {
        if (field >= end) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        return buffer[field] == (byte) 0x80 ? (short) (field + 1) : Tlv.valueOffset(buffer, field);
    }

    private static short length(byte[] buffer, short field, short end, short value) {
        short length = buffer[field] == (byte) 0x80 ? (short) 0x80 : Tlv.length(buffer, field, end);
        if (length == 0 || length > (short) (end - value)) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        return length;
    }

    private static short unexpected() {
        ISOException.throwIt(Gp.SW_WRONG_DATA);
        return 0;
    }

    private short readCounted(byte[] buffer, short at, short end, short into, short lengthInto, short most) {
        if (at >= end) {
            return unexpected();
        }
        short length = (short) (buffer[at++] & 0xFF);
        if (length > most || length > (short) (end - at)) {
            return unexpected();
        }
        part[into] = at;
        part[lengthInto] = length;
        return (short) (at + length);
    }

    /** The exponent of an RSA key may come first; the modulus is the main component. */
    private void orderComponents() {
        if (type() == Gp.KEY_TYPE_RSA_EXPONENT && (byte) part[SECOND_TYPE] == Gp.KEY_TYPE_RSA_MODULUS) {
            for (short i = 0; i < 3; i++) {
                short kept = part[(short) (TYPE + i)];
                part[(short) (TYPE + i)] = part[(short) (SECOND_TYPE + i)];
                part[(short) (SECOND_TYPE + i)] = kept;
            }
        }
    }

    /** Checks that the components make a key of their kind, and their lengths. */
    private void checkComponents() {
        short length = part[LENGTH];
        byte second = (byte) part[SECOND_TYPE];
        short secondLength = part[SECOND_LENGTH];
        boolean right;
        switch (type()) {
            case Gp.KEY_TYPE_DES:
            case Gp.KEY_TYPE_DES_CBC:
                right = length == 16 || length == 24;
                break;
            case Gp.KEY_TYPE_AES:
                right = length == 16 || length == 24 || length == 32;
                break;
            case Gp.KEY_TYPE_RSA_MODULUS:
                right = second == Gp.KEY_TYPE_RSA_EXPONENT && secondLength <= 4 && PublicKeys.isRsaLength(length);
                break;
            case Gp.KEY_TYPE_ECC_PUBLIC:
            case Gp.KEY_TYPE_ECC_PRIVATE:
                right = secondLength == 0 || second == Gp.KEY_TYPE_ECC_PARAMETERS && secondLength <= 2;
                break;
            default:
                right = false; // a component that is no key by itself
                break;
        }
        if (isSecret(type())) {
            short padding = (short) (part[BLOCKS] - length);
            right = right && padding >= 0 && padding < Scp03Crypto.BLOCK;
        }
        if (!isSymmetric(type()) && part[CHECK_LENGTH] != 0) {
            right = false; // check values are of symmetric keys (clause B.6)
        }
        if (!right || part[CHECK_LENGTH] != 0 && part[CHECK_LENGTH] != KeyStore.CHECK_VALUE_SIZE) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
    }

    /** Returns the reference of an ECC key's curve: as given, or P-256 (00) and P-384 (01) by the length of the key. */
    byte curve(byte[] buffer) {
        if (part[SECOND_LENGTH] != 0) {
            return buffer[(short) (part[SECOND_VALUE] + part[SECOND_LENGTH] - 1)];
        }
        short length = part[LENGTH];
        return Curves.ofLength(type() == Gp.KEY_TYPE_ECC_PUBLIC ? (short) ((short) (length - 1) >> 1) : length);
    }

    /**
     * Puts the key, decrypted by now, into the store.
     *
     * @return its slot, nameless as yet, or null when there is no room
     */
    KeySlot store(KeyStore keys, byte[] buffer) {
        KeySlot slot = keys.add(type(), buffer, part[VALUE], part[LENGTH], (byte) part[SECOND_TYPE], part[SECOND_VALUE],
                part[SECOND_LENGTH]);
        if (slot != null && part[EXTENDED] != 0) {
            slot.extended = true;
            slot.usageLength = (byte) part[USAGE_LENGTH];
            slot.usage = part[USAGE_LENGTH] == 2 ? Util.getShort(buffer, part[USAGE])
                    : part[USAGE_LENGTH] == 1 ? (short) (buffer[part[USAGE]] & 0xFF) : 0;
            slot.accessLength = (byte) part[ACCESS_LENGTH];
            slot.access = part[ACCESS_LENGTH] == 1 ? buffer[part[ACCESS]] : 0;
        }
        return slot;
    }
}
