package opentsm.securitydomain;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacardx.crypto.Cipher;
import opentsm.open.Open;

/**
 * One SCP03 session: its keys, MAC chaining value and encryption counter.
 *
 * <p>All state lives in one array cleared at reset, not at deselect: a Security Domain serves sessions of applications
 * under it while it is not selected itself. A session belongs to one selection of one application (4 bytes that the OPEN
 * gives out), so selecting anything on its channel, closing the channel and a reset of its interface all end it.
 *
 * <p>Spec: GP Amendment D clauses 5.5, 6.2; GP Card 2.3.1 clause 10.2.
 */
final class Scp03Session {
    private static final byte NONE = 0;
    private static final byte INITIALIZED = 1;
    private static final byte AUTHENTICATED = 2;

    static final byte C_MAC = 0x01;
    static final byte C_DECRYPTION = 0x02;
    static final byte R_MAC = 0x10;
    static final byte R_ENCRYPTION = 0x20;

    private static final short STATE = 0;
    private static final short LEVEL = 1;
    private static final short KEY_LENGTH = 2;
    /** Length of challenges, cryptograms and MACs: 8 (S8) or 16 (S16). */
    private static final short SIZE = 3;
    private static final short SELECTION = 4;
    private static final short S_ENC = 8;
    private static final short S_MAC = 40;
    private static final short S_RMAC = 72;
    private static final short DEK = 104;
    private static final short CHAIN = 136;
    private static final short COUNTER = 152;
    private static final short HOST_CRYPTOGRAM = 168;
    private static final short SCRATCH = 184;
    private static final short RAM_SIZE = 216;

    private static final short HEADER = 5;
    private static final short EXTENDED_HEADER = 7;

    private final byte[] ram;
    private final Scp03Crypto crypto;

    /** The Key-ENC slot of the key set in use; cleared at reset. */
    private final Object[] keySet;

    Scp03Session(Scp03Crypto crypto) {
        this.crypto = crypto;
        ram = JCSystem.makeTransientByteArray(RAM_SIZE, JCSystem.CLEAR_ON_RESET);
        keySet = JCSystem.makeTransientObjectArray((short) 1, JCSystem.CLEAR_ON_RESET);
    }

    /** Tells whether the session is that of the selection in force on the current channel. */
    boolean isCurrent(byte[] selection, short offset) {
        return ram[STATE] != NONE && Util.arrayCompare(ram, SELECTION, selection, offset, (short) 4) == 0;
    }

    /** Tells whether the room of this session can be taken: it has ended, or its selection is no longer in force. */
    boolean isFree() {
        return ram[STATE] == NONE || !Open.isSelectionInForce(ram, SELECTION);
    }

    boolean isInitialized() {
        return ram[STATE] == INITIALIZED;
    }

    boolean isAuthenticated() {
        return ram[STATE] == AUTHENTICATED;
    }

    byte level() {
        return ram[LEVEL];
    }

    short size() {
        return ram[SIZE];
    }

    /** Returns the key set with which the session was begun. */
    KeySlot keySet() {
        return (KeySlot) keySet[0];
    }

    /** Ends the session and forgets its keys. */
    void end() {
        Util.arrayFillNonAtomic(ram, (short) 0, RAM_SIZE, (byte) 0);
        keySet[0] = null;
    }

    /**
     * Begins a session: derives its keys and both cryptograms.
     *
     * @param selection the 4 bytes of the current selection
     * @param challenges host challenge then card challenge, each of the given size
     * @param cryptogram where the card cryptogram goes
     * <p>Spec: GP Amendment D clauses 6.2.1, 6.2.2.2, 6.2.2.3.
     */
    void begin(KeyStore keys, KeySlot enc, short size, byte[] selection, short selectionOffset, byte[] challenges,
            short challengesOffset, byte[] cryptogram, short cryptogramOffset) {
        end();
        KeySlot mac = keys.find(enc.version, KeyStore.ID_MAC);
        KeySlot dek = keys.find(enc.version, KeyStore.ID_DEK);
        short length = enc.length;
        short both = (short) (size << 1);
        ram[KEY_LENGTH] = (byte) enc.length;
        ram[SIZE] = (byte) size;
        Util.arrayCopyNonAtomic(selection, selectionOffset, ram, SELECTION, (short) 4);
        // The Key-DEK is static; a copy keeps the session whole when its own key set is deleted in it.
        Util.arrayCopyNonAtomic(keys.values(), dek.offset, ram, DEK, length);
        crypto.derive(keys.values(), enc.offset, length, Scp03Crypto.DERIVE_S_ENC, length, challenges, challengesOffset, both,
                ram, S_ENC);
        crypto.derive(keys.values(), mac.offset, length, Scp03Crypto.DERIVE_S_MAC, length, challenges, challengesOffset, both,
                ram, S_MAC);
        crypto.derive(keys.values(), mac.offset, length, Scp03Crypto.DERIVE_S_RMAC, length, challenges, challengesOffset, both,
                ram, S_RMAC);
        crypto.derive(ram, S_MAC, length, Scp03Crypto.DERIVE_CARD_CRYPTOGRAM, size, challenges, challengesOffset, both,
                ram, HOST_CRYPTOGRAM);
        Util.arrayCopyNonAtomic(ram, HOST_CRYPTOGRAM, cryptogram, cryptogramOffset, size);
        crypto.derive(ram, S_MAC, length, Scp03Crypto.DERIVE_HOST_CRYPTOGRAM, size, challenges, challengesOffset, both,
                ram, HOST_CRYPTOGRAM);
        keySet[0] = enc;
        ram[STATE] = INITIALIZED;
    }

    /** Tells whether the host cryptogram is right; every byte is looked at. */
    boolean isHostCryptogram(byte[] buffer, short offset) {
        return equal(ram, HOST_CRYPTOGRAM, buffer, offset, ram[SIZE]);
    }

    /**
     * Checks the MAC of EXTERNAL AUTHENTICATE (chaining value zero) and takes it as the first chaining value.
     *
     * @param header its length: 5, or 7 in the extended form
     * @param length header and data, MAC included
     */
    boolean isFirstMac(byte[] buffer, short header, short length) {
        return isMac(buffer, (short) 0, header, (short) (length - ram[SIZE]));
    }

    /** Makes the session authenticated at a security level. */
    void authenticated(byte level) {
        Util.arrayFillNonAtomic(ram, HOST_CRYPTOGRAM, (short) 16, (byte) 0);
        ram[LEVEL] = level;
        ram[STATE] = AUTHENTICATED;
    }

    /**
     * Verifies and decrypts a command in place.
     *
     * @param buffer the command from CLA, short or extended (Lc of one byte, or of three)
     * @param length header and command data
     * @return the length of the plain command; its header keeps its form, Lc is that of the plain data, and CLA no
     *     longer says secure messaging
     * @throws ISOException 6982, after the session has ended
     * <p>Spec: GP Amendment D clauses 6.2.4, 6.2.6.
     */
    short unwrap(byte[] buffer, short offset, short length) {
        byte level = ram[LEVEL];
        short size = ram[SIZE];
        short header = length > EXTENDED_HEADER && buffer[(short) (offset + ISO7816.OFFSET_LC)] == 0
                ? EXTENDED_HEADER : HEADER;
        short dataLength = (short) (length - header - size);
        if (!Apdus.isSecured(buffer[offset])) {
            // Without secure messaging a session of level AUTHENTICATED goes on; any other has been tampered with.
            if ((level & C_MAC) == 0) {
                return length;
            }
            fail();
        }
        if ((level & C_MAC) == 0 || dataLength < 0
                || !isMac(buffer, offset, header, (short) (header + dataLength))) {
            fail();
        }
        increment();
        if ((level & C_DECRYPTION) != 0 && dataLength > 0) {
            dataLength = decrypt(buffer, (short) (offset + header), dataLength);
        }
        buffer[offset] = Apdus.withoutSecurity(buffer[offset]);
        if (header == HEADER) {
            buffer[(short) (offset + ISO7816.OFFSET_LC)] = (byte) dataLength;
        } else {
            Util.setShort(buffer, (short) (offset + HEADER), dataLength);
        }
        return (short) (header + dataLength);
    }

    /**
     * Protects a response in place.
     *
     * @param buffer response data, then the status word; room for 32 bytes more behind it
     * @param length of both
     * @return the length of what is to be sent, status word included; without data for an error status, which is never
     *     protected
     * <p>Spec: GP Amendment D clauses 6.2.5, 6.2.7.
     */
    short wrap(byte[] buffer, short offset, short length) {
        byte level = ram[LEVEL];
        short dataLength = (short) (length - 2);
        short status = Util.getShort(buffer, (short) (offset + dataLength));
        if (!Apdus.isProtected(status)) {
            Util.setShort(buffer, offset, status);
            return 2;
        }
        if ((level & R_ENCRYPTION) != 0 && dataLength > 0) {
            dataLength = encrypt(buffer, offset, dataLength);
        }
        if ((level & R_MAC) != 0) {
            Util.setShort(buffer, (short) (offset + dataLength), status);
            crypto.macBegin(ram, S_RMAC, ram[KEY_LENGTH]);
            crypto.macUpdate(ram, CHAIN, Scp03Crypto.BLOCK);
            crypto.macFinish(buffer, offset, (short) (dataLength + 2), ram, SCRATCH);
            Util.arrayCopyNonAtomic(ram, SCRATCH, buffer, (short) (offset + dataLength), ram[SIZE]);
            dataLength += ram[SIZE];
        }
        Util.setShort(buffer, (short) (offset + dataLength), status);
        return (short) (dataLength + 2);
    }

    /** Encrypts or decrypts sensitive data with the Key-DEK in place (Amendment D clause 6.2.8); whole blocks only. */
    short sensitive(byte mode, byte[] buffer, short offset, short length) {
        if (length == 0 || (short) (length & 15) != 0) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        Util.arrayFillNonAtomic(ram, SCRATCH, Scp03Crypto.BLOCK, (byte) 0);
        crypto.cbc(mode, ram, DEK, ram[KEY_LENGTH], ram, SCRATCH, buffer, offset, length);
        return length;
    }

    private void fail() {
        end();
        ISOException.throwIt(Gp.SW_SECURITY_STATUS);
    }

    /** Computes the C-MAC of a command up to a length, compares, and on success makes it the chaining value. */
    private boolean isMac(byte[] buffer, short offset, short header, short length) {
        Util.arrayCopyNonAtomic(buffer, offset, ram, SCRATCH, header);
        ram[SCRATCH] = Apdus.withoutChannel(buffer[offset]);
        crypto.macBegin(ram, S_MAC, ram[KEY_LENGTH]);
        crypto.macUpdate(ram, CHAIN, Scp03Crypto.BLOCK);
        if (length > header) {
            crypto.macUpdate(ram, SCRATCH, header);
            crypto.macFinish(buffer, (short) (offset + header), (short) (length - header), ram, SCRATCH);
        } else {
            crypto.macFinish(ram, SCRATCH, header, ram, (short) (SCRATCH + 16));
            Util.arrayCopyNonAtomic(ram, (short) (SCRATCH + 16), ram, SCRATCH, Scp03Crypto.BLOCK);
        }
        if (!equal(ram, SCRATCH, buffer, (short) (offset + length), ram[SIZE])) {
            return false;
        }
        Util.arrayCopyNonAtomic(ram, SCRATCH, ram, CHAIN, Scp03Crypto.BLOCK);
        return true;
    }

    /** Counts one more command: the counter is a block, most significant byte first (Amendment D clause 6.2.6). */
    private void increment() {
        for (short i = (short) (COUNTER + 15); i > COUNTER; i--) {
            ram[i]++;
            if (ram[i] != 0) {
                return;
            }
        }
    }

    private void initialValue(byte first) {
        Util.arrayCopyNonAtomic(ram, COUNTER, ram, SCRATCH, Scp03Crypto.BLOCK);
        ram[SCRATCH] = first;
        crypto.encryptBlock(ram, S_ENC, ram[KEY_LENGTH], ram, SCRATCH);
    }

    private short decrypt(byte[] buffer, short offset, short length) {
        if ((short) (length & 15) != 0) {
            fail();
        }
        initialValue((byte) 0);
        crypto.cbc(Cipher.MODE_DECRYPT, ram, S_ENC, ram[KEY_LENGTH], ram, SCRATCH, buffer, offset, length);
        // Padding method 2 of ISO 9797-1: 80, then 0 to 15 bytes of 00.
        short end = (short) (offset + length - 1);
        short first = (short) (offset + length - Scp03Crypto.BLOCK);
        while (end > first && buffer[end] == 0) {
            end--;
        }
        if (buffer[end] != (byte) 0x80) {
            fail();
        }
        return (short) (end - offset);
    }

    private short encrypt(byte[] buffer, short offset, short length) {
        short padded = (short) ((short) (length + Scp03Crypto.BLOCK) & (short) 0xFFF0);
        Util.arrayFillNonAtomic(buffer, (short) (offset + length), (short) (padded - length), (byte) 0);
        buffer[(short) (offset + length)] = (byte) 0x80;
        initialValue((byte) 0x80);
        crypto.cbc(Cipher.MODE_ENCRYPT, ram, S_ENC, ram[KEY_LENGTH], ram, SCRATCH, buffer, offset, padded);
        return padded;
    }

    /** Compares without stopping at the first difference. */
    private static boolean equal(byte[] a, short aOffset, byte[] b, short bOffset, short length) {
        byte difference = 0;
        for (short i = 0; i < length; i++) {
            difference |= (byte) (a[(short) (aOffset + i)] ^ b[(short) (bOffset + i)]);
        }
        return difference == 0;
    }
}
