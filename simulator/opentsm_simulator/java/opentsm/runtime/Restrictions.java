package opentsm.runtime;

/**
 * What a card, or one Security Domain, will never do again (tag D9).
 *
 * <p>Spec: GP Card 2.3.1 clause 11.5.2.3.7, table 11-53.
 */
final class Restrictions {
    static final int REGISTRY_UPDATE = 0x40;
    static final int PERSONALIZATION = 0x20;
    static final int EXTRADITION = 0x10;
    static final int MAKE_SELECTABLE = 0x08;
    static final int INSTALL = 0x04;
    static final int LOAD = 0x02;
    static final int DELETE = 0x01;

    private Restrictions() {}
}
