package org.globalplatform.contactless;

import javacard.framework.Shareable;

/**
 * What an application implements to hear of the contactless events of the applications that list it (their CREL list).
 *
 * <p>The OPEN asks for it by getShareableInterfaceObject with no client and GPCL_CREL_APPLICATION.
 *
 * <p>Spec: GP Card API, org.globalplatform.contactless 1.4, CRELApplication; GP Amendment C clause 3.10.
 */
public interface CRELApplication extends Shareable {
    void notifyCLEvent(GPCLRegistryEntry target, short event);
}
