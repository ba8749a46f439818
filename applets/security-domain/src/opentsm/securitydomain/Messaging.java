package opentsm.securitydomain;

/**
 * Secure messaging as one family of protocols does it. It holds no state of a session but what it can load again.
 *
 * <p>Spec: GP Card 2.3.1 clauses 10.8, E.4 (SCP02); GP Amendment D clause 6.2 (SCP03, and SCP11 with it).
 */
abstract class Messaging {
    private static final short EXTENDED_HEADER = 7;
    private static final short HEADER = 5;

    /**
     * Verifies and decrypts a command in place.
     *
     * @param buffer the command from CLA, short or extended (Lc of one byte, or of three)
     * @param length header and command data
     * @return the length of the plain command; its header keeps its form, Lc is that of the plain data, and CLA no
     *     longer says secure messaging
     * @throws javacard.framework.ISOException 6982, after the session has ended
     */
    abstract short unwrap(Session session, byte[] buffer, short offset, short length);

    /**
     * Protects a response in place.
     *
     * @param buffer response data, then the status word; room for 32 bytes more behind it
     * @param length of both
     * @return the length of what is to be sent, status word included; without data for an error status, which is never
     *     protected
     */
    abstract short wrap(Session session, byte[] buffer, short offset, short length);

    /** Encrypts or decrypts sensitive data in place (mode: Cipher.MODE_*); 6A80 for what is not whole blocks. */
    abstract short sensitive(Session session, byte mode, byte[] buffer, short offset, short length);

    /** Checks the MAC of EXTERNAL AUTHENTICATE, which stands behind the data, and makes it the first chaining value. */
    abstract boolean isFirstMac(Session session, byte[] buffer, short header, short length);

    /**
     * Begins an R-MAC session with the next command (BEGIN R-MAC SESSION, which is in the buffer and will not fail).
     *
     * @param level R_MAC, R_MAC and R_ENCRYPTION, or 0: responses are protected as a whole at the end
     */
    abstract void beginResponses(Session session, byte level, byte[] buffer, short data, short end);

    /**
     * Ends the R-MAC session, or not (END R-MAC SESSION).
     *
     * @return the length of the response, which is written from 0 on
     */
    abstract short endResponses(Session session, boolean end, byte[] response);

    /** Takes notice of a command, unwrapped before, that ends with an error status word. */
    void failed(Session session, short status) {
        // Errors are no part of what is chained, unless a protocol says so.
    }

    /** Returns the length of a command's header: 7 in the extended form, which only a command with data has here. */
    static short header(byte[] buffer, short offset, short length) {
        return length > EXTENDED_HEADER && buffer[(short) (offset + HEADER - 1)] == 0 ? EXTENDED_HEADER : HEADER;
    }

    /** Tells whether two strings are equal, without stopping at the first difference. */
    static boolean equal(byte[] a, short aOffset, byte[] b, short bOffset, short length) {
        byte difference = 0;
        for (short i = 0; i < length; i++) {
            difference |= (byte) (a[(short) (aOffset + i)] ^ b[(short) (bOffset + i)]);
        }
        return difference == 0;
    }
}
