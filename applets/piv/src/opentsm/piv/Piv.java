package opentsm.piv;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/**
 * The PIV card application: keys, certificates and other data of a person, used with a PIN.
 *
 * <p>Spec: NIST SP 800-73-4 part 2 (commands; ISO 7816-4 has their forms).
 */
public final class Piv extends Applet {
    /** The name under which hosts know it, with the version at the end (part 1 clause 2.2). */
    static final byte[] AID = {(byte) 0xA0, 0x00, 0x00, 0x03, 0x08, 0x00, 0x00, 0x10, 0x00, 0x01, 0x00};

    static final byte TAG_AID = 0x4F;
    static final byte TAG_TEMPLATE = 0x7C;
    static final byte TAG_WITNESS = (byte) 0x80;
    static final byte TAG_CHALLENGE = (byte) 0x81;
    static final byte TAG_RESPONSE = (byte) 0x82;
    static final byte TAG_PUBLIC_KEY_FIRST = 0x7F;

    private static final byte TAG_APPLICATION = 0x61;
    private static final byte TAG_AUTHORITY = 0x79;
    private static final byte TAG_GENERATION = (byte) 0xAC;
    private static final byte TAG_ALGORITHM = (byte) 0x80;

    private static final short RID_SIZE = 5;

    private static final byte INS_VERIFY = 0x20;
    private static final byte INS_CHANGE_REFERENCE_DATA = 0x24;
    private static final byte INS_RESET_RETRY_COUNTER = 0x2C;
    private static final byte INS_GENERATE_ASYMMETRIC_KEY_PAIR = 0x47;
    private static final byte INS_GENERAL_AUTHENTICATE = (byte) 0x87;
    private static final byte INS_GET_RESPONSE = (byte) 0xC0;
    private static final byte INS_GET_DATA = (byte) 0xCB;
    private static final byte INS_PUT_DATA = (byte) 0xDB;

    /** Not of SP 800-73, but asked for by many hosts: this application's version, three bytes. */
    private static final byte INS_GET_VERSION = (byte) 0xFD;

    private static final short CURRENT_TEMPLATE = 0x3FFF;

    /** The longest command and response but for data objects: a template around a block of RSA with 2048 bits. */
    private static final short BUFFER_SIZE = 280;

    /** Layout of the chain under way: its command, and how much data has come. */
    private static final short CHAIN_INS = 0;

    private static final short CHAIN_PARAMETERS = 1;
    private static final short CHAIN_LENGTH = 2;
    private static final short CHAIN_SIZE = 3;

    private static final byte[] VERSION = {1, 0, 0};

    private final SecurityStatus status = new SecurityStatus();
    private final Pins pins = new Pins(status);
    private final ManagementKey managementKey = new ManagementKey(status);
    private final DataObjects objects = new DataObjects();
    private final Response response = new Response();
    private final KeySlot[] slots;

    private final byte[] input = JCSystem.makeTransientByteArray(BUFFER_SIZE, JCSystem.CLEAR_ON_DESELECT);
    private final byte[] output = JCSystem.makeTransientByteArray(BUFFER_SIZE, JCSystem.CLEAR_ON_DESELECT);
    private final short[] chain = JCSystem.makeTransientShortArray(CHAIN_SIZE, JCSystem.CLEAR_ON_DESELECT);

    private Piv(byte[] array, short parameters, short end) {
        Engines engines = new Engines();
        slots = new KeySlot[] {
            new KeySlot(KeySlot.AUTHENTICATION, engines), new KeySlot(KeySlot.SIGNATURE, engines),
            new KeySlot(KeySlot.KEY_MANAGEMENT, engines), new KeySlot(KeySlot.CARD_AUTHENTICATION, engines)
        };
        personalize(array, parameters, end);
    }

    /**
     * Installs an instance.
     *
     * <p>Its install parameters (C9), each may be absent (README.md): 80 PIN and 81 PUK, 8 bytes each; 9B algorithm
     * identifier and administration key.
     */
    public static void install(byte[] array, short offset, byte length) {
        short privileges = (short) (offset + 1 + array[offset]);
        short parameters = (short) (privileges + 1 + array[privileges]);
        short end = (short) (parameters + 1 + (array[parameters] & 0xFF));
        new Piv(array, (short) (parameters + 1), end).register(array, (short) (offset + 1), array[offset]);
    }

    private void personalize(byte[] array, short offset, short end) {
        short pin = Tlv.find(array, offset, end, Pins.PIN);
        short puk = Tlv.find(array, offset, end, Pins.PUK);
        pins.initialize(source(array, pin, Defaults.PIN), value(array, pin, end, Pins.SIZE),
                source(array, puk, Defaults.PUK), value(array, puk, end, Pins.SIZE));
        short key = Tlv.find(array, offset, end, ManagementKey.REFERENCE);
        if (key == Tlv.ABSENT) {
            managementKey.set(ManagementKey.ALGORITHM_3DES, Defaults.KEY, (short) 0, (short) Defaults.KEY.length);
            return;
        }
        short value = Tlv.value(array, key, end);
        short length = Tlv.length(array, key, end);
        if (length == 0) {
            throw Tlv.malformed();
        }
        managementKey.set(array[value], array, (short) (value + 1), (short) (length - 1));
    }

    private static byte[] source(byte[] array, short field, byte[] otherwise) {
        return field == Tlv.ABSENT ? otherwise : array;
    }

    private static short value(byte[] array, short field, short end, short length) {
        if (field == Tlv.ABSENT) {
            return 0;
        }
        if (Tlv.length(array, field, end) != length) {
            throw Tlv.malformed();
        }
        return Tlv.value(array, field, end);
    }

    @Override
    public boolean select() {
        if (!reSelectingApplet()) {
            status.clear();
        }
        return true;
    }

    @Override
    public void process(APDU apdu) {
        byte[] buffer = apdu.getBuffer();
        if (selectingApplet()) {
            response.set(output, applicationTemplate());
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
        Util.arrayFillNonAtomic(output, (short) 0, BUFFER_SIZE, (byte) 0); // a secret, perhaps
        passCommand(ins);
        short length = apdu.setIncomingAndReceive();
        boolean last = !apdu.isCommandChainingCLA();
        boolean first = beginsChain(buffer, ins);
        short data = apdu.getOffsetCdata();
        if (ins == INS_PUT_DATA) {
            SecurityStatus.requireContacts();
            status.requireAdministrator();
            requireCurrentTemplate(buffer);
            objects.put(buffer, data, (short) (data + length), first, last);
        } else {
            collect(buffer, data, length, first);
        }
        if (!last) {
            chain[CHAIN_INS] = ins;
            chain[CHAIN_PARAMETERS] = Util.getShort(buffer, ISO7816.OFFSET_P1);
        } else if (ins != INS_PUT_DATA) {
            run(apdu, buffer, ins);
        }
    }

    /** What counts for the next command only is over with every other. */
    private void passCommand(byte ins) {
        if (ins != INS_GENERAL_AUTHENTICATE) {
            status.passCommand();
            managementKey.passCommand();
        }
        if (ins != INS_PUT_DATA) {
            objects.passCommand();
        }
    }

    /** Tells whether a command is the first of its chain (ISO 7816-4 clause 5.3.3); one that fails is the last. */
    private boolean beginsChain(byte[] buffer, byte ins) {
        boolean continues = chain[CHAIN_INS] == ins
                && chain[CHAIN_PARAMETERS] == Util.getShort(buffer, ISO7816.OFFSET_P1);
        chain[CHAIN_INS] = 0;
        return !continues;
    }

    private void collect(byte[] buffer, short data, short length, boolean first) {
        short collected = first ? 0 : chain[CHAIN_LENGTH];
        if ((short) (collected + length) > BUFFER_SIZE) {
            ISOException.throwIt(ISO7816.SW_WRONG_LENGTH);
        }
        chain[CHAIN_LENGTH] = Util.arrayCopyNonAtomic(buffer, data, input, collected, length);
    }

    /** Runs a command whose data stand in the input; PINs and plain texts do not stay there. */
    private void run(APDU apdu, byte[] buffer, byte ins) {
        try {
            answer(buffer, ins, buffer[ISO7816.OFFSET_P1], buffer[ISO7816.OFFSET_P2], chain[CHAIN_LENGTH]);
        } finally {
            Util.arrayFillNonAtomic(input, (short) 0, BUFFER_SIZE, (byte) 0);
        }
        if (!response.isEmpty()) {
            response.send(apdu);
        }
    }

    private void answer(byte[] buffer, byte ins, byte p1, byte p2, short length) {
        if (ins != INS_GET_DATA && ins != INS_GENERAL_AUTHENTICATE && ins != INS_GET_VERSION) {
            SecurityStatus.requireContacts();
        }
        switch (ins) {
            case INS_VERIFY:
                pins.verify(p1, p2, input, (short) 0, length);
                break;
            case INS_CHANGE_REFERENCE_DATA:
                pins.change(p1, p2, input, (short) 0, length);
                break;
            case INS_RESET_RETRY_COUNTER:
                pins.resetRetryCounter(p1, p2, input, (short) 0, length);
                break;
            case INS_GENERATE_ASYMMETRIC_KEY_PAIR:
                status.requireAdministrator();
                generate(p1, p2, length);
                break;
            case INS_GENERAL_AUTHENTICATE:
                try {
                    generalAuthenticate(p1, p2, length);
                } finally {
                    status.passCommand();
                }
                break;
            case INS_GET_DATA:
                requireCurrentTemplate(buffer);
                byte[] object = objects.get(status, input, (short) 0, length);
                response.set(object, (short) object.length);
                break;
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

    private static void requireCurrentTemplate(byte[] buffer) {
        if (Util.getShort(buffer, ISO7816.OFFSET_P1) != CURRENT_TEMPLATE) {
            ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        }
    }

    private void generate(byte p1, byte reference, short end) {
        if (p1 != 0) {
            ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        }
        short template = find(TAG_GENERATION, (short) 0, end);
        short start = Tlv.value(input, template, end);
        short stop = (short) (start + Tlv.length(input, template, end));
        short algorithm = find(TAG_ALGORITHM, start, stop);
        if (Tlv.length(input, algorithm, stop) != 1) {
            throw Tlv.malformed();
        }
        response.set(output, slot(reference).generate(input[Tlv.value(input, algorithm, stop)], output));
    }

    private void generalAuthenticate(byte algorithm, byte reference, short end) {
        short template = find(TAG_TEMPLATE, (short) 0, end);
        short start = Tlv.value(input, template, end);
        short stop = (short) (start + Tlv.length(input, template, end));
        short length;
        if (reference == ManagementKey.REFERENCE) {
            SecurityStatus.requireContacts();
            length = managementKey.authenticate(algorithm, input, start, stop, output);
        } else {
            managementKey.passCommand();
            length = slot(reference).use(algorithm, status, input, start, stop, output);
        }
        response.set(output, length);
    }

    private short find(byte tag, short offset, short end) {
        short field = Tlv.find(input, offset, end, tag);
        if (field == Tlv.ABSENT) {
            throw Tlv.malformed();
        }
        return field;
    }

    private KeySlot slot(byte reference) {
        for (short i = 0; i < slots.length; i++) {
            if (slots[i].is(reference)) {
                return slots[i];
            }
        }
        ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        return null;
    }

    /** Writes 61 { 4F application and version, 79 { 4F authority } } (part 2 table 3). */
    private short applicationTemplate() {
        short suffix = (short) (AID.length - RID_SIZE);
        short authority = Tlv.size(RID_SIZE);
        short at = Tlv.header(output, (short) 0, TAG_APPLICATION, (short) (Tlv.size(suffix) + Tlv.size(authority)));
        at = Tlv.header(output, at, TAG_AID, suffix);
        at = Util.arrayCopyNonAtomic(AID, RID_SIZE, output, at, suffix);
        at = Tlv.header(output, at, TAG_AUTHORITY, authority);
        at = Tlv.header(output, at, TAG_AID, RID_SIZE);
        return Util.arrayCopyNonAtomic(AID, (short) 0, output, at, RID_SIZE);
    }
}
