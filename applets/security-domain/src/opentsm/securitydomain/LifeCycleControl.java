package opentsm.securitydomain;

import javacard.framework.ISOException;
import opentsm.open.Entry;
import opentsm.open.Open;
import org.globalplatform.GPRegistryEntry;
import org.globalplatform.contactless.GPCLRegistryEntry;

/**
 * SET STATUS: of the card, of an application, of a domain with all under it, and of contactless activation.
 *
 * <p>Spec: GP Card 2.3.1 clauses 5, 9.6, 11.10.
 */
final class LifeCycleControl {
    /** P1 (table 11-86). */
    static final byte SCOPE_CARD = (byte) 0x80;

    private static final byte SCOPE_APPLICATION = 0x40;
    private static final byte SCOPE_DOMAIN_AND_ALL = 0x60;

    /**
     * Contactless activation of one application, in the coding of the CRS application's SET STATUS (GP Amendment C),
     * which will take it over.
     */
    private static final byte SCOPE_CONTACTLESS = 0x01;

    LifeCycleControl() {}

    /** Runs SET STATUS; it has no response data. */
    short set(byte[] buffer, byte p1, byte p2, short data, short end) {
        switch (p1) {
            case SCOPE_CARD:
                setCard(p2);
                break;
            case SCOPE_APPLICATION:
                setApplication(buffer, p2, data, end);
                break;
            case SCOPE_DOMAIN_AND_ALL:
                Open.setStateOfAll(target(buffer, p2, data, end), p2);
                break;
            case SCOPE_CONTACTLESS:
                setContactless(buffer, p2, data, end);
                break;
            default:
                ISOException.throwIt(Gp.SW_INCORRECT_P1P2);
                break;
        }
        return 0;
    }

    /**
     * The data field is ignored, whatever AID a host names in it (clause 11.10.2.3); the OPEN knows the transitions and
     * their privileges.
     */
    private static void setCard(byte p2) {
        if (p2 != Gp.CARD_OP_READY && p2 != Gp.CARD_INITIALIZED && p2 != Gp.CARD_SECURED && p2 != Gp.CARD_LOCKED
                && p2 != Gp.CARD_TERMINATED) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        Open.setCardState(p2);
    }

    /**
     * Returns the application whose AID is the data field: one under this domain, or any with Global Lock (9.6.2).
     *
     * <p>A supplementary domain may lock itself too; who is above unlocks it (clauses 5.3.2.4, 11.10.2.2). To make itself
     * PERSONALIZED is never left to do: it is, as soon as it has a key set of its own.
     */
    private static Entry target(byte[] buffer, byte p2, short data, short end) {
        Entry self = Authority.ready();
        Entry application = Authority.find(buffer, data, (short) (end - data));
        if (application == self && self.kind() == Entry.KIND_DOMAIN && (p2 & Gp.STATE_LOCKED_BIT) != 0) {
            return self;
        }
        Authority.requireReach(application, self, GPRegistryEntry.PRIVILEGE_GLOBAL_LOCK);
        return application;
    }

    /**
     * Locks (b8 set) or unlocks: hosts send 00, 07, 80, 83 or the state itself. States that only an application gives
     * itself are not set from outside.
     */
    private static void setApplication(byte[] buffer, byte p2, short data, short end) {
        Entry application = target(buffer, p2, data, end);
        if ((p2 & Gp.STATE_LOCKED_BIT) == 0 && (application.state() & Gp.STATE_LOCKED_BIT) == 0) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        Open.setState(application, p2);
    }

    /** The data field is the AID in 4F. */
    private static void setContactless(byte[] buffer, byte p2, short data, short end) {
        Entry self = Authority.ready();
        if (p2 != GPCLRegistryEntry.STATE_CL_ACTIVATED && p2 != GPCLRegistryEntry.STATE_CL_DEACTIVATED) {
            ISOException.throwIt(Gp.SW_INCORRECT_P1P2);
        }
        short field = Tlv.find(buffer, data, end, Gp.TAG_AID);
        if (field == Tlv.ABSENT) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        Entry application =
                Authority.find(buffer, Tlv.valueOffset(buffer, field), Tlv.length(buffer, field, end));
        Authority.requireReach(application, self, GPCLRegistryEntry.PRIVILEGE_CONTACTLESS_ACTIVATION);
        Open.setContactlessState(application, p2);
    }
}
