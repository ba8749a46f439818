package opentsm.securitydomain;

/**
 * Who holds data objects that STORE DATA to the domain sets and GET DATA reads.
 *
 * <p>A block is first checked whole, then stored whole: what {@link #check} lets pass, {@link #store} stores.
 */
interface DataHolder {
    /** Tells whether a tag is one of this holder's. */
    boolean holds(short tag);

    /** Refuses a value that could not be stored; changes nothing. */
    void check(short tag, byte[] buffer, short offset, short length);

    /** Stores a value that was checked. */
    void store(short tag, byte[] buffer, short offset, short length);

    /**
     * Writes a whole data object, tag and length too.
     *
     * @return the offset behind it, or {@link Tlv#ABSENT} when there is none
     */
    short get(short tag, byte[] response, short at);
}
