package opentsm.piv;

/** What an instance has that was installed without values of its own: what hosts expect of a card that nobody has yet. */
final class Defaults {
    /** 123456. */
    static final byte[] PIN = {'1', '2', '3', '4', '5', '6', (byte) 0xFF, (byte) 0xFF};

    static final byte[] PUK = {'1', '2', '3', '4', '5', '6', '7', '8'};

    /** For 3DES. */
    static final byte[] KEY = {1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8};

    private Defaults() {}
}
