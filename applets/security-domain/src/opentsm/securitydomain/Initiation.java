package opentsm.securitydomain;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import opentsm.open.Open;
import org.globalplatform.SecureChannel;

/**
 * The explicit beginning of an SCP02 or SCP03 session: the answer to INITIALIZE UPDATE, and EXTERNAL AUTHENTICATE.
 *
 * <p>Both protocols answer alike: diversification data, key information, challenge, cryptogram; what is between is each
 * one's own.
 *
 * <p>Spec: GP Card 2.3.1 clauses E.5.1, E.5.2; GP Amendment D clauses 6.2.2, 7.1.1, 7.1.2.
 */
final class Initiation {
    private static final short DIVERSIFICATION_SIZE = 10;
    private static final short S8 = 8;
    private static final short S16 = 16;

    /** Layout of the scratch memory: host and card challenge, the context of a pseudo-random challenge. */
    private static final short CHALLENGES = 0;

    private static final short CONTEXT = 32;
    private static final short SCRATCH_SIZE = 56;

    private final KeyStore keys;
    private final Protocols protocols;
    private final Scp03Crypto crypto;
    private final Scp02Initiation scp02;

    /** Used within one call only; cleared at reset. */
    private final byte[] scratch;

    Initiation(KeyStore keys, Protocols protocols, Scp03Crypto crypto, Scp02Initiation scp02) {
        this.keys = keys;
        this.protocols = protocols;
        this.crypto = crypto;
        this.scp02 = scp02;
        scratch = JCSystem.makeTransientByteArray(SCRATCH_SIZE, JCSystem.CLEAR_ON_RESET);
    }

    /**
     * Looks at INITIALIZE UPDATE, before room is made for a session.
     *
     * @param size length of its data, the host challenge
     * @return the slot of the key set that it asks for
     */
    KeySlot keySet(byte[] buffer, short size) {
        if (Apdus.isSecured(buffer[ISO7816.OFFSET_CLA])) {
            ISOException.throwIt(Gp.SW_CLA_NOT_SUPPORTED);
        }
        if (buffer[ISO7816.OFFSET_P2] != 0) {
            ISOException.throwIt(Gp.SW_INCORRECT_P1P2);
        }
        byte version = buffer[ISO7816.OFFSET_P1];
        if (version == 0) {
            version = keys.defaultVersion();
        }
        byte protocol = keys.protocol(version);
        boolean s16 = protocol == Protocols.SCP03 && (protocols.scp03() & Protocols.I03_S16) != 0;
        if (size != S8 && !(size == S16 && s16)) {
            ISOException.throwIt(Gp.SW_WRONG_LENGTH);
        }
        if (protocol == 0) {
            ISOException.throwIt(Gp.SW_NOT_FOUND);
        }
        KeySlot enc = keys.find(version, KeyStore.ID_ENC);
        if (protocols.isBlocked(enc)) {
            ISOException.throwIt(Gp.SW_KEY_BLOCKED);
        }
        if (protocol == Protocols.SCP02 && protocols.isScp02Implicit()) {
            ISOException.throwIt(Gp.SW_CONDITIONS); // such a session begins with its first secured command
        }
        return enc;
    }

    /**
     * Begins a session and writes the answer to INITIALIZE UPDATE at OFFSET_CDATA.
     *
     * @param challenge where the host challenge is, of size bytes
     * @return the length of the answer
     */
    short begin(byte[] buffer, short challenge, short size, Session session, KeySlot enc, byte[] selection,
            short selectionOffset) {
        Util.arrayCopyNonAtomic(buffer, challenge, scratch, CHALLENGES, size);
        short at = ISO7816.OFFSET_CDATA;
        short after = Open.getCardData(Gp.TAG_DIVERSIFICATION, buffer, at);
        if (after < 0) {
            Util.arrayFillNonAtomic(buffer, at, DIVERSIFICATION_SIZE, (byte) 0);
        }
        at += DIVERSIFICATION_SIZE;
        byte protocol = keys.protocol(enc.version);
        buffer[at++] = enc.version;
        buffer[at++] = protocol;
        if (protocol == Protocols.SCP02) {
            session.begin(enc, protocol, Scp02Crypto.KEY_SIZE, S8, selection, selectionOffset);
            at = scp02.answer(session, enc, scratch, CHALLENGES, buffer, at);
        } else {
            byte options = protocols.scp03();
            session.begin(enc, protocol, enc.length, size, selection, selectionOffset);
            buffer[at++] = (byte) ((options & ~Protocols.I03_S16) | (size == S16 ? Protocols.I03_S16 : 0));
            at = answer(session, enc, buffer, at, options);
        }
        return (short) (at - ISO7816.OFFSET_CDATA);
    }

    /** Writes SCP03's card challenge, card cryptogram and sequence counter. */
    private short answer(Session session, KeySlot enc, byte[] buffer, short at, byte options) {
        short size = session.size();
        short challenge = (short) (CHALLENGES + size);
        boolean pseudoRandom = (options & Protocols.I03_PSEUDO_RANDOM) != 0;
        if (pseudoRandom) {
            pseudoRandomChallenge(session, enc, size, challenge);
        } else {
            crypto.random(scratch, challenge, size);
        }
        at = Util.arrayCopyNonAtomic(scratch, challenge, buffer, at, size);
        derive(session, enc, buffer, at);
        at += size;
        return pseudoRandom
                ? Util.arrayCopyNonAtomic(enc.counter, (short) 0, buffer, at, KeySlot.COUNTER_SIZE)
                : at;
    }

    /**
     * Derives the card challenge from the next value of the sequence counter and the AID that the host selected, with the
     * static Key-ENC: a host that knows the keys can compute a session ahead, and no challenge comes twice.
     *
     * <p>Spec: Amendment D clause 6.2.2.1.
     */
    private void pseudoRandomChallenge(Session session, KeySlot enc, short size, short challenge) {
        if (enc.isCounterExhausted()) {
            session.end();
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        enc.incrementCounter(scratch, CONTEXT);
        short end = Open.getSelectedAid(scratch, (short) (CONTEXT + KeySlot.COUNTER_SIZE));
        crypto.derive(keys.values(), enc.offset, enc.length, Scp03Crypto.DERIVE_CARD_CHALLENGE, size, scratch, CONTEXT,
                (short) (end - CONTEXT), scratch, challenge);
    }

    /** Derives SCP03's session keys and both cryptograms (Amendment D clauses 6.2.1, 6.2.2.2, 6.2.2.3). */
    private void derive(Session session, KeySlot enc, byte[] cryptogram, short cryptogramOffset) {
        byte[] ram = session.ram;
        byte[] values = keys.values();
        KeySlot mac = keys.find(enc.version, KeyStore.ID_MAC);
        KeySlot dek = keys.find(enc.version, KeyStore.ID_DEK);
        short length = enc.length;
        short size = session.size();
        short both = (short) (size << 1);
        // The Key-DEK is static; a copy keeps the session whole when its own key set is deleted in it.
        Util.arrayCopyNonAtomic(values, dek.offset, ram, Session.DEK, length);
        crypto.derive(values, enc.offset, length, Scp03Crypto.DERIVE_S_ENC, length, scratch, CHALLENGES, both, ram,
                Session.S_ENC);
        crypto.derive(values, mac.offset, length, Scp03Crypto.DERIVE_S_MAC, length, scratch, CHALLENGES, both, ram,
                Session.S_MAC);
        crypto.derive(values, mac.offset, length, Scp03Crypto.DERIVE_S_RMAC, length, scratch, CHALLENGES, both, ram,
                Session.S_RMAC);
        crypto.derive(ram, Session.S_MAC, length, Scp03Crypto.DERIVE_CARD_CRYPTOGRAM, size, scratch, CHALLENGES, both,
                ram, Session.HOST_CRYPTOGRAM);
        Util.arrayCopyNonAtomic(ram, Session.HOST_CRYPTOGRAM, cryptogram, cryptogramOffset, size);
        crypto.derive(ram, Session.S_MAC, length, Scp03Crypto.DERIVE_HOST_CRYPTOGRAM, size, scratch, CHALLENGES, both,
                ram, Session.HOST_CRYPTOGRAM);
    }

    /**
     * Runs EXTERNAL AUTHENTICATE. Whatever is wrong ends the session; wrong cryptograms and MACs are counted.
     *
     * @param header its length; data follows, of lc bytes
     */
    void authenticate(Session session, Messaging messaging, byte[] buffer, short header, short lc) {
        byte level = buffer[ISO7816.OFFSET_P1];
        short status = 0;
        if (!session.isInitialized()) {
            status = Gp.SW_CONDITIONS;
        } else if (!Apdus.isSecured(buffer[ISO7816.OFFSET_CLA])) {
            status = Gp.SW_CLA_NOT_SUPPORTED;
        } else if (buffer[ISO7816.OFFSET_P2] != 0 || !isLevel(session.protocol(), level)) {
            status = Gp.SW_INCORRECT_P1P2;
        } else if (lc != (short) (session.size() << 1)) {
            status = Gp.SW_WRONG_LENGTH;
        }
        if (status != 0) {
            session.end();
            ISOException.throwIt(status);
        }
        KeySlot enc = session.keySet();
        // Counted before the comparison, so that cutting the power saves no attempt.
        Protocols.countFailure(enc);
        if (!Messaging.equal(session.ram, Session.HOST_CRYPTOGRAM, buffer, header, session.size())) {
            session.end();
            ISOException.throwIt(Gp.SW_AUTHENTICATION_FAILED);
        }
        if (!messaging.isFirstMac(session, buffer, header, (short) (header + lc))) {
            session.fail();
        }
        enc.failures = 0;
        session.establish(level, SecureChannel.AUTHENTICATED);
        if (session.protocol() == Protocols.SCP02) {
            scp02.count(enc);
            Scp02Messaging.startResponses(session);
        }
    }

    /** Tells whether a session may have a level: one of table E-12 or of Amendment D's table 7-3, within i. */
    private boolean isLevel(byte protocol, byte level) {
        boolean isScp02 = protocol == Protocols.SCP02;
        boolean responses = isScp02
                ? (protocols.scp02() & Protocols.I02_R_MAC) != 0 : (protocols.scp03() & Protocols.I03_R_MAC) != 0;
        switch (level) {
            case 0:
            case Session.C_MAC:
            case Session.C_MAC | Session.C_DECRYPTION:
                return true;
            case Session.R_MAC:
                return isScp02 && responses;
            case Session.C_MAC | Session.R_MAC:
            case Session.C_MAC | Session.C_DECRYPTION | Session.R_MAC:
                return responses;
            case Session.C_MAC | Session.C_DECRYPTION | Session.R_MAC | Session.R_ENCRYPTION:
                return !isScp02 && (protocols.scp03() & Protocols.I03_R_ENCRYPTION) != 0;
            default:
                return false;
        }
    }
}
