package opentsm.openpgp;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;

/**
 * A response that may be longer than one answer: the host gets the rest by GET RESPONSE.
 *
 * <p>Spec: ISO 7816-4 clause 5.3.4; OpenPGP card 3.4 clause 7.4 (response chaining).
 */
final class Response {
    private static final short MOST = 256;

    private static final short NEXT = 0;
    private static final short LEFT = 1;

    /** The array that the response is in. */
    private final Object[] source = JCSystem.makeTransientObjectArray((short) 1, JCSystem.CLEAR_ON_DESELECT);

    private final short[] position = JCSystem.makeTransientShortArray((short) 2, JCSystem.CLEAR_ON_DESELECT);

    void set(byte[] data, short length) {
        source[0] = data;
        position[NEXT] = 0;
        position[LEFT] = length;
    }

    void clear() {
        source[0] = null;
        position[LEFT] = 0;
    }

    boolean isEmpty() {
        return position[LEFT] == 0;
    }

    /** Sends what the command takes, and says how much is left. */
    void send(APDU apdu) {
        short expected = apdu.setOutgoing();
        short part = expected > 0 && expected < MOST ? expected : MOST;
        if (part > position[LEFT]) {
            part = position[LEFT];
        }
        apdu.setOutgoingLength(part);
        apdu.sendBytesLong((byte[]) source[0], position[NEXT], part);
        position[NEXT] += part;
        position[LEFT] -= part;
        short left = position[LEFT];
        if (left == 0) {
            clear();
            return;
        }
        ISOException.throwIt((short) (ISO7816.SW_BYTES_REMAINING_00 | (left > 0xFF ? (short) 0 : left)));
    }
}
