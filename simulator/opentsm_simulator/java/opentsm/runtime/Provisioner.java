package opentsm.runtime;

import java.io.ByteArrayOutputStream;
import javacard.framework.ISOException;

/**
 * Makes a card as its profile says: load files, first instances, data. Python calls it, once for each card.
 *
 * <p>Nothing here is reachable by a command, and nothing works any more once {@link #finish} was called.
 */
public final class Provisioner {
    private final CardRuntime card = new CardRuntime();
    private final ContentManagement content = new ContentManagement(card);

    /** Sets a data object of the whole card (CardData). */
    public void setData(int tag, byte[] value) {
        requireUnfinished();
        card.data.put((short) tag, value);
    }

    /** Sets what GPCLSystem.getSecureElementType answers, and the historical bytes of the ATR. */
    public void setKind(int secureElementType, byte[] historicalBytes) {
        requireUnfinished();
        card.secureElementType = (byte) secureElementType;
        card.historicalBytes = historicalBytes.clone();
    }

    /** Sets the most steps that a command may take ({@link Budget}). */
    public void setMostSteps(long steps) {
        requireUnfinished();
        card.budget.setMost(steps);
    }

    /** Sets how much memory the card has: non-volatile, and transient until reset and until deselected, in bytes. */
    public void setMemory(int nonVolatile, int reset, int deselect) {
        requireUnfinished();
        card.memory.limits.setSizes(nonVolatile, reset, deselect);
    }

    /** Sets what an object and an array take beside their contents, and the boundary that they are rounded up to. */
    public void setMemoryModel(int objectHeader, int arrayHeader, int boundary) {
        requireUnfinished();
        card.memory.limits.setModel(objectHeader, arrayHeader, boundary);
    }

    /** Sets how many bytes a transaction may take in the commit buffer ({@link Levels}). */
    public void setCommitCapacity(int bytes) {
        requireUnfinished();
        card.memory.capacity = bytes;
    }

    /** Says, before any package is loaded, whether the card has an applet firewall, and hears of packages' writes. */
    public void setChecks(boolean firewall, boolean transactions) {
        requireUnfinished();
        card.firewall.setEnabled(firewall);
        card.transactional = transactions;
    }

    /** Has what the card executes and writes told to a trace. */
    public void setTrace(Trace trace) {
        requireUnfinished();
        card.trace = trace;
        card.memory.writes.count();
    }

    /** Says who reads what LOAD brings. */
    public void setPackageReader(PackageReader reader) {
        requireUnfinished();
        card.packages = reader;
    }

    /**
     * Puts a CAP file on the card, as LOAD would: read, verified, translated, with its modules.
     *
     * @param block its load file data block
     * @return false when it is not one that the card can take
     */
    public boolean addCapFile(byte[] block) {
        requireUnfinished();
        LoadedPackage found = new LoadedPackage(card);
        if (!card.packages.read(block, found)) {
            return false;
        }
        try {
            card.registry.add(Loading.link(card, block, found, card.registry.issuerDomain()));
            return true;
        } catch (ISOException refused) {
            return false;
        }
    }

    /**
     * Installs an instance.
     *
     * @param domainAid the Security Domain it is associated with; empty for the Issuer Security Domain itself
     * @param privileges 3 bytes
     * @param parameters install parameters, as in INSTALL
     * @param state its life cycle state, lock bit clear
     * @param contactlessState GPCLRegistryEntry.STATE_CL_*
     */
    public void addInstance(byte[] domainAid, byte[] loadFileAid, byte[] moduleAid, byte[] aid,
            byte[] privileges, byte[] parameters, int state, int contactlessState) throws Throwable {
        requireUnfinished();
        ApplicationEntry domain =
                domainAid.length == 0 ? null : (ApplicationEntry) card.registry.find(domainAid, 0, domainAid.length);
        ByteArrayOutputStream fields = new ByteArrayOutputStream();
        short[] at = new short[5];
        byte[][] values = {loadFileAid, moduleAid, aid, privileges, parameters};
        for (int i = 0; i < values.length; i++) {
            at[i] = (short) fields.size();
            if (values[i].length > 0x80) {
                fields.write(0x81);
            }
            fields.write(values[i].length);
            fields.write(values[i]);
        }
        card.make(() -> {
            ApplicationEntry entry = content.install(
                    domain, fields.toByteArray(), at[0], at[1], at[2], at[3], at[4], true);
            entry.unlockedState = (byte) state;
            entry.contactlessState = (byte) contactlessState;
            return null;
        });
        if (domain == null) {
            adoptLoadFiles();
        }
    }

    private void adoptLoadFiles() {
        for (LoadFileEntry loadFile : card.registry.loadFiles()) {
            loadFile.associate(card.registry.issuerDomain());
            for (ModuleEntry module : loadFile.modules) {
                module.associate(card.registry.issuerDomain());
            }
        }
    }

    /**
     * Makes the card what an image says, in place of all else; and delivers it.
     *
     * @param before a card that is used no longer, whose classes may be used again; null for none
     * @throws ImageError it is no image that this release can take
     */
    public CardRuntime restore(byte[] image, CardRuntime before) {
        requireUnfinished();
        if (before == null) {
            ImageReader.read(image, card, null);
        } else {
            before.exchange.giveWay(() -> ImageReader.read(image, card, before));
        }
        return card;
    }

    /** Delivers the card in a life cycle state. */
    public CardRuntime finish(int cardState) {
        requireUnfinished();
        card.manufacturing = false;
        card.setState((byte) cardState);
        return card;
    }

    private void requireUnfinished() {
        if (!card.manufacturing) {
            throw new IllegalStateException("the card is delivered");
        }
    }

    /** Returns the status word with which an instance refused to be installed, for the maker's error message. */
    public static int statusWordOf(Throwable thrown) {
        return thrown instanceof ISOException ? ((ISOException) thrown).getReason() & 0xFFFF : 0;
    }
}
