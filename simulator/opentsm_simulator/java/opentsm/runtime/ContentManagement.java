package opentsm.runtime;

import com.licel.jcardsim.utils.BiConsumer;
import java.util.Arrays;
import java.util.List;
import javacard.framework.AID;
import javacard.framework.Applet;
import javacard.framework.AppletEvent;
import javacard.framework.ISOException;
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

    /** Refuses callers without Authorized and Delegated Management, and all on a card that is locked (clause 5.1.1). */
    static void requireManager(ApplicationEntry caller) {
        Sw.require(caller.has(Privileges.AUTHORIZED_MANAGEMENT | Privileges.DELEGATED_MANAGEMENT),
                Sw.CONDITIONS_NOT_SATISFIED);
    }

    private void requireOpenCard() {
        byte state = card.state();
        Sw.require(state != LifeCycle.CARD_LOCKED && state != LifeCycle.CARD_TERMINATED, Sw.CONDITIONS_NOT_SATISFIED);
    }

    /** Refuses managers that the entry is not, directly or indirectly, associated with. */
    void requireManages(ApplicationEntry caller, RegistryEntry entry) {
        requireManager(caller);
        Sw.require(entry.isUnder(caller), Sw.CONDITIONS_NOT_SATISFIED);
    }

    /** An LV in a buffer, checked against the buffer's end. */
    private static int lengthAt(byte[] buffer, short lv) {
        Sw.require(lv >= 0 && lv < buffer.length, Sw.WRONG_DATA);
        int length = buffer[lv] & 0xFF;
        Sw.require(lv + 1 + length <= buffer.length, Sw.WRONG_DATA);
        return length;
    }

    ApplicationEntry install(ApplicationEntry domain, byte[] buffer, short loadFileLv, short moduleLv,
            short instanceLv, short privilegesLv, short parametersLv, boolean makeSelectable) {
        requireOpenCard();
        ModuleEntry module = module(buffer, loadFileLv, moduleLv);
        // An SD uses load files of its own and of the domains above it.
        Sw.require(domain == null || domain.isUnder(module.loadFile().domain()), Sw.CONDITIONS_NOT_SATISFIED);
        int privileges = Privileges.parseNew(buffer, privilegesLv + 1, lengthAt(buffer, privilegesLv));
        // Card Reset comes with being selectable (clause 11.5.2.3.2).
        Sw.require(makeSelectable || card.manufacturing || (privileges & Privileges.CARD_RESET) == 0, Sw.WRONG_DATA);
        Privileges.check(privileges, 0, domain == null || domain.isIssuerDomain() || card.manufacturing);
        requireFree(privileges, null);
        int parametersLength = lengthAt(buffer, parametersLv);
        InstallParameters parameters = InstallParameters.parse(buffer, parametersLv + 1, parametersLength);
        byte[] name = aid(buffer, instanceLv);
        Sw.require(registry.find(name, 0, name.length) == null, Sw.CONDITIONS_NOT_SATISFIED);

        boolean isDomain = (privileges & Privileges.SECURITY_DOMAIN) != 0;
        byte kind = !isDomain ? Entry.KIND_APPLICATION : domain == null ? Entry.KIND_ISSUER_DOMAIN : Entry.KIND_DOMAIN;
        ApplicationEntry entry = new ApplicationEntry(card, kind, name, domain, module);
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
                entry.memory.forget();
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

    private ModuleEntry module(byte[] buffer, short loadFileLv, short moduleLv) {
        int loadFileLength = lengthAt(buffer, loadFileLv);
        LoadFileEntry loadFile = null;
        if (loadFileLength != 0) {
            RegistryEntry found = registry.find(buffer, loadFileLv + 1, loadFileLength);
            Sw.require(found instanceof LoadFileEntry, Sw.REFERENCED_DATA_NOT_FOUND);
            loadFile = (LoadFileEntry) found;
        }
        ModuleEntry module = registry.findModule(loadFile, buffer, moduleLv + 1, lengthAt(buffer, moduleLv));
        Sw.require(module != null, Sw.REFERENCED_DATA_NOT_FOUND);
        return module;
    }

    private static byte[] aid(byte[] buffer, short lv) {
        int length = lengthAt(buffer, lv);
        Sw.require(length >= 5 && length <= 16, Sw.WRONG_DATA);
        return Arrays.copyOfRange(buffer, lv + 1, lv + 1 + length);
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
        card.contactless.take(parameters.contactless, entry);
    }

    void makeSelectable(ApplicationEntry caller, ApplicationEntry entry, byte[] buffer, short privilegesLv,
            short parametersLv) {
        requireOpenCard();
        Sw.require(entry.unlockedState == LifeCycle.INSTALLED, Sw.CONDITIONS_NOT_SATISFIED);
        int privileges = newPrivileges(caller, entry, buffer, privilegesLv);
        InstallParameters parameters =
                InstallParameters.parse(buffer, parametersLv + 1, lengthAt(buffer, parametersLv));
        card.contactless.check(parameters.contactless, entry);
        entry.privileges = privileges;
        take(parameters, entry);
        entry.unlockedState = LifeCycle.SELECTABLE;
        record("make-selectable " + entry);
        card.contactless.became(entry, true);
    }

    void updateRegistry(ApplicationEntry caller, ApplicationEntry entry, byte[] buffer, short privilegesLv,
            short parametersLv) {
        requireOpenCard();
        int privileges = newPrivileges(caller, entry, buffer, privilegesLv);
        InstallParameters parameters =
                InstallParameters.parse(buffer, parametersLv + 1, lengthAt(buffer, parametersLv));
        card.contactless.check(parameters.contactless, entry);
        entry.privileges = privileges;
        take(parameters, entry);
        card.reviewSelections();
        record("registry-update " + entry);
    }

    private int newPrivileges(ApplicationEntry caller, ApplicationEntry entry, byte[] buffer, short privilegesLv) {
        int length = lengthAt(buffer, privilegesLv);
        if (length == 0) {
            return entry.privileges;
        }
        int privileges = Privileges.parse(buffer, privilegesLv + 1, length);
        Privileges.check(privileges, entry.privileges, caller.isIssuerDomain());
        // What is installed as a Security Domain stays one, and nothing becomes one (clause 6.6.2).
        Sw.require(((privileges ^ entry.privileges) & Privileges.SECURITY_DOMAIN) == 0, Sw.CONDITIONS_NOT_SATISFIED);
        requireFree(privileges, entry);
        return privileges;
    }

    void extradite(RegistryEntry entry, ApplicationEntry newDomain) {
        requireOpenCard();
        Sw.require(!(entry instanceof ModuleEntry) && entry != registry.issuerDomain(), Sw.CONDITIONS_NOT_SATISFIED);
        Sw.require(newDomain.isDomain() && newDomain.isSelectable() || newDomain.isIssuerDomain(),
                Sw.CONDITIONS_NOT_SATISFIED);
        // A domain may be extradited to itself, never to one under it: nothing would be above both.
        Sw.require(newDomain == entry || !(entry instanceof ApplicationEntry) || !newDomain.isUnder(entry),
                Sw.CONDITIONS_NOT_SATISFIED);
        entry.associate(newDomain);
        if (entry instanceof LoadFileEntry) {
            for (ModuleEntry module : ((LoadFileEntry) entry).modules) {
                module.associate(newDomain);
            }
        }
        card.reviewSelections();
        record("extradite " + entry + " " + newDomain);
    }

    void delete(ApplicationEntry caller, RegistryEntry entry, boolean related) {
        requireOpenCard();
        if (entry instanceof LoadFileEntry) {
            LoadFileEntry loadFile = (LoadFileEntry) entry;
            List<ApplicationEntry> instances = registry.instancesOf(loadFile);
            Sw.require(related || instances.isEmpty(), Sw.CONDITIONS_NOT_SATISFIED);
            for (ApplicationEntry instance : instances) {
                requireDeletable(caller, instance);
            }
            for (ApplicationEntry instance : instances) {
                remove(instance);
            }
            registry.remove(loadFile);
            record("delete " + loadFile);
            return;
        }
        // Modules are deleted with their load file only.
        Sw.require(entry instanceof ApplicationEntry, Sw.REFERENCED_DATA_NOT_FOUND);
        requireDeletable(caller, (ApplicationEntry) entry);
        remove((ApplicationEntry) entry);
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
                // JC API, AppletEvent: deletion goes on whatever uninstall throws.
            }
        }
        card.contactless.deleting(entry);
        registry.remove(entry);
        entry.memory.forget();
        record("delete " + entry);
    }

    private void record(String effect) {
        if (!card.manufacturing) {
            card.effects.record(effect);
        }
    }

    /** Calls a module's install() and takes the instance that it registers. */
    private final class Installer implements BiConsumer<Applet, AID> {
        private final ApplicationEntry entry;
        private final byte[] array;

        /** The install array: LV instance AID, LV privileges, LV application parameters (table 11-49 and JC API). */
        Installer(ApplicationEntry entry, byte[] parameters) {
            this.entry = entry;
            array = new byte[1 + entry.name.length + 4 + 1 + parameters.length];
            Sw.require(array.length <= 127, Sw.WRONG_DATA);
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
            try {
                card.contexts.as(entry, null, () -> {
                    entry.module().install.invokeExact(array, (short) 0, (byte) array.length);
                    return null;
                });
            } catch (ISOException refused) {
                throw refused;
            } catch (Throwable failed) {
                ISOException.throwIt(Sw.CONDITIONS_NOT_SATISFIED);
            } finally {
                card.onRegister(null);
            }
            Sw.require(entry.applet != null, Sw.CONDITIONS_NOT_SATISFIED);
        }
    }
}
