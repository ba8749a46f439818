package opentsm.runtime;

import java.util.HashMap;
import java.util.Map;
import javacard.framework.Util;

/**
 * Data objects of the whole card.
 *
 * <p>Spec: GP Card 2.3.1 clause 7.4.1 and annex H; 9F7F is the card production life cycle data of Visa's cards.
 */
final class CardData {
    static final short ISSUER_AID = 0x004F;
    static final short IIN = 0x0042;
    static final short CIN = 0x0045;
    static final short DIVERSIFICATION = 0x00CF;
    static final short PRODUCTION = (short) 0x9F7F;

    private final Map<Short, byte[]> values = new HashMap<>();

    void put(short tag, byte[] value) {
        values.put(tag, value.clone());
    }

    /** Writes a value and returns the offset behind it, or -1 when there is none. */
    short get(short tag, byte[] buffer, short offset) {
        byte[] value = values.get(tag);
        return value == null ? -1
                : Util.arrayCopyNonAtomic(value, (short) 0, buffer, offset, (short) value.length);
    }

    /** Tells whether STORE DATA to the Issuer Security Domain may set it (clause 11.11.3.2). */
    static boolean canBeStored(short tag) {
        return tag == IIN || tag == CIN || tag == ISSUER_AID;
    }
}
