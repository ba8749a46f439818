package com.licel.jcardsim.crypto;

import java.security.SecureRandom;

/**
 * What jCardSim's key pairs and signatures draw from: in place of its own, which begins anew with the same numbers for each
 * of them, so that all generated keys, and all nonces of ECDSA, would be the same.
 *
 * <p>The name is jCardSim's. This is the platform's generator.
 */
class SecureRandomNullProvider extends SecureRandom {
    private static final long serialVersionUID = 1;

    SecureRandomNullProvider() {}
}
