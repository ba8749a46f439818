package org.globalplatform;

/**
 * A secure channel that takes its commands from any buffer.
 *
 * <p>Spec: GP Card API 1.7, SecureChannelx2.
 */
public interface SecureChannelx2 extends SecureChannel {
    short processSecurity(byte[] buffer, short offset, short inLength, short outOffset);
}
