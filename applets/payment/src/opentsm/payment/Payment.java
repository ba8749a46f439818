package opentsm.payment;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.MultiSelectable;
import javacard.framework.Util;
import org.globalplatform.GPSystem;
import org.globalplatform.Personalization;
import org.globalplatform.SecureChannel;
import org.globalplatform.contactless.GPCLRegistryEntry;
import org.globalplatform.contactless.GPCLSystem;

/**
 * A payment application with several accounts.
 *
 * <p>Accounts come and go by personalization through the Security Domain, one transaction a block, each with the
 * identifier of the operation that it is part of. A reader sees them as an EMV application's records. GET DATA tells which
 * operation was the last, and which accounts there are (never their numbers): in clear, or protected in a secure channel
 * of the Security Domain, which the instance answers INITIALIZE UPDATE and EXTERNAL AUTHENTICATE for.
 *
 * <p>Spec: EMV Book 1 clause 11.3 (SELECT), Book 3 clauses 6.5.8 (GET PROCESSING OPTIONS), 6.5.11 (READ RECORD), 6.5.7
 * (GET DATA); GP Card 2.3.1 clauses 7.3.3, 11.11 (personalization).
 */
public final class Payment extends Applet implements MultiSelectable, Personalization {
    private static final byte INS_STORE_DATA = (byte) 0xE2;
    private static final byte INS_INITIALIZE_UPDATE = 0x50;
    private static final byte INS_EXTERNAL_AUTHENTICATE = (byte) 0x82;
    private static final byte INS_GET_PROCESSING_OPTIONS = (byte) 0xA8;
    private static final byte INS_READ_RECORD = (byte) 0xB2;
    private static final byte INS_GET_DATA = (byte) 0xCA;

    /** Data grouping identifiers (README.md). */
    private static final short DGI_OPERATION = 0x0101;

    private static final short DGI_PUT_ACCOUNT = 0x0201;
    private static final short DGI_DELETE_ACCOUNT = 0x0202;
    private static final short DGI_DELETE_QUALIFIER = 0x0203;
    private static final short DGI_DELETE_ALL = 0x0204;

    /** Accounts are the records of the file with this short identifier (EMV Book 3 clause 10.2). */
    private static final byte SFI = 1;

    private static final short SW_NOT_FOUND = 0x6A88;
    private static final short OPERATION_SIZE = 16;
    private static final short LABEL_LIMIT = 16;

    /** Label and priority with their headers. */
    private static final short DIRECTORY_SIZE = (short) (2 + LABEL_LIMIT + 3);

    /** The list of six accounts with the longest qualifiers still fits a response with R-ENC and R-MAC. */
    private static final short ACCOUNTS_LIMIT = 6;

    private final Accounts accounts;

    /** The identifier of the last operation, zeros before the first; persistent, written with what it did. */
    private final byte[] lastOperation = new byte[OPERATION_SIZE];

    private final Field label = new Field(LABEL_LIMIT);
    private final Field priority = new Field((short) 1);

    private Payment(byte[] array, short parameters, short end) {
        short field = DataObjects.find(array, parameters, end, DataObjects.MAX_ACCOUNTS);
        short limit = ACCOUNTS_LIMIT;
        if (field != DataObjects.ABSENT) {
            limit = array[(short) (field + 1)];
            if (DataObjects.length(array, field) != 1 || limit < 1 || limit > ACCOUNTS_LIMIT) {
                ISOException.throwIt(ISO7816.SW_WRONG_DATA);
            }
        }
        take(label, array, parameters, end, DataObjects.LABEL, LABEL_LIMIT);
        take(priority, array, parameters, end, DataObjects.PRIORITY, (short) 1);
        accounts = new Accounts(limit);
    }

    private static void take(Field target, byte[] array, short offset, short end, short tag, short limit) {
        short field = DataObjects.find(array, offset, end, tag);
        if (field != DataObjects.ABSENT) {
            if (DataObjects.length(array, field) > limit) {
                ISOException.throwIt(ISO7816.SW_WRONG_DATA);
            }
            target.set(array, field);
        }
    }

    /**
     * Installs an instance.
     *
     * <p>Its install parameters (C9): 50 label, 87 priority (1 byte), C2 the most accounts it can have (1 byte, 1 to 6).
     */
    public static void install(byte[] array, short offset, byte length) {
        short privileges = (short) (offset + 1 + array[offset]);
        short parameters = (short) (privileges + 1 + array[privileges]);
        short end = (short) (parameters + 1 + array[parameters]);
        Payment payment = new Payment(array, (short) (parameters + 1), end);
        payment.register(array, (short) (offset + 1), array[offset]);
        payment.tellDirectory();
    }

    /** Has label and priority in the registry, where a PPSE finds them (GP Amendment C, discretionary data). */
    private void tellDirectory() {
        byte[] data = new byte[DIRECTORY_SIZE];
        short end = label.put(data, (short) 0, DataObjects.LABEL);
        end = priority.put(data, end, DataObjects.PRIORITY);
        if (end > 0) {
            GPCLRegistryEntry own = GPCLSystem.getGPCLRegistryEntry(null);
            own.setInfo(data, (short) 0, end, GPCLRegistryEntry.INFO_DISCRETIONARY_DATA);
        }
    }

    @Override
    public boolean select(boolean alreadyActive) {
        return true;
    }

    @Override
    public void deselect() {
        endSession();
    }

    @Override
    public void deselect(boolean stillActive) {
        endSession();
    }

    private static void endSession() {
        SecureChannel channel = GPSystem.getSecureChannel();
        if (channel != null) {
            channel.resetSecurity();
        }
    }

    @Override
    public void process(APDU apdu) {
        byte[] buffer = apdu.getBuffer();
        if (selectingApplet()) {
            send(apdu, (short) 0, fileControlInformation(buffer));
            return;
        }
        byte ins = buffer[ISO7816.OFFSET_INS];
        if (ins == ISO7816.INS_SELECT) {
            ISOException.throwIt(ISO7816.SW_FILE_NOT_FOUND); // of no application of this card (JCRE clause 4.5.2)
        }
        if (ins == INS_INITIALIZE_UPDATE || ins == INS_EXTERNAL_AUTHENTICATE) {
            send(apdu, ISO7816.OFFSET_CDATA, GPSystem.getSecureChannel().processSecurity(apdu));
            return;
        }
        short length = (short) (apdu.setIncomingAndReceive() + apdu.getOffsetCdata());
        if (!apdu.isSecureMessagingCLA()) {
            send(apdu, (short) 0, run(buffer, ins));
            return;
        }
        SecureChannel channel = GPSystem.getSecureChannel();
        channel.unwrap(buffer, (short) 0, length);
        length = run(buffer, ins);
        length = channel.wrap(buffer, (short) 0, Util.setShort(buffer, length, ISO7816.SW_NO_ERROR));
        send(apdu, (short) 0, (short) (length - 2));
    }

    private static void send(APDU apdu, short offset, short length) {
        if (length > 0) {
            apdu.setOutgoingAndSend(offset, length);
        }
    }

    /** Runs a plain command; the response is written from the beginning of the buffer. */
    private short run(byte[] buffer, byte ins) {
        byte p1 = buffer[ISO7816.OFFSET_P1];
        byte p2 = buffer[ISO7816.OFFSET_P2];
        switch (ins) {
            case INS_GET_PROCESSING_OPTIONS:
                return processingOptions(buffer, p1, p2);
            case INS_READ_RECORD:
                if (p2 != (byte) (SFI << 3 | 4)) {
                    ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
                }
                return accounts.record((short) (p1 & 0xFF), buffer, (short) 0);
            case INS_GET_DATA:
                return getData(Util.makeShort(p1, p2), buffer);
            default:
                ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
                return 0;
        }
    }

    /** Writes 6F { 84 name, A5 { 50, 87 } }. */
    private short fileControlInformation(byte[] buffer) {
        short value = DataObjects.header(buffer, (short) 0, DataObjects.FCI, (short) 0);
        short name = DataObjects.header(buffer, value, DataObjects.DF_NAME, (short) 0);
        short end = (short) (name + JCSystem.getAID().getBytes(buffer, name));
        end = DataObjects.close(buffer, name, end);
        short proprietary = DataObjects.header(buffer, end, DataObjects.PROPRIETARY, (short) 0);
        end = label.put(buffer, proprietary, DataObjects.LABEL);
        end = priority.put(buffer, end, DataObjects.PRIORITY);
        end = DataObjects.close(buffer, proprietary, end);
        return DataObjects.close(buffer, value, end);
    }

    /** There is no PDOL, so the data is 83 00; the answer is 77 { 82 AIP, 94 AFL }, or 6985 without an account. */
    private short processingOptions(byte[] buffer, byte p1, byte p2) {
        if (p1 != 0 || p2 != 0) {
            ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        }
        if (Util.getShort(buffer, ISO7816.OFFSET_CDATA) != (short) 0x8300 || buffer[ISO7816.OFFSET_LC] != 2) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        byte count = (byte) accounts.count();
        if (count == 0) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        short value = DataObjects.header(buffer, (short) 0, DataObjects.GPO_RESPONSE, (short) 0);
        short at = DataObjects.header(buffer, value, DataObjects.AIP, (short) 2);
        at = Util.setShort(buffer, at, (short) 0); // neither offline authentication nor issuer authentication
        at = DataObjects.header(buffer, at, DataObjects.AFL, (short) 4);
        buffer[at++] = (byte) (SFI << 3);
        buffer[at++] = 1;
        buffer[at++] = count;
        buffer[at++] = 0; // no record takes part in offline data authentication
        return DataObjects.close(buffer, value, at);
    }

    private short getData(short tag, byte[] buffer) {
        short value = DataObjects.header(buffer, (short) 0, tag, (short) 0);
        short end;
        switch (tag) {
            case DataObjects.LAST_OPERATION:
                end = Util.arrayCopyNonAtomic(lastOperation, (short) 0, buffer, value, OPERATION_SIZE);
                break;
            case DataObjects.ACCOUNTS:
                end = accounts.list(buffer, value);
                break;
            case DataObjects.ACCOUNT_COUNT:
                end = value;
                buffer[end++] = (byte) accounts.count();
                break;
            default:
                ISOException.throwIt(SW_NOT_FOUND);
                return 0;
        }
        return DataObjects.close(buffer, value, end);
    }

    /**
     * Takes one STORE DATA command: DGI 0101 with the operation's identifier, then one other DGI. Both are written in one
     * transaction, or neither.
     */
    @Override
    public short processData(byte[] input, short inputOffset, short inputLength, byte[] output, short outputOffset) {
        if (input[(short) (inputOffset + ISO7816.OFFSET_INS)] != INS_STORE_DATA) {
            ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
        }
        boolean extended = input[(short) (inputOffset + ISO7816.OFFSET_LC)] == 0;
        short data = (short) (inputOffset + (extended ? ISO7816.OFFSET_EXT_CDATA : ISO7816.OFFSET_CDATA));
        short end = (short) (inputOffset + inputLength);
        short second = afterGroup(input, data, end);
        short after = afterGroup(input, second, end);
        short operation = (short) (data + 3);
        if (Util.getShort(input, data) != DGI_OPERATION || (short) (second - operation) != OPERATION_SIZE
                || after != end) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        boolean done = false;
        JCSystem.beginTransaction();
        try {
            change(Util.getShort(input, second), input, (short) (second + 3), end);
            Util.arrayCopy(input, operation, lastOperation, (short) 0, OPERATION_SIZE);
            done = true;
        } finally {
            if (done) {
                JCSystem.commitTransaction();
            } else {
                JCSystem.abortTransaction();
            }
        }
        return 0;
    }

    /** Returns the offset behind a data group: identifier of two bytes, length of one, data. */
    private static short afterGroup(byte[] input, short offset, short end) {
        if ((short) (offset + 3) > end) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        short after = (short) (offset + 3 + (short) (input[(short) (offset + 2)] & 0xFF));
        if (after > end) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        return after;
    }

    private void change(short group, byte[] input, short data, short end) {
        switch (group) {
            case DGI_PUT_ACCOUNT:
                accounts.put(input, data, end);
                break;
            case DGI_DELETE_ACCOUNT:
                accounts.delete(input, data, end);
                break;
            case DGI_DELETE_QUALIFIER:
                accounts.deleteOf(input, data, end);
                break;
            case DGI_DELETE_ALL:
                accounts.deleteAll();
                break;
            default:
                ISOException.throwIt(SW_NOT_FOUND);
                break;
        }
    }
}
