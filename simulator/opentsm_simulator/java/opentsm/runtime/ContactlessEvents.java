package opentsm.runtime;

import java.util.ArrayList;
import java.util.List;
import javacard.framework.Shareable;
import org.globalplatform.contactless.CLApplet;
import org.globalplatform.contactless.CLAppletActivationPolicy;
import org.globalplatform.contactless.CRELApplication;
import org.globalplatform.contactless.CRSApplication;
import org.globalplatform.contactless.GPCLSystem;

/**
 * Tells applications what happened to a contactless application: those of its CREL list, the CRS application, itself.
 *
 * <p>Who is at the origin of a change does not hear of it. What a listener throws concerns nobody else.
 *
 * <p>Spec: GP Amendment C 1.3 clauses 3.10.2 to 3.10.4.
 */
final class ContactlessEvents {
    /** A listener may make changes of its own, which are told too; what goes on and on ends here. */
    private static final int DEEPEST = 8;

    private final CardRuntime card;
    private int depth;

    ContactlessEvents(CardRuntime card) {
        this.card = card;
    }

    /** Tells all who listen. */
    void tell(ApplicationEntry entry, short event) {
        if (card.manufacturing || depth == DEEPEST) {
            return;
        }
        depth++;
        try {
            List<ApplicationEntry> listeners = crels(entry);
            ApplicationEntry crs = crs();
            if (crs != null && !listeners.contains(crs)) {
                listeners.add(crs);
            }
            for (ApplicationEntry listener : listeners) {
                tell(listener, entry, event);
            }
            tellItself(entry, event);
        } finally {
            depth--;
        }
    }

    /** Tells one application of a CREL list, as when it was added to one or removed. */
    void tell(ApplicationEntry listener, ApplicationEntry entry, short event) {
        if (listener == card.contexts.current || listener == entry || card.manufacturing) {
            return;
        }
        Shareable shared = ask(listener, GPCLSystem.GPCL_CREL_APPLICATION);
        if (shared instanceof CRELApplication) {
            call(listener, false, () -> {
                ((CRELApplication) shared).notifyCLEvent(entry, event);
                return true;
            });
        }
    }

    private void tellItself(ApplicationEntry entry, short event) {
        if (entry == card.contexts.current) {
            return;
        }
        Shareable shared = ask(entry, GPCLSystem.GPCL_CL_APPLICATION);
        if (shared instanceof CLApplet) {
            call(entry, false, () -> {
                ((CLApplet) shared).notifyCLEvent(event);
                return true;
            });
        }
    }

    /** Asks the CRS application to decide on what an application may not do itself; false when there is none. */
    boolean request(ApplicationEntry requester, ApplicationEntry target, short event) {
        ApplicationEntry crs = crs();
        Shareable shared = crs == null ? null : ask(crs, GPCLSystem.GPCL_CRS_APPLICATION);
        return shared instanceof CRSApplication
                && call(crs, false, () -> ((CRSApplication) shared).processCLRequest(requester, target, event));
    }

    /** Asks an application whether it takes its activation; one that has no say does. */
    boolean accepts(ApplicationEntry entry) {
        Shareable shared = ask(entry, GPCLSystem.GPCL_CL_APPLICATION_ACTIVATION_POLICY);
        return !(shared instanceof CLAppletActivationPolicy)
                || call(entry, false, () -> ((CLAppletActivationPolicy) shared).acceptActivation());
    }

    /** Returns the applications of an entry's CREL list that are on the card. */
    List<ApplicationEntry> crels(ApplicationEntry entry) {
        List<ApplicationEntry> found = new ArrayList<>();
        for (byte[] name : entry.contactless.crels) {
            ApplicationEntry listener = card.registry.application(name);
            if (listener != null) {
                found.add(listener);
            }
        }
        return found;
    }

    /** Returns the CRS application: what has the Contactless Activation privilege, the Issuer Security Domain apart. */
    private ApplicationEntry crs() {
        for (ApplicationEntry entry : card.registry.applications()) {
            if (entry.has(Privileges.CONTACTLESS_ACTIVATION) && !entry.isDomain()) {
                return entry;
            }
        }
        return null;
    }

    private Shareable ask(ApplicationEntry server, byte parameter) {
        if (server.applet == null || server.unlockedState == LifeCycle.INSTALLED || server.isLocked()) {
            return null;
        }
        return call(server, null, () -> server.applet.getShareableInterfaceObject(null, parameter));
    }

    /** Runs as an application; a transaction that it leaves open is aborted, and nothing that it throws goes on. */
    private <T> T call(ApplicationEntry server, T otherwise, Contexts.Action<T> action) {
        boolean outside = card.getTransactionDepth() == 0;
        try {
            return card.contexts.as(server, null, action);
        } catch (Throwable ignored) {
            return otherwise;
        } finally {
            if (outside) {
                card.abortOpenTransaction();
            }
        }
    }
}
