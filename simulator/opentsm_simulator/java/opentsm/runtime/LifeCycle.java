package opentsm.runtime;

/**
 * Life cycle states of the card, of applications and of Security Domains, and their transitions.
 *
 * <p>Spec: GP Card 2.3.1 clause 5, tables 11-3 to 11-6.
 */
final class LifeCycle {
    static final byte CARD_OP_READY = 0x01;
    static final byte CARD_INITIALIZED = 0x07;
    static final byte CARD_SECURED = 0x0F;
    static final byte CARD_LOCKED = 0x7F;
    static final byte CARD_TERMINATED = (byte) 0xFF;

    static final byte LOADED = 0x01;
    static final byte INSTALLED = 0x03;
    static final byte SELECTABLE = 0x07;
    static final byte PERSONALIZED = 0x0F;

    /** Bit 8 of an application's state: it is locked, in whatever state the other bits say. */
    static final byte LOCKED = (byte) 0x80;

    private LifeCycle() {}

    /** Tells whether the card may go from one state to another (figure 5-1). */
    static boolean cardMay(byte from, byte to) {
        if (to == CARD_TERMINATED) {
            return from != CARD_TERMINATED;
        }
        switch (from) {
            case CARD_OP_READY:
                return to == CARD_INITIALIZED || to == CARD_SECURED;
            case CARD_INITIALIZED:
                return to == CARD_SECURED;
            case CARD_SECURED:
                return to == CARD_LOCKED;
            case CARD_LOCKED:
                return to == CARD_SECURED;
            default:
                return false;
        }
    }

    /**
     * Tells whether an application may put itself from one state into another, locks apart.
     *
     * <p>An application uses any state whose three low bits are set and whose bit 8 is clear, a Security Domain only
     * PERSONALIZED; nothing leads back to INSTALLED, and only INSTALL leads from it (tables 11-4, 11-5).
     */
    static boolean applicationMay(boolean domain, byte from, byte to) {
        if (from == INSTALLED || from == to || (to & 0x87) != SELECTABLE) {
            return false;
        }
        return !domain || to == PERSONALIZED;
    }
}
