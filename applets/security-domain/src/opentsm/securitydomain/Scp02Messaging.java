package opentsm.securitydomain;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;
import javacardx.crypto.Cipher;

/**
 * Secure messaging of SCP02, as the i parameter has it.
 *
 * <p>The C-MAC is of the plain command, on the APDU as it is (i bit 02), or with secure messaging in CLA and the MAC's
 * length in Lc; the MAC before is its ICV, encrypted with i bit 10. The R-MAC is of the command without C-MAC and the
 * response; an error is a response too, though its R-MAC is not sent.
 *
 * <p>Spec: GP Card 2.3.1 clauses E.4.3 to E.4.7.
 */
final class Scp02Messaging extends Messaging {
    private static final short HEADER = 5;
    private static final short MAC_SIZE = 8;

    /** Room for the ICV, behind that of a header. */
    private static final short ICV = (short) (Session.SCRATCH + 8);

    private final Scp02Crypto crypto;
    private final byte options;

    Scp02Messaging(Scp02Crypto crypto, byte options) {
        this.crypto = crypto;
        this.options = options;
    }

    @Override
    boolean isFirstMac(Session session, byte[] buffer, short header, short length) {
        return header == HEADER && isMac(session, buffer, (short) 0, (short) (length - header - MAC_SIZE), (short) 0);
    }

    /** Makes the C-MAC of EXTERNAL AUTHENTICATE the first R-MAC's ICV; R-MACs begin behind it when its level has them. */
    static void startResponses(Session session) {
        byte[] ram = session.ram;
        Util.arrayCopyNonAtomic(ram, Session.CHAIN, ram, Session.LAST_R_MAC, MAC_SIZE);
        if ((session.level() & Session.R_MAC) != 0) {
            ram[Session.NEXT_R_MAC_MODE] = Session.R_MACS_SENT;
        }
    }

    /**
     * {@inheritDoc} BEGIN R-MAC SESSION and its response are the first to go into the R-MAC, and with them the host's
     * challenge. At level 00 R-MACs are computed and chained, but sent with END R-MAC SESSION alone.
     */
    @Override
    void beginResponses(Session session, byte level, byte[] buffer, short data, short end) {
        byte[] ram = session.ram;
        ram[Session.NEXT_LEVEL] = (byte) (session.level() | level);
        ram[Session.NEXT_R_MAC_MODE] = level == 0 ? Session.R_MACS_KEPT : Session.R_MACS_SENT;
        takeCommand(session, buffer, (short) 0, data, (short) (end - data));
        takeResponse(session, buffer, data, (short) 0, ISO7816.SW_NO_ERROR);
    }

    /** {@inheritDoc} What is sent is the last R-MAC: END R-MAC SESSION itself does not go into any. */
    @Override
    short endResponses(Session session, boolean end, byte[] response) {
        byte[] ram = session.ram;
        if (end) {
            ram[Session.NEXT_LEVEL] &= ~Session.R_MAC;
            ram[Session.NEXT_R_MAC_MODE] = 0;
        }
        return Util.arrayCopyNonAtomic(ram, Session.LAST_R_MAC, response, (short) 0, MAC_SIZE);
    }

    @Override
    short unwrap(Session session, byte[] buffer, short offset, short length) {
        session.step();
        boolean secured = Apdus.isSecured(buffer[offset]);
        if (!secured && isImplicit()) {
            session.leaveCommandsPlain();
        }
        if (secured != ((session.level() & Session.C_MAC) != 0)) {
            session.fail();
        }
        short header = header(buffer, offset, length);
        short dataLength = (short) (length - HEADER);
        if (header != HEADER) {
            session.fail(); // E.4.4 knows one byte of Lc
        }
        if (secured) {
            dataLength = verify(session, buffer, offset, dataLength);
            buffer[offset] = Apdus.withoutSecurity(buffer[offset]);
            buffer[(short) (offset + ISO7816.OFFSET_LC)] = (byte) dataLength;
        }
        session.ram[Session.R_PARTIAL_LENGTH] = -1;
        if (session.ram[Session.R_MAC_MODE] != 0) {
            takeCommand(session, buffer, offset, (short) (offset + HEADER), dataLength);
        }
        return (short) (HEADER + dataLength);
    }

    /** Tells whether sessions begin implicitly: then an unsecured command leaves a session without C-MAC (E.1.6). */
    private boolean isImplicit() {
        return (options & Protocols.I02_EXPLICIT) == 0;
    }

    /** Verifies and decrypts; returns the length of the plain data. */
    private short verify(Session session, byte[] buffer, short offset, short dataLength) {
        dataLength -= MAC_SIZE;
        if (dataLength < 0) {
            session.fail();
        }
        short plain = dataLength;
        if ((session.level() & Session.C_DECRYPTION) != 0 && dataLength > 0) {
            plain = decrypt(session, buffer, (short) (offset + HEADER), dataLength);
        }
        if (!isMac(session, buffer, offset, plain, (short) (dataLength - plain))) {
            session.fail();
        }
        return plain;
    }

    private short decrypt(Session session, byte[] buffer, short offset, short length) {
        if ((short) (length & 7) != 0) {
            session.fail();
        }
        crypto.cbc(Cipher.MODE_DECRYPT, session.ram, Session.S_ENC, buffer, offset, length);
        short end = (short) (offset + length - 1);
        short first = (short) (offset + length - Scp02Crypto.BLOCK);
        while (end > first && buffer[end] == 0) {
            end--;
        }
        if (buffer[end] != (byte) 0x80) {
            session.fail();
        }
        return (short) (end - offset);
    }

    /**
     * Computes the C-MAC over header and plain data, compares it with what stands behind them and the padding, and on
     * success makes it the next ICV.
     */
    private boolean isMac(Session session, byte[] buffer, short offset, short dataLength, short padding) {
        byte[] ram = session.ram;
        boolean unmodified = (options & Protocols.I02_UNMODIFIED) != 0;
        byte cla = (byte) (buffer[offset] & 0x80);
        Util.arrayCopyNonAtomic(ram, Session.CHAIN, ram, ICV, MAC_SIZE);
        if ((options & Protocols.I02_ICV_ENCRYPTION) != 0 && ram[Session.CHAINED] != 0) {
            crypto.encryptSingle(ram, Session.S_MAC, ram, ICV);
        }
        Util.arrayCopyNonAtomic(buffer, offset, ram, Session.SCRATCH, HEADER);
        ram[Session.SCRATCH] = unmodified ? cla : (byte) (cla | 0x04);
        ram[(short) (Session.SCRATCH + ISO7816.OFFSET_LC)] = (byte) (dataLength + (unmodified ? 0 : MAC_SIZE));
        crypto.macBegin(ram, ICV);
        crypto.macUpdate(ram, Session.S_MAC, ram, Session.SCRATCH, HEADER);
        crypto.macUpdate(ram, Session.S_MAC, buffer, (short) (offset + HEADER), dataLength);
        crypto.macFinish(ram, Session.S_MAC, ram, Session.SCRATCH);
        if (!equal(ram, Session.SCRATCH, buffer, (short) (offset + HEADER + dataLength + padding), MAC_SIZE)) {
            return false;
        }
        Util.arrayCopyNonAtomic(ram, Session.SCRATCH, ram, Session.CHAIN, MAC_SIZE);
        ram[Session.CHAINED] = 1;
        return true;
    }

    /** Adds the command, as the host had it before securing it, to the R-MAC; in cases 1 and 2 Lc is 00. */
    private void takeCommand(Session session, byte[] buffer, short offset, short data, short dataLength) {
        byte[] ram = session.ram;
        Util.arrayCopyNonAtomic(buffer, offset, ram, Session.SCRATCH, HEADER);
        ram[Session.SCRATCH] = (byte) (buffer[offset] & 0x80);
        ram[(short) (Session.SCRATCH + ISO7816.OFFSET_LC)] = (byte) dataLength;
        crypto.macBegin(ram, Session.LAST_R_MAC);
        crypto.macUpdate(ram, Session.S_RMAC, ram, Session.SCRATCH, HEADER);
        crypto.macUpdate(ram, Session.S_RMAC, buffer, data, dataLength);
        ram[Session.R_PARTIAL_LENGTH] = crypto.macSuspend(ram, Session.R_STATE);
    }

    /** Adds the response and makes the R-MAC the last, if the command was taken. */
    private void takeResponse(Session session, byte[] response, short offset, short length, short status) {
        byte[] ram = session.ram;
        if (ram[Session.R_PARTIAL_LENGTH] < 0) {
            return;
        }
        crypto.macResume(ram, Session.R_STATE, ram[Session.R_PARTIAL_LENGTH]);
        crypto.macUpdate(ram, Session.S_RMAC, (byte) length);
        crypto.macUpdate(ram, Session.S_RMAC, response, offset, length);
        crypto.macUpdate(ram, Session.S_RMAC, (byte) (status >> 8));
        crypto.macUpdate(ram, Session.S_RMAC, (byte) status);
        crypto.macFinish(ram, Session.S_RMAC, ram, Session.LAST_R_MAC);
        ram[Session.R_PARTIAL_LENGTH] = -1;
    }

    @Override
    void failed(Session session, short status) {
        if (session.ram[Session.R_MAC_MODE] != 0) {
            takeResponse(session, session.ram, (short) 0, (short) 0, status);
        }
    }

    @Override
    short wrap(Session session, byte[] buffer, short offset, short length) {
        byte[] ram = session.ram;
        short dataLength = (short) (length - 2);
        short status = Util.getShort(buffer, (short) (offset + dataLength));
        if (!Apdus.isProtected(status)) {
            failed(session, status);
            Util.setShort(buffer, offset, status);
            return 2;
        }
        if (ram[Session.R_MAC_MODE] == 0 || ram[Session.R_PARTIAL_LENGTH] < 0) {
            return length;
        }
        takeResponse(session, buffer, offset, dataLength, status);
        if (ram[Session.R_MAC_MODE] == Session.R_MACS_SENT) {
            Util.arrayCopyNonAtomic(ram, Session.LAST_R_MAC, buffer, (short) (offset + dataLength), MAC_SIZE);
            dataLength += MAC_SIZE;
        }
        Util.setShort(buffer, (short) (offset + dataLength), status);
        return (short) (dataLength + 2);
    }

    /** {@inheritDoc} Triple DES with the session's data encryption key: ECB in explicit, CBC in implicit sessions. */
    @Override
    short sensitive(Session session, byte mode, byte[] buffer, short offset, short length) {
        if (length == 0 || (short) (length & 7) != 0) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        if (isImplicit()) {
            crypto.cbc(mode, session.ram, Session.DEK, buffer, offset, length);
        } else {
            crypto.ecb(mode, session.ram, Session.DEK, buffer, offset, length);
        }
        return length;
    }
}
