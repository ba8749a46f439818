package opentsm.runtime;

import java.util.function.Supplier;

/**
 * What the card does, one thing at a time: it answers a command, is reset, loses its power, or lets its rig look at it.
 *
 * <p>It is bound to the calling thread meanwhile. Behind each, what is asked for by then is done (selections looked at again,
 * objects deleted), and what the card keeps without power is kept before an answer leaves.
 *
 * <p>Spec: ISO 7816-3 clause 12; JCRE 3.0.5 clauses 3.5, 3.6, 4.
 */
final class Exchange {
    private static final byte[] NOTHING = {};

    private final CardRuntime card;
    private final Selection selection;
    private final Dispatcher dispatcher;
    private final Power power;
    private final CommandForm form = new CommandForm();

    /** Not an interface of the card: where {@link #ask} has its channel. */
    private final CardInterface backstage;

    /** Another card has taken its place, and its classes. */
    private boolean replaced;

    /** An applet has asked for the deletion of what it reaches no more. */
    private boolean deletionRequested;

    /** Selections have to be looked at again once the command that runs is answered. */
    private boolean reviewSelections;

    Exchange(CardRuntime card) {
        this.card = card;
        backstage = new CardInterface(card, 2);
        selection = new Selection(card);
        dispatcher = new Dispatcher(card, selection, form);
        power = new Power(card, selection);
    }

    /** Has selections that are no longer allowed ended behind the command that runs. */
    void reviewSelections() {
        reviewSelections = true;
    }

    /** Has what no applet reaches any more deleted behind the command that runs. */
    void requestDeletion() {
        deletionRequested = true;
    }

    /** Tells whether the power was cut and no reset has brought it back, or an applet made the card lock up. */
    synchronized boolean isCut() {
        return card.memory.writes.isCut();
    }

    private boolean isMute() {
        return replaced || card.budget.isExhausted() || card.memory.writes.isCut();
    }

    /** Lets somebody look at the card while it does nothing else. */
    synchronized <T> T alone(Supplier<T> look) {
        return look.get();
    }

    // Commands.

    /** Runs a command; null when the card is mute, because of this command or one before. */
    synchronized byte[] transmit(CardInterface side, byte[] command) {
        card.faults.begin(); // a mute card tells once why it is
        if (isMute()) {
            return null;
        }
        card.begin();
        try {
            if (card.trace != null) {
                return traced(side, command);
            }
            byte[] answer = run(side, command);
            if (deletionRequested && !isMute()) {
                deletionRequested = false;
                ObjectDeletion.run(card);
            }
            // What the command left behind is kept before its answer leaves.
            return keep(true) && !isMute() ? answer : null;
        } finally {
            card.memory.end();
        }
    }

    private byte[] traced(CardInterface side, byte[] command) {
        int number = command.length == 0 ? -1 : CardInterface.channelOf(command[0]);
        Channel on = side.channels[Math.max(number, 0)];
        card.trace.begin(card, on);
        byte[] answer = run(side, command);
        answer = isMute() ? null : answer;
        card.trace.end(card, side, on, command, answer);
        return answer;
    }

    private byte[] run(CardInterface side, byte[] command) {
        if (side.contactless() && !card.contactless.enabled) {
            // Off, the interface is as mute as a card that is out of the field.
            return NOTHING;
        }
        if (!side.powered) {
            power.on(side);
        }
        if (!form.parse(command)) {
            return Sw.answer(Sw.WRONG_LENGTH);
        }
        int number = CardInterface.channelOf(command[0]);
        if (number < 0) {
            return Sw.answer(Sw.CLASS_NOT_SUPPORTED);
        }
        Channel on = side.channels[number];
        boolean opens = !on.open;
        if (opens && !dispatcher.isOpening(command)) {
            return Sw.answer(Sw.CHANNEL_NOT_SUPPORTED);
        }
        on.open = true;
        byte[] answer;
        try {
            answer = dispatcher.answer(on, command);
        } catch (Throwable fault) {
            // A fault of the runtime is the card's, not its host's.
            answer = Sw.answer(Sw.NO_PRECISE_DIAGNOSIS);
        } finally {
            card.reselecting = false;
        }
        on.open &= !opens || on.selected != null;
        if (reviewSelections) {
            reviewSelections = false;
            power.review();
        }
        return answer;
    }

    /** Has an application answer a command beside all interfaces ({@link Rig#ask}). */
    synchronized byte[] ask(byte[] aid, byte[] command) {
        ApplicationEntry entry = card.registry.application(aid);
        Channel on = backstage.channels[0];
        if (isMute() || entry == null || !form.parse(command)) {
            return NOTHING;
        }
        card.begin();
        try {
            if (!selection.selectAs(on, entry)) {
                return NOTHING;
            }
            try {
                return card.process(on, command, form, false);
            } finally {
                selection.deselect(on);
                keep(true);
            }
        } finally {
            card.memory.end();
        }
    }

    // Power.

    /** Ends the session of an interface, and begins another. */
    synchronized void reset(CardInterface side) {
        Channel basic = side.channels[0];
        if (card.trace != null) {
            card.trace.begin(card, basic);
        }
        powerOff(side);
        card.begin();
        card.faults.begin();
        try {
            power.on(side);
            keep(false);
        } finally {
            card.memory.end();
        }
        if (card.trace != null) {
            card.trace.end(card, side, basic, null, null);
        }
    }

    /** Ends a session: in order, or because the power was cut, and then on both interfaces. */
    synchronized void powerOff(CardInterface side) {
        card.budget.reset();
        card.begin();
        try {
            if (card.memory.writes.isCut()) {
                power.lost();
            } else {
                power.off(side);
            }
            keep(false);
        } finally {
            card.memory.end();
        }
    }

    // What the card keeps without power.

    /**
     * Tells whether all that the card keeps is kept; otherwise it locks up.
     *
     * @param told whether nothing else than what was told of its write can have changed
     */
    private boolean keep(boolean told) {
        if (card.image == null) {
            return true;
        }
        boolean changed = card.memory.takeChanged() || !told;
        if (changed && !card.memory.writes.isCut() && !card.image.keep(card)) {
            card.memory.writes.lose();
            return false;
        }
        return true;
    }

    /** Has another card made of this one's classes; this one answers nothing more. */
    synchronized void giveWay(Runnable making) {
        making.run();
        replaced = true;
    }
}
