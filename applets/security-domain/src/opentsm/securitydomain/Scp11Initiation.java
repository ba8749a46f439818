package opentsm.securitydomain;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.ECPrivateKey;
import javacard.security.ECPublicKey;
import javacard.security.KeyAgreement;
import javacard.security.MessageDigest;
import javacard.security.Signature;
import opentsm.open.Open;
import org.globalplatform.SecureChannel;

/**
 * The beginning of an SCP11 session: the chain of certificates of the off-card entity, then agreement on keys.
 *
 * <p>SCP11a and SCP11c: PERFORM SECURITY OPERATION brings certificates, the first signed with an authority's key that the
 * domain has, each with the key of the one before, the last for key agreement; MUTUAL AUTHENTICATE agrees on keys with
 * that one. SCP11b: INTERNAL AUTHENTICATE, without any certificate, so that the domain alone is authenticated.
 *
 * <p>Spec: GP Amendment F clauses 3.1, 4.2, 6.4 to 6.6 (commands), 7.2 (keys); BSI TR-03111 clause 4.3.3 (X9.63 KDF).
 */
final class Scp11Initiation {
    /** Key identifiers of the domain's private keys (table 7-1). */
    private static final byte ID_A = 0x11;

    private static final byte ID_B = 0x13;
    private static final byte ID_C = 0x15;

    /** Parameters in tag 90 (table 6-3). */
    private static final byte PARAMETERS_A = 0x01;

    private static final byte PARAMETERS_B = 0x00;
    private static final byte PARAMETERS_C = 0x03;

    private static final short TAG_REFERENCE = 0x00A6;
    private static final short TAG_PROTOCOL = 0x0090;
    private static final short TAG_USAGE = 0x0095;
    private static final short TAG_KEY_TYPE = 0x0080;
    private static final short TAG_KEY_LENGTH = 0x0081;
    private static final short TAG_PUBLIC_KEY = 0x5F49;
    private static final short TAG_RECEIPT = 0x0086;

    /** Key usage: C-MAC and R-MAC; with encryption both ways. */
    private static final byte USAGE_MAC = 0x34;

    private static final byte USAGE_ALL = 0x3C;

    private static final short POINT_SIZE = (short) (1 + 2 * Curves.P256_SIZE);
    private static final short HASH_SIZE = 32;
    private static final short RECEIPT_SIZE = 16;
    private static final short MOST_KEYS = 160;
    private static final short S8 = 8;
    private static final short S16 = 16;

    /** Certificates that come in several commands (P1 b8). */
    private static final short CERTIFICATE_SIZE = 1024;

    /** Layout of the chain: state, the selection it belongs to, the current one, the subject's hash, the point. */
    private static final short STATE = 0;

    private static final short SELECTION = 1;
    private static final short NOW = 5;
    private static final short SUBJECT = 9;
    private static final short POINT = 41;
    private static final short CHAIN_SIZE = (short) (POINT + POINT_SIZE);

    private static final byte NONE = 0;
    private static final byte GOES_ON = 1;
    private static final byte READY = 2;

    /** Layout of the scratch memory: shared secrets and shared information, the keys. */
    private static final short SECRET = 0;

    private static final short COUNTER = 64;
    private static final short INFORMATION = 68;
    private static final short KEYS = 72;
    private static final short HASH = (short) (KEYS + MOST_KEYS);
    private static final short SCRATCH_SIZE = (short) (HASH + HASH_SIZE);

    /** The key agreement asked for: usage, key length; where the host's point is. */
    private static final short ASKED_USAGE = 0;

    private static final short ASKED_LENGTH = 1;
    private static final short ASKED_POINT = 2;
    private static final short ASKED = 3;

    private final KeyStore keys;
    private final Protocols protocols;
    private final CertificateStore certificates;
    private final Scp03Crypto crypto;
    private final Certificate certificate;
    private final PublicKeys publicKeys;
    private final Signature ecdsa;
    private final MessageDigest sha256;
    private final KeyAgreement agreement;
    private final KeyAgreement multiplication;
    private final ECPrivateKey ephemeral;
    private final ECPrivateKey working;

    /** All cleared at reset. */
    private final byte[] chain;

    private final Object[] authority;
    private final byte[] pending;
    private final short[] pendingLength;
    private final byte[] scratch;
    private final short[] asked;

    Scp11Initiation(KeyStore keys, Protocols protocols, CertificateStore certificates, Scp03Crypto crypto,
            PublicKeys publicKeys) {
        this.keys = keys;
        this.protocols = protocols;
        this.certificates = certificates;
        this.crypto = crypto;
        this.publicKeys = publicKeys;
        certificate = new Certificate();
        ecdsa = Signature.getInstance(Signature.ALG_ECDSA_SHA_256, false);
        sha256 = MessageDigest.getInstance(MessageDigest.ALG_SHA_256, false);
        agreement = KeyAgreement.getInstance(KeyAgreement.ALG_EC_SVDP_DH_PLAIN, false);
        multiplication = KeyAgreement.getInstance(KeyAgreement.ALG_EC_SVDP_DH_PLAIN_XY, false);
        ephemeral = Curves.privateKey(Curves.P256);
        working = Curves.privateKey(Curves.P256);
        chain = JCSystem.makeTransientByteArray(CHAIN_SIZE, JCSystem.CLEAR_ON_RESET);
        authority = JCSystem.makeTransientObjectArray((short) 1, JCSystem.CLEAR_ON_RESET);
        pending = JCSystem.makeTransientByteArray(CERTIFICATE_SIZE, JCSystem.CLEAR_ON_RESET);
        pendingLength = JCSystem.makeTransientShortArray((short) 1, JCSystem.CLEAR_ON_RESET);
        scratch = JCSystem.makeTransientByteArray(SCRATCH_SIZE, JCSystem.CLEAR_ON_RESET);
        asked = JCSystem.makeTransientShortArray(ASKED, JCSystem.CLEAR_ON_RESET);
    }

    private void end() {
        chain[STATE] = NONE;
        pendingLength[0] = 0;
        authority[0] = null;
    }

    /** Forgets a chain that belongs to a selection no longer in force. */
    private void settle() {
        Open.getSelection(chain, NOW);
        if (!Selections.equal(chain, SELECTION, NOW)) {
            end();
            Selections.copy(chain, NOW, SELECTION);
        }
    }

    private void refuse(short status) {
        end();
        ISOException.throwIt(status);
    }

    /**
     * Runs PERFORM SECURITY OPERATION: a certificate, or a part of one.
     *
     * @param p1 version of the authority's key; b8: the certificate goes on in the next command
     * @param p2 identifier of the authority's key; b8: another certificate follows
     */
    void certificate(byte[] buffer, byte p1, byte p2, short data, short end) {
        settle();
        byte[] source = buffer;
        if (p1 < 0 || pendingLength[0] != 0) {
            short length = (short) (end - data);
            if (length > (short) (CERTIFICATE_SIZE - pendingLength[0])) {
                refuse(Gp.SW_NOT_ENOUGH_MEMORY);
            }
            pendingLength[0] = (short) (Util.arrayCopyNonAtomic(buffer, data, pending, pendingLength[0], length));
            if (p1 < 0) {
                return;
            }
            source = pending;
            data = 0;
            end = pendingLength[0];
            pendingLength[0] = 0;
        }
        boolean first = chain[STATE] != GOES_ON;
        if (first) {
            begin((byte) (p1 & 0x7F), (byte) (p2 & 0x7F));
        }
        byte before = chain[STATE];
        // Whatever is wrong from here on leaves no chain behind.
        chain[STATE] = NONE;
        while (data < end) {
            data = certificate.read(source, data, end);
            verify(source, first);
            boolean last = p2 >= 0 && data == end;
            if (!(last ? certificate.canAgree() : certificate.canSign())) {
                refuse(Gp.SW_WRONG_DATA);
            }
            first = false;
            before = last ? READY : GOES_ON;
        }
        if (before == NONE) {
            refuse(Gp.SW_WRONG_DATA);
        }
        chain[STATE] = before;
    }

    /** Finds the authority's key with which a chain begins: 6A88 without one, 6983 when it is blocked. */
    private void begin(byte version, byte identifier) {
        end();
        KeySlot slot = version == 0 ? keys.findAny(identifier) : keys.find(version, identifier);
        if (slot == null || slot.type != Gp.KEY_TYPE_ECC_PUBLIC || slot.length != POINT_SIZE || !slot.isForDomain()) {
            ISOException.throwIt(Gp.SW_NOT_FOUND);
        }
        if (protocols.isBlocked(slot)) {
            ISOException.throwIt(Gp.SW_KEY_BLOCKED);
        }
        authority[0] = slot;
        Util.arrayCopyNonAtomic(keys.values(), slot.offset, chain, POINT, POINT_SIZE);
    }

    /**
     * Verifies the certificate that was read with the key that the chain holds, and has the chain hold its own.
     *
     * <p>The allow list and the authority's name are of the first certificate; each further one names the subject of the
     * one before as its issuer (clause 6.4.1).
     */
    private void verify(byte[] source, boolean first) {
        KeySlot slot = (KeySlot) authority[0];
        short issuer = certificate.offset(Certificate.ISSUER);
        short issuerLength = certificate.length(Certificate.ISSUER);
        Protocols.countFailure(slot);
        boolean named = first
                ? source[issuer] == SEQUENCE || certificates.isNamed(slot, source, issuer, issuerLength)
                : isSubject(source, issuer, issuerLength);
        if (!named || !isSigned(source)) {
            refuse(Gp.SW_CERTIFICATE_NOT_VERIFIED);
        }
        slot.failures = 0;
        if (first && !certificates.isAllowed(slot, source, certificate.offset(Certificate.SERIAL),
                certificate.length(Certificate.SERIAL))) {
            refuse(Gp.SW_CERTIFICATE_NOT_ALLOWED);
        }
        if (certificate.hasAuthorizations()) {
            refuse(Gp.SW_FUNCTION_NOT_SUPPORTED); // BF20 is not known here
        }
        Util.arrayCopyNonAtomic(source, certificate.offset(Certificate.POINT), chain, POINT, POINT_SIZE);
        sha256.doFinal(source, certificate.offset(Certificate.SUBJECT), certificate.length(Certificate.SUBJECT), chain,
                SUBJECT);
    }

    /** What an X.509 name begins with; the authority's name of 42 is a key identifier there, and not compared. */
    private static final byte SEQUENCE = 0x30;

    private boolean isSubject(byte[] source, short issuer, short length) {
        sha256.doFinal(source, issuer, length, scratch, HASH);
        return Util.arrayCompare(scratch, HASH, chain, SUBJECT, HASH_SIZE) == 0;
    }

    /** Checks the signature; Java Card takes it in DER, which is written here from r and s. */
    private boolean isSigned(byte[] source) {
        short at = putInteger(source, Certificate.R, (short) (SECRET + 2));
        at = putInteger(source, Certificate.S, at);
        scratch[SECRET] = SEQUENCE;
        scratch[(short) (SECRET + 1)] = (byte) (at - SECRET - 2);
        try {
            ECPublicKey key = publicKeys.loadPoint(chain, POINT, POINT_SIZE);
            ecdsa.init(key, Signature.MODE_VERIFY);
            return ecdsa.verify(source, certificate.offset(Certificate.SIGNED), certificate.length(Certificate.SIGNED),
                    scratch, SECRET, at);
        } catch (RuntimeException malformed) {
            return false; // the point is not on the curve
        }
    }

    private short putInteger(byte[] source, short name, short at) {
        short offset = certificate.offset(name);
        short length = certificate.length(name);
        while (length > 1 && source[offset] == 0) {
            offset++;
            length--;
        }
        if (length > Curves.P256_SIZE) {
            refuse(Gp.SW_WRONG_DATA);
        }
        boolean high = source[offset] < 0;
        scratch[at++] = 0x02;
        scratch[at++] = (byte) (high ? length + 1 : length);
        if (high) {
            scratch[at++] = 0;
        }
        return Util.arrayCopyNonAtomic(source, offset, scratch, at, length);
    }

    /** Tells whether an identifier is that of a private key of SCP11 that an instruction agrees with. */
    private boolean isKeyOf(byte ins, byte identifier) {
        byte options = protocols.scp11();
        if (ins == Gp.INS_INTERNAL_AUTHENTICATE) {
            return identifier == ID_B && (options & Protocols.I11_B) != 0;
        }
        return identifier == ID_A && (options & Protocols.I11_A) != 0
                || identifier == ID_C && (options & Protocols.I11_C) != 0;
    }

    /**
     * Looks at MUTUAL AUTHENTICATE or INTERNAL AUTHENTICATE, before room is made for a session.
     *
     * @return the slot of the domain's private key
     */
    KeySlot key(byte[] buffer, short data, short end) {
        settle();
        byte ins = buffer[ISO7816.OFFSET_INS];
        byte version = buffer[ISO7816.OFFSET_P1];
        byte identifier = buffer[ISO7816.OFFSET_P2];
        KeySlot slot = !isKeyOf(ins, identifier) ? null
                : version == 0 ? keys.findAny(identifier) : keys.find(version, identifier);
        if (slot == null || slot.type != Gp.KEY_TYPE_ECC_PRIVATE || slot.length != Curves.P256_SIZE
                || !slot.isForDomain()) {
            refuse(Gp.SW_NOT_FOUND);
        }
        if (identifier != ID_B && chain[STATE] != READY) {
            refuse(Gp.SW_CONDITIONS); // without a certificate no off-card entity is authenticated
        }
        readRequest(buffer, data, end, identifier);
        return slot;
    }

    private void readRequest(byte[] buffer, short data, short end, byte identifier) {
        byte parameters = identifier == ID_A ? PARAMETERS_A : identifier == ID_B ? PARAMETERS_B : PARAMETERS_C;
        require(data < end && Tlv.tag(buffer, data, end) == TAG_REFERENCE);
        short field = Tlv.lengthOffset(buffer, data, end);
        short at = Tlv.valueOffset(buffer, field);
        short referenceEnd = (short) (at + Tlv.length(buffer, field, end));
        short value = value(buffer, at, referenceEnd, TAG_PROTOCOL, (short) 2);
        require(buffer[value] == Protocols.SCP11 && buffer[(short) (value + 1)] == parameters);
        asked[ASKED_USAGE] = buffer[value(buffer, at, referenceEnd, TAG_USAGE, (short) 1)];
        require(asked[ASKED_USAGE] == USAGE_MAC || asked[ASKED_USAGE] == USAGE_ALL);
        require(buffer[value(buffer, at, referenceEnd, TAG_KEY_TYPE, (short) 1)] == Gp.KEY_TYPE_AES);
        asked[ASKED_LENGTH] = buffer[value(buffer, at, referenceEnd, TAG_KEY_LENGTH, (short) 1)];
        require(asked[ASKED_LENGTH] == 16 || asked[ASKED_LENGTH] == 24 || asked[ASKED_LENGTH] == 32);
        // Nothing else: identifiers of host and card (84) come into the derivation only where parameters say so.
        require((short) (referenceEnd - at) == 13);
        value = value(buffer, referenceEnd, end, TAG_PUBLIC_KEY, POINT_SIZE);
        require((short) (value + POINT_SIZE) == end);
        asked[ASKED_POINT] = value;
    }

    private void require(boolean condition) {
        if (!condition) {
            refuse(Gp.SW_WRONG_DATA);
        }
    }

    private short value(byte[] buffer, short at, short end, short tag, short length) {
        short field = Tlv.find(buffer, at, end, tag);
        require(field != Tlv.ABSENT && Tlv.length(buffer, field, end) == length);
        return Tlv.valueOffset(buffer, field);
    }

    /**
     * Agrees on keys, establishes the session and writes the domain's public key and the receipt at OFFSET_CDATA.
     *
     * @return the length of the answer
     */
    short begin(byte[] buffer, short data, short end, Session session, KeySlot slot, byte[] selection,
            short selectionOffset) {
        byte identifier = slot.identifier;
        boolean isB = identifier == ID_B;
        short size = (protocols.scp11() & Protocols.I11_S16) != 0 ? S16 : S8;
        working.setS(keys.values(), slot.offset, slot.length);
        // The answer goes behind the request, whose bytes the receipt covers too.
        short answer = end;
        short point = Tlv.putHeader(buffer, answer, TAG_PUBLIC_KEY, POINT_SIZE);
        try {
            if (identifier == ID_C) {
                publicKey(working, buffer, point);
                agree(working, buffer, asked[ASKED_POINT], SECRET);
            } else {
                generate();
                publicKey(ephemeral, buffer, point);
                agree(ephemeral, buffer, asked[ASKED_POINT], SECRET);
            }
            if (isB) {
                agree(working, buffer, asked[ASKED_POINT], (short) (SECRET + Curves.P256_SIZE));
            } else {
                agree(working, chain, POINT, (short) (SECRET + Curves.P256_SIZE));
            }
        } catch (RuntimeException malformed) {
            clearKeys();
            refuse(Gp.SW_WRONG_DATA); // a point that is not on the curve
        }
        clearKeys();
        derive();
        session.begin(slot, Protocols.SCP11, asked[ASKED_LENGTH], size, selection, selectionOffset);
        takeKeys(session);
        short at = (short) (point + POINT_SIZE);
        crypto.macBegin(scratch, KEYS, asked[ASKED_LENGTH]);
        crypto.macFinish(buffer, data, (short) (at - data), session.ram, Session.CHAIN);
        at = Tlv.putHeader(buffer, at, TAG_RECEIPT, RECEIPT_SIZE);
        at = Util.arrayCopyNonAtomic(session.ram, Session.CHAIN, buffer, at, RECEIPT_SIZE);
        Util.arrayFillNonAtomic(scratch, (short) 0, SCRATCH_SIZE, (byte) 0);
        byte level = (byte) (Session.C_MAC | Session.R_MAC);
        if (asked[ASKED_USAGE] == USAGE_ALL) {
            level |= Session.C_DECRYPTION | Session.R_ENCRYPTION;
        }
        session.establish(level, isB ? SecureChannel.NO_SECURITY_LEVEL : SecureChannel.AUTHENTICATED);
        end();
        Util.arrayCopyNonAtomic(buffer, answer, buffer, ISO7816.OFFSET_CDATA, (short) (at - answer));
        return (short) (at - answer);
    }

    /** Forgets both private keys: of the domain, and of this agreement. */
    private void clearKeys() {
        working.clearKey();
        Curves.setParameters(working, Curves.P256);
        ephemeral.clearKey();
        Curves.setParameters(ephemeral, Curves.P256);
    }

    /**
     * Makes a private key for this agreement alone: a random number below the order, and not 0. KeyPair could do it, but
     * a platform may keep its number without leading zeros and read it wrongly then.
     */
    private void generate() {
        do {
            crypto.random(scratch, SECRET, Curves.P256_SIZE);
        } while (!Curves.isScalar(Curves.P256, scratch, SECRET));
        ephemeral.setS(scratch, SECRET, Curves.P256_SIZE);
    }

    /** Writes the public key of a private one: its multiple of the base point. */
    private void publicKey(ECPrivateKey key, byte[] output, short offset) {
        multiplication.init(key);
        byte[] base = Curves.base(Curves.P256);
        multiplication.generateSecret(base, (short) 0, POINT_SIZE, output, offset);
    }

    /** Writes a shared secret, the x-coordinate of the common point. */
    private void agree(ECPrivateKey key, byte[] point, short offset, short output) {
        agreement.init(key);
        agreement.generateSecret(point, offset, POINT_SIZE, scratch, output);
    }

    /** Derives five keys: the X9.63 key derivation function with SHA-256, of both secrets and the shared information. */
    private void derive() {
        scratch[INFORMATION] = (byte) asked[ASKED_USAGE];
        scratch[(short) (INFORMATION + 1)] = Gp.KEY_TYPE_AES;
        scratch[(short) (INFORMATION + 2)] = (byte) asked[ASKED_LENGTH];
        Util.arrayFillNonAtomic(scratch, COUNTER, (short) 4, (byte) 0);
        short wanted = (short) (5 * asked[ASKED_LENGTH]);
        for (short done = 0; done < wanted; done += HASH_SIZE) {
            scratch[(short) (COUNTER + 3)]++;
            sha256.doFinal(scratch, SECRET, (short) (INFORMATION + 3 - SECRET), scratch, HASH);
            short part = (short) (wanted - done) < HASH_SIZE ? (short) (wanted - done) : HASH_SIZE;
            Util.arrayCopyNonAtomic(scratch, HASH, scratch, (short) (KEYS + done), part);
        }
    }

    /** Gives the session its keys: behind the receipt's S-ENC, S-MAC, S-RMAC, S-DEK. */
    private void takeKeys(Session session) {
        short length = asked[ASKED_LENGTH];
        byte[] ram = session.ram;
        Util.arrayCopyNonAtomic(scratch, (short) (KEYS + length), ram, Session.S_ENC, length);
        Util.arrayCopyNonAtomic(scratch, (short) (KEYS + 2 * length), ram, Session.S_MAC, length);
        Util.arrayCopyNonAtomic(scratch, (short) (KEYS + 3 * length), ram, Session.S_RMAC, length);
        Util.arrayCopyNonAtomic(scratch, (short) (KEYS + 4 * length), ram, Session.DEK, length);
    }
}
