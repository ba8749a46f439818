package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import opentsm.open.Open;

/**
 * STORE DATA to the domain itself: data objects in BER-TLV, or in the DGI 0070, in one command or over several; and the
 * DGIs of a confidential set-up of keys.
 *
 * <p>Blocks are numbered from 00 and come in order. A data object or DGI whose length reaches beyond its block goes on in
 * the next; the complete ones of a block are stored together or not at all. Whatever is wrong ends the chain.
 *
 * <p>Spec: GP Card 2.3.1 clause 11.11, tables 11-89 and 11-90; GP Systems Scripting Language annex B for DGIs.
 */
final class StoreData {
    private static final byte LAST_BLOCK = (byte) 0x80;
    private static final byte CASE_4 = 0x01;
    private static final byte ENCRYPTION = 0x60;
    private static final byte ENCRYPTED = 0x60;
    private static final byte STRUCTURE = 0x18;
    private static final byte STRUCTURE_DGI = 0x08;
    private static final byte STRUCTURE_RESERVED = 0x18;
    private static final byte RESERVED = 0x06;

    private static final short DGI_TLVS = 0x0070;
    private static final byte LENGTH_OF_3 = (byte) 0xFF;
    private static final byte PADDING = (byte) 0x80;

    /** What a chain may keep back: the part of an object that has come so far. */
    private static final short PENDING_SIZE = 512;

    /** Layout of the state: number of the next block, P1 of the chain, the selection it belongs to, the current one. */
    private static final short BLOCK = 0;

    private static final short P1 = 1;
    private static final short SELECTION = 2;
    private static final short NOW = 6;
    private static final short STATE_SIZE = 10;

    private final DataHolder[] holders;
    private final SecureChannelService channel;
    private final ConfidentialSetup setup;

    /** Cleared at reset. */
    private final byte[] state;

    private final byte[] pending;

    /** How many bytes of {@link #pending} are in use; cleared at reset. */
    private final short[] kept;

    StoreData(DataHolder[] holders, SecureChannelService channel, ConfidentialSetup setup) {
        this.holders = holders;
        this.channel = channel;
        this.setup = setup;
        state = JCSystem.makeTransientByteArray(STATE_SIZE, JCSystem.CLEAR_ON_RESET);
        pending = JCSystem.makeTransientByteArray(PENDING_SIZE, JCSystem.CLEAR_ON_RESET);
        kept = JCSystem.makeTransientShortArray((short) 1, JCSystem.CLEAR_ON_RESET);
    }

    /** Ends a chain that is under way. */
    void end() {
        state[BLOCK] = 0;
        kept[0] = 0;
        setup.end();
    }

    /** Runs STORE DATA; the length of its response is 0, but for a confidential set-up of keys. */
    short run(byte[] buffer, byte p1, byte p2, short data, short end, byte[] response) {
        boolean done = false;
        try {
            short length = run(buffer, p1, p2, data, end);
            boolean last = (p1 & LAST_BLOCK) != 0;
            if (last && setup.isBegun()) {
                // Clause 11.11.3.1: data for a command that says it takes none.
                if ((p1 & CASE_4) == 0) {
                    ISOException.throwIt(Gp.SW_INCORRECT_P1P2);
                }
                length = setup.finish(buffer, response);
            }
            done = !last;
            return length;
        } finally {
            if (!done) {
                setup.end();
            }
        }
    }

    private short run(byte[] buffer, byte p1, byte p2, short data, short end) {
        requireOrder(p1, p2);
        boolean last = (p1 & LAST_BLOCK) != 0;
        byte[] source = buffer;
        if (kept[0] != 0) {
            keep(buffer, data, end);
            source = pending;
            data = 0;
            end = kept[0];
        }
        // Whatever is wrong from here on leaves no chain behind.
        state[BLOCK] = 0;
        kept[0] = 0;
        boolean groups = (byte) (p1 & STRUCTURE) == STRUCTURE_DGI;
        short complete = complete(source, data, end, groups);
        if (last && complete != end) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        if (groups) {
            storeGroups(source, data, complete, (byte) (p1 & ENCRYPTION) == ENCRYPTED);
        } else {
            storeObjects(source, data, complete);
        }
        if (!last) {
            moveToFront(source, complete, end);
            state[BLOCK] = (byte) (p2 + 1);
        }
        return 0;
    }

    private void requireOrder(byte p1, byte p2) {
        byte structure = (byte) (p1 & STRUCTURE);
        byte encryption = (byte) (p1 & ENCRYPTION);
        // The domain decrypts DGIs; encryption of its objects in another way is not known here.
        if ((p1 & RESERVED) != 0 || structure == STRUCTURE_RESERVED
                || encryption != 0 && (encryption != ENCRYPTED || structure != STRUCTURE_DGI)) {
            end();
            ISOException.throwIt(Gp.SW_INCORRECT_P1P2);
        }
        Open.getSelection(state, NOW);
        if (p2 == 0) {
            end();
            Selections.copy(state, NOW, SELECTION);
            state[P1] = (byte) (p1 & ~LAST_BLOCK);
        } else if (p2 != state[BLOCK] || state[P1] != (byte) (p1 & ~LAST_BLOCK)
                || !Selections.equal(state, SELECTION, NOW)) {
            end();
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
    }

    private void keep(byte[] buffer, short data, short end) {
        short length = (short) (end - data);
        if (length > (short) (PENDING_SIZE - kept[0])) {
            end();
            ISOException.throwIt(Gp.SW_NOT_ENOUGH_MEMORY);
        }
        Util.arrayCopyNonAtomic(buffer, data, pending, kept[0], length);
        kept[0] += length;
    }

    private void moveToFront(byte[] source, short from, short end) {
        if ((short) (end - from) > PENDING_SIZE) {
            ISOException.throwIt(Gp.SW_NOT_ENOUGH_MEMORY);
        }
        Util.arrayCopyNonAtomic(source, from, pending, (short) 0, (short) (end - from));
        kept[0] = (short) (end - from);
    }

    /** Returns the offset behind the last structure that is there as a whole. */
    private static short complete(byte[] source, short data, short end, boolean groups) {
        short next = groups ? nextGroup(source, data, end) : nextObject(source, data, end);
        while (next != Tlv.ABSENT) {
            data = next;
            next = groups ? nextGroup(source, data, end) : nextObject(source, data, end);
        }
        return data;
    }

    /** Returns the offset behind the data object at an offset, or ABSENT when it is not complete. */
    private static short nextObject(byte[] source, short at, short end) {
        if (at >= end) {
            return Tlv.ABSENT;
        }
        short field = (short) (at + ((byte) (source[at] & 0x1F) == 0x1F ? 2 : 1));
        if (field >= end) {
            return Tlv.ABSENT;
        }
        short more = lengthBytes(source[field]);
        if ((short) (field + more) >= end) {
            return Tlv.ABSENT;
        }
        short length = (short) (source[field] & 0xFF);
        if (more == 1) {
            length = (short) (source[(short) (field + 1)] & 0xFF);
        } else if (more == 2) {
            length = Util.getShort(source, (short) (field + 1));
        }
        return behind((short) (field + 1 + more), length, end);
    }

    private static short lengthBytes(byte first) {
        if (first >= 0) {
            return 0;
        }
        if (first != (byte) 0x81 && first != (byte) 0x82) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        return (short) (first == (byte) 0x81 ? 1 : 2);
    }

    private static short behind(short value, short length, short end) {
        if (length < 0) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        return length > (short) (end - value) ? Tlv.ABSENT : (short) (value + length);
    }

    /** As {@link #nextObject}, of a DGI: two bytes, then one of length, or FF and two. */
    private static short nextGroup(byte[] source, short at, short end) {
        short value = groupValue(source, at, end);
        return value == Tlv.ABSENT ? Tlv.ABSENT : behind(value, groupLength(source, at), end);
    }

    private static short groupValue(byte[] source, short at, short end) {
        if ((short) (end - at) < 3) {
            return Tlv.ABSENT;
        }
        short value = (short) (at + (source[(short) (at + 2)] == LENGTH_OF_3 ? 5 : 3));
        return value > end ? Tlv.ABSENT : value;
    }

    private static short groupLength(byte[] source, short at) {
        return source[(short) (at + 2)] == LENGTH_OF_3
                ? Util.getShort(source, (short) (at + 3))
                : (short) (source[(short) (at + 2)] & 0xFF);
    }

    private void storeGroups(byte[] source, short data, short end, boolean encrypted) {
        for (short at = data; at < end; at = nextGroup(source, at, end)) {
            short group = Util.getShort(source, at);
            if (ConfidentialSetup.holds(group) && !encrypted) {
                setup.take(group, source, groupValue(source, at, end), groupLength(source, at));
                continue;
            }
            if (group != DGI_TLVS) {
                ISOException.throwIt(Gp.SW_NOT_FOUND);
            }
            if (encrypted) {
                decrypt(source, at, end);
            }
            checkObjects(source, groupValue(source, at, end), groupEnd(source, at, end, encrypted));
        }
        for (short at = data; at < end; at = nextGroup(source, at, end)) {
            if (Util.getShort(source, at) == DGI_TLVS) {
                storeChecked(source, groupValue(source, at, end), groupEnd(source, at, end, encrypted));
            }
        }
    }

    /** Decrypts a DGI's value in place with the session's data encryption key. */
    private void decrypt(byte[] source, short at, short end) {
        short length = groupLength(source, at);
        if (channel.decryptData(source, groupValue(source, at, end), length) != length) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
    }

    /** Returns the end of a DGI's objects; of an encrypted one, without the padding (80, then 00s) that filled its block. */
    private static short groupEnd(byte[] source, short at, short end, boolean encrypted) {
        short value = groupValue(source, at, end);
        short last = (short) (value + groupLength(source, at));
        if (!encrypted) {
            return last;
        }
        short unpadded = last;
        while (unpadded > value && source[(short) (unpadded - 1)] == 0) {
            unpadded--;
        }
        return unpadded > value && source[(short) (unpadded - 1)] == PADDING ? (short) (unpadded - 1) : last;
    }

    private void storeObjects(byte[] source, short data, short end) {
        checkObjects(source, data, end);
        storeChecked(source, data, end);
    }

    private void checkObjects(byte[] source, short data, short end) {
        for (short at = data; at < end; at = Tlv.next(source, at, end)) {
            short tag = Tlv.tag(source, at, end);
            short field = Tlv.lengthOffset(source, at, end);
            short length = Tlv.length(source, field, end);
            holder(tag).check(tag, source, Tlv.valueOffset(source, field), length);
        }
    }

    private void storeChecked(byte[] source, short data, short end) {
        for (short at = data; at < end; at = Tlv.next(source, at, end)) {
            short tag = Tlv.tag(source, at, end);
            short field = Tlv.lengthOffset(source, at, end);
            holder(tag).store(tag, source, Tlv.valueOffset(source, field), Tlv.length(source, field, end));
        }
    }

    private DataHolder holder(short tag) {
        for (short i = 0; i < holders.length; i++) {
            if (holders[i].holds(tag)) {
                return holders[i];
            }
        }
        ISOException.throwIt(Gp.SW_NOT_FOUND);
        return null;
    }
}
