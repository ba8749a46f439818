package javacard.framework;

/** The runtime's way to an {@link APDU}; no class of a card sees it. */
public final class ApduAccess {
    private ApduAccess() {}

    /**
     * Puts a command into the state in which process() finds it.
     *
     * @param command the whole C-APDU
     * @param offset where its data begin
     * @param length how many bytes of data it has
     * @param expected Ne, as setOutgoing tells it
     * @param p3 Lc, or Le where there are no data; not looked at for extended commands
     * @param channel 0 to 19
     * @param protocol protocol and medium
     * @param longResponses whether more than 256 bytes may answer a short command (the applet is an ExtendedLength)
     */
    public static void load(APDU apdu, byte[] command, int offset, int length, short expected, byte p3, int channel,
            byte protocol, boolean longResponses) {
        apdu.load(command, offset, (short) length, expected, p3, (byte) channel, protocol);
        apdu.longResponses = longResponses;
    }

    /** Returns the APDU's buffer. */
    public static byte[] buffer(APDU apdu) {
        return apdu.getBuffer();
    }

    /** Closes the APDU behind process(). */
    public static void close(APDU apdu) {
        apdu.close();
    }
}
