package com.example.runaway;

import javacard.framework.Shareable;

public interface Endless extends Shareable {
    short never();
}
