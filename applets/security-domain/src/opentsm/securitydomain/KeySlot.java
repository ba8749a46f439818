package opentsm.securitydomain;

import javacard.framework.Util;

/**
 * One key of a Security Domain, or room for one.
 *
 * <p>All of it is persistent. The value is kept as bytes, not as a Key object, so that all keys of one PUT KEY change in
 * one transaction: a Key object's setKey promises no such thing.
 *
 * <p>Spec: GP Card 2.3.1 clause 7.5 (key identifier, version, type, length).
 */
final class KeySlot {
    static final short VALUE_SIZE = 32;
    static final short COUNTER_SIZE = 3;

    /** Key version number 01..7F; 00 marks free room. */
    byte version;

    /** Key identifier 01..7F: of an SCP03 set 01 is Key-ENC, 02 Key-MAC, 03 Key-DEK (Amendment D clause 5). */
    byte identifier;

    /** Gp.KEY_TYPE_*. */
    byte type;

    /** Length of the value in bytes. */
    byte length;

    final byte[] value = new byte[VALUE_SIZE];

    /** Sequence counter of the set that this Key-ENC begins; unused in other slots (Amendment D clause 6.2.2.1). */
    final byte[] counter = new byte[COUNTER_SIZE];

    /** Authentications that failed with the set that this Key-ENC begins, since the last that succeeded. */
    byte failures;

    boolean isFree() {
        return version == 0;
    }

    /** Writes the C0 structure of the key information template (clause 11.3.3.1): identifier, version, type, length. */
    short describe(byte[] buffer, short offset) {
        buffer[offset++] = (byte) 0xC0;
        buffer[offset++] = 4;
        buffer[offset++] = identifier;
        buffer[offset++] = version;
        buffer[offset++] = type;
        buffer[offset++] = length;
        return offset;
    }

    /** Gives the slot a new key, with the sequence counter at zero. */
    void set(byte newVersion, byte newIdentifier, byte newType, byte newLength, byte[] source, short offset) {
        Util.arrayCopy(source, offset, value, (short) 0, newLength);
        counter[0] = 0;
        counter[1] = 0;
        counter[2] = 0;
        failures = 0;
        identifier = newIdentifier;
        type = newType;
        length = newLength;
        version = newVersion;
    }

    /** Forgets the key, its bytes too. */
    void clear() {
        version = 0;
        identifier = 0;
        type = 0;
        length = 0;
        for (short i = 0; i < VALUE_SIZE; i++) {
            value[i] = 0;
        }
    }

    /** Tells whether the sequence counter is at its end: the set can open no further session. */
    boolean isCounterExhausted() {
        return counter[0] == (byte) 0xFF && counter[1] == (byte) 0xFF && counter[2] == (byte) 0xFF;
    }

    /** Adds one to the sequence counter, most significant byte first, in one atomic write. */
    void incrementCounter(byte[] scratch, short offset) {
        Util.arrayCopyNonAtomic(counter, (short) 0, scratch, offset, COUNTER_SIZE);
        for (short i = (short) (offset + COUNTER_SIZE - 1); i >= offset; i--) {
            scratch[i]++;
            if (scratch[i] != 0) {
                break;
            }
        }
        Util.arrayCopy(scratch, offset, counter, (short) 0, COUNTER_SIZE);
    }
}
