package com.example.treaty;

/** A class with fields; its statics are of every context that uses the library. */
public class Box implements Plain {
    public static Object shared;

    public short value = 7;
    public Object content;

    /** Makes one in the context of the caller. */
    public static Box make() {
        return new Box();
    }

    public short read() {
        return value;
    }

    public short plain() {
        return value;
    }
}
