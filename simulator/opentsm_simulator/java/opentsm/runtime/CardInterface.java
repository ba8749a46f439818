package opentsm.runtime;

import javacard.framework.APDU;

/**
 * One of the card's two interfaces, contact or contactless, with logical channels 0 to 19 of its own.
 *
 * <p>Commands of both interfaces run one after the other, on whichever thread brings them.
 *
 * <p>Spec: ISO 7816-4 clause 5.4; JCRE 3.0.5 clause 4.
 */
public final class CardInterface {
    static final int CHANNELS = 20;

    final int index;
    final byte protocol;
    final Channel[] channels = new Channel[CHANNELS];

    /** Between the first command, or a reset, and power off. */
    boolean powered;

    private final CardRuntime card;

    CardInterface(CardRuntime card, int index) {
        this.card = card;
        this.index = index;
        this.protocol = contactless()
                ? (byte) (APDU.PROTOCOL_MEDIA_CONTACTLESS_TYPE_A | APDU.PROTOCOL_T1)
                : APDU.PROTOCOL_T1;
        for (int number = 0; number < CHANNELS; number++) {
            channels[number] = new Channel(this, number);
        }
    }

    boolean contactless() {
        return index == 1;
    }

    /** Runs a C-APDU and returns its R-APDU; no command, however malformed, makes it throw. */
    public byte[] transmit(byte[] command) {
        return card.exchange.transmit(this, command);
    }

    /** Tells whether the card is mute because it lost its power, not because an applet runs without end. */
    public boolean isCut() {
        return card.exchange.isCut();
    }

    /** Resets the card on this interface: its channels are closed, and its default application is selected. */
    public void reset() {
        card.exchange.reset(this);
    }

    /** Takes the power from this interface; the next command finds it as after a reset. */
    public void powerOff() {
        card.exchange.powerOff(this);
    }

    /**
     * Returns the channel that a class byte names, or -1 for a class that ISO 7816-4 makes invalid.
     *
     * <p>Spec: ISO 7816-4 clause 5.4.1 (first and further interindustry values); GP Card 2.3.1 clause 11.1.4 for the
     * proprietary ones, which count their channels in the same way.
     */
    static int channelOf(byte classByte) {
        int cla = classByte & 0xFF;
        if ((cla & 0x40) != 0) {
            return cla == 0xFF ? -1 : 4 + (cla & 0x0F);
        }
        if ((cla & 0x20) != 0) {
            // 20 to 3F are reserved; A0 to BF are proprietary (GSM's A0) and know no channel but the basic one.
            return (cla & 0x80) != 0 ? 0 : -1;
        }
        return cla & 0x03;
    }
}
