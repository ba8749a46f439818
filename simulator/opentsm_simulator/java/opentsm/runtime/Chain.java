package opentsm.runtime;

import java.io.ByteArrayOutputStream;

/**
 * Gathers the commands of a chain into one: that of ISO 7816-4, whose class byte says that more follows, or that of
 * GlobalPlatform, whose P1 says so.
 *
 * <p>Spec: ISO 7816-4 clause 5.3.3 (b5 of CLA: not the last command of a chain); GP Card 2.3.1 clause 11.1.5.1.
 */
final class Chain {
    private static final int CLASS = 0;
    private static final int MORE_BY_CLASS = 0x10;
    private static final int P1 = 2;
    private static final int MORE_BY_P1 = 0x80;

    private static final byte DELETE = (byte) 0xE4;
    private static final byte INSTALL = (byte) 0xE6;
    private static final byte PUT_KEY = (byte) 0xD8;
    private static final byte PERFORM_SECURITY_OPERATION = 0x2A;

    private final byte[] header;

    /** Which byte of the header, and which bit of it, says that more follows. */
    private final int position;

    private final int bit;

    private final ByteArrayOutputStream data = new ByteArrayOutputStream();

    private Chain(byte[] firstCommand, int position, int bit) {
        this.position = position;
        this.bit = bit;
        header = new byte[] {firstCommand[0], firstCommand[1], firstCommand[2], firstCommand[3]};
        header[position] &= ~bit;
    }

    /** Begins a chain of ISO 7816-4. */
    static Chain byClass(byte[] firstCommand) {
        return new Chain(firstCommand, CLASS, MORE_BY_CLASS);
    }

    /** Begins a chain of GlobalPlatform. */
    static Chain byP1(byte[] firstCommand) {
        return new Chain(firstCommand, P1, MORE_BY_P1);
    }

    /** Tells whether a command of GlobalPlatform's class says by P1 that more of it follows. */
    static boolean isMoreByP1(byte[] command) {
        boolean chains = command[1] == DELETE || command[1] == INSTALL || command[1] == PUT_KEY;
        return chains && command[CLASS] < 0 && (command[P1] & MORE_BY_P1) != 0;
    }

    /**
     * Tells whether a command goes on with this chain: same class, instruction and parameters. PERFORM SECURITY OPERATION
     * says by P1 too that more follows, and hosts use both at once (GP Amendment F clause 6.4).
     */
    boolean continuedBy(byte[] command) {
        for (int i = 0; i < header.length; i++) {
            int free = i == position ? bit : i == P1 && isCertificate(command) ? MORE_BY_P1 : 0;
            if (((command[i] ^ header[i]) & ~free & 0xFF) != 0) {
                return false;
            }
        }
        return true;
    }

    private static boolean isCertificate(byte[] command) {
        return command[1] == PERFORM_SECURITY_OPERATION;
    }

    /** Adds a command's data; false when the chain has become longer than a card's buffer. */
    boolean add(byte[] command, CommandForm form) {
        if (isCertificate(command)) {
            header[P1] = command[P1];
        }
        data.write(command, form.dataOffset, form.dataLength);
        return data.size() <= CommandForm.MOST_DATA;
    }

    /** Returns the whole command, short when its data allow it, with the last command's Le. */
    byte[] whole(short expected) {
        byte[] body = data.toByteArray();
        boolean extended = body.length > 255;
        byte[] command = new byte[4 + (extended ? 3 + body.length + 2 : body.length == 0 ? 1 : 1 + body.length + 1)];
        System.arraycopy(header, 0, command, 0, 4);
        int at = 4;
        if (extended) {
            command[at++] = 0;
            command[at++] = (byte) (body.length >> 8);
        }
        if (body.length != 0) {
            command[at++] = (byte) body.length;
        }
        System.arraycopy(body, 0, command, at, body.length);
        at += body.length;
        boolean any = expected == CommandForm.ANY_SHORT || expected == CommandForm.ANY_EXTENDED;
        if (extended) {
            command[at++] = (byte) (any ? 0 : expected >> 8);
        }
        command[at] = (byte) (any ? 0 : expected);
        return command;
    }
}
