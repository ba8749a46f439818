package opentsm.runtime;

import com.licel.jcardsim.base.TransientMemory;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.LinkedHashSet;
import java.util.Set;
import javacard.framework.AID;
import javacard.framework.Shareable;

/**
 * Who is running: the current application, and the one that called it.
 *
 * <p>Translated code switches the context itself where it calls a shareable object of another application
 * ({@link Firewall#enter}). Where the card has no firewall, or the OPEN stands in between, such an object
 * is handed out behind a proxy that does.
 *
 * <p>Spec: JCRE 3.0.5 clause 6.1.
 */
final class Contexts {
    /** Memory for transient arrays that are made while no application runs. */
    private final TransientMemory outside = new TransientMemory();

    private final CardRuntime card;
    ApplicationEntry current;
    ApplicationEntry previous;

    /** The applet that the runtime itself called: the selected one, or one that is being installed. */
    ApplicationEntry selected;

    Contexts(CardRuntime card) {
        this.card = card;
    }

    TransientMemory memory() {
        return current == null ? outside : current.memory;
    }

    /** Returns the session of the application that runs; outside of all, one of its own. */
    CardSession session() {
        return current == null ? new CardSession() : current.memory.session();
    }

    AID currentAid() {
        return current == null ? null : current.aid();
    }

    AID previousAid() {
        return previous == null ? null : previous.aid();
    }

    /** Tells whether the currently active context is the selected applet's (JCRE clause 6.1.5), or the runtime's own. */
    boolean isSelected() {
        return current == null || selected != null && current.owner() == selected.owner();
    }

    /** Something that runs as an application. */
    interface Action<T> {
        T run() throws Throwable;
    }

    /**
     * Runs as an application.
     *
     * @param client whom JCSystem.getPreviousContextAID names meanwhile; null for the runtime
     */
    <T> T as(ApplicationEntry server, ApplicationEntry client, Action<T> action) throws Throwable {
        return as(server, client, current == null ? server : selected, action);
    }

    /** Runs as an application that is being installed: it may make and use what is cleared when it is deselected. */
    <T> T asInstalled(ApplicationEntry server, Action<T> action) throws Throwable {
        return as(server, null, server, action);
    }

    private <T> T as(ApplicationEntry server, ApplicationEntry client, ApplicationEntry chosen, Action<T> action)
            throws Throwable {
        Object before = switchTo(server, client, chosen);
        try {
            return action.run();
        } finally {
            leave(before);
        }
    }

    /** What a switch of the context restores. */
    private static final class Frame {
        final ApplicationEntry current;
        final ApplicationEntry previous;
        final ApplicationEntry selected;

        Frame(ApplicationEntry current, ApplicationEntry previous, ApplicationEntry selected) {
            this.current = current;
            this.previous = previous;
            this.selected = selected;
        }
    }

    private Object switchTo(ApplicationEntry server, ApplicationEntry client, ApplicationEntry chosen) {
        Frame before = new Frame(current, previous, selected);
        current = server;
        previous = client;
        selected = chosen;
        card.firewall.switched();
        return before;
    }

    /** Enters a server's context from its client's; returns what {@link #leave} takes. */
    Object enter(ApplicationEntry server) {
        return switchTo(server, current, selected);
    }

    void leave(Object before) {
        Frame frame = (Frame) before;
        current = frame.current;
        previous = frame.previous;
        selected = frame.selected;
        card.firewall.switched();
    }

    /** As {@link #as}, for actions that throw nothing checked. */
    <T> T call(ApplicationEntry server, ApplicationEntry client, Action<T> action) {
        try {
            return as(server, client, action);
        } catch (RuntimeException | Error thrown) {
            throw thrown;
        } catch (Throwable thrown) {
            throw new IllegalStateException(thrown);
        }
    }

    /**
     * Returns a server's shareable object as a client may hold it: itself where the code of both watches its accesses, or
     * else behind a proxy that switches the context.
     */
    Shareable share(Shareable object, ApplicationEntry server, ApplicationEntry client) {
        if (object == null || server == client || Proxy.isProxyClass(object.getClass())) {
            return object;
        }
        if (client != null && isWatched(server) && isWatched(client)) {
            if (server.owner() != client.owner()) {
                card.firewall.guard(client.owner());
            }
            return object;
        }
        return behindProxy(object, server);
    }

    /**
     * Returns a server's shareable object that the OPEN stands in for, as a client may hold it. Inside it the server is the
     * current application even when both are instances of one package, as Security Domains are of theirs, and code of
     * theirs switches nothing.
     */
    Shareable mediate(Shareable object, ApplicationEntry server, ApplicationEntry client) {
        boolean related = object != null && client != null && server != client && server.owner() == client.owner();
        return related ? behindProxy(object, server) : share(object, server, client);
    }

    private Shareable behindProxy(Shareable object, ApplicationEntry server) {
        Class<?>[] interfaces = shareableInterfaces(object.getClass());
        return (Shareable) Proxy.newProxyInstance(loaderOf(object), interfaces, new Switch(object, server));
    }

    /** Tells whether an application's code, as translated from a CAP file, asks the firewall. */
    private boolean isWatched(ApplicationEntry entry) {
        return card.firewall.isEnabled() && entry.owner().loader != null;
    }

    private static ClassLoader loaderOf(Shareable object) {
        ClassLoader own = object.getClass().getClassLoader();
        return own instanceof CardClassLoader ? ((CardClassLoader) own).forProxies() : own;
    }

    private static Class<?>[] shareableInterfaces(Class<?> type) {
        Set<Class<?>> found = new LinkedHashSet<>();
        for (Class<?> level = type; level != null; level = level.getSuperclass()) {
            for (Class<?> candidate : level.getInterfaces()) {
                if (Shareable.class.isAssignableFrom(candidate)) {
                    found.add(candidate);
                }
            }
        }
        return found.toArray(new Class<?>[0]);
    }

    /** Returns the object behind one that was shared. */
    static Object behind(Object shared) {
        return ((Switch) Proxy.getInvocationHandler(shared)).object;
    }

    static ApplicationEntry serverOf(Object shared) {
        return ((Switch) Proxy.getInvocationHandler(shared)).server;
    }

    private final class Switch implements InvocationHandler {
        private final Shareable object;
        private final ApplicationEntry server;

        Switch(Shareable object, ApplicationEntry server) {
            this.object = object;
            this.server = server;
        }

        @Override
        public Object invoke(Object proxy, Method method, Object[] arguments) throws Throwable {
            if (method.getDeclaringClass() == Object.class) {
                return "equals".equals(method.getName())
                        ? (Object) (proxy == arguments[0])
                        : method.invoke(object, arguments);
            }
            // A handle outlives its server: what is left of a deleted application answers nothing.
            server.live();
            ApplicationEntry client = current;
            Object result = as(server, client, () -> {
                try {
                    return method.invoke(object, arguments);
                } catch (InvocationTargetException thrown) {
                    throw thrown.getCause();
                }
            });
            // What an application hands out is another of its shareable objects; the runtime's own switch nothing.
            boolean isOfCard = result instanceof Shareable
                    && result.getClass().getClassLoader() instanceof CardClassLoader;
            return isOfCard ? mediate((Shareable) result, server, client) : result;
        }
    }
}
