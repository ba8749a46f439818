package opentsm.runtime;

import java.util.Arrays;
import java.util.List;
import javacard.framework.AID;
import javacard.framework.Util;
import org.globalplatform.GPRegistryEntry;
import org.globalplatform.contactless.CLAppletEvent;
import org.globalplatform.contactless.GPCLRegistryEntry;
import org.globalplatform.contactless.GPCLSystem;

/**
 * What applications may ask of the OPEN's contactless side: behind GPCLSystem and GPCLRegistryEntry.
 *
 * <p>Spec: GP Card API, org.globalplatform.contactless 1.4; GP Amendment C 1.3 clauses 3 and 7.
 */
public final class ContactlessServices {
    /** The one protocol type of this card's contactless interface is A. */
    private static final byte PROTOCOL_TYPE_STATE_A = (byte) 0x80;

    private final CardRuntime card;
    private final Contactless contactless;

    ContactlessServices(CardRuntime card) {
        this.card = card;
        this.contactless = card.contactless;
    }

    private ApplicationEntry caller() {
        ApplicationEntry caller = card.contexts.current;
        Sw.require(caller != null, Sw.CONDITIONS_NOT_SATISFIED);
        return caller;
    }

    private void requirePrivilege(int privilege) {
        Sw.require(caller().has(privilege), Sw.CONDITIONS_NOT_SATISFIED);
    }

    /** Refuses all but the application itself and its own Security Domain. */
    private void requireOwner(ApplicationEntry entry) {
        ApplicationEntry caller = caller();
        Sw.require(caller == entry || caller == entry.domain(), Sw.CONDITIONS_NOT_SATISFIED);
    }

    private static boolean listens(ApplicationEntry caller, ApplicationEntry entry) {
        return ContactlessParameters.contains(entry.contactless.crels, caller.name);
    }

    private static boolean maySee(ApplicationEntry caller, ApplicationEntry entry) {
        return caller.has(Privileges.GLOBAL_REGISTRY) || caller.has(Privileges.CONTACTLESS_ACTIVATION)
                || entry.isUnder(caller) || entry == caller || listens(caller, entry);
    }

    private static ApplicationEntry known(GPRegistryEntry entry) {
        Sw.require(entry instanceof ApplicationEntry, Sw.CONDITIONS_NOT_SATISFIED);
        ApplicationEntry application = (ApplicationEntry) entry;
        application.live();
        return application;
    }

    private static byte[] aid(byte[] buffer, short offset, short length) {
        Sw.require(length >= 5 && length <= 16, Sw.WRONG_DATA);
        byte[] name = new byte[length];
        Util.arrayCopyNonAtomic(buffer, offset, name, (short) 0, length);
        return name;
    }

    // GPCLSystem.

    /** Returns an application's entry if the caller may see it, or null; the caller's own for null. */
    public ApplicationEntry entry(AID aid) {
        ApplicationEntry caller = caller();
        if (aid == null) {
            return caller;
        }
        for (ApplicationEntry entry : card.registry.applications()) {
            if (entry.aid().equals(aid)) {
                return maySee(caller, entry) ? entry : null;
            }
        }
        return null;
    }

    /** Enumerates the applications with access to the contactless interface that the caller may see. */
    public ApplicationEntry next(GPCLRegistryEntry previous, short family) {
        ApplicationEntry caller = caller();
        boolean after = previous == null;
        for (ApplicationEntry entry : card.registry.applications()) {
            if (after && !entry.isDomain() && entry.mayUse(ContactlessParameters.ACCESS_PROXIMITY)
                    && isOf(entry, family) && maySee(caller, entry)) {
                return entry;
            }
            after |= entry == previous;
        }
        return null;
    }

    /** An application family as ISO 14443-3 has it: a main family (low half zero) means all under it. */
    private static boolean isOf(ApplicationEntry entry, short family) {
        if (family == GPCLSystem.AFI_ANY) {
            return true;
        }
        byte[] value = entry.contactless.information.get(GPCLRegistryEntry.INFO_FAMILY_IDENTIFIER);
        if (value == null) {
            return false;
        }
        short own = value.length == 1 ? (short) (value[0] & 0xFF) : Util.getShort(value, (short) 0);
        return own == family || (family & 0x0F) == 0 && (own & 0xFFF0) == (family & 0xFFFF);
    }

    public void setVolatilePriority(GPCLRegistryEntry entry) {
        requirePrivilege(Privileges.CONTACTLESS_ACTIVATION);
        contactless.order.prefer(entry == null ? null : known(entry));
    }

    public short getCardInfo(byte[] buffer, short offset, short info) {
        switch (info) {
            case GPCLSystem.CARD_INFO_COUNTER_UPDATE:
                return Util.setShort(buffer, offset, contactless.updates);
            case GPCLSystem.CARD_INFO_CONTACTLESS_PROTOCOL_TYPE_STATE:
                buffer[offset] = PROTOCOL_TYPE_STATE_A;
                return (short) (offset + 1);
            case GPCLSystem.CARD_INFO_CURRENT_PROTOCOL_DATA_TYPE_A:
                return currentProtocolData(buffer, offset, GPCLRegistryEntry.INFO_PROTOCOL_DATA_TYPE_A);
            case GPCLSystem.CARD_INFO_CURRENT_PROTOCOL_DATA_TYPE_B:
                return currentProtocolData(buffer, offset, GPCLRegistryEntry.INFO_PROTOCOL_DATA_TYPE_B);
            case GPCLSystem.CARD_INFO_CURRENT_PROTOCOL_DATA_TYPE_F:
                return currentProtocolData(buffer, offset, GPCLRegistryEntry.INFO_PROTOCOL_DATA_TYPE_F);
            default:
                // The defaults: this card has none of its own.
                return offset;
        }
    }

    /** Writes the protocol data of the active application that comes first, if one has any. */
    private short currentProtocolData(byte[] buffer, short offset, short info) {
        for (ApplicationEntry entry : contactless.order.on(card.interfaces[1])) {
            byte[] value = entry.contactless.information.get(info);
            if (value != null && entry.contactlessState == GPCLRegistryEntry.STATE_CL_ACTIVATED) {
                return Util.arrayCopyNonAtomic(value, (short) 0, buffer, offset, (short) value.length);
            }
        }
        return offset;
    }

    private static void requireProximity(short commInterface) {
        Sw.require(commInterface == GPCLSystem.GPCL_PROXIMITY_IO_INTERFACE
                || commInterface == GPCLSystem.GPCL_PROXIMITY_IO_PROTOCOL_TYPE_A, Sw.WRONG_DATA);
    }

    public void setInterface(short commInterface, boolean enabled) {
        requirePrivilege(Privileges.CONTACTLESS_ACTIVATION);
        requireProximity(commInterface);
        contactless.enable(enabled);
    }

    public boolean isInterfaceEnabled(short commInterface) {
        requireProximity(commInterface);
        return contactless.enabled;
    }

    public boolean mayUseInterface(GPRegistryEntry entry, short commInterface) {
        requireProximity(commInterface);
        ApplicationEntry application = entry == null ? caller() : known(entry);
        return application.mayUse(ContactlessParameters.ACCESS_PROXIMITY);
    }

    // GPCLRegistryEntry.

    /**
     * Changes an activation state: to NON_ACTIVATABLE the application itself; to DEACTIVATED itself, the CRS application
     * or one of its CREL list; to ACTIVATED the CRS application, or itself with Contactless Self-Activation. Without
     * that, the CRS application is asked.
     */
    byte setState(ApplicationEntry entry, byte state) {
        ApplicationEntry caller = caller();
        boolean own = caller == entry;
        boolean allowed = caller.has(Privileges.CONTACTLESS_ACTIVATION);
        switch (state) {
            case GPCLRegistryEntry.STATE_CL_NON_ACTIVATABLE:
                allowed = own;
                break;
            case GPCLRegistryEntry.STATE_CL_DEACTIVATED:
                allowed |= own || listens(caller, entry);
                break;
            case GPCLRegistryEntry.STATE_CL_ACTIVATED:
                allowed |= own && entry.has(Privileges.CONTACTLESS_SELF_ACTIVATION);
                break;
            default:
                Sw.require(false, Sw.WRONG_DATA);
                break;
        }
        if (!allowed) {
            Sw.require(own && contactless.events.request(caller, entry, CLAppletEvent.EVENT_ACTIVATED),
                    Sw.CONDITIONS_NOT_SATISFIED);
            return entry.contactlessState;
        }
        contactless.change(entry, state, own);
        return entry.contactlessState;
    }

    short getInfo(ApplicationEntry entry, byte[] buffer, short offset, short info) {
        Sw.require(maySee(caller(), entry), Sw.CONDITIONS_NOT_SATISFIED);
        byte[] value = information(entry, info);
        Sw.require(value != null, Sw.RECORD_NOT_FOUND);
        return Util.arrayCopyNonAtomic(value, (short) 0, buffer, offset, (short) value.length);
    }

    private byte[] information(ApplicationEntry entry, short info) {
        Sw.require(info >= GPCLRegistryEntry.INFO_URI && info <= GPCLRegistryEntry.INFO_PRIVACY_SENSITIVE_INDICATOR,
                Sw.WRONG_DATA);
        ContactlessRecord record = entry.contactless;
        switch (info) {
            case GPCLRegistryEntry.INFO_COUNTER_UPDATE:
                return new byte[] {(byte) (record.updates >> 8), (byte) record.updates};
            case GPCLRegistryEntry.INFO_SELECTION_PRIORITY:
                return new byte[] {contactless.order.priorityOf(entry)};
            case GPCLRegistryEntry.INFO_GROUP_HEAD_APPLICATION:
                return record.head == null ? null : record.head.name.clone();
            case GPCLRegistryEntry.INFO_URI:
            case GPCLRegistryEntry.INFO_LOGO:
            case GPCLRegistryEntry.INFO_DISPLAY_MESSAGE:
                // A member shows what its head shows, unless it has something of its own.
                byte[] own = record.information.get(info);
                return own != null || record.head == null ? own : record.head.contactless.information.get(info);
            default:
                return record.information.get(info);
        }
    }

    short setInfo(ApplicationEntry entry, byte[] buffer, short offset, short length, short info) {
        requireOwner(entry);
        Sw.require(info >= GPCLRegistryEntry.INFO_URI && info <= GPCLRegistryEntry.INFO_PRIVACY_SENSITIVE_INDICATOR
                && info != GPCLRegistryEntry.INFO_COUNTER_UPDATE && info != GPCLRegistryEntry.INFO_SELECTION_PRIORITY
                && info != GPCLRegistryEntry.INFO_GROUP_HEAD_APPLICATION, Sw.WRONG_DATA);
        byte[] value = new byte[length];
        Util.arrayCopyNonAtomic(buffer, offset, value, (short) 0, length);
        if (info == GPCLRegistryEntry.INFO_POLICY_RESTRICTED_APPLICATIONS) {
            entry.contactless.restricted = ContactlessParameters.aids(value);
        } else if (info == GPCLRegistryEntry.INFO_CONTINUOUS_PROCESS) {
            Sw.require(length == 1, Sw.WRONG_DATA);
        }
        contactless.setInformation(entry, info, value);
        return (short) (offset + length);
    }

    GPCLRegistryEntry nextConflicting(ApplicationEntry entry, GPCLRegistryEntry previous) {
        requirePrivilege(Privileges.CONTACTLESS_ACTIVATION);
        return after(contactless.conflicts(entry), previous);
    }

    private static GPCLRegistryEntry after(List<ApplicationEntry> list, GPCLRegistryEntry previous) {
        int at = 0;
        if (previous != null) {
            at = list.indexOf(previous) + 1;
            if (at == 0) {
                return null;
            }
        }
        return at < list.size() ? list.get(at) : null;
    }

    void joinGroup(ApplicationEntry entry, AID head) {
        Sw.require(caller() == entry, Sw.CONDITIONS_NOT_SATISFIED);
        byte[] name = new byte[16];
        byte length = head.getBytes(name, (short) 0);
        contactless.join(entry, Arrays.copyOf(name, length));
    }

    GPCLRegistryEntry nextMember(ApplicationEntry entry, GPCLRegistryEntry previous) {
        ApplicationEntry caller = caller();
        Sw.require(caller.has(Privileges.CONTACTLESS_ACTIVATION) || listens(caller, entry),
                Sw.CONDITIONS_NOT_SATISFIED);
        return after(contactless.members(entry), previous);
    }

    void authorizeMember(ApplicationEntry entry, byte[] buffer, short offset, short length, boolean authorized) {
        requireOwner(entry);
        byte[] member = aid(buffer, offset, length);
        if (authorized) {
            contactless.authorize(entry, member);
        } else {
            contactless.unauthorize(entry, member);
        }
    }

    void setOrder(ApplicationEntry entry, boolean first) {
        requirePrivilege(Privileges.CONTACTLESS_ACTIVATION);
        contactless.order.put(entry, first);
    }

    GPCLRegistryEntry nextCrel(ApplicationEntry entry, GPCLRegistryEntry previous) {
        requirePrivilege(Privileges.CONTACTLESS_ACTIVATION);
        return after(contactless.events.crels(entry), previous);
    }

    void listCrel(ApplicationEntry entry, byte[] buffer, short offset, short length, boolean listed) {
        requireOwner(entry);
        byte[] listener = aid(buffer, offset, length);
        if (listed) {
            contactless.addCrel(entry, listener);
        } else {
            contactless.removeCrel(entry, listener);
        }
    }

    GPCLRegistryEntry nextReferencing(ApplicationEntry entry, GPCLRegistryEntry previous) {
        Sw.require(caller() == entry, Sw.CONDITIONS_NOT_SATISFIED);
        boolean after = previous == null;
        for (ApplicationEntry other : card.registry.applications()) {
            if (after && listens(entry, other)) {
                return other;
            }
            after |= other == previous;
        }
        return null;
    }

    boolean isHead(ApplicationEntry entry) {
        requirePrivilege(Privileges.GLOBAL_REGISTRY);
        return !entry.contactless.group.isEmpty();
    }

    boolean isMember(ApplicationEntry entry) {
        requirePrivilege(Privileges.GLOBAL_REGISTRY);
        return entry.contactless.head != null;
    }
}
