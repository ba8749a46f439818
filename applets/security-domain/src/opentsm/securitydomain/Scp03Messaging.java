package opentsm.securitydomain;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.AESKey;
import javacard.security.KeyBuilder;
import javacard.security.Signature;
import javacardx.crypto.Cipher;

/**
 * Secure messaging with AES: of SCP03, and of SCP11 once its keys are agreed.
 *
 * <p>There is one set of ciphers and key objects, loaded with the keys of the session that was last at work and kept for
 * its next command: a cipher is set up once a session, not once a command. So that their initial value can stay zero, the
 * ICV is put into the first block instead: CBC begins with their exclusive or.
 *
 * <p>Spec: GP Amendment D clauses 6.2.4 to 6.2.8; GP Amendment F clause 4.8.
 */
final class Scp03Messaging extends Messaging {
    private static final short HEADER = 5;
    private static final short BLOCK = Scp03Crypto.BLOCK;

    private static final short ENC = 0;
    private static final short MAC = 1;
    private static final short RMAC = 2;
    private static final short KEYS = 3;

    private final Signature commandMac;
    private final Signature responseMac;
    private final Cipher counterCipher;
    private final Cipher encryption;
    private final Cipher decryption;
    private final Scp03Crypto crypto;

    /** Three keys of 128 bits, three of 192, three of 256; cleared at reset. */
    private final AESKey[] keys;

    /** The session whose keys are loaded, as far as it says so itself (Session.LOADED); cleared at reset. */
    private final Object[] loaded;

    Scp03Messaging(Scp03Crypto crypto) {
        this.crypto = crypto;
        commandMac = Signature.getInstance(Signature.ALG_AES_CMAC_128, false);
        responseMac = Signature.getInstance(Signature.ALG_AES_CMAC_128, false);
        counterCipher = Cipher.getInstance(Cipher.ALG_AES_BLOCK_128_ECB_NOPAD, false);
        encryption = Cipher.getInstance(Cipher.ALG_AES_BLOCK_128_CBC_NOPAD, false);
        decryption = Cipher.getInstance(Cipher.ALG_AES_BLOCK_128_CBC_NOPAD, false);
        keys = new AESKey[(short) (3 * KEYS)];
        for (short i = 0; i < keys.length; i++) {
            short bits = (short) (KeyBuilder.LENGTH_AES_128 + (short) (i / KEYS) * 64);
            keys[i] = (AESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_AES_TRANSIENT_RESET, bits, false);
        }
        loaded = JCSystem.makeTransientObjectArray((short) 1, JCSystem.CLEAR_ON_RESET);
    }

    private void load(Session session) {
        byte[] ram = session.ram;
        if (ram[Session.LOADED] != 0 && loaded[0] == session) {
            return;
        }
        short first = (short) ((short) (session.keyLength() - 16) / 8 * KEYS);
        AESKey enc = keys[(short) (first + ENC)];
        AESKey mac = keys[(short) (first + MAC)];
        AESKey rmac = keys[(short) (first + RMAC)];
        enc.setKey(ram, Session.S_ENC);
        mac.setKey(ram, Session.S_MAC);
        rmac.setKey(ram, Session.S_RMAC);
        commandMac.init(mac, Signature.MODE_SIGN);
        responseMac.init(rmac, Signature.MODE_SIGN);
        counterCipher.init(enc, Cipher.MODE_ENCRYPT);
        encryption.init(enc, Cipher.MODE_ENCRYPT);
        decryption.init(enc, Cipher.MODE_DECRYPT);
        loaded[0] = session;
        ram[Session.LOADED] = 1;
    }

    @Override
    boolean isFirstMac(Session session, byte[] buffer, short header, short length) {
        load(session);
        return isMac(session, buffer, (short) 0, header, (short) (length - session.size()));
    }

    @Override
    short unwrap(Session session, byte[] buffer, short offset, short length) {
        session.step();
        byte level = session.level();
        short header = header(buffer, offset, length);
        short dataLength = (short) (length - header - session.size());
        if (!Apdus.isSecured(buffer[offset])) {
            // Without secure messaging a session of level AUTHENTICATED goes on; any other has been tampered with.
            if ((level & Session.C_MAC) == 0) {
                return length;
            }
            session.fail();
        }
        load(session);
        if ((level & Session.C_MAC) == 0 || dataLength < 0
                || !isMac(session, buffer, offset, header, (short) (header + dataLength))) {
            session.fail();
        }
        increment(session.ram);
        if ((level & Session.C_DECRYPTION) != 0 && dataLength > 0) {
            dataLength = decrypt(session, buffer, (short) (offset + header), dataLength);
        }
        buffer[offset] = Apdus.withoutSecurity(buffer[offset]);
        if (header == HEADER) {
            buffer[(short) (offset + ISO7816.OFFSET_LC)] = (byte) dataLength;
        } else {
            Util.setShort(buffer, (short) (offset + HEADER), dataLength);
        }
        return (short) (header + dataLength);
    }

    @Override
    short wrap(Session session, byte[] buffer, short offset, short length) {
        byte[] ram = session.ram;
        byte level = session.level();
        short dataLength = (short) (length - 2);
        short status = Util.getShort(buffer, (short) (offset + dataLength));
        if (!Apdus.isProtected(status)) {
            Util.setShort(buffer, offset, status);
            return 2;
        }
        load(session);
        if ((level & Session.R_ENCRYPTION) != 0 && dataLength > 0) {
            dataLength = encrypt(session, buffer, offset, dataLength);
        }
        if ((level & Session.R_MAC) != 0) {
            Util.setShort(buffer, (short) (offset + dataLength), status);
            responseMac.update(ram, Session.CHAIN, BLOCK);
            responseMac.sign(buffer, offset, (short) (dataLength + 2), ram, Session.SCRATCH);
            Util.arrayCopyNonAtomic(ram, Session.SCRATCH, buffer, (short) (offset + dataLength), session.size());
            dataLength += session.size();
        }
        Util.setShort(buffer, (short) (offset + dataLength), status);
        return (short) (dataLength + 2);
    }

    @Override
    short sensitive(Session session, byte mode, byte[] buffer, short offset, short length) {
        if (length == 0 || (short) (length & 15) != 0) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        byte[] ram = session.ram;
        Util.arrayFillNonAtomic(ram, Session.SCRATCH, BLOCK, (byte) 0);
        crypto.cbc(mode, ram, Session.DEK, session.keyLength(), ram, Session.SCRATCH, buffer, offset, length);
        return length;
    }

    @Override
    void beginResponses(Session session, byte level, byte[] buffer, short data, short end) {
        session.ram[Session.NEXT_LEVEL] = (byte) (session.level() | level);
    }

    @Override
    short endResponses(Session session, boolean end, byte[] response) {
        if (end) {
            session.ram[Session.NEXT_LEVEL] = session.ram[Session.FIRST_LEVEL];
        }
        return 0;
    }

    /** Computes the C-MAC of a command up to a length, compares, and on success makes it the chaining value. */
    private boolean isMac(Session session, byte[] buffer, short offset, short header, short length) {
        byte[] ram = session.ram;
        byte cla = buffer[offset];
        buffer[offset] = Apdus.withoutChannel(cla);
        commandMac.update(ram, Session.CHAIN, BLOCK);
        commandMac.sign(buffer, offset, length, ram, Session.SCRATCH);
        buffer[offset] = cla;
        if (!equal(ram, Session.SCRATCH, buffer, (short) (offset + length), session.size())) {
            return false;
        }
        Util.arrayCopyNonAtomic(ram, Session.SCRATCH, ram, Session.CHAIN, BLOCK);
        return true;
    }

    /** Counts one more command: the counter is a block, most significant byte first (Amendment D clause 6.2.6). */
    private static void increment(byte[] ram) {
        for (short i = (short) (Session.COUNTER + 15); i > Session.COUNTER; i--) {
            ram[i]++;
            if (ram[i] != 0) {
                return;
            }
        }
    }

    /** Adds (exclusive or) the encrypted counter to a block. */
    private void addInitialValue(byte[] ram, byte first, byte[] buffer, short offset) {
        byte kept = ram[Session.COUNTER];
        ram[Session.COUNTER] = first;
        counterCipher.doFinal(ram, Session.COUNTER, BLOCK, ram, Session.SCRATCH);
        ram[Session.COUNTER] = kept;
        for (short i = 0; i < BLOCK; i++) {
            buffer[(short) (offset + i)] ^= ram[(short) (Session.SCRATCH + i)];
        }
    }

    private short decrypt(Session session, byte[] buffer, short offset, short length) {
        if ((short) (length & 15) != 0) {
            session.fail();
        }
        decryption.doFinal(buffer, offset, length, buffer, offset);
        addInitialValue(session.ram, (byte) 0, buffer, offset);
        // Padding method 2 of ISO 9797-1: 80, then 0 to 15 bytes of 00.
        short end = (short) (offset + length - 1);
        short first = (short) (offset + length - BLOCK);
        while (end > first && buffer[end] == 0) {
            end--;
        }
        if (buffer[end] != (byte) 0x80) {
            session.fail();
        }
        return (short) (end - offset);
    }

    private short encrypt(Session session, byte[] buffer, short offset, short length) {
        short padded = (short) ((short) (length + BLOCK) & (short) 0xFFF0);
        Util.arrayFillNonAtomic(buffer, (short) (offset + length), (short) (padded - length), (byte) 0);
        buffer[(short) (offset + length)] = (byte) 0x80;
        addInitialValue(session.ram, (byte) 0x80, buffer, offset);
        encryption.doFinal(buffer, offset, padded, buffer, offset);
        return padded;
    }
}
