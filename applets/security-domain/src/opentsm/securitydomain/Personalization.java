package opentsm.securitydomain;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import opentsm.open.Entry;
import opentsm.open.Open;

/**
 * Personalization of an application through its Security Domain.
 *
 * <p>INSTALL [for personalization] names the application; the STORE DATA commands that follow go to it, unwrapped, until
 * the last block, any other command, or the end of the selection.
 *
 * <p>Spec: GP Card 2.3.1 clauses 7.3.3, 11.5.2.3.6, 11.11.
 */
final class Personalization {
    private static final byte LAST_BLOCK = (byte) 0x80;

    /** Layout of the state: number of the next block (P2), the selection it belongs to, room for the current one. */
    private static final short BLOCK = 0;

    private static final short SELECTION = 1;
    private static final short NOW = 5;
    private static final short STATE_SIZE = 9;

    /** The application being personalized, and how far: both cleared at reset, and of one selection only. */
    private final Object[] target;

    private final byte[] state;

    Personalization() {
        target = JCSystem.makeTransientObjectArray((short) 1, JCSystem.CLEAR_ON_RESET);
        state = JCSystem.makeTransientByteArray(STATE_SIZE, JCSystem.CLEAR_ON_RESET);
    }

    /** Begins with an application that is associated with this very domain and takes data. */
    void begin(Entry application) {
        Entry self = Authority.ready();
        if (application == self || application.domain() != self || (application.state() & Gp.STATE_LOCKED_BIT) != 0
                || !Open.isPersonalizable(application)) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        target[0] = application;
        state[BLOCK] = 0;
        Open.getSelection(state, SELECTION);
    }

    boolean isActive() {
        Open.getSelection(state, NOW);
        return target[0] != null && Selections.equal(state, SELECTION, NOW);
    }

    /** Ends the personalization of the current selection. */
    void end() {
        if (isActive()) {
            target[0] = null;
        }
    }

    /**
     * Forwards a STORE DATA command, from its class byte on; blocks come in order.
     *
     * @return the length of the application's response, which is copied to the response buffer
     */
    short forward(byte[] buffer, short end, byte[] response) {
        if (buffer[ISO7816.OFFSET_P2] != state[BLOCK]) {
            end();
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        Entry application = (Entry) target[0];
        boolean last = (buffer[ISO7816.OFFSET_P1] & LAST_BLOCK) != 0;
        // Both buffers must be global, so the application answers into the APDU buffer, behind the command.
        short length = Open.personalize(application, buffer, (short) 0, end, buffer, end);
        state[BLOCK]++;
        if (last) {
            end();
        }
        if (length < 0 || length > SecurityDomain.RESPONSE_LIMIT) {
            ISOException.throwIt(ISO7816.SW_UNKNOWN);
        }
        return (short) (Util.arrayCopyNonAtomic(buffer, end, response, (short) 0, length));
    }
}
