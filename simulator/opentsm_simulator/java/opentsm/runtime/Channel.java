package opentsm.runtime;

/** One logical channel of one interface, and what is selected on it. */
final class Channel {
    final CardInterface side;

    /** 0 is the basic channel. */
    final int number;

    boolean open;

    /** Null when nothing is selected: selection failed, or what was selected is gone. */
    ApplicationEntry selected;

    /** Names the selection: none before it on this card had the same number. */
    int selection;

    /** The AID under which it was selected: its own, or the alias that the host named in full. */
    byte[] selectedName = {};

    /** Data of a command chain that is under way, or null. */
    Chain chain;

    /** The same of a chain that P1 says, or null. */
    Chain chainByP1;

    /** What is left of the response to the command before, or null. */
    ResponseChain response;

    Channel(CardInterface side, int number) {
        this.side = side;
        this.number = number;
    }

    /** Closes it without a word to what was selected: the power is gone. */
    void forget() {
        open = false;
        selected = null;
        chain = null;
        chainByP1 = null;
        response = null;
    }
}
