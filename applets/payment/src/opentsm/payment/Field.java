package opentsm.payment;

import javacard.framework.Util;

/** A persistent value of limited length: its length, then its bytes, in one array. */
final class Field {
    private final byte[] bytes;

    Field(short limit) {
        bytes = new byte[(short) (1 + limit)];
    }

    short length() {
        return bytes[0];
    }

    /** Takes the value behind a length field of a data object; the caller has checked the length. */
    void set(byte[] buffer, short field) {
        Util.arrayCopy(buffer, field, bytes, (short) 0, (short) (1 + buffer[field]));
    }

    /** Forgets the value, its bytes too. */
    void clear() {
        for (short i = 0; i < (short) bytes.length; i++) {
            bytes[i] = 0;
        }
    }

    /** Tells whether the value is the one behind a length field. */
    boolean equals(byte[] buffer, short field) {
        return bytes[0] == buffer[field] && Util.arrayCompare(buffer, field, bytes, (short) 0, (short) (1 + bytes[0])) == 0;
    }

    /** Writes the value as a data object, unless it is empty; returns the offset behind it. */
    short put(byte[] buffer, short offset, short tag) {
        return bytes[0] == 0 ? offset : putAlways(buffer, offset, tag);
    }

    /** Writes the value as a data object and returns the offset behind it. */
    short putAlways(byte[] buffer, short offset, short tag) {
        offset = DataObjects.header(buffer, offset, tag, bytes[0]);
        return Util.arrayCopyNonAtomic(bytes, (short) 1, buffer, offset, bytes[0]);
    }
}
