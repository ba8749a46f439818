package opentsm.runtime;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import opentsm.open.Entry;
import opentsm.open.Open;

/**
 * The GlobalPlatform Registry: entries in the order of their creation.
 *
 * <p>Spec: GP Card 2.3.1 clause 6.4.
 */
final class Registry {
    /** An older AID of the Issuer Security Domain (Open Platform 2.0.1), which hosts still try. */
    static final byte[] ISSUER_ALIAS = {(byte) 0xA0, 0, 0, 0, 3, 0, 0, 0};

    private final List<RegistryEntry> entries = new ArrayList<>();
    private final List<ApplicationEntry> applications = new ArrayList<>();
    private ApplicationEntry issuerDomain;

    /** Returns all applications and Security Domains; not to be changed. */
    List<ApplicationEntry> applications() {
        return applications;
    }

    List<LoadFileEntry> loadFiles() {
        List<LoadFileEntry> found = new ArrayList<>();
        for (RegistryEntry entry : entries) {
            if (entry instanceof LoadFileEntry) {
                found.add((LoadFileEntry) entry);
            }
        }
        return found;
    }

    ApplicationEntry issuerDomain() {
        return issuerDomain;
    }

    void add(RegistryEntry entry) {
        entries.add(entry);
        if (entry instanceof ApplicationEntry) {
            applications.add((ApplicationEntry) entry);
            if (((ApplicationEntry) entry).isIssuerDomain()) {
                issuerDomain = (ApplicationEntry) entry;
            }
        }
    }

    void remove(RegistryEntry entry) {
        entries.remove(entry);
        if (entry instanceof ApplicationEntry) {
            applications.remove(entry);
        }
        entry.markDeleted();
    }

    /**
     * Returns the application, Security Domain or load file with exactly this AID, or null; the issuer's domain also by its
     * other name, which pySim gives it in commands once it has selected it so.
     */
    RegistryEntry find(byte[] buffer, int offset, int length) {
        for (RegistryEntry entry : entries) {
            if (entry.hasAid(buffer, (short) offset, (short) length)) {
                return entry;
            }
        }
        boolean alias = Arrays.equals(ISSUER_ALIAS, Arrays.copyOfRange(buffer, offset, offset + length));
        return alias ? issuerDomain : null;
    }

    /** Returns the application or Security Domain with exactly this AID, or null. */
    ApplicationEntry application(byte[] name) {
        RegistryEntry found = find(name, 0, name.length);
        return found instanceof ApplicationEntry ? (ApplicationEntry) found : null;
    }

    /** Puts applications, in the order they have, before all others or behind them in partial selection. */
    void move(List<ApplicationEntry> moved, boolean first) {
        applications.removeAll(moved);
        applications.addAll(first ? 0 : applications.size(), moved);
    }

    /** Returns a module of one load file, or of any when the load file is null; null when there is none. */
    ModuleEntry findModule(LoadFileEntry loadFile, byte[] buffer, int offset, int length) {
        for (LoadFileEntry candidate : loadFile == null ? loadFiles() : Arrays.asList(loadFile)) {
            for (ModuleEntry module : candidate.modules) {
                if (module.hasAid(buffer, (short) offset, (short) length)) {
                    return module;
                }
            }
        }
        return null;
    }

    /** Enumerates one scope of GET STATUS. */
    RegistryEntry next(Entry previous, byte scope) {
        int at = 0;
        if (previous != null) {
            at = entries.indexOf(previous) + 1;
            Sw.require(at > 0, Sw.REFERENCED_DATA_NOT_FOUND);
        }
        for (; at < entries.size(); at++) {
            if (scopeOf(entries.get(at)) == scope) {
                return entries.get(at);
            }
        }
        return null;
    }

    private static byte scopeOf(RegistryEntry entry) {
        switch (entry.kind()) {
            case Entry.KIND_ISSUER_DOMAIN:
                return Open.SCOPE_ISSUER_DOMAIN;
            case Entry.KIND_LOAD_FILE:
                return Open.SCOPE_LOAD_FILES;
            default:
                return Open.SCOPE_APPLICATIONS;
        }
    }

    /** Returns the application that has a privilege only one can have: another than the ISD, or else the ISD. */
    ApplicationEntry holderOf(int privilege) {
        for (ApplicationEntry entry : applications) {
            if (!entry.isIssuerDomain() && entry.has(privilege)) {
                return entry;
            }
        }
        return issuerDomain;
    }

    /** Returns the privileges only one can have that others than the ISD hold. */
    int singleHeldByOthers() {
        int held = 0;
        for (ApplicationEntry entry : applications) {
            held |= entry.isIssuerDomain() ? 0 : entry.privileges & Privileges.SINGLE;
        }
        return held;
    }

    /** Tells whether anything is associated with a Security Domain, itself apart. */
    boolean hasAssociated(ApplicationEntry domain) {
        for (RegistryEntry entry : entries) {
            if (entry != domain && entry.domain() == domain) {
                return true;
            }
        }
        return false;
    }

    /** Tells whether another load file was linked to this one. */
    boolean isImported(LoadFileEntry loadFile) {
        for (LoadFileEntry other : loadFiles()) {
            if (other.imports.contains(loadFile)) {
                return true;
            }
        }
        return false;
    }

    /** Returns the instances of a load file. */
    List<ApplicationEntry> instancesOf(LoadFileEntry loadFile) {
        List<ApplicationEntry> found = new ArrayList<>();
        for (ApplicationEntry entry : applications) {
            if (entry.loadFile() == loadFile) {
                found.add(entry);
            }
        }
        return found;
    }
}
