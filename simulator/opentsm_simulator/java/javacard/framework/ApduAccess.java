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
     */
    public static void load(APDU apdu, byte[] command, int offset, int length, short expected, byte p3, int channel,
            byte protocol) {
        apdu.load(command, offset, (short) length, expected, p3, (byte) channel, protocol);
    }

    /** Closes the APDU behind process(). */
    public static void close(APDU apdu) {
        apdu.close();
    }
}
