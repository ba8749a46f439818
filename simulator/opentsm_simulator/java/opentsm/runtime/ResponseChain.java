package opentsm.runtime;

import java.util.Arrays;

/**
 * A response that is longer than a short command's answer: its host fetches the rest by GET RESPONSE.
 *
 * <p>Spec: ISO 7816-4 clause 5.3.4 (response chaining, 61xx) and 11.1 (GET RESPONSE); GP Card 2.3.1 clause 11.1.5.
 */
final class ResponseChain {
    static final byte GET_RESPONSE = (byte) 0xC0;

    private static final int MOST_SHORT = 256;
    private static final short MORE = 0x6100;

    /** Data and the status word that ends them. */
    private final byte[] answer;

    private int sent;

    private ResponseChain(byte[] answer) {
        this.answer = answer;
    }

    /** Returns a chain for an answer that a short command can't take at once, or null for one that it can. */
    static ResponseChain of(byte[] answer) {
        return answer.length - 2 <= MOST_SHORT ? null : new ResponseChain(answer);
    }

    /** Returns the next part, of at most this many bytes: 61xx ends it while more is left. */
    byte[] next(int most) {
        int left = answer.length - 2 - sent;
        int count = Math.min(Math.min(most, MOST_SHORT), left);
        if (count == left) {
            byte[] last = Arrays.copyOfRange(answer, sent, answer.length);
            sent = answer.length - 2;
            return last;
        }
        byte[] part = Arrays.copyOfRange(answer, sent, sent + count + 2);
        sent += count;
        // xx is what is left, or 00 for 256 and more.
        int shown = left - count >= MOST_SHORT ? 0 : left - count;
        part[count] = (byte) (MORE >> 8);
        part[count + 1] = (byte) shown;
        return part;
    }

    boolean isOver() {
        return sent == answer.length - 2;
    }
}
