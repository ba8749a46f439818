package opentsm.piv;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/**
 * Who has been authenticated since the application was selected; forgotten when another is, and at reset.
 *
 * <p>Spec: SP 800-73-4 part 1 clause 4.2 (security status), part 2 clause 3.1.1 (what SELECT leaves as it is).
 */
final class SecurityStatus {
    private static final short PIN = 0;
    private static final short PIN_JUST_NOW = 1;
    private static final short ADMINISTRATOR = 2;
    private static final short SIZE = 3;

    /** Not cleared by a deselection as such: the application may be selected again, which changes nothing. */
    private final byte[] status = JCSystem.makeTransientByteArray(SIZE, JCSystem.CLEAR_ON_RESET);

    void clear() {
        Util.arrayFillNonAtomic(status, (short) 0, SIZE, (byte) 0);
    }

    void setPin(boolean verified) {
        status[PIN] = (byte) (verified ? 1 : 0);
        status[PIN_JUST_NOW] = status[PIN];
    }

    boolean isPinVerified() {
        return status[PIN] != 0;
    }

    /** Tells whether the PIN was verified by the command before: what a key with the rule "PIN Always" wants. */
    boolean isPinVerifiedJustNow() {
        return status[PIN_JUST_NOW] != 0;
    }

    /** Ends "just now": a command has passed since the PIN was verified. */
    void passCommand() {
        status[PIN_JUST_NOW] = 0;
    }

    void setAdministrator(boolean authenticated) {
        status[ADMINISTRATOR] = (byte) (authenticated ? 1 : 0);
    }

    void requirePin() {
        require(isPinVerified());
    }

    void requireAdministrator() {
        require(status[ADMINISTRATOR] != 0);
    }

    /** Without secure messaging (a virtual contact interface) most of the application is for the contacts only. */
    static void requireContacts() {
        byte medium = (byte) (APDU.getProtocol() & APDU.PROTOCOL_MEDIA_MASK);
        require(medium == APDU.PROTOCOL_MEDIA_DEFAULT || medium == APDU.PROTOCOL_MEDIA_USB);
    }

    static void require(boolean condition) {
        if (!condition) {
            ISOException.throwIt(ISO7816.SW_SECURITY_STATUS_NOT_SATISFIED);
        }
    }
}
