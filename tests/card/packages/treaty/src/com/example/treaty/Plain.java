package com.example.treaty;

/** An interface that is not shareable. */
public interface Plain {
    short plain();
}
