package opentsm.runtime;

import javacard.framework.AID;
import javacard.framework.Shareable;
import javacard.framework.Util;
import org.globalplatform.GPSystem;
import org.globalplatform.SecureChannel;

/**
 * What the OPEN does for every application: behind GPSystem and GPCLSystem.
 *
 * <p>Spec: GP Card API 1.7; GP Card 2.3.1 clauses 5.3 and 6.
 */
public final class ApplicationServices {
    private final CardRuntime card;

    ApplicationServices(CardRuntime card) {
        this.card = card;
    }

    private ApplicationEntry caller() {
        ApplicationEntry caller = card.contexts.current;
        Sw.require(caller != null, Sw.CONDITIONS_NOT_SATISFIED);
        return caller;
    }

    public byte state() {
        return caller().state();
    }

    public byte cardState() {
        return card.state();
    }

    public boolean setState(byte state) {
        return setState(caller(), state);
    }

    /**
     * Sets an application's state at the wish of an application: its own (locking itself included), or another's lock
     * with the Global Lock privilege. Security Domains use {@link Services#setState}.
     *
     * @return false when the transition is not allowed; then nothing has changed
     */
    boolean setState(ApplicationEntry entry, byte state) {
        ApplicationEntry caller = caller();
        boolean lock = (state & LifeCycle.LOCKED) != 0;
        if (entry.isIssuerDomain() || entry != caller && !caller.has(Privileges.GLOBAL_LOCK)) {
            return false;
        }
        if (entry != caller && !lock || lock && entry.locked || entry.isLocked() && !lock) {
            return false;
        }
        if (lock) {
            entry.locked = true;
            card.reviewSelections();
            card.contactless.locked(entry, true);
        } else if (LifeCycle.applicationMay(entry.isDomain(), entry.unlockedState, state)) {
            entry.unlockedState = state;
        } else {
            return false;
        }
        card.effects.record("set-state " + entry + " " + Hex.encode(new byte[] {entry.state()}, 0, 1));
        return true;
    }

    /** Returns the secure channel of the caller's Security Domain; null for a domain that is associated with itself. */
    public SecureChannel secureChannel() {
        ApplicationEntry client = caller();
        ApplicationEntry domain = client.domain();
        if (domain == client) {
            return null;
        }
        Shareable shared = sharedObject(domain, client, GPSystem.FAMILY_SECURE_CHANNEL);
        return shared instanceof SecureChannel ? (SecureChannel) shared : null;
    }

    Shareable sharedObject(AID serverAid, byte parameter) {
        for (ApplicationEntry server : card.registry.applications()) {
            if (server.aid().equals(serverAid)) {
                return server.unlockedState == LifeCycle.INSTALLED ? null : sharedObject(server, caller(), parameter);
            }
        }
        return null;
    }

    /** Asks a server for its shareable object (JCRE clause 6.2.4); null when it gives none, or fails. */
    Shareable sharedObject(ApplicationEntry server, ApplicationEntry client, byte parameter) {
        if (server.applet == null) {
            return null;
        }
        Shareable shared;
        try {
            shared = card.contexts.call(server, client, () -> {
                AID clientAid = client == null ? null : client.aid();
                return server.applet.getShareableInterfaceObject(clientAid, parameter);
            });
        } catch (RuntimeException refused) {
            return null;
        }
        return card.contexts.share(shared, server, client);
    }

    public boolean lockCard() {
        return changeCard(Privileges.CARD_LOCK, LifeCycle.CARD_LOCKED);
    }

    public boolean terminateCard() {
        return changeCard(Privileges.CARD_TERMINATE, LifeCycle.CARD_TERMINATED);
    }

    private boolean changeCard(int privilege, byte state) {
        if (!caller().has(privilege) || !LifeCycle.cardMay(card.state(), state)) {
            return false;
        }
        card.setState(state);
        card.effects.record("card-state " + Hex.encode(new byte[] {state}, 0, 1));
        return true;
    }

    /** Returns an application's registry entry if the caller may see it, or null. */
    public ApplicationEntry registryEntry(AID aid) {
        ApplicationEntry caller = caller();
        if (aid == null) {
            return caller;
        }
        for (ApplicationEntry entry : card.registry.applications()) {
            if (entry.aid().equals(aid)) {
                return maySee(caller, entry) ? entry : null;
            }
        }
        return null;
    }

    private static boolean maySee(ApplicationEntry caller, ApplicationEntry entry) {
        return entry.isUnder(caller) || caller.has(Privileges.GLOBAL_REGISTRY);
    }

    public byte secureElementType() {
        return card.secureElementType;
    }

    public short getCardInfo(byte[] buffer, short offset, short info) {
        short length = getCardInfoLength(info);
        return length == 0 ? offset
                : Util.arrayCopyNonAtomic(card.historicalBytes, (short) 0, buffer, offset, length);
    }

    public short getCardInfoLength(short info) {
        return info == GPSystem.CARD_INFO_ATR_HISTORICAL_BYTES ? (short) card.historicalBytes.length : 0;
    }
}
