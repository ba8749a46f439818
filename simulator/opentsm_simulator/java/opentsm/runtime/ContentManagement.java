package opentsm.runtime;

import com.licel.jcardsim.utils.BiConsumer;
import java.util.Arrays;
import java.util.List;
import javacard.framework.AID;
import javacard.framework.Applet;
import javacard.framework.AppletEvent;
import javacard.framework.ISOException;
import javacard.framework.SystemException;
import opentsm.open.Entry;

/**
 * Installs, extradites, updates and deletes.
 *
 * <p>Spec: GP Card 2.3.1 clause 9.
 */
final class ContentManagement {
    private final CardRuntime card;
    private final Registry registry;

    ContentManagement(CardRuntime card) {
        this.card = card;
        this.registry = card.registry;
    }

    /** Refuses callers without Authorized Management, or Delegated Management and a token. */
    void requireManager(ApplicationEntry caller) {
        card.management().requireAuthority(caller);
    }

    /** Refuses what the card, or the caller, was restricted from doing (table 11-53). */
    void requireUnrestricted(ApplicationEntry caller, int restriction) {
        Sw.require(((card.restrictions | caller.restrictions) & restriction) == 0, Sw.CONDITIONS_NOT_SATISFIED);
    }

    /** Refuses all on a card that is locked (clause 9.1.2). */
    void requireOpenCard() {
        byte state = card.state();
        Sw.require(state != LifeCycle.CARD_LOCKED && state != LifeCycle.CARD_TERMINATED, Sw.CONDITIONS_NOT_SATISFIED);
    }

    /** Refuses managers that the entry is not, directly or indirectly, associated with. */
    void requireManages(ApplicationEntry caller, RegistryEntry entry) {
        requireManager(caller);
        Sw.require(entry.isUnder(caller), Sw.CONDITIONS_NOT_SATISFIED);
    }

    ApplicationEntry install(ApplicationEntry domain, byte[] buffer, short loadFileLv, short moduleLv,
            short instanceLv, short privilegesLv, short parametersLv, boolean makeSelectable) {
        Lv loadFile = Lv.at(buffer, loadFileLv);
        RegistryEntry found = null;
        if (loadFile.length != 0) {
            found = registry.find(buffer, loadFile.offset, loadFile.length);
            Sw.require(found instanceof LoadFileEntry, Sw.REFERENCED_DATA_NOT_FOUND);
        }
        ApplicationEntry entry = install(domain, (LoadFileEntry) found, buffer, moduleLv, instanceLv, privilegesLv,
                parametersLv, makeSelectable);
        card.management().done(entry.module().loadFile().name, entry.name);
        return entry;
    }

    /**
     * Installs an instance of a module.
     *
     * @param domain who installs it; null for the Issuer Security Domain itself
     * @param loadFile the module's load file; null when the module's AID says it
     */
    ApplicationEntry install(ApplicationEntry domain, LoadFileEntry loadFile, byte[] buffer, short moduleLv,
            short instanceLv, short privilegesLv, short parametersLv, boolean makeSelectable) {
        requireOpenCard();
        if (domain != null) {
            requireUnrestricted(domain,
                    makeSelectable ? Restrictions.INSTALL | Restrictions.MAKE_SELECTABLE : Restrictions.INSTALL);
        }
        ModuleEntry module = module(loadFile, Lv.at(buffer, moduleLv));
        ApplicationEntry fileDomain = module.loadFile().domain();
        // An SD uses load files of its own, of the domains above it, and of those under it.
        Sw.require(domain == null || domain.isUnder(fileDomain) || fileDomain.isUnder(domain),
                Sw.CONDITIONS_NOT_SATISFIED);
        Lv privilegesField = Lv.at(buffer, privilegesLv);
        int privileges = Privileges.parseNew(buffer, privilegesField.offset, privilegesField.length);
        // Card Reset comes with being selectable (clause 11.5.2.3.2).
        Sw.require(makeSelectable || card.manufacturing || (privileges & Privileges.CARD_RESET) == 0, Sw.WRONG_DATA);
        Privileges.check(privileges, 0, domain == null || domain.isIssuerDomain() || card.manufacturing);
        requireFree(privileges, null);
        InstallParameters parameters = InstallParameters.parse(Lv.longAt(buffer, parametersLv));
        byte[] name = Lv.at(buffer, instanceLv).value();
        Sw.require(name.length >= 5 && name.length <= 16, Sw.WRONG_DATA);
        ManagementServices.requireFree(registry, name);

        boolean isDomain = (privileges & Privileges.SECURITY_DOMAIN) != 0;
        byte kind = !isDomain ? Entry.KIND_APPLICATION : domain == null ? Entry.KIND_ISSUER_DOMAIN : Entry.KIND_DOMAIN;
        // Clause 9.3.3: a domain is its installer's, an application its load file's domain's; but what is made of a
        // load file that belongs to a domain above is its installer's too, who could not manage it otherwise.
        boolean fromBelow = domain != null && !isDomain && fileDomain.isUnder(domain);
        ApplicationEntry entry = new ApplicationEntry(card, kind, name, fromBelow ? fileDomain : domain, module);
        if (domain == null) {
            entry.associate(entry);
        }
        entry.privileges = privileges;
        card.contactless.check(parameters.contactless, entry);
        registry.add(entry);
        boolean done = false;
        try {
            take(parameters, entry);
            new Installer(entry, parameters.application).run();
            done = true;
        } finally {
            if (!done) {
                registry.remove(entry);
                card.globalServices().forget(entry);
            }
        }
        if (makeSelectable && entry.unlockedState == LifeCycle.INSTALLED) {
            entry.unlockedState = LifeCycle.SELECTABLE;
        }
        record("install " + entry);
        card.contactless.became(entry, false);
        if (makeSelectable) {
            card.contactless.became(entry, true);
        }
        return entry;
    }

    private ModuleEntry module(LoadFileEntry loadFile, Lv aid) {
        if (aid.length == 0 && loadFile != null && loadFile.modules.size() == 1) {
            return loadFile.modules.get(0);
        }
        ModuleEntry module = registry.findModule(loadFile, aid.buffer, aid.offset, aid.length);
        Sw.require(module != null, Sw.REFERENCED_DATA_NOT_FOUND);
        return module;
    }

    /** Refuses a second default selected or final application (clauses 6.6.2.3, 6.6.2.10); the ISD gives them up. */
    private void requireFree(int privileges, ApplicationEntry receiver) {
        for (int single : new int[] {Privileges.CARD_RESET, Privileges.FINAL_APPLICATION}) {
            ApplicationEntry holder = registry.holderOf(single);
            boolean free = holder == null || holder.isIssuerDomain() || holder == receiver;
            Sw.require((privileges & single) == 0 || free, Sw.CONDITIONS_NOT_SATISFIED);
        }
    }

    private void take(InstallParameters parameters, ApplicationEntry entry) {
        if (parameters.implicitSelection != null) {
            entry.implicitSelection = parameters.implicitSelection;
        }
        if (parameters.globalServices != null) {
            entry.globalServices = parameters.globalServices;
        }
        card.contactless.take(parameters.contactless, entry);
        if (parameters.provider != null) {
            entry.provider = parameters.provider;
        }
        entry.memoryResources.putAll(parameters.memory);
        card.memory.limits.requireReserved(entry);
    }

    void makeSelectable(ApplicationEntry caller, ApplicationEntry entry, byte[] buffer, short privilegesLv,
            short parametersLv) {
        requireOpenCard();
        requireUnrestricted(caller, Restrictions.MAKE_SELECTABLE);
        Sw.require(entry.unlockedState == LifeCycle.INSTALLED, Sw.CONDITIONS_NOT_SATISFIED);
        int privileges = newPrivileges(caller, entry, buffer, privilegesLv);
        InstallParameters parameters = InstallParameters.parse(Lv.longAt(buffer, parametersLv));
        card.contactless.check(parameters.contactless, entry);
        entry.privileges = privileges;
        take(parameters, entry);
        entry.unlockedState = LifeCycle.SELECTABLE;
        record("make-selectable " + entry);
        card.contactless.became(entry, true);
        card.management().done(entry.loadFile().name, entry.name);
    }

    /** Updates an entry, and extradites it when a new domain is given: both or nothing (clause 11.5.2.3.5). */
    void updateRegistry(ApplicationEntry caller, ApplicationEntry entry, ApplicationEntry newDomain, byte[] buffer,
            short privilegesLv, short parametersLv) {
        requireOpenCard();
        requireUnrestricted(caller, Restrictions.REGISTRY_UPDATE);
        int privileges = newPrivileges(caller, entry, buffer, privilegesLv);
        Lv field = Lv.longAt(buffer, parametersLv);
        InstallParameters parameters = InstallParameters.parse(field);
        card.contactless.check(parameters.contactless, entry);
        // Only Security Domains manage anything that they could be restricted from.
        Sw.require(parameters.restrictions == 0 || entry.isDomain(), Sw.CONDITIONS_NOT_SATISFIED);
        byte[] oldDomain = newDomain == null ? new byte[0] : entry.domain().name;
        if (newDomain != null) {
            requireUnrestricted(caller, Restrictions.EXTRADITION);
            requireExtraditable(entry, newDomain);
            entry.associate(newDomain);
        }
        entry.privileges = privileges;
        entry.restrictions |= parameters.restrictions;
        take(parameters, entry);
        card.exchange.reviewSelections();
        if (newDomain != null) {
            record("extradite " + entry + " " + newDomain);
        }
        record("registry-update " + entry);
        card.management().done(oldDomain, entry.name, newDomain == null ? new byte[0] : newDomain.name,
                Lv.at(buffer, privilegesLv).value(), field.value());
    }

    /** Takes functions from the whole card, for ever: registry update without an application (clause 11.5.2.3.7). */
    void restrict(ApplicationEntry caller, byte[] buffer, short parametersLv) {
        requireOpenCard();
        requireUnrestricted(caller, Restrictions.REGISTRY_UPDATE);
        Sw.require(caller.has(Privileges.GLOBAL_LOCK), Sw.CONDITIONS_NOT_SATISFIED);
        Lv field = Lv.longAt(buffer, parametersLv);
        InstallParameters parameters = InstallParameters.parse(field);
        Sw.require(parameters.restrictions != 0, Sw.WRONG_DATA);
        card.restrictions |= parameters.restrictions;
        record("restrict " + Hex.encode(new byte[] {(byte) parameters.restrictions}, 0, 1));
        byte[] none = {};
        card.management().done(none, none, none, none, field.value());
    }

    private int newPrivileges(ApplicationEntry caller, ApplicationEntry entry, byte[] buffer, short privilegesLv) {
        Lv field = Lv.at(buffer, privilegesLv);
        if (field.length == 0) {
            return entry.privileges;
        }
        int privileges = Privileges.parse(buffer, field.offset, field.length);
        Privileges.check(privileges, entry.privileges, caller.isIssuerDomain());
        // What is installed as a Security Domain stays one, and nothing becomes one (clause 6.6.2).
        Sw.require(((privileges ^ entry.privileges) & Privileges.SECURITY_DOMAIN) == 0, Sw.CONDITIONS_NOT_SATISFIED);
        requireFree(privileges, entry);
        return privileges;
    }

    void extradite(ApplicationEntry caller, RegistryEntry entry, ApplicationEntry newDomain) {
        requireOpenCard();
        requireUnrestricted(caller, Restrictions.EXTRADITION);
        requireExtraditable(entry, newDomain);
        byte[] oldDomain = entry.domain().name;
        entry.associate(newDomain);
        if (entry instanceof LoadFileEntry) {
            for (ModuleEntry module : ((LoadFileEntry) entry).modules) {
                module.associate(newDomain);
            }
        }
        card.exchange.reviewSelections();
        record("extradite " + entry + " " + newDomain);
        card.management().done(oldDomain, entry.name, newDomain.name);
    }

    private void requireExtraditable(RegistryEntry entry, ApplicationEntry newDomain) {
        Sw.require(!(entry instanceof ModuleEntry) && entry != registry.issuerDomain(), Sw.CONDITIONS_NOT_SATISFIED);
        Sw.require(newDomain.isDomain() && newDomain.isSelectable() || newDomain.isIssuerDomain(),
                Sw.CONDITIONS_NOT_SATISFIED);
        // A domain may be extradited to itself, never to one under it: nothing would be above both.
        Sw.require(newDomain == entry || !(entry instanceof ApplicationEntry) || !newDomain.isUnder(entry),
                Sw.CONDITIONS_NOT_SATISFIED);
        // Clause 9.4.1: a load file comes to a domain that verifies DAPs by being loaded with one, not by extradition.
        Sw.require(!(entry instanceof LoadFileEntry) || !newDomain.has(Privileges.DAP_VERIFICATION),
                Sw.CONDITIONS_NOT_SATISFIED);
    }

    void delete(ApplicationEntry caller, RegistryEntry entry, boolean related) {
        requireOpenCard();
        requireUnrestricted(caller, Restrictions.DELETE);
        byte[] name = entry.name;
        if (entry instanceof LoadFileEntry) {
            LoadFileEntry loadFile = (LoadFileEntry) entry;
            List<ApplicationEntry> instances = registry.instancesOf(loadFile);
            Sw.require(related || instances.isEmpty(), Sw.CONDITIONS_NOT_SATISFIED);
            Sw.require(!registry.isImported(loadFile), Sw.CONDITIONS_NOT_SATISFIED);
            for (ApplicationEntry instance : instances) {
                requireDeletable(caller, instance);
            }
            for (ApplicationEntry instance : instances) {
                remove(instance);
            }
            registry.remove(loadFile);
            card.memory.delete(item -> item.context == loadFile);
            record("delete " + loadFile);
            card.management().done(name);
            return;
        }
        // Modules are deleted with their load file only.
        Sw.require(entry instanceof ApplicationEntry, Sw.REFERENCED_DATA_NOT_FOUND);
        requireDeletable(caller, (ApplicationEntry) entry);
        remove((ApplicationEntry) entry);
        card.management().done(name);
    }

    private void requireDeletable(ApplicationEntry caller, ApplicationEntry entry) {
        Sw.require(entry != caller && !entry.isIssuerDomain(), Sw.CONDITIONS_NOT_SATISFIED);
        Sw.require(entry.selections == 0 && !registry.hasAssociated(entry), Sw.CONDITIONS_NOT_SATISFIED);
    }

    private void remove(ApplicationEntry entry) {
        if (entry.applet instanceof AppletEvent) {
            try {
                card.contexts.as(entry, null, () -> {
                    ((AppletEvent) entry.applet).uninstall();
                    return null;
                });
            } catch (Throwable ignored) {
                card.faults.note(ignored);
                card.budget.failed(ignored);
                // JC API, AppletEvent: deletion goes on whatever uninstall throws.
            }
        }
        card.contactless.deleting(entry);
        registry.remove(entry);
        card.globalServices().forget(entry);
        card.memory.delete(item -> item.instance == entry);
        record("delete " + entry);
    }

    void record(String effect) {
        card.recordEffect(effect);
    }

    /** Calls a module's install() and takes the instance that it registers. */
    private final class Installer implements BiConsumer<Applet, AID> {
        /** As on cards, which use a buffer of theirs: applets look behind the parameters before they ask how many. */
        private static final int ARRAY_BYTES = 256;

        private final ApplicationEntry entry;
        private final byte[] array = new byte[ARRAY_BYTES];
        private final byte length;

        /** The install array: LV instance AID, LV privileges, LV application parameters (table 11-49 and JC API). */
        Installer(ApplicationEntry entry, byte[] parameters) {
            this.entry = entry;
            int bytes = 1 + entry.name.length + 4 + 1 + parameters.length;
            // JC API, Applet.install: at most 127 bytes; a card being made brings key sets with them.
            Sw.require(bytes <= (card.manufacturing ? 255 : 127), Sw.WRONG_DATA);
            length = (byte) bytes;
            array[0] = (byte) entry.name.length;
            System.arraycopy(entry.name, 0, array, 1, entry.name.length);
            int at = 1 + entry.name.length;
            array[at] = 3;
            Privileges.encode(entry.privileges, array, (short) (at + 1));
            array[at + 4] = (byte) parameters.length;
            System.arraycopy(parameters, 0, array, at + 5, parameters.length);
        }

        @Override
        public void accept(Applet applet, AID aid) {
            // Once, and under the AID that was asked for.
            Sw.require(entry.applet == null && (aid == null || aid.equals(entry.aid())), Sw.WRONG_DATA);
            entry.setApplet(applet);
        }

        void run() {
            card.onRegister(this);
            card.firewall.setInstalling(array);
            try {
                // JCRE 3.0.5 clause 3.1: of an installation that fails, nothing stays.
                card.memory.levels.atomically(() -> card.contexts.asInstalled(entry, () -> {
                    entry.module().install.invokeExact(array, (short) 0, length);
                    Sw.require(entry.applet != null, Sw.CONDITIONS_NOT_SATISFIED);
                    return null;
                }));
            } catch (ISOException refused) {
                card.faults.note(refused);
                throw refused;
            } catch (SystemException refused) {
                ISOException.throwIt(refused.getReason() == SystemException.NO_RESOURCE ? Sw.NOT_ENOUGH_MEMORY
                        : Sw.CONDITIONS_NOT_SATISFIED);
            } catch (Throwable failed) {
                card.faults.note(failed);
                card.budget.failed(failed);
                ISOException.throwIt(Sw.CONDITIONS_NOT_SATISFIED);
            } finally {
                card.firewall.setInstalling(null);
                card.onRegister(null);
            }
        }
    }
}
