package opentsm.runtime;

import java.util.ArrayList;
import java.util.List;
import javacard.framework.Applet;
import javacard.framework.MultiSelectable;
import org.globalplatform.contactless.GPCLRegistryEntry;

/**
 * Selects and deselects applications on logical channels.
 *
 * <p>Spec: GP Card 2.3.1 clauses 6.4.2, 6.4.3, 11.9; JCRE 3.0.5 clause 4.
 */
final class Selection {
    private static final int SHORTEST_AID = 5;

    private final CardRuntime card;
    private int lastSelection;
    private final Registry registry;
    private final Contexts contexts;

    Selection(CardRuntime card) {
        this.card = card;
        this.registry = card.registry;
        this.contexts = card.contexts;
    }

    /**
     * Runs SELECT by name: P1 04.
     *
     * @return null for a name of no application: what is selected stays selected, and the command is its own to answer
     *     (GP Card 2.3.1 clause 6.4.2.1.2; JCRE clause 4.5.2)
     */
    byte[] select(Channel channel, byte[] command, CommandForm form) {
        int occurrence = command[3] & 0x03;
        if ((command[3] & 0xF0) != 0 || occurrence != 0 && occurrence != 2) {
            return Sw.answer(Sw.INCORRECT_P1_P2);
        }
        if (form.dataLength > 16) {
            return Sw.answer(Sw.WRONG_LENGTH);
        }
        byte cardState = card.state();
        if (cardState == LifeCycle.CARD_TERMINATED) {
            return Sw.answer(Sw.FUNCTION_NOT_SUPPORTED);
        }
        if (cardState == LifeCycle.CARD_LOCKED && channel.number != 0) {
            // Clause 6.4.3.1.2: what was left open when the card was locked closes at its next SELECT.
            deselect(channel);
            channel.open = false;
            return Sw.answer(Sw.FUNCTION_NOT_SUPPORTED);
        }
        ApplicationEntry found = find(channel, command, form, occurrence == 2);
        if (found == null) {
            boolean passesOn = occurrence == 0 && channel.selected != null && cardState != LifeCycle.CARD_LOCKED;
            return passesOn ? null : Sw.answer(Sw.NOT_FOUND);
        }
        if (cardState == LifeCycle.CARD_LOCKED && !found.has(Privileges.FINAL_APPLICATION)) {
            return Sw.answer(Sw.FUNCTION_NOT_SUPPORTED);
        }
        if (!mayBeActive(found, channel)) {
            return Sw.answer(Sw.CONDITIONS_NOT_SATISFIED);
        }
        card.reselecting = found == channel.selected;
        deselect(channel);
        if (!activate(channel, found)) {
            return Sw.answer(Sw.NO_APPLICATION);
        }
        if (form.dataLength == Registry.ISSUER_ALIAS.length && isIssuerAlias(command, form)) {
            channel.selectedName = Registry.ISSUER_ALIAS;
        }
        byte[] answer = card.process(channel, command, form, true);
        if (cardState == LifeCycle.CARD_LOCKED && endsWith(answer, Sw.OK)) {
            // Clause 11.9.3.2: the warning that the card is locked.
            answer[answer.length - 2] = (byte) (Sw.WARNING_CARD_LOCKED >> 8);
            answer[answer.length - 1] = (byte) Sw.WARNING_CARD_LOCKED;
        }
        return answer;
    }

    private static boolean endsWith(byte[] answer, short sw) {
        return answer[answer.length - 2] == (byte) (sw >> 8) && answer[answer.length - 1] == (byte) sw;
    }

    /** Returns what a SELECT names, or null. */
    private ApplicationEntry find(Channel channel, byte[] command, CommandForm form, boolean next) {
        if (form.dataLength == 0) {
            return next ? null : registry.issuerDomain();
        }
        List<ApplicationEntry> matches = new ArrayList<>();
        for (ApplicationEntry entry : card.contactless.order.on(channel.side)) {
            if (entry.matches(command, (short) form.dataOffset, (short) form.dataLength)
                    && (entry.isIssuerDomain() || entry.isSelectableOn(channel.side))) {
                // A full match comes first, partial ones in the registry's order.
                matches.add(entry.name.length == form.dataLength ? 0 : matches.size(), entry);
            }
        }
        if (matches.isEmpty() && !next && isIssuerAlias(command, form)) {
            return registry.issuerDomain();
        }
        int position = next ? matches.indexOf(channel.selected) + 1 : 0;
        return position < matches.size() ? matches.get(position) : null;
    }

    private static boolean isIssuerAlias(byte[] command, CommandForm form) {
        if (form.dataLength < SHORTEST_AID || form.dataLength > Registry.ISSUER_ALIAS.length) {
            return false;
        }
        for (int i = 0; i < form.dataLength; i++) {
            if (command[form.dataOffset + i] != Registry.ISSUER_ALIAS[i]) {
                return false;
            }
        }
        return true;
    }

    /** Tells whether an application may become active beside what is active on other channels (JCRE clause 4.2). */
    private boolean mayBeActive(ApplicationEntry entry, Channel on) {
        for (CardInterface side : card.interfaces) {
            for (Channel channel : side.channels) {
                ApplicationEntry active = channel.selected;
                if (channel != on && active != null && active.loadFile() == entry.loadFile()
                        && !(active.multiSelectable && entry.multiSelectable)) {
                    return false;
                }
            }
        }
        return true;
    }

    /** Makes an application the selected one of a channel; false when it refuses, and then nothing is selected. */
    private boolean activate(Channel channel, ApplicationEntry entry) {
        boolean alreadyActive = entry.selections != 0;
        card.enterChannel(channel);
        boolean accepted;
        try {
            accepted = contexts.as(entry, null, () -> {
                Applet applet = entry.applet;
                return alreadyActive ? ((MultiSelectable) applet).select(true) : applet.select();
            });
        } catch (Throwable refused) {
            card.faults.note(refused);
            card.budget.failed(refused);
            accepted = false;
        }
        card.abortOpenTransaction();
        if (accepted) {
            channel.selected = entry;
            channel.selection = ++lastSelection;
            channel.selectedName = entry.name;
            entry.selections++;
        }
        return accepted;
    }

    /** Ends the selection on a channel without a word to the applet: reset, or the loss of power (JCRE clause 3.6). */
    void drop(Channel channel) {
        ApplicationEntry entry = channel.selected;
        channel.forget();
        if (entry != null && --entry.selections == 0) {
            entry.memory.deselected();
        }
    }

    /** Ends the selection on a channel, if there is one; whatever the applet throws is ignored. */
    void deselect(Channel channel) {
        channel.chain = null;
        channel.chainByP1 = null;
        channel.response = null;
        ApplicationEntry entry = channel.selected;
        if (entry == null) {
            return;
        }
        channel.selected = null;
        entry.selections--;
        card.enterChannel(channel);
        boolean stillActive = entry.selections != 0;
        try {
            contexts.as(entry, null, () -> {
                if (stillActive) {
                    ((MultiSelectable) entry.applet).deselect(true);
                } else {
                    entry.applet.deselect();
                }
                return null;
            });
        } catch (Throwable ignored) {
            card.budget.failed(ignored);
            // JCRE clause 3.4: the applet is deselected all the same.
        }
        card.abortOpenTransaction();
        clearDeselected(entry.owner());
    }

    /** Clears what is cleared at deselection, once no applet of a package is active (JCRE clause 5.1). */
    private void clearDeselected(LoadFileEntry context) {
        List<ApplicationEntry> applets = new ArrayList<>();
        for (ApplicationEntry each : registry.applications()) {
            if (each.owner() == context) {
                if (each.selections != 0) {
                    return;
                }
                applets.add(each);
            }
        }
        for (ApplicationEntry each : applets) {
            each.memory.deselected();
        }
    }

    /** Selects what a newly opened channel begins with: the implicitly selectable application, or the default one. */
    void selectDefault(Channel channel) {
        ApplicationEntry chosen = implicit(channel);
        if (chosen == null && !isClosed()) {
            chosen = registry.issuerDomain();
        }
        if (chosen != null && mayBeActive(chosen, channel)) {
            activate(channel, chosen);
        }
    }

    /** Selects on a new channel what is selected on the channel that opened it (clause 6.4.3.1); false when refused. */
    boolean selectAs(Channel channel, ApplicationEntry entry) {
        return mayBeActive(entry, channel) && activate(channel, entry);
    }

    /** Tells whether the card is locked or terminated. */
    private boolean isClosed() {
        return card.state() == LifeCycle.CARD_LOCKED || card.state() == LifeCycle.CARD_TERMINATED;
    }

    private ApplicationEntry implicit(Channel channel) {
        if (isClosed()) {
            // Clauses 5.1.1.4, 5.1.1.5: the final application is all there is, and nothing where it can't be selected.
            ApplicationEntry last = registry.holderOf(Privileges.FINAL_APPLICATION);
            return last.isIssuerDomain() || last.isSelectableOn(channel.side) ? last : null;
        }
        // Table 11-49: b8 contactless, b7 contact, b5 to b1 the channel's number.
        int wanted = (channel.side.contactless() ? 0x80 : 0x40) | channel.number;
        for (ApplicationEntry entry : registry.applications()) {
            for (byte parameter : entry.implicitSelection) {
                if ((parameter & wanted) == wanted && (parameter & 0x1F) == channel.number
                        && entry.isSelectableOn(channel.side) && isAssigned(entry, channel.side)) {
                    return entry;
                }
            }
        }
        ApplicationEntry holder = channel.number == 0 ? registry.holderOf(Privileges.CARD_RESET) : null;
        return holder != null && (holder.isIssuerDomain() || holder.isSelectableOn(channel.side)) ? holder : null;
    }

    /** Tells whether implicit selection is for the protocol of an interface: the contactless one here is type A. */
    private static boolean isAssigned(ApplicationEntry entry, CardInterface side) {
        byte[] protocols = entry.contactless.information.get(GPCLRegistryEntry.INFO_IMPLICIT_SELECTION_PROTOCOLS);
        if (!side.contactless() || protocols == null || protocols.length == 0) {
            return true;
        }
        for (byte protocol : protocols) {
            if (protocol == GPCLRegistryEntry.IMPLICIT_SELECTION_TYPE_A) {
                return true;
            }
        }
        return false;
    }
}
