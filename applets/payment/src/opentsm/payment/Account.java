package opentsm.payment;

/** One account, or room for one; all of it is persistent. */
final class Account {
    static final short QUALIFIER_LIMIT = 16;
    static final short UID_SIZE = 16;
    static final short PAN_LIMIT = 10;
    static final short EXPIRY_SIZE = 3;
    static final short TRACK_2_LIMIT = 19;
    static final short LABEL_LIMIT = 16;

    boolean used;
    final Field qualifier = new Field(QUALIFIER_LIMIT);
    final Field uid = new Field(UID_SIZE);
    final Field pan = new Field(PAN_LIMIT);
    final Field expiry = new Field(EXPIRY_SIZE);
    final Field track2 = new Field(TRACK_2_LIMIT);
    final Field label = new Field(LABEL_LIMIT);

    void clear() {
        used = false;
        qualifier.clear();
        uid.clear();
        pan.clear();
        expiry.clear();
        track2.clear();
        label.clear();
    }
}
