package org.globalplatform.contactless;

import javacard.framework.Shareable;

/**
 * What an application implements to hear of contactless events.
 *
 * <p>Spec: GP Card API, org.globalplatform.contactless 1.4, CLApplet; GP Amendment C.
 */
public interface CLApplet extends Shareable {
    void notifyCLEvent(short event);
}
