package javacard.framework;

import com.licel.jcardsim.utils.BiConsumer;
import opentsm.runtime.CardRuntime;

/**
 * What every applet extends. In place of jCardSim's, which never tells that an applet is selected again.
 *
 * <p>Spec: Java Card API 3.0.5, javacard.framework.Applet; Java Card RE 3.0.5 chapter 3.
 */
public abstract class Applet {
    private static final byte SHORTEST_AID = 5;
    private static final byte LONGEST_AID = 16;

    /** Who takes applets while one is being installed. jCardSim's runtime finds it by its name. */
    private static final ThreadLocal<BiConsumer<Applet, AID>> registrationCallback = new ThreadLocal<>();

    protected Applet() {}

    public static void install(byte[] bArray, short bOffset, byte bLength) throws ISOException {
        ISOException.throwIt(ISO7816.SW_FUNC_NOT_SUPPORTED);
    }

    public abstract void process(APDU apdu) throws ISOException;

    public boolean select() {
        return true;
    }

    public void deselect() {}

    public Shareable getShareableInterfaceObject(AID clientAID, byte parameter) {
        return null;
    }

    protected final void register() throws SystemException {
        taker().accept(this, null);
    }

    protected final void register(byte[] bArray, short bOffset, byte bLength) throws SystemException {
        if (bLength < SHORTEST_AID || bLength > LONGEST_AID) {
            SystemException.throwIt(SystemException.ILLEGAL_VALUE);
        }
        taker().accept(this, new AID(bArray, bOffset, bLength));
    }

    private static BiConsumer<Applet, AID> taker() {
        BiConsumer<Applet, AID> taker = registrationCallback.get();
        if (taker == null) {
            // Outside of install, or a second time.
            SystemException.throwIt(SystemException.ILLEGAL_AID);
        }
        return taker;
    }

    protected final boolean selectingApplet() {
        return CardRuntime.current().isAppletSelecting(this);
    }

    /**
     * Tells, in select, deselect and process, whether the SELECT command selects again what is selected on its channel.
     * Protected in the API; the verifier sees to that, and translated code calls it from beside the applet's class.
     */
    public static final boolean reSelectingApplet() {
        return CardRuntime.current().isReselecting();
    }
}
