package org.globalplatform;

import javacard.framework.Shareable;

/**
 * What an application implements to hear how an administration session over HTTP ended (GP Amendment B).
 *
 * <p>Spec: GP Card API 1.7, HTTPReportListener; the method's name is spelled as there.
 */
public interface HTTPReportListener extends Shareable {
    short HTTP_SESSION_ERROR = (short) 0x8001;
    short HTTP_SESSION_NO_ERROR = 0x0001;

    void httpAdministationSessionReport(short status);
}
