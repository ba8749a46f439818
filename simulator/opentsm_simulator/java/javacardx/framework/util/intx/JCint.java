package javacardx.framework.util.intx;

import javacard.framework.JCSystem;
import javacard.framework.SystemException;
import javacard.framework.TransactionException;
import opentsm.runtime.CardRuntime;

/**
 * Functions for ints. In place of jCardSim's, which lacks two of them.
 *
 * <p>Spec: Java Card API 3.0.5, javacardx.framework.util.intx.JCint.
 */
public final class JCint {
    JCint() {}

    public static final int makeInt(byte b1, byte b2, byte b3, byte b4) {
        return b1 << 24 | (b2 & 0xFF) << 16 | (b3 & 0xFF) << 8 | b4 & 0xFF;
    }

    public static final int makeInt(short s1, short s2) {
        return s1 << 16 | s2 & 0xFFFF;
    }

    public static final int getInt(byte[] bArray, short bOff)
            throws NullPointerException, ArrayIndexOutOfBoundsException {
        return makeInt(bArray[bOff], bArray[bOff + 1], bArray[bOff + 2], bArray[bOff + 3]);
    }

    public static final short setInt(byte[] bArray, short bOff, int iValue)
            throws TransactionException, NullPointerException, ArrayIndexOutOfBoundsException {
        if (bOff < 0 || bOff + 4 > bArray.length) {
            throw new ArrayIndexOutOfBoundsException();
        }
        for (int i = 0; i < 4; i++) {
            bArray[bOff + i] = (byte) (iValue >> 24 - 8 * i);
        }
        return (short) (bOff + 4);
    }

    public static final int[] makeTransientIntArray(short length, byte event)
            throws NegativeArraySizeException, SystemException {
        if (event != JCSystem.CLEAR_ON_RESET && event != JCSystem.CLEAR_ON_DESELECT) {
            SystemException.throwIt(SystemException.ILLEGAL_VALUE);
        }
        return CardRuntime.current().makeTransientInts(length, event);
    }
}
