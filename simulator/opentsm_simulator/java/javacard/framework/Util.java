package javacard.framework;

/**
 * Common utility functions. In place of jCardSim's, which lacks {@link #arrayFill}.
 *
 * <p>What is atomic here, and what no transaction undoes, is the card's memory's to see to, around each call.
 *
 * <p>Spec: Java Card API 3.0.5, javacard.framework.Util.
 */
public class Util {
    Util() {}

    public static final short arrayCopy(byte[] src, short srcOff, byte[] dest, short destOff, short length)
            throws ArrayIndexOutOfBoundsException, NullPointerException, TransactionException {
        return arrayCopyNonAtomic(src, srcOff, dest, destOff, length);
    }

    public static final short arrayCopyNonAtomic(byte[] src, short srcOff, byte[] dest, short destOff, short length)
            throws ArrayIndexOutOfBoundsException, NullPointerException {
        System.arraycopy(src, srcOff, dest, destOff, length);
        return (short) (destOff + length);
    }

    public static final short arrayFill(byte[] bArray, short bOff, short bLen, byte bValue)
            throws ArrayIndexOutOfBoundsException, NullPointerException, TransactionException {
        return arrayFillNonAtomic(bArray, bOff, bLen, bValue);
    }

    public static final short arrayFillNonAtomic(byte[] bArray, short bOff, short bLen, byte bValue)
            throws ArrayIndexOutOfBoundsException, NullPointerException {
        requireRange(bArray.length, bOff, bLen);
        java.util.Arrays.fill(bArray, bOff, bOff + bLen, bValue);
        return (short) (bOff + bLen);
    }

    public static final byte arrayCompare(byte[] src, short srcOff, byte[] dest, short destOff, short length)
            throws ArrayIndexOutOfBoundsException, NullPointerException {
        requireRange(src.length, srcOff, length);
        requireRange(dest.length, destOff, length);
        for (int i = 0; i < length; i++) {
            int left = src[srcOff + i] & 0xFF;
            int right = dest[destOff + i] & 0xFF;
            if (left != right) {
                return (byte) (left < right ? -1 : 1);
            }
        }
        return 0;
    }

    private static void requireRange(int size, int offset, int length) {
        if (offset < 0 || length < 0 || offset + length > size) {
            throw new ArrayIndexOutOfBoundsException();
        }
    }

    public static final short makeShort(byte b1, byte b2) {
        return (short) (b1 << 8 | b2 & 0xFF);
    }

    public static final short getShort(byte[] bArray, short bOff)
            throws NullPointerException, ArrayIndexOutOfBoundsException {
        return makeShort(bArray[bOff], bArray[bOff + 1]);
    }

    public static final short setShort(byte[] bArray, short bOff, short sValue)
            throws TransactionException, NullPointerException, ArrayIndexOutOfBoundsException {
        requireRange(bArray.length, bOff, 2);
        bArray[bOff] = (byte) (sValue >> 8);
        bArray[bOff + 1] = (byte) sValue;
        return (short) (bOff + 2);
    }
}
