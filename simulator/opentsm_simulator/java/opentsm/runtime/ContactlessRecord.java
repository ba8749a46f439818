package opentsm.runtime;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * What the registry knows of an application's contactless side, its activation state apart.
 *
 * <p>Spec: GP Amendment C 1.3 clause 3.
 */
final class ContactlessRecord {
    /** By GPCLRegistryEntry.INFO_*; what the OPEN works out is not among them. */
    final Map<Short, byte[]> information = new TreeMap<>();

    /** To be activated as soon as it is selectable, and again when it is unlocked. */
    boolean activateAtFirst;

    Integer accessRestriction;
    Integer accessDefault;
    Integer access;

    /** AIDs that may be members of the group of which this is the head; none: it is no head. */
    final List<byte[]> group = new ArrayList<>();

    /** The head of the group that this is a member of, or null. */
    ApplicationEntry head;

    /** AIDs of the applications that hear of this one. */
    final List<byte[]> crels = new ArrayList<>();

    /** AIDs, or beginnings of them, of what must not be active together with this. */
    List<byte[]> restricted = new ArrayList<>();

    /** How often this record has changed. */
    short updates;
}
