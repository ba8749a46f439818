package com.example.treaty;

import javacard.framework.Shareable;

/** What a vault shares: objects of its own handed out, and objects of a guest made use of. */
public interface Safe extends Shareable {
    byte[] bytes();

    boolean[] booleans();

    short[] shorts();

    Object[] objects();

    Box box();

    Plain plain();

    Object any();

    Trouble trouble();

    /** Writes the AIDs of the previous and of the current context into an array, behind their lengths. */
    short who(byte[] into);

    /** Does something with what it is given. */
    short use(byte how, byte[] array, Box box);

    /** Throws an exception of its own, or the runtime's. */
    void fail(boolean own);
}
