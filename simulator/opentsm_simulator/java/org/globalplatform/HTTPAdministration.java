package org.globalplatform;

import javacard.framework.Shareable;

/**
 * What triggers an administration session over HTTP (GP Amendment B).
 *
 * <p>Spec: GP Card API 1.7, HTTPAdministration (a service of FAMILY_HTTP_ADMINISTRATION).
 */
public interface HTTPAdministration extends Shareable {
    void requestHTTPAdministrationSession(byte[] parameters, short offset, short length);
}
