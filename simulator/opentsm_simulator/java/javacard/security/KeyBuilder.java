package javacard.security;

import com.licel.jcardsim.crypto.DHPrivateKeyImpl;
import com.licel.jcardsim.crypto.DHPublicKeyImpl;
import com.licel.jcardsim.crypto.DSAPrivateKeyImpl;
import com.licel.jcardsim.crypto.DSAPublicKeyImpl;
import com.licel.jcardsim.crypto.ECPrivateKeyImpl;
import com.licel.jcardsim.crypto.ECPublicKeyImpl;
import com.licel.jcardsim.crypto.RSAKeyImpl;
import com.licel.jcardsim.crypto.RSAPrivateCrtKeyImpl;
import com.licel.jcardsim.crypto.SymmetricKeyImpl;
import com.licel.jcardsim.crypto.TransientKeys;
import javacard.framework.JCSystem;

/**
 * Makes keys: in place of jCardSim's, which has no transient private keys, and answers null to a kind of memory.
 *
 * <p>Keys with shared domain parameters are not there.
 *
 * <p>Spec: JC API 3.0.5, javacard.security.KeyBuilder.
 */
public class KeyBuilder {
    public static final byte TYPE_DES_TRANSIENT_RESET = 1;
    public static final byte TYPE_DES_TRANSIENT_DESELECT = 2;
    public static final byte TYPE_DES = 3;
    public static final byte TYPE_RSA_PUBLIC = 4;
    public static final byte TYPE_RSA_PRIVATE = 5;
    public static final byte TYPE_RSA_CRT_PRIVATE = 6;
    public static final byte TYPE_DSA_PUBLIC = 7;
    public static final byte TYPE_DSA_PRIVATE = 8;
    public static final byte TYPE_EC_F2M_PUBLIC = 9;
    public static final byte TYPE_EC_F2M_PRIVATE = 10;
    public static final byte TYPE_EC_FP_PUBLIC = 11;
    public static final byte TYPE_EC_FP_PRIVATE = 12;
    public static final byte TYPE_AES_TRANSIENT_RESET = 13;
    public static final byte TYPE_AES_TRANSIENT_DESELECT = 14;
    public static final byte TYPE_AES = 15;
    public static final byte TYPE_KOREAN_SEED_TRANSIENT_RESET = 16;
    public static final byte TYPE_KOREAN_SEED_TRANSIENT_DESELECT = 17;
    public static final byte TYPE_KOREAN_SEED = 18;
    public static final byte TYPE_HMAC_TRANSIENT_RESET = 19;
    public static final byte TYPE_HMAC_TRANSIENT_DESELECT = 20;
    public static final byte TYPE_HMAC = 21;
    public static final byte TYPE_RSA_PRIVATE_TRANSIENT_RESET = 22;
    public static final byte TYPE_RSA_PRIVATE_TRANSIENT_DESELECT = 23;
    public static final byte TYPE_RSA_CRT_PRIVATE_TRANSIENT_RESET = 24;
    public static final byte TYPE_RSA_CRT_PRIVATE_TRANSIENT_DESELECT = 25;
    public static final byte TYPE_DSA_PRIVATE_TRANSIENT_RESET = 26;
    public static final byte TYPE_DSA_PRIVATE_TRANSIENT_DESELECT = 27;
    public static final byte TYPE_EC_F2M_PRIVATE_TRANSIENT_RESET = 28;
    public static final byte TYPE_EC_F2M_PRIVATE_TRANSIENT_DESELECT = 29;
    public static final byte TYPE_EC_FP_PRIVATE_TRANSIENT_RESET = 30;
    public static final byte TYPE_EC_FP_PRIVATE_TRANSIENT_DESELECT = 31;
    public static final byte TYPE_DH_PUBLIC = 32;
    public static final byte TYPE_DH_PUBLIC_TRANSIENT_DESELECT = 33;
    public static final byte TYPE_DH_PUBLIC_TRANSIENT_RESET = 34;
    public static final byte TYPE_DH_PRIVATE = 35;
    public static final byte TYPE_DH_PRIVATE_TRANSIENT_DESELECT = 36;
    public static final byte TYPE_DH_PRIVATE_TRANSIENT_RESET = 37;
    public static final byte ALG_TYPE_DES = 1;
    public static final byte ALG_TYPE_AES = 2;
    public static final byte ALG_TYPE_DSA_PUBLIC = 3;
    public static final byte ALG_TYPE_DSA_PRIVATE = 4;
    public static final byte ALG_TYPE_EC_F2M_PUBLIC = 5;
    public static final byte ALG_TYPE_EC_F2M_PRIVATE = 6;
    public static final byte ALG_TYPE_EC_FP_PUBLIC = 7;
    public static final byte ALG_TYPE_EC_FP_PRIVATE = 8;
    public static final byte ALG_TYPE_HMAC = 9;
    public static final byte ALG_TYPE_KOREAN_SEED = 10;
    public static final byte ALG_TYPE_RSA_PUBLIC = 11;
    public static final byte ALG_TYPE_RSA_PRIVATE = 12;
    public static final byte ALG_TYPE_RSA_CRT_PRIVATE = 13;
    public static final byte ALG_TYPE_DH_PUBLIC = 14;
    public static final byte ALG_TYPE_DH_PRIVATE = 15;
    public static final byte ALG_TYPE_EC_F2M_PARAMETERS = 16;
    public static final byte ALG_TYPE_EC_FP_PARAMETERS = 17;
    public static final byte ALG_TYPE_DSA_PARAMETERS = 18;
    public static final byte ALG_TYPE_DH_PARAMETERS = 19;
    public static final short LENGTH_DES = 64;
    public static final short LENGTH_DES3_2KEY = 128;
    public static final short LENGTH_DES3_3KEY = 192;
    public static final short LENGTH_RSA_512 = 512;
    public static final short LENGTH_RSA_736 = 736;
    public static final short LENGTH_RSA_768 = 768;
    public static final short LENGTH_RSA_896 = 896;
    public static final short LENGTH_RSA_1024 = 1024;
    public static final short LENGTH_RSA_1280 = 1280;
    public static final short LENGTH_RSA_1536 = 1536;
    public static final short LENGTH_RSA_1984 = 1984;
    public static final short LENGTH_RSA_2048 = 2048;
    public static final short LENGTH_RSA_3072 = 3072;
    public static final short LENGTH_RSA_4096 = 4096;
    public static final short LENGTH_DSA_512 = 512;
    public static final short LENGTH_DSA_768 = 768;
    public static final short LENGTH_DSA_1024 = 1024;
    public static final short LENGTH_EC_FP_112 = 112;
    public static final short LENGTH_EC_F2M_113 = 113;
    public static final short LENGTH_EC_FP_128 = 128;
    public static final short LENGTH_EC_F2M_131 = 131;
    public static final short LENGTH_EC_FP_160 = 160;
    public static final short LENGTH_EC_F2M_163 = 163;
    public static final short LENGTH_EC_FP_192 = 192;
    public static final short LENGTH_EC_F2M_193 = 193;
    public static final short LENGTH_EC_FP_224 = 224;
    public static final short LENGTH_EC_FP_256 = 256;
    public static final short LENGTH_EC_FP_384 = 384;
    public static final short LENGTH_EC_FP_521 = 521;
    public static final short LENGTH_AES_128 = 128;
    public static final short LENGTH_AES_192 = 192;
    public static final short LENGTH_AES_256 = 256;
    public static final short LENGTH_KOREAN_SEED_128 = 128;
    public static final short LENGTH_HMAC_SHA_1_BLOCK_64 = 64;
    public static final short LENGTH_HMAC_SHA_256_BLOCK_64 = 64;
    public static final short LENGTH_HMAC_SHA_384_BLOCK_128 = 128;
    public static final short LENGTH_HMAC_SHA_512_BLOCK_128 = 128;
    public static final short LENGTH_DH_1024 = 1024;
    public static final short LENGTH_DH_2048 = 2048;

    /** For each ALG_TYPE from 1: the type in persistent memory, cleared on reset, and cleared on deselect; 0 for none. */
    private static final byte[][] TYPES = {
        {TYPE_DES, TYPE_DES_TRANSIENT_RESET, TYPE_DES_TRANSIENT_DESELECT},
        {TYPE_AES, TYPE_AES_TRANSIENT_RESET, TYPE_AES_TRANSIENT_DESELECT},
        {TYPE_DSA_PUBLIC, 0, 0},
        {TYPE_DSA_PRIVATE, TYPE_DSA_PRIVATE_TRANSIENT_RESET, TYPE_DSA_PRIVATE_TRANSIENT_DESELECT},
        {TYPE_EC_F2M_PUBLIC, 0, 0},
        {TYPE_EC_F2M_PRIVATE, TYPE_EC_F2M_PRIVATE_TRANSIENT_RESET, TYPE_EC_F2M_PRIVATE_TRANSIENT_DESELECT},
        {TYPE_EC_FP_PUBLIC, 0, 0},
        {TYPE_EC_FP_PRIVATE, TYPE_EC_FP_PRIVATE_TRANSIENT_RESET, TYPE_EC_FP_PRIVATE_TRANSIENT_DESELECT},
        {TYPE_HMAC, TYPE_HMAC_TRANSIENT_RESET, TYPE_HMAC_TRANSIENT_DESELECT},
        {TYPE_KOREAN_SEED, TYPE_KOREAN_SEED_TRANSIENT_RESET, TYPE_KOREAN_SEED_TRANSIENT_DESELECT},
        {TYPE_RSA_PUBLIC, 0, 0},
        {TYPE_RSA_PRIVATE, TYPE_RSA_PRIVATE_TRANSIENT_RESET, TYPE_RSA_PRIVATE_TRANSIENT_DESELECT},
        {TYPE_RSA_CRT_PRIVATE, TYPE_RSA_CRT_PRIVATE_TRANSIENT_RESET, TYPE_RSA_CRT_PRIVATE_TRANSIENT_DESELECT},
        {TYPE_DH_PUBLIC, TYPE_DH_PUBLIC_TRANSIENT_RESET, TYPE_DH_PUBLIC_TRANSIENT_DESELECT},
        {TYPE_DH_PRIVATE, TYPE_DH_PRIVATE_TRANSIENT_RESET, TYPE_DH_PRIVATE_TRANSIENT_DESELECT},
    };

    public static Key buildKey(byte keyType, short keyLength, boolean keyEncryption) throws CryptoException {
        switch (keyType) {
            case TYPE_DES:
            case TYPE_DES_TRANSIENT_RESET:
            case TYPE_DES_TRANSIENT_DESELECT:
                return symmetric(keyType, keyLength, LENGTH_DES, LENGTH_DES3_2KEY, LENGTH_DES3_3KEY);
            case TYPE_AES:
            case TYPE_AES_TRANSIENT_RESET:
            case TYPE_AES_TRANSIENT_DESELECT:
                return symmetric(keyType, keyLength, LENGTH_AES_128, LENGTH_AES_192, LENGTH_AES_256);
            case TYPE_KOREAN_SEED:
            case TYPE_KOREAN_SEED_TRANSIENT_RESET:
            case TYPE_KOREAN_SEED_TRANSIENT_DESELECT:
                return symmetric(keyType, keyLength, LENGTH_KOREAN_SEED_128);
            case TYPE_HMAC:
            case TYPE_HMAC_TRANSIENT_RESET:
            case TYPE_HMAC_TRANSIENT_DESELECT:
                return SymmetricKeyImpl.build(keyType, keyLength);
            case TYPE_RSA_PUBLIC:
                return RSAKeyImpl.build(false, keyLength);
            case TYPE_RSA_PRIVATE:
                return RSAKeyImpl.build(true, keyLength);
            case TYPE_RSA_CRT_PRIVATE:
                return new RSAPrivateCrtKeyImpl(keyLength);
            case TYPE_DSA_PUBLIC:
                return new DSAPublicKeyImpl(keyLength);
            case TYPE_DSA_PRIVATE:
                return new DSAPrivateKeyImpl(keyLength);
            case TYPE_EC_F2M_PUBLIC:
            case TYPE_EC_FP_PUBLIC:
                return new ECPublicKeyImpl(keyType, keyLength);
            case TYPE_EC_F2M_PRIVATE:
            case TYPE_EC_FP_PRIVATE:
                return new ECPrivateKeyImpl(keyType, keyLength);
            case TYPE_DH_PUBLIC:
                return new DHPublicKeyImpl(keyLength);
            case TYPE_DH_PRIVATE:
                return new DHPrivateKeyImpl(keyLength);
            default:
                return found(TransientKeys.build(keyType, keyLength));
        }
    }

    public static Key buildKey(byte algorithmicKeyType, byte keyMemoryType, short keyLength, boolean keyEncryption)
            throws CryptoException {
        int column;
        switch (keyMemoryType) {
            case JCSystem.MEMORY_TYPE_PERSISTENT:
                column = 0;
                break;
            case JCSystem.MEMORY_TYPE_TRANSIENT_RESET:
                column = 1;
                break;
            case JCSystem.MEMORY_TYPE_TRANSIENT_DESELECT:
                column = 2;
                break;
            default:
                CryptoException.throwIt(CryptoException.NO_SUCH_ALGORITHM);
                return null;
        }
        boolean known = algorithmicKeyType >= ALG_TYPE_DES && algorithmicKeyType <= TYPES.length;
        byte type = known ? TYPES[algorithmicKeyType - 1][column] : 0;
        if (type == 0) {
            CryptoException.throwIt(CryptoException.NO_SUCH_ALGORITHM);
        }
        return buildKey(type, keyLength, keyEncryption);
    }

    public static Key buildKeyWithSharedDomain(
            byte algorithmicKeyType, byte keyMemoryType, Key domainParameters, boolean keyEncryption)
            throws CryptoException {
        CryptoException.throwIt(CryptoException.NO_SUCH_ALGORITHM);
        return null;
    }

    private static Key symmetric(byte type, short bits, short... lengths) {
        for (short length : lengths) {
            if (length == bits) {
                return SymmetricKeyImpl.build(type, bits);
            }
        }
        CryptoException.throwIt(CryptoException.ILLEGAL_VALUE);
        return null;
    }

    private static Key found(Key key) {
        if (key == null) {
            CryptoException.throwIt(CryptoException.NO_SUCH_ALGORITHM);
        }
        return key;
    }
}
