package opentsm.openpgp;

import javacard.framework.JCSystem;
import javacard.security.KeyAgreement;
import javacard.security.Signature;
import javacardx.crypto.Cipher;

/** What computes with private keys; made once, for all keys. */
final class Engines {
    /** Signs, with padding of type 1, and deciphers, with type 2 (RFC 8017 clauses 8.2, 7.2). */
    final Cipher rsa = Cipher.getInstance(Cipher.ALG_RSA_PKCS1, false);

    final Signature ecdsa = Signature.getInstance(Signature.ALG_ECDSA_SHA_256, false);

    /** The x-coordinate of the common point. */
    final KeyAgreement ecdh = KeyAgreement.getInstance(KeyAgreement.ALG_EC_SVDP_DH_PLAIN, false);

    /** A hash that is being signed, and the signature of P-256 in DER. */
    final byte[] scratch = JCSystem.makeTransientByteArray((short) 80, JCSystem.CLEAR_ON_DESELECT);
}
