package opentsm.runtime;

import javacard.framework.APDU;
import javacard.framework.Shareable;

/**
 * The applet firewall of a card: which objects the currently active context may access.
 *
 * <p>A context is that of a package, whose applets share it; code of a library runs in its caller's. As long as nothing of
 * another context can have come into a package, its code asks for nothing: it begins to when a shareable object goes
 * out or comes in ({@link #guard}). What may not be stored, it asks always.
 *
 * <p>Objects that the heap does not know are the runtime's own: entry point objects, and global arrays.
 *
 * <p>Spec: JCRE 3.0.5 clause 6.
 */
public final class Firewall {
    private static final int KNOWN = 256;

    private final CardRuntime card;

    /** Whether the card has one. */
    private boolean enabled = true;

    /** What the context was seen to access last: code goes to the same few objects again and again. */
    private transient Object recent0;

    private transient Object recent1;
    private transient Object recent2;
    private transient Object recent3;

    /** The array that install() is called with. */
    private byte[] installing;

    Firewall(CardRuntime card) {
        this.card = card;
    }

    void setEnabled(boolean on) {
        enabled = on;
    }

    boolean isEnabled() {
        return enabled;
    }

    void setInstalling(byte[] array) {
        installing = array;
    }

    // Who owns what.

    private LoadFileEntry active() {
        return contextOf(card.contexts.current);
    }

    private static LoadFileEntry contextOf(ApplicationEntry entry) {
        return entry == null ? null : entry.owner();
    }

    /** Tells whether the runtime itself is the currently active context, or the context owns an object. */
    private boolean owns(Object object) {
        LoadFileEntry active = active();
        if (active == null) {
            return true;
        }
        if (active.known == null) {
            active.known = new Object[KNOWN];
        }
        // What a context was seen to own is looked at first: it spares most look-ups.
        int place = System.identityHashCode(object) & KNOWN - 1;
        if (active.known[place] == object) {
            return true;
        }
        Heap.Item item = card.memory.heap.find(object);
        if (item == null || item.context != active) {
            return false;
        }
        if (item.kind == Heap.CLEAR_ON_DESELECT) {
            // Clause 6.1.5: only while the context is the selected applet's.
            return card.contexts.isSelected();
        }
        active.known[place] = object;
        return true;
    }

    private boolean isRuntimes(Object object) {
        return card.memory.heap.find(object) == null;
    }

    /** Tells whether an array is global (clause 6.2.2): the APDU buffer, install()'s array, one that was made so. */
    private boolean isGlobal(Object array) {
        if (array == installing || card.isApduBuffer(array)) {
            return true;
        }
        Heap.Item item = card.memory.heap.find(array);
        return item != null && item.kind == Heap.GLOBAL;
    }

    private static void deny() {
        throw new SecurityException();
    }

    // What translated code asks, once something of another context may have come into its package.

    /** Fields, and elements and lengths of arrays (clauses 6.2.8.2, 6.2.8.3). */
    public void access(Object object) {
        if (object != recent0 && object != recent1 && object != recent2 && object != recent3) {
            look(object);
        }
    }

    private void look(Object object) {
        if (object == null) {
            return;
        }
        if (!owns(object) && !(object.getClass().isArray() && isOpen(object))) {
            deny();
        }
        recent3 = recent2;
        recent2 = recent1;
        recent1 = recent0;
        recent0 = object;
    }

    /** Forgets what the context accessed last: another one is active. */
    void switched() {
        recent0 = null;
        recent1 = null;
        recent2 = null;
        recent3 = null;
    }

    /** Methods of objects and arrays, and those of interfaces that are not shareable (clauses 6.2.8.4, 5 and 11). */
    public void call(Object object) {
        if (object != recent0 && object != recent1 && object != recent2 && object != recent3) {
            lookAtCall(object);
        }
    }

    private void lookAtCall(Object object) {
        if (object != null && (object.getClass().isArray() || !isRuntimes(object))) {
            look(object);
        }
    }

    /** Casts and tests of objects, to classes and interfaces that are not shareable (clauses 6.2.8.2, 8 and 9). */
    public void cast(Object object) {
        call(object);
    }

    /** Casts to, and tests for, interfaces that are shareable (clause 6.2.8.10). */
    public void castShareable(Object object) {
        if (!(object instanceof Shareable)) {
            call(object);
        }
    }

    /** Exceptions that are thrown (clause 6.2.8.7). */
    public void thrown(Object exception) {
        call(exception);
    }

    /** An array that is global, or of no package: the runtime's own. */
    private boolean isOpen(Object array) {
        return isGlobal(array) || isRuntimes(array);
    }

    /**
     * Enters the context of a shareable object (clause 6.2.8.6).
     *
     * @return what {@link #leave} takes; null where nothing is switched
     */
    public Object enter(Object object) {
        if (object == null || owns(object)) {
            return null;
        }
        Heap.Item item = card.memory.heap.find(object);
        if (item == null) {
            return null;
        }
        ApplicationEntry server = item.instance;
        if (server == null || !(object instanceof Shareable) || isElsewhere(server)) {
            deny();
        }
        // A handle outlives its server: what is left of a deleted application answers nothing.
        server.live();
        guard(server.owner());
        return card.contexts.enter(server);
    }

    public void leave(Object before) {
        if (before != null) {
            card.contexts.leave(before);
        }
    }

    /**
     * Tells whether an applet that can be active once only is, on another channel, and its context is not the selected
     * applet's (clause 4.2).
     */
    boolean isElsewhere(ApplicationEntry server) {
        return !server.multiSelectable && server.selections != 0
                && server.owner() != contextOf(card.contexts.selected);
    }

    /** References that are stored: not those of global arrays and temporary entry points (clauses 6.2.1, 6.2.2). */
    public void stored(Object value) {
        if (value == null || active() == null) {
            return;
        }
        boolean temporary = value instanceof APDU || value instanceof Throwable && isRuntimes(value)
                || value.getClass().isArray() && isGlobal(value);
        if (temporary) {
            deny();
        }
    }

    // When code has to ask.

    /** Has all code that asked before ask again, and no other, in a card that was put together from an image. */
    void restore() {
        for (LoadFileEntry context : card.registry.loadFiles()) {
            if (context.loader != null && context.loader.firewalled) {
                context.loader.guard(context.guarded ? this : null);
            }
        }
    }

    /** Has the code of a package, and of those it imports, ask from now on. */
    void guard(LoadFileEntry context) {
        if (enabled && context != null && context.loader != null && !context.guarded) {
            context.guarded = true;
            card.memory.writes.outdate();
            context.loader.guard(this);
            for (LoadFileEntry imported : context.imports) {
                guard(imported);
            }
        }
    }
}
