package opentsm.runtime;

import javacard.framework.Util;

/**
 * Says who answers a command: the OPEN itself (MANAGE CHANNEL, SELECT by name, GET RESPONSE) or what is selected, and
 * gathers chains on the way.
 *
 * <p>Spec: GP Card 2.3.1 clauses 6.3, 11.1.5; ISO 7816-4 clauses 5.3.3, 5.3.4; JCRE 3.0.5 clause 4.5.
 */
final class Dispatcher {
    private static final byte SELECT = (byte) 0xA4;
    private static final byte MANAGE_CHANNEL = 0x70;
    private static final byte GET_DATA = (byte) 0xCA;
    private static final byte GET_DATA_ODD = (byte) 0xCB;
    private static final byte BY_NAME = 0x04;
    private static final byte CHAINED = 0x10;

    private final CardRuntime card;
    private final Selection selection;
    private final ManageChannel manageChannel;

    /** Where the parts of the command are that is being answered. */
    private final CommandForm form;

    Dispatcher(CardRuntime card, Selection selection, CommandForm form) {
        this.card = card;
        this.selection = selection;
        this.manageChannel = new ManageChannel(card, selection);
        this.form = form;
    }

    /** Tells whether a command opens the closed channel that it names: a SELECT of a name does (JCRE clause 4.5.2). */
    boolean isOpening(byte[] command) {
        return isSelectByName(command) && form.dataLength != 0 && card.state() != LifeCycle.CARD_LOCKED
                && card.state() != LifeCycle.CARD_TERMINATED;
    }

    private static boolean isSelectByName(byte[] command) {
        return command[1] == SELECT && command[2] == BY_NAME && isPlainInterindustry(command[0]);
    }

    /** Answers a command: GET RESPONSE with what is left of a long response, which any other command gives up. */
    byte[] answer(Channel on, byte[] command) {
        // As the host sent it: a chain of short commands is dispatched as an extended one.
        boolean extended = form.extended;
        short expected = form.expected;
        if (on.response == null || command[1] != ResponseChain.GET_RESPONSE || form.dataLength != 0) {
            byte[] answer = dispatch(on, command);
            on.response = extended ? null : ResponseChain.of(answer);
            return on.response == null ? answer : on.response.next(expected);
        }
        byte[] part = on.response.next(expected);
        if (on.response.isOver()) {
            on.response = null;
        }
        return part;
    }

    private byte[] dispatch(Channel on, byte[] command) {
        byte instruction = command[1];
        if (instruction == MANAGE_CHANNEL && isPlainInterindustry(command[0])) {
            return manageChannel.run(on, command, form);
        }
        if (isSelectByName(command)) {
            byte[] answer = selection.select(on, command, form);
            if (answer != null) {
                return answer;
            }
        }
        if (card.state() == LifeCycle.CARD_TERMINATED && instruction != GET_DATA && instruction != GET_DATA_ODD) {
            // Clause 5.1.1.5: a terminated card answers GET DATA to its final application, and nothing else.
            return Sw.answer(Sw.CONDITIONS_NOT_SATISFIED);
        }
        ApplicationEntry selected = on.selected;
        if (selected == null) {
            return Sw.answer(Sw.CONDITIONS_NOT_SATISFIED);
        }
        if (selected.isDomain()) {
            return dispatchToDomain(on, command);
        }
        return card.process(on, command, form, false);
    }

    /** Tells whether a class is interindustry, without secure messaging and chaining (JCRE clause 4.5.2). */
    private static boolean isPlainInterindustry(byte cla) {
        return (cla & 0xFC) == 0x00 || (cla & 0xF0) == 0x40;
    }

    /**
     * Gathers command chains for Security Domains, which get them whole; an application gathers its own, as on any Java
     * Card. Answers a SELECT of the master file, which hosts of SIM cards begin with.
     */
    private byte[] dispatchToDomain(Channel on, byte[] command) {
        if (on.chain != null && !on.chain.continuedBy(command)) {
            on.chain = null;
        }
        if ((command[0] & CHAINED) != 0 && CardInterface.channelOf(command[0]) >= 0) {
            if (on.chain == null) {
                on.chain = Chain.byClass(command);
            }
            boolean fits = on.chain.add(command, form);
            if (!fits) {
                on.chain = null;
            }
            return Sw.answer(fits ? Sw.OK : Sw.WRONG_LENGTH);
        }
        byte[] whole = command;
        if (on.chain != null) {
            Chain chain = on.chain;
            on.chain = null;
            if (!chain.add(command, form)) {
                return Sw.answer(Sw.WRONG_LENGTH);
            }
            whole = chain.whole(form.expected);
            form.parse(whole);
        }
        return dispatchWhole(on, whole);
    }

    /**
     * Gathers the commands that GlobalPlatform chains by P1 (DELETE, INSTALL, PUT KEY): each but the last is answered by
     * 9000 alone, and what comes between ends the chain and is answered by 6985 (GP Card 2.3.1 clause 11.1.5.1).
     */
    private byte[] dispatchWhole(Channel on, byte[] command) {
        byte[] whole = command;
        Chain chain = on.chainByP1;
        on.chainByP1 = null;
        if (chain != null && !chain.continuedBy(command)) {
            return Sw.answer(Sw.CONDITIONS_NOT_SATISFIED);
        }
        boolean more = Chain.isMoreByP1(command);
        if (more && chain == null) {
            chain = Chain.byP1(command);
        }
        if (chain != null && !chain.add(command, form)) {
            return Sw.answer(Sw.INCORRECT_P1_P2);
        }
        if (more) {
            on.chainByP1 = chain;
            return Sw.answer(Sw.OK);
        }
        if (chain != null) {
            whole = chain.whole(form.expected);
            form.parse(whole);
        }
        if (whole[1] == SELECT && whole[2] == 0 && form.dataLength == 2
                && Util.getShort(whole, (short) form.dataOffset) == 0x3F00) {
            return Sw.answer(Sw.OK);
        }
        return card.process(on, whole, form, false);
    }
}
