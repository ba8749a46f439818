package opentsm.piv;

import javacard.framework.JCSystem;
import javacard.security.KeyAgreement;
import javacard.security.Signature;
import javacardx.crypto.Cipher;

/** What computes with private keys; made once, for all keys. */
final class Engines {
    private static final short HASH_SIZE = 32;

    /** Raises to a private exponent; padding is the host's (SP 800-73-4 part 2 clause 3.2.4). */
    final Cipher rsa = Cipher.getInstance(Cipher.ALG_RSA_NOPAD, false);

    final Signature ecdsa = Signature.getInstance(Signature.ALG_ECDSA_SHA_256, false);

    /** The x-coordinate of the common point: the elliptic curve cryptography cofactor Diffie-Hellman of SP 800-56A. */
    final KeyAgreement ecdh = KeyAgreement.getInstance(KeyAgreement.ALG_EC_SVDP_DH_PLAIN, false);

    /** A hash that is being signed. */
    final byte[] hash = JCSystem.makeTransientByteArray(HASH_SIZE, JCSystem.CLEAR_ON_DESELECT);
}
