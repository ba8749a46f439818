package opentsm.runtime;

import java.lang.reflect.Field;
import java.util.Arrays;
import javacard.framework.APDU;
import javacard.framework.ISO7816;

/**
 * Fills one of jCardSim's APDU objects.
 *
 * <p>jCardSim's own reset runs by reflection for each command, knows no channel, and lets Le overflow a full buffer; here
 * its private arrays are fetched once and written directly.
 */
final class ApduBridge {
    // Positions in jCardSim's arrays of variables and flags.
    private static final int LE = 0;
    private static final int LC = 3;
    private static final int CHANNEL = 6;
    private static final int PROTOCOL = 7;
    private static final int REMAINING = 8;
    private static final int ACCESS_ALLOWED = 5;

    final APDU apdu;
    private final short[] variables;
    private final boolean[] flags;
    private final byte[] buffer;

    ApduBridge(APDU apdu) {
        this.apdu = apdu;
        this.variables = (short[]) valueOf(apdu, "ramVars");
        this.flags = (boolean[]) valueOf(apdu, "flags");
        this.buffer = apdu.getBuffer();
    }

    private static Object valueOf(APDU apdu, String name) {
        try {
            Field field = APDU.class.getDeclaredField(name);
            field.setAccessible(true);
            return field.get(apdu);
        } catch (ReflectiveOperationException other) {
            throw new IllegalStateException("this is not the jCardSim that was pinned", other);
        }
    }

    /** Puts a command before the applet, in the state in which process() finds it. */
    void load(byte[] command, CommandForm form, int channel, byte protocol) {
        Arrays.fill(buffer, (byte) 0);
        Arrays.fill(variables, (short) 0);
        Arrays.fill(flags, false);
        flags[ACCESS_ALLOWED] = true;
        variables[PROTOCOL] = protocol;
        variables[CHANNEL] = (short) channel;
        variables[LE] = form.expected;
        variables[LC] = (short) form.dataLength;
        variables[REMAINING] = (short) form.dataLength;
        // Without Le: 255 data bytes and Le do not fit into the 260 bytes of jCardSim's buffer.
        System.arraycopy(command, 0, buffer, 0, ISO7816.OFFSET_LC);
        if (form.extended) {
            buffer[ISO7816.OFFSET_LC + 1] = (byte) (form.dataLength >> 8);
            buffer[ISO7816.OFFSET_LC + 2] = (byte) form.dataLength;
        } else {
            buffer[ISO7816.OFFSET_LC] = form.p3;
        }
        if (form.dataLength != 0) {
            System.arraycopy(command, form.dataOffset, buffer, form.dataOffset, form.dataLength);
        }
    }

    /** Closes the APDU: outside process() an applet must not see it (JCRE clause 6.2.2). */
    void close() {
        flags[ACCESS_ALLOWED] = false;
    }
}
