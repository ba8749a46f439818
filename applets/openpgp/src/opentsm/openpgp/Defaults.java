package opentsm.openpgp;

/** The passwords of an instance that was installed without others: what hosts expect of a card that nobody has yet. */
final class Defaults {
    /** 123456. */
    static final byte[] PW1 = {'1', '2', '3', '4', '5', '6'};

    /** 12345678. */
    static final byte[] PW3 = {'1', '2', '3', '4', '5', '6', '7', '8'};

    private Defaults() {}
}
