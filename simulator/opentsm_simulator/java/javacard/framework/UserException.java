package javacard.framework;

/**
 * The exception of an applet's own. In place of jCardSim's, which lacks the constructor without a reason.
 *
 * <p>Spec: Java Card API 3.0.5, javacard.framework.UserException.
 */
public class UserException extends CardException {
    private static final long serialVersionUID = 1;

    public UserException() {
        this((short) 0);
    }

    public UserException(short reason) {
        super(reason);
    }

    public static void throwIt(short reason) throws UserException {
        throw new UserException(reason);
    }
}
