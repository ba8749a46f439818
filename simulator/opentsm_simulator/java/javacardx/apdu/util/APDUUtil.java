package javacardx.apdu.util;

/**
 * What a class byte says: in place of jCardSim's, which answers nothing to all of them.
 *
 * <p>Spec: JC API 3.0.5, javacardx.apdu.util.APDUUtil; ISO/IEC 7816-4:2013 5.4.1.
 */
public class APDUUtil {
    private APDUUtil() {}

    /** Tells whether it is of the form for channels 4 to 19. */
    private static boolean isFurther(byte cla) {
        return (cla & 0x40) != 0;
    }

    public static byte getCLAChannel(byte cla) {
        return (byte) (isFurther(cla) ? (cla & 0x0F) + 4 : cla & 0x03);
    }

    public static boolean isSecureMessagingCLA(byte cla) {
        return (cla & (isFurther(cla) ? 0x20 : 0x0C)) != 0;
    }

    public static boolean isCommandChainingCLA(byte cla) {
        return (cla & 0x10) != 0;
    }

    public static boolean isISOInterindustryCLA(byte cla) {
        return (cla & 0x80) == 0;
    }

    public static boolean isValidCLA(byte cla) {
        return cla != (byte) 0xFF && (cla & 0xE0) != 0x20;
    }
}
