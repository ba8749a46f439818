package org.globalplatform;

import javacard.framework.Shareable;

/**
 * A Security Domain that signs, or recovers keys, for others (GP Card Confidential Content Management).
 *
 * <p>Spec: GP Card API 1.7, Authority.
 */
public interface Authority extends Shareable {
    byte MODE_KEY_RECOVERY = 0x02;
    byte MODE_SIGN = 0x01;

    void init(byte mode);

    short sign(byte[] data, short dataOffset, short dataLength, byte[] signature, short signatureOffset);

    void update(byte[] data, short dataOffset, short dataLength);

    short recoverKey(byte[] data, short dataOffset, short dataLength, byte[] key, short keyOffset);
}
