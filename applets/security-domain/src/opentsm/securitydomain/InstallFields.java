package opentsm.securitydomain;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/**
 * The fields of an INSTALL command: LVs, the last of which is a token.
 *
 * <p>All but the last two have a length of one byte; parameters and token have one to three, where 80 alone says 128.
 *
 * <p>Spec: GP Card 2.3.1 clauses 11.1.5, 11.5.2.3, annex C.4.
 */
final class InstallFields {
    static final short FIRST = 0;
    static final short SECOND = 1;

    /** Of INSTALL [for load]: the hash. */
    static final short THIRD = 2;

    static final short APPLICATION = 2;
    static final short PRIVILEGES = 3;

    private static final short MOST = 6;
    private static final short TAG_TEMPLATE = 0x00B6;

    /** Where each LV begins; used within one command, cleared at reset. */
    private final short[] at;

    private short count;
    private short data;

    InstallFields() {
        at = JCSystem.makeTransientShortArray(MOST, JCSystem.CLEAR_ON_RESET);
    }

    /**
     * Finds the LVs; the last, the token, may be left out: then the byte behind the data, a 00, stands for it.
     *
     * @param fields how many there are, the token with them
     */
    void split(byte[] buffer, short offset, short end, short fields) {
        count = fields;
        data = offset;
        short token = (short) (fields - 1);
        for (short i = 0; i < fields; i++) {
            if (i == token && offset == end && end < buffer.length) {
                at[i] = offset;
                buffer[offset] = 0;
                return;
            }
            at[i] = offset;
            offset = i < (short) (token - 1) ? Tlv.afterLv(buffer, offset, end) : Tlv.afterLongLv(buffer, offset, end);
        }
        if (offset != end) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
    }

    /** Returns where an LV begins. */
    short lv(short field) {
        return at[field];
    }

    boolean isEmpty(byte[] buffer, short field) {
        return buffer[at[field]] == 0;
    }

    void requireEmpty(byte[] buffer, short field) {
        if (!isEmpty(buffer, field)) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
    }

    short parameters() {
        return at[(short) (count - 2)];
    }

    short token() {
        return at[(short) (count - 1)];
    }

    boolean hasToken(byte[] buffer) {
        return buffer[token()] != 0;
    }

    /** Returns the offset of the length of the token's control reference template (B6), or Tlv.ABSENT. */
    short template(byte[] buffer) {
        short value = Tlv.longLvValue(buffer, parameters());
        short end = (short) (value + Tlv.longLvLength(buffer, parameters()));
        return Tlv.find(buffer, value, end, TAG_TEMPLATE);
    }

    /** Writes P1, P2 and the length of what the token signs before the fields, and returns where they begin. */
    short sealed(byte[] buffer) {
        return sealed(buffer, data, (short) (token() - data));
    }

    /** Returns how much the token signs, from {@link #sealed}. */
    short sealedLength(short from) {
        return (short) (token() - from);
    }

    /**
     * Puts P1, P2 and a length before data: one byte up to 255, else 00 and two. The command's header, which stands
     * there, has room for it.
     *
     * @return where P1 stands
     */
    static short sealed(byte[] buffer, short data, short length) {
        byte p1 = buffer[ISO7816.OFFSET_P1];
        byte p2 = buffer[ISO7816.OFFSET_P2];
        short from = (short) (data - (length > (short) 0xFF ? 5 : 3));
        buffer[from] = p1;
        buffer[(short) (from + 1)] = p2;
        if (length > (short) 0xFF) {
            buffer[(short) (from + 2)] = 0;
            Util.setShort(buffer, (short) (from + 3), length);
        } else {
            buffer[(short) (from + 2)] = (byte) length;
        }
        return from;
    }
}
