package org.globalplatform;

import javacard.framework.Shareable;

/**
 * A Security Domain that signs for others.
 *
 * <p>Spec: GP Card API 1.7, AuthoritySignature (a service of FAMILY_AUTHORITY_SIGNATURE).
 */
public interface AuthoritySignature extends Shareable {
    byte MODE_INTEGRITY = 0x01;

    void init(byte mode, byte[] parameters, short offset, short length);

    short sign(byte[] data, short dataOffset, short dataLength, byte[] signature, short signatureOffset);

    void update(byte[] data, short dataOffset, short dataLength);

    short getLength();
}
