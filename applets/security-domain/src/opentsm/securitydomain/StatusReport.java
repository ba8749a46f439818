package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import opentsm.open.Entry;
import opentsm.open.Open;
import org.globalplatform.GPRegistryEntry;

/**
 * GET STATUS: what is in the registry, as far as this domain may see it.
 *
 * <p>A domain sees itself and what is directly or indirectly associated with it; with Global Registry, all. A report that
 * does not fit one response ends with 6310, and goes on where it stopped when the command comes with P2 b1 set.
 *
 * <p>Spec: GP Card 2.3.1 clause 11.4.
 */
final class StatusReport {
    private static final byte LOAD_FILES_AND_MODULES = 0x10;
    private static final byte SCOPES = (byte) 0xF0;

    /** P2 (clause 11.4.2.2): get next; E3 templates, instead of the form of version 2.1. */
    private static final byte NEXT = 0x01;

    private static final byte TEMPLATES = 0x02;

    /** No P1 holds this bit, so it says that there is no report to go on with. */
    private static final byte NO_REPORT = 0x01;

    /** Layout of the state: P1, scope of the last entry, whether there is more, the selection. */
    private static final short P1 = 0;

    private static final short SCOPE = 1;
    private static final short MORE = 2;
    private static final short SELECTION = 3;
    private static final short NOW = 7;
    private static final short STATE_SIZE = 11;

    private final StatusEntry entries;
    private final StatusSearch search;

    /** The entry reported last, and where the report stands: both cleared at reset, and of one selection only. */
    private final Object[] last;

    private final byte[] state;

    StatusReport() {
        entries = new StatusEntry();
        search = new StatusSearch();
        last = JCSystem.makeTransientObjectArray((short) 1, JCSystem.CLEAR_ON_RESET);
        state = JCSystem.makeTransientByteArray(STATE_SIZE, JCSystem.CLEAR_ON_RESET);
    }

    /** Tells whether the last report is to be gone on with (6310). */
    boolean hasMore() {
        return state[MORE] != 0;
    }

    /** Runs GET STATUS and returns the length of the response. */
    short get(byte[] buffer, byte p1, byte p2, short data, short end, byte[] response) {
        if ((p1 & SCOPES) == 0 || (byte) (p1 & ~SCOPES) != 0 || (p2 & 0xFC) != 0) {
            ISOException.throwIt(Gp.SW_INCORRECT_P1P2);
        }
        boolean selective = search.isSelective(buffer, data, end);
        entries.wanted(buffer, data, end, (p2 & TEMPLATES) != 0, (p1 & LOAD_FILES_AND_MODULES) != 0);
        place(p1, (p2 & NEXT) != 0);
        short length = report(buffer, data, end, response);
        // An empty list under the response MAC proves absence; 6A88, which has none, answers a search that failed.
        if (length == 0 && selective) {
            forget();
            ISOException.throwIt(Gp.SW_NOT_FOUND);
        }
        return length;
    }

    /** Begins at the first entry of the highest scope, or behind the last one reported. */
    private void place(byte p1, boolean next) {
        Open.getSelection(state, NOW);
        if (next) {
            if (!hasMore() || state[P1] != p1 || !Selections.equal(state, SELECTION, NOW)) {
                ISOException.throwIt(Gp.SW_CONDITIONS);
            }
            return;
        }
        forget();
        state[P1] = p1;
        state[SCOPE] = Open.SCOPE_ISSUER_DOMAIN;
        Selections.copy(state, NOW, SELECTION);
    }

    private void forget() {
        last[0] = null;
        state[P1] = NO_REPORT;
        state[MORE] = 0;
    }

    private short report(byte[] buffer, short data, short end, byte[] response) {
        Entry self = Open.self();
        boolean all = self.isPrivileged(GPRegistryEntry.PRIVILEGE_GLOBAL_REGISTRY);
        short at = 0;
        while (state[SCOPE] != 0) {
            Entry entry = isAsked() ? Open.next((Entry) last[0], state[SCOPE]) : null;
            if (entry == null) {
                last[0] = null;
                state[SCOPE] = (byte) ((short) (state[SCOPE] & 0xFF) >> 1);
                if (state[SCOPE] == LOAD_FILES_AND_MODULES) {
                    state[SCOPE] = 0;
                }
                continue;
            }
            if ((all || entry.isUnder(self)) && search.finds(entry, buffer, data, end)) {
                short after = entries.write(entry, response, at);
                // An entry that fills more than a response, of a load file with many modules, comes alone.
                if (after > SecurityDomain.RESPONSE_LIMIT && at != 0) {
                    state[MORE] = 1;
                    return at;
                }
                at = after;
            }
            last[0] = entry;
        }
        forget();
        return at;
    }

    /** Tells whether P1 asks for the scope under way; P1 10 asks for load files with their modules. */
    private boolean isAsked() {
        byte asked = state[P1];
        if (state[SCOPE] == Open.SCOPE_LOAD_FILES && (asked & LOAD_FILES_AND_MODULES) != 0) {
            return true;
        }
        return (asked & state[SCOPE]) != 0;
    }
}
