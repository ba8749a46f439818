package org.globalplatform.contactless;

import org.globalplatform.GPRegistryEntry;

/**
 * What the CRS application implements: it hears of every contactless application, and decides for those that ask to be
 * activated without the privilege to do it themselves.
 *
 * <p>Spec: GP Card API, org.globalplatform.contactless 1.4, CRSApplication; GP Amendment C clause 3.11.
 */
public interface CRSApplication extends CRELApplication {
    @Override
    void notifyCLEvent(GPCLRegistryEntry target, short event);

    boolean processCLRequest(GPRegistryEntry requester, GPCLRegistryEntry target, short event);
}
