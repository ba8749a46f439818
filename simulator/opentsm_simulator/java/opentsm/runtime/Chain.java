package opentsm.runtime;

import java.io.ByteArrayOutputStream;

/**
 * Gathers the commands of a chain into one.
 *
 * <p>Spec: ISO 7816-4 clause 5.3.3 (b5 of CLA: not the last command of a chain).
 */
final class Chain {
    private final byte[] header;
    private final ByteArrayOutputStream data = new ByteArrayOutputStream();

    Chain(byte[] firstCommand) {
        header = new byte[] {(byte) (firstCommand[0] & ~0x10), firstCommand[1], firstCommand[2], firstCommand[3]};
    }

    /** Tells whether a command goes on with this chain: same class, instruction and parameters. */
    boolean continuedBy(byte[] command) {
        return (command[0] & ~0x10) == (header[0] & ~0x10) && command[1] == header[1] && command[2] == header[2]
                && command[3] == header[3];
    }

    /** Adds a command's data; false when the chain has become longer than a card's buffer. */
    boolean add(byte[] command, CommandForm form) {
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
