package com.licel.jcardsim.crypto;

import java.math.BigInteger;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.CryptoException;

/**
 * The value of a part of a key, in persistent or transient memory; in place of jCardSim's own.
 *
 * <p>jCardSim's makes a transient array whenever a cipher asks for the value, and takes the memory that is cleared on
 * deselect for keys that live until a reset.
 */
public final class ByteContainer {
    private byte[] data;
    private byte memoryType;
    private short length;

    public ByteContainer() {
        this(JCSystem.MEMORY_TYPE_PERSISTENT);
    }

    /** @param type MEMORY_TYPE_PERSISTENT, CLEAR_ON_RESET or CLEAR_ON_DESELECT */
    public ByteContainer(byte type) {
        memoryType = type;
    }

    public ByteContainer(BigInteger value) {
        setBigInteger(value);
    }

    public ByteContainer(byte[] bytes, short offset, short size) {
        setBytes(bytes, offset, size);
    }

    /** Sets a number that is not negative, in as few bytes as it takes. */
    public void setBigInteger(BigInteger value) {
        if (value.signum() < 0) {
            throw new IllegalArgumentException("a negative number");
        }
        byte[] bytes = value.toByteArray();
        int sign = bytes[0] == 0 && bytes.length > 1 ? 1 : 0;
        setBytes(bytes, (short) sign, (short) (bytes.length - sign));
    }

    public void setBytes(byte[] bytes) {
        setBytes(bytes, (short) 0, (short) bytes.length);
    }

    public void setBytes(byte[] bytes, short offset, short size) {
        if (data == null || data.length < size) {
            boolean persistent = memoryType == JCSystem.MEMORY_TYPE_PERSISTENT;
            data = persistent ? new byte[size] : JCSystem.makeTransientByteArray(size, memoryType);
        }
        Util.arrayCopy(bytes, offset, data, (short) 0, size);
        length = size;
    }

    public BigInteger getBigInteger() {
        requireInitialized();
        return new BigInteger(1, getBytes((byte) 0));
    }

    /** Returns a copy of the value for whoever computes with it; it takes none of the card's memory. */
    public byte[] getBytes(byte event) {
        requireInitialized();
        byte[] copy = new byte[length];
        System.arraycopy(data, 0, copy, 0, length);
        return copy;
    }

    public short getBytes(byte[] into, short offset) {
        requireInitialized();
        if (into.length - offset < length) {
            CryptoException.throwIt(CryptoException.ILLEGAL_VALUE);
        }
        Util.arrayCopy(data, (short) 0, into, offset, length);
        return length;
    }

    public void clear() {
        if (data != null) {
            Util.arrayFillNonAtomic(data, (short) 0, (short) data.length, (byte) 0);
        }
        length = 0;
    }

    public boolean isInitialized() {
        return length > 0;
    }

    private void requireInitialized() {
        if (length == 0) {
            CryptoException.throwIt(CryptoException.UNINITIALIZED_KEY);
        }
    }
}
