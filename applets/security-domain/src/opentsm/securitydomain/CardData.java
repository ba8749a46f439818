package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.Util;
import opentsm.open.Entry;
import opentsm.open.Open;
import org.globalplatform.GPRegistryEntry;

/**
 * What a Security Domain tells of itself and the card: GET DATA, and the FCI that SELECT answers.
 *
 * <p>Spec: GP Card 2.3.1 clauses 7.4.1, 11.3, 11.9.3.1, annex H; ETSI TS 102 226 clause 8.2.1.7.2 for FF21.
 */
final class CardData {
    private static final short TAG_FCI = 0x006F;
    private static final short TAG_DF_NAME = 0x0084;
    private static final short TAG_PROPRIETARY = 0x00A5;
    private static final short TAG_PRODUCTION = (short) 0x9F6E;
    private static final short TAG_LONGEST_DATA = (short) 0x9F65;
    private static final short TAG_APPLICATION = 0x0061;

    /** Of FF21: number of applications, free non-volatile and free volatile memory. */
    private static final short TAG_APPLICATIONS = 0x0081;

    private static final short TAG_FREE_NON_VOLATILE = 0x0082;
    private static final short TAG_FREE_VOLATILE = 0x0083;

    /** Where the operating system's identifier, date and level stand in the card's production data (9F7F). */
    private static final short SYSTEM_IN_PRODUCTION = 4;

    private static final short SYSTEM_SIZE = 6;

    /** The longest command data field that the FCI promises: that of a short APDU. */
    private static final byte LONGEST_DATA = (byte) 0xFF;

    private final KeyStore keys;
    private final SecureChannelService channel;
    private final Capabilities capabilities;
    private final CertificateStore certificates;
    private final DataHolder[] holders;

    CardData(KeyStore keys, SecureChannelService channel, Capabilities capabilities, CertificateStore certificates,
            DataHolder[] holders) {
        this.certificates = certificates;
        this.keys = keys;
        this.channel = channel;
        this.capabilities = capabilities;
        this.holders = holders;
    }

    /**
     * Writes the FCI: the AID as registered, whatever alias was selected, recognition data, production data of the
     * application (here the operating system's, as cards of the field have it), and the longest command data field.
     */
    short fileControlInformation(byte[] response) {
        short content = Tlv.putHeader(response, (short) 0, TAG_FCI, (short) 0);
        short at = putAid(response, content, TAG_DF_NAME, Open.self());
        short proprietary = Tlv.putHeader(response, at, TAG_PROPRIETARY, (short) 0);
        at = capabilities.putRecognition(response, proprietary);
        short system = Tlv.putHeader(response, at, TAG_PRODUCTION, SYSTEM_SIZE);
        if (Open.getCardData(Gp.TAG_CPLC, response, system) >= (short) (system + SYSTEM_IN_PRODUCTION + SYSTEM_SIZE)) {
            at = Util.arrayCopyNonAtomic(
                    response, (short) (system + SYSTEM_IN_PRODUCTION), response, system, SYSTEM_SIZE);
        }
        at = Tlv.putHeader(response, at, TAG_LONGEST_DATA, (short) 1);
        response[at++] = LONGEST_DATA;
        at = Tlv.closeLength(response, (short) (proprietary - 1), at);
        return Tlv.closeLength(response, (short) (content - 1), at);
    }

    private static short putAid(byte[] response, short at, short tag, Entry entry) {
        short value = Tlv.putHeader(response, at, tag, (short) 0);
        at = entry.getAid(response, value);
        response[(short) (value - 1)] = (byte) (at - value);
        return at;
    }

    /**
     * Runs GET DATA. The interindustry class asks for the value alone (clause 11.3.3.1; ISO 7816-4 clause 7.4.3), and
     * yubikit, the one host that uses it first, reads it so. GlobalPlatformPro, GPShell and pySim use class 80, where they
     * need the whole object; GlobalPlatformPro tries 00 only for what 80 does not have.
     */
    short run(short tag, byte[] buffer, short data, short end, boolean bare, byte[] response) {
        if (tag == Gp.TAG_APPLICATIONS) {
            return applications(buffer, data, end, response); // a file's identifier, and no data object's tag
        }
        short length = tag == Gp.TAG_CERTIFICATES
                ? certificates.getCertificates(buffer, data, end, response) : get(tag, response);
        if (length == Tlv.ABSENT) {
            ISOException.throwIt(Gp.SW_NOT_FOUND);
        }
        return bare ? Tlv.bare(response, length) : length;
    }

    private short get(short tag, byte[] response) {
        switch (tag) {
            case Gp.TAG_CARD_DATA:
                short at = Tlv.putHeader(response, (short) 0, tag, (short) 0);
                return Tlv.closeLength(response, (short) (at - 1), capabilities.putRecognition(response, at));
            case Gp.TAG_CAPABILITIES:
                at = Tlv.putHeader(response, (short) 0, tag, (short) 0);
                return Tlv.closeLength(response, (short) (at - 1), capabilities.put(response, at));
            case Gp.TAG_KEY_INFORMATION:
                return keyInformation(response);
            case Gp.TAG_SEQUENCE_COUNTER:
                return sequenceCounter(response);
            case Gp.TAG_SECURITY_LEVEL:
                at = Tlv.putHeader(response, (short) 0, tag, (short) 1);
                response[at++] = channel.getSecurityLevel();
                return at;
            case Gp.TAG_RESOURCES:
                return resources(response);
            case Gp.TAG_DIVERSIFICATION:
            case Gp.TAG_CPLC:
                return ofCard(tag, response, (short) 0);
            default:
                return held(tag, response);
        }
    }

    private short held(short tag, byte[] response) {
        for (short i = 0; i < holders.length; i++) {
            if (holders[i].holds(tag)) {
                return holders[i].get(tag, response, (short) 0);
            }
        }
        return Tlv.ABSENT;
    }

    /** Writes a data object of the whole card and returns the offset behind it, or ABSENT. */
    static short ofCard(short tag, byte[] response, short at) {
        short value = Tlv.putHeader(response, at, tag, (short) 0);
        short end = Open.getCardData(tag, response, value);
        if (end < 0) {
            return Tlv.ABSENT;
        }
        response[(short) (value - 1)] = (byte) (end - value);
        return end;
    }

    /** Spec: clause 11.3.3.1: a domain without keys of its own has an empty template. */
    private short keyInformation(byte[] response) {
        short at = Tlv.putHeader(response, (short) 0, Gp.TAG_KEY_INFORMATION, (short) 0);
        for (short i = 0; i < keys.size(); i++) {
            if (!keys.slot(i).isFree()) {
                at = keys.slot(i).describe(keys.values(), response, at);
            }
        }
        return Tlv.closeLength(response, (short) 1, at);
    }

    /** The sequence counter of the default key set, as the last INITIALIZE UPDATE used it. */
    private short sequenceCounter(byte[] response) {
        byte version = keys.defaultVersion();
        if (version == 0) {
            return Tlv.ABSENT;
        }
        short at = Tlv.putHeader(response, (short) 0, Gp.TAG_SEQUENCE_COUNTER, KeySlot.COUNTER_SIZE);
        return Util.arrayCopyNonAtomic(
                keys.find(version, KeyStore.ID_ENC).counter, (short) 0, response, at, KeySlot.COUNTER_SIZE);
    }

    /** Spec: TS 102 226 clause 8.2.1.7.2: number of applications, free memory of both kinds. */
    private static short resources(byte[] response) {
        short content = Tlv.putHeader(response, (short) 0, Gp.TAG_RESOURCES, (short) 0);
        short at = Tlv.putHeader(response, content, TAG_APPLICATIONS, (short) 2);
        at = Open.getResource(Open.RESOURCE_APPLICATIONS, response, at);
        at = Tlv.putHeader(response, at, TAG_FREE_NON_VOLATILE, (short) 4);
        at = Open.getResource(Open.RESOURCE_FREE_NON_VOLATILE, response, at);
        at = Tlv.putHeader(response, at, TAG_FREE_VOLATILE, (short) 4);
        at = Open.getResource(Open.RESOURCE_FREE_VOLATILE, response, at);
        return Tlv.closeLength(response, (short) (content - 1), at);
    }

    /**
     * Lists applications, one 61 with its 4F each: this domain and those associated with it, or all with Global Registry.
     *
     * <p>Spec: clause 11.3.3.1.3; the data field, where there is one, is the tag list 5C 00.
     */
    private static short applications(byte[] buffer, short data, short end, byte[] response) {
        if (data != end && ((short) (end - data) != 2 || buffer[data] != (byte) Gp.TAG_TAG_LIST
                || buffer[(short) (data + 1)] != 0)) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        Entry self = Open.self();
        boolean all = self.isPrivileged(GPRegistryEntry.PRIVILEGE_GLOBAL_REGISTRY);
        short at = self.kind() == Entry.KIND_ISSUER_DOMAIN || all
                ? putApplication(response, (short) 0, Open.issuerDomain()) : 0;
        for (Entry entry = Open.next(null, Open.SCOPE_APPLICATIONS); entry != null;
                entry = Open.next(entry, Open.SCOPE_APPLICATIONS)) {
            if (all || entry == self || entry.domain() == self) {
                at = putApplication(response, at, entry);
            }
        }
        return at;
    }

    private static short putApplication(byte[] response, short at, Entry entry) {
        if (at > SecurityDomain.LONG_RESPONSE_LIMIT) {
            ISOException.throwIt(Gp.SW_NOT_ENOUGH_MEMORY);
        }
        short content = Tlv.putHeader(response, at, TAG_APPLICATION, (short) 0);
        at = putAid(response, content, Gp.TAG_AID, entry);
        return Tlv.closeLength(response, (short) (content - 1), at);
    }
}
