package com.example.treaty;

import javacard.framework.CardRuntimeException;

/** An exception of an applet's own. */
public class Trouble extends CardRuntimeException {
    public Trouble(short reason) {
        super(reason);
    }
}
