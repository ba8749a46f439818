package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import opentsm.open.Open;

/**
 * What belongs to the keys of SCP11: certificates of the domain's own keys, allow lists and names of authorities' keys.
 *
 * <p>STORE DATA brings a control reference template (A6) that names a key by 83 (identifier, version), then its
 * certificates (BF21) or the list of serial numbers (70, each a 93) that its certificates may have; an empty one takes them
 * away. A 42 in the template itself is the name of the authority whose key it is: of off-card entities (80 00), or of
 * cards (80 01). GET DATA BF21 names the key in the same way; FF33 and FF34 list the authorities.
 *
 * <p>All memory is allocated at install: places in one array, each the lowest that is free.
 *
 * <p>Spec: GP Amendment F clauses 7.7 to 7.11.
 */
final class CertificateStore implements DataHolder {
    private static final short TAG_REFERENCE = 0x00A6;
    private static final short TAG_KEY = 0x0083;
    private static final short TAG_KIND = 0x0080;
    private static final short TAG_NAME = 0x0042;
    private static final short TAG_ALLOW_LIST = 0x0070;
    private static final short TAG_SERIAL = 0x0093;
    private static final short TAG_OFF_CARD_AUTHORITIES = (short) 0xFF33;
    private static final short TAG_CARD_AUTHORITIES = (short) 0xFF34;

    private static final byte FREE = 0;
    private static final byte CERTIFICATES = 1;
    private static final byte ALLOW_LIST = 2;
    private static final byte OFF_CARD_AUTHORITY = 3;
    private static final byte CARD_AUTHORITY = 4;

    private static final short ENTRIES = 24;
    private static final short VALUES_SIZE = 6144;
    private static final short NAME_SIZE = 64;

    /** The certificates of one key fit one response, with padding and MAC. */
    private static final short CERTIFICATES_SIZE = 1900;

    /** Layout of the state: identifier and version of the key last named, the selection in which, the current one. */
    private static final short ID = 0;

    private static final short VERSION = 1;
    private static final short SELECTION = 2;
    private static final short NOW = 6;
    private static final short STATE_SIZE = 10;

    private final KeyStore keys;
    private final byte[] kinds = new byte[ENTRIES];
    private final byte[] identifiers = new byte[ENTRIES];
    private final byte[] versions = new byte[ENTRIES];
    private final short[] offsets = new short[ENTRIES];
    private final short[] lengths = new short[ENTRIES];
    private final byte[] values = new byte[VALUES_SIZE];

    /** Cleared at reset. */
    private final byte[] state;

    CertificateStore(KeyStore keys) {
        this.keys = keys;
        state = JCSystem.makeTransientByteArray(STATE_SIZE, JCSystem.CLEAR_ON_RESET);
    }

    private short find(byte kind, byte identifier, byte version) {
        for (short i = 0; i < ENTRIES; i++) {
            if (kinds[i] == kind && identifiers[i] == identifier && versions[i] == version) {
                return i;
            }
        }
        return Tlv.ABSENT;
    }

    /** Returns the lowest place for a value, one entry's own counted as free, or ABSENT. */
    private short place(short length, short replaced) {
        short at = 0;
        short i = 0;
        while (i < ENTRIES) {
            short end = (short) (offsets[i] + lengths[i]);
            if (kinds[i] != FREE && i != replaced && offsets[i] < (short) (at + length) && at < end) {
                at = end;
                i = 0;
            } else {
                i++;
            }
        }
        return (short) (at + length) <= VALUES_SIZE ? at : Tlv.ABSENT;
    }

    private short room(byte kind, short length) {
        short entry = find(kind, state[ID], state[VERSION]);
        if (length != 0 && (entry == Tlv.ABSENT && freeEntry() == Tlv.ABSENT || place(length, entry) == Tlv.ABSENT)) {
            ISOException.throwIt(Gp.SW_NOT_ENOUGH_MEMORY);
        }
        return entry;
    }

    private short freeEntry() {
        for (short i = 0; i < ENTRIES; i++) {
            if (kinds[i] == FREE) {
                return i;
            }
        }
        return Tlv.ABSENT;
    }

    private void put(byte kind, byte[] buffer, short offset, short length) {
        short entry = room(kind, length);
        short at = length == 0 ? 0 : place(length, entry);
        JCSystem.beginTransaction();
        if (entry == Tlv.ABSENT && length != 0) {
            entry = freeEntry();
        }
        if (length != 0) {
            kinds[entry] = kind;
            identifiers[entry] = state[ID];
            versions[entry] = state[VERSION];
            offsets[entry] = at;
            lengths[entry] = length;
            Util.arrayCopy(buffer, offset, values, at, length);
        } else if (entry != Tlv.ABSENT) {
            kinds[entry] = FREE;
        }
        JCSystem.commitTransaction();
        Open.effect(Open.EFFECT_STORE_DATA, state, ID, (short) 2);
    }

    /** Forgets what belongs to a key. To be called in a transaction. */
    void forget(KeySlot key) {
        for (short i = 0; i < ENTRIES; i++) {
            if (kinds[i] != FREE && identifiers[i] == key.identifier && versions[i] == key.version) {
                kinds[i] = FREE;
            }
        }
    }

    @Override
    public boolean holds(short tag) {
        return tag == TAG_REFERENCE || tag == Gp.TAG_CERTIFICATES || tag == TAG_ALLOW_LIST
                || tag == TAG_OFF_CARD_AUTHORITIES || tag == TAG_CARD_AUTHORITIES;
    }

    @Override
    public void check(short tag, byte[] buffer, short offset, short length) {
        short end = (short) (offset + length);
        switch (tag) {
            case TAG_REFERENCE:
                readReference(buffer, offset, end);
                if (Tlv.find(buffer, offset, end, TAG_NAME) != Tlv.ABSENT) {
                    short field = Tlv.find(buffer, offset, end, TAG_NAME);
                    require(Tlv.length(buffer, field, end) <= NAME_SIZE);
                    room(authority(buffer, offset, end), Tlv.length(buffer, field, end));
                }
                break;
            case Gp.TAG_CERTIFICATES:
                requireReference();
                require(length <= CERTIFICATES_SIZE);
                room(CERTIFICATES, length);
                break;
            case TAG_ALLOW_LIST:
                requireReference();
                for (short at = offset; at < end; at = Tlv.next(buffer, at, end)) {
                    require(Tlv.tag(buffer, at, end) == TAG_SERIAL);
                }
                room(ALLOW_LIST, length);
                break;
            default:
                ISOException.throwIt(Gp.SW_NOT_FOUND); // FF33 and FF34 are made up of what A6 brings
                break;
        }
    }

    @Override
    public void store(short tag, byte[] buffer, short offset, short length) {
        short end = (short) (offset + length);
        if (tag == TAG_REFERENCE) {
            readReference(buffer, offset, end);
            short field = Tlv.find(buffer, offset, end, TAG_NAME);
            if (field != Tlv.ABSENT) {
                put(authority(buffer, offset, end), buffer, Tlv.valueOffset(buffer, field),
                        Tlv.length(buffer, field, end));
            }
            return;
        }
        put(tag == TAG_ALLOW_LIST ? ALLOW_LIST : CERTIFICATES, buffer, offset, length);
        state[ID] = 0;
    }

    private static void require(boolean condition) {
        if (!condition) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
    }

    private static byte authority(byte[] buffer, short offset, short end) {
        short field = Tlv.find(buffer, offset, end, TAG_KIND);
        byte kind = 0;
        if (field != Tlv.ABSENT) {
            require(Tlv.length(buffer, field, end) == 1);
            kind = buffer[Tlv.valueOffset(buffer, field)];
        }
        require(kind == 0 || kind == 1);
        return kind == 0 ? OFF_CARD_AUTHORITY : CARD_AUTHORITY;
    }

    /** Reads which key a control reference template names: 6A88 when the domain has no such. */
    private void readReference(byte[] buffer, short offset, short end) {
        short field = Tlv.find(buffer, offset, end, TAG_KEY);
        require(field != Tlv.ABSENT && Tlv.length(buffer, field, end) == 2);
        short value = Tlv.valueOffset(buffer, field);
        state[ID] = buffer[value];
        state[VERSION] = buffer[(short) (value + 1)];
        Open.getSelection(state, SELECTION);
        if (keys.find(state[VERSION], state[ID]) == null) {
            state[ID] = 0;
            ISOException.throwIt(Gp.SW_NOT_FOUND);
        }
    }

    private void requireReference() {
        Open.getSelection(state, NOW);
        if (state[ID] == 0 || !Selections.equal(state, SELECTION, NOW)) {
            ISOException.throwIt(Gp.SW_NOT_FOUND); // no key was named
        }
    }

    /** Writes the certificates of the key that GET DATA's own data names, as a whole object (BF21). */
    short getCertificates(byte[] buffer, short data, short end, byte[] response) {
        short field = Tlv.find(buffer, data, end, TAG_REFERENCE);
        require(field != Tlv.ABSENT);
        short value = Tlv.valueOffset(buffer, field);
        short valueEnd = (short) (value + Tlv.length(buffer, field, end));
        field = Tlv.find(buffer, value, valueEnd, TAG_KEY);
        require(field != Tlv.ABSENT && Tlv.length(buffer, field, valueEnd) == 2);
        value = Tlv.valueOffset(buffer, field);
        short entry = find(CERTIFICATES, buffer[value], buffer[(short) (value + 1)]);
        if (entry == Tlv.ABSENT) {
            return Tlv.ABSENT;
        }
        short content = Tlv.putHeader(response, (short) 0, Gp.TAG_CERTIFICATES, (short) 0);
        short behind = Util.arrayCopyNonAtomic(values, offsets[entry], response, content, lengths[entry]);
        return Tlv.closeLength(response, (short) (content - 1), behind);
    }

    /** {@inheritDoc} Of FF33 and FF34: the name (42) and the key (83) of each authority. */
    @Override
    public short get(short tag, byte[] response, short at) {
        if (tag != TAG_OFF_CARD_AUTHORITIES && tag != TAG_CARD_AUTHORITIES) {
            return Tlv.ABSENT;
        }
        byte kind = tag == TAG_OFF_CARD_AUTHORITIES ? OFF_CARD_AUTHORITY : CARD_AUTHORITY;
        short content = Tlv.putHeader(response, at, tag, (short) 0);
        at = content;
        for (short i = 0; i < ENTRIES; i++) {
            if (kinds[i] == kind) {
                at = Tlv.putHeader(response, at, TAG_NAME, lengths[i]);
                at = Util.arrayCopyNonAtomic(values, offsets[i], response, at, lengths[i]);
                at = Tlv.putHeader(response, at, TAG_KEY, (short) 2);
                response[at++] = identifiers[i];
                response[at++] = versions[i];
            }
        }
        return at == content ? Tlv.ABSENT : Tlv.closeLength(response, (short) (content - 1), at);
    }

    /** Tells whether a certificate of an authority's key may have a serial number: any, when there is no list. */
    boolean isAllowed(KeySlot authority, byte[] buffer, short serial, short length) {
        short entry = find(ALLOW_LIST, authority.identifier, authority.version);
        if (entry == Tlv.ABSENT) {
            return true;
        }
        short end = (short) (offsets[entry] + lengths[entry]);
        for (short at = offsets[entry]; at < end; at = Tlv.next(values, at, end)) {
            short field = Tlv.lengthOffset(values, at, end);
            short value = Tlv.valueOffset(values, field);
            short listed = Tlv.length(values, field, end);
            // A serial number is a number: leading zeros, which X.509 needs before a high bit, don't count.
            while (listed > 1 && values[value] == 0) {
                value++;
                listed--;
            }
            if (listed == length && Util.arrayCompare(values, value, buffer, serial, length) == 0) {
                return true;
            }
        }
        return false;
    }

    /** Tells whether certificates of an authority's key may name an issuer: any, when the authority has no name here. */
    boolean isNamed(KeySlot authority, byte[] buffer, short issuer, short length) {
        short entry = find(OFF_CARD_AUTHORITY, authority.identifier, authority.version);
        return entry == Tlv.ABSENT
                || lengths[entry] == length
                        && Util.arrayCompare(values, offsets[entry], buffer, issuer, length) == 0;
    }
}
