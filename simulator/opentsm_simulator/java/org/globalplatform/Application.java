package org.globalplatform;

import javacard.framework.Shareable;

/**
 * What an application offers to the OPEN so that its Security Domain can pass it personalization data.
 *
 * <p>Spec: GP Card API (org.globalplatform) 1.7, Application; GP Card 2.3.1 clause 7.3.3.
 */
public interface Application extends Shareable {
    void processData(byte[] buffer, short offset, short length);
}
