package opentsm.runtime;

import java.io.IOException;

/**
 * What whoever runs the card sees of it and does to it, beside its commands: no command reaches this.
 *
 * <p>Spec: of the power cuts JCRE 3.0.5 clauses 3.6, 7.5.
 */
public final class Rig {
    private final CardRuntime card;
    private final Exchange exchange;

    Rig(CardRuntime card, Exchange exchange) {
        this.card = card;
        this.exchange = exchange;
    }

    /** Returns the historical bytes that the ATR shows. */
    public byte[] historicalBytes() {
        return exchange.alone(() -> card.historicalBytes.clone());
    }

    /** Returns what the registry holds, a line for each entry ({@link Inspection#registry}). */
    public String[] registry() {
        return exchange.alone(() -> new Inspection(card).registry());
    }

    /** Returns the parameters that registry entries have ({@link Inspection#parameters}). */
    public String[] parameters() {
        return exchange.alone(() -> new Inspection(card).parameters());
    }

    /** Returns the card's life cycle state, whether the contactless interface is on, and {@link Resources#figures}. */
    public int[] figures() {
        return exchange.alone(() -> {
            int[] memory = new Resources(card).figures();
            return new int[] {card.state() & 0xFF, card.contactless.enabled ? 1 : 0, memory[0], memory[1], memory[2],
                memory[3]};
        });
    }

    /**
     * Has an application answer a command on a channel that no interface has, so that nothing selected is disturbed; for
     * what anyone may read of it.
     *
     * @return the R-APDU; nothing when it can't be selected beside what is
     */
    public byte[] ask(byte[] aid, byte[] command) {
        return exchange.ask(aid, command);
    }

    /** Returns what ended an applet in the last command ({@link Faults#describe}). */
    public String[] fault() {
        return exchange.alone(card.faults::describe);
    }

    // What the card keeps without power.

    /** Returns all that the card keeps without power. */
    public byte[] snapshot() {
        return exchange.alone(() -> ImageWriter.write(card));
    }

    /** Has what the card keeps taken, now and whenever a command has changed it; null: by nobody. */
    public void keepIn(CardImage.Keeper keeper) {
        synchronized (exchange) {
            card.image = keeper == null ? null : new CardImage(keeper);
            if (card.image != null && !card.image.keep(card)) {
                throw new IllegalStateException("the card's image can't be written");
            }
        }
    }

    /** Returns digests of what the applications hold ({@link Fingerprint}). */
    public String[] fingerprint() {
        return exchange.alone(() -> Fingerprint.of(card));
    }

    // Writes, and the power that is cut at one.

    /** Cuts the power at the n-th persistent write from now; 0 takes that back. */
    public void cutPower(long atWrite) {
        synchronized (exchange) {
            card.memory.writes.cutPower(atWrite);
        }
    }

    /** Tells whether the power was cut and no reset has brought it back, or an applet made the card lock up. */
    public boolean isCut() {
        return exchange.isCut();
    }

    /** Counts persistent writes from now on, in all and for each address. */
    public void countWrites() {
        synchronized (exchange) {
            card.memory.writes.count();
        }
    }

    /** Returns how many persistent writes were counted. */
    public long writes() {
        return exchange.alone(card.memory.writes::counted);
    }

    /** Returns the addresses that were written most ({@link Wear#hottest}). */
    public String[] hottest(int most) {
        return exchange.alone(() -> Wear.hottest(card.memory.heap, most));
    }

    // Effects.

    /** Returns what commands left behind on the card, in order, since it was made. */
    public String[] effects() {
        return exchange.alone(card.effects::list);
    }

    /** Appends later effects to a file also. */
    public void logEffectsTo(String path) throws IOException {
        synchronized (exchange) {
            card.effects.logTo(path);
        }
    }
}
