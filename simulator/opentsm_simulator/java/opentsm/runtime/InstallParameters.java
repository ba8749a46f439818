package opentsm.runtime;

import java.io.ByteArrayOutputStream;

/**
 * The install parameters field: application's and system parameters.
 *
 * <p>Spec: GP Card 2.3.1 clause 11.5.2.3.7, table 11-49; GP Amendment C for the contactless parameters.
 */
final class InstallParameters {
    private static final int APPLICATION = 0xC9;
    private static final int SYSTEM = 0xEF;
    private static final int IMPLICIT_SELECTION = 0xCF;

    /** Value of C9; empty when absent. */
    byte[] application = {};

    boolean hasApplication;

    /** Values of CF; null when there are none. */
    byte[] implicitSelection;

    /** Contactless parameters of EF: A0, A1, 96. */
    final ContactlessParameters contactless = new ContactlessParameters();

    private InstallParameters() {}

    /** Reads the value of an LV; an empty one gives no parameters. */
    static InstallParameters parse(byte[] buffer, int offset, int length) {
        InstallParameters parameters = new InstallParameters();
        parameters.read(buffer, offset, offset + length, false);
        return parameters;
    }

    private void read(byte[] buffer, int from, int end, boolean system) {
        int at = from;
        while (at < end) {
            int tag = buffer[at++] & 0xFF;
            if ((tag & 0x1F) == 0x1F) {
                Sw.require(at < end, Sw.WRONG_DATA);
                tag = tag << 8 | buffer[at++] & 0xFF;
            }
            Sw.require(at < end, Sw.WRONG_DATA);
            int length = buffer[at++] & 0xFF;
            if (length == 0x81) {
                Sw.require(at < end, Sw.WRONG_DATA);
                length = buffer[at++] & 0xFF;
            } else {
                Sw.require(length < 0x80, Sw.WRONG_DATA);
            }
            Sw.require(at + length <= end, Sw.WRONG_DATA);
            take(tag, buffer, at, length, system);
            at += length;
        }
    }

    private void take(int tag, byte[] buffer, int at, int length, boolean system) {
        if (!system && tag == APPLICATION) {
            application = copy(buffer, at, length);
            hasApplication = true;
        } else if (!system && tag == SYSTEM) {
            read(buffer, at, at + length, true);
        } else if (system && tag == IMPLICIT_SELECTION) {
            ByteArrayOutputStream all = new ByteArrayOutputStream();
            if (implicitSelection != null) {
                all.write(implicitSelection, 0, implicitSelection.length);
            }
            all.write(buffer, at, length);
            implicitSelection = all.toByteArray();
        } else if (system) {
            contactless.take(tag, copy(buffer, at, length));
        }
    }

    private static byte[] copy(byte[] buffer, int at, int length) {
        byte[] value = new byte[length];
        System.arraycopy(buffer, at, value, 0, length);
        return value;
    }
}
