package opentsm.piv;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.SystemException;
import javacard.framework.Util;

/**
 * The data objects of the application: GET DATA, PUT DATA. Each has room made for it when it comes, and takes the place of
 * what there was by one write, when all of it has come.
 *
 * <p>Spec: SP 800-73-4 part 1 clause 3 and tables 2 and 3 (objects, access rules), part 2 clauses 3.1.2 and 3.3.1.
 */
final class DataObjects {
    private static final byte TAG_LIST = 0x5C;
    private static final byte TAG_DATA = 0x53;
    private static final byte TAG_DISCOVERY = 0x7E;

    /** Identifiers of three bytes begin with 5F C1; the last counts from 01. */
    private static final short IDENTIFIER_START = 0x5FC1;

    private static final short IDENTIFIER_SIZE = 3;
    private static final short LAST = 0x23;

    private static final byte CARD_AUTHENTICATION_CERTIFICATE = 0x01;
    private static final byte CHUID = 0x02;
    private static final byte FINGERPRINTS = 0x03;
    private static final byte FACIAL_IMAGE = 0x08;
    private static final byte PRINTED_INFORMATION = 0x09;
    private static final byte IRIS_IMAGES = 0x21;
    private static final byte SECURE_MESSAGING_CERTIFICATE = 0x22;
    private static final byte PAIRING_CODE = 0x23;

    /** An object without contents: 53 00. */
    private static final short EMPTY_SIZE = 2;

    private static final short SW_NOT_ENOUGH_MEMORY = 0x6A84;

    /** Offsets in what is transient: which object is being written (0: none), and how much of it has come. */
    private static final short WRITTEN_OBJECT = 0;

    private static final short WRITTEN_BYTES = 1;

    /** 7E { 4F AID, 5F2F PIN usage policy: the application's own PIN, and no other (part 1 clause 3.3.2) }. */
    private final byte[] discovery;

    /** Whole objects, 53 and all, or null; by the last byte of the identifier. */
    private final Object[] values = new Object[(short) (LAST + 1)];

    /** The object that is coming; what an interrupted PUT DATA leaves here is given up by the next. */
    private byte[] coming;

    private final short[] progress = JCSystem.makeTransientShortArray((short) 2, JCSystem.CLEAR_ON_DESELECT);

    DataObjects() {
        short aidLength = (short) Piv.AID.length;
        short contents = (short) (Tlv.size(aidLength) + 5);
        discovery = new byte[Tlv.size(contents)];
        short at = Tlv.header(discovery, (short) 0, TAG_DISCOVERY, contents);
        at = Tlv.header(discovery, at, Piv.TAG_AID, aidLength);
        at = Util.arrayCopyNonAtomic(Piv.AID, (short) 0, discovery, at, aidLength);
        at = Util.setShort(discovery, at, (short) 0x5F2F);
        discovery[at++] = 2;
        Util.setShort(discovery, at, (short) 0x4000);
    }

    /** GET DATA: returns the object that the tag list names, whole. */
    byte[] get(SecurityStatus status, byte[] data, short offset, short end) {
        short list = Tlv.find(data, offset, end, TAG_LIST);
        if (list == Tlv.ABSENT) {
            throw Tlv.malformed();
        }
        short identifier = Tlv.value(data, list, end);
        short length = Tlv.length(data, list, end);
        if (length == 1 && data[identifier] == TAG_DISCOVERY) {
            return discovery;
        }
        byte object = object(data, identifier, length);
        requireReading(object, status);
        if (object == 0 || values[object] == null) {
            ISOException.throwIt(ISO7816.SW_FILE_NOT_FOUND);
        }
        return (byte[]) values[object];
    }

    /** Returns an object's number, or 0 of an identifier that is none. */
    private static byte object(byte[] data, short identifier, short length) {
        if (length != IDENTIFIER_SIZE || Util.getShort(data, identifier) != IDENTIFIER_START) {
            return 0;
        }
        byte object = data[(short) (identifier + 2)];
        return object < 0 || object > LAST ? 0 : object;
    }

    private static void requireReading(byte object, SecurityStatus status) {
        switch (object) {
            case CARD_AUTHENTICATION_CERTIFICATE:
            case CHUID:
            case SECURE_MESSAGING_CERTIFICATE:
                break;
            case FINGERPRINTS:
            case FACIAL_IMAGE:
            case PRINTED_INFORMATION:
            case IRIS_IMAGES:
            case PAIRING_CODE:
                SecurityStatus.requireContacts();
                status.requirePin();
                break;
            default:
                SecurityStatus.requireContacts();
                break;
        }
    }

    /**
     * PUT DATA, one command of its chain: the first has the identifier in 5C and the header of the object, 53. An object
     * without contents deletes.
     */
    void put(byte[] data, short offset, short end, boolean first, boolean last) {
        if (first) {
            offset = begin(data, offset, end);
        }
        byte object = (byte) progress[WRITTEN_OBJECT];
        short written = progress[WRITTEN_BYTES];
        short length = (short) (end - offset);
        passCommand();
        if (object == 0) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        short left = (short) (coming.length - written);
        if (length > left || last && length < left) {
            throw Tlv.malformed();
        }
        Util.arrayCopyNonAtomic(data, offset, coming, written, length);
        if (last) {
            store(object);
        } else {
            progress[WRITTEN_OBJECT] = object;
            progress[WRITTEN_BYTES] = (short) (written + length);
        }
    }

    /** Gives up an object of which not all has come. */
    void passCommand() {
        progress[WRITTEN_OBJECT] = 0;
    }

    /** Makes room for the object that a first command names; returns where the object begins. */
    private short begin(byte[] data, short offset, short end) {
        passCommand();
        short list = (short) (offset + 1);
        short identifier = Tlv.value(data, list, end);
        short start = (short) (identifier + IDENTIFIER_SIZE);
        if (data[offset] != TAG_LIST || start >= end || data[start] != TAG_DATA) {
            throw Tlv.malformed();
        }
        byte object = object(data, identifier, Tlv.length(data, list, end));
        short field = (short) (start + 1);
        short size = (short) (Tlv.value(data, field, end) - start + Tlv.length(data, field, end));
        if (object == 0 || size < 0) {
            throw Tlv.malformed();
        }
        try {
            coming = new byte[size];
        } catch (SystemException e) {
            ISOException.throwIt(SW_NOT_ENOUGH_MEMORY);
        }
        progress[WRITTEN_OBJECT] = object;
        progress[WRITTEN_BYTES] = 0;
        return start;
    }

    private void store(byte object) {
        values[object] = coming.length > EMPTY_SIZE ? coming : null;
        coming = null;
        if (JCSystem.isObjectDeletionSupported()) {
            JCSystem.requestObjectDeletion();
        }
    }
}
