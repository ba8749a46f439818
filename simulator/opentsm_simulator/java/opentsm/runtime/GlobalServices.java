package opentsm.runtime;

import java.util.HashMap;
import java.util.Map;
import javacard.framework.AID;
import javacard.framework.Shareable;
import org.globalplatform.CVM;
import org.globalplatform.GPSystem;
import org.globalplatform.GlobalService;

/**
 * Services that applications with the Global Service privilege offer to all others.
 *
 * <p>A service has a name of two bytes, family and identifier; an identifier of 00 names the whole family. An application
 * offers what its install parameters (CB) record, and by registering one of these names makes it its own on this card.
 *
 * <p>Spec: GP Card 2.3.1 clauses 6.6.2.7, 8.1, 8.2; GP Card API 1.7, GPSystem.getService and getCVM.
 */
public final class GlobalServices {
    private static final int FAMILY = 0xFF00;

    private final CardRuntime card;

    /** Who registered a name as the only one. */
    private final Map<Integer, ApplicationEntry> unique = new HashMap<>();

    GlobalServices(CardRuntime card) {
        this.card = card;
    }

    private ApplicationEntry caller() {
        ApplicationEntry caller = card.contexts.current;
        Sw.require(caller != null, Sw.CONDITIONS_NOT_SATISFIED);
        return caller;
    }

    /** Makes a name the caller's own: it must be recorded for it, and nobody else's, nor any other of its family. */
    void register(ApplicationEntry entry, short service) {
        requireProvider(entry);
        int name = service & 0xFFFF;
        Sw.require(isRecorded(entry, name), Sw.CONDITIONS_NOT_SATISFIED);
        for (int taken : unique.keySet()) {
            Sw.require(!covers(taken, name) && !covers(name, taken), Sw.CONDITIONS_NOT_SATISFIED);
        }
        unique.put(name, entry);
    }

    void deregister(ApplicationEntry entry, short service) {
        requireProvider(entry);
        Sw.require(unique.get(service & 0xFFFF) == entry, Sw.CONDITIONS_NOT_SATISFIED);
        unique.remove(service & 0xFFFF);
    }

    private void requireProvider(ApplicationEntry entry) {
        Sw.require(caller() == entry && entry.has(Privileges.GLOBAL_SERVICE), Sw.CONDITIONS_NOT_SATISFIED);
    }

    /** Tells whether a name is the other one, or that of its family. */
    private static boolean covers(int name, int other) {
        return name == other || (name & 0xFF) == 0 && name == (other & FAMILY);
    }

    private static boolean isRecorded(ApplicationEntry entry, int name) {
        byte[] recorded = entry.globalServices;
        for (int at = 0; at + 1 < recorded.length; at += 2) {
            if (covers((recorded[at] & 0xFF) << 8 | recorded[at + 1] & 0xFF, name)) {
                return true;
            }
        }
        return false;
    }

    /** Returns the service that an application records, or with no application the one registered as unique; or null. */
    public GlobalService service(AID server, short service) {
        ApplicationEntry client = caller();
        ApplicationEntry provider = provider(server, service & 0xFFFF);
        if (provider == null) {
            return null;
        }
        Shareable shared =
                card.applicationServices().mediated(provider, client, GPSystem.GLOBAL_SERVICE_IDENTIFIER);
        return shared instanceof GlobalService ? (GlobalService) shared : null;
    }

    private ApplicationEntry provider(AID server, int name) {
        ApplicationEntry found = server == null ? registered(name) : recorded(server, name);
        return found != null && found.has(Privileges.GLOBAL_SERVICE) && found.isSelectable() ? found : null;
    }

    private ApplicationEntry registered(int name) {
        for (Map.Entry<Integer, ApplicationEntry> entry : unique.entrySet()) {
            if (covers(entry.getKey(), name) || covers(name, entry.getKey())) {
                return entry.getValue();
            }
        }
        return null;
    }

    private ApplicationEntry recorded(AID server, int name) {
        for (ApplicationEntry entry : card.registry.applications()) {
            if (entry.aid().equals(server)) {
                return isOffered(entry, name) ? entry : null;
            }
        }
        return null;
    }

    /** As {@link #isRecorded}; asked for a family, any service of it will do. */
    private static boolean isOffered(ApplicationEntry entry, int name) {
        if (isRecorded(entry, name)) {
            return true;
        }
        for (int at = 0; (name & 0xFF) == 0 && at + 1 < entry.globalServices.length; at += 2) {
            if ((entry.globalServices[at] & 0xFF) == name >> 8) {
                return true;
            }
        }
        return false;
    }

    /** Returns a cardholder verification method, which is a service of the CVM family; or null. */
    public CVM cvm(byte identifier) {
        short service = (short) (GPSystem.FAMILY_CVM << 8 | identifier & 0xFF);
        ApplicationEntry client = caller();
        ApplicationEntry provider = provider(null, service & 0xFFFF);
        Shareable offered = provider == null ? null
                : card.applicationServices().objectOf(provider, client, GPSystem.GLOBAL_SERVICE_IDENTIFIER);
        if (!(offered instanceof GlobalService)) {
            return null;
        }
        try {
            // What the runtime calls itself switches no context by itself.
            Shareable method = card.contexts.call(provider, client, () -> ((GlobalService) offered)
                    .getServiceInterface(client, service, null, (short) 0, (short) 0));
            return method instanceof CVM ? (CVM) card.contexts.mediate(method, provider, client) : null;
        } catch (RuntimeException refused) {
            return null;
        }
    }

    /** Forgets the names of an application that is gone. */
    void forget(ApplicationEntry entry) {
        unique.values().removeIf(owner -> owner == entry);
    }
}
