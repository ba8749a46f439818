package org.globalplatform;

/**
 * A secure channel whose level can be set again during the session.
 *
 * <p>Spec: GP Card API 1.7, SecureChannelx.
 */
public interface SecureChannelx extends SecureChannel {
    void setSecurityLevel(byte level);
}
