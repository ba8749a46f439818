package opentsm.openpgp;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/**
 * The data objects of the application: GET DATA, GET NEXT DATA, SELECT DATA, PUT DATA.
 *
 * <p>Spec: OpenPGP card 3.4 clauses 4.4 (objects, access rules), 7.2.5 to 7.2.8.
 */
final class DataObjects {
    /** The longest certificate. */
    static final short MOST_CERTIFICATE = 2048;

    private static final short MOST_TEXT = 254;

    private static final short AID = 0x4F;
    private static final short NAME = 0x5B;
    private static final short LOGIN_DATA = 0x5E;
    private static final short LANGUAGES = 0x5F2D;
    private static final short SEX = 0x5F35;
    private static final short URL = 0x5F50;
    private static final short HISTORICAL_BYTES = 0x5F52;
    private static final short CARDHOLDER = 0x65;
    private static final short APPLICATION = 0x6E;
    private static final short DISCRETIONARY = 0x73;
    private static final short SECURITY_SUPPORT = 0x7A;
    private static final short COUNTER = 0x93;
    private static final short CAPABILITIES = 0xC0;
    private static final short ATTRIBUTES = 0xC1;
    private static final short PASSWORD_STATUS = 0xC4;
    private static final short FINGERPRINTS = 0xC5;
    private static final short AUTHORITY_FINGERPRINTS = 0xC6;
    private static final short FINGERPRINT = 0xC7;
    private static final short AUTHORITY_FINGERPRINT = 0xCA;
    private static final short TIMES = 0xCD;
    private static final short TIME = 0xCE;
    private static final short RESETTING_CODE = 0xD3;
    private static final short KEY_INFORMATION = 0xDE;
    private static final short ALGORITHMS = 0xFA;
    private static final short PRIVATE_1 = 0x0101;
    private static final short PRIVATE_2 = 0x0102;
    private static final short PRIVATE_3 = 0x0103;
    private static final short PRIVATE_4 = 0x0104;
    private static final short CERTIFICATE = 0x7F21;

    private static final byte GENERATED = 1;
    private static final short COUNTER_SIZE = 3;
    private static final short SW_NOT_FOUND = 0x6A88;
    private static final byte[] NOTHING = new byte[0];

    /**
     * GET CHALLENGE, status of PW1 changeable, private objects, algorithm attributes changeable; no secure messaging; the
     * longest challenge, certificate and other object; no PIN block 2; MANAGE SECURITY ENVIRONMENT (4.4.3.7).
     */
    private static final byte[] CAPABILITY_BYTES = {0x5C, 0, 0, (byte) 0xFF, 0x08, 0x00, 0, (byte) 0xFE, 0, 1};

    /**
     * Selection by whole and partial name; command chaining; life cycle status, which follows (6.1: 03 initialized, 05
     * operational); 9000.
     */
    private static final byte[] HISTORY = {0, 0x31, (byte) 0xC0, 0x73, (byte) 0xC0, 0x01, (byte) 0x80};

    private static final byte OPERATIONAL = 5;

    private final Passwords passwords;
    private final KeySlot[] keys;
    private final Record name = text(NAME, (short) 39);
    private final Record languages = text(LANGUAGES, (short) 8);
    private final Record sex = text(SEX, (short) 1);
    private final Record[] records = {
        name, languages, sex, text(LOGIN_DATA, MOST_TEXT), text(URL, MOST_TEXT),
        new Record(PRIVATE_1, MOST_TEXT, Passwords.ALWAYS, Passwords.PW1),
        new Record(PRIVATE_2, MOST_TEXT, Passwords.ALWAYS, Passwords.PW3),
        new Record(PRIVATE_3, MOST_TEXT, Passwords.PW1, Passwords.PW1),
        new Record(PRIVATE_4, MOST_TEXT, Passwords.PW3, Passwords.PW3)
    };

    /** Of the authentication, decipherment and signature key: occurrences of one object. */
    private final Record[] certificates = {
        text(CERTIFICATE, MOST_CERTIFICATE), text(CERTIFICATE, MOST_CERTIFICATE), text(CERTIFICATE, MOST_CERTIFICATE)
    };

    private final byte[] authorityFingerprints;

    /** How many signatures the signature key has made. */
    private final byte[] counter = new byte[COUNTER_SIZE];

    private final byte[] counted = JCSystem.makeTransientByteArray(COUNTER_SIZE, JCSystem.CLEAR_ON_DESELECT);

    /** The occurrence that commands mean. */
    private final byte[] occurrence = JCSystem.makeTransientByteArray((short) 1, JCSystem.CLEAR_ON_DESELECT);

    DataObjects(Passwords passwords, KeySlot[] keys) {
        this.passwords = passwords;
        this.keys = keys;
        authorityFingerprints = new byte[(short) (keys.length * KeySlot.FINGERPRINT_SIZE)];
    }

    private static Record text(short tag, short most) {
        return new Record(tag, most, Passwords.ALWAYS, Passwords.PW3);
    }

    /** Makes all what it is in a new application. */
    void renew() {
        for (short i = 0; i < records.length; i++) {
            records[i].clear();
        }
        for (short i = 0; i < certificates.length; i++) {
            certificates[i].clear();
        }
        Util.arrayFillNonAtomic(authorityFingerprints, (short) 0, (short) authorityFingerprints.length, (byte) 0);
        clearCounter();
    }

    void clearCounter() {
        Util.arrayCopy(KeySlot.ZEROS, (short) 0, counter, (short) 0, COUNTER_SIZE);
    }

    /** Counts a signature; at the end of its range it stays there (4.4.3.2). */
    void countSignature() {
        Util.arrayCopyNonAtomic(counter, (short) 0, counted, (short) 0, COUNTER_SIZE);
        for (short i = (short) (COUNTER_SIZE - 1); i >= 0; i--) {
            counted[i]++;
            if (counted[i] != 0) {
                Util.arrayCopy(counted, (short) 0, counter, (short) 0, COUNTER_SIZE);
                return;
            }
        }
    }

    /** SELECT DATA: which certificate the following commands mean. */
    void selectOccurrence(byte number, byte[] data, short length) {
        short list = Tlv.find(data, (short) 0, length, (byte) 0x60);
        if (list == Tlv.ABSENT) {
            throw Tlv.malformed();
        }
        short tag = Tlv.find(data, Tlv.value(data, list, length), length, (byte) 0x5C);
        if (tag == Tlv.ABSENT || Tlv.length(data, tag, length) != 2) {
            throw Tlv.malformed();
        }
        boolean known = Util.getShort(data, Tlv.value(data, tag, length)) == CERTIFICATE;
        if (!known || number < 0 || number >= certificates.length) {
            ISOException.throwIt(SW_NOT_FOUND);
        }
        occurrence[0] = number;
    }

    /** GET NEXT DATA: the certificate behind the one that was read. */
    void getNext(short tag, byte[] output, Response response) {
        if (tag != CERTIFICATE || occurrence[0] >= (byte) (certificates.length - 1)) {
            ISOException.throwIt(SW_NOT_FOUND);
        }
        occurrence[0]++;
        get(tag, false, output, response);
    }

    /** GET DATA: has an object sent; the status of an application that is terminated is told as well. */
    void get(short tag, boolean terminated, byte[] output, Response response) {
        Record record = record(tag);
        if (record != null) {
            passwords.requireVerified(record.reading);
            response.set(record.valueOr(NOTHING), record.length());
            return;
        }
        short end = 0;
        switch (tag) {
            case AID:
                end = JCSystem.getAID().getBytes(output, (short) 0);
                break;
            case HISTORICAL_BYTES:
                end = historicalBytes(terminated, output, (short) 0);
                break;
            case CARDHOLDER:
                end = cardholder(output);
                break;
            case APPLICATION:
                end = application(terminated, output);
                break;
            case SECURITY_SUPPORT:
                short at = Tlv.header(output, (short) 0, (byte) SECURITY_SUPPORT, Tlv.size(COUNTER_SIZE));
                at = Tlv.header(output, at, (byte) COUNTER, COUNTER_SIZE);
                end = Util.arrayCopyNonAtomic(counter, (short) 0, output, at, COUNTER_SIZE);
                break;
            case PASSWORD_STATUS:
                end = passwords.writeStatus(output, (short) 0);
                break;
            case ALGORITHMS:
                end = algorithms(output);
                break;
            default:
                ISOException.throwIt(SW_NOT_FOUND);
                break;
        }
        response.set(output, end);
    }

    private Record record(short tag) {
        if (tag == CERTIFICATE) {
            return certificates[occurrence[0]];
        }
        for (short i = 0; i < records.length; i++) {
            if (records[i].tag == tag) {
                return records[i];
            }
        }
        return null;
    }

    /** PUT DATA: one object, whole. */
    void put(short tag, byte[] data, short length) {
        Record record = record(tag);
        passwords.requireVerified(record == null ? Passwords.PW3 : record.writing);
        if (record != null) {
            record.set(data, length);
        } else if (tag == PASSWORD_STATUS) {
            passwords.setStatus(data, length);
        } else if (tag == RESETTING_CODE) {
            passwords.setCode(data, length);
        } else if (isOf(tag, ATTRIBUTES)) {
            keys[(short) (tag - ATTRIBUTES)].setAttributes(data, length);
        } else if (isOf(tag, FINGERPRINT)) {
            fill(keys[(short) (tag - FINGERPRINT)].fingerprint, (short) 0, KeySlot.FINGERPRINT_SIZE, data, length);
        } else if (isOf(tag, AUTHORITY_FINGERPRINT)) {
            short offset = (short) ((short) (tag - AUTHORITY_FINGERPRINT) * KeySlot.FINGERPRINT_SIZE);
            fill(authorityFingerprints, offset, KeySlot.FINGERPRINT_SIZE, data, length);
        } else if (isOf(tag, TIME)) {
            fill(keys[(short) (tag - TIME)].time, (short) 0, KeySlot.TIME_SIZE, data, length);
        } else {
            ISOException.throwIt(SW_NOT_FOUND);
        }
    }

    /** Tells whether a tag is one of three that begin with another, one for each key. */
    private static boolean isOf(short tag, short start) {
        return tag >= start && tag < (short) (start + 3);
    }

    /** Writes a value of its size, or zeros when there are no data. */
    private static void fill(byte[] target, short offset, short size, byte[] data, short length) {
        if (length == 0) {
            Util.arrayCopy(KeySlot.ZEROS, (short) 0, target, offset, size);
        } else if (length == size) {
            Util.arrayCopy(data, (short) 0, target, offset, size);
        } else {
            ISOException.throwIt(ISO7816.SW_WRONG_LENGTH);
        }
    }

    private static short historicalBytes(boolean terminated, byte[] output, short at) {
        at = Util.arrayCopyNonAtomic(HISTORY, (short) 0, output, at, (short) HISTORY.length);
        output[at++] = terminated ? (byte) 3 : OPERATIONAL;
        return Util.setShort(output, at, ISO7816.SW_NO_ERROR);
    }

    /** 65 { 5B, 5F2D, 5F35 }. */
    private short cardholder(byte[] output) {
        short at = 2;
        at = Tlv.header(output, at, (byte) NAME, name.length());
        at = name.write(output, at);
        at = Util.setShort(output, at, LANGUAGES);
        output[at++] = (byte) languages.length();
        at = languages.write(output, at);
        at = Util.setShort(output, at, SEX);
        output[at++] = (byte) sex.length();
        at = sex.write(output, at);
        Tlv.header(output, (short) 0, (byte) CARDHOLDER, (short) (at - 2)); // less than 128: two bytes
        return at;
    }

    /** 6E { 4F, 5F52, 73 { C0, C1, C2, C3, C4, C5, C6, CD, DE } }. */
    private short application(boolean terminated, byte[] output) {
        short at = 5;
        short length = JCSystem.getAID().getBytes(output, at);
        output[(short) (at - 2)] = (byte) AID;
        output[(short) (at - 1)] = (byte) length;
        at += length;
        at = Util.setShort(output, at, HISTORICAL_BYTES);
        output[at] = (byte) (historicalBytes(terminated, output, (short) (at + 1)) - (short) (at + 1));
        at += (short) (output[at] + 1);
        short discretionary = at;
        at = discretionary(output, (short) (at + 3));
        close(output, discretionary, (byte) DISCRETIONARY, at);
        close(output, (short) 0, (byte) APPLICATION, at);
        return at;
    }

    /** Writes a tag and a length of one byte behind 81, for which there is room, before what ends at an offset. */
    private static void close(byte[] output, short offset, byte tag, short end) {
        output[offset] = tag;
        output[(short) (offset + 1)] = (byte) 0x81;
        output[(short) (offset + 2)] = (byte) (end - offset - 3);
    }

    private short discretionary(byte[] output, short at) {
        at = Tlv.header(output, at, (byte) CAPABILITIES, (short) CAPABILITY_BYTES.length);
        at = Util.arrayCopyNonAtomic(CAPABILITY_BYTES, (short) 0, output, at, (short) CAPABILITY_BYTES.length);
        for (short i = 0; i < keys.length; i++) {
            at = attributes(i, false, output, at);
        }
        at = Tlv.header(output, at, (byte) PASSWORD_STATUS, (short) 7);
        at = passwords.writeStatus(output, at);
        at = Tlv.header(output, at, (byte) FINGERPRINTS, (short) authorityFingerprints.length);
        for (short i = 0; i < keys.length; i++) {
            at = Util.arrayCopyNonAtomic(keys[i].fingerprint, (short) 0, output, at, KeySlot.FINGERPRINT_SIZE);
        }
        at = Tlv.header(output, at, (byte) AUTHORITY_FINGERPRINTS, (short) authorityFingerprints.length);
        at = Util.arrayCopyNonAtomic(authorityFingerprints, (short) 0, output, at, (short) authorityFingerprints.length);
        at = Tlv.header(output, at, (byte) TIMES, (short) (keys.length * KeySlot.TIME_SIZE));
        for (short i = 0; i < keys.length; i++) {
            at = Util.arrayCopyNonAtomic(keys[i].time, (short) 0, output, at, KeySlot.TIME_SIZE);
        }
        at = Tlv.header(output, at, (byte) KEY_INFORMATION, (short) (2 * keys.length));
        for (short i = 0; i < keys.length; i++) {
            output[at++] = (byte) (i + 1);
            output[at++] = keys[i].hasKey() ? GENERATED : (byte) 0;
        }
        return at;
    }

    private short attributes(short key, boolean others, byte[] output, short at) {
        short end = keys[key].writeAttributes(others, output, (short) (at + 2));
        Tlv.header(output, at, (byte) (ATTRIBUTES + key), (short) (end - at - 2));
        return end;
    }

    /** FA { C1, C1, C2, C2, C3, C3 }: all algorithm attributes that there can be. */
    private short algorithms(byte[] output) {
        short at = 2;
        for (short i = 0; i < keys.length; i++) {
            at = attributes(i, false, output, at);
            at = attributes(i, true, output, at);
        }
        Tlv.header(output, (short) 0, (byte) ALGORITHMS, (short) (at - 2));
        return at;
    }
}
