package corpus.library;

/** Not seen outside. */
class Square extends Shape {
    private final short side;

    Square(short side) {
        super();
        this.side = side;
    }

    public short area() {
        return (short) (side * side);
    }

    public short perimeter() {
        return (short) (4 * side);
    }

    short hook() {
        return (short) (super.hook() + 10);
    }
}
