package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Shareable;
import javacard.framework.Util;
import javacard.security.MessageDigest;
import javacard.security.RandomData;
import org.globalplatform.Authority;
import org.globalplatform.GPSystem;
import org.globalplatform.GlobalService;

/**
 * Confidential set-up of a Security Domain's secure channel keys: the host and the card's controlling authority agree on a
 * secret, of which the keys are derived here and by the host. Who carries the commands learns none of them.
 *
 * <p>STORE DATA brings two DGIs: 00A6 with the control reference template A6 (what keys there are to be), 7F49 with the
 * host's ephemeral public key. The answer is 85 (random data that went into the derivation, when asked for) and 86 (a
 * receipt: a MAC under a key derived with the others, by which the host sees that the keys are there).
 *
 * <p>Spec: GP Card 2.3.1 clauses 11.11, B.4.4 (ECKA-EG), B.4.5 (X9.63 key derivation); GP Amendment A, scenario 3.
 */
final class ConfidentialSetup {
    private static final short DGI_TEMPLATE = 0x00A6;
    private static final short DGI_PUBLIC_KEY = 0x7F49;

    private static final short TAG_TEMPLATE = 0x00A6;
    private static final short TAG_SCENARIO = 0x0090;
    private static final short TAG_USAGE = 0x0095;
    private static final short TAG_TYPE = 0x0080;
    private static final short TAG_LENGTH = 0x0081;
    private static final short TAG_IDENTIFIER = 0x0082;
    private static final short TAG_VERSION = 0x0083;
    private static final short TAG_HOST = 0x0084;
    private static final short TAG_RANDOM = 0x0085;
    private static final short TAG_RECEIPT = 0x0086;

    private static final byte SCENARIO = 3;

    /** Bits of the scenario's parameter: random data of the card's, and the names of host and domain, are derived from. */
    private static final byte WITH_RANDOM = 0x02;

    private static final byte WITH_NAMES = 0x04;

    private static final short RANDOM_SIZE = 16;
    private static final short RECEIPT_SIZE = 16;
    private static final short HASH_SIZE = 32;
    private static final short COUNTER_SIZE = 4;
    private static final short HOST_SIZE = 16;

    /** Four keys of 32 bytes: receipt key, Key-ENC, Key-MAC, Key-DEK; before the last three version and length. */
    private static final short KEYS_SIZE = 130;

    private static final short TEMPLATE_SIZE = 96;

    /** Layout of the memory. */
    private static final short TEMPLATE = 0;

    private static final short POINT = TEMPLATE_SIZE;
    private static final short SECRET = POINT + Curves.POINT_SIZE;
    private static final short SHARED = SECRET + Curves.P384_SIZE;
    private static final short SHARED_SIZE = 3 + RANDOM_SIZE + 3 * (1 + HOST_SIZE);
    private static final short KEYS = SHARED + SHARED_SIZE;
    private static final short COUNTER = KEYS + KEYS_SIZE;
    private static final short RAM_SIZE = COUNTER + COUNTER_SIZE;

    private final KeyStore keys;
    private final KeyManagement keyManagement;
    private final DataHolder names;
    private final Scp03Crypto crypto;
    private final MessageDigest sha256;
    private final RandomData randomData;

    /** Cleared at reset, and when a set-up ends. */
    private final byte[] ram;

    /** Length of the template and of the point that came; cleared at reset. */
    private final short[] lengths;

    ConfidentialSetup(KeyStore keys, KeyManagement keyManagement, DataHolder names, Scp03Crypto crypto) {
        this.keys = keys;
        this.keyManagement = keyManagement;
        this.names = names;
        this.crypto = crypto;
        sha256 = MessageDigest.getInstance(MessageDigest.ALG_SHA_256, false);
        randomData = RandomData.getInstance(RandomData.ALG_SECURE_RANDOM);
        ram = JCSystem.makeTransientByteArray(RAM_SIZE, JCSystem.CLEAR_ON_RESET);
        lengths = JCSystem.makeTransientShortArray((short) 2, JCSystem.CLEAR_ON_RESET);
    }

    /** Forgets what came, and every secret. */
    void end() {
        Util.arrayFillNonAtomic(ram, (short) 0, RAM_SIZE, (byte) 0);
        lengths[0] = 0;
        lengths[1] = 0;
    }

    static boolean holds(short dgi) {
        return dgi == DGI_TEMPLATE || dgi == DGI_PUBLIC_KEY;
    }

    /** Takes one of the two DGIs; a second one of its kind is refused. */
    void take(short dgi, byte[] source, short offset, short length) {
        short which = (short) (dgi == DGI_TEMPLATE ? 0 : 1);
        short most = which == 0 ? TEMPLATE_SIZE : Curves.POINT_SIZE;
        if (length == 0 || length > most || lengths[which] != 0) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        Util.arrayCopyNonAtomic(source, offset, ram, which == 0 ? TEMPLATE : POINT, length);
        lengths[which] = length;
    }

    /** Tells whether any of it came. */
    boolean isBegun() {
        return lengths[0] != 0 || lengths[1] != 0;
    }

    /**
     * Agrees, derives and stores the keys.
     *
     * @param buffer the APDU buffer: through it the controlling authority's context is given and gives back
     * @return the length of the response
     */
    short finish(byte[] buffer, byte[] response) {
        if (lengths[0] == 0 || lengths[1] == 0 || Tlv.tag(ram, TEMPLATE, lengths[0]) != TAG_TEMPLATE) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        short field = Tlv.lengthOffset(ram, TEMPLATE, lengths[0]);
        short template = Tlv.valueOffset(ram, field);
        short end = (short) (template + Tlv.length(ram, field, lengths[0]));
        if (end != lengths[0]) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        byte parameter = parameter(template, end);
        byte keyLength = number(TAG_LENGTH, template, end);
        byte version = number(TAG_VERSION, template, end);
        boolean known = number(TAG_TYPE, template, end) == Gp.KEY_TYPE_AES
                && (keyLength == 16 || keyLength == 24 || keyLength == 32)
                && number(TAG_IDENTIFIER, template, end) == KeyStore.ID_ENC;
        if (!known || version <= 0 || keys.find(version, KeyStore.ID_ENC) != null) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        short secret = agree(buffer);
        short shared = shared(parameter, template, end);
        derive(secret, shared, keyLength);
        short at = 0;
        if ((parameter & WITH_RANDOM) != 0) {
            at = Tlv.putHeader(response, at, TAG_RANDOM, RANDOM_SIZE);
            at = Util.arrayCopyNonAtomic(ram, (short) (SHARED + 3), response, at, RANDOM_SIZE);
        }
        short random = at;
        at = Tlv.putHeader(response, at, TAG_RECEIPT, RECEIPT_SIZE);
        sign(keyLength, response, random, at);
        store(version, keyLength);
        return (short) (at + RECEIPT_SIZE);
    }

    /** Returns the scenario's parameter, 00 when it has none. */
    private byte parameter(short template, short end) {
        short field = Tlv.find(ram, template, end, TAG_SCENARIO);
        if (field == Tlv.ABSENT) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        short length = Tlv.length(ram, field, end);
        short value = Tlv.valueOffset(ram, field);
        if (length != 1 && length != 2 || ram[value] != SCENARIO) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        byte parameter = length == 2 ? ram[(short) (value + 1)] : 0;
        if ((parameter & ~(WITH_RANDOM | WITH_NAMES)) != 0) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        return parameter;
    }

    private byte number(short tag, short template, short end) {
        short field = Tlv.find(ram, template, end, tag);
        if (field == Tlv.ABSENT || Tlv.length(ram, field, end) != 1) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        return ram[Tlv.valueOffset(ram, field)];
    }

    /** Asks the card's controlling authority for the shared secret and returns its length. */
    private short agree(byte[] buffer) {
        GlobalService service = GPSystem.getService(null, ControllingAuthority.SERVICE);
        Shareable offered = service == null ? null : service.getServiceInterface(
                GPSystem.getRegistryEntry(null), ControllingAuthority.SERVICE, buffer, (short) 0, (short) 0);
        if (offered == null) {
            ISOException.throwIt(Gp.SW_NOT_FOUND);
        }
        Authority authority = (Authority) offered;
        Util.arrayCopyNonAtomic(ram, POINT, buffer, (short) 0, lengths[1]);
        authority.init(Authority.MODE_KEY_RECOVERY);
        short secret = authority.recoverKey(buffer, (short) 0, lengths[1], buffer, (short) 0);
        Util.arrayCopyNonAtomic(buffer, (short) 0, ram, SECRET, secret);
        Util.arrayFillNonAtomic(buffer, (short) 0, secret, (byte) 0);
        return secret;
    }

    /** Writes what the derivation shares: usage, type, length of the keys, then random data and names if asked for. */
    private short shared(byte parameter, short template, short end) {
        ram[SHARED] = number(TAG_USAGE, template, end);
        ram[(short) (SHARED + 1)] = number(TAG_TYPE, template, end);
        ram[(short) (SHARED + 2)] = number(TAG_LENGTH, template, end);
        short at = (short) (SHARED + 3);
        if ((parameter & WITH_RANDOM) != 0) {
            randomData.generateData(ram, at, RANDOM_SIZE);
            at += RANDOM_SIZE;
        }
        if ((parameter & WITH_NAMES) != 0) {
            at = putHost(template, end, at);
            at = putName(Gp.TAG_IIN, at);
            at = putName(Gp.TAG_CIN, at);
        }
        return (short) (at - SHARED);
    }

    private short putHost(short template, short end, short at) {
        short field = Tlv.find(ram, template, end, TAG_HOST);
        short length = field == Tlv.ABSENT ? 0 : Tlv.length(ram, field, end);
        if (length > HOST_SIZE) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        ram[at++] = (byte) length;
        return length == 0 ? at : Util.arrayCopyNonAtomic(ram, Tlv.valueOffset(ram, field), ram, at, length);
    }

    /** Writes length and value of this domain's 42 or 45; the length is 00 when it has none. */
    private short putName(short tag, short at) {
        short end = names.get(tag, ram, at);
        if (end == Tlv.ABSENT) {
            ram[at] = 0;
            return (short) (at + 1);
        }
        // Tag and length have a byte each: the tag goes.
        return Util.arrayCopyNonAtomic(ram, (short) (at + 1), ram, at, (short) (end - at - 1));
    }

    /** X9.63 with SHA-256: the hash of the secret, a counter of 4 bytes from 1, and what is shared, as often as needed. */
    private void derive(short secret, short shared, byte keyLength) {
        short needed = (short) (keyLength << 2);
        Util.arrayFillNonAtomic(ram, COUNTER, COUNTER_SIZE, (byte) 0);
        for (short at = 0; at < needed; at += HASH_SIZE) {
            ram[(short) (COUNTER + COUNTER_SIZE - 1)]++;
            sha256.reset();
            sha256.update(ram, SECRET, secret);
            sha256.update(ram, COUNTER, COUNTER_SIZE);
            sha256.doFinal(ram, SHARED, shared, ram, (short) (KEYS + 2 + at));
        }
    }

    /** Signs the template, the host's public key and the random data's object with the receipt key. */
    private void sign(byte keyLength, byte[] response, short random, short at) {
        crypto.macBegin(ram, (short) (KEYS + 2), keyLength);
        crypto.macUpdate(ram, TEMPLATE, lengths[0]);
        if (random == 0) {
            crypto.macFinish(ram, POINT, lengths[1], response, at);
            return;
        }
        crypto.macUpdate(ram, POINT, lengths[1]);
        crypto.macFinish(response, (short) 0, random, response, at);
    }

    /** Stores Key-ENC, Key-MAC and Key-DEK, which are behind the receipt key. */
    private void store(byte version, byte keyLength) {
        short at = (short) (KEYS + keyLength);
        ram[at] = version;
        ram[(short) (at + 1)] = keyLength;
        keyManagement.putKeySet(ram, at, (short) (2 + 3 * keyLength));
    }
}
