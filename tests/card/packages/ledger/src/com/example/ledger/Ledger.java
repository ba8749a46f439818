package com.example.ledger;

/** Adds numbers up; subclasses say how much each counts. */
public abstract class Ledger {
    private static short opened;

    protected short balance;

    protected Ledger() {
        opened++;
    }

    public static short opened() {
        return opened;
    }

    public final short add(short amount) {
        balance += (short) (amount * weight(amount));
        return balance;
    }

    /** How much an amount counts. */
    protected abstract short weight(short amount);
}
