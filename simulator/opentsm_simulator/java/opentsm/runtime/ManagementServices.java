package opentsm.runtime;

import java.io.ByteArrayOutputStream;
import java.util.Arrays;
import javacard.framework.Shareable;
import opentsm.open.ContentAuthority;
import opentsm.open.Entry;

/**
 * What the OPEN does for Security Domains when card content is loaded, and when a change needs a token: behind
 * {@link opentsm.open.Open}, whose comments say what each method means.
 *
 * <p>State: the token that the running command brought, what the command did (for its receipt), and the one load that
 * may be under way on the card.
 *
 * <p>Spec: GP Card 2.3.1 clauses 9.1.3, 9.3.5, 9.3.8, annex C.
 */
public final class ManagementServices {
    private final CardRuntime card;
    private final Registry registry;
    private final ContentManagement content;

    /** The token that the running command brought, verified. */
    private Authorization authorization;

    /** The data of the receipt for what the running command did; null when it did nothing that one is given for. */
    private byte[] operation;

    private Loading loading;

    ManagementServices(CardRuntime card) {
        this.card = card;
        this.registry = card.registry;
        this.content = new ContentManagement(card);
    }

    private ApplicationEntry caller() {
        ApplicationEntry caller = card.contexts.current;
        Sw.require(caller != null && caller.has(Privileges.SECURITY_DOMAIN), Sw.CONDITIONS_NOT_SATISFIED);
        return caller;
    }

    /** Tells whether a domain may take part: it is the issuer's, or PERSONALIZED, and not locked. */
    static boolean isReady(ApplicationEntry domain) {
        return domain.isIssuerDomain() || domain.unlockedState == LifeCycle.PERSONALIZED && !domain.isLocked();
    }

    static void requireFree(Registry registry, byte[] aid) {
        Sw.require(registry.find(aid, 0, aid.length) == null, Sw.CONDITIONS_NOT_SATISFIED);
    }

    /** Refuses who manages nothing, and who needs a token and brought none (clauses 9.1.3.2, 9.1.3.3). */
    void requireAuthority(ApplicationEntry caller) {
        boolean own = caller.has(Privileges.AUTHORIZED_MANAGEMENT);
        Sw.require(own || caller.has(Privileges.DELEGATED_MANAGEMENT) && authorization != null,
                Sw.CONDITIONS_NOT_SATISFIED);
    }

    /** Returns the object by which a domain works at the OPEN's request. */
    ContentAuthority authorityOf(ApplicationEntry domain) {
        Sw.require(isReady(domain), Sw.CONDITIONS_NOT_SATISFIED);
        Shareable shared = card.applicationServices().mediated(domain, null, ContentAuthority.PARAMETER);
        Sw.require(shared instanceof ContentAuthority, Sw.CONDITIONS_NOT_SATISFIED);
        return (ContentAuthority) shared;
    }

    /** Returns the domain on whose authority another manages: itself or the first above with Authorized Management. */
    private static ApplicationEntry authorityAbove(ApplicationEntry domain) {
        for (ApplicationEntry entry = domain;; entry = entry.domain()) {
            if (entry.has(Privileges.AUTHORIZED_MANAGEMENT)) {
                return entry;
            }
            if (entry.domain() == entry) {
                return null;
            }
        }
    }

    /**
     * Returns the domain with a privilege in the caller's sub-hierarchy, or null: one that manages on the same authority,
     * else one further down that manages on its own (clauses 9.1.3.1, 9.1.3.6).
     */
    private ApplicationEntry inHierarchyOf(ApplicationEntry caller, int privilege) {
        ApplicationEntry root = authorityAbove(caller);
        ApplicationEntry further = null;
        for (ApplicationEntry entry : registry.applications()) {
            if (root != null && entry.has(privilege) && entry.isUnder(root)) {
                if (authorityAbove(entry) == root) {
                    return entry;
                }
                further = further == null ? entry : further;
            }
        }
        return further;
    }

    public void authorize(byte[] buffer, short offset, short length, short templateOffset, short templateLength,
            short tokenOffset, short tokenLength) {
        ApplicationEntry caller = caller();
        Sw.require(caller.has(Privileges.DELEGATED_MANAGEMENT) && authorization == null, Sw.CONDITIONS_NOT_SATISFIED);
        dropStale();
        ApplicationEntry verifier = inHierarchyOf(caller, Privileges.TOKEN_VERIFICATION);
        Sw.require(verifier != null, Sw.CONDITIONS_NOT_SATISFIED);
        requireReceipts(caller);
        ContentAuthority authority = authorityOf(verifier);
        short hashLength = authority.hashLength(ContentAuthority.TOKEN);
        Sw.require(hashLength >= 0, Sw.CONDITIONS_NOT_SATISFIED);
        byte[] first = isLoading() && loading.combinedCommand != null ? loading.combinedCommand : new byte[0];
        byte[] number = InstallParameters.parseTemplate(buffer, templateOffset, templateLength).tokenIdentifier;
        Sw.require(authority.verifyToken(first, (short) first.length, buffer, offset, length, buffer, templateOffset,
                templateLength, buffer, tokenOffset, tokenLength), Sw.SECURITY_STATUS_NOT_SATISFIED);
        authorization = new Authorization(authority, number, hashLength);
    }

    /** Annex C.1.1.2: where receipts are given and the key is missing, the operation fails. */
    private void requireReceipts(ApplicationEntry caller) {
        ApplicationEntry giver = inHierarchyOf(caller, Privileges.RECEIPT_GENERATION);
        Sw.require(giver == null || authorityOf(giver).hashLength(ContentAuthority.RECEIPT) >= 0,
                Sw.CONDITIONS_NOT_SATISFIED);
    }

    /** Notes what the running command did: the LVs that its receipt covers. */
    void done(byte[]... values) {
        ByteArrayOutputStream data = new ByteArrayOutputStream();
        for (byte[] value : values) {
            if (value.length > 0xFF) {
                data.write(0x82);
                data.write(value.length >> 8);
            } else if (value.length > 0x7F) {
                data.write(0x81);
            }
            data.write(value.length);
            data.write(value, 0, value.length);
        }
        operation = data.toByteArray();
        if (authorization != null) {
            authorization.use();
        }
    }

    public short confirm(byte[] buffer, short offset) {
        ApplicationEntry caller = caller();
        if (operation == null || authorization == null) {
            return offset;
        }
        ApplicationEntry giver = inHierarchyOf(caller, Privileges.RECEIPT_GENERATION);
        byte[] number = authorization.number;
        return giver == null ? offset : authorityOf(giver).confirm(
                operation, (short) operation.length, number, (short) number.length, buffer, offset);
    }

    /** Ends a command: a token that came to nothing is given back. */
    void endCommand() {
        if (authorization != null) {
            boolean taken = loading != null && loading.authorization == authorization;
            if (!taken) {
                authorization.settle();
            }
            authorization = null;
        }
        operation = null;
    }

    // Loading.

    public void beginLoad(byte[] buffer, short loadFileLv, short domainLv, short hashLv, short parametersLv,
            boolean combined, short commandOffset, short commandLength) {
        ApplicationEntry caller = caller();
        dropStale();
        Sw.require(loading == null, Sw.CONDITIONS_NOT_SATISFIED);
        content.requireOpenCard();
        content.requireUnrestricted(caller, combined
                ? Restrictions.LOAD | Restrictions.INSTALL | Restrictions.MAKE_SELECTABLE : Restrictions.LOAD);
        if (combined) {
            // Its token comes with the command that ends the process.
            Sw.require(caller.has(Privileges.AUTHORIZED_MANAGEMENT | Privileges.DELEGATED_MANAGEMENT),
                    Sw.CONDITIONS_NOT_SATISFIED);
        } else {
            requireAuthority(caller);
        }
        byte[] name = Lv.at(buffer, loadFileLv).value();
        Sw.require(name.length >= 5 && name.length <= 16, Sw.WRONG_DATA);
        requireFree(registry, name);
        ApplicationEntry domain = associated(caller, Lv.at(buffer, domainLv));
        InstallParameters parameters = InstallParameters.parse(Lv.longAt(buffer, parametersLv));
        byte[] command = combined ? Arrays.copyOfRange(buffer, commandOffset, commandOffset + commandLength) : null;
        loading = new Loading(card, caller, domain, name, Lv.at(buffer, hashLv).value(), parameters, authorization,
                command);
    }

    private ApplicationEntry associated(ApplicationEntry caller, Lv aid) {
        if (aid.length == 0) {
            return caller;
        }
        RegistryEntry found = registry.find(aid.buffer, aid.offset, aid.length);
        Sw.require(found instanceof ApplicationEntry && ((ApplicationEntry) found).isDomain(),
                Sw.REFERENCED_DATA_NOT_FOUND);
        Sw.require(isReady((ApplicationEntry) found), Sw.CONDITIONS_NOT_SATISFIED);
        return (ApplicationEntry) found;
    }

    private Loading current() {
        ApplicationEntry caller = caller();
        Sw.require(loading != null && loading.loader == caller && loading.selection == card.channel.selection,
                Sw.CONDITIONS_NOT_SATISFIED);
        return loading;
    }

    public boolean isLoading() {
        ApplicationEntry caller = caller();
        return loading != null && loading.loader == caller && loading.selection == card.channel.selection;
    }

    public void load(byte[] buffer, short offset, short length, boolean last) {
        Loading current = current();
        boolean whole = false;
        try {
            content.requireOpenCard();
            current.add(buffer, offset, length);
            if (last) {
                current.verify();
                if (current.combinedCommand == null) {
                    finish(current);
                }
            }
            whole = true;
        } finally {
            if (!whole) {
                abortLoad();
            }
        }
    }

    private void finish(Loading current) {
        LoadFileEntry loaded = current.register();
        authorization = current.authorization;
        loading = null;
        content.record("load " + loaded);
        done(loaded.name, loaded.domain().name);
    }

    public Entry installLoaded(byte[] buffer, short loadFileLv, short moduleLv, short instanceLv, short privilegesLv,
            short parametersLv) {
        Loading current = current();
        Sw.require(current.combinedCommand != null, Sw.CONDITIONS_NOT_SATISFIED);
        ApplicationEntry caller = caller();
        boolean whole = false;
        LoadFileEntry loaded = null;
        try {
            requireAuthority(caller);
            Lv named = Lv.at(buffer, loadFileLv);
            Sw.require(named.length == 0 || current.isNamed(named.value()), Sw.WRONG_DATA);
            Sw.require(authorization == null || current.isHashedFor(authorization), Sw.CONDITIONS_NOT_SATISFIED);
            loaded = current.register();
            ApplicationEntry entry = content.install(caller, loaded, buffer, moduleLv, instanceLv, privilegesLv,
                    parametersLv, true);
            content.record("load " + loaded);
            done(loaded.name, entry.name, loaded.domain().name);
            whole = true;
            return entry;
        } finally {
            if (!whole && loaded != null) {
                registry.remove(loaded);
            }
            loading = null;
        }
    }

    /** Gives up the load under way, if there is one of this caller's; its token can be used again. */
    public void abortLoad() {
        if (isLoading()) {
            drop();
        }
    }

    private void drop() {
        if (loading.authorization != null) {
            loading.authorization.settle();
        }
        loading = null;
    }

    /** Forgets a load whose selection has ended: with a reset, say. */
    private void dropStale() {
        if (loading != null && !card.services().isInForce(loading.selection)) {
            drop();
        }
    }
}
