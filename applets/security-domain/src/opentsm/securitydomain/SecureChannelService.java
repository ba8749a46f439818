package opentsm.securitydomain;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacardx.crypto.Cipher;
import opentsm.open.Open;
import org.globalplatform.GPSystem;
import org.globalplatform.SecureChannel;

/**
 * The secure channel of a Security Domain: for itself, for its applications, and for domains under it without keys.
 *
 * <p>It is the shareable object behind GPSystem.getSecureChannel(). There are two sessions, so that one on the contact
 * interface and one on the contactless interface can run at a time. A domain that has no key set of its own hands every
 * call on to the Security Domain it is associated with; whose session it is, is told by the selection it belongs to.
 *
 * <p>Spec: GP Card 2.3.1 clauses 7.1, 10; GP Amendment D clauses 5, 6, 7.1; GP Card API SecureChannel.
 */
final class SecureChannelService implements SecureChannel {
    private static final short SESSIONS = 2;

    private static final byte SCP03 = 3;

    private static final short DIVERSIFICATION_SIZE = 10;
    private static final short S8 = 8;
    private static final short S16 = 16;

    /** Layout of the scratch memory: current selection, challenges, the challenge's context. */
    private static final short SELECTION = 0;

    private static final short CHALLENGES = 4;
    private static final short CONTEXT = 36;
    private static final short SCRATCH_SIZE = 56;

    private final KeyStore keys;
    private final Scp03Crypto crypto;
    private final Scp03Session[] sessions;

    private final Protocols protocols;

    /** The i parameter of SCP03. */
    private final byte options;

    /** Used within one call only; cleared at reset. */
    private final byte[] scratch;

    SecureChannelService(KeyStore keys, Scp03Crypto crypto, Protocols protocols) {
        this.keys = keys;
        this.crypto = crypto;
        this.protocols = protocols;
        options = protocols.scp03();
        sessions = new Scp03Session[SESSIONS];
        for (short i = 0; i < SESSIONS; i++) {
            sessions[i] = new Scp03Session(crypto);
        }
        scratch = JCSystem.makeTransientByteArray(SCRATCH_SIZE, JCSystem.CLEAR_ON_RESET);
    }

    /** Writes the scheme OIDs (64) of recognition data (annex H.2). */
    short putSchemes(byte[] response, short at) {
        return protocols.putSchemes(response, at);
    }

    /** Writes the protocols' part of card capability information (annex H.4). */
    short putCapabilities(byte[] response, short at) {
        return protocols.putCapabilities(response, at);
    }


    /** Returns the session of the current selection, or null. */
    private Scp03Session current() {
        Open.getSelection(scratch, SELECTION);
        for (short i = 0; i < SESSIONS; i++) {
            if (sessions[i].isCurrent(scratch, SELECTION)) {
                return sessions[i];
            }
        }
        return null;
    }

    /** Tells whether the current session is one of this domain's own keys, not of those of a domain above. */
    boolean isOwn() {
        return authenticated() != null;
    }

    private Scp03Session authenticated() {
        Scp03Session session = current();
        return session != null && session.isAuthenticated() ? session : null;
    }

    /** Returns room for a session: a free one, else one that never came to authentication. */
    private Scp03Session room() {
        for (short i = 0; i < SESSIONS; i++) {
            if (sessions[i].isFree()) {
                return sessions[i];
            }
        }
        for (short i = 0; i < SESSIONS; i++) {
            if (sessions[i].isInitialized()) {
                return sessions[i];
            }
        }
        ISOException.throwIt(Gp.SW_CONDITIONS);
        return null;
    }

    /** Returns the secure channel of the domain above, or null for one that has none above. */
    private static SecureChannel above() {
        return GPSystem.getSecureChannel();
    }

    /**
     * Answers INITIALIZE UPDATE and EXTERNAL AUTHENTICATE; the response is in the APDU buffer at OFFSET_CDATA.
     *
     * @return the length of the response
     */
    @Override
    public short processSecurity(APDU apdu) {
        byte ins = apdu.getBuffer()[ISO7816.OFFSET_INS];
        if (ins != Gp.INS_INITIALIZE_UPDATE && ins != Gp.INS_EXTERNAL_AUTHENTICATE) {
            ISOException.throwIt(Gp.SW_INS_NOT_SUPPORTED);
        }
        if (ins == Gp.INS_INITIALIZE_UPDATE) {
            resetSecurity();
            requireUnlocked();
            if (!keys.hasSet()) {
                SecureChannel above = above();
                if (above == null) {
                    ISOException.throwIt(Gp.SW_NOT_FOUND);
                }
                return above.processSecurity(apdu);
            }
            return initializeUpdate(apdu);
        }
        Scp03Session session = current();
        if (session != null) {
            return externalAuthenticate(apdu, session);
        }
        SecureChannel above = keys.hasSet() ? null : above();
        if (above == null) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        return above.processSecurity(apdu);
    }

    /** A locked domain serves no application either; a terminated card's issuer domain has the same bit set. */
    private static void requireUnlocked() {
        if ((Open.self().state() & Gp.STATE_LOCKED_BIT) != 0) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
    }

    /** Spec: Amendment D clause 7.1.1. */
    private short initializeUpdate(APDU apdu) {
        byte[] buffer = apdu.getBuffer();
        short size = apdu.setIncomingAndReceive();
        short data = apdu.getOffsetCdata();
        if (Apdus.isSecured(buffer[ISO7816.OFFSET_CLA])) {
            ISOException.throwIt(Gp.SW_CLA_NOT_SUPPORTED);
        }
        if (buffer[ISO7816.OFFSET_P2] != 0) {
            ISOException.throwIt(Gp.SW_INCORRECT_P1P2);
        }
        if (size != S8 && !(size == S16 && (options & Protocols.I03_S16) != 0)) {
            ISOException.throwIt(Gp.SW_WRONG_LENGTH);
        }
        byte version = buffer[ISO7816.OFFSET_P1];
        if (version == 0) {
            version = keys.defaultVersion();
        } else if (keys.protocol(version) == 0) {
            ISOException.throwIt(Gp.SW_NOT_FOUND);
        }
        KeySlot enc = keys.find(version, KeyStore.ID_ENC);
        if (protocols.isBlocked(enc)) {
            ISOException.throwIt(Gp.SW_KEY_BLOCKED);
        }
        Scp03Session session = room();
        Util.arrayCopyNonAtomic(buffer, data, scratch, CHALLENGES, size);
        return answer(buffer, session, enc, size);
    }

    /** Writes diversification data, key information, card challenge, card cryptogram and sequence counter. */
    private short answer(byte[] buffer, Scp03Session session, KeySlot enc, short size) {
        short at = ISO7816.OFFSET_CDATA;
        short after = Open.getCardData(Gp.TAG_DIVERSIFICATION, buffer, at);
        if (after < 0) {
            Util.arrayFillNonAtomic(buffer, at, DIVERSIFICATION_SIZE, (byte) 0);
        }
        at += DIVERSIFICATION_SIZE;
        buffer[at++] = enc.version;
        buffer[at++] = SCP03;
        buffer[at++] = (byte) ((options & ~Protocols.I03_S16) | (size == S16 ? Protocols.I03_S16 : 0));
        short challenge = (short) (CHALLENGES + size);
        boolean pseudoRandom = (options & Protocols.I03_PSEUDO_RANDOM) != 0;
        if (pseudoRandom) {
            pseudoRandomChallenge(enc, size, challenge);
        } else {
            crypto.random(scratch, challenge, size);
        }
        Util.arrayCopyNonAtomic(scratch, challenge, buffer, at, size);
        at += size;
        Open.getSelection(scratch, SELECTION);
        session.begin(keys, enc, size, scratch, SELECTION, scratch, CHALLENGES, buffer, at);
        at += size;
        if (pseudoRandom) {
            at = Util.arrayCopyNonAtomic(enc.counter, (short) 0, buffer, at, KeySlot.COUNTER_SIZE);
        }
        return (short) (at - ISO7816.OFFSET_CDATA);
    }

    /**
     * Derives the card challenge from the next value of the sequence counter and the AID that the host selected, with the
     * static Key-ENC: a host that knows the keys can compute a session ahead, and no challenge comes twice.
     *
     * <p>Spec: Amendment D clause 6.2.2.1.
     */
    private void pseudoRandomChallenge(KeySlot enc, short size, short challenge) {
        if (enc.isCounterExhausted()) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        enc.incrementCounter(scratch, CONTEXT);
        short end = Open.getSelectedAid(scratch, (short) (CONTEXT + KeySlot.COUNTER_SIZE));
        crypto.derive(keys.values(), enc.offset, enc.length, Scp03Crypto.DERIVE_CARD_CHALLENGE, size, scratch, CONTEXT,
                (short) (end - CONTEXT), scratch, challenge);
    }

    /** Spec: Amendment D clause 7.1.2. Whatever is wrong ends the session; wrong cryptograms and MACs are counted. */
    private short externalAuthenticate(APDU apdu, Scp03Session session) {
        byte[] buffer = apdu.getBuffer();
        short lc = apdu.setIncomingAndReceive();
        short data = apdu.getOffsetCdata();
        byte level = buffer[ISO7816.OFFSET_P1];
        short status = 0;
        if (!session.isInitialized()) {
            status = Gp.SW_CONDITIONS;
        } else if (!Apdus.isSecured(buffer[ISO7816.OFFSET_CLA])) {
            status = Gp.SW_CLA_NOT_SUPPORTED;
        } else if (buffer[ISO7816.OFFSET_P2] != 0 || !isLevel(level)) {
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
        if (!session.isHostCryptogram(buffer, data)) {
            session.end();
            ISOException.throwIt(Gp.SW_AUTHENTICATION_FAILED);
        }
        if (!session.isFirstMac(buffer, data, (short) (data + lc))) {
            session.end();
            ISOException.throwIt(Gp.SW_SECURITY_STATUS);
        }
        enc.failures = 0;
        session.authenticated(level);
        return 0;
    }

    /** Tells whether a session may have a security level: one of Amendment D table 7-3, within the i parameter. */
    private boolean isLevel(byte level) {
        switch (level) {
            case 0:
            case Scp03Session.C_MAC:
            case Scp03Session.C_MAC | Scp03Session.C_DECRYPTION:
                return true;
            case Scp03Session.C_MAC | Scp03Session.R_MAC:
            case Scp03Session.C_MAC | Scp03Session.C_DECRYPTION | Scp03Session.R_MAC:
                return (options & Protocols.I03_R_MAC) != 0;
            case Scp03Session.C_MAC | Scp03Session.C_DECRYPTION | Scp03Session.R_MAC | Scp03Session.R_ENCRYPTION:
                return (options & Protocols.I03_R_ENCRYPTION) != 0;
            default:
                return false;
        }
    }

    /** Returns the secure channel that has a session for the current selection when this one has none, or null. */
    private SecureChannel other() {
        SecureChannel above = above();
        return above != null && above.getSecurityLevel() != NO_SECURITY_LEVEL ? above : null;
    }

    /** {@inheritDoc} The status word belongs to the response and ends it, in and out. */
    @Override
    public short wrap(byte[] buffer, short offset, short length) {
        Scp03Session session = authenticated();
        if (session != null) {
            return session.wrap(buffer, offset, length);
        }
        SecureChannel other = other();
        return other == null ? length : other.wrap(buffer, offset, length);
    }

    /** {@inheritDoc} Without a session every secured command is refused: 6982. */
    @Override
    public short unwrap(byte[] buffer, short offset, short length) {
        Scp03Session session = authenticated();
        if (session != null) {
            return session.unwrap(buffer, offset, length);
        }
        SecureChannel other = other();
        if (other == null) {
            if (Apdus.isSecured(buffer[offset])) {
                ISOException.throwIt(Gp.SW_SECURITY_STATUS);
            }
            return length;
        }
        return other.unwrap(buffer, offset, length);
    }

    @Override
    public short decryptData(byte[] buffer, short offset, short length) {
        Scp03Session session = authenticated();
        if (session != null) {
            return session.sensitive(Cipher.MODE_DECRYPT, buffer, offset, length);
        }
        SecureChannel other = other();
        if (other == null) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        return other.decryptData(buffer, offset, length);
    }

    @Override
    public short encryptData(byte[] buffer, short offset, short length) {
        Scp03Session session = authenticated();
        if (session != null) {
            return session.sensitive(Cipher.MODE_ENCRYPT, buffer, offset, length);
        }
        SecureChannel other = other();
        if (other == null) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        return other.encryptData(buffer, offset, length);
    }

    /** Ends the session of the current selection, here or in the domain above. */
    @Override
    public void resetSecurity() {
        Scp03Session session = current();
        if (session != null) {
            session.end();
        }
        SecureChannel above = above();
        if (above != null) {
            above.resetSecurity();
        }
    }

    @Override
    public byte getSecurityLevel() {
        Scp03Session session = authenticated();
        if (session != null) {
            return (byte) (AUTHENTICATED | session.level());
        }
        SecureChannel above = above();
        return above == null ? NO_SECURITY_LEVEL : above.getSecurityLevel();
    }
}
