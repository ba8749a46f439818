package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.Util;

/**
 * The secure channel protocols of a Security Domain with their i parameters, and how it counts failed authentications:
 * all from its install parameters, and fixed from then on.
 *
 * <p>Tag 81 (identifier of a protocol, then i) may come once for each of 02, 03 and 11; without any it is SCP03 with i =
 * 70. Tag D9 (ours) is the limit of failures in a row, 00 for none; a second byte 01 exempts initial keys (version FF).
 *
 * <p>Spec: GP Card 2.3.1 clauses 11.5.2.3.7 (tag 81), E.1.1 (SCP02); GP Amendment D clause 5.1; GP Amendment F clause
 * 5.1.
 */
final class Protocols {
    static final byte SCP02 = 2;
    static final byte SCP03 = 3;
    static final byte SCP11 = 0x11;

    /** Bits of SCP03's i (Amendment D table 5-1). */
    static final byte I03_S16 = 0x01;

    static final byte I03_PSEUDO_RANDOM = 0x10;
    static final byte I03_R_MAC = 0x20;
    static final byte I03_R_ENCRYPTION = 0x40;

    /** Bits of SCP02's i (GP Card table E-1). */
    static final byte I02_THREE_KEYS = 0x01;

    static final byte I02_UNMODIFIED = 0x02;
    static final byte I02_EXPLICIT = 0x04;
    static final byte I02_ICV_OVER_AID = 0x08;
    static final byte I02_ICV_ENCRYPTION = 0x10;
    static final byte I02_R_MAC = 0x20;
    static final byte I02_PSEUDO_RANDOM = 0x40;

    /** Bits of SCP11's i (Amendment F table 5-1). */
    static final byte I11_A = 0x01;

    static final byte I11_B = 0x02;
    static final byte I11_C = 0x10;
    static final byte I11_S16 = 0x40;

    /** 64 of recognition data up to protocol and i: OID 1.2.840.114283.4. */
    private static final byte[] SCHEME = {
        0x64, 0x0B, 0x06, 0x09, 0x2A, (byte) 0x86, 0x48, (byte) 0x86, (byte) 0xFC, 0x6B, 0x04
    };

    private static final short TAG_CAPABILITY = 0x00A0;
    private static final short TAG_PROTOCOL = 0x0080;
    private static final short TAG_KEY_SIZES = 0x0082;

    /** AES of 128, 192 and 256 bits. */
    private static final byte AES_ALL = 0x07;

    private static final short TAG_SCP = 0x0081;
    private static final short TAG_FAILURES = 0x00D9;
    private static final byte SCP03_DEFAULT = 0x70;
    private static final byte FAILURES_DEFAULT = 10;

    private boolean scp02;
    private boolean scp03;
    private boolean scp11;
    private byte options02;
    private byte options03;
    private byte options11;
    private byte failureLimit = FAILURES_DEFAULT;
    private boolean initialExempt;

    /** Reads install parameters; what is not of this class is passed over. */
    Protocols(byte[] array, short offset, short end) {
        while (offset < end) {
            short tag = Tlv.tag(array, offset, end);
            short field = Tlv.lengthOffset(array, offset, end);
            short value = Tlv.valueOffset(array, field);
            short length = Tlv.length(array, field, end);
            if (tag == TAG_SCP) {
                require(length == 2);
                take(array[value], array[(short) (value + 1)]);
            } else if (tag == TAG_FAILURES) {
                require(length == 1 || length == 2);
                failureLimit = array[value];
                initialExempt = length == 2 && array[(short) (value + 1)] == 1;
                require(failureLimit >= 0 && (length == 1 || array[(short) (value + 1)] == 0 || initialExempt));
            }
            offset = Tlv.next(array, offset, end);
        }
        if (!scp02 && !scp03 && !scp11) {
            take(SCP03, SCP03_DEFAULT);
        }
    }

    private void take(byte protocol, byte options) {
        switch (protocol) {
            case SCP02:
                require(!scp02 && isScp02(options));
                scp02 = true;
                options02 = options;
                break;
            case SCP03:
                require(!scp03 && isScp03(options));
                scp03 = true;
                options03 = options;
                break;
            case SCP11:
                require(!scp11 && isScp11(options));
                scp11 = true;
                options11 = options;
                break;
            default:
                require(false);
                break;
        }
    }

    private static void require(boolean condition) {
        if (!condition) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
    }

    /**
     * Explicit initiation goes with an ICV of zero, implicit with one over the AID and without a card challenge; the other
     * bits of table E-1 are free.
     */
    private static boolean isScp02(byte options) {
        byte mode = (byte) (options & (I02_EXPLICIT | I02_ICV_OVER_AID));
        return options >= 0
                && (mode == I02_EXPLICIT || mode == I02_ICV_OVER_AID && (options & I02_PSEUDO_RANDOM) == 0);
    }

    /** R-ENC without R-MAC has no meaning; the remaining bits are reserved. */
    private static boolean isScp03(byte options) {
        byte response = (byte) (options & (I03_R_MAC | I03_R_ENCRYPTION));
        byte reserved = (byte) (options & ~(I03_S16 | I03_PSEUDO_RANDOM | I03_R_MAC | I03_R_ENCRYPTION));
        return response != I03_R_ENCRYPTION && reserved == 0;
    }

    /** At least one of a, b and c; host and card identifiers and computation ahead are not known here. */
    private static boolean isScp11(byte options) {
        return (byte) (options & (I11_A | I11_B | I11_C)) != 0
                && (byte) (options & ~(I11_A | I11_B | I11_C | I11_S16)) == 0;
    }

    /** Writes the scheme OIDs (64) of recognition data: one for each protocol, with its i (annex H.2). */
    short putSchemes(byte[] response, short at) {
        if (scp03) {
            at = putScheme(response, at, SCP03, options03);
        }
        if (scp02) {
            at = putScheme(response, at, SCP02, options02);
        }
        return scp11 ? putScheme(response, at, SCP11, options11) : at;
    }

    private static short putScheme(byte[] response, short at, byte protocol, byte options) {
        at = Util.arrayCopyNonAtomic(SCHEME, (short) 0, response, at, (short) SCHEME.length);
        response[at++] = protocol;
        response[at++] = options;
        return at;
    }

    /** Writes the protocols' part of card capability information: an A0 for each (annex H.4). */
    short putCapabilities(byte[] response, short at) {
        if (scp03) {
            at = putCapability(response, at, SCP03, options03, AES_ALL);
        }
        if (scp02) {
            at = putCapability(response, at, SCP02, options02, (byte) 0);
        }
        return scp11 ? putCapability(response, at, SCP11, options11, AES_ALL) : at;
    }

    private static short putCapability(byte[] response, short at, byte protocol, byte options, byte keySizes) {
        short value = Tlv.putHeader(response, at, TAG_CAPABILITY, (short) 0);
        at = Tlv.putHeader(response, value, TAG_PROTOCOL, (short) 1);
        response[at++] = protocol;
        at = Tlv.putHeader(response, at, TAG_SCP, (short) 1);
        response[at++] = options;
        if (keySizes != 0) {
            at = Tlv.putHeader(response, at, TAG_KEY_SIZES, (short) 1);
            response[at++] = keySizes;
        }
        return Tlv.closeLength(response, (short) (value - 1), at);
    }

    boolean hasScp02() {
        return scp02;
    }

    boolean hasScp03() {
        return scp03;
    }

    boolean hasScp11() {
        return scp11;
    }

    byte scp02() {
        return options02;
    }

    byte scp03() {
        return options03;
    }

    byte scp11() {
        return options11;
    }

    boolean isScp02BaseKey() {
        return (options02 & I02_THREE_KEYS) == 0;
    }

    boolean isScp02Implicit() {
        return scp02 && (options02 & I02_EXPLICIT) == 0;
    }

    /** Tells whether a key, or the set that it begins, has failed too often in a row to be tried again. */
    boolean isBlocked(KeySlot slot) {
        return failureLimit != 0 && slot.failures >= failureLimit
                && !(initialExempt && slot.version == KeyStore.VERSION_INITIAL);
    }

    /** Counts a failure, before it is known to be one; stays at its end. */
    static void countFailure(KeySlot slot) {
        if (slot.failures != (byte) 0x7F) {
            slot.failures++;
        }
    }
}
