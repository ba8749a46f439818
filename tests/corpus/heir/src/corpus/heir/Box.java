package corpus.heir;

import corpus.library.Sized;
import corpus.library.Solid;

class Box extends Solid {
    private final short edge;

    Box(short edge) {
        super((short) (edge * 3));
        this.edge = edge;
        tag = (byte) edge;
        owner = this;
    }

    public short area() {
        return (short) (6 * edge * edge);
    }

    public short perimeter() {
        return (short) (12 * edge);
    }

    public short volume() {
        return (short) (edge * edge * edge);
    }

    public boolean larger(Sized other) {
        return volume() > other.volume();
    }

    protected short depth() {
        return (short) (super.depth() + twice(edge));
    }

    short deep() {
        return depth();
    }

    short weightNow() {
        return (short) (weight + weightSum + made);
    }
}
