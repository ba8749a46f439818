package javacard.framework;

import com.licel.jcardsim.base.ApduCase;
import com.licel.jcardsim.base.SimulatorRuntime;
import com.licel.jcardsim.base.SimulatorSystem;
import java.util.Arrays;

/**
 * The APDU that an applet is given: in place of jCardSim's, whose buffer is too small for a full command with Le, which
 * knows no channels, and whose reset runs by reflection.
 *
 * <p>All of a command's data stand in the buffer when the applet gets it, as a card may have it; the applet is given the
 * data in one piece. The signatures are those of the Java Card API, and the two that jCardSim's runtime looks for.
 *
 * <p>Spec: JC API 3.0.5, javacard.framework.APDU; ISO 7816-4 clause 5.4.1 for the class byte.
 */
public final class APDU {
    public static final byte STATE_INITIAL = 0;
    public static final byte STATE_PARTIAL_INCOMING = 1;
    public static final byte STATE_FULL_INCOMING = 2;
    public static final byte STATE_OUTGOING = 3;
    public static final byte STATE_OUTGOING_LENGTH_KNOWN = 4;
    public static final byte STATE_PARTIAL_OUTGOING = 5;
    public static final byte STATE_FULL_OUTGOING = 6;
    public static final byte STATE_ERROR_NO_T0_GETRESPONSE = -1;
    public static final byte STATE_ERROR_T1_IFD_ABORT = -2;
    public static final byte STATE_ERROR_IO = -3;
    public static final byte STATE_ERROR_NO_T0_REISSUE = -4;

    public static final byte PROTOCOL_TYPE_MASK = 0x0F;
    public static final byte PROTOCOL_T0 = 0;
    public static final byte PROTOCOL_T1 = 1;
    public static final byte PROTOCOL_MEDIA_MASK = (byte) 0xF0;
    public static final byte PROTOCOL_MEDIA_DEFAULT = 0;
    public static final byte PROTOCOL_MEDIA_CONTACTLESS_TYPE_A = (byte) 0x80;
    public static final byte PROTOCOL_MEDIA_CONTACTLESS_TYPE_B = (byte) 0x90;
    public static final byte PROTOCOL_MEDIA_USB = (byte) 0xA0;
    public static final byte PROTOCOL_MEDIA_CONTACTLESS_TYPE_F = (byte) 0xB0;
    public static final byte PROTOCOL_MEDIA_HCI_APDU_GATE = (byte) 0xB0;

    /** Header, 255 bytes of data and Le; also 256 bytes to send behind a header. */
    private static final int SHORT_BUFFER = 5 + 256;

    /** As long as an array of Java Card can be: an applet counts it in a short. */
    private static final int EXTENDED_BUFFER = Short.MAX_VALUE;

    private static final short SHORT_RESPONSE = 256;

    /** IFSD of a T=1 reader that has not negotiated another, less the block's own bytes (ISO 7816-3 clause 11.4.2). */
    private static final short T1_BLOCK = 254;

    private final boolean extended;
    private final byte[] buffer;

    /** Whether more than 256 bytes may answer a short command; the runtime chains them (JC API, setOutgoingLength). */
    boolean longResponses;

    private boolean accessible;
    private boolean receiving;
    private boolean outgoing;
    private boolean lengthSet;
    private boolean chainingForbidden;
    private byte state;
    private byte protocol;
    private byte channel;
    private short dataLength;
    private short expected;
    private short toSend;

    APDU(boolean extended) {
        this.extended = extended;
        buffer = new byte[extended ? EXTENDED_BUFFER : SHORT_BUFFER];
    }

    /** Puts a command into the state in which process() finds it. */
    void load(byte[] command, int offset, short length, short ne, byte p3, byte onChannel, byte overProtocol) {
        Arrays.fill(buffer, (byte) 0);
        System.arraycopy(command, 0, buffer, 0, ISO7816.OFFSET_LC);
        if (extended) {
            Util.setShort(buffer, (short) (ISO7816.OFFSET_LC + 1), length);
        } else {
            buffer[ISO7816.OFFSET_LC] = p3;
        }
        System.arraycopy(command, offset, buffer, dataOffset(), length);
        accessible = true;
        receiving = false;
        outgoing = false;
        lengthSet = false;
        chainingForbidden = false;
        state = STATE_INITIAL;
        dataLength = length;
        expected = ne;
        toSend = 0;
        channel = onChannel;
        protocol = overProtocol;
    }

    /** Closes it: outside process() no applet may see it (JCRE clause 6.2.2). */
    void close() {
        accessible = false;
    }

    /** What jCardSim's runtime calls to reset its protocol; our cards load by {@link ApduAccess}. */
    @SuppressWarnings("unused")
    private void internalReset(byte newProtocol, ApduCase apduCase, byte[] command) {
        accessible = false;
        protocol = newProtocol;
    }

    private short dataOffset() {
        return extended ? (short) (ISO7816.OFFSET_CDATA + 2) : ISO7816.OFFSET_CDATA;
    }

    public byte[] getBuffer() {
        return buffer;
    }

    public static short getInBlockSize() {
        return T1_BLOCK;
    }

    public static short getOutBlockSize() {
        return T1_BLOCK;
    }

    public static byte getProtocol() {
        return SimulatorSystem.instance().getCurrentAPDU().protocol;
    }

    public byte getNAD() {
        return 0;
    }

    public short setOutgoing() throws APDUException {
        require(!outgoing, APDUException.ILLEGAL_USE);
        outgoing = true;
        state = STATE_OUTGOING;
        return expected;
    }

    public short setOutgoingNoChaining() throws APDUException {
        short ne = setOutgoing();
        chainingForbidden = true;
        return ne;
    }

    public void setOutgoingLength(short length) throws APDUException {
        require(outgoing && !lengthSet, APDUException.ILLEGAL_USE);
        require(length >= 0 && (longResponses || length <= SHORT_RESPONSE), APDUException.BAD_LENGTH);
        lengthSet = true;
        toSend = length;
        state = STATE_OUTGOING_LENGTH_KNOWN;
    }

    public short setIncomingAndReceive() throws APDUException {
        require(!receiving && !outgoing, APDUException.ILLEGAL_USE);
        receiving = true;
        state = STATE_FULL_INCOMING;
        return dataLength;
    }

    public short receiveBytes(short offset) throws APDUException {
        require(receiving && !outgoing, APDUException.ILLEGAL_USE);
        require(offset >= 0 && offset <= buffer.length, APDUException.BUFFER_BOUNDS);
        return 0;
    }

    public void sendBytes(short offset, short length) throws APDUException {
        require(offset >= 0 && length >= 0 && offset + length <= buffer.length, APDUException.BUFFER_BOUNDS);
        send(buffer, offset, length);
    }

    public void sendBytesLong(byte[] data, short offset, short length) throws APDUException, SecurityException {
        send(data, offset, length);
    }

    private void send(byte[] data, short offset, short length) {
        require(lengthSet && length <= toSend, APDUException.ILLEGAL_USE);
        SimulatorSystem.instance().sendAPDU(data, offset, length);
        toSend -= length;
        state = toSend == 0 ? STATE_FULL_OUTGOING : STATE_PARTIAL_OUTGOING;
    }

    public void setOutgoingAndSend(short offset, short length) throws APDUException {
        setOutgoing();
        setOutgoingLength(length);
        sendBytes(offset, length);
    }

    public byte getCurrentState() {
        return state;
    }

    public static APDU getCurrentAPDU() throws SecurityException {
        SimulatorRuntime runtime = SimulatorSystem.instance();
        APDU apdu = runtime.getCurrentAPDU();
        if (!apdu.accessible) {
            throw new SecurityException();
        }
        return apdu;
    }

    public static byte[] getCurrentAPDUBuffer() throws SecurityException {
        return getCurrentAPDU().buffer;
    }

    public static byte getCLAChannel() {
        return SimulatorSystem.instance().getCurrentAPDU().channel;
    }

    public static void waitExtension() throws APDUException {
        APDU apdu = SimulatorSystem.instance().getCurrentAPDU();
        require(apdu.accessible && !apdu.chainingForbidden, APDUException.ILLEGAL_USE);
    }

    public boolean isCommandChainingCLA() {
        return (buffer[ISO7816.OFFSET_CLA] & 0x10) != 0;
    }

    public boolean isSecureMessagingCLA() {
        int cla = buffer[ISO7816.OFFSET_CLA];
        return (cla & 0x40) != 0 ? (cla & 0x20) != 0 : (cla & 0x0C) != 0;
    }

    public boolean isISOInterindustryCLA() {
        return (buffer[ISO7816.OFFSET_CLA] & 0x80) == 0;
    }

    public boolean isValidCLA() {
        int cla = buffer[ISO7816.OFFSET_CLA] & 0xFF;
        return cla != 0xFF && (cla & 0xE0) != 0x20;
    }

    public short getIncomingLength() {
        require(receiving && !outgoing, APDUException.ILLEGAL_USE);
        return dataLength;
    }

    public short getOffsetCdata() {
        require(receiving && !outgoing, APDUException.ILLEGAL_USE);
        return dataOffset();
    }

    private static void require(boolean condition, short reason) {
        if (!condition) {
            APDUException.throwIt(reason);
        }
    }
}
