package opentsm.runtime;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.globalplatform.contactless.CLAppletEvent;
import org.globalplatform.contactless.GPCLRegistryEntry;

/**
 * The OPEN's contactless side: activation states, groups, parameters, the interface.
 *
 * <p>What is here was authorized before, by {@link ContactlessServices} or a Security Domain.
 *
 * <p>Spec: GP Amendment C 1.3 clause 3.
 */
final class Contactless {
    final ContactlessEvents events;

    /** How often anything here has changed: the global update counter. */
    short updates;

    /** Whether the contactless interface is on: a persistent setting of the whole card. */
    boolean enabled = true;

    final SelectionOrder order;

    private final CardRuntime card;

    Contactless(CardRuntime card) {
        this.card = card;
        this.events = new ContactlessEvents(card);
        this.order = new SelectionOrder(card, this);
    }

    // Activation.

    /**
     * Changes an activation state; a head's group follows it.
     *
     * @param byItself whether the application asks: only then it becomes, or ceases to be, non-activatable
     */
    void change(ApplicationEntry entry, byte state, boolean byItself) {
        Sw.require(!entry.isDomain(), Sw.CONDITIONS_NOT_SATISFIED);
        byte before = entry.contactlessState;
        boolean reserved = state == GPCLRegistryEntry.STATE_CL_NON_ACTIVATABLE
                || before == GPCLRegistryEntry.STATE_CL_NON_ACTIVATABLE;
        Sw.require(byItself || !reserved, Sw.CONDITIONS_NOT_SATISFIED);
        if (state == before) {
            return;
        }
        ApplicationEntry head = entry.contactless.head;
        byte wanted = state;
        if (head != null && state != GPCLRegistryEntry.STATE_CL_NON_ACTIVATABLE) {
            // A member is what its head is: it may come back to that, and go nowhere else on its own.
            Sw.require(before == GPCLRegistryEntry.STATE_CL_NON_ACTIVATABLE, Sw.CONDITIONS_NOT_SATISFIED);
            wanted = head.contactlessState == GPCLRegistryEntry.STATE_CL_ACTIVATED && entry.isSelectable()
                    ? head.contactlessState : GPCLRegistryEntry.STATE_CL_DEACTIVATED;
        }
        List<ApplicationEntry> together = new ArrayList<>();
        together.add(entry);
        for (ApplicationEntry member : members(entry)) {
            boolean able = wanted != GPCLRegistryEntry.STATE_CL_ACTIVATED || member.isSelectable();
            if (able && member.contactlessState != GPCLRegistryEntry.STATE_CL_NON_ACTIVATABLE) {
                together.add(member);
            }
        }
        if (wanted == GPCLRegistryEntry.STATE_CL_ACTIVATED) {
            requireActivatable(entry, together);
        }
        for (ApplicationEntry changed : together) {
            boolean follows = changed != entry && wanted == GPCLRegistryEntry.STATE_CL_NON_ACTIVATABLE;
            set(changed, follows ? GPCLRegistryEntry.STATE_CL_DEACTIVATED : wanted);
        }
    }

    private void requireActivatable(ApplicationEntry entry, List<ApplicationEntry> together) {
        Sw.require(entry.isSelectable(), Sw.CONDITIONS_NOT_SATISFIED);
        Sw.require(entry.mayUse(ContactlessParameters.ACCESS_PROXIMITY), Sw.CONDITIONS_NOT_SATISFIED);
        for (ApplicationEntry each : together) {
            Sw.require(conflicts(each).isEmpty(), Sw.WRONG_DATA);
        }
        for (ApplicationEntry each : together) {
            Sw.require(events.accepts(each), Sw.CONDITIONS_NOT_SATISFIED);
        }
    }

    private void set(ApplicationEntry entry, byte state) {
        if (entry.contactlessState == state) {
            return;
        }
        entry.contactlessState = state;
        card.exchange.reviewSelections();
        updated(entry);
        card.recordEffect("contactless " + entry + " " + Hex.encode(new byte[] {state}, 0, 1));
        short event = CLAppletEvent.EVENT_DEACTIVATED;
        if (state == GPCLRegistryEntry.STATE_CL_ACTIVATED) {
            event = CLAppletEvent.EVENT_ACTIVATED;
        } else if (state == GPCLRegistryEntry.STATE_CL_NON_ACTIVATABLE) {
            event = CLAppletEvent.EVENT_NON_ACTIVATABLE;
        }
        events.tell(entry, event);
    }

    /** Returns the active applications that conflict with an application; those of its group never do. */
    List<ApplicationEntry> conflicts(ApplicationEntry entry) {
        List<ApplicationEntry> found = new ArrayList<>();
        for (ApplicationEntry other : card.registry.applications()) {
            if (other != entry && other.contactlessState == GPCLRegistryEntry.STATE_CL_ACTIVATED
                    && group(other) != group(entry) && ContactlessConflicts.between(entry, other)) {
                found.add(other);
            }
        }
        return found;
    }

    // Groups.

    /** Returns what stands for an application's group: its head, or itself. */
    private static ApplicationEntry group(ApplicationEntry entry) {
        return entry.contactless.head == null ? entry : entry.contactless.head;
    }

    List<ApplicationEntry> members(ApplicationEntry head) {
        List<ApplicationEntry> found = new ArrayList<>();
        for (ApplicationEntry entry : card.registry.applications()) {
            if (entry.contactless.head == head) {
                found.add(entry);
            }
        }
        return found;
    }

    /** Returns the head of that name which lets an application into its group; 6985 when there is none. */
    private ApplicationEntry requireHead(ApplicationEntry entry, byte[] name) {
        ApplicationEntry head = card.registry.application(name);
        Sw.require(head != null && head != entry && head.contactless.head == null, Sw.CONDITIONS_NOT_SATISFIED);
        Sw.require(ContactlessParameters.contains(head.contactless.group, entry.name), Sw.CONDITIONS_NOT_SATISFIED);
        Sw.require(entry.contactless.head == null && entry.contactless.group.isEmpty(), Sw.CONDITIONS_NOT_SATISFIED);
        return head;
    }

    void join(ApplicationEntry entry, byte[] headName) {
        join(entry, requireHead(entry, headName));
    }

    private void join(ApplicationEntry entry, ApplicationEntry head) {
        entry.contactless.head = head;
        updated(entry);
        events.tell(entry, CLAppletEvent.EVENT_GROUP_MEMBER_ADDED);
        boolean active = head.contactlessState == GPCLRegistryEntry.STATE_CL_ACTIVATED && entry.isSelectable();
        if (entry.contactlessState != GPCLRegistryEntry.STATE_CL_NON_ACTIVATABLE) {
            set(entry, active ? head.contactlessState : GPCLRegistryEntry.STATE_CL_DEACTIVATED);
        }
    }

    /** Ends an application's membership; it is on its own then, and not active until somebody activates it. */
    private void leave(ApplicationEntry entry) {
        entry.contactless.head = null;
        updated(entry);
        events.tell(entry, CLAppletEvent.EVENT_GROUP_MEMBER_REMOVED);
        if (entry.contactlessState == GPCLRegistryEntry.STATE_CL_ACTIVATED) {
            set(entry, GPCLRegistryEntry.STATE_CL_DEACTIVATED);
        }
    }

    void authorize(ApplicationEntry head, byte[] member) {
        Sw.require(head.contactless.head == null, Sw.CONDITIONS_NOT_SATISFIED);
        if (ContactlessParameters.add(head.contactless.group, member)) {
            updated(head);
        }
    }

    void unauthorize(ApplicationEntry head, byte[] member) {
        if (ContactlessParameters.remove(head.contactless.group, member)) {
            updated(head);
            ApplicationEntry left = card.registry.application(member);
            if (left != null && left.contactless.head == head) {
                leave(left);
            }
        }
    }

    // CREL lists.

    void addCrel(ApplicationEntry entry, byte[] name) {
        if (ContactlessParameters.add(entry.contactless.crels, name)) {
            crelChanged(entry, name, CLAppletEvent.EVENT_CREL_ADDED);
        }
    }

    void removeCrel(ApplicationEntry entry, byte[] name) {
        if (ContactlessParameters.remove(entry.contactless.crels, name)) {
            crelChanged(entry, name, CLAppletEvent.EVENT_CREL_REMOVED);
        }
    }

    private void crelChanged(ApplicationEntry entry, byte[] name, short event) {
        updated(entry);
        ApplicationEntry listener = card.registry.application(name);
        if (listener != null) {
            events.tell(listener, entry, event);
        }
    }

    // Parameters and information.

    /** Refuses parameters that can't be taken, before anything has changed. */
    void check(ContactlessParameters parameters, ApplicationEntry entry) {
        boolean domainOnly = parameters.accessRestriction != null || parameters.accessDefault != null;
        Sw.require(entry.isDomain() || !domainOnly, Sw.WRONG_DATA);
        if (parameters.head != null) {
            Sw.require(!entry.isDomain() && parameters.groupAdded.isEmpty(), Sw.CONDITIONS_NOT_SATISFIED);
            requireHead(entry, parameters.head);
        }
        Sw.require(parameters.groupAdded.isEmpty() || entry.contactless.head == null, Sw.CONDITIONS_NOT_SATISFIED);
    }

    /** Takes parameters that were checked. */
    void take(ContactlessParameters parameters, ApplicationEntry entry) {
        ContactlessRecord record = entry.contactless;
        if (parameters.activateAtFirst != null) {
            record.activateAtFirst = parameters.activateAtFirst;
        }
        if (parameters.restricted != null) {
            record.restricted = parameters.restricted;
        }
        takeAccess(parameters, entry);
        for (Map.Entry<Short, byte[]> each : parameters.information.entrySet()) {
            setInformation(entry, each.getKey(), each.getValue());
        }
        parameters.groupAdded.forEach(name -> authorize(entry, name));
        parameters.groupRemoved.forEach(name -> unauthorize(entry, name));
        parameters.crelAdded.forEach(name -> addCrel(entry, name));
        parameters.crelRemoved.forEach(name -> removeCrel(entry, name));
        if (parameters.head != null) {
            join(entry, parameters.head);
        }
    }

    private void takeAccess(ContactlessParameters parameters, ApplicationEntry entry) {
        ContactlessRecord record = entry.contactless;
        boolean before = entry.mayUse(ContactlessParameters.ACCESS_PROXIMITY);
        if (parameters.accessRestriction != null) {
            record.accessRestriction = parameters.accessRestriction;
        }
        if (parameters.accessDefault != null) {
            record.accessDefault = parameters.accessDefault;
        }
        if (parameters.access != null) {
            record.access = parameters.access;
        }
        boolean after = entry.mayUse(ContactlessParameters.ACCESS_PROXIMITY);
        card.exchange.reviewSelections();
        if (before != after) {
            events.tell(entry, after ? CLAppletEvent.EVENT_PROXIMITY_INTERFACE_ACCESS_ENABLED
                    : CLAppletEvent.EVENT_PROXIMITY_INTERFACE_ACCESS_DISABLED);
        }
    }

    void setInformation(ApplicationEntry entry, short info, byte[] value) {
        entry.contactless.information.put(info, value);
        updated(entry);
        short event = eventOf(info, value);
        if (event != 0) {
            events.tell(entry, event);
        }
    }

    private static short eventOf(short info, byte[] value) {
        switch (info) {
            case GPCLRegistryEntry.INFO_FAMILY_IDENTIFIER:
                return CLAppletEvent.EVENT_FAMILY_IDENTIFIER;
            case GPCLRegistryEntry.INFO_IMPLICIT_SELECTION_PROTOCOLS:
                return CLAppletEvent.EVENT_IMPLICIT_SELECTION_PROTOCOLS;
            case GPCLRegistryEntry.INFO_CONTINUOUS_PROCESS:
                return value[0] == GPCLRegistryEntry.CONTINUOUS_PROCESS_ENABLED
                        ? CLAppletEvent.EVENT_CONTINUOUS_PROCESS_ON : CLAppletEvent.EVENT_CONTINUOUS_PROCESS_OFF;
            case GPCLRegistryEntry.INFO_DISPLAY_REQUIREMENT:
                return CLAppletEvent.EVENT_DISPLAY_REQUIREMENT;
            case GPCLRegistryEntry.INFO_POLICY_RESTRICTED_APPLICATIONS:
                return CLAppletEvent.EVENT_POLICY_RESTRICTED_APPLICATIONS;
            default:
                // URI to display message: the event has the information's number; the others have no event.
                return info >= GPCLRegistryEntry.INFO_URI && info <= GPCLRegistryEntry.INFO_DISPLAY_MESSAGE ? info : 0;
        }
    }

    void updated(ApplicationEntry entry) {
        entry.contactless.updates++;
        updates++;
    }

    // What happens to applications.

    /** An application was installed, or became selectable. */
    void became(ApplicationEntry entry, boolean selectable) {
        if (entry.isDomain()) {
            return;
        }
        updated(entry);
        events.tell(entry, selectable ? CLAppletEvent.EVENT_SELECTABLE : CLAppletEvent.EVENT_INSTALLED);
        if (selectable) {
            activateAtFirst(entry);
        }
    }

    /** Applications may have been locked or unlocked: what is activated at first is activated again. */
    void locked(ApplicationEntry entry, boolean lock) {
        updated(entry);
        events.tell(entry, lock ? CLAppletEvent.EVENT_LOCKED : CLAppletEvent.EVENT_UNLOCKED);
        if (!lock && !entry.isDomain()) {
            activateAtFirst(entry);
        }
    }

    private void activateAtFirst(ApplicationEntry entry) {
        ApplicationEntry head = entry.contactless.head;
        boolean wanted = entry.contactless.activateAtFirst
                || head != null && head.contactlessState == GPCLRegistryEntry.STATE_CL_ACTIVATED;
        if (!wanted || entry.contactlessState != GPCLRegistryEntry.STATE_CL_DEACTIVATED || !entry.isSelectable()) {
            return;
        }
        try {
            if (head == null) {
                change(entry, GPCLRegistryEntry.STATE_CL_ACTIVATED, false);
            } else {
                set(entry, head.contactlessState);
            }
        } catch (javacard.framework.ISOException conflict) {
            // It is an attempt: what conflicts with an active application stays deactivated.
            return;
        }
    }

    /** An application is about to leave the registry. */
    void deleting(ApplicationEntry entry) {
        events.tell(entry, CLAppletEvent.EVENT_DELETED);
        members(entry).forEach(this::leave);
        order.forget(entry);
        updates++;
    }

    // The interface.

    /** Switches the contactless interface; off, it answers nothing, and what was selected on it is deselected. */
    void enable(boolean on) {
        if (enabled == on) {
            return;
        }
        enabled = on;
        updates++;
        card.exchange.reviewSelections();
        card.recordEffect("contactless-interface " + (on ? "on" : "off"));
    }
}
