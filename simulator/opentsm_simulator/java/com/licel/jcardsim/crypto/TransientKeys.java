package com.licel.jcardsim.crypto;

import javacard.framework.JCSystem;
import javacard.security.CryptoException;
import javacard.security.Key;
import javacard.security.KeyBuilder;

/**
 * Private keys of RSA, DSA, EC and DH, and public ones of DH, that a reset or a deselection clears: jCardSim has none, or
 * keeps them as persistent ones.
 *
 * <p>All parts of such a key are transient, its domain parameters too: the event does what {@code Key.clearKey} does.
 *
 * <p>Spec: Java Card API 3.0.5, javacard.security.KeyBuilder (TYPE_*_TRANSIENT_*).
 */
public final class TransientKeys {
    private TransientKeys() {}

    /**
     * Makes a key, not initialized.
     *
     * @param type one of KeyBuilder's
     * @param bits its length
     * @return null: the type is none of these
     */
    public static Key build(byte type, short bits) throws CryptoException {
        switch (type) {
            case KeyBuilder.TYPE_RSA_PRIVATE_TRANSIENT_RESET:
            case KeyBuilder.TYPE_RSA_CRT_PRIVATE_TRANSIENT_RESET:
            case KeyBuilder.TYPE_DSA_PRIVATE_TRANSIENT_RESET:
            case KeyBuilder.TYPE_EC_F2M_PRIVATE_TRANSIENT_RESET:
            case KeyBuilder.TYPE_EC_FP_PRIVATE_TRANSIENT_RESET:
            case KeyBuilder.TYPE_DH_PUBLIC_TRANSIENT_RESET:
            case KeyBuilder.TYPE_DH_PRIVATE_TRANSIENT_RESET:
                return build(type, bits, JCSystem.MEMORY_TYPE_TRANSIENT_RESET);
            case KeyBuilder.TYPE_RSA_PRIVATE_TRANSIENT_DESELECT:
            case KeyBuilder.TYPE_RSA_CRT_PRIVATE_TRANSIENT_DESELECT:
            case KeyBuilder.TYPE_DSA_PRIVATE_TRANSIENT_DESELECT:
            case KeyBuilder.TYPE_EC_F2M_PRIVATE_TRANSIENT_DESELECT:
            case KeyBuilder.TYPE_EC_FP_PRIVATE_TRANSIENT_DESELECT:
            case KeyBuilder.TYPE_DH_PUBLIC_TRANSIENT_DESELECT:
            case KeyBuilder.TYPE_DH_PRIVATE_TRANSIENT_DESELECT:
                return build(type, bits, JCSystem.MEMORY_TYPE_TRANSIENT_DESELECT);
            default:
                return null;
        }
    }

    private static Key build(byte type, short bits, byte memory) {
        switch (type) {
            case KeyBuilder.TYPE_RSA_PRIVATE_TRANSIENT_RESET:
            case KeyBuilder.TYPE_RSA_PRIVATE_TRANSIENT_DESELECT:
                return rsa(RSAKeyImpl.build(true, bits), type, memory);
            case KeyBuilder.TYPE_RSA_CRT_PRIVATE_TRANSIENT_RESET:
            case KeyBuilder.TYPE_RSA_CRT_PRIVATE_TRANSIENT_DESELECT:
                return crt(new RSAPrivateCrtKeyImpl(bits), type, memory);
            case KeyBuilder.TYPE_DSA_PRIVATE_TRANSIENT_RESET:
            case KeyBuilder.TYPE_DSA_PRIVATE_TRANSIENT_DESELECT:
                return dsa(new DSAPrivateKeyImpl(bits), type, memory);
            case KeyBuilder.TYPE_EC_F2M_PRIVATE_TRANSIENT_RESET:
            case KeyBuilder.TYPE_EC_F2M_PRIVATE_TRANSIENT_DESELECT:
                return ec(new ECPrivateKeyImpl(KeyBuilder.TYPE_EC_F2M_PRIVATE, bits), type, memory);
            case KeyBuilder.TYPE_EC_FP_PRIVATE_TRANSIENT_RESET:
            case KeyBuilder.TYPE_EC_FP_PRIVATE_TRANSIENT_DESELECT:
                return ec(new ECPrivateKeyImpl(KeyBuilder.TYPE_EC_FP_PRIVATE, bits), type, memory);
            case KeyBuilder.TYPE_DH_PUBLIC_TRANSIENT_RESET:
            case KeyBuilder.TYPE_DH_PUBLIC_TRANSIENT_DESELECT:
                DHPublicKeyImpl shared = new DHPublicKeyImpl(bits);
                shared.y = new ByteContainer(memory);
                return dh(shared, type, memory);
            default:
                DHPrivateKeyImpl secret = new DHPrivateKeyImpl(bits);
                secret.x = new ByteContainer(memory);
                return dh(secret, type, memory);
        }
    }

    private static Key rsa(RSAKeyImpl key, byte type, byte memory) {
        key.exponent = new ByteContainer(memory);
        key.modulus = new ByteContainer(memory);
        key.type = type;
        return key;
    }

    private static Key crt(RSAPrivateCrtKeyImpl key, byte type, byte memory) {
        key.p = new ByteContainer(memory);
        key.q = new ByteContainer(memory);
        key.dp1 = new ByteContainer(memory);
        key.dq1 = new ByteContainer(memory);
        key.pq = new ByteContainer(memory);
        return rsa(key, type, memory);
    }

    private static Key dsa(DSAPrivateKeyImpl key, byte type, byte memory) {
        key.x = new ByteContainer(memory);
        key.p = new ByteContainer(memory);
        key.q = new ByteContainer(memory);
        key.g = new ByteContainer(memory);
        key.type = type;
        return key;
    }

    /** A new key of jCardSim's has the parameters of the curve of its length, so this one begins with them as well. */
    private static Key ec(ECPrivateKeyImpl key, byte type, byte memory) {
        byte persistent = key.type;
        key.s = new ByteContainer(memory);
        key.a = new ByteContainer(memory);
        key.b = new ByteContainer(memory);
        key.g = new ByteContainer(memory);
        key.r = new ByteContainer(memory);
        key.fp = new ByteContainer(memory);
        key.begin(persistent);
        key.type = type;
        return key;
    }

    private static Key dh(DHKeyImpl key, byte type, byte memory) {
        key.p = new ByteContainer(memory);
        key.q = new ByteContainer(memory);
        key.g = new ByteContainer(memory);
        key.type = type;
        return key;
    }
}
