package corpus.several;

import javacard.framework.Shareable;

public interface Shared extends Shareable {
    short count(byte by);

    boolean full();
}
