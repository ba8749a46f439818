package opentsm.ppse;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.MultiSelectable;
import javacard.framework.Util;
import org.globalplatform.contactless.GPCLRegistryEntry;
import org.globalplatform.contactless.GPCLSystem;

/**
 * The Proximity Payment System Environment, 2PAY.SYS.DDF01.
 *
 * <p>SELECT answers with the directory of the applications that are activated on the contactless interface and can be
 * selected, by priority; what has the volatile priority comes first. It is read from the registry each time, so it is never out of date. The instance needs the
 * Global Registry privilege. Label (50), priority (87), kernel identifier (9F2A) and extended selection (9F29) are in the applications'
 * discretionary data.
 *
 * <p>Spec: EMV Contactless Book B clause 3.3.1 (FCI and directory entries); GP Amendment C clause 3.
 */
public final class Ppse extends Applet implements MultiSelectable {
    private static final short TAG_FCI = 0x6F;
    private static final short TAG_DF_NAME = 0x84;
    private static final short TAG_PROPRIETARY = 0xA5;
    private static final short TAG_ISSUER_DATA = (short) 0xBF0C;
    private static final byte TAG_ENTRY = 0x61;
    private static final byte TAG_ADF_NAME = 0x4F;
    private static final short TAG_LABEL = 0x0050;
    private static final short TAG_PRIORITY = 0x0087;
    private static final short TAG_KERNEL = (short) 0x9F2A;
    private static final short TAG_EXTENDED_SELECTION = (short) 0x9F29;

    /** Priorities are 1 (highest) to 15; 0 says that there is none, and comes last (EMV Book 1 clause 12.2.3). */
    private static final byte LOWEST = 15;

    private static final byte NO_PRIORITY = 0;

    /** Before all priorities: what has the volatile priority. */
    private static final byte PREFERRED = -1;

    /** The longest value that is copied: a label, or an extended selection. */
    private static final short LONGEST = 16;

    /** The entries of one FCI: with the templates around them, at most 256 bytes. */
    private static final short ENTRIES_LIMIT = 220;

    private static final short PARAMETERS_SIZE = 128;
    private static final short BLOCK_SIZE = (short) (256 + 64);
    private static final short SELECTABLE_MASK = 0x87;
    private static final short SELECTABLE = 0x07;

    /** The FCI being built, then an application's install parameters; both are of one command, cleared at deselect. */
    private final byte[] fci;

    private final byte[] parameters;

    private Ppse() {
        fci = JCSystem.makeTransientByteArray(BLOCK_SIZE, JCSystem.CLEAR_ON_DESELECT);
        parameters = JCSystem.makeTransientByteArray(PARAMETERS_SIZE, JCSystem.CLEAR_ON_DESELECT);
    }

    /** Installs the directory; it has no parameters. */
    public static void install(byte[] array, short offset, byte length) {
        new Ppse().register(array, (short) (offset + 1), array[offset]);
    }

    @Override
    public boolean select(boolean alreadyActive) {
        return true;
    }

    @Override
    public void deselect(boolean stillActive) {
        // Nothing outlives a command.
    }

    @Override
    public void process(APDU apdu) {
        if (!selectingApplet()) {
            // A SELECT that comes here names no application of this card (JCRE clause 4.5.2).
            ISOException.throwIt(apdu.getBuffer()[ISO7816.OFFSET_INS] == ISO7816.INS_SELECT
                    ? ISO7816.SW_FILE_NOT_FOUND : ISO7816.SW_INS_NOT_SUPPORTED);
        }
        short length = fileControlInformation();
        apdu.setOutgoing();
        apdu.setOutgoingLength(length);
        apdu.sendBytesLong(fci, (short) 0, length);
    }

    /** Writes 6F { 84 name, A5 { BF0C { entries } } } from the inside: lengths below 128 and above take other forms. */
    private short fileControlInformation() {
        short length = entries();
        length = enclose(TAG_ISSUER_DATA, (short) 0, length);
        length = enclose(TAG_PROPRIETARY, (short) 0, length);
        GPCLRegistryEntry self = GPCLSystem.getGPCLRegistryEntry(null);
        byte nameLength = self.getAID().getBytes(parameters, (short) 2);
        parameters[0] = (byte) TAG_DF_NAME;
        parameters[1] = nameLength;
        short prefix = (short) (2 + nameLength);
        Util.arrayCopyNonAtomic(fci, (short) 0, fci, prefix, length);
        Util.arrayCopyNonAtomic(parameters, (short) 0, fci, (short) 0, prefix);
        return enclose(TAG_FCI, (short) 0, (short) (prefix + length));
    }

    /** Moves a value up and puts tag and length before it; returns the length of all. */
    private short enclose(short tag, short offset, short length) {
        short header = (short) ((short) ((tag & (short) 0xFF00) != 0 ? 2 : 1) + (length < (short) 0x80 ? 1 : 2));
        Util.arrayCopyNonAtomic(fci, offset, fci, (short) (offset + header), length);
        short at = offset;
        if ((tag & (short) 0xFF00) != 0) {
            fci[at++] = (byte) (tag >> 8);
        }
        fci[at++] = (byte) tag;
        if (length >= (short) 0x80) {
            fci[at++] = (byte) 0x81;
        }
        fci[at] = (byte) length;
        return (short) (header + length);
    }

    private short entries() {
        short length = entries(PREFERRED, (short) 0);
        for (byte priority = 1; priority <= LOWEST; priority++) {
            length = entries(priority, length);
        }
        return entries(NO_PRIORITY, length);
    }

    /** Adds the entries of one priority, in the order of the registry; those that no longer fit are left out. */
    private short entries(byte priority, short length) {
        GPCLRegistryEntry self = GPCLSystem.getGPCLRegistryEntry(null);
        GPCLRegistryEntry entry = GPCLSystem.getNextGPCLRegistryEntry(null, GPCLSystem.AFI_ANY);
        while (entry != null) {
            if (entry != self && isActive(entry)) {
                boolean preferred = isPreferred(entry);
                short end = directoryData(entry);
                if ((preferred ? PREFERRED : priorityOf(end)) == priority) {
                    short after = put(entry, end, length);
                    length = after <= ENTRIES_LIMIT ? after : length;
                }
            }
            entry = GPCLSystem.getNextGPCLRegistryEntry(entry, GPCLSystem.AFI_ANY);
        }
        return length;
    }

    /** Tells whether an application has the volatile priority (GP Amendment C): the user has chosen it for now. */
    private boolean isPreferred(GPCLRegistryEntry entry) {
        entry.getInfo(parameters, (short) 0, GPCLRegistryEntry.INFO_SELECTION_PRIORITY);
        return parameters[0] == 0;
    }

    /** Reads an application's label and priority, its discretionary data in the registry; returns their end. */
    private short directoryData(GPCLRegistryEntry entry) {
        try {
            return entry.getInfo(parameters, (short) 0, GPCLRegistryEntry.INFO_DISCRETIONARY_DATA);
        } catch (ISOException absent) {
            return 0;
        } catch (ArrayIndexOutOfBoundsException tooLong) {
            return 0;
        }
    }

    private static boolean isActive(GPCLRegistryEntry entry) {
        // Bits 1 to 3 of every state from SELECTABLE on, and no lock (GP Card 2.3.1 table 11-4).
        return entry.getCLState() == GPCLRegistryEntry.STATE_CL_ACTIVATED
                && (short) (entry.getState() & SELECTABLE_MASK) == SELECTABLE;
    }

    /** Writes 61 { 4F AID, 50 label, 87 priority, 9F2A kernel, 9F29 extension } and returns the offset behind it. */
    private short put(GPCLRegistryEntry entry, short parametersEnd, short at) {
        fci[at] = TAG_ENTRY;
        short value = (short) (at + 2);
        fci[value] = TAG_ADF_NAME;
        byte nameLength = entry.getAID().getBytes(fci, (short) (value + 2));
        fci[(short) (value + 1)] = nameLength;
        short end = (short) (value + 2 + nameLength);
        end = copy(TAG_LABEL, parametersEnd, end);
        end = copy(TAG_PRIORITY, parametersEnd, end);
        end = copy(TAG_KERNEL, parametersEnd, end);
        end = copy(TAG_EXTENDED_SELECTION, parametersEnd, end);
        fci[(short) (at + 1)] = (byte) (end - value);
        return end;
    }

    /** Copies a data object of the discretionary data, if it is there and not too long. */
    private short copy(short tag, short parametersEnd, short at) {
        short found = find(tag, parametersEnd);
        if (found < 0) {
            return at;
        }
        short value = valueAt(found);
        short length = parameters[(short) (value - 1)];
        return length > LONGEST ? at
                : Util.arrayCopyNonAtomic(parameters, found, fci, at, (short) (value - found + length));
    }

    private byte priorityOf(short parametersEnd) {
        short found = find(TAG_PRIORITY, parametersEnd);
        return found < 0 || parameters[(short) (found + 1)] != 1
                ? NO_PRIORITY : (byte) (parameters[(short) (found + 2)] & 0x0F);
    }

    /** Returns the offset of the value of the data object at an offset: behind a tag of one or two bytes, and a length. */
    private short valueAt(short at) {
        return (short) (at + ((byte) (parameters[at] & 0x1F) == 0x1F ? 3 : 2));
    }

    /**
     * Finds a data object with a length below 128.
     *
     * <p>Any application may be listed, so discretionary data that are no data objects are no error: they hold nothing.
     *
     * @return the offset of its tag, or -1
     */
    private short find(short tag, short end) {
        short at = 0;
        while ((short) (at + 2) <= end) {
            short value = valueAt(at);
            if (value > end || parameters[(short) (value - 1)] < 0
                    || (short) (value + parameters[(short) (value - 1)]) > end) {
                return -1;
            }
            short found = (short) (value - at) == 3 ? Util.getShort(parameters, at) : (short) (parameters[at] & 0xFF);
            if (found == tag) {
                return at;
            }
            at = (short) (value + parameters[(short) (value - 1)]);
        }
        return -1;
    }
}
