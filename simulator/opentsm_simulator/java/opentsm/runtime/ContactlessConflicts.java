package opentsm.runtime;

import java.util.Map;
import java.util.TreeMap;
import org.globalplatform.contactless.GPCLRegistryEntry;

/**
 * Which applications can't be active on the contactless interface at the same time.
 *
 * <p>Two conflict when one's policy names the other, or when both insist on a bit of the protocol data of one protocol
 * type (A0: parameters, A1: masks of the bits that are mandatory) and their values of it differ.
 *
 * <p>Spec: GP Amendment C 1.3 clause 3.
 */
final class ContactlessConflicts {
    private static final short[] PROTOCOLS = {
        GPCLRegistryEntry.INFO_PROTOCOL_DATA_TYPE_A, GPCLRegistryEntry.INFO_PROTOCOL_DATA_TYPE_B,
        GPCLRegistryEntry.INFO_PROTOCOL_DATA_TYPE_F,
    };

    private ContactlessConflicts() {}

    static boolean between(ApplicationEntry one, ApplicationEntry other) {
        return restricts(one, other) || restricts(other, one) || differ(one, other);
    }

    private static boolean restricts(ApplicationEntry one, ApplicationEntry other) {
        for (byte[] name : one.contactless.restricted) {
            if (other.matches(name, (short) 0, (short) name.length)) {
                return true;
            }
        }
        return false;
    }

    private static boolean differ(ApplicationEntry one, ApplicationEntry other) {
        for (short protocol : PROTOCOLS) {
            byte[] mine = one.contactless.information.get(protocol);
            byte[] theirs = other.contactless.information.get(protocol);
            if (mine != null && theirs != null && differ(mine, theirs)) {
                return true;
            }
        }
        return false;
    }

    private static boolean differ(byte[] mine, byte[] theirs) {
        Map<Integer, byte[]> myMasks = part(mine, 0xA1);
        Map<Integer, byte[]> theirMasks = part(theirs, 0xA1);
        Map<Integer, byte[]> theirValues = part(theirs, 0xA0);
        for (Map.Entry<Integer, byte[]> parameter : part(mine, 0xA0).entrySet()) {
            byte[] value = parameter.getValue();
            byte[] other = theirValues.get(parameter.getKey());
            byte[] mask = myMasks.get(parameter.getKey());
            byte[] otherMask = theirMasks.get(parameter.getKey());
            if (other != null && mask != null && otherMask != null && differ(value, other, mask, otherMask)) {
                return true;
            }
        }
        return false;
    }

    private static boolean differ(byte[] value, byte[] other, byte[] mask, byte[] otherMask) {
        int length = Math.max(Math.max(value.length, other.length), Math.max(mask.length, otherMask.length));
        for (int i = 0; i < length; i++) {
            if ((at(mask, i) & at(otherMask, i) & (at(value, i) ^ at(other, i))) != 0) {
                return true;
            }
        }
        return false;
    }

    private static int at(byte[] bytes, int index) {
        return index < bytes.length ? bytes[index] : 0;
    }

    /** Returns the data objects of one of the two templates, by tag. */
    private static Map<Integer, byte[]> part(byte[] data, int template) {
        Map<Integer, byte[]> found = new TreeMap<>();
        Tlvs.each(data, (tag, value) -> {
            if (tag == template) {
                Tlvs.each(value, found::put);
            }
        });
        return found;
    }
}
