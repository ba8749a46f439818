package opentsm.securitydomain;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacardx.crypto.Cipher;
import opentsm.open.Open;
import org.globalplatform.GPSystem;
import org.globalplatform.SecureChannel;

/**
 * The secure channel of a Security Domain: for itself, for its applications, and for domains under it without keys.
 *
 * <p>It is the shareable object behind GPSystem.getSecureChannel(). Several sessions run at a time, one for a selection on
 * a channel of an interface. A domain that has no key set of its own hands every call on to the Security Domain it is
 * associated with; whose session it is, is told by the selection it belongs to.
 *
 * <p>Which protocol a session is of, the key set says that INITIALIZE UPDATE names (SCP02, SCP03), or the command that
 * agrees on keys (SCP11).
 *
 * <p>Spec: GP Card 2.3.1 clauses 7.1, 10, E.5; GP Amendments D and F; GP Card API SecureChannel.
 */
final class SecureChannelService implements SecureChannel {
    /** More than one channel of each interface is seldom in a session at a time. */
    private static final short SESSIONS = 4;

    /** P1 and P2 of BEGIN and END R-MAC SESSION. */
    private static final byte BEGIN = 0x01;

    private static final byte END = 0x03;
    private static final byte RETURN = 0x01;

    private static final short MOST_CHALLENGE = 24;

    private final KeyStore keys;
    private final Protocols protocols;
    private final Session[] sessions;
    private final Initiation initiation;
    private final Scp02Initiation scp02Initiation;
    private final Scp02Messaging scp02Messaging;
    private final Scp03Messaging scp03Messaging;
    private final Scp11Initiation scp11Initiation;

    /** The current selection; cleared at reset. */
    private final byte[] selection;

    SecureChannelService(KeyStore keys, Scp03Crypto crypto, Protocols protocols, CertificateStore certificates,
            PublicKeys publicKeys) {
        this.keys = keys;
        this.protocols = protocols;
        sessions = new Session[SESSIONS];
        for (short i = 0; i < SESSIONS; i++) {
            sessions[i] = new Session();
        }
        selection = JCSystem.makeTransientByteArray(Selections.SIZE, JCSystem.CLEAR_ON_RESET);
        Scp02Crypto des = new Scp02Crypto();
        scp02Initiation = new Scp02Initiation(keys, protocols, des, crypto);
        scp02Messaging = new Scp02Messaging(des, protocols.scp02());
        scp03Messaging = new Scp03Messaging(crypto);
        scp11Initiation = new Scp11Initiation(keys, protocols, certificates, crypto, publicKeys);
        initiation = new Initiation(keys, protocols, crypto, scp02Initiation);
    }

    /** Writes the scheme OIDs (64) of recognition data (annex H.2). */
    short putSchemes(byte[] response, short at) {
        return protocols.putSchemes(response, at);
    }

    /** Writes the protocols' part of card capability information (annex H.4). */
    short putCapabilities(byte[] response, short at) {
        return protocols.putCapabilities(response, at);
    }

    private Messaging messaging(Session session) {
        return session.protocol() == Protocols.SCP02 ? scp02Messaging : scp03Messaging;
    }

    /** Returns the session of the current selection, or null. */
    private Session current() {
        Open.getSelection(selection, (short) 0);
        for (short i = 0; i < SESSIONS; i++) {
            if (sessions[i].isCurrent(selection, (short) 0)) {
                return sessions[i];
            }
        }
        return null;
    }

    /** Tells whether the current session is one of this domain's own keys, not of those of a domain above. */
    boolean isOwn() {
        return established() != null;
    }

    /**
     * Tells whether unprotected commands concern the current session, so that none may pass it by: it protects their
     * responses, or it is an implicit one, which they change.
     */
    boolean isConcernedByPlain() {
        Session session = established();
        return session != null && (session.isForResponsesAlone() || isImplicit(session));
    }

    private boolean isImplicit(Session session) {
        return session.protocol() == Protocols.SCP02 && protocols.isScp02Implicit();
    }

    /** Takes notice of an unwrapped command's error. */
    void failed(short status) {
        Session session = established();
        if (session != null) {
            messaging(session).failed(session, status);
        }
    }

    private Session established() {
        Session session = current();
        return session != null && session.isEstablished() ? session : null;
    }

    /** Returns room for a session: a free one, else one that never came to authentication. */
    private Session room() {
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

    /** Tells whether an instruction is one of those that begin a session. */
    static boolean isInitiation(byte ins) {
        return ins == Gp.INS_INITIALIZE_UPDATE || ins == Gp.INS_EXTERNAL_AUTHENTICATE || isScp11(ins);
    }

    private static boolean isScp11(byte ins) {
        return ins == Gp.INS_PERFORM_SECURITY_OPERATION || ins == Gp.INS_INTERNAL_AUTHENTICATE;
    }

    /**
     * Answers the commands that begin a session: INITIALIZE UPDATE, EXTERNAL AUTHENTICATE; PERFORM SECURITY OPERATION,
     * MUTUAL AUTHENTICATE, INTERNAL AUTHENTICATE. The response is in the APDU buffer at OFFSET_CDATA.
     *
     * <p>EXTERNAL and MUTUAL AUTHENTICATE have one instruction: the first has secure messaging in its class and follows
     * INITIALIZE UPDATE, the second has not and names a key in P2.
     *
     * @return the length of the response
     */
    @Override
    public short processSecurity(APDU apdu) {
        byte[] buffer = apdu.getBuffer();
        byte ins = buffer[ISO7816.OFFSET_INS];
        if (!isInitiation(ins)) {
            ISOException.throwIt(Gp.SW_INS_NOT_SUPPORTED);
        }
        Session session = current();
        boolean isMutual = ins == Gp.INS_EXTERNAL_AUTHENTICATE && buffer[ISO7816.OFFSET_P2] != 0
                && !Apdus.isSecured(buffer[ISO7816.OFFSET_CLA]) && (session == null || !session.isInitialized());
        if (ins == Gp.INS_EXTERNAL_AUTHENTICATE && !isMutual) {
            if (session == null) {
                return above(apdu, Gp.SW_CONDITIONS);
            }
            short lc = receive(apdu);
            initiation.authenticate(session, messaging(session), buffer, apdu.getOffsetCdata(), lc);
            return 0;
        }
        resetSecurity();
        requireUnlocked();
        if (!keys.hasSet() && !(ins != Gp.INS_INITIALIZE_UPDATE && protocols.hasScp11() && keys.hasScp11Key())) {
            return above(apdu, Gp.SW_NOT_FOUND);
        }
        if (ins == Gp.INS_INITIALIZE_UPDATE) {
            return initializeUpdate(apdu);
        }
        if (!protocols.hasScp11()) {
            ISOException.throwIt(isMutual ? Gp.SW_CONDITIONS : Gp.SW_INS_NOT_SUPPORTED);
        }
        return agree(apdu, ins);
    }

    /** Receives the data field, which is this service's to do; but there are applications that did it before. */
    private static short receive(APDU apdu) {
        return apdu.getCurrentState() == APDU.STATE_INITIAL ? apdu.setIncomingAndReceive() : apdu.getIncomingLength();
    }

    /** Has the domain above answer; without one, refuses. */
    private short above(APDU apdu, short status) {
        SecureChannel above = keys.hasSet() ? null : above();
        if (above == null) {
            ISOException.throwIt(status);
        }
        return above.processSecurity(apdu);
    }

    /** Spec: Amendment F clauses 6.4 to 6.6. */
    private short agree(APDU apdu, byte ins) {
        byte[] buffer = apdu.getBuffer();
        if (Apdus.isSecured(buffer[ISO7816.OFFSET_CLA])) {
            ISOException.throwIt(Gp.SW_CLA_NOT_SUPPORTED);
        }
        short length = receive(apdu);
        short data = apdu.getOffsetCdata();
        short end = (short) (data + length);
        if (ins == Gp.INS_PERFORM_SECURITY_OPERATION) {
            scp11Initiation.certificate(
                    buffer, buffer[ISO7816.OFFSET_P1], buffer[ISO7816.OFFSET_P2], data, end);
            return 0;
        }
        KeySlot key = scp11Initiation.key(buffer, data, end);
        Session session = room();
        Open.getSelection(selection, (short) 0);
        return scp11Initiation.begin(buffer, data, end, session, key, selection, (short) 0);
    }

    /** A locked domain serves no application either; a terminated card's issuer domain has the same bit set. */
    private static void requireUnlocked() {
        if ((Open.self().state() & Gp.STATE_LOCKED_BIT) != 0) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
    }

    private short initializeUpdate(APDU apdu) {
        byte[] buffer = apdu.getBuffer();
        short size = receive(apdu);
        KeySlot enc = initiation.keySet(buffer, size);
        Session session = room();
        Open.getSelection(selection, (short) 0);
        return initiation.begin(buffer, apdu.getOffsetCdata(), size, session, enc, selection, (short) 0);
    }

    /**
     * Runs BEGIN R-MAC SESSION: responses are protected from the next command on.
     *
     * <p>Spec: GP Card 2.3.1 clause E.5.3; GP Amendment D clause 7.1.3.
     */
    short beginResponses(byte[] buffer, byte p1, byte p2, short data, short end) {
        Session session = established();
        if (session == null || !hasResponses(session)
                || session.isResponseSession() || (session.level() & Session.R_MAC) != 0) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        boolean isScp02 = session.protocol() == Protocols.SCP02;
        boolean known = p1 == Session.R_MAC || p1 == 0 && isScp02
                || p1 == (Session.R_MAC | Session.R_ENCRYPTION) && !isScp02
                        && (protocols.scp03() & Protocols.I03_R_ENCRYPTION) != 0
                        && (session.level() & Session.C_DECRYPTION) != 0;
        if (!known || p2 != BEGIN) {
            ISOException.throwIt(Gp.SW_INCORRECT_P1P2);
        }
        if (data != end && ((short) (end - data) != (short) (1 + (short) (buffer[data] & 0xFF))
                || (short) (end - data) > (short) (1 + MOST_CHALLENGE))) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        messaging(session).beginResponses(session, p1, buffer, data, end);
        return 0;
    }

    private boolean hasResponses(Session session) {
        switch (session.protocol()) {
            case Protocols.SCP02:
                return (protocols.scp02() & Protocols.I02_R_MAC) != 0;
            case Protocols.SCP03:
                return (protocols.scp03() & Protocols.I03_R_MAC) != 0;
            default:
                return false; // SCP11's level is agreed upon with its keys
        }
    }

    /**
     * Runs END R-MAC SESSION, with P2 03 or without an end: in SCP02 it tells the last R-MAC, in SCP03 its own response
     * has one.
     *
     * <p>Spec: GP Card 2.3.1 clauses E.4.5, E.5.4; GP Amendment D clause 7.1.4.
     */
    short endResponses(byte p1, byte p2, byte[] response) {
        Session session = established();
        if (session == null || !session.isResponseSession()) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        session.ram[Session.R_MAC_MODE] = 0; // whatever becomes of it, it is no part of the R-MAC
        if (p1 != 0 || p2 != RETURN && p2 != END) {
            ISOException.throwIt(Gp.SW_INCORRECT_P1P2);
        }
        return messaging(session).endResponses(session, p2 == END, response);
    }

    /** Returns the secure channel that has a session for the current selection when this one has none, or null. */
    private SecureChannel other() {
        SecureChannel above = above();
        return above != null && above.getSecurityLevel() != NO_SECURITY_LEVEL ? above : null;
    }

    /** {@inheritDoc} The status word belongs to the response and ends it, in and out. */
    @Override
    public short wrap(byte[] buffer, short offset, short length) {
        Session session = established();
        if (session != null) {
            return messaging(session).wrap(session, buffer, offset, length);
        }
        SecureChannel other = other();
        return other == null ? length : other.wrap(buffer, offset, length);
    }

    /** {@inheritDoc} Without a session every secured command is refused: 6982; but it may begin one of SCP02. */
    @Override
    public short unwrap(byte[] buffer, short offset, short length) {
        Session session = established();
        boolean secured = Apdus.isSecured(buffer[offset]);
        // Behind an unsecured command, a secured one begins the next implicit session.
        boolean anew = session != null && secured && isImplicit(session) && !session.isForCommands();
        if (session != null && !anew) {
            return messaging(session).unwrap(session, buffer, offset, length);
        }
        SecureChannel other = anew ? null : other();
        if (other != null) {
            return other.unwrap(buffer, offset, length);
        }
        if (!secured) {
            return length;
        }
        if (!scp02Initiation.isImplicit()) {
            ISOException.throwIt(Gp.SW_SECURITY_STATUS);
        }
        requireUnlocked();
        resetSecurity();
        session = room();
        Open.getSelection(selection, (short) 0);
        return scp02Initiation.begin(session, scp02Messaging, selection, (short) 0, buffer, offset, length);
    }

    @Override
    public short decryptData(byte[] buffer, short offset, short length) {
        Session session = established();
        if (session != null) {
            return messaging(session).sensitive(session, Cipher.MODE_DECRYPT, buffer, offset, length);
        }
        SecureChannel other = other();
        if (other == null) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        return other.decryptData(buffer, offset, length);
    }

    @Override
    public short encryptData(byte[] buffer, short offset, short length) {
        Session session = established();
        if (session != null) {
            return messaging(session).sensitive(session, Cipher.MODE_ENCRYPT, buffer, offset, length);
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
        Session session = current();
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
        Session session = established();
        if (session != null) {
            return (byte) (session.authentication() | session.level());
        }
        SecureChannel above = above();
        return above == null ? NO_SECURITY_LEVEL : above.getSecurityLevel();
    }
}
