package opentsm.runtime;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.globalplatform.contactless.GPCLRegistryEntry;

/**
 * The contactless part of INSTALL's system parameters (EF): contactless protocol parameters (A0), user interaction
 * parameters (A1), the privacy sensitive indicator (96).
 *
 * <p>Spec: GP Amendment C 1.3 clause 3.
 */
final class ContactlessParameters {
    /** Access to the contact-based and the proximity-based interface: bits of A5's values. */
    static final int ACCESS_CONTACT = 0x80;

    static final int ACCESS_PROXIMITY = 0x40;

    /** Information that a data object sets, by GPCLRegistryEntry.INFO_*. */
    final Map<Short, byte[]> information = new TreeMap<>();

    /** Value of 81 in A0: whether to activate it as soon as it is selectable; null when not said. */
    Boolean activateAtFirst;

    /** Values of A5 in A0, or null: an SD's restriction (80) and default (81), an application's own access (82). */
    Integer accessRestriction;

    Integer accessDefault;
    Integer access;

    /** Value of A0 in A1: the head of the group to be a member of. */
    byte[] head;

    final List<byte[]> groupAdded = new ArrayList<>();
    final List<byte[]> groupRemoved = new ArrayList<>();
    final List<byte[]> crelAdded = new ArrayList<>();
    final List<byte[]> crelRemoved = new ArrayList<>();

    /** Value of A5 in A1; null when not said. */
    List<byte[]> restricted;

    /** Takes one data object of EF; others than contactless ones are passed over. */
    void take(int tag, byte[] value) {
        if (tag == 0xA0) {
            Tlvs.each(value, this::takeProtocol);
        } else if (tag == 0xA1) {
            Tlvs.each(value, this::takeInteraction);
        } else if (tag == 0x96) {
            information.put(GPCLRegistryEntry.INFO_PRIVACY_SENSITIVE_INDICATOR, flag(value));
        }
    }

    private void takeProtocol(int tag, byte[] value) {
        switch (tag) {
            case 0x80:
                for (byte protocol : value) {
                    Sw.require(protocol == GPCLRegistryEntry.IMPLICIT_SELECTION_TYPE_A
                            || protocol == GPCLRegistryEntry.IMPLICIT_SELECTION_TYPE_B
                            || protocol == GPCLRegistryEntry.IMPLICIT_SELECTION_TYPE_F, Sw.WRONG_DATA);
                }
                information.put(GPCLRegistryEntry.INFO_IMPLICIT_SELECTION_PROTOCOLS, value);
                break;
            case 0x81:
                activateAtFirst = flag(value)[0] != 0;
                break;
            case 0x83:
                information.put(GPCLRegistryEntry.INFO_IMPLICIT_SELECTION_RECOGNITION_ALGORITHM, value);
                break;
            case 0x84:
                Sw.require(value.length == 1 && (value[0] == GPCLRegistryEntry.CONTINUOUS_PROCESS_DISABLED
                        || value[0] == GPCLRegistryEntry.CONTINUOUS_PROCESS_ENABLED), Sw.WRONG_DATA);
                information.put(GPCLRegistryEntry.INFO_CONTINUOUS_PROCESS, value);
                break;
            case 0xA5:
                Tlvs.each(value, this::takeAccess);
                break;
            // With the primitive tag, as hosts send them, and with the constructed one.
            case 0x86:
            case 0xA6:
                information.put(GPCLRegistryEntry.INFO_PROTOCOL_DATA_TYPE_A, protocolData(value));
                break;
            case 0x87:
            case 0xA7:
                information.put(GPCLRegistryEntry.INFO_PROTOCOL_DATA_TYPE_B, protocolData(value));
                break;
            case 0x88:
            case 0xA8:
                information.put(GPCLRegistryEntry.INFO_PROTOCOL_DATA_TYPE_F, protocolData(value));
                break;
            default:
                // A profile of another kind of card (A2), the protocol type state of the whole interface (89): not ours.
                break;
        }
    }

    private void takeAccess(int tag, byte[] value) {
        Sw.require(value.length == 1 && (value[0] & 0x3F) == 0, Sw.WRONG_DATA);
        int interfaces = value[0] & 0xFF;
        if (tag == 0x80) {
            accessRestriction = interfaces;
        } else if (tag == 0x81) {
            accessDefault = interfaces;
        } else if (tag == 0x82) {
            access = interfaces;
        }
    }

    private void takeInteraction(int tag, byte[] value) {
        switch (tag) {
            case 0x7F20:
                Tlvs.each(value, this::takeDisplay);
                break;
            case 0xA0:
                List<byte[]> heads = aids(value);
                Sw.require(heads.size() == 1, Sw.WRONG_DATA);
                head = heads.get(0);
                break;
            case 0xA1:
                groupAdded.addAll(aids(value));
                break;
            case 0xA2:
                groupRemoved.addAll(aids(value));
                break;
            case 0xA3:
                crelAdded.addAll(aids(value));
                break;
            case 0xA4:
                crelRemoved.addAll(aids(value));
                break;
            case 0xA5:
                restricted = aids(value);
                information.put(GPCLRegistryEntry.INFO_POLICY_RESTRICTED_APPLICATIONS, value);
                break;
            case 0xA6:
                information.put(GPCLRegistryEntry.INFO_DISCRETIONARY_DATA, value);
                break;
            case 0x87:
                Sw.require(value.length == 1 || value.length == 2, Sw.WRONG_DATA);
                information.put(GPCLRegistryEntry.INFO_FAMILY_IDENTIFIER, value);
                break;
            case 0x88:
                information.put(GPCLRegistryEntry.INFO_DISPLAY_REQUIREMENT, flag(value));
                break;
            default:
                break;
        }
    }

    private void takeDisplay(int tag, byte[] value) {
        if (tag == 0x5F50) {
            information.put(GPCLRegistryEntry.INFO_URI, value);
        } else if (tag == 0x5F44) {
            information.put(GPCLRegistryEntry.INFO_LOGO, value);
        } else if (tag == 0x5F45) {
            information.put(GPCLRegistryEntry.INFO_DISPLAY_MESSAGE, value);
        }
    }

    /** Returns a value of one byte, 00 or 01. */
    private static byte[] flag(byte[] value) {
        Sw.require(value.length == 1 && (value[0] & 0xFE) == 0, Sw.WRONG_DATA);
        return value;
    }

    private static byte[] protocolData(byte[] value) {
        Tlvs.each(value, (tag, part) -> Sw.require(tag == 0xA0 || tag == 0xA1, Sw.WRONG_DATA));
        return value;
    }

    /** Reads a list of 4F, each a whole AID or, of a policy, its beginning. */
    static List<byte[]> aids(byte[] value) {
        List<byte[]> found = new ArrayList<>();
        Tlvs.each(value, (tag, aid) -> {
            Sw.require(tag == 0x4F && aid.length >= 5 && aid.length <= 16, Sw.WRONG_DATA);
            found.add(aid);
        });
        return found;
    }

    /** Adds an AID to a list unless it is there; tells whether it was added. */
    static boolean add(List<byte[]> list, byte[] aid) {
        return !contains(list, aid) && list.add(aid);
    }

    /** Removes an AID from a list; tells whether it was there. */
    static boolean remove(List<byte[]> list, byte[] aid) {
        return list.removeIf(known -> Arrays.equals(known, aid));
    }

    static boolean contains(List<byte[]> list, byte[] aid) {
        for (byte[] known : list) {
            if (Arrays.equals(known, aid)) {
                return true;
            }
        }
        return false;
    }
}
