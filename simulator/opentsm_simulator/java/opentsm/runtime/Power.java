package opentsm.runtime;

/**
 * Switches interfaces on and off, and ends selections that are no longer allowed.
 *
 * <p>Spec: JCRE 3.0.5 clauses 3.5, 3.6, 4.1; GP Card 2.3.1 clause 5.1.1.
 */
final class Power {
    private final CardRuntime card;
    private final Selection selection;

    Power(CardRuntime card, Selection selection) {
        this.card = card;
        this.selection = selection;
    }

    void on(CardInterface side) {
        side.powered = true;
        if (!side.contactless() && card.nextHistoricalBytes != null) {
            card.historicalBytes = card.nextHistoricalBytes;
            card.nextHistoricalBytes = null;
        }
        Channel basic = side.channels[0];
        basic.open = true;
        selection.selectDefault(basic);
    }

    /**
     * Closes all channels of an interface. The card as a whole may still have power by the other interface: memory that
     * a reset clears is cleared of applications that are not selected there.
     */
    void off(CardInterface side) {
        for (Channel channel : side.channels) {
            selection.drop(channel);
        }
        side.powered = false;
        if (!side.contactless() || !card.interfaces[0].powered) {
            // The card lost power, or was reset as a whole: by its contacts.
            card.contactless.order.prefer(null);
        }
        for (ApplicationEntry entry : card.registry.applications()) {
            if (entry.selections == 0) {
                entry.memory.reset();
            }
        }
    }

    /**
     * The power was lost in the middle of something: what was begun is undone, and all sessions are over without any applet
     * hearing of it (JCRE 3.0.5 clauses 3.6, 7.5).
     */
    void lost() {
        card.memory.recover();
        for (CardInterface side : card.interfaces) {
            off(side);
        }
    }

    /** Ends selections of what was locked, all on an interface that was switched off, and, on a locked or terminated card, of all but the final application. */
    void review() {
        boolean cardLocked = card.state() == LifeCycle.CARD_LOCKED || card.state() == LifeCycle.CARD_TERMINATED;
        for (CardInterface side : card.interfaces) {
            if (side.contactless() && side.powered && !card.contactless.enabled) {
                // Switched off: it begins anew when it is switched on.
                off(side);
            }
            for (Channel channel : side.channels) {
                if (channel.selected != null && isForbidden(channel.selected, side)) {
                    selection.deselect(channel);
                }
                if (cardLocked && channel.open && channel.selected == null) {
                    channel.open = channel.number == 0;
                    if (channel.open) {
                        selection.selectDefault(channel);
                    }
                }
            }
        }
    }

    private boolean isForbidden(ApplicationEntry entry, CardInterface side) {
        switch (card.state()) {
            case LifeCycle.CARD_TERMINATED:
                // Even the final application's sessions end.
                return true;
            case LifeCycle.CARD_LOCKED:
                return !entry.has(Privileges.FINAL_APPLICATION);
            default:
                return !entry.isIssuerDomain() && !entry.isSelectableOn(side);
        }
    }
}
