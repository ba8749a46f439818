package org.globalplatform;

import javacard.framework.Shareable;

/**
 * A cardholder verification method shared by applications.
 *
 * <p>Spec: GP Card API 1.7, CVM; GP Card 2.3.1 clause 8.3.
 */
public interface CVM extends Shareable {
    short CVM_FAILURE = (short) 0xFFFF;
    short CVM_SUCCESS = 0x0000;
    byte FORMAT_ASCII = 0x01;
    byte FORMAT_BCD = 0x02;
    byte FORMAT_HEX = 0x03;

    boolean isActive();

    boolean isSubmitted();

    boolean isVerified();

    boolean isBlocked();

    byte getTriesRemaining();

    boolean update(byte[] buffer, short offset, byte length, byte format);

    boolean resetState();

    boolean blockState();

    boolean resetAndUnblockState();

    boolean setTryLimit(byte limit);

    short verify(byte[] buffer, short offset, byte length, byte format);
}
