package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import opentsm.open.Entry;
import opentsm.open.Open;

/**
 * The names of a Security Domain: provider identification number (42), image number (45), its manager's URL (5F50); and
 * the Issuer Security Domain's AID (4F), which STORE DATA gives anew.
 *
 * <p>The issuer's numbers are the card's, and with the OPEN; another domain's are its own. All memory is allocated at
 * install.
 *
 * <p>Spec: GP Card 2.3.1 clauses 7.4.1, 11.3.3.1, 11.11; GP Amendment B clause 4.4 for 5F50.
 */
final class OwnData implements DataHolder {
    private static final short NUMBER_SIZE = 16;
    private static final short URL_SIZE = 64;
    private static final short SHORTEST_AID = 5;
    private static final short LONGEST_AID = 16;

    /** Length, then value. */
    private final byte[] providerNumber = new byte[(short) (1 + NUMBER_SIZE)];

    private final byte[] imageNumber = new byte[(short) (1 + NUMBER_SIZE)];
    private final byte[] managerUrl = new byte[(short) (1 + URL_SIZE)];

    /** Details of an effect; used within one call, cleared at reset. */
    private final byte[] scratch;

    OwnData() {
        scratch = JCSystem.makeTransientByteArray((short) 2, JCSystem.CLEAR_ON_RESET);
    }

    private byte[] place(short tag) {
        switch (tag) {
            case Gp.TAG_IIN:
                return providerNumber;
            case Gp.TAG_CIN:
                return imageNumber;
            case Gp.TAG_MANAGER_URL:
                return managerUrl;
            default:
                return null;
        }
    }

    private static boolean isOfCard(short tag) {
        return tag != Gp.TAG_MANAGER_URL && isIssuer();
    }

    private static boolean isIssuer() {
        return Open.self().kind() == Entry.KIND_ISSUER_DOMAIN;
    }

    @Override
    public boolean holds(short tag) {
        return place(tag) != null || tag == Gp.TAG_AID && isIssuer();
    }

    @Override
    public void check(short tag, byte[] buffer, short offset, short length) {
        if (tag == Gp.TAG_AID) {
            if (length < SHORTEST_AID || length > LONGEST_AID || Open.find(buffer, offset, length) != null) {
                ISOException.throwIt(Gp.SW_WRONG_DATA);
            }
            return;
        }
        if (length == 0 || length >= (short) place(tag).length) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
    }

    @Override
    public void store(short tag, byte[] buffer, short offset, short length) {
        if (isOfCard(tag)) {
            Open.setCardData(tag, buffer, offset, length);
            return;
        }
        byte[] stored = place(tag);
        JCSystem.beginTransaction();
        Util.arrayCopy(buffer, offset, stored, (short) 1, length);
        stored[0] = (byte) length;
        JCSystem.commitTransaction();
        Util.setShort(scratch, (short) 0, tag);
        Open.effect(Open.EFFECT_STORE_DATA, scratch, (short) 0, (short) 2);
    }

    @Override
    public short get(short tag, byte[] response, short at) {
        if (tag == Gp.TAG_AID) {
            return Tlv.ABSENT; // the FCI and the registry tell it
        }
        if (isOfCard(tag)) {
            return CardData.ofCard(tag, response, at);
        }
        byte[] stored = place(tag);
        if (stored[0] == 0) {
            return Tlv.ABSENT;
        }
        at = Tlv.putHeader(response, at, tag, stored[0]);
        return Util.arrayCopyNonAtomic(stored, (short) 1, response, at, stored[0]);
    }
}
