package opentsm.runtime;

import java.lang.reflect.Array;
import java.util.ArrayList;
import java.util.List;

/** Which addresses of the persistent memory were written most: an address is an object and an offset in it. */
final class Wear {
    private Wear() {}

    private static final class Spot {
        final Heap.Item item;
        final int offset;

        Spot(Heap.Item item, int offset) {
            this.item = item;
            this.offset = offset;
        }

        int writes() {
            return item.wear[offset];
        }
    }

    /**
     * Returns the hottest addresses, the hottest first, a line each: writes, the AID of the instance or else of the package
     * that it belongs to, the object's number, what it is, the offset in it; separated by tabs.
     */
    static String[] hottest(Heap heap, int most) {
        List<Spot> spots = new ArrayList<>();
        for (Heap.Item item : heap.items()) {
            for (int offset = 0; item.wear != null && offset < item.wear.length; offset++) {
                if (item.wear[offset] != 0) {
                    spots.add(new Spot(item, offset));
                }
            }
        }
        // The order among equals is that of the objects: the same on every card with the same life.
        spots.sort((left, right) -> Integer.compare(right.writes(), left.writes()));
        String[] lines = new String[Math.min(most, spots.size())];
        for (int i = 0; i < lines.length; i++) {
            Spot spot = spots.get(i);
            lines[i] = spot.writes() + "\t" + ownerOf(spot.item) + "\t" + spot.item.number + "\t" + nameOf(spot.item)
                    + "\t" + spot.offset;
        }
        return lines;
    }

    static String ownerOf(Heap.Item item) {
        RegistryEntry owner = item.instance != null ? item.instance : item.context;
        return owner == null ? "" : Hex.encode(owner.name, 0, owner.name.length);
    }

    static String nameOf(Heap.Item item) {
        if (item.object instanceof Class) {
            return "static fields";
        }
        Class<?> type = item.object.getClass();
        if (!type.isArray()) {
            return type.getSimpleName();
        }
        return type.getComponentType().getSimpleName() + "[" + Array.getLength(item.object) + "]";
    }
}
