package opentsm.runtime;

/**
 * What a card keeps without power, as bytes; and who takes them, command by command.
 *
 * <p>The bytes are: the version; the load files in the order in which they were loaded, each with the number of its
 * registry entry, what it imports, whether its code can ask the firewall, and its load file data block; the classes, each by its loader, its name, and a
 * fingerprint of its fields; the objects, each by its class and what it takes to make it; what is in the parts of the card
 * that are always there, in static fields, and in the objects, field by field and element by element. Numbers have their
 * high bytes first; an object is named by its number, 0 for null. Classes are not in it: they are translated again from the
 * load files. What is in transient arrays is not in it either.
 *
 * <p>{@link ImageWriter} writes it, {@link ImageReader} reads it.
 */
public final class CardImage {
    static final int VERSION = 1;

    /** The runtime, as the loader of a class; others are numbers of load files. */
    static final int RUNTIME = 0xFFFF;

    /** Takes what the card keeps, before the answer to the command leaves that changed it. */
    public interface Keeper {
        /** Returns whether it is kept; if not, the card answers nothing more before a reset. */
        boolean keep(byte[] state);
    }

    final Keeper keeper;
    private byte[] kept;

    CardImage(Keeper keeper) {
        this.keeper = keeper;
    }

    /** Has what the card keeps taken, when it is not what was taken last. */
    boolean keep(CardRuntime card) {
        byte[] state = ImageWriter.write(card);
        if (java.util.Arrays.equals(state, kept)) {
            return true;
        }
        kept = null;
        if (keeper.keep(state)) {
            kept = state;
            return true;
        }
        return false;
    }
}
