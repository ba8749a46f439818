package opentsm.runtime;

import com.licel.jcardsim.base.TransientMemory;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.Set;
import javacard.framework.JCSystem;

/**
 * The transient arrays of one application.
 *
 * <p>jCardSim has one such memory a card, and clears it all whenever anything is deselected.
 *
 * <p>Spec: JCRE 3.0.5 clause 5.1.
 */
final class ContextMemory extends TransientMemory {
    private final Set<Object> allOfCard;

    /** @param allOfCard every transient array of the card, by identity; shared by its applications */
    ContextMemory(Set<Object> allOfCard) {
        this.allOfCard = allOfCard;
    }

    static Set<Object> newCardSet() {
        return Collections.newSetFromMap(new IdentityHashMap<Object, Boolean>());
    }

    @Override
    protected void storeArray(Object array, byte event) {
        super.storeArray(array, event);
        allOfCard.add(array);
    }

    @Override
    public byte isTransient(Object object) {
        return allOfCard.contains(object) ? super.isTransient(object) : JCSystem.NOT_A_TRANSIENT_OBJECT;
    }

    void deselected() {
        clearOnDeselect();
    }

    void reset() {
        clearOnReset();
    }

    void forget() {
        allOfCard.removeAll(clearOnDeselect);
        allOfCard.removeAll(clearOnReset);
        forgetBuffers();
    }
}
