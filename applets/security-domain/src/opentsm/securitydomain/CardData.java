package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import opentsm.open.Entry;
import opentsm.open.Open;
import org.globalplatform.GPRegistryEntry;

/**
 * What a Security Domain tells of itself and the card (GET DATA, FCI), and what can be stored of it (STORE DATA).
 *
 * <p>Spec: GP Card 2.3.1 clauses 7.4.1, 11.3, 11.9.3.1, 11.11, annex H.
 */
final class CardData {
    /** FCI's proprietary data (clause 11.9.3.1): the longest command data field. */
    private static final byte[] FCI_PROPRIETARY = {(byte) 0xA5, 0x04, (byte) 0x9F, 0x65, 0x01, (byte) 0xFF};

    private static final short TAG_FCI = 0x006F;
    private static final short TAG_DF_NAME = 0x0084;
    private static final short DGI_TLVS = 0x0070;

    /** P1 of STORE DATA (table 11-89). */
    private static final byte LAST_BLOCK = (byte) 0x80;

    private static final byte ENCRYPTION = 0x60;
    private static final byte STRUCTURE = 0x18;
    private static final byte STRUCTURE_DGI = 0x08;

    private static final short VALUE_SIZE = 16;

    private final KeyStore keys;
    private final Capabilities capabilities;

    /** This domain's own provider number (42) and image number (45): length, then value. The issuer's are the card's. */
    private final byte[] providerNumber = new byte[(short) (1 + VALUE_SIZE)];

    private final byte[] imageNumber = new byte[(short) (1 + VALUE_SIZE)];

    /** Number of the next block of STORE DATA, and details of an effect; cleared at reset. */
    private final byte[] scratch;

    CardData(KeyStore keys, Capabilities capabilities) {
        this.keys = keys;
        this.capabilities = capabilities;
        scratch = JCSystem.makeTransientByteArray((short) 2, JCSystem.CLEAR_ON_RESET);
    }

    /** Writes the FCI: the AID as registered, whatever alias was selected. */
    short fileControlInformation(byte[] response) {
        short at = Tlv.putHeader(response, (short) 0, TAG_FCI, (short) 0);
        short name = Tlv.putHeader(response, at, TAG_DF_NAME, (short) 0);
        at = Open.self().getAid(response, name);
        response[(short) (name - 1)] = (byte) (at - name);
        at = Util.arrayCopyNonAtomic(FCI_PROPRIETARY, (short) 0, response, at, (short) FCI_PROPRIETARY.length);
        return Tlv.closeLength(response, (short) 1, at);
    }

    /** Runs GET DATA: the response is the whole data object. */
    short get(short tag, byte[] response) {
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
            case Gp.TAG_DIVERSIFICATION:
            case Gp.TAG_CPLC:
                return ofCard(tag, response);
            case Gp.TAG_IIN:
                return own(tag, providerNumber, response);
            case Gp.TAG_CIN:
                return own(tag, imageNumber, response);
            default:
                ISOException.throwIt(Gp.SW_NOT_FOUND);
                return 0;
        }
    }

    private static short ofCard(short tag, byte[] response) {
        short value = Tlv.putHeader(response, (short) 0, tag, (short) 0);
        short end = Open.getCardData(tag, response, value);
        if (end < 0) {
            ISOException.throwIt(Gp.SW_NOT_FOUND);
        }
        response[(short) (value - 1)] = (byte) (end - value);
        return end;
    }

    private static boolean isIssuer() {
        return Open.self().kind() == Entry.KIND_ISSUER_DOMAIN;
    }

    private static short own(short tag, byte[] stored, byte[] response) {
        if (isIssuer()) {
            return ofCard(tag, response);
        }
        if (stored[0] == 0) {
            ISOException.throwIt(Gp.SW_NOT_FOUND);
        }
        short at = Tlv.putHeader(response, (short) 0, tag, stored[0]);
        return Util.arrayCopyNonAtomic(stored, (short) 1, response, at, stored[0]);
    }

    /** Spec: clause 11.3.3.1: a domain without keys of its own has an empty template. */
    private short keyInformation(byte[] response) {
        short at = Tlv.putHeader(response, (short) 0, Gp.TAG_KEY_INFORMATION, (short) 0);
        for (short i = 0; i < keys.size(); i++) {
            if (!keys.slot(i).isFree()) {
                at = keys.slot(i).describe(response, at);
            }
        }
        return Tlv.closeLength(response, (short) 1, at);
    }

    /** The sequence counter of the default key set, as the last INITIALIZE UPDATE used it. */
    private short sequenceCounter(byte[] response) {
        byte version = keys.defaultVersion();
        if (version == 0) {
            ISOException.throwIt(Gp.SW_NOT_FOUND);
        }
        short at = Tlv.putHeader(response, (short) 0, Gp.TAG_SEQUENCE_COUNTER, KeySlot.COUNTER_SIZE);
        return Util.arrayCopyNonAtomic(
                keys.find(version, KeyStore.ID_ENC).counter, (short) 0, response, at, KeySlot.COUNTER_SIZE);
    }

    /**
     * Runs STORE DATA to the domain itself: data objects 42 and 45, as BER-TLV or in DGI 0070. A block is complete in
     * itself and stored whole or not at all; blocks are numbered from 00.
     *
     * @return 0, the length of the response
     */
    short store(byte[] buffer, byte p1, byte p2, short data, short end) {
        if (p2 == 0) {
            scratch[0] = 0;
        }
        if (p2 != scratch[0]) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        if ((p1 & ENCRYPTION) != 0) {
            ISOException.throwIt(Gp.SW_INCORRECT_P1P2); // nothing here is a secret
        }
        if ((byte) (p1 & STRUCTURE) == STRUCTURE_DGI) {
            storeGroups(buffer, data, end);
        } else {
            storeObjects(buffer, data, end);
        }
        scratch[0] = (p1 & LAST_BLOCK) != 0 ? 0 : (byte) (p2 + 1);
        return 0;
    }

    /** Spec: GP Systems Scripting Language annex B, as clause 11.11 names it: DGI, length (one byte, or FF and two). */
    private void storeGroups(byte[] buffer, short data, short end) {
        while (data < end) {
            if ((short) (end - data) < 3 || Util.getShort(buffer, data) != DGI_TLVS) {
                ISOException.throwIt(Gp.SW_NOT_FOUND);
            }
            short value = (short) (data + 2);
            data = Tlv.afterLv(buffer, value, end);
            storeObjects(buffer, (short) (value + 1), data);
        }
    }

    private void storeObjects(byte[] buffer, short data, short end) {
        for (short at = data; at < end; at = Tlv.next(buffer, at, end)) {
            short tag = Tlv.tag(buffer, at, end);
            short length = Tlv.length(buffer, Tlv.lengthOffset(buffer, at, end), end);
            if (tag != Gp.TAG_IIN && tag != Gp.TAG_CIN) {
                ISOException.throwIt(Gp.SW_NOT_FOUND);
            }
            if (length == 0 || length > VALUE_SIZE) {
                ISOException.throwIt(Gp.SW_WRONG_DATA);
            }
        }
        for (short at = data; at < end; at = Tlv.next(buffer, at, end)) {
            storeObject(buffer, Tlv.tag(buffer, at, end), Tlv.lengthOffset(buffer, at, end), end);
        }
    }

    private void storeObject(byte[] buffer, short tag, short field, short end) {
        short value = Tlv.valueOffset(buffer, field);
        short length = Tlv.length(buffer, field, end);
        if (isIssuer()) {
            Open.setCardData(tag, buffer, value, length);
            return;
        }
        byte[] stored = tag == Gp.TAG_IIN ? providerNumber : imageNumber;
        JCSystem.beginTransaction();
        Util.arrayCopy(buffer, value, stored, (short) 1, length);
        stored[0] = (byte) length;
        JCSystem.commitTransaction();
        Util.setShort(scratch, (short) 0, tag);
        Open.effect(Open.EFFECT_STORE_DATA, scratch, (short) 0, (short) 2);
        scratch[0] = 0;
    }
}
