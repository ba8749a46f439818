package opentsm.runtime;

import java.io.ByteArrayOutputStream;
import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;

/**
 * The parameters field of INSTALL: application's, system's, toolkit's and token's.
 *
 * <p>Amounts of memory are kept, and granted whatever they are: this card's memory is not counted yet.
 *
 * <p>Spec: GP Card 2.3.1 clause 11.5.2.3.7, tables 11-48 to 11-53; GP Amendment C for the contactless parameters.
 */
final class InstallParameters {
    private static final int APPLICATION = 0xC9;
    private static final int SYSTEM = 0xEF;
    private static final int TOKEN_TEMPLATE = 0xB6;
    private static final int PROVIDER = 0x5F20;
    private static final int TOKEN_IDENTIFIER = 0x93;
    private static final int IMPLICIT_SELECTION = 0xCF;
    private static final int RESTRICTIONS = 0xD9;
    private static final int GLOBAL_SERVICES = 0xCB;
    private static final int CODE_MINIMUM = 0xC6;
    private static final int VOLATILE_QUOTA = 0xC7;
    private static final int NONVOLATILE_QUOTA = 0xC8;
    private static final int VOLATILE_RESERVED = 0xD7;
    private static final int NONVOLATILE_RESERVED = 0xD8;
    private static final int VOLATILE_GRANTED = 0x82;
    private static final int NONVOLATILE_GRANTED = 0x83;

    /** Value of C9; empty when absent. */
    byte[] application = {};

    boolean hasApplication;

    /** Values of CF; null when there are none. */
    byte[] implicitSelection;

    /** Contactless parameters of EF: A0, A1, 96. */
    final ContactlessParameters contactless = new ContactlessParameters();

    /** Value of D9 (table 11-53): what is no longer to be possible; 0 when absent. */
    int restrictions;

    /** Value of CB: service parameters of two bytes each; null when absent. */
    byte[] globalServices;

    /** Value of 5F20 in B6: the application provider's identifier; null when absent. */
    byte[] provider;

    /** Value of 93 in B6: the token's identifier; empty when absent. */
    byte[] tokenIdentifier = {};

    /** Amounts of memory in bytes, by the tags C6, C7, C8, D7, D8, 82, 83. */
    final Map<Integer, Long> memory = new TreeMap<>();

    private enum Level { TOP, SYSTEM, TEMPLATE }

    private InstallParameters() {}

    /** Reads the value of an LV; an empty one gives no parameters. */
    static InstallParameters parse(byte[] buffer, int offset, int length) {
        InstallParameters parameters = new InstallParameters();
        parameters.read(buffer, offset, offset + length, Level.TOP);
        parameters.requireQuotas();
        return parameters;
    }

    static InstallParameters parse(Lv field) {
        return parse(field.buffer, field.offset, field.length);
    }

    /** Reads the value of a control reference template (B6), as DELETE has it. */
    static InstallParameters parseTemplate(byte[] buffer, int offset, int length) {
        InstallParameters parameters = new InstallParameters();
        parameters.read(buffer, offset, offset + length, Level.TEMPLATE);
        return parameters;
    }

    private void read(byte[] buffer, int from, int end, Level level) {
        int at = from;
        while (at < end) {
            int tag = buffer[at++] & 0xFF;
            if ((tag & 0x1F) == 0x1F) {
                Sw.require(at < end, Sw.WRONG_DATA);
                tag = tag << 8 | buffer[at++] & 0xFF;
            }
            Sw.require(at < end, Sw.WRONG_DATA);
            int length = buffer[at++] & 0xFF;
            if (length >= 0x80) {
                int bytes = length - 0x80;
                Sw.require(bytes >= 1 && bytes <= 2 && at + bytes <= end, Sw.WRONG_DATA);
                length = 0;
                for (; bytes > 0; bytes--) {
                    length = length << 8 | buffer[at++] & 0xFF;
                }
            }
            Sw.require(at + length <= end, Sw.WRONG_DATA);
            take(tag, buffer, at, length, level);
            at += length;
        }
    }

    private void take(int tag, byte[] buffer, int at, int length, Level level) {
        switch (level) {
            case SYSTEM:
                takeSystem(tag, buffer, at, length);
                break;
            case TEMPLATE:
                takeTemplate(tag, buffer, at, length);
                break;
            default:
                if (tag == APPLICATION) {
                    application = copy(buffer, at, length);
                    hasApplication = true;
                } else if (tag == SYSTEM) {
                    read(buffer, at, at + length, Level.SYSTEM);
                } else if (tag == TOKEN_TEMPLATE) {
                    read(buffer, at, at + length, Level.TEMPLATE);
                }
                break;
        }
    }

    private void takeTemplate(int tag, byte[] buffer, int at, int length) {
        if (tag == PROVIDER) {
            Sw.require(length > 0, Sw.WRONG_DATA);
            provider = copy(buffer, at, length);
        } else if (tag == TOKEN_IDENTIFIER) {
            Sw.require(length > 0, Sw.WRONG_DATA);
            tokenIdentifier = copy(buffer, at, length);
        }
    }

    private void takeSystem(int tag, byte[] buffer, int at, int length) {
        switch (tag) {
            case IMPLICIT_SELECTION:
                takeImplicitSelection(buffer, at, length);
                break;
            case RESTRICTIONS:
                Sw.require(length == 1 && (buffer[at] & 0x80) == 0, Sw.WRONG_DATA);
                restrictions = buffer[at] & 0x7F;
                break;
            case GLOBAL_SERVICES:
                Sw.require(length >= 2 && length % 2 == 0, Sw.WRONG_DATA);
                globalServices = copy(buffer, at, length);
                break;
            case CODE_MINIMUM:
            case VOLATILE_QUOTA:
            case NONVOLATILE_QUOTA:
            case VOLATILE_RESERVED:
            case NONVOLATILE_RESERVED:
            case VOLATILE_GRANTED:
            case NONVOLATILE_GRANTED:
                memory.put(tag, amount(buffer, at, length));
                break;
            default:
                contactless.take(tag, copy(buffer, at, length));
                break;
        }
    }

    private void takeImplicitSelection(byte[] buffer, int at, int length) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        if (implicitSelection != null) {
            all.write(implicitSelection, 0, implicitSelection.length);
        }
        all.write(buffer, at, length);
        implicitSelection = all.toByteArray();
    }

    /** An amount of memory: 2 bytes up to 32767, 4 bytes above. */
    private static long amount(byte[] buffer, int at, int length) {
        Sw.require(length == 2 || length == 4, Sw.WRONG_DATA);
        long amount = 0;
        for (int i = 0; i < length; i++) {
            amount = amount << 8 | buffer[at + i] & 0xFF;
        }
        return amount;
    }

    /** A quota is not less than what is reserved (clause 9.7). */
    private void requireQuotas() {
        requireQuota(VOLATILE_QUOTA, VOLATILE_RESERVED);
        requireQuota(NONVOLATILE_QUOTA, NONVOLATILE_RESERVED);
    }

    private void requireQuota(int quota, int reserved) {
        Sw.require(!memory.containsKey(quota) || !memory.containsKey(reserved)
                || memory.get(quota) >= memory.get(reserved), Sw.WRONG_DATA);
    }

    private static byte[] copy(byte[] buffer, int at, int length) {
        return Arrays.copyOfRange(buffer, at, at + length);
    }
}
