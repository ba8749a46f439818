package opentsm.securitydomain;

import javacard.framework.AID;
import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.MultiSelectable;
import javacard.framework.Shareable;
import javacard.framework.Util;
import javacardx.apdu.ExtendedLength;
import opentsm.open.ContentAuthority;
import opentsm.open.Open;
import org.globalplatform.GPSystem;
import org.globalplatform.SecureChannel;

/**
 * A Security Domain: the issuer's, or a supplementary one.
 *
 * <p>It holds keys, opens secure channels and decides what a command may do; the OPEN (package opentsm.open) acts. This
 * class takes the commands apart and hands each to the class of its subject.
 *
 * <p>Spec: GP Card 2.3.1 clauses 7, 10 and 11.
 */
public final class SecurityDomain extends Applet implements ExtendedLength, MultiSelectable {
    /** The largest response, 239 bytes: with padding, R-ENC and an S16 R-MAC it fills a short response of 256. */
    static final short RESPONSE_LIMIT = 239;

    /**
     * The largest response that is not cut into several by the command itself: the OPEN chains what does not fit a short
     * response (61xx). Behind it: one more entry being written, or padding, R-MAC and status word.
     */
    static final short LONG_RESPONSE_LIMIT = 2000;

    private static final short RESPONSE_SIZE = 2048;

    /** P2 of SELECT: no FCI. */
    private static final byte NO_DATA = 0x0C;

    private static final short TAG_CONTROLLING_AUTHORITY = 0x0086;
    private static final short TAG_KEY_SET = 0x00D8;
    private static final short TAG_DES_KEY_SET = 0x00D7;

    private final Scp03Crypto crypto;
    private final Protocols protocols;
    private final KeyStore keys;
    private final SecureChannelService channel;
    private final KeyManagement keyManagement;
    private final ContentManagement content;
    private final LifeCycleControl lifeCycle;
    private final StatusReport report;
    private final CardData cardData;
    private final StoreData storeData;
    private final ContentAuthorityService authority;

    /** Of the card's controlling authority; null in other domains. */
    private final ControllingAuthority controllingAuthority;

    private final Personalization personalization;

    /** The response being built; cleared at deselect, since none outlives its command. */
    private final byte[] response;

    private SecurityDomain(byte[] array, short parameters, short end) {
        crypto = new Scp03Crypto();
        protocols = new Protocols(array, parameters, end);
        keys = new KeyStore(crypto, protocols);
        PublicKeys publicKeys = new PublicKeys();
        CertificateStore certificates = new CertificateStore(keys);
        channel = new SecureChannelService(keys, crypto, protocols, certificates, publicKeys);
        response = JCSystem.makeTransientByteArray(RESPONSE_SIZE, JCSystem.CLEAR_ON_DESELECT);
        keyManagement = new KeyManagement(keys, channel, certificates);
        personalization = new Personalization();
        content = new ContentManagement(personalization);
        lifeCycle = new LifeCycleControl();
        report = new StatusReport();
        ConfirmationCounter confirmations = new ConfirmationCounter();
        DataHolder names = new OwnData();
        boolean isAuthority = Tlv.find(array, parameters, end, TAG_CONTROLLING_AUTHORITY) != Tlv.ABSENT;
        controllingAuthority = isAuthority ? new ControllingAuthority(keys) : null;
        DataHolder[] holders = new DataHolder[(short) (isAuthority ? 4 : 3)];
        holders[0] = names;
        holders[1] = confirmations;
        holders[2] = certificates;
        if (isAuthority) {
            holders[3] = controllingAuthority;
        }
        cardData = new CardData(keys, channel, new Capabilities(channel, content), certificates, holders);
        storeData = new StoreData(holders, channel, new ConfidentialSetup(keys, keyManagement, names, crypto));
        authority = new ContentAuthorityService(keys, publicKeys, names, confirmations);
        takeKeySets(array, parameters, end);
    }

    /**
     * Installs a Security Domain.
     *
     * <p>Its install parameters (C9) may hold what {@link Protocols} reads, and, only while the card is being made, D8:
     * key version number, key length, Key-ENC, Key-MAC and Key-DEK in clear, of AES (D7: of DES), and the sequence counter
     * unless it is 0. Others are ignored, as UICC parameters that other cards know are (TS 102 226).
     */
    public static void install(byte[] array, short offset, byte length) {
        short end = (short) (offset + (short) (length & 0xFF));
        short privileges = Tlv.afterLv(array, offset, end);
        short parameters = Tlv.afterLv(array, privileges, end);
        short after = Tlv.afterLv(array, parameters, end);
        SecurityDomain domain = new SecurityDomain(array, (short) (parameters + 1), after);
        domain.register(array, (short) (offset + 1), array[offset]);
        if (domain.controllingAuthority != null) {
            ControllingAuthority.register();
        }
    }

    private void takeKeySets(byte[] array, short offset, short end) {
        while (offset < end) {
            short tag = Tlv.tag(array, offset, end);
            if (tag == TAG_KEY_SET || tag == TAG_DES_KEY_SET) {
                if (!Open.manufacturing()) {
                    ISOException.throwIt(Gp.SW_WRONG_DATA);
                }
                short field = Tlv.lengthOffset(array, offset, end);
                keyManagement.takeKeySet(tag == TAG_KEY_SET ? Gp.KEY_TYPE_AES : Gp.KEY_TYPE_DES, array,
                        Tlv.valueOffset(array, field), Tlv.length(array, field, end));
            }
            offset = Tlv.next(array, offset, end);
        }
    }

    /**
     * Gives the secure channel to whoever the OPEN asks for (GPSystem.getSecureChannel of an associated application), and
     * to the OPEN alone what it needs of this domain when card content changes.
     */
    @Override
    public Shareable getShareableInterfaceObject(AID client, byte parameter) {
        if (client == null && parameter == ContentAuthority.PARAMETER) {
            return authority;
        }
        if (parameter == GPSystem.GLOBAL_SERVICE_IDENTIFIER) {
            return controllingAuthority;
        }
        return channel;
    }

    /** Takes part on any number of channels: what lasts longer than a command is bound to one selection. */
    @Override
    public boolean select(boolean alreadyActive) {
        return true;
    }

    @Override
    public void deselect(boolean stillActive) {
        channel.resetSecurity();
    }

    @Override
    public void deselect() {
        channel.resetSecurity();
    }

    @Override
    public void process(APDU apdu) {
        keyManagement.settle();
        byte[] buffer = apdu.getBuffer();
        if (selectingApplet()) {
            select(apdu);
            return;
        }
        byte cla = buffer[ISO7816.OFFSET_CLA];
        byte ins = buffer[ISO7816.OFFSET_INS];
        if (Apdus.isForeign(cla)) {
            ISOException.throwIt(Gp.SW_CLA_NOT_SUPPORTED);
        }
        if (Apdus.isChained(cla)) {
            ISOException.throwIt(Gp.SW_CHAINING_NOT_SUPPORTED);
        }
        if (cla >= 0) {
            ins = interindustry(ins);
        }
        if (SecureChannelService.isInitiation(ins)) {
            personalization.end();
            Open.abortLoad();
            requireNotTerminated();
            short length = channel.processSecurity(apdu);
            apdu.setOutgoingAndSend(ISO7816.OFFSET_CDATA, length);
            return;
        }
        process(apdu, buffer, ins);
    }

    /**
     * Returns what an instruction of the interindustry class is here: GET DATA (CB, and CA as hosts and earlier
     * specifications have it) and STORE DATA. A SELECT that comes so far is one of a file, and a domain has none.
     *
     * <p>Spec: clauses 11.3.2, 11.9.2.1, 11.11.2.
     */
    private static byte interindustry(byte ins) {
        if (ins == Gp.INS_SELECT) {
            ISOException.throwIt(Gp.SW_FILE_NOT_FOUND);
        }
        if (ins == Gp.INS_GET_DATA_ODD) {
            return Gp.INS_GET_DATA;
        }
        if (ins != Gp.INS_GET_DATA && ins != Gp.INS_STORE_DATA) {
            ISOException.throwIt(Gp.SW_CLA_NOT_SUPPORTED);
        }
        return ins;
    }

    private void process(APDU apdu, byte[] buffer, byte ins) {
        // Without a session an unknown instruction is told from one that needs a session; in one it must be secured too.
        if (!isKnown(ins) && channel.getSecurityLevel() == SecureChannel.NO_SECURITY_LEVEL) {
            ISOException.throwIt(Gp.SW_INS_NOT_SUPPORTED);
        }
        short received = apdu.setIncomingAndReceive();
        short data = apdu.getOffsetCdata();
        short length = (short) (data + apdu.getIncomingLength());
        // Negative: more than 32,767 bytes were announced.
        if (length < data || length > buffer.length) {
            ISOException.throwIt(Gp.SW_WRONG_LENGTH);
        }
        short at = (short) (data + received);
        while (at < length) {
            at += apdu.receiveBytes(at);
        }
        boolean secured = Apdus.isSecured(buffer[ISO7816.OFFSET_CLA]);
        // What GET DATA tells is public: unsecured it is answered in and out of a session, and leaves one alone, unless
        // unsecured commands concern that one.
        boolean isProtected = secured || channel.isConcernedByPlain();
        if (isProtected || ins != Gp.INS_GET_DATA) {
            length = channel.unwrap(buffer, (short) 0, length);
        }
        try {
            if (isProtected || ins != Gp.INS_GET_DATA) {
                requireSession(ins, secured);
            }
            requireCardState(ins, buffer[ISO7816.OFFSET_P1]);
            requireOwnSession(ins);
            length = dispatch(buffer, ins, data, (short) (length - data));
        } catch (ISOException e) {
            if (isProtected) {
                channel.failed(e.getReason());
            }
            throw e;
        }
        send(apdu, isProtected, length,
                ins == Gp.INS_GET_STATUS && report.hasMore() ? Gp.SW_MORE_DATA : ISO7816.SW_NO_ERROR);
    }

    /**
     * Refuses a command that changes anything or tells of other applications unless it is secured, and its host
     * authenticated: of SCP11b's is not known who he is.
     *
     * <p>Spec: clauses 10.6, E.5.3.1; Amendment F clause 4.7.
     */
    private void requireSession(byte ins, boolean secured) {
        if (ins == Gp.INS_GET_DATA || ins == Gp.INS_BEGIN_R_MAC_SESSION || ins == Gp.INS_END_R_MAC_SESSION) {
            return;
        }
        byte level = channel.getSecurityLevel();
        if (!secured || (level & SecureChannel.C_MAC) == 0 || (level & SecureChannel.AUTHENTICATED) == 0) {
            ISOException.throwIt(Gp.SW_SECURITY_STATUS);
        }
    }

    private static boolean isKnown(byte ins) {
        switch (ins) {
            case Gp.INS_GET_DATA:
            case Gp.INS_GET_STATUS:
            case Gp.INS_SET_STATUS:
            case Gp.INS_PUT_KEY:
            case Gp.INS_STORE_DATA:
            case Gp.INS_DELETE:
            case Gp.INS_INSTALL:
            case Gp.INS_LOAD:
            case Gp.INS_BEGIN_R_MAC_SESSION:
            case Gp.INS_END_R_MAC_SESSION:
                return true;
            default:
                return false;
        }
    }

    /** Runs a command and returns the length of its response. */
    private short dispatch(byte[] buffer, byte ins, short data, short length) {
        byte p1 = buffer[ISO7816.OFFSET_P1];
        byte p2 = buffer[ISO7816.OFFSET_P2];
        short end = (short) (data + length);
        if (ins == Gp.INS_STORE_DATA) {
            if (personalization.isActive()) {
                return personalization.forward(buffer, end, response);
            }
            length = storeData.run(buffer, p1, p2, data, end, response);
            keyManagement.settle();
            return length;
        }
        if (ins != Gp.INS_GET_DATA) {
            personalization.end();
            storeData.end();
        }
        if (!ContentManagement.continuesLoad(ins, p1, p2)) {
            Open.abortLoad();
        }
        switch (ins) {
            case Gp.INS_GET_DATA:
                return cardData.run(
                        Util.makeShort(p1, p2), buffer, data, end, buffer[ISO7816.OFFSET_CLA] >= 0, response);
            case Gp.INS_GET_STATUS:
                return report.get(buffer, p1, p2, data, end, response);
            case Gp.INS_SET_STATUS:
                return lifeCycle.set(buffer, p1, p2, data, end);
            case Gp.INS_PUT_KEY:
                length = keyManagement.put(buffer, p1, p2, data, end, response);
                return length;
            case Gp.INS_DELETE:
                return Tlv.find(buffer, data, end, Gp.TAG_AID) == Tlv.ABSENT
                        ? keyManagement.delete(buffer, p1, p2, data, end, response)
                        : content.delete(buffer, p2, data, end, response);
            case Gp.INS_INSTALL:
                return content.install(buffer, p1, p2, data, end, response);
            case Gp.INS_BEGIN_R_MAC_SESSION:
                return channel.beginResponses(buffer, p1, p2, data, end);
            case Gp.INS_END_R_MAC_SESSION:
                return channel.endResponses(p1, p2, response);
            case Gp.INS_LOAD:
                return content.load(buffer, p1, p2, data, end, response);
            default:
                ISOException.throwIt(Gp.SW_INS_NOT_SUPPORTED);
                return 0;
        }
    }

    private void send(APDU apdu, boolean secured, short length, short status) {
        short total = Util.setShort(response, length, status);
        if (secured) {
            total = channel.wrap(response, (short) 0, total);
        }
        total -= 2;
        if (total > 0) {
            apdu.setOutgoing();
            apdu.setOutgoingLength(total);
            apdu.sendBytesLong(response, (short) 0, total);
        }
        if (status != ISO7816.SW_NO_ERROR) {
            ISOException.throwIt(status);
        }
    }

    /**
     * Answers SELECT with the FCI, or without data where the host wants none (P2 0C, ISO 7816-4 table 63); a locked card's
     * issuer domain warns (clause 11.9.3).
     */
    private void select(APDU apdu) {
        boolean wanted = (byte) (apdu.getBuffer()[ISO7816.OFFSET_P2] & NO_DATA) != NO_DATA;
        short length = wanted ? cardData.fileControlInformation(response) : 0;
        send(apdu, false, length, Open.cardState() == Gp.CARD_LOCKED ? Gp.SW_CARD_LOCKED : ISO7816.SW_NO_ERROR);
    }

    private static void requireNotTerminated() {
        if (Open.cardState() == Gp.CARD_TERMINATED) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
    }

    /** Spec: clauses 5.1.1.4, 5.1.1.5, table 11-1: a locked card is managed only, a terminated one read only. */
    private static void requireCardState(byte ins, byte p1) {
        if (ins == Gp.INS_GET_DATA) {
            return;
        }
        requireNotTerminated();
        boolean manages = ins == Gp.INS_GET_STATUS
                || ins == Gp.INS_SET_STATUS && p1 == LifeCycleControl.SCOPE_CARD;
        if (Open.cardState() == Gp.CARD_LOCKED && !manages) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
    }

    /**
     * Refuses what comes in a session of the domain above once this domain has keys of its own: that session may have
     * put the first ones, and from then on it may only look.
     */
    private void requireOwnSession(byte ins) {
        if (ins != Gp.INS_GET_DATA && ins != Gp.INS_GET_STATUS && keys.hasSet() && !channel.isOwn()) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
    }
}
