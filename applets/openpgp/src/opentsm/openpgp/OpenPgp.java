package opentsm.openpgp;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.RandomData;

/**
 * The OpenPGP application: keys to sign, to decipher and to authenticate with, used with passwords.
 *
 * <p>Spec: Functional Specification of the OpenPGP application on ISO smart card operating systems, version 3.4.
 */
public final class OpenPgp extends Applet {
    private static final byte INS_VERIFY = 0x20;
    private static final byte INS_CHANGE_REFERENCE_DATA = 0x24;
    private static final byte INS_MANAGE_SECURITY_ENVIRONMENT = 0x22;
    private static final byte INS_PERFORM_SECURITY_OPERATION = 0x2A;
    private static final byte INS_RESET_RETRY_COUNTER = 0x2C;
    private static final byte INS_ACTIVATE_FILE = 0x44;
    private static final byte INS_GENERATE_ASYMMETRIC_KEY_PAIR = 0x47;
    private static final byte INS_GET_CHALLENGE = (byte) 0x84;
    private static final byte INS_INTERNAL_AUTHENTICATE = (byte) 0x88;
    private static final byte INS_SELECT_DATA = (byte) 0xA5;
    private static final byte INS_GET_RESPONSE = (byte) 0xC0;
    private static final byte INS_GET_DATA = (byte) 0xCA;
    private static final byte INS_GET_NEXT_DATA = (byte) 0xCC;
    private static final byte INS_PUT_DATA = (byte) 0xDA;
    private static final byte INS_TERMINATE_DF = (byte) 0xE6;

    /** Not of the specification, but asked for by hosts: this application's version, in BCD. */
    private static final byte INS_GET_VERSION = (byte) 0xF1;

    private static final short COMPUTE_DIGITAL_SIGNATURE = (short) 0x9E9A;
    private static final short DECIPHER = (short) 0x8086;
    private static final short GENERATE = (short) 0x8000;
    private static final short READ_PUBLIC_KEY = (short) 0x8100;
    private static final byte SELECT_DATA_P2 = 0x04;
    private static final short SET_DECIPHER = 0x41B8;
    private static final short SET_AUTHENTICATE = 0x41A4;
    private static final byte TAG_KEY_REFERENCE = (byte) 0x83;

    private static final byte TAG_FCI = 0x6F;
    private static final byte TAG_DF_NAME = (byte) 0x84;

    private static final short SW_TERMINATED = 0x6285;

    /** Places of the keys, in the order of their data objects. */
    private static final short SIGNATURE_KEY = 0;

    private static final short DECIPHERMENT_KEY = 1;
    private static final short AUTHENTICATION_KEY = 2;

    /** A certificate is the longest that comes, a public key of RSA the longest that is composed to be sent. */
    private static final short OUTPUT_SIZE = 280;

    private static final short MOST_CHALLENGE = 255;

    /** Layout of the chain under way: its command, and how much data has come. */
    private static final short CHAIN_INS = 0;

    private static final short CHAIN_PARAMETERS = 1;
    private static final short CHAIN_LENGTH = 2;
    private static final short CHAIN_SIZE = 3;

    private static final byte[] VERSION = {1, 0, 0};

    private final Passwords passwords;
    private final KeySlot[] keys;
    private final DataObjects objects;
    private final Response response = new Response();
    private final RandomData random = RandomData.getInstance(RandomData.ALG_SECURE_RANDOM);

    private final byte[] input =
            JCSystem.makeTransientByteArray(DataObjects.MOST_CERTIFICATE, JCSystem.CLEAR_ON_DESELECT);
    private final byte[] output = JCSystem.makeTransientByteArray(OUTPUT_SIZE, JCSystem.CLEAR_ON_DESELECT);
    private final short[] chain = JCSystem.makeTransientShortArray(CHAIN_SIZE, JCSystem.CLEAR_ON_DESELECT);

    /** Whether PSO: DECIPHER and INTERNAL AUTHENTICATE use the other's key. */
    private final boolean[] isExchanged = JCSystem.makeTransientBooleanArray((short) 2, JCSystem.CLEAR_ON_DESELECT);

    /** Set until everything is as in a new application again. */
    private boolean terminated;

    private OpenPgp(byte[] array, short parameters, short end) {
        Engines engines = new Engines();
        keys = new KeySlot[] {
            new KeySlot((byte) 0xB6, false, engines), new KeySlot((byte) 0xB8, true, engines),
            new KeySlot((byte) 0xA4, false, engines)
        };
        passwords = new Passwords(first(array, parameters, end, Passwords.PW1_SIGN, Defaults.PW1),
                first(array, parameters, end, Passwords.PW3, Defaults.PW3));
        objects = new DataObjects(passwords, keys);
    }

    /**
     * Installs an instance, whose AID is that of OpenPGP with version, manufacturer and serial number (4.2.1).
     *
     * <p>Its install parameters (C9), each may be absent (README.md): 81 PW1, 83 PW3.
     */
    public static void install(byte[] array, short offset, byte length) {
        short privileges = (short) (offset + 1 + array[offset]);
        short parameters = (short) (privileges + 1 + array[privileges]);
        short end = (short) (parameters + 1 + (array[parameters] & 0xFF));
        new OpenPgp(array, (short) (parameters + 1), end).register(array, (short) (offset + 1), array[offset]);
    }

    private static byte[] first(byte[] array, short offset, short end, byte tag, byte[] otherwise) {
        short field = Tlv.find(array, offset, end, tag);
        if (field == Tlv.ABSENT) {
            return otherwise;
        }
        byte[] value = new byte[Tlv.length(array, field, end)];
        Util.arrayCopyNonAtomic(array, Tlv.value(array, field, end), value, (short) 0, (short) value.length);
        return value;
    }

    @Override
    public boolean select() {
        passwords.forget();
        return true;
    }

    @Override
    public void process(APDU apdu) {
        byte[] buffer = apdu.getBuffer();
        if (selectingApplet()) {
            if (terminated) {
                ISOException.throwIt(SW_TERMINATED);
            }
            response.set(output, fileControlInformation());
            response.send(apdu);
            return;
        }
        byte ins = buffer[ISO7816.OFFSET_INS];
        if (apdu.isSecureMessagingCLA()) {
            ISOException.throwIt(ISO7816.SW_SECURE_MESSAGING_NOT_SUPPORTED);
        }
        if (!apdu.isISOInterindustryCLA()) {
            ISOException.throwIt(ISO7816.SW_CLA_NOT_SUPPORTED);
        }
        if (ins == INS_GET_RESPONSE && !response.isEmpty()) {
            response.send(apdu);
            return;
        }
        response.clear();
        Util.arrayFillNonAtomic(output, (short) 0, OUTPUT_SIZE, (byte) 0); // a secret, perhaps
        boolean last = !apdu.isCommandChainingCLA();
        short length = apdu.setIncomingAndReceive();
        collect(buffer, ins, apdu.getOffsetCdata(), length, last);
        if (last) {
            run(apdu, buffer, ins);
        }
    }

    /** Collects the data of a chain; another command gives up what there was (ISO 7816-4 clause 5.3.3). */
    private void collect(byte[] buffer, byte ins, short data, short length, boolean last) {
        short parameters = Util.getShort(buffer, ISO7816.OFFSET_P1);
        boolean continues = chain[CHAIN_INS] == ins && chain[CHAIN_PARAMETERS] == parameters;
        short collected = continues ? chain[CHAIN_LENGTH] : 0;
        chain[CHAIN_INS] = 0;
        if (length > (short) (DataObjects.MOST_CERTIFICATE - collected)) {
            ISOException.throwIt(ISO7816.SW_WRONG_LENGTH);
        }
        chain[CHAIN_LENGTH] = Util.arrayCopyNonAtomic(buffer, data, input, collected, length);
        chain[CHAIN_INS] = last ? 0 : ins;
        chain[CHAIN_PARAMETERS] = parameters;
    }

    /** Runs a command whose data stand in the input; passwords and plain texts do not stay there. */
    private void run(APDU apdu, byte[] buffer, byte ins) {
        short length = chain[CHAIN_LENGTH];
        try {
            if (terminated) {
                answerTerminated(buffer, ins);
            } else if (ins == INS_GET_CHALLENGE) {
                challenge(apdu);
            } else {
                answer(ins, buffer[ISO7816.OFFSET_P1], buffer[ISO7816.OFFSET_P2], length);
            }
        } finally {
            Util.arrayFillNonAtomic(input, (short) 0, length, (byte) 0);
        }
        if (!response.isEmpty()) {
            response.send(apdu);
        }
    }

    private void answer(byte ins, byte p1, byte p2, short length) {
        short parameters = Util.makeShort(p1, p2);
        switch (ins) {
            case INS_VERIFY:
                passwords.verify(p1, p2, input, length);
                break;
            case INS_CHANGE_REFERENCE_DATA:
                passwords.change(p1, p2, input, length);
                break;
            case INS_RESET_RETRY_COUNTER:
                passwords.resetRetryCounter(p1, p2, input, length);
                break;
            case INS_MANAGE_SECURITY_ENVIRONMENT:
                manageSecurityEnvironment(parameters, length);
                break;
            case INS_PERFORM_SECURITY_OPERATION:
                performSecurityOperation(parameters, length);
                break;
            case INS_INTERNAL_AUTHENTICATE:
                requireParameters(parameters == 0);
                passwords.requireVerified(Passwords.PW1);
                response.set(output, keyOf(AUTHENTICATION_KEY).sign(input, length, output));
                break;
            case INS_GENERATE_ASYMMETRIC_KEY_PAIR:
                generate(parameters, length);
                break;
            case INS_SELECT_DATA:
                requireParameters(p2 == SELECT_DATA_P2);
                objects.selectOccurrence(p1, input, length);
                break;
            case INS_GET_DATA:
                objects.get(parameters, false, output, response);
                break;
            case INS_GET_NEXT_DATA:
                objects.getNext(parameters, output, response);
                break;
            case INS_PUT_DATA:
                objects.put(parameters, input, length);
                break;
            case INS_TERMINATE_DF:
                requireParameters(parameters == 0);
                passwords.requireTermination();
                terminated = true;
                break;
            case INS_ACTIVATE_FILE:
                break; // it is active
            case INS_GET_VERSION:
                response.set(VERSION, (short) VERSION.length);
                break;
            case ISO7816.INS_SELECT:
                ISOException.throwIt(ISO7816.SW_FILE_NOT_FOUND); // of no application of this card (JCRE clause 4.5.2)
                break;
            default:
                ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
                break;
        }
    }

    private static void requireParameters(boolean condition) {
        if (!condition) {
            ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        }
    }

    /** A terminated application tells what it is, and can be activated: then it is as new (7.2.16, 7.2.17). */
    private void answerTerminated(byte[] buffer, byte ins) {
        if (ins == INS_GET_DATA) {
            objects.get(Util.getShort(buffer, ISO7816.OFFSET_P1), true, output, response);
            return;
        }
        if (ins != INS_ACTIVATE_FILE) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        for (short i = 0; i < keys.length; i++) {
            keys[i].renew();
        }
        objects.renew();
        passwords.renew();
        terminated = false; // the last: a power cut before leaves it terminated
        if (JCSystem.isObjectDeletionSupported()) {
            JCSystem.requestObjectDeletion();
        }
    }

    private void performSecurityOperation(short operation, short length) {
        if (operation == COMPUTE_DIGITAL_SIGNATURE) {
            passwords.requireVerified(Passwords.PW1_SIGN);
            passwords.passSignature();
            short size = keys[SIGNATURE_KEY].sign(input, length, output);
            objects.countSignature();
            response.set(output, size);
            return;
        }
        requireParameters(operation == DECIPHER);
        passwords.requireVerified(Passwords.PW1);
        response.set(output, keyOf(DECIPHERMENT_KEY).decipher(input, length, output));
    }

    /** The key that a command uses: its own, or by MANAGE SECURITY ENVIRONMENT the other of the two. */
    private KeySlot keyOf(short own) {
        short other = (short) (DECIPHERMENT_KEY + AUTHENTICATION_KEY - own);
        return keys[isExchanged[(short) (own - DECIPHERMENT_KEY)] ? other : own];
    }

    /** Takes 83 with the number of the decipherment key (2) or of the authentication key (3) (7.2.18). */
    private void manageSecurityEnvironment(short operation, short length) {
        requireParameters(operation == SET_DECIPHER || operation == SET_AUTHENTICATE);
        short reference = Tlv.find(input, (short) 0, length, TAG_KEY_REFERENCE);
        if (reference == Tlv.ABSENT || Tlv.length(input, reference, length) != 1) {
            throw Tlv.malformed();
        }
        short own = operation == SET_DECIPHER ? DECIPHERMENT_KEY : AUTHENTICATION_KEY;
        short wanted = (short) (input[Tlv.value(input, reference, length)] - 1);
        if (wanted != DECIPHERMENT_KEY && wanted != AUTHENTICATION_KEY) {
            throw Tlv.malformed();
        }
        isExchanged[(short) (own - DECIPHERMENT_KEY)] = wanted != own;
    }

    private void generate(short operation, short length) {
        requireParameters(operation == GENERATE || operation == READ_PUBLIC_KEY);
        KeySlot key = key(length);
        if (operation == GENERATE) {
            passwords.requireVerified(Passwords.PW3);
            key.generate();
            if (key == keys[SIGNATURE_KEY]) {
                objects.clearCounter();
            }
        }
        response.set(output, key.writePublicKey(output));
    }

    /** Finds the key whose control reference template the data are. */
    private KeySlot key(short length) {
        for (short i = 0; i < keys.length; i++) {
            if (Tlv.find(input, (short) 0, length, keys[i].template) != Tlv.ABSENT) {
                return keys[i];
            }
        }
        throw Tlv.malformed();
    }

    private void challenge(APDU apdu) {
        short length = apdu.setOutgoing();
        if (length <= 0) {
            ISOException.throwIt(ISO7816.SW_WRONG_LENGTH);
        }
        length = length > MOST_CHALLENGE ? MOST_CHALLENGE : length;
        random.generateData(output, (short) 0, length);
        apdu.setOutgoingLength(length);
        apdu.sendBytesLong(output, (short) 0, length);
    }

    /** Writes 6F { 84 name }. */
    private short fileControlInformation() {
        short length = JCSystem.getAID().getBytes(output, (short) 4);
        Tlv.header(output, (short) 2, TAG_DF_NAME, length);
        Tlv.header(output, (short) 0, TAG_FCI, Tlv.size(length));
        return (short) (4 + length);
    }
}
