package corpus.library;

import javacard.framework.CardRuntimeException;

/** An exception without text. */
public class Refused extends CardRuntimeException {
    public Refused(short reason) {
        super(reason);
    }

    public static void because(short reason) throws Refused {
        throw new Refused(reason);
    }
}
