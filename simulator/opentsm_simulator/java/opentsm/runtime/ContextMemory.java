package opentsm.runtime;

import com.licel.jcardsim.base.TransientMemory;
import java.util.Arrays;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;
import javacard.framework.JCSystem;
import javacard.framework.SystemException;

/**
 * The transient arrays of one application.
 *
 * <p>jCardSim has one such memory a card, and clears it all whenever anything is deselected.
 *
 * <p>Spec: JCRE 3.0.5 clause 5.1.
 */
final class ContextMemory extends TransientMemory {
    private final Memory card;

    /** Null: nothing of the application's has asked for it since the last reset. */
    private transient CardSession session;

    /** @param card the memory of the whole card */
    ContextMemory(Memory card) {
        this.card = card;
    }

    static Set<Object> newCardSet() {
        return Collections.newSetFromMap(new IdentityHashMap<Object, Boolean>());
    }

    @Override
    protected void storeArray(Object array, byte event) {
        if (event != JCSystem.CLEAR_ON_RESET && event != JCSystem.CLEAR_ON_DESELECT) {
            // JC API 3.0.5, JCSystem.makeTransient…Array; before anything is charged.
            SystemException.throwIt(SystemException.ILLEGAL_VALUE);
        }
        if (!isScratch()) {
            card.made(array, event);
            super.storeArray(array, event);
        }
    }

    /** Tells whether jCardSim's algorithms make it, to compute in: some do at each beginning, and never let go of it. */
    private static boolean isScratch() {
        for (StackTraceElement frame : new Throwable().getStackTrace()) {
            String name = frame.getClassName();
            if (name.startsWith("com.licel.jcardsim.crypto.")) {
                return !name.endsWith(".ByteContainer");
            }
            boolean between = name.startsWith("opentsm.runtime.ContextMemory") || name.startsWith("com.licel.jcardsim.base.")
                    || name.equals("javacard.framework.JCSystem");
            if (!between) {
                return false;
            }
        }
        return false;
    }

    @Override
    public byte isTransient(Object object) {
        Heap.Item item = card.heap.find(object);
        return item == null || item.kind == Heap.GLOBAL ? JCSystem.NOT_A_TRANSIENT_OBJECT : item.kind;
    }

    /** jCardSim's knows no arrays of ints. */
    int[] makeIntArray(int length, byte event) {
        int[] array = new int[length];
        storeArray(array, event);
        return array;
    }

    @Override
    protected void zero(List<Object> arrays) {
        super.zero(arrays);
        for (Object array : arrays) {
            if (array instanceof int[]) {
                Arrays.fill((int[]) array, 0);
            }
        }
    }

    void deselected() {
        clearOnDeselect();
    }

    void reset() {
        clearOnReset();
        if (session != null) {
            session.end();
            session = null;
        }
    }

    CardSession session() {
        if (session == null) {
            session = new CardSession();
        }
        return session;
    }

    /** Forgets one array, by identity. */
    void forget(Object array) {
        clearOnDeselect.removeIf(each -> each == array);
        clearOnReset.removeIf(each -> each == array);
    }
}
