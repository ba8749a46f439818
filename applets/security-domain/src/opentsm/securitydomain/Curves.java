package opentsm.securitydomain;

import javacard.framework.Util;
import javacard.security.ECKey;
import javacard.security.ECPrivateKey;
import javacard.security.ECPublicKey;
import javacard.security.KeyBuilder;

/**
 * The curves that keys can be on: NIST P-256 and P-384, by the key parameter reference that GlobalPlatform gives them.
 *
 * <p>Spec: GP Card 2.3.1 clause B.4.3 (references of table B-2); FIPS 186-4 clause D.1.2; SEC 2 clause 2.
 */
final class Curves {
    /** Key parameter reference of P-256. */
    static final byte P256 = 0;

    /** Key parameter reference of P-384. */
    static final byte P384 = 1;

    /** No curve that is known here. */
    static final byte UNKNOWN = -1;

    /** Length of a scalar and of a coordinate, in bytes. */
    static final short P256_SIZE = 32;

    static final short P384_SIZE = 48;

    /** Length of the longest point: 04 and two coordinates. */
    static final short POINT_SIZE = 97;

    private static final short COFACTOR = 1;

    private static final byte[] P256_FIELD = {
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF,
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF
    };

    private static final byte[] P256_A = {
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF,
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFC
    };

    private static final byte[] P256_B = {
        0x5A, (byte) 0xC6, 0x35, (byte) 0xD8, (byte) 0xAA, 0x3A, (byte) 0x93, (byte) 0xE7, (byte) 0xB3, (byte) 0xEB,
        (byte) 0xBD, 0x55, 0x76, (byte) 0x98, (byte) 0x86, (byte) 0xBC, 0x65, 0x1D, 0x06, (byte) 0xB0, (byte) 0xCC,
        0x53, (byte) 0xB0, (byte) 0xF6, 0x3B, (byte) 0xCE, 0x3C, 0x3E, 0x27, (byte) 0xD2, 0x60, 0x4B
    };

    private static final byte[] P256_BASE = {
        0x04, 0x6B, 0x17, (byte) 0xD1, (byte) 0xF2, (byte) 0xE1, 0x2C, 0x42, 0x47, (byte) 0xF8, (byte) 0xBC,
        (byte) 0xE6, (byte) 0xE5, 0x63, (byte) 0xA4, 0x40, (byte) 0xF2, 0x77, 0x03, 0x7D, (byte) 0x81, 0x2D,
        (byte) 0xEB, 0x33, (byte) 0xA0, (byte) 0xF4, (byte) 0xA1, 0x39, 0x45, (byte) 0xD8, (byte) 0x98, (byte) 0xC2,
        (byte) 0x96, 0x4F, (byte) 0xE3, 0x42, (byte) 0xE2, (byte) 0xFE, 0x1A, 0x7F, (byte) 0x9B, (byte) 0x8E,
        (byte) 0xE7, (byte) 0xEB, 0x4A, 0x7C, 0x0F, (byte) 0x9E, 0x16, 0x2B, (byte) 0xCE, 0x33, 0x57, 0x6B, 0x31,
        0x5E, (byte) 0xCE, (byte) 0xCB, (byte) 0xB6, 0x40, 0x68, 0x37, (byte) 0xBF, 0x51, (byte) 0xF5
    };

    private static final byte[] P256_ORDER = {
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, 0x00, 0x00, 0x00, 0x00, (byte) 0xFF, (byte) 0xFF,
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xBC, (byte) 0xE6,
        (byte) 0xFA, (byte) 0xAD, (byte) 0xA7, 0x17, (byte) 0x9E, (byte) 0x84, (byte) 0xF3, (byte) 0xB9, (byte) 0xCA,
        (byte) 0xC2, (byte) 0xFC, 0x63, 0x25, 0x51
    };

    private static final byte[] P384_FIELD = {
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF,
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF,
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF,
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFE,
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF
    };

    private static final byte[] P384_A = {
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF,
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF,
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF,
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFE,
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFC
    };

    private static final byte[] P384_B = {
        (byte) 0xB3, 0x31, 0x2F, (byte) 0xA7, (byte) 0xE2, 0x3E, (byte) 0xE7, (byte) 0xE4, (byte) 0x98, (byte) 0x8E,
        0x05, 0x6B, (byte) 0xE3, (byte) 0xF8, 0x2D, 0x19, 0x18, 0x1D, (byte) 0x9C, 0x6E, (byte) 0xFE, (byte) 0x81,
        0x41, 0x12, 0x03, 0x14, 0x08, (byte) 0x8F, 0x50, 0x13, (byte) 0x87, 0x5A, (byte) 0xC6, 0x56, 0x39,
        (byte) 0x8D, (byte) 0x8A, 0x2E, (byte) 0xD1, (byte) 0x9D, 0x2A, (byte) 0x85, (byte) 0xC8, (byte) 0xED,
        (byte) 0xD3, (byte) 0xEC, 0x2A, (byte) 0xEF
    };

    private static final byte[] P384_BASE = {
        0x04, (byte) 0xAA, (byte) 0x87, (byte) 0xCA, 0x22, (byte) 0xBE, (byte) 0x8B, 0x05, 0x37, (byte) 0x8E,
        (byte) 0xB1, (byte) 0xC7, 0x1E, (byte) 0xF3, 0x20, (byte) 0xAD, 0x74, 0x6E, 0x1D, 0x3B, 0x62, (byte) 0x8B,
        (byte) 0xA7, (byte) 0x9B, (byte) 0x98, 0x59, (byte) 0xF7, 0x41, (byte) 0xE0, (byte) 0x82, 0x54, 0x2A, 0x38,
        0x55, 0x02, (byte) 0xF2, 0x5D, (byte) 0xBF, 0x55, 0x29, 0x6C, 0x3A, 0x54, 0x5E, 0x38, 0x72, 0x76, 0x0A,
        (byte) 0xB7, 0x36, 0x17, (byte) 0xDE, 0x4A, (byte) 0x96, 0x26, 0x2C, 0x6F, 0x5D, (byte) 0x9E, (byte) 0x98,
        (byte) 0xBF, (byte) 0x92, (byte) 0x92, (byte) 0xDC, 0x29, (byte) 0xF8, (byte) 0xF4, 0x1D, (byte) 0xBD, 0x28,
        (byte) 0x9A, 0x14, 0x7C, (byte) 0xE9, (byte) 0xDA, 0x31, 0x13, (byte) 0xB5, (byte) 0xF0, (byte) 0xB8,
        (byte) 0xC0, 0x0A, 0x60, (byte) 0xB1, (byte) 0xCE, 0x1D, 0x7E, (byte) 0x81, (byte) 0x9D, 0x7A, 0x43, 0x1D,
        0x7C, (byte) 0x90, (byte) 0xEA, 0x0E, 0x5F
    };

    private static final byte[] P384_ORDER = {
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF,
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF,
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF,
        (byte) 0xC7, 0x63, 0x4D, (byte) 0x81, (byte) 0xF4, 0x37, 0x2D, (byte) 0xDF, 0x58, 0x1A, 0x0D, (byte) 0xB2,
        0x48, (byte) 0xB0, (byte) 0xA7, 0x7A, (byte) 0xEC, (byte) 0xEC, 0x19, 0x6A, (byte) 0xCC, (byte) 0xC5, 0x29,
        0x73
    };

    private Curves() {}

    /** Returns the reference of the curve with coordinates of a length, or UNKNOWN. */
    static byte ofLength(short length) {
        return length == P256_SIZE ? P256 : length == P384_SIZE ? P384 : UNKNOWN;
    }

    /** Returns the length of a scalar and of a coordinate of a curve, or 0 of one that is not known. */
    static short size(byte curve) {
        return curve == P256 ? P256_SIZE : curve == P384 ? P384_SIZE : 0;
    }

    /** Returns the base point of a curve, whose multiple by a private key is the public key. */
    static byte[] base(byte curve) {
        return curve == P256 ? P256_BASE : P384_BASE;
    }

    /** Tells whether a curve has a parameter: a key type of B2 (field) to B7 (cofactor) with a value. */
    static boolean has(byte curve, byte type, byte[] buffer, short offset, short length) {
        if (curve == UNKNOWN) {
            return false;
        }
        if (type == Gp.KEY_TYPE_ECC_COFACTOR) {
            short last = (short) (offset + length - 1);
            while (offset < last && buffer[offset] == 0) {
                offset++;
            }
            return offset == last && buffer[last] == COFACTOR;
        }
        byte[] parameter = parameter(curve, type);
        return length == parameter.length && Util.arrayCompare(buffer, offset, parameter, (short) 0, length) == 0;
    }

    private static byte[] parameter(byte curve, byte type) {
        switch (type) {
            case Gp.KEY_TYPE_ECC_FIELD:
                return curve == P256 ? P256_FIELD : P384_FIELD;
            case Gp.KEY_TYPE_ECC_A:
                return curve == P256 ? P256_A : P384_A;
            case Gp.KEY_TYPE_ECC_B:
                return curve == P256 ? P256_B : P384_B;
            case Gp.KEY_TYPE_ECC_BASE:
                return base(curve);
            default:
                return curve == P256 ? P256_ORDER : P384_ORDER;
        }
    }

    /** Tells whether a number as long as the order is a private key: less than the order, and not 0. */
    static boolean isScalar(byte curve, byte[] number, short offset) {
        byte[] order = curve == P256 ? P256_ORDER : P384_ORDER;
        byte any = 0;
        for (short i = 0; i < order.length; i++) {
            any |= number[(short) (offset + i)];
        }
        return any != 0 && compare(number, offset, order) < 0;
    }

    private static short compare(byte[] number, short offset, byte[] order) {
        for (short i = 0; i < order.length; i++) {
            short difference = (short) ((short) (number[(short) (offset + i)] & 0xFF) - (short) (order[i] & 0xFF));
            if (difference != 0) {
                return difference;
            }
        }
        return 0;
    }

    /** Builds a key object for public keys of a curve. */
    static ECPublicKey publicKey(byte curve) {
        short bits = curve == P256 ? KeyBuilder.LENGTH_EC_FP_256 : KeyBuilder.LENGTH_EC_FP_384;
        ECPublicKey key = (ECPublicKey) KeyBuilder.buildKey(KeyBuilder.TYPE_EC_FP_PUBLIC, bits, false);
        setParameters(key, curve);
        return key;
    }

    /** Builds a key object for private keys of a curve; who uses it clears it. */
    static ECPrivateKey privateKey(byte curve) {
        short bits = curve == P256 ? KeyBuilder.LENGTH_EC_FP_256 : KeyBuilder.LENGTH_EC_FP_384;
        ECPrivateKey key = (ECPrivateKey) KeyBuilder.buildKey(KeyBuilder.TYPE_EC_FP_PRIVATE, bits, false);
        setParameters(key, curve);
        return key;
    }

    /** Gives a key object its curve: clearing one forgets that too. */
    static void setParameters(ECKey key, byte curve) {
        if (curve == P256) {
            key.setFieldFP(P256_FIELD, (short) 0, P256_SIZE);
            key.setA(P256_A, (short) 0, P256_SIZE);
            key.setB(P256_B, (short) 0, P256_SIZE);
            key.setG(P256_BASE, (short) 0, (short) P256_BASE.length);
            key.setR(P256_ORDER, (short) 0, P256_SIZE);
        } else {
            key.setFieldFP(P384_FIELD, (short) 0, P384_SIZE);
            key.setA(P384_A, (short) 0, P384_SIZE);
            key.setB(P384_B, (short) 0, P384_SIZE);
            key.setG(P384_BASE, (short) 0, (short) P384_BASE.length);
            key.setR(P384_ORDER, (short) 0, P384_SIZE);
        }
        key.setK(COFACTOR);
    }
}
