package opentsm.securitydomain;

/**
 * What the class byte and the status word of an APDU say.
 *
 * <p>Spec: GP Card 2.3.1 clause 11.1.4 (class byte coding); ISO 7816-4 clause 5.4.1.
 */
final class Apdus {
    private Apdus() {}

    /** Tells whether a class byte has the form for channels 4 to 19. */
    private static boolean isFurther(byte cla) {
        return (cla & 0x40) != 0;
    }

    /** Tells whether a class is none of GlobalPlatform's or the interindustry ones: A0, that of GSM, to BF. */
    static boolean isForeign(byte cla) {
        return (cla & 0xE0) == 0xA0;
    }

    /** Tells whether a class byte says secure messaging. */
    static boolean isSecured(byte cla) {
        return (cla & (isFurther(cla) ? 0x20 : 0x0C)) != 0;
    }

    /** Tells whether more of the same command follows in another APDU. */
    static boolean isChained(byte cla) {
        return (cla & 0x10) != 0;
    }

    /** Returns a class byte that no longer says secure messaging. */
    static byte withoutSecurity(byte cla) {
        return (byte) (cla & (isFurther(cla) ? 0xDF : 0xF3));
    }

    /** Returns a secured class byte as the C-MAC covers it: 84 or 04, that of channel 0 (Amendment D clause 6.2.4). */
    static byte withoutChannel(byte cla) {
        return (byte) (cla & 0x80 | 0x04);
    }

    /** Tells whether a response with this status word is protected: normal and warning processing are, errors not. */
    static boolean isProtected(short status) {
        short first = (short) ((short) (status >> 8) & 0xFF);
        return first == 0x90 || first == 0x62 || first == 0x63;
    }
}
