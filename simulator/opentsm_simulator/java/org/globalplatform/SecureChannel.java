package org.globalplatform;

import javacard.framework.APDU;
import javacard.framework.Shareable;

/**
 * The secure channel of an application's Security Domain.
 *
 * <p>Spec: GP Card API 1.7, SecureChannel; GP Card 2.3.1 clause 10.
 */
public interface SecureChannel extends Shareable {
    byte ANY_AUTHENTICATED = 0x40;
    byte AUTHENTICATED = (byte) 0x80;
    byte C_DECRYPTION = 0x02;
    byte C_MAC = 0x01;
    byte NO_SECURITY_LEVEL = 0x00;
    byte R_ENCRYPTION = 0x20;
    byte R_MAC = 0x10;

    short processSecurity(APDU apdu);

    short wrap(byte[] buffer, short offset, short length);

    short unwrap(byte[] buffer, short offset, short length);

    short decryptData(byte[] buffer, short offset, short length);

    short encryptData(byte[] buffer, short offset, short length);

    void resetSecurity();

    byte getSecurityLevel();
}
