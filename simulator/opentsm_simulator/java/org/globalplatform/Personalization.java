package org.globalplatform;

import javacard.framework.Shareable;

/**
 * As Application, with response data; preferred when an application implements both.
 *
 * <p>Spec: GP Card API 1.7, Personalization; GP Card 2.3.1 clause 7.3.3.
 */
public interface Personalization extends Shareable {
    short processData(byte[] inBuffer, short inOffset, short inLength, byte[] outBuffer, short outOffset);
}
