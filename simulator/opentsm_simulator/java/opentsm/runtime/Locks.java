package opentsm.runtime;

import java.util.ArrayList;

/**
 * States that Security Domains set: of applications, of a domain with all under it, of the card.
 *
 * <p>Spec: GP Card 2.3.1 clauses 5, 9.6, 11.10.
 */
final class Locks {
    private final CardRuntime card;

    Locks(CardRuntime card) {
        this.card = card;
    }

    void setState(ApplicationEntry caller, ApplicationEntry entry, byte state) {
        boolean lock = (state & LifeCycle.LOCKED) != 0;
        boolean wasLocked = entry.locked;
        requireLocker(caller, entry);
        if (lock || entry.locked) {
            // A request for the state an application is in already is refused (clause 11.10.2.2).
            Sw.require(lock != entry.locked, Sw.CONDITIONS_NOT_SATISFIED);
            entry.locked = lock;
        } else {
            // A lock that came with a Security Domain above goes with that domain's only.
            Sw.require(!entry.isLocked()
                    && LifeCycle.applicationMay(entry.isDomain(), entry.unlockedState, state),
                    Sw.CONDITIONS_NOT_SATISFIED);
            entry.unlockedState = state;
        }
        changed("set-state ", entry);
        if (lock != wasLocked) {
            card.contactless.locked(entry, lock);
        }
    }

    void setStateOfAll(ApplicationEntry caller, ApplicationEntry domain, byte state) {
        boolean lock = (state & LifeCycle.LOCKED) != 0;
        Sw.require(domain.isDomain(), Sw.WRONG_DATA);
        requireLocker(caller, domain);
        Sw.require(lock != domain.lockedWithAll, Sw.CONDITIONS_NOT_SATISFIED);
        domain.lockedWithAll = lock;
        changed("set-state-all ", domain);
        for (ApplicationEntry entry : new ArrayList<>(card.registry.applications())) {
            if (entry != domain && entry.isUnder(domain) && !entry.locked) {
                card.contactless.locked(entry, lock);
            }
        }
    }

    private void changed(String what, ApplicationEntry entry) {
        card.reviewSelections();
        card.effects.record(what + entry + " " + Hex.encode(new byte[] {entry.state()}, 0, 1));
    }

    /** Clause 9.6.2: a Security Domain above, directly or not, or one with Global Lock; never the ISD itself. */
    private static void requireLocker(ApplicationEntry caller, ApplicationEntry entry) {
        Sw.require(!entry.isIssuerDomain(), Sw.CONDITIONS_NOT_SATISFIED);
        Sw.require(entry.isUnder(caller) || caller.has(Privileges.GLOBAL_LOCK), Sw.CONDITIONS_NOT_SATISFIED);
    }

    void setCardState(ApplicationEntry caller, byte state) {
        byte from = card.state();
        Sw.require(LifeCycle.cardMay(from, state), Sw.CONDITIONS_NOT_SATISFIED);
        int needed;
        if (state == LifeCycle.CARD_TERMINATED) {
            needed = Privileges.CARD_TERMINATE;
        } else if (state == LifeCycle.CARD_LOCKED || from == LifeCycle.CARD_LOCKED) {
            needed = Privileges.CARD_LOCK;
        } else {
            // Towards SECURED only the Issuer Security Domain leads (clause 5.1.2).
            Sw.require(caller.isIssuerDomain(), Sw.CONDITIONS_NOT_SATISFIED);
            needed = Privileges.SECURITY_DOMAIN;
        }
        Sw.require(caller.has(needed), Sw.CONDITIONS_NOT_SATISFIED);
        card.setState(state);
        card.effects.record("card-state " + Hex.encode(new byte[] {state}, 0, 1));
    }
}
