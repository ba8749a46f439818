package com.licel.jcardsim.crypto;

import java.math.BigInteger;
import java.util.Arrays;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.CryptoException;

/**
 * The bytes of one part of a key. In place of jCardSim's, which makes a new transient array each time that a key is set or
 * used, and none of them ever goes: a card has memory for so many.
 *
 * <p>An array stays for the next bytes of its length, and is cleared when the key's kind says. A transient one has a mark
 * behind the bytes: what clears them takes it as well, and they count as never set.
 *
 * <p>Spec: Java Card API 3.0.5, javacard.security.KeyBuilder (TYPE_*_TRANSIENT_*), Key.clearKey.
 */
public final class ByteContainer {
    private static final byte MARK = 1;

    private byte[] data;
    private byte memoryType;

    /** How many bytes there are; 0 as long as nothing was set. */
    private short length;

    public ByteContainer() {
        this(JCSystem.MEMORY_TYPE_PERSISTENT);
    }

    public ByteContainer(byte memoryType) {
        this.memoryType = memoryType;
    }

    public ByteContainer(BigInteger number) {
        this();
        setBigInteger(number);
    }

    public ByteContainer(byte[] buffer, short offset, short length) {
        this();
        setBytes(buffer, offset, length);
    }

    /** Takes a number as unsigned bytes, the most significant first. */
    public void setBigInteger(BigInteger number) {
        byte[] bytes = number.toByteArray();
        setBytes(bytes.length > 1 && bytes[0] == 0 ? Arrays.copyOfRange(bytes, 1, bytes.length) : bytes);
    }

    public void setBytes(byte[] buffer) {
        setBytes(buffer, (short) 0, (short) buffer.length);
    }

    public void setBytes(byte[] buffer, short offset, short newLength) {
        short size = isTransient() ? (short) (newLength + 1) : newLength;
        if (data == null || data.length != size) {
            data = make(size);
        }
        Util.arrayCopy(buffer, offset, data, (short) 0, newLength);
        if (isTransient()) {
            data[newLength] = MARK;
        }
        length = newLength;
    }

    private boolean isTransient() {
        return memoryType != JCSystem.MEMORY_TYPE_PERSISTENT;
    }

    private byte[] make(short size) {
        switch (memoryType) {
            case JCSystem.MEMORY_TYPE_TRANSIENT_DESELECT:
                return JCSystem.makeTransientByteArray(size, JCSystem.CLEAR_ON_DESELECT);
            case JCSystem.MEMORY_TYPE_TRANSIENT_RESET:
                return JCSystem.makeTransientByteArray(size, JCSystem.CLEAR_ON_RESET);
            default:
                return new byte[size];
        }
    }

    public BigInteger getBigInteger() {
        return isInitialized() ? new BigInteger(1, Arrays.copyOf(data, length)) : null;
    }

    /** Returns a copy; what uses it does so within a call, so it is none of the card's memory, whatever the event. */
    public byte[] getBytes(byte event) {
        requireInitialized();
        return Arrays.copyOf(data, length);
    }

    public short getBytes(byte[] destination, short offset) {
        requireInitialized();
        Util.arrayCopy(data, (short) 0, destination, offset, length);
        return length;
    }

    /** Returns how many bytes were set last. */
    short length() {
        return length;
    }

    private void requireInitialized() {
        if (!isInitialized()) {
            CryptoException.throwIt(CryptoException.UNINITIALIZED_KEY);
        }
    }

    public void clear() {
        if (data != null) {
            Util.arrayFillNonAtomic(data, (short) 0, (short) data.length, (byte) 0);
        }
        length = 0;
    }

    public boolean isInitialized() {
        return length != 0 && (!isTransient() || data.length > length && data[length] == MARK);
    }
}
