package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/**
 * A certificate of a key on P-256 being read: GlobalPlatform's own format (7F21), or X.509 (30).
 *
 * <p>What a card needs of it is found and nothing copied: the signed part, serial number, names of issuer and subject,
 * usage, point and signature. A card has no clock, so dates are passed over.
 *
 * <p>Spec: GP Amendment F clauses 6.1 (table 6-1: format), 6.2 (X.509 profile); RFC 5280 clause 4.1.
 */
final class Certificate {
    private static final short TAG_CERTIFICATE = 0x7F21;
    private static final short TAG_SERIAL = 0x0093;
    private static final short TAG_ISSUER = 0x0042;
    private static final short TAG_SUBJECT = 0x5F20;
    private static final short TAG_USAGE = 0x0095;
    private static final short TAG_AUTHORIZATIONS = (short) 0xBF20;
    private static final short TAG_PUBLIC_KEY = 0x7F49;
    private static final short TAG_SIGNATURE = 0x5F37;
    private static final short TAG_POINT = 0x00B0;
    private static final short TAG_PARAMETERS = 0x00F0;

    private static final short SEQUENCE = 0x30;
    private static final short INTEGER = 0x02;
    private static final short BIT_STRING = 0x03;
    private static final short OCTET_STRING = 0x04;
    private static final short BOOLEAN = 0x01;
    private static final short EXPLICIT_0 = 0x00A0;
    private static final short EXPLICIT_3 = 0x00A3;

    /** Key usage of GlobalPlatform's format: verification of digital signatures (82), key agreement (0080). */
    private static final byte USAGE_VERIFICATION = (byte) 0x82;

    private static final short USAGE_AGREEMENT = 0x0080;

    /** Bits of X.509's keyUsage. */
    private static final byte X509_KEY_AGREEMENT = 0x08;

    private static final byte X509_KEY_CERT_SIGN = 0x04;

    /** Object identifiers with tag and length: ecPublicKey and prime256v1; keyUsage; basicConstraints; ecdsa-with-SHA256. */
    private static final byte[] P256_ALGORITHM = {
        0x06, 0x07, 0x2A, (byte) 0x86, 0x48, (byte) 0xCE, 0x3D, 0x02, 0x01,
        0x06, 0x08, 0x2A, (byte) 0x86, 0x48, (byte) 0xCE, 0x3D, 0x03, 0x01, 0x07
    };

    private static final byte[] KEY_USAGE = {0x06, 0x03, 0x55, 0x1D, 0x0F};
    private static final byte[] BASIC_CONSTRAINTS = {0x06, 0x03, 0x55, 0x1D, 0x13};
    private static final byte[] ECDSA_SHA_256 = {
        0x06, 0x08, 0x2A, (byte) 0x86, 0x48, (byte) 0xCE, 0x3D, 0x04, 0x03, 0x02
    };

    private static final short POINT_SIZE = (short) (1 + 2 * Curves.P256_SIZE);
    private static final byte UNCOMPRESSED = 0x04;

    static final short SIGNED = 0;
    static final short SERIAL = 2;
    static final short ISSUER = 4;
    static final short SUBJECT = 6;
    static final short POINT = 8;
    static final short R = 10;
    static final short S = 12;
    private static final short FLAGS = 14;
    private static final short PARTS = 15;

    private static final short CAN_SIGN = 1;
    private static final short CAN_AGREE = 2;
    private static final short HAS_AUTHORIZATIONS = 4;
    private static final short MUST_NOT_SIGN = 8;

    /** Where each part begins and how long it is; used within one command, cleared at reset. */
    private final short[] part;

    Certificate() {
        part = JCSystem.makeTransientShortArray(PARTS, JCSystem.CLEAR_ON_RESET);
    }

    short offset(short name) {
        return part[name];
    }

    short length(short name) {
        return part[(short) (name + 1)];
    }

    /** Tells whether the key may verify certificates. */
    boolean canSign() {
        return (part[FLAGS] & (CAN_SIGN | MUST_NOT_SIGN)) == CAN_SIGN;
    }

    /** Tells whether the key may agree on keys. */
    boolean canAgree() {
        return (part[FLAGS] & CAN_AGREE) != 0;
    }

    /** Tells whether the certificate restricts what its holder may do (BF20). */
    boolean hasAuthorizations() {
        return (part[FLAGS] & HAS_AUTHORIZATIONS) != 0;
    }

    /**
     * Reads a certificate.
     *
     * @return the offset behind it
     * @throws ISOException 6A80 when it is malformed, or of another key than one on P-256
     */
    short read(byte[] buffer, short at, short end) {
        for (short i = 0; i < PARTS; i++) {
            part[i] = 0;
        }
        short tag = Tlv.tag(buffer, at, end);
        short field = Tlv.lengthOffset(buffer, at, end);
        short value = Tlv.valueOffset(buffer, field);
        short behind = (short) (value + Tlv.length(buffer, field, end));
        if (tag == TAG_CERTIFICATE) {
            readOwn(buffer, value, behind);
        } else if (tag == SEQUENCE) {
            readX509(buffer, value, behind);
        } else {
            unexpected();
        }
        require(length(POINT) == POINT_SIZE && buffer[offset(POINT)] == UNCOMPRESSED);
        return behind;
    }

    private static void unexpected() {
        ISOException.throwIt(Gp.SW_WRONG_DATA);
    }

    private static void require(boolean condition) {
        if (!condition) {
            unexpected();
        }
    }

    private void set(short name, short offset, short length) {
        part[name] = offset;
        part[(short) (name + 1)] = length;
    }

    // GlobalPlatform's format.

    private void readOwn(byte[] buffer, short start, short end) {
        short at = start;
        short tag = 0;
        while (at < end && tag != TAG_SIGNATURE) {
            tag = Tlv.tag(buffer, at, end);
            short field = Tlv.lengthOffset(buffer, at, end);
            short value = Tlv.valueOffset(buffer, field);
            short length = Tlv.length(buffer, field, end);
            if (tag == TAG_SIGNATURE) {
                set(SIGNED, start, (short) (at - start));
                if (length == (short) (2 * Curves.P256_SIZE)) {
                    set(R, value, Curves.P256_SIZE);
                    set(S, (short) (value + Curves.P256_SIZE), Curves.P256_SIZE);
                } else {
                    readSignature(buffer, value, (short) (value + length)); // in DER, as cards of the field have it
                }
            } else {
                take(buffer, tag, value, length);
            }
            at = (short) (value + length);
        }
        require(at == end && tag == TAG_SIGNATURE && length(SERIAL) != 0 && length(SUBJECT) != 0 && length(ISSUER) != 0);
    }

    private void take(byte[] buffer, short tag, short value, short length) {
        switch (tag) {
            case TAG_SERIAL:
                set(SERIAL, value, length);
                break;
            case TAG_ISSUER:
                set(ISSUER, value, length);
                break;
            case TAG_SUBJECT:
                set(SUBJECT, value, length);
                break;
            case TAG_USAGE:
                if (length == 1 && buffer[value] == USAGE_VERIFICATION) {
                    part[FLAGS] |= CAN_SIGN;
                } else if (length == 2 && Util.getShort(buffer, value) == USAGE_AGREEMENT) {
                    part[FLAGS] |= CAN_AGREE;
                }
                break;
            case TAG_AUTHORIZATIONS:
                part[FLAGS] |= HAS_AUTHORIZATIONS;
                break;
            case TAG_PUBLIC_KEY:
                takeKey(buffer, value, (short) (value + length));
                break;
            default:
                break; // dates, discretionary data
        }
    }

    private void takeKey(byte[] buffer, short at, short end) {
        short point = Tlv.find(buffer, at, end, TAG_POINT);
        short parameters = Tlv.find(buffer, at, end, TAG_PARAMETERS);
        require(point != Tlv.ABSENT);
        require(parameters == Tlv.ABSENT || Tlv.length(buffer, parameters, end) == 1
                && buffer[Tlv.valueOffset(buffer, parameters)] == Curves.P256);
        set(POINT, Tlv.valueOffset(buffer, point), Tlv.length(buffer, point, end));
    }

    // X.509.

    /** Checks the tag of the element at an offset and returns the offset of its length field. */
    private static short expect(byte[] buffer, short at, short end, short tag) {
        require(at < end && Tlv.tag(buffer, at, end) == tag);
        return Tlv.lengthOffset(buffer, at, end);
    }

    private void readX509(byte[] buffer, short start, short end) {
        short field = expect(buffer, start, end, SEQUENCE);
        short at = Tlv.valueOffset(buffer, field);
        short signedEnd = (short) (at + Tlv.length(buffer, field, end));
        set(SIGNED, start, (short) (signedEnd - start));
        readSigned(buffer, at, signedEnd);

        field = expect(buffer, signedEnd, end, SEQUENCE);
        require(matches(buffer, Tlv.valueOffset(buffer, field), Tlv.length(buffer, field, end), ECDSA_SHA_256));
        at = Tlv.next(buffer, signedEnd, end);
        field = expect(buffer, at, end, BIT_STRING);
        require(Tlv.next(buffer, at, end) == end && Tlv.length(buffer, field, end) > 1);
        at = Tlv.valueOffset(buffer, field);
        require(buffer[at] == 0);
        readSignature(buffer, (short) (at + 1), end);
    }

    private static boolean matches(byte[] buffer, short offset, short length, byte[] expected) {
        return length == expected.length && Util.arrayCompare(buffer, offset, expected, (short) 0, length) == 0;
    }

    private void readSignature(byte[] buffer, short at, short end) {
        short field = expect(buffer, at, end, SEQUENCE);
        require(Tlv.next(buffer, at, end) == end);
        at = Tlv.valueOffset(buffer, field);
        setInteger(buffer, at, end, R);
        at = Tlv.next(buffer, at, end);
        setInteger(buffer, at, end, S);
        require(Tlv.next(buffer, at, end) == end);
    }

    /** Finds a positive integer, without the byte 00 that stands before a high bit. */
    private void setInteger(byte[] buffer, short at, short end, short name) {
        short field = expect(buffer, at, end, INTEGER);
        short value = Tlv.valueOffset(buffer, field);
        short length = Tlv.length(buffer, field, end);
        require(length > 0 && buffer[value] >= 0);
        if (length > 1 && buffer[value] == 0) {
            value++;
            length--;
        }
        set(name, value, length);
    }

    private void readSigned(byte[] buffer, short at, short end) {
        require(at < end);
        if (Tlv.tag(buffer, at, end) == EXPLICIT_0) {
            at = Tlv.next(buffer, at, end); // the version
        }
        setInteger(buffer, at, end, SERIAL);
        at = Tlv.next(buffer, at, end);
        expect(buffer, at, end, SEQUENCE); // the signature's algorithm, which is checked outside too
        at = Tlv.next(buffer, at, end);
        at = setElement(buffer, at, end, ISSUER);
        expect(buffer, at, end, SEQUENCE); // validity
        at = Tlv.next(buffer, at, end);
        at = setElement(buffer, at, end, SUBJECT);
        short field = expect(buffer, at, end, SEQUENCE);
        short keyEnd = Tlv.next(buffer, at, end);
        readKey(buffer, Tlv.valueOffset(buffer, field), keyEnd);
        part[FLAGS] |= CAN_AGREE; // unless keyUsage says otherwise
        for (at = keyEnd; at < end; at = Tlv.next(buffer, at, end)) {
            if (Tlv.tag(buffer, at, end) == EXPLICIT_3) {
                short inner = Tlv.valueOffset(buffer, Tlv.lengthOffset(buffer, at, end));
                readExtensions(buffer, inner, Tlv.next(buffer, at, end));
            }
        }
    }

    private short setElement(byte[] buffer, short at, short end, short name) {
        expect(buffer, at, end, SEQUENCE);
        short next = Tlv.next(buffer, at, end);
        set(name, at, (short) (next - at));
        return next;
    }

    private void readKey(byte[] buffer, short at, short end) {
        short field = expect(buffer, at, end, SEQUENCE);
        require(matches(buffer, Tlv.valueOffset(buffer, field), Tlv.length(buffer, field, end), P256_ALGORITHM));
        at = Tlv.next(buffer, at, end);
        field = expect(buffer, at, end, BIT_STRING);
        short length = Tlv.length(buffer, field, end);
        require(length > 1 && buffer[Tlv.valueOffset(buffer, field)] == 0);
        set(POINT, (short) (Tlv.valueOffset(buffer, field) + 1), (short) (length - 1));
    }

    private void readExtensions(byte[] buffer, short at, short end) {
        short field = expect(buffer, at, end, SEQUENCE);
        short listEnd = Tlv.next(buffer, at, end);
        for (at = Tlv.valueOffset(buffer, field); at < listEnd; at = Tlv.next(buffer, at, listEnd)) {
            field = expect(buffer, at, listEnd, SEQUENCE);
            readExtension(buffer, Tlv.valueOffset(buffer, field), Tlv.next(buffer, at, listEnd));
        }
    }

    private void readExtension(byte[] buffer, short at, short end) {
        short name = at;
        short nameEnd = Tlv.next(buffer, at, end);
        at = nameEnd;
        if (at < end && Tlv.tag(buffer, at, end) == BOOLEAN) {
            at = Tlv.next(buffer, at, end);
        }
        short field = expect(buffer, at, end, OCTET_STRING);
        short value = Tlv.valueOffset(buffer, field);
        if (matches(buffer, name, (short) (nameEnd - name), KEY_USAGE)) {
            field = expect(buffer, value, end, BIT_STRING);
            short length = Tlv.length(buffer, field, end);
            byte bits = length > 1 ? buffer[(short) (Tlv.valueOffset(buffer, field) + 1)] : 0;
            if ((bits & X509_KEY_AGREEMENT) == 0) {
                part[FLAGS] &= ~CAN_AGREE;
            }
            if ((bits & X509_KEY_CERT_SIGN) == 0) {
                part[FLAGS] |= MUST_NOT_SIGN;
            }
        } else if (matches(buffer, name, (short) (nameEnd - name), BASIC_CONSTRAINTS)) {
            field = expect(buffer, value, end, SEQUENCE);
            short first = Tlv.valueOffset(buffer, field);
            boolean authority = Tlv.length(buffer, field, end) != 0 && Tlv.tag(buffer, first, end) == BOOLEAN
                    && buffer[Tlv.valueOffset(buffer, Tlv.lengthOffset(buffer, first, end))] != 0;
            if (authority) {
                part[FLAGS] |= CAN_SIGN;
            }
        }
    }
}
