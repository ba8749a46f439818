package opentsm.securitydomain;

import javacard.security.ECPublicKey;
import javacard.security.KeyBuilder;
import javacard.security.PublicKey;
import javacard.security.RSAPublicKey;

/**
 * Key objects into which public keys of the store, or of a certificate, are loaded to verify with them.
 *
 * <p>One object for each length that is known, allocated at install; a load takes the place of what the object held.
 *
 * <p>Spec: GP Card 2.3.1 clauses B.3, B.4.
 */
final class PublicKeys {
    /** The longest RSA key: 4,096 bits. */
    private static final short RSA_MOST = 512;

    private static final short RSA_UNIT = 128;

    private final RSAPublicKey[] rsa;
    private final ECPublicKey p256;
    private final ECPublicKey p384;

    PublicKeys() {
        rsa = new RSAPublicKey[(short) (RSA_MOST / RSA_UNIT)];
        for (short i = 0; i < rsa.length; i++) {
            short bits = (short) ((short) (i + 1) << 10);
            rsa[i] = (RSAPublicKey) KeyBuilder.buildKey(KeyBuilder.TYPE_RSA_PUBLIC, bits, false);
        }
        p256 = Curves.publicKey(Curves.P256);
        p384 = Curves.publicKey(Curves.P384);
    }

    /** Tells whether RSA keys may have a modulus of a length: 1,024, 2,048, 3,072 or 4,096 bits. */
    static boolean isRsaLength(short length) {
        return length >= RSA_UNIT && length <= RSA_MOST && (short) (length % RSA_UNIT) == 0;
    }

    /** Loads a public key (type A1 or B0), or returns null for a slot of another type or an unknown curve. */
    PublicKey load(KeyStore keys, KeySlot slot) {
        if (slot.type == Gp.KEY_TYPE_RSA_MODULUS) {
            RSAPublicKey key = rsa[(short) (slot.length / RSA_UNIT - 1)];
            key.setModulus(keys.values(), slot.offset, slot.length);
            key.setExponent(keys.values(), slot.secondOffset(), slot.secondLength);
            return key;
        }
        return slot.type == Gp.KEY_TYPE_ECC_PUBLIC ? loadPoint(keys.values(), slot.offset, slot.length) : null;
    }

    /** Loads a point of P-256 or P-384, 04 and two coordinates, or returns null for one of another length. */
    ECPublicKey loadPoint(byte[] point, short offset, short length) {
        ECPublicKey key = length == (short) (1 + 2 * Curves.P256_SIZE) ? p256
                : length == (short) (1 + 2 * Curves.P384_SIZE) ? p384 : null;
        if (key != null) {
            key.setW(point, offset, length);
        }
        return key;
    }
}
