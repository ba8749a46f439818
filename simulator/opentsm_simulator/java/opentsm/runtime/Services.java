package opentsm.runtime;

import javacard.framework.Applet;
import javacard.framework.ISOException;
import javacard.framework.Shareable;
import javacard.framework.Util;
import opentsm.open.Entry;
import opentsm.open.Open;
import org.globalplatform.Application;
import org.globalplatform.Personalization;
import org.globalplatform.contactless.GPCLRegistryEntry;

/**
 * What the OPEN does for Security Domains: behind {@link Open}, whose comments say what each method means.
 *
 * <p>Every method refuses callers that are no Security Domain.
 */
public final class Services {
    private static final int SHORTEST_AID = 5;
    private static final int LONGEST_AID = 16;
    private static final short OPERATION_ID = 0x0101;
    private static final int OPERATION_ID_LENGTH = 16;

    private final CardRuntime card;
    private final Registry registry;
    private final ContentManagement content;
    private final Locks locks;

    Services(CardRuntime card) {
        this.card = card;
        this.registry = card.registry;
        this.content = new ContentManagement(card);
        this.locks = card.locks;
    }

    private ApplicationEntry caller() {
        ApplicationEntry caller = card.contexts.current;
        Sw.require(caller != null && caller.has(Privileges.SECURITY_DOMAIN), Sw.CONDITIONS_NOT_SATISFIED);
        return caller;
    }

    private static RegistryEntry own(Entry entry) {
        Sw.require(entry instanceof RegistryEntry, Sw.REFERENCED_DATA_NOT_FOUND);
        RegistryEntry known = (RegistryEntry) entry;
        known.live();
        return known;
    }

    private static ApplicationEntry application(Entry entry) {
        Sw.require(entry instanceof ApplicationEntry, Sw.REFERENCED_DATA_NOT_FOUND);
        return (ApplicationEntry) own(entry);
    }

    public Entry self() {
        return caller();
    }

    public Entry selected() {
        caller();
        return card.channel.selected;
    }

    public short getSelectedAid(byte[] buffer, short offset) {
        caller();
        byte[] name = card.channel.selectedName;
        return Util.arrayCopyNonAtomic(name, (short) 0, buffer, offset, (short) name.length);
    }

    public short getSelection(byte[] buffer, short offset) {
        caller();
        int selection = card.channel.selection;
        Util.setShort(buffer, offset, (short) (selection >> 16));
        return Util.setShort(buffer, (short) (offset + 2), (short) selection);
    }

    public boolean isSelectionInForce(byte[] buffer, short offset) {
        caller();
        return isInForce(Util.getShort(buffer, offset) << 16 | Util.getShort(buffer, (short) (offset + 2)) & 0xFFFF);
    }

    boolean isInForce(int selection) {
        for (CardInterface side : card.interfaces) {
            for (Channel channel : side.channels) {
                if (channel.selected != null && channel.selection == selection) {
                    return true;
                }
            }
        }
        return false;
    }

    public Entry issuerDomain() {
        caller();
        return registry.issuerDomain();
    }

    public boolean manufacturing() {
        caller();
        return card.manufacturing;
    }

    public Entry find(byte[] buffer, short offset, short length) {
        caller();
        return registry.find(buffer, offset, length);
    }

    public Entry next(Entry previous, byte scope) {
        caller();
        return registry.next(previous, scope);
    }

    public Entry install(byte[] buffer, short loadFileLv, short moduleLv, short instanceLv, short privilegesLv,
            short parametersLv, boolean makeSelectable) {
        ApplicationEntry caller = caller();
        content.requireManager(caller);
        return content.install(caller, buffer, loadFileLv, moduleLv, instanceLv, privilegesLv, parametersLv,
                makeSelectable);
    }

    public void makeSelectable(Entry entry, byte[] buffer, short privilegesLv, short parametersLv) {
        ApplicationEntry target = application(entry);
        content.requireManages(caller(), target);
        content.makeSelectable(caller(), target, buffer, privilegesLv, parametersLv);
    }

    public void extradite(Entry entry, Entry newDomain) {
        RegistryEntry target = own(entry);
        content.requireManages(caller(), target);
        content.extradite(caller(), target, application(newDomain));
    }

    public void updateRegistry(Entry entry, Entry newDomain, byte[] buffer, short privilegesLv, short parametersLv) {
        ApplicationEntry target = application(entry);
        content.requireManages(caller(), target);
        content.updateRegistry(caller(), target, newDomain == null ? null : application(newDomain), buffer,
                privilegesLv, parametersLv);
    }

    public void restrict(byte[] buffer, short parametersLv) {
        content.requireManager(caller());
        content.restrict(caller(), buffer, parametersLv);
    }

    public void delete(Entry entry, boolean related) {
        RegistryEntry target = own(entry);
        ApplicationEntry caller = caller();
        boolean delegated = caller.has(Privileges.DELEGATED_MANAGEMENT);
        if (!caller.has(Privileges.GLOBAL_DELETE)) {
            content.requireManages(caller, target);
        } else if (delegated) {
            content.requireManager(caller);
        }
        content.delete(caller, target, related);
    }

    public void setState(Entry entry, byte state) {
        locks.setState(caller(), application(entry), state);
    }

    public void setStateOfAll(Entry entry, byte state) {
        locks.setStateOfAll(caller(), application(entry), state);
    }

    public byte cardState() {
        caller();
        return card.state();
    }

    public void setCardState(byte state) {
        locks.setCardState(caller(), state);
    }

    public void setContactlessState(Entry entry, byte state) {
        ApplicationEntry target = application(entry);
        ApplicationEntry caller = caller();
        Sw.require(caller.has(Privileges.CONTACTLESS_ACTIVATION) || target.isUnder(caller),
                Sw.CONDITIONS_NOT_SATISFIED);
        Sw.require(state == GPCLRegistryEntry.STATE_CL_ACTIVATED || state == GPCLRegistryEntry.STATE_CL_DEACTIVATED,
                Sw.WRONG_DATA);
        card.contactless.change(target, state, false);
    }

    public boolean isPersonalizable(Entry entry) {
        content.requireUnrestricted(caller(), Restrictions.PERSONALIZATION);
        ApplicationEntry caller = caller();
        return caller.has(Privileges.TRUSTED_PATH) && personalizer(application(entry), caller) != null;
    }

    public short personalize(Entry entry, byte[] input, short inputOffset, short inputLength,
            byte[] output, short outputOffset) {
        ApplicationEntry target = application(entry);
        ApplicationEntry caller = caller();
        // Clauses 6.7, 7.3.3: a command is passed on along a trusted path only; the caller is the application's own Security
        // Domain, and the application may be INSTALLED only.
        Sw.require(caller.has(Privileges.TRUSTED_PATH), Sw.CONDITIONS_NOT_SATISFIED);
        Sw.require(target.domain() == caller && !target.isLocked(), Sw.CONDITIONS_NOT_SATISFIED);
        Object personalizer = personalizer(target, caller);
        Sw.require(personalizer != null, Sw.CONDITIONS_NOT_SATISFIED);
        String effect = "store-data " + target + " " + operationId(input, inputOffset, inputLength);
        short written = card.contexts.call(target, caller, () -> {
            if (personalizer instanceof Personalization) {
                return ((Personalization) personalizer)
                        .processData(input, inputOffset, inputLength, output, outputOffset);
            }
            ((Application) personalizer).processData(input, inputOffset, inputLength);
            return (short) 0;
        });
        card.recordEffect(effect);
        return written;
    }

    /** Returns the applet itself when it takes personalization data, or the shareable object it gives for that. */
    private Object personalizer(ApplicationEntry target, ApplicationEntry caller) {
        Applet applet = target.applet;
        if (applet instanceof Personalization || applet instanceof Application) {
            return applet;
        }
        Shareable shared = card.applicationServices().mediated(target, null, (byte) 0);
        return shared instanceof Personalization || shared instanceof Application ? shared : null;
    }

    /**
     * Returns the id in DGI 0101 in hex when a STORE DATA command's data begin with one, else a dash: other data may be
     * secret. What is forwarded is the whole command, header first (GP Card API, Personalization).
     */
    private static String operationId(byte[] command, short offset, short length) {
        boolean extended = length > 7 && command[offset + 4] == 0;
        short at = (short) (offset + (extended ? 7 : 5));
        boolean has = offset + length >= at + 3 + OPERATION_ID_LENGTH && Util.getShort(command, at) == OPERATION_ID
                && command[at + 2] == OPERATION_ID_LENGTH;
        return has ? Hex.encode(command, at + 3, OPERATION_ID_LENGTH) : "-";
    }

    public short getCardData(short tag, byte[] buffer, short offset) {
        caller();
        return card.data.get(tag, buffer, offset);
    }

    public short getResource(byte resource, byte[] buffer, short offset) {
        caller();
        return new Resources(card).get(resource, buffer, offset);
    }

    public void setCardData(short tag, byte[] buffer, short offset, short length) {
        Sw.require(caller().isIssuerDomain(), Sw.CONDITIONS_NOT_SATISFIED);
        Sw.require(CardData.canBeStored(tag), Sw.REFERENCED_DATA_NOT_FOUND);
        byte[] value = new byte[length];
        Util.arrayCopyNonAtomic(buffer, offset, value, (short) 0, length);
        if (tag == CardData.ISSUER_AID) {
            Sw.require(length >= SHORTEST_AID && length <= LONGEST_AID && registry.find(value, 0, length) == null,
                    Sw.WRONG_DATA);
            caller().rename(value);
        } else {
            card.data.put(tag, value);
        }
        card.recordEffect("store-data " + caller() + " " + Hex.encode(new byte[] {(byte) (tag >> 8), (byte) tag}, 0, 2));
    }

    public void effect(byte effect, byte[] detail, short offset, short length) {
        ApplicationEntry caller = caller();
        if (card.manufacturing) {
            return;
        }
        String name;
        switch (effect) {
            case Open.EFFECT_PUT_KEY:
                name = "put-key ";
                break;
            case Open.EFFECT_DELETE_KEY:
                name = "delete-key ";
                break;
            case Open.EFFECT_STORE_DATA:
                name = "store-data ";
                break;
            default:
                ISOException.throwIt(Sw.WRONG_DATA);
                return;
        }
        card.recordEffect(name + caller + " " + Hex.encode(detail, offset, length));
    }
}
