package corpus.library;

public interface Sized extends Measured {
    short volume();

    boolean larger(Sized other);
}
