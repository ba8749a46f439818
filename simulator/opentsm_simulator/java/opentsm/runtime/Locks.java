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

    /** SET STATUS of an application or domain by a Security Domain that may lock it. */
    void setState(ApplicationEntry caller, ApplicationEntry entry, byte state) {
        boolean lock = (state & LifeCycle.LOCKED) != 0;
        requireLocker(caller, entry);
        if (lock || entry.locked) {
            // A request for the state an application is in already is refused (clause 11.10.2.2).
            Sw.require(lock != entry.locked, Sw.CONDITIONS_NOT_SATISFIED);
            setLock(entry, lock);
            return;
        }
        // A lock that came with a Security Domain above goes with that domain's only.
        Sw.require(!entry.isLocked() && LifeCycle.applicationMay(entry.isDomain(), entry.unlockedState, state),
                Sw.CONDITIONS_NOT_SATISFIED);
        setUnlockedState(entry, state);
    }

    /** Locks or unlocks one application or domain whose lock was authorized. */
    void setLock(ApplicationEntry entry, boolean lock) {
        entry.locked = lock;
        changed("set-state ", entry);
        card.contactless.locked(entry, lock);
    }

    /** Puts an application or domain that is not locked into another state, which was found to be allowed. */
    void setUnlockedState(ApplicationEntry entry, byte state) {
        entry.unlockedState = state;
        changed("set-state ", entry);
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
        card.exchange.reviewSelections();
        card.recordEffect(what + entry + " " + Hex.encode(new byte[] {entry.state()}, 0, 1));
    }

    /** Clause 9.6.2: a Security Domain above, directly or not, or one with Global Lock; never the ISD itself. */
    private static void requireLocker(ApplicationEntry caller, ApplicationEntry entry) {
        Sw.require(!entry.isIssuerDomain(), Sw.CONDITIONS_NOT_SATISFIED);
        Sw.require(entry.isUnder(caller) || caller.has(Privileges.GLOBAL_LOCK), Sw.CONDITIONS_NOT_SATISFIED);
    }

    void setCardState(ApplicationEntry caller, byte state) {
        Sw.require(mayCard(caller, state), Sw.CONDITIONS_NOT_SATISFIED);
        card.setState(state);
        card.recordEffect("card-state " + Hex.encode(new byte[] {state}, 0, 1));
    }

    /**
     * Tells whether an application may put the card into a state.
     *
     * <p>Spec: clauses 5.1.1, 5.1.2, 6.6.2 (Card Lock, Card Terminate).
     */
    boolean mayCard(ApplicationEntry caller, byte state) {
        byte from = card.state();
        if (!LifeCycle.cardMay(from, state)) {
            return false;
        }
        if (state == LifeCycle.CARD_TERMINATED) {
            return caller.has(Privileges.CARD_TERMINATE);
        }
        if (state == LifeCycle.CARD_LOCKED || from == LifeCycle.CARD_LOCKED) {
            return caller.has(Privileges.CARD_LOCK);
        }
        // Towards SECURED only the Issuer Security Domain leads (clause 5.1.2).
        return caller.isIssuerDomain();
    }
}
