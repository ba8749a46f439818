package opentsm.runtime;

/**
 * The time from one reset to the next, as one application sees it: with two interfaces, what a reset clears of it stays
 * while the other still runs it ({@link Power#off}).
 *
 * <p>A cipher, a signature or a digest has that of its last beginning, in a {@code transient} field, which images leave out.
 * When it is over, or there is none, what the object knows of a message is gone.
 *
 * <p>Spec: JC API 3.0.5, javacardx.crypto.Cipher, javacard.security.Signature, MessageDigest, Checksum ("a tear or card reset
 * event").
 */
public final class CardSession {
    private boolean ended;

    CardSession() {}

    /** Returns the one of the application that runs. */
    public static CardSession current() {
        return CardRuntime.current().contexts.session();
    }

    /** Tells whether it is over; null always is. */
    public static boolean isOver(CardSession session) {
        return session == null || session.ended;
    }

    void end() {
        ended = true;
    }
}
