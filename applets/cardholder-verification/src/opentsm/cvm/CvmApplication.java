package opentsm.cvm;

import javacard.framework.AID;
import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Shareable;
import org.globalplatform.GPRegistryEntry;
import org.globalplatform.GPSystem;
import org.globalplatform.GlobalService;

/**
 * The application behind a PIN that others share: it registers the service and hands it out.
 *
 * <p>Its privilege is Global Service, and its system parameters name the service (CB 8211: the CVM family, global PIN).
 * It takes no commands: the PIN comes from an application with CVM Management.
 *
 * <p>Spec: GP Card 2.3.1 clauses 6.6.2.6, 8.1, 8.2; GP Card API 1.7, GlobalService and CVM.
 */
public final class CvmApplication extends Applet implements GlobalService {
    private static final short GLOBAL_PIN = (short) 0x8211;
    private static final short FAMILY = (short) 0x8200;

    private final Clients clients = new Clients();
    private final SharedPin pin = new SharedPin(clients);

    private CvmApplication() {}

    /** Installs it and registers the service; without privilege or recorded name the installation is refused (6985). */
    public static void install(byte[] array, short offset, byte length) {
        new CvmApplication().register(array, (short) (offset + 1), array[offset]);
        GPSystem.getRegistryEntry(null).registerService(GLOBAL_PIN);
    }

    @Override
    public Shareable getShareableInterfaceObject(AID client, byte parameter) {
        return parameter == GPSystem.GLOBAL_SERVICE_IDENTIFIER ? this : null;
    }

    @Override
    public Shareable getServiceInterface(
            GPRegistryEntry client, short service, byte[] parameters, short parametersOffset, short parametersLength) {
        if (client == null || service != GLOBAL_PIN && service != FAMILY) {
            return null;
        }
        clients.remember(client);
        return pin;
    }

    @Override
    public void process(APDU apdu) {
        if (!selectingApplet()) {
            // A SELECT that comes here names no application of this card (JCRE clause 4.5.2).
            ISOException.throwIt(apdu.getBuffer()[ISO7816.OFFSET_INS] == ISO7816.INS_SELECT
                    ? ISO7816.SW_FILE_NOT_FOUND : ISO7816.SW_INS_NOT_SUPPORTED);
        }
    }
}
