package ticket;

import javacard.framework.AID;
import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.MultiSelectable;
import javacard.framework.Shareable;
import javacard.framework.Util;
import org.globalplatform.contactless.CLApplet;
import org.globalplatform.contactless.CLAppletActivationPolicy;
import org.globalplatform.contactless.CRELApplication;
import org.globalplatform.contactless.GPCLRegistryEntry;
import org.globalplatform.contactless.GPCLSystem;

/** Calls each method of the contactless API, on itself or on the application whose AID is the data field. */
public final class Ticket extends Applet implements MultiSelectable, CLApplet, CRELApplication, CLAppletActivationPolicy {
    private final byte[] log = new byte[512];
    private short logged;
    private boolean refuses;
    private boolean throwsBack;

    public static void install(byte[] array, short offset, byte length) {
        new Ticket().register(array, (short) (offset + 1), array[offset]);
    }

    public boolean select(boolean active) {
        return true;
    }

    public void deselect(boolean active) {
    }

    public void process(APDU apdu) {
        byte[] buffer = apdu.getBuffer();
        short length = apdu.setIncomingAndReceive();
        if (selectingApplet()) {
            apdu.setOutgoingAndSend((short) 0, JCSystem.getAID().getBytes(buffer, (short) 0));
            return;
        }
        byte p1 = buffer[ISO7816.OFFSET_P1];
        short info = Util.getShort(buffer, ISO7816.OFFSET_P1);
        short end = 0;
        switch (buffer[ISO7816.OFFSET_INS]) {
            case 0x10:
                buffer[0] = entry(buffer, length).setCLState(p1);
                end = 1;
                break;
            case 0x11:
                buffer[0] = entry(buffer, length).getCLState();
                end = 1;
                break;
            case 0x12:
                Util.arrayCopyNonAtomic(log, (short) 0, buffer, (short) 0, logged);
                end = logged;
                logged = 0;
                break;
            case 0x13:
                end = entry(buffer, length).getInfo(buffer, (short) 0, info);
                break;
            case 0x14:
                own().setInfo(buffer, ISO7816.OFFSET_CDATA, length, info);
                break;
            case 0x15:
                own().joinGroup(name(buffer, length));
                break;
            case 0x16:
                if (p1 == 1) {
                    own().addToGroupAuthorizationList(buffer, ISO7816.OFFSET_CDATA, length);
                } else {
                    own().removeFromGroupAuthorizationList(buffer, ISO7816.OFFSET_CDATA, length);
                }
                break;
            case 0x17:
                if (p1 == 1) {
                    own().addToCRELApplicationList(buffer, ISO7816.OFFSET_CDATA, length);
                } else {
                    own().removeFromCRELApplicationList(buffer, ISO7816.OFFSET_CDATA, length);
                }
                break;
            case 0x18:
                end = list((byte) -1, null, info, buffer);
                break;
            case 0x19:
                end = list(p1, entry(buffer, length), (short) 0, buffer);
                break;
            case 0x1A:
                boolean head = entry(buffer, length).isGroupHead();
                buffer[1] = (byte) (entry(buffer, length).isGroupMember() ? 1 : 0);
                buffer[0] = (byte) (head ? 1 : 0);
                end = 2;
                break;
            case 0x1B:
                end = GPCLSystem.getCardCLInfo(buffer, (short) 0, info);
                break;
            case 0x1C:
                entry(buffer, length).setPartialSelectionOrder(p1 == 1);
                break;
            case 0x1D:
                GPCLSystem.setVolatilePriority(length == 0 ? null : entry(buffer, length));
                break;
            case 0x1E:
                GPCLSystem.setCommunicationInterface(buffer[ISO7816.OFFSET_P2], p1 == 1);
                break;
            case 0x1F:
                short side = GPCLSystem.GPCL_PROXIMITY_IO_INTERFACE;
                buffer[1] = (byte) (GPCLSystem.checkCommunicationInterfaceAccess(own(), side) ? 1 : 0);
                buffer[0] = (byte) (GPCLSystem.isCommunicationInterfaceEnabled(side) ? 1 : 0);
                end = 2;
                break;
            case 0x20:
                refuses = p1 == 1;
                throwsBack = p1 == 2;
                break;
            case 0x21:
                GPCLSystem.launchHostDeviceApplication(buffer, (short) 0, (short) 0);
                break;
            case 0x22:
                Util.setShort(buffer, (short) 0, GPCLSystem.getHostDeviceUserInterfaceState());
                end = 2;
                break;
            default:
                ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
        }
        apdu.setOutgoingAndSend((short) 0, end);
    }

    private static GPCLRegistryEntry own() {
        return GPCLSystem.getGPCLRegistryEntry(null);
    }

    private static AID name(byte[] buffer, short length) {
        AID found = JCSystem.lookupAID(buffer, ISO7816.OFFSET_CDATA, (byte) length);
        if (found == null) {
            ISOException.throwIt((short) 0x6A88);
        }
        return found;
    }

    private static GPCLRegistryEntry entry(byte[] buffer, short length) {
        GPCLRegistryEntry found = length == 0 ? own() : GPCLSystem.getGPCLRegistryEntry(name(buffer, length));
        if (found == null) {
            ISOException.throwIt((short) 0x6A82);
        }
        return found;
    }

    private static short list(byte which, GPCLRegistryEntry of, short family, byte[] buffer) {
        short at = 0;
        GPCLRegistryEntry next = next(which, of, family, null);
        while (next != null) {
            buffer[at] = next.getAID().getBytes(buffer, (short) (at + 1));
            at += (short) (1 + buffer[at]);
            next = next(which, of, family, next);
        }
        return at;
    }

    private static GPCLRegistryEntry next(byte which, GPCLRegistryEntry of, short family, GPCLRegistryEntry previous) {
        switch (which) {
            case 0:
                return of.getNextGroupMember(previous);
            case 1:
                return of.getNextCRELApplication(previous);
            case 2:
                return of.getNextReferencingApplication(previous);
            case 3:
                return of.getNextConflictingApplication(previous);
            default:
                return GPCLSystem.getNextGPCLRegistryEntry(previous, family);
        }
    }

    public Shareable getShareableInterfaceObject(AID client, byte parameter) {
        if (client != null) {
            return null;
        }
        switch (parameter) {
            case GPCLSystem.GPCL_CL_APPLICATION:
            case GPCLSystem.GPCL_CREL_APPLICATION:
            case GPCLSystem.GPCL_CL_APPLICATION_ACTIVATION_POLICY:
                return this;
            default:
                return null;
        }
    }

    /** Notes 00, the event. */
    public void notifyCLEvent(short event) {
        log[logged++] = 0;
        logged = Util.setShort(log, logged, event);
        answerBack();
    }

    /** Notes length and AID, the event; and who called: nobody, the OPEN. */
    public void notifyCLEvent(GPCLRegistryEntry target, short event) {
        if (JCSystem.getPreviousContextAID() != null) {
            ISOException.throwIt((short) 0x6F01);
        }
        log[logged] = target.getAID().getBytes(log, (short) (logged + 1));
        logged += (short) (1 + log[logged]);
        logged = Util.setShort(log, logged, event);
        answerBack();
    }

    private void answerBack() {
        if (throwsBack) {
            JCSystem.beginTransaction();
            throw new NullPointerException();
        }
    }

    public boolean acceptActivation() {
        return !refuses;
    }

    public short getNextApplicationConflictInfo(byte[] buffer, short offset) {
        return offset;
    }
}
