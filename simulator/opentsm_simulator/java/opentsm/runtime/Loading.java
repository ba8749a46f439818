package opentsm.runtime;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.List;
import opentsm.open.ContentAuthority;

/**
 * One load file on its way onto the card, from INSTALL [for load] to the last LOAD, or to the INSTALL that ends a combined
 * process. Nothing of it is in the registry before the end.
 *
 * <p>Spec: GP Card 2.3.1 clauses 9.3.5, 9.3.8, annex C.
 */
final class Loading {
    /** How many bytes of a ciphered block a Security Domain is given at a time: whole cipher blocks. */
    private static final int DECRYPTION_STEP = 4096;

    private final CardRuntime card;
    private final Registry registry;

    final ApplicationEntry loader;
    private final ApplicationEntry domain;
    private final byte[] name;
    private final byte[] hash;
    private final InstallParameters parameters;

    /** The token that allows it; null when none is needed, or when it comes at the end of a combined process. */
    final Authorization authorization;

    /** What the token of a combined process signs first; null when this is none. */
    final byte[] combinedCommand;

    /** The selection that it belongs to: no other goes on with it. */
    final int selection;

    private final LoadFileReader file = new LoadFileReader();

    /** What was loaded, verified; null before the last block. */
    private LoadFileEntry verified;

    Loading(CardRuntime card, ApplicationEntry loader, ApplicationEntry domain, byte[] name, byte[] hash,
            InstallParameters parameters, Authorization authorization, byte[] combinedCommand) {
        this.card = card;
        this.registry = card.registry;
        this.loader = loader;
        this.domain = domain;
        this.name = name;
        this.hash = hash;
        this.parameters = parameters;
        this.authorization = authorization;
        this.combinedCommand = combinedCommand;
        this.selection = card.channel.selection;
        card.memory.limits.requireForLoad(parameters.memory);
        // Table 11-42: mandatory with a token, and one of the hashes that annex B.5 has.
        Sw.require(hash.length == 0 || algorithm() != null, Sw.WRONG_DATA);
        Sw.require(authorization == null || isHashedFor(authorization), Sw.CONDITIONS_NOT_SATISFIED);
    }

    private String algorithm() {
        switch (hash.length) {
            case 20:
                return "SHA-1";
            case 32:
                return "SHA-256";
            case 48:
                return "SHA-384";
            case 64:
                return "SHA-512";
            default:
                return null;
        }
    }

    void add(byte[] buffer, int offset, int length) {
        Sw.require(verified == null, Sw.CONDITIONS_NOT_SATISFIED);
        file.add(buffer, offset, length);
    }

    /** Verifies the whole: DAPs, hash, package, imports. */
    void verify() {
        byte[] data = file.data();
        requireDaps();
        byte[] block = file.isCiphered() ? decrypt(data) : data;
        Sw.require(domain.has(Privileges.CIPHERED_LOAD_FILE) == file.isCiphered(), Sw.CONDITIONS_NOT_SATISFIED);
        Sw.require(hash.length == 0 || MessageDigest.isEqual(digest(block), hash), Sw.WRONG_DATA);
        for (LoadFileReader.Dap dap : file.daps) {
            verifyDap(dap);
        }
        card.memory.limits.requireCode(block.length);
        verified = read(block);
    }

    private byte[] digest(byte[] block) {
        try {
            return MessageDigest.getInstance(algorithm()).digest(block);
        } catch (NoSuchAlgorithmException missing) {
            throw new IllegalStateException(missing);
        }
    }

    /** Every domain that has a say must have been asked: those with Mandated DAP, and the load file's own with DAP. */
    private void requireDaps() {
        for (ApplicationEntry entry : registry.applications()) {
            boolean mandated = entry.has(Privileges.MANDATED_DAP) && ManagementServices.isReady(entry);
            boolean own = entry == domain && entry.has(Privileges.DAP_VERIFICATION);
            Sw.require(!mandated && !own || hasDapFor(entry), Sw.CONDITIONS_NOT_SATISFIED);
        }
        Sw.require(file.daps.isEmpty() || hash.length != 0, Sw.CONDITIONS_NOT_SATISFIED);
    }

    private boolean hasDapFor(ApplicationEntry entry) {
        for (LoadFileReader.Dap dap : file.daps) {
            if (Arrays.equals(dap.domain, entry.name)) {
                return true;
            }
        }
        return false;
    }

    private void verifyDap(LoadFileReader.Dap dap) {
        RegistryEntry found = registry.find(dap.domain, 0, dap.domain.length);
        Sw.require(found instanceof ApplicationEntry
                && ((ApplicationEntry) found).has(Privileges.DAP_VERIFICATION | Privileges.MANDATED_DAP),
                Sw.CONDITIONS_NOT_SATISFIED);
        ContentAuthority authority = card.management().authorityOf((ApplicationEntry) found);
        short least = authority.hashLength(ContentAuthority.DAP);
        Sw.require(least >= 0 && hash.length >= least, Sw.CONDITIONS_NOT_SATISFIED);
        Sw.require(authority.verifyDap(hash, (short) hash.length, dap.signature, (short) 0,
                (short) dap.signature.length), Sw.SECURITY_STATUS_NOT_SATISFIED);
    }

    /** Spec: annex C.6, B.1.3, B.2.3: CBC, and padding of 80 and zeros. */
    private byte[] decrypt(byte[] ciphered) {
        Sw.require(hash.length != 0, Sw.CONDITIONS_NOT_SATISFIED);
        ContentAuthority authority = card.management().authorityOf(domain);
        short least = authority.hashLength(ContentAuthority.CIPHERED_LOAD_FILE);
        Sw.require(least >= 0 && hash.length >= least, Sw.CONDITIONS_NOT_SATISFIED);
        authority.beginDecryption(file.vector, (short) file.vector.length);
        byte[] clear = new byte[ciphered.length];
        for (int at = 0; at < ciphered.length; at += DECRYPTION_STEP) {
            byte[] step = Arrays.copyOfRange(ciphered, at, Math.min(at + DECRYPTION_STEP, ciphered.length));
            authority.decrypt(step, (short) 0, (short) step.length);
            System.arraycopy(step, 0, clear, at, step.length);
        }
        int end = clear.length - 1;
        while (end >= 0 && clear[end] == 0) {
            end--;
        }
        Sw.require(end >= 0 && clear[end] == (byte) 0x80, Sw.WRONG_DATA);
        return Arrays.copyOf(clear, end);
    }

    private LoadFileEntry read(byte[] block) {
        LoadedPackage found = new LoadedPackage(card);
        PackageReader reader = card.packages;
        Sw.require(reader != null, Sw.FUNCTION_NOT_SUPPORTED);
        Sw.require(reader.read(block, found) && Arrays.equals(found.aid, name), Sw.WRONG_DATA);
        LoadFileEntry entry = link(card, block, found, domain);
        entry.memory.putAll(parameters.memory);
        entry.provider = parameters.provider;
        return entry;
    }

    /** Links a package that was read to those that it imports, and translates it; 6A80 when either can't be done. */
    static LoadFileEntry link(CardRuntime card, byte[] block, LoadedPackage found, ApplicationEntry domain) {
        LoadFileEntry entry = new LoadFileEntry(found.aid, found.version, domain);
        String[] imported = new String[found.imports.size()];
        for (int i = 0; i < imported.length; i++) {
            byte[] wanted = found.imports.get(i);
            int length = wanted.length - 2;
            RegistryEntry there = card.registry.find(wanted, 0, length);
            boolean linked = there instanceof LoadFileEntry
                    && ((LoadFileEntry) there).isCompatible(wanted[length], wanted[length + 1]);
            if (!linked) {
                card.packages.missing(found.aid, Arrays.copyOf(wanted, length), wanted[length], wanted[length + 1]);
            }
            Sw.require(linked, Sw.WRONG_DATA);
            entry.imports.add((LoadFileEntry) there);
            imported[i] = entry.imports.get(i).code;
        }
        Sw.require(card.packages.translate(block, imported, found), Sw.WRONG_DATA);
        entry.take(found, block, card);
        return entry;
    }

    /** Puts the verified load file into the registry. */
    LoadFileEntry register() {
        Sw.require(verified != null, Sw.CONDITIONS_NOT_SATISFIED);
        domain.live();
        ManagementServices.requireFree(registry, name);
        List<LoadFileEntry> present = registry.loadFiles();
        Sw.require(present.containsAll(verified.imports), Sw.CONDITIONS_NOT_SATISFIED);
        registry.add(verified);
        return verified;
    }

    /** Tells whether the load file's hash is as strong as a token asks (table C-3). */
    boolean isHashedFor(Authorization token) {
        return hash.length != 0 && hash.length >= token.hashLength;
    }

    /** Tells whether a name is the load file's. */
    boolean isNamed(byte[] aid) {
        return Arrays.equals(name, aid);
    }
}
