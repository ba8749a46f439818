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
 * <p>A shareable object of another application is handed out behind a proxy that switches the context for each call, so
 * that inside it the server is the current application and the client the previous one.
 *
 * <p>Spec: JCRE 3.0.5 clause 6.1.
 */
final class Contexts {
    private final Transactions transactions;

    /** Memory for transient arrays that are made while no application runs. */
    private final TransientMemory outside = new TransientMemory();

    ApplicationEntry current;
    ApplicationEntry previous;

    Contexts(Transactions transactions) {
        this.transactions = transactions;
    }

    TransientMemory memory() {
        return current == null ? outside : current.memory;
    }

    AID currentAid() {
        return current == null ? null : current.aid();
    }

    AID previousAid() {
        return previous == null ? null : previous.aid();
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
        ApplicationEntry currentBefore = current;
        ApplicationEntry previousBefore = previous;
        current = server;
        previous = client;
        if (transactions.depth() != 0) {
            transactions.include(server);
        }
        try {
            return action.run();
        } finally {
            current = currentBefore;
            previous = previousBefore;
        }
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

    /** Returns a server's shareable object as a client may hold it; itself when both are one. */
    Shareable share(Shareable object, ApplicationEntry server, ApplicationEntry client) {
        if (object == null || server == client || Proxy.isProxyClass(object.getClass())) {
            return object;
        }
        Class<?>[] interfaces = shareableInterfaces(object.getClass());
        return (Shareable) Proxy.newProxyInstance(loaderOf(object), interfaces, new Switch(object, server));
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
            return isOfCard ? share((Shareable) result, server, client) : result;
        }
    }
}
