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
    private static final byte MOST_HISTORICAL_BYTES = 15;

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
     * Sets an application's state at the wish of an application: its own (locking itself included, not unlocking), or
     * another's lock with the Global Lock privilege; that of the ISD is the card's. Security Domains use
     * {@link Services#setState}.
     *
     * <p>Spec: GP Card API 1.7, GPRegistryEntry.setState; GP Card 2.3.1 clauses 5.3.1.4, 6.6.2.8.
     *
     * @return false when the transition is not allowed; then nothing has changed
     */
    boolean setState(ApplicationEntry entry, byte state) {
        ApplicationEntry caller = caller();
        boolean lock = (state & LifeCycle.LOCKED) != 0;
        boolean isOwn = entry == caller;
        if (entry.isIssuerDomain()) {
            return card.locks.mayCard(caller, state) && changed(() -> card.locks.setCardState(caller, state));
        }
        if (!isOwn && !caller.has(Privileges.GLOBAL_LOCK)) {
            return false;
        }
        if (lock || entry.isLocked()) {
            // Nobody unlocks itself, and a lock that came with a domain above goes with that domain's only.
            boolean allowed = lock ? !entry.locked : !isOwn && entry.locked;
            return allowed && changed(() -> card.locks.setLock(entry, lock));
        }
        if (!isOwn || !LifeCycle.applicationMay(entry.isDomain(), entry.unlockedState, state)) {
            return false;
        }
        return changed(() -> card.locks.setUnlockedState(entry, state));
    }

    private static boolean changed(Runnable change) {
        change.run();
        return true;
    }

    /** Returns the secure channel of the caller's Security Domain; null for a domain that is associated with itself. */
    public SecureChannel secureChannel() {
        ApplicationEntry client = caller();
        ApplicationEntry domain = client.domain();
        if (domain == client) {
            return null;
        }
        Shareable shared = mediated(domain, client, GPSystem.FAMILY_SECURE_CHANNEL);
        return shared instanceof SecureChannel ? (SecureChannel) shared : null;
    }

    Shareable sharedObject(AID serverAid, byte parameter) {
        for (ApplicationEntry server : card.registry.applications()) {
            if (server.aid().equals(serverAid)) {
                if (card.firewall.isElsewhere(server)) {
                    // JCRE clause 6.2.7.2, second step.
                    throw new SecurityException();
                }
                ApplicationEntry client = caller();
                return server.unlockedState == LifeCycle.INSTALLED
                        ? null
                        : card.contexts.share(objectOf(server, client, parameter), server, client);
            }
        }
        return null;
    }

    /** Asks a server for the shareable object of a service that goes through the OPEN; null when it gives none. */
    Shareable mediated(ApplicationEntry server, ApplicationEntry client, byte parameter) {
        return card.contexts.mediate(objectOf(server, client, parameter), server, client);
    }

    /** Asks a server for its shareable object (JCRE clause 6.2.4); null when it gives none, or fails. */
    Shareable objectOf(ApplicationEntry server, ApplicationEntry client, byte parameter) {
        if (server.applet == null) {
            return null;
        }
        if (client == null || server.owner() != client.owner()) {
            card.firewall.guard(server.owner());
        }
        try {
            return card.contexts.call(server, client, () -> {
                AID clientAid = client == null ? null : client.aid();
                return server.applet.getShareableInterfaceObject(clientAid, parameter);
            });
        } catch (RuntimeException refused) {
            return null;
        }
    }

    public boolean lockCard() {
        return changeCard(LifeCycle.CARD_LOCKED);
    }

    public boolean terminateCard() {
        return changeCard(LifeCycle.CARD_TERMINATED);
    }

    private boolean changeCard(byte state) {
        ApplicationEntry caller = caller();
        return card.locks.mayCard(caller, state) && changed(() -> card.locks.setCardState(caller, state));
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

    /** Sets the historical bytes that show from the next power-up on (GP Card API 1.7, setATRHistBytes). */
    public boolean setHistoricalBytes(byte[] buffer, short offset, byte length) {
        if (!caller().has(Privileges.CARD_RESET) || length <= 0 || length > MOST_HISTORICAL_BYTES) {
            return false;
        }
        card.nextHistoricalBytes = new byte[length];
        Util.arrayCopyNonAtomic(buffer, offset, card.nextHistoricalBytes, (short) 0, length);
        return true;
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
