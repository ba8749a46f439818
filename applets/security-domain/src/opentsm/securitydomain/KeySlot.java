package opentsm.securitydomain;

import javacard.framework.Util;

/**
 * One key of a Security Domain, of one or two components, or room for one.
 *
 * <p>All of it is persistent. The value is kept as bytes in the key store's array, not as a Key object, so that all keys
 * of one PUT KEY change in one transaction: a Key object's setKey promises no such thing. The first component is the key
 * or its main part (an RSA modulus, a point, a scalar), the second the public exponent of RSA, or the reference to the
 * curve's parameters (F0).
 *
 * <p>Spec: GP Card 2.3.1 clauses 7.5 (key attributes), 11.3.3.1 (key information), 11.1.8 (types), 11.1.9 (usage),
 * 11.1.10 (access).
 */
final class KeySlot {
    static final short COUNTER_SIZE = 3;

    private static final byte TAG_INFORMATION = (byte) 0xC0;

    /** Key version number 01..7F, or FF of initial keys; 00 marks free room. */
    byte version;

    /** Key identifier 00..7F: of an SCP02 or SCP03 set 01 is Key-ENC, 02 Key-MAC, 03 Key-DEK. */
    byte identifier;

    /** Gp.KEY_TYPE_* of the first component. */
    byte type;

    /** Gp.KEY_TYPE_* of the second component; its length is 0 when there is none. */
    byte secondType;

    /** Where the value begins in the store's array: the first component, then the second. */
    short offset;

    /** Length of the first component in bytes. */
    short length;

    /** Length of the second component in bytes. */
    short secondLength;

    /** The key came with usage and access, and is described with them (the extended format). */
    boolean extended;

    /** Key usage qualifier: 0, 1 or 2 bytes of it. */
    byte usageLength;

    short usage;

    /** Key access: 0 or 1 byte. */
    byte accessLength;

    byte access;

    /** Sequence counter of the set that this Key-ENC begins; unused in other slots (Amendment D clause 6.2.2.1). */
    final byte[] counter = new byte[COUNTER_SIZE];

    /** Authentications that failed with this key, or the set that it begins, since the last that succeeded. */
    byte failures;

    boolean isFree() {
        return version == 0;
    }

    /** Returns the length of the whole value. */
    short size() {
        return (short) (length + secondLength);
    }

    /** Returns where the second component begins in the store's array. */
    short secondOffset() {
        return (short) (offset + length);
    }

    /** Tells whether the key itself may be used by the Security Domain (key access 02: by applications alone). */
    boolean isForDomain() {
        return accessLength == 0 || access == 0 || access == 1;
    }

    /**
     * Writes the C0 structure of the key information template: identifier, version, type and length of each component;
     * in the extended format with types and lengths of two bytes, usage and access. A point's length is without its 04,
     * and in place of a parameter reference's length stands the reference.
     *
     * <p>Spec: clause 11.3.3.1.1.
     *
     * @param values the store's array
     */
    short describe(byte[] values, byte[] buffer, short at) {
        short start = at;
        buffer[at++] = TAG_INFORMATION;
        at++;
        buffer[at++] = identifier;
        buffer[at++] = version;
        boolean wide = extended || length > 255;
        at = describe(buffer, at, wide, type, type == Gp.KEY_TYPE_ECC_PUBLIC ? (short) (length - 1) : length);
        if (secondLength != 0) {
            boolean reference = secondType == Gp.KEY_TYPE_ECC_PARAMETERS;
            short last = (short) (secondOffset() + secondLength - 1);
            at = describe(buffer, at, wide, secondType, reference ? (short) (values[last] & 0xFF) : secondLength);
        }
        if (wide) {
            buffer[at++] = usageLength;
            if (usageLength == 2) {
                at = Util.setShort(buffer, at, usage);
            } else if (usageLength == 1) {
                buffer[at++] = (byte) usage;
            }
            buffer[at++] = accessLength;
            if (accessLength == 1) {
                buffer[at++] = access;
            }
        }
        buffer[(short) (start + 1)] = (byte) (at - start - 2);
        return at;
    }

    private static short describe(byte[] buffer, short at, boolean wide, byte type, short length) {
        if (wide) {
            buffer[at++] = Gp.KEY_TYPE_EXTENDED;
            buffer[at++] = type;
            return Util.setShort(buffer, at, length);
        }
        buffer[at++] = type;
        buffer[at++] = (byte) length;
        return at;
    }

    /** Names a key and begins its counters at zero; the store sets the value. */
    void name(byte newVersion, byte newIdentifier) {
        resetCounter();
        failures = 0;
        identifier = newIdentifier;
        version = newVersion;
    }

    /** Forgets all but the bytes of the value, which the store forgets. */
    void clear() {
        version = 0;
        identifier = 0;
        type = 0;
        secondType = 0;
        offset = 0;
        length = 0;
        secondLength = 0;
        extended = false;
        usageLength = 0;
        usage = 0;
        accessLength = 0;
        access = 0;
        failures = 0;
    }

    void resetCounter() {
        counter[0] = 0;
        counter[1] = 0;
        counter[2] = 0;
    }

    /** Tells whether the sequence counter is at its end: the set can open no further session. */
    boolean isCounterExhausted() {
        return counter[0] == (byte) 0xFF && counter[1] == (byte) 0xFF && counter[2] == (byte) 0xFF;
    }

    /** Adds one to the sequence counter, most significant byte first, in one atomic write. */
    void incrementCounter(byte[] scratch, short at) {
        Util.arrayCopyNonAtomic(counter, (short) 0, scratch, at, COUNTER_SIZE);
        for (short i = (short) (at + COUNTER_SIZE - 1); i >= at; i--) {
            scratch[i]++;
            if (scratch[i] != 0) {
                break;
            }
        }
        Util.arrayCopy(scratch, at, counter, (short) 0, COUNTER_SIZE);
    }
}
