package javacardx.framework.util;

import java.lang.reflect.Array;
import javacard.framework.TransactionException;

/**
 * Functions for arrays of bytes, shorts and ints. In place of jCardSim's, which has none of them.
 *
 * <p>What is atomic here, and what no transaction undoes, is the card's memory's to see to, around each call.
 *
 * <p>Spec: Java Card API 3.0.5, javacardx.framework.util.ArrayLogic.
 */
public final class ArrayLogic {
    private static final short NOT_FOUND = -1;

    ArrayLogic() {}

    public static final short arrayCopyRepack(Object src, short srcOff, short srcLen, Object dest, short destOff)
            throws ArrayIndexOutOfBoundsException, NullPointerException, UtilException, TransactionException {
        return arrayCopyRepackNonAtomic(src, srcOff, srcLen, dest, destOff);
    }

    public static final short arrayCopyRepackNonAtomic(Object src, short srcOff, short srcLen, Object dest,
            short destOff) throws ArrayIndexOutOfBoundsException, NullPointerException, UtilException {
        int from = width(src);
        int to = width(dest);
        int bytes = srcLen * from;
        if (bytes % to != 0) {
            UtilException.throwIt(UtilException.ILLEGAL_VALUE);
        }
        int elements = bytes / to;
        requireRange(src, srcOff, srcLen);
        requireRange(dest, destOff, elements);
        byte[] moved = new byte[bytes];
        for (int i = 0; i < bytes; i++) {
            moved[i] = (byte) (Array.getInt(src, srcOff + i / from) >> 8 * (from - 1 - i % from));
        }
        for (int i = 0; i < elements; i++) {
            set(dest, destOff + i, number(moved, i * to, to));
        }
        return (short) (destOff + elements);
    }

    public static final short arrayFillGeneric(Object theArray, short off, short len, Object valArray, short valOff)
            throws ArrayIndexOutOfBoundsException, NullPointerException, UtilException, TransactionException {
        return arrayFillGenericNonAtomic(theArray, off, len, valArray, valOff);
    }

    public static final short arrayFillGenericNonAtomic(Object theArray, short off, short len, Object valArray,
            short valOff) throws ArrayIndexOutOfBoundsException, NullPointerException, UtilException {
        if (width(theArray) != width(valArray)) {
            UtilException.throwIt(UtilException.TYPE_MISMATCHED);
        }
        requireRange(theArray, off, len);
        requireRange(valArray, valOff, 1);
        int value = Array.getInt(valArray, valOff);
        for (int i = 0; i < len; i++) {
            set(theArray, off + i, value);
        }
        return (short) (off + len);
    }

    public static final byte arrayCompareGeneric(Object src, short srcOff, Object dest, short destOff, short length)
            throws ArrayIndexOutOfBoundsException, NullPointerException, UtilException {
        int width = width(src);
        if (width != width(dest)) {
            UtilException.throwIt(UtilException.TYPE_MISMATCHED);
        }
        requireRange(src, srcOff, length);
        requireRange(dest, destOff, length);
        for (int i = 0; i < length; i++) {
            int left = Array.getInt(src, srcOff + i);
            int right = Array.getInt(dest, destOff + i);
            if (left != right) {
                // Bytes are compared as Util.arrayCompare does, without sign.
                boolean less = width == 1 ? (left & 0xFF) < (right & 0xFF) : left < right;
                return (byte) (less ? -1 : 1);
            }
        }
        return 0;
    }

    public static final short arrayFindGeneric(Object theArray, short off, byte[] valArray, short valOff)
            throws ArrayIndexOutOfBoundsException, NullPointerException, UtilException {
        int width = width(theArray);
        requireRange(theArray, off, 0);
        requireRange(valArray, valOff, width);
        int wanted = number(valArray, valOff, width);
        for (int i = off; i < Array.getLength(theArray); i++) {
            if (Array.getInt(theArray, i) == wanted) {
                return (short) i;
            }
        }
        return NOT_FOUND;
    }

    /** Returns how many bytes an element has. */
    private static int width(Object array) {
        if (array == null) {
            throw new NullPointerException();
        }
        if (array instanceof byte[]) {
            return 1;
        }
        if (array instanceof short[]) {
            return 2;
        }
        if (!(array instanceof int[])) {
            UtilException.throwIt(UtilException.ILLEGAL_VALUE);
        }
        return 4;
    }

    private static void requireRange(Object array, int offset, int length) {
        if (offset < 0 || length < 0 || offset + length > Array.getLength(array)) {
            throw new ArrayIndexOutOfBoundsException();
        }
    }

    private static int number(byte[] bytes, int offset, int width) {
        int value = bytes[offset];
        for (int i = 1; i < width; i++) {
            value = value << 8 | bytes[offset + i] & 0xFF;
        }
        return value;
    }

    private static void set(Object array, int index, int value) {
        if (array instanceof byte[]) {
            ((byte[]) array)[index] = (byte) value;
        } else if (array instanceof short[]) {
            ((short[]) array)[index] = (short) value;
        } else {
            ((int[]) array)[index] = value;
        }
    }
}
