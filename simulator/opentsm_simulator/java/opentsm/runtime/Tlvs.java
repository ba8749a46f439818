package opentsm.runtime;

import java.util.Arrays;

/**
 * Reads BER-TLV data objects with tags of one or two bytes and lengths of up to two.
 *
 * <p>Spec: ISO 7816-4 clause 5.2.2.
 */
final class Tlvs {
    private Tlvs() {}

    /** What is done with each data object. */
    interface Taker {
        void take(int tag, byte[] value);
    }

    /** Gives each data object of a value, in order; 6A80 for what is malformed. */
    static void each(byte[] data, Taker taker) {
        each(data, 0, data.length, taker);
    }

    static void each(byte[] data, int from, int end, Taker taker) {
        int at = from;
        while (at < end) {
            int tag = data[at++] & 0xFF;
            if ((tag & 0x1F) == 0x1F) {
                Sw.require(at < end && data[at] >= 0, Sw.WRONG_DATA);
                tag = tag << 8 | data[at++] & 0xFF;
            }
            Sw.require(at < end, Sw.WRONG_DATA);
            int length = data[at++] & 0xFF;
            if (length >= 0x80) {
                int bytes = length - 0x80;
                Sw.require(bytes >= 1 && bytes <= 2 && at + bytes <= end, Sw.WRONG_DATA);
                length = 0;
                while (bytes-- > 0) {
                    length = length << 8 | data[at++] & 0xFF;
                }
            }
            Sw.require(at + length <= end, Sw.WRONG_DATA);
            taker.take(tag, Arrays.copyOfRange(data, at, at + length));
            at += length;
        }
    }
}
