package org.globalplatform;

import javacard.framework.Shareable;

/**
 * A service that one application offers to all others.
 *
 * <p>Spec: GP Card API 1.7, GlobalService; GP Card 2.3.1 clause 8.1.
 */
public interface GlobalService extends Shareable {
    byte KEY_ACCESS_ANY = 0x00;
    byte KEY_ACCESS_APPLICATION = 0x02;
    byte KEY_ACCESS_SECURITY_DOMAIN = 0x01;
    byte KEY_TYPE_3DES = (byte) 0x81;
    byte KEY_TYPE_3DES_CBC = (byte) 0x82;
    byte KEY_TYPE_AES = (byte) 0x88;
    byte KEY_TYPE_DES = (byte) 0x80;
    byte KEY_TYPE_DES_CBC = (byte) 0x84;
    byte KEY_TYPE_DES_ECB = (byte) 0x83;
    byte KEY_TYPE_EXTENDED = (byte) 0xFF;
    byte KEY_TYPE_HMAC_SHA1 = (byte) 0x90;
    byte KEY_TYPE_HMAC_SHA1_160 = (byte) 0x91;
    byte KEY_TYPE_RSA_PRIVATE_CRT_DP1 = (byte) 0xA7;
    byte KEY_TYPE_RSA_PRIVATE_CRT_DQ1 = (byte) 0xA8;
    byte KEY_TYPE_RSA_PRIVATE_CRT_P = (byte) 0xA4;
    byte KEY_TYPE_RSA_PRIVATE_CRT_PQ = (byte) 0xA6;
    byte KEY_TYPE_RSA_PRIVATE_CRT_Q = (byte) 0xA5;
    byte KEY_TYPE_RSA_PRIVATE_EXPONENT = (byte) 0xA3;
    byte KEY_TYPE_RSA_PRIVATE_MODULUS = (byte) 0xA2;
    byte KEY_TYPE_RSA_PUBLIC_EXPONENT = (byte) 0xA0;
    byte KEY_TYPE_RSA_PUBLIC_MODULUS = (byte) 0xA1;
    byte KEY_USAGE_COMPUTATION_DECIPHERMENT = 0x40;
    byte KEY_USAGE_CONFIDENTIALITY = 0x08;
    byte KEY_USAGE_CRYPTOGRAPHIC_AUTHORIZATION = 0x01;
    byte KEY_USAGE_CRYPTOGRAPHIC_CHECKSUM = 0x04;
    byte KEY_USAGE_DIGITAL_SIGNATURE = 0x02;
    byte KEY_USAGE_SM_COMMAND = 0x10;
    byte KEY_USAGE_SM_RESPONSE = 0x20;
    byte KEY_USAGE_VERIFICATION_ENCIPHERMENT = (byte) 0x80;

    Shareable getServiceInterface(GPRegistryEntry client, short service, byte[] parameters, short parametersOffset, short parametersLength);
}
