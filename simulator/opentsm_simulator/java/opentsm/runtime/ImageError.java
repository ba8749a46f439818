package opentsm.runtime;

/** Why a card image can't be taken. */
public final class ImageError extends RuntimeException {
    private static final long serialVersionUID = 1;

    ImageError(String reason) {
        super(reason);
    }

    ImageError(String reason, Throwable cause) {
        super(reason + ": " + cause, cause);
    }

    /** Refuses the image unless something holds. */
    static void require(boolean holds, String otherwise) {
        if (!holds) {
            throw new ImageError(otherwise);
        }
    }
}
