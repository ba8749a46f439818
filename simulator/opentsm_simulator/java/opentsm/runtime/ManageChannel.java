package opentsm.runtime;

/**
 * Opens and closes supplementary logical channels.
 *
 * <p>Spec: ISO 7816-4 clause 11.1.2; GP Card 2.3.1 clauses 6.3, 11.7.
 */
final class ManageChannel {
    private static final byte OPEN = 0x00;
    private static final byte CLOSE = (byte) 0x80;

    private final CardRuntime card;
    private final Selection selection;

    ManageChannel(CardRuntime card, Selection selection) {
        this.card = card;
        this.selection = selection;
    }

    byte[] run(Channel origin, byte[] command, CommandForm form) {
        if (form.dataLength != 0) {
            return Sw.answer(Sw.WRONG_LENGTH);
        }
        byte state = card.state();
        if (state == LifeCycle.CARD_LOCKED || state == LifeCycle.CARD_TERMINATED) {
            return Sw.answer(Sw.FUNCTION_NOT_SUPPORTED);
        }
        int number = command[3] & 0xFF;
        if (command[2] == OPEN) {
            return open(origin, number);
        }
        return command[2] == CLOSE ? close(origin, number) : Sw.answer(Sw.INCORRECT_P1_P2);
    }

    private byte[] open(Channel origin, int wanted) {
        CardInterface side = origin.side;
        if (wanted >= CardInterface.CHANNELS) {
            return Sw.answer(Sw.INCORRECT_P1_P2);
        }
        int number = wanted;
        if (wanted == 0) {
            number = firstClosed(side);
            if (number < 0) {
                return Sw.answer(Sw.FUNCTION_NOT_SUPPORTED);
            }
        } else if (side.channels[wanted].open) {
            return Sw.answer(Sw.INCORRECT_P1_P2);
        }
        Channel channel = side.channels[number];
        channel.open = true;
        if (origin.number == 0) {
            selection.selectDefault(channel);
        } else if (origin.selected != null && !selection.selectAs(channel, origin.selected)) {
            channel.open = false;
            return Sw.answer(Sw.CONDITIONS_NOT_SATISFIED);
        }
        return wanted == 0
                ? new byte[] {(byte) number, (byte) (Sw.OK >> 8), (byte) Sw.OK}
                : Sw.answer(Sw.OK);
    }

    private static int firstClosed(CardInterface side) {
        for (int number = 1; number < CardInterface.CHANNELS; number++) {
            if (!side.channels[number].open) {
                return number;
            }
        }
        return -1;
    }

    private byte[] close(Channel origin, int wanted) {
        // P2 00 closes the channel that the class byte names.
        int number = wanted == 0 ? origin.number : wanted;
        if (number == 0 || number >= CardInterface.CHANNELS) {
            return Sw.answer(Sw.INCORRECT_P1_P2);
        }
        Channel channel = origin.side.channels[number];
        if (!channel.open) {
            return Sw.answer(Sw.WARNING_CHANNEL_CLOSED);
        }
        close(channel);
        return Sw.answer(Sw.OK);
    }

    void close(Channel channel) {
        selection.deselect(channel);
        channel.open = false;
    }
}
