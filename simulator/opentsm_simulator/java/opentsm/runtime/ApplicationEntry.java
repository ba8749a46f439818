package opentsm.runtime;

import java.util.Map;
import java.util.TreeMap;
import javacard.framework.AID;
import javacard.framework.Applet;
import javacard.framework.MultiSelectable;
import javacard.framework.Util;
import javacardx.apdu.ExtendedLength;
import org.globalplatform.contactless.GPCLRegistryEntry;

/**
 * An application or Security Domain: its instance, states, privileges and contactless parameters.
 *
 * <p>Locks are kept beside the life cycle state, so that unlocking a Security Domain with everything under it leaves
 * locked what had been locked one by one.
 *
 * <p>Spec: GP Card 2.3.1 clauses 5.3, 6.4.1.2; GP Amendment C clause 3.
 */
final class ApplicationEntry extends RegistryEntry implements GPCLRegistryEntry {
    private final CardRuntime card;
    private final ModuleEntry module;
    final ContextMemory memory;

    Applet applet;
    boolean extendedLength;
    boolean multiSelectable;

    /** The life cycle state without the lock bit. */
    byte unlockedState = LifeCycle.INSTALLED;

    /** Locked by itself (SET STATUS P1 40, or its own wish). */
    boolean locked;

    /** A Security Domain that is locked together with everything under it (SET STATUS P1 60). */
    boolean lockedWithAll;

    int privileges;
    byte contactlessState;
    final ContactlessRecord contactless = new ContactlessRecord();

    /** Values of tag CF of the system parameters. */
    byte[] implicitSelection = {};

    /** Value of tag CB of the install parameters: global services that it may register. */
    byte[] globalServices = {};

    /** The application provider's identifier (5F20); null when none was given. */
    byte[] provider;

    /** Amounts of memory in bytes, by the tags C7, C8, D7 and D8 of the system parameters. */
    final Map<Integer, Long> memoryResources = new TreeMap<>();

    /** What this Security Domain will never do again (Restrictions). */
    int restrictions;

    /** How many logical channels it is selected on. */
    transient int selections;

    ApplicationEntry(CardRuntime card, byte kind, byte[] name, ApplicationEntry domain, ModuleEntry module) {
        super(kind, name, domain);
        this.card = card;
        this.module = module;
        this.memory = new ContextMemory(card.memory);
        this.contactlessState = kind == KIND_APPLICATION ? STATE_CL_DEACTIVATED : STATE_CL_NON_ACTIVATABLE;
    }

    void setApplet(Applet instance) {
        applet = instance;
        extendedLength = instance instanceof ExtendedLength;
        multiSelectable = instance instanceof MultiSelectable;
    }

    boolean isIssuerDomain() {
        return kind() == KIND_ISSUER_DOMAIN;
    }

    boolean isDomain() {
        return kind() != KIND_APPLICATION;
    }

    /** Tells whether it has one of these privileges; the ISD has those no longer that only one can have (6.6.2). */
    boolean has(int privilege) {
        return (privileges & privilege) != 0
                && (!isIssuerDomain() || (privilege & Privileges.SINGLE) == 0 || (held() & privilege) != 0);
    }

    /** Returns its privileges, of the ISD without those that it gave up to another. */
    private int held() {
        return isIssuerDomain() ? privileges & ~card.registry.singleHeldByOthers() : privileges;
    }

    /** Tells whether it is locked, by itself or with a Security Domain that it is under. */
    boolean isLocked() {
        if (locked || lockedWithAll) {
            return true;
        }
        for (RegistryEntry entry = this; entry.domain() != entry;) {
            ApplicationEntry above = entry.domain();
            if (above.lockedWithAll) {
                return true;
            }
            entry = above;
        }
        return false;
    }

    boolean isSelectable() {
        return unlockedState != LifeCycle.INSTALLED && !isLocked();
    }

    /** Tells whether an interface may select it: applications on the contactless one only once activated. */
    boolean isSelectableOn(CardInterface side) {
        int access = side.contactless() ? ContactlessParameters.ACCESS_PROXIMITY : ContactlessParameters.ACCESS_CONTACT;
        return isSelectable() && mayUse(access)
                && (isDomain() || !side.contactless() || contactlessState == STATE_CL_ACTIVATED);
    }

    /**
     * Tells whether it has access to an interface: by its own parameters or else by the default of the nearest Security
     * Domain above that has one, as far as no Security Domain above restricts it.
     *
     * <p>Spec: GP Amendment C 1.3 clause 3 (Communication Interface Access Configuration).
     */
    boolean mayUse(int access) {
        Integer allowed = contactless.access;
        for (RegistryEntry entry = this; entry.domain() != entry;) {
            ApplicationEntry above = entry.domain();
            Integer restriction = above.contactless.accessRestriction;
            if (restriction != null && (restriction & access) == 0) {
                return false;
            }
            allowed = allowed == null ? above.contactless.accessDefault : allowed;
            entry = above;
        }
        return allowed == null || (allowed & access) != 0;
    }

    @Override
    public byte state() {
        live();
        if (isIssuerDomain()) {
            return card.state();
        }
        return isLocked() ? (byte) (unlockedState | LifeCycle.LOCKED) : unlockedState;
    }

    @Override
    public short getPrivileges(byte[] buffer, short offset) {
        live();
        return Privileges.encode(held(), buffer, offset);
    }

    @Override
    public boolean isPrivileged(byte privilege) {
        live();
        return has(Privileges.bit(privilege));
    }

    @Override
    public LoadFileEntry loadFile() {
        live();
        return module.loadFile();
    }

    /** Returns the package in whose context it runs (JCRE 3.0.5 clause 6.1.1). */
    LoadFileEntry owner() {
        return module.loadFile;
    }

    @Override
    public ModuleEntry module() {
        live();
        return module;
    }

    @Override
    public short getVersion(byte[] buffer, short offset) {
        live();
        return module.getVersion(buffer, offset);
    }

    @Override
    public byte contactlessState() {
        live();
        return contactlessState;
    }

    @Override
    public short getImplicitSelection(byte[] buffer, short offset) {
        live();
        return Util.arrayCopyNonAtomic(implicitSelection, (short) 0, buffer, offset, (short) implicitSelection.length);
    }

    // What the application itself, or another that may see it, is shown: org.globalplatform.

    @Override
    public AID getAID() {
        return aid();
    }

    @Override
    public byte getState() {
        return state();
    }

    @Override
    public boolean isAssociated(AID securityDomain) {
        return domain().aid().equals(securityDomain);
    }

    @Override
    public boolean setState(byte state) {
        live();
        return card.applicationServices().setState(this, state);
    }

    @Override
    public byte getCLState() {
        return contactlessState();
    }

    @Override
    public byte setCLState(byte state) {
        live();
        return services().setState(this, state);
    }

    @Override
    public short getInfo(byte[] buffer, short offset, short info) {
        live();
        return services().getInfo(this, buffer, offset, info);
    }

    @Override
    public short setInfo(byte[] buffer, short offset, short length, short info) {
        live();
        return services().setInfo(this, buffer, offset, length, info);
    }

    @Override
    public GPCLRegistryEntry getNextConflictingApplication(GPCLRegistryEntry previous) {
        live();
        return services().nextConflicting(this, previous);
    }

    @Override
    public void joinGroup(AID head) {
        live();
        services().joinGroup(this, head);
    }

    @Override
    public GPCLRegistryEntry getNextGroupMember(GPCLRegistryEntry previous) {
        live();
        return services().nextMember(this, previous);
    }

    @Override
    public void addToGroupAuthorizationList(byte[] aid, short offset, short length) {
        live();
        services().authorizeMember(this, aid, offset, length, true);
    }

    @Override
    public void removeFromGroupAuthorizationList(byte[] aid, short offset, short length) {
        live();
        services().authorizeMember(this, aid, offset, length, false);
    }

    @Override
    public void setPartialSelectionOrder(boolean first) {
        live();
        services().setOrder(this, first);
    }

    @Override
    public GPCLRegistryEntry getNextCRELApplication(GPCLRegistryEntry previous) {
        live();
        return services().nextCrel(this, previous);
    }

    @Override
    public void addToCRELApplicationList(byte[] aid, short offset, short length) {
        live();
        services().listCrel(this, aid, offset, length, true);
    }

    @Override
    public void removeFromCRELApplicationList(byte[] aid, short offset, short length) {
        live();
        services().listCrel(this, aid, offset, length, false);
    }

    @Override
    public GPCLRegistryEntry getNextReferencingApplication(GPCLRegistryEntry previous) {
        live();
        return services().nextReferencing(this, previous);
    }

    @Override
    public boolean isGroupHead() {
        live();
        return services().isHead(this);
    }

    @Override
    public boolean isGroupMember() {
        live();
        return services().isMember(this);
    }

    private ContactlessServices services() {
        return card.contactlessServices();
    }

    @Override
    public void registerService(short service) {
        live();
        card.globalServices().register(this, service);
    }

    @Override
    public void deregisterService(short service) {
        live();
        card.globalServices().deregister(this, service);
    }
}
