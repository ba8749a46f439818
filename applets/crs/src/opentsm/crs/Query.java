package opentsm.crs;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import org.globalplatform.contactless.GPCLRegistryEntry;

/**
 * What a GET STATUS asks for: which applications, by search criteria that all must hold, and which data objects of them.
 *
 * <p>Spec: GP Amendment C 1.3 clause 3.11.3.2.3, tables 3-9 and 3-14.
 */
final class Query {
    static final short TAG_AID = 0x004F;
    static final short TAG_LIFE_CYCLE = (short) 0x9F70;
    static final short TAG_FAMILY = 0x0087;
    static final short TAG_DISPLAY_REQUIRED = 0x0088;
    private static final short TAG_LIST = 0x005C;

    /** Index in the state: how long the data field is. */
    private static final short LENGTH = 0;

    /** Index in the state: where the tag list begins in it, and ends; 0: there is none. */
    private static final short LIST = 1;

    private static final short LIST_END = 2;

    /** The data field of the command that began, and an information to compare with; cleared at deselect. */
    private final byte[] data;

    private final byte[] information;
    private final short[] state;

    Query() {
        data = JCSystem.makeTransientByteArray((short) 255, JCSystem.CLEAR_ON_DESELECT);
        information = JCSystem.makeTransientByteArray((short) 16, JCSystem.CLEAR_ON_DESELECT);
        state = JCSystem.makeTransientShortArray((short) 3, JCSystem.CLEAR_ON_DESELECT);
    }

    /** Takes a data field: 4F always, other criteria and a tag list optional; each once. */
    void take(byte[] buffer, short offset, short length) {
        Util.arrayCopyNonAtomic(buffer, offset, data, (short) 0, length);
        state[LENGTH] = length;
        state[LIST] = 0;
        boolean named = false;
        for (short at = 0; at < length; at = Tlv.next(data, at, length)) {
            short tag = Tlv.tag(data, at, length);
            short end = Tlv.next(data, at, length);
            if (tag == TAG_AID && !named && (short) (end - at) <= (short) 18) {
                named = true;
            } else if (tag == TAG_LIST && state[LIST] == 0) {
                state[LIST] = Tlv.value(data, at, length);
                state[LIST_END] = end;
                checkList();
            } else if (tag != TAG_LIFE_CYCLE && tag != TAG_FAMILY && tag != TAG_DISPLAY_REQUIRED) {
                ISOException.throwIt(ISO7816.SW_WRONG_DATA);
            }
        }
        if (!named) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
    }

    private void checkList() {
        short at = state[LIST];
        while (at < state[LIST_END]) {
            at += Tlv.size(Tlv.tag(data, at, state[LIST_END]));
        }
    }

    boolean hasList() {
        return state[LIST] != 0;
    }

    /** Tells whether the tag list names a tag. */
    boolean lists(short wanted) {
        if (!hasList()) {
            return false;
        }
        short at = state[LIST];
        while (at < state[LIST_END]) {
            short tag = Tlv.tag(data, at, state[LIST_END]);
            if (tag == wanted) {
                return true;
            }
            at += Tlv.size(tag);
        }
        return false;
    }

    /** Tells whether an application meets all criteria. */
    boolean matches(GPCLRegistryEntry entry) {
        short length = state[LENGTH];
        for (short at = 0; at < length; at = Tlv.next(data, at, length)) {
            short tag = Tlv.tag(data, at, length);
            short value = Tlv.value(data, at, length);
            short end = Tlv.next(data, at, length);
            if (tag == TAG_AID) {
                if (end > value && !entry.getAID().partialEquals(data, value, (byte) (end - value))) {
                    return false;
                }
            } else if (tag == TAG_LIFE_CYCLE) {
                // Of the two bytes the second counts, the activation state.
                if ((short) (end - value) != 2 || data[(short) (value + 1)] != entry.getCLState()) {
                    return false;
                }
            } else if (tag == TAG_FAMILY && !has(entry, GPCLRegistryEntry.INFO_FAMILY_IDENTIFIER, value, end)
                    || tag == TAG_DISPLAY_REQUIRED
                            && !has(entry, GPCLRegistryEntry.INFO_DISPLAY_REQUIREMENT, value, end)) {
                return false;
            }
        }
        return true;
    }

    private boolean has(GPCLRegistryEntry entry, short info, short value, short end) {
        short length;
        try {
            length = entry.getInfo(information, (short) 0, info);
        } catch (ISOException absent) {
            return false;
        }
        return length == (short) (end - value)
                && Util.arrayCompare(information, (short) 0, data, value, length) == 0;
    }
}
