package opentsm.runtime;

import java.io.ByteArrayOutputStream;

/**
 * The install parameters field: application's and system parameters.
 *
 * <p>Spec: GP Card 2.3.1 clause 11.5.2.3.7, table 11-49; GP Amendment C clause 3.7 for tag A0.
 */
final class InstallParameters {
    private static final int APPLICATION = 0xC9;
    private static final int SYSTEM = 0xEF;
    private static final int IMPLICIT_SELECTION = 0xCF;
    private static final int CONTACTLESS_PROTOCOL = 0xA0;
    private static final int INITIAL_CONTACTLESS_STATE = 0x81;

    /** Value of C9; empty when absent. */
    byte[] application = {};

    boolean hasApplication;

    /** Values of CF; null when there are none. */
    byte[] implicitSelection;

    /** Value of 81 in A0, or null. */
    Byte contactlessState;

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
        } else if (system && tag == CONTACTLESS_PROTOCOL) {
            readContactless(buffer, at, at + length);
        }
    }

    private void readContactless(byte[] buffer, int from, int end) {
        for (int at = from; at + 2 <= end; at += 2 + (buffer[at + 1] & 0xFF)) {
            int length = buffer[at + 1] & 0xFF;
            Sw.require(at + 2 + length <= end, Sw.WRONG_DATA);
            if ((buffer[at] & 0xFF) == INITIAL_CONTACTLESS_STATE) {
                Sw.require(length == 1, Sw.WRONG_DATA);
                contactlessState = buffer[at + 2];
            }
        }
    }

    private static byte[] copy(byte[] buffer, int at, int length) {
        byte[] value = new byte[length];
        System.arraycopy(buffer, at, value, 0, length);
        return value;
    }
}
