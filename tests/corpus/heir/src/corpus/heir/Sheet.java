package corpus.heir;

import corpus.library.Shape;

class Sheet extends Shape {
    Sheet() {
        super((byte) 1, (short) 11);
    }

    public short area() {
        return 40;
    }

    public short perimeter() {
        return UNIT;
    }

    /** Overrides nothing: Shape's hook() is visible in its own package only. */
    short hook() {
        return 1000;
    }

    short own() {
        return hook();
    }
}
