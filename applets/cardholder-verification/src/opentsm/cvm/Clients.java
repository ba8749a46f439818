package opentsm.cvm;

import javacard.framework.AID;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import org.globalplatform.GPRegistryEntry;

/**
 * The registry entries of applications that asked for the service, by which their privileges are checked at each call.
 *
 * <p>The latest are remembered until the card is reset; who was forgotten asks for the service anew.
 */
final class Clients {
    private static final short MOST = 16;

    private final Object[] entries;

    /** Where the next one goes; cleared at reset. */
    private final short[] next;

    Clients() {
        entries = JCSystem.makeTransientObjectArray(MOST, JCSystem.CLEAR_ON_RESET);
        next = JCSystem.makeTransientShortArray((short) 1, JCSystem.CLEAR_ON_RESET);
    }

    void remember(GPRegistryEntry client) {
        for (short i = 0; i < MOST; i++) {
            if (entries[i] == client) {
                return;
            }
        }
        entries[next[0]] = client;
        next[0] = (short) ((short) (next[0] + 1) % MOST);
    }

    /** Tells whether the calling application has the CVM Management privilege now. */
    boolean callerManages() {
        AID caller = JCSystem.getPreviousContextAID();
        for (short i = 0; caller != null && i < MOST; i++) {
            if (is(i, caller)) {
                return ((GPRegistryEntry) entries[i]).isPrivileged(GPRegistryEntry.PRIVILEGE_CVM_MANAGEMENT);
            }
        }
        return false;
    }

    private boolean is(short index, AID caller) {
        GPRegistryEntry entry = (GPRegistryEntry) entries[index];
        if (entry == null) {
            return false;
        }
        try {
            return entry.getAID().equals(caller);
        } catch (ISOException deleted) {
            entries[index] = null;
            return false;
        }
    }
}
