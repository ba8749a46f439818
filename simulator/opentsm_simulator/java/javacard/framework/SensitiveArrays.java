package javacard.framework;

import java.lang.reflect.Array;

/**
 * Integrity-sensitive arrays, which this card does not have, as a card may say (JC API 3.0.5); in place of jCardSim's, of
 * which nothing can be called.
 *
 * <p>Spec: Java Card API 3.0.5, javacard.framework.SensitiveArrays.
 */
public class SensitiveArrays {
    private SensitiveArrays() {}

    public static boolean isIntegritySensitiveArraysSupported() {
        return false;
    }

    public static boolean isIntegritySensitive(Object obj) {
        return false;
    }

    public static void assertIntegrity(Object obj) {
        SystemException.throwIt(SystemException.ILLEGAL_USE);
    }

    public static Object makeIntegritySensitiveArray(byte type, byte memory, short length) {
        SystemException.throwIt(SystemException.ILLEGAL_USE);
        return null;
    }

    /** Clears an array of any kind, and returns its length. */
    public static short clearArray(Object obj) throws TransactionException {
        int length = Array.getLength(obj);
        System.arraycopy(Array.newInstance(obj.getClass().getComponentType(), length), 0, obj, 0, length);
        return (short) length;
    }
}
