package opentsm.runtime;

import java.util.ArrayList;
import java.util.List;
import org.globalplatform.contactless.CLAppletEvent;

/**
 * In which order applications are tried in partial selection: the registry's, which the CRS application changes, and on
 * the contactless interface before it the volatile priority.
 *
 * <p>Spec: GP Amendment C 1.3 clauses 3 and 3.11.4.
 */
final class SelectionOrder {
    private final CardRuntime card;
    private final Contactless contactless;

    /** What comes first until the card loses power: an application, with its group; or null. */
    private ApplicationEntry volatilePriority;

    SelectionOrder(CardRuntime card, Contactless contactless) {
        this.card = card;
        this.contactless = contactless;
    }

    /** An application is about to leave the registry. */
    void forget(ApplicationEntry entry) {
        if (volatilePriority == entry) {
            volatilePriority = null;
        }
    }

    /** Puts an application, with its group, first or last in the order of partial selection. */
    void put(ApplicationEntry entry, boolean first) {
        card.registry.move(withGroup(entry), first);
        contactless.updated(entry);
        card.recordEffect("contactless-order " + entry + (first ? " first" : " last"));
        contactless.events.tell(entry, first ? CLAppletEvent.EVENT_SELECTION_PRIORITY_HIGHEST
                : CLAppletEvent.EVENT_SELECTION_PRIORITY_LOWEST);
    }

    private List<ApplicationEntry> withGroup(ApplicationEntry entry) {
        List<ApplicationEntry> found = new ArrayList<>();
        for (ApplicationEntry other : card.registry.applications()) {
            if (other == entry || other.contactless.head == entry) {
                found.add(other);
            }
        }
        return found;
    }

    /** Gives an application the volatile priority, or takes it from whoever has it (null). */
    void prefer(ApplicationEntry entry) {
        ApplicationEntry before = volatilePriority;
        if (before == entry) {
            return;
        }
        volatilePriority = entry;
        contactless.updates++;
        if (before != null) {
            contactless.events.tell(before, CLAppletEvent.EVENT_VOLATILE_SELECTION_PRIORITY_RESET);
        }
        if (entry != null) {
            contactless.events.tell(entry, CLAppletEvent.EVENT_VOLATILE_SELECTION_PRIORITY_SET);
        }
    }

    /** Returns all applications in the order in which an interface tries them in partial selection. */
    List<ApplicationEntry> on(CardInterface side) {
        ApplicationEntry preferred = volatilePriority;
        if (preferred == null || !side.contactless()) {
            return card.registry.applications();
        }
        List<ApplicationEntry> order = withGroup(preferred);
        for (ApplicationEntry entry : card.registry.applications()) {
            if (entry != preferred && entry.contactless.head != preferred) {
                order.add(entry);
            }
        }
        return order;
    }

    /** Returns an application's place in partial selection among the contactless ones: 1 to 127; 0: volatile priority. */
    byte priorityOf(ApplicationEntry entry) {
        if (volatilePriority != null && (entry == volatilePriority || entry.contactless.head == volatilePriority)) {
            return 0;
        }
        byte place = 1;
        for (ApplicationEntry other : card.registry.applications()) {
            if (other == entry || place == Byte.MAX_VALUE) {
                break;
            }
            if (!other.isDomain() && other.mayUse(ContactlessParameters.ACCESS_PROXIMITY)) {
                place++;
            }
        }
        return place;
    }
}
