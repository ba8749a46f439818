package corpus.library;

public interface Measured {
    short UNIT = 10;

    short area();

    short perimeter();
}
