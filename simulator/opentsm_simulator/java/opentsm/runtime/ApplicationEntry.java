package opentsm.runtime;

import javacard.framework.AID;
import javacard.framework.Applet;
import javacard.framework.ISOException;
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

    /** Values of tag CF of the system parameters. */
    byte[] implicitSelection = {};

    /** Value of tag C9 of the install parameters. */
    byte[] applicationParameters = {};

    /** How many logical channels it is selected on. */
    int selections;

    ApplicationEntry(CardRuntime card, byte kind, byte[] name, ApplicationEntry domain, ModuleEntry module) {
        super(kind, name, domain);
        this.card = card;
        this.module = module;
        this.memory = new ContextMemory(card.transients);
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

    boolean has(int privilege) {
        return (privileges & privilege) != 0;
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
        return isSelectable() && (isDomain() || !side.contactless() || contactlessState == STATE_CL_ACTIVATED);
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
        return Privileges.encode(privileges, buffer, offset);
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
        return card.applicationServices().setContactlessState(this, state);
    }

    @Override
    public short getInfo(byte[] buffer, short offset, short info) {
        live();
        Sw.require(info == INFO_DISCRETIONARY_DATA, Sw.FUNCTION_NOT_SUPPORTED);
        return Util.arrayCopyNonAtomic(
                applicationParameters, (short) 0, buffer, offset, (short) applicationParameters.length);
    }

    @Override
    public short setInfo(byte[] buffer, short offset, short length, short info) {
        throw unsupported();
    }

    @Override
    public void registerService(short service) {
        throw unsupported();
    }

    @Override
    public void deregisterService(short service) {
        throw unsupported();
    }

    @Override
    public GPCLRegistryEntry getNextConflictingApplication(GPCLRegistryEntry previous) {
        return null;
    }

    @Override
    public void joinGroup(AID head) {
        throw unsupported();
    }

    @Override
    public GPCLRegistryEntry getNextGroupMember(GPCLRegistryEntry previous) {
        return null;
    }

    @Override
    public void addToGroupAuthorizationList(byte[] aid, short offset, short length) {
        throw unsupported();
    }

    @Override
    public void removeFromGroupAuthorizationList(byte[] aid, short offset, short length) {
        throw unsupported();
    }

    @Override
    public void setPartialSelectionOrder(boolean first) {
        throw unsupported();
    }

    @Override
    public GPCLRegistryEntry getNextCRELApplication(GPCLRegistryEntry previous) {
        return null;
    }

    @Override
    public void addToCRELApplicationList(byte[] aid, short offset, short length) {
        throw unsupported();
    }

    @Override
    public void removeFromCRELApplicationList(byte[] aid, short offset, short length) {
        throw unsupported();
    }

    @Override
    public GPCLRegistryEntry getNextReferencingApplication(GPCLRegistryEntry previous) {
        return null;
    }

    @Override
    public boolean isGroupHead() {
        return false;
    }

    @Override
    public boolean isGroupMember() {
        return false;
    }

    /** Contactless groups, CREL applications and global services are not offered by this card. */
    private static RuntimeException unsupported() {
        ISOException.throwIt(Sw.FUNCTION_NOT_SUPPORTED);
        return new IllegalStateException();
    }

}
