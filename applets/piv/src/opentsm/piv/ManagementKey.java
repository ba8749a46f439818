package opentsm.piv;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.AESKey;
import javacard.security.DESKey;
import javacard.security.KeyBuilder;
import javacard.security.RandomData;
import javacard.security.SecretKey;
import javacardx.crypto.Cipher;

/**
 * The card application administration key (9B), 3DES or AES: by it the administrator authenticates, who brings keys and
 * certificates.
 *
 * <p>Spec: SP 800-73-4 part 2 clause 3.2.4, appendix A.1; SP 800-78-4 table 6-2 (algorithm identifiers).
 */
final class ManagementKey {
    static final byte REFERENCE = (byte) 0x9B;

    static final byte ALGORITHM_3DES = 0x03;

    private static final byte ALGORITHM_3DES_ECB = 0x00;
    private static final byte ALGORITHM_AES_128 = 0x08;
    private static final byte ALGORITHM_AES_192 = 0x0A;
    private static final byte ALGORITHM_AES_256 = 0x0C;

    private static final short DES_BLOCK = 8;
    private static final short AES_BLOCK = 16;

    /** What was sent to the host last: nothing, a challenge to encrypt, or an encrypted witness. */
    private static final byte NOTHING = 0;

    private static final byte CHALLENGE = 1;
    private static final byte WITNESS = 2;

    /** Layout of the exchange under way. */
    private static final short SENT = AES_BLOCK;

    private static final short EXCHANGE_SIZE = (short) (AES_BLOCK + 1);

    private final SecurityStatus status;
    private final byte[] exchange = JCSystem.makeTransientByteArray(EXCHANGE_SIZE, JCSystem.CLEAR_ON_DESELECT);
    private final RandomData random = RandomData.getInstance(RandomData.ALG_SECURE_RANDOM);
    private final Cipher des = Cipher.getInstance(Cipher.ALG_DES_ECB_NOPAD, false);
    private final Cipher aes = Cipher.getInstance(Cipher.ALG_AES_BLOCK_128_ECB_NOPAD, false);

    /** Its type and size say the algorithm, so that one write changes all. */
    private SecretKey key;

    ManagementKey(SecurityStatus status) {
        this.status = status;
    }

    /** Takes a key for an algorithm. */
    void set(byte algorithm, byte[] data, short offset, short length) {
        if (length != keyLength(algorithm)) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        SecretKey fresh;
        if (algorithm == ALGORITHM_3DES) {
            fresh = (SecretKey) KeyBuilder.buildKey(KeyBuilder.TYPE_DES, KeyBuilder.LENGTH_DES3_3KEY, false);
            ((DESKey) fresh).setKey(data, offset);
        } else {
            fresh = (SecretKey) KeyBuilder.buildKey(KeyBuilder.TYPE_AES, (short) (8 * length), false);
            ((AESKey) fresh).setKey(data, offset);
        }
        key = fresh;
        if (JCSystem.isObjectDeletionSupported()) {
            JCSystem.requestObjectDeletion();
        }
    }

    private static short keyLength(byte algorithm) {
        switch (algorithm) {
            case ALGORITHM_3DES:
            case ALGORITHM_AES_192:
                return 24;
            case ALGORITHM_AES_128:
                return 16;
            case ALGORITHM_AES_256:
                return 32;
            default:
                return -1;
        }
    }

    /** Forgets a challenge or witness: it counts for the next command only. */
    void passCommand() {
        exchange[SENT] = NOTHING;
    }

    /**
     * GENERAL AUTHENTICATE under this key. Empty 81 asks for a challenge, which 82 answers; empty 80 asks for a witness,
     * which 80 answers together with the host's challenge in 81.
     *
     * @return the end of the response
     */
    short authenticate(byte algorithm, byte[] input, short offset, short end, byte[] output) {
        boolean isDes = key.getType() == KeyBuilder.TYPE_DES;
        if (algorithm == ALGORITHM_3DES_ECB) {
            algorithm = ALGORITHM_3DES;
        }
        if ((algorithm == ALGORITHM_3DES) != isDes || (short) (8 * keyLength(algorithm)) != key.getSize()) {
            ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        }
        short block = isDes ? DES_BLOCK : AES_BLOCK;
        byte sent = exchange[SENT];
        exchange[SENT] = NOTHING;
        short challenge = Tlv.find(input, offset, end, Piv.TAG_CHALLENGE);
        short witness = Tlv.find(input, offset, end, Piv.TAG_WITNESS);
        if (witness != Tlv.ABSENT && Tlv.length(input, witness, end) == 0) {
            return ask(WITNESS, Piv.TAG_WITNESS, block, output);
        }
        if (challenge != Tlv.ABSENT && Tlv.length(input, challenge, end) == 0) {
            return ask(CHALLENGE, Piv.TAG_CHALLENGE, block, output);
        }
        if (witness != Tlv.ABSENT && challenge != Tlv.ABSENT) {
            return answerMutually(sent, block, input, witness, challenge, end, output);
        }
        short response = Tlv.find(input, offset, end, Piv.TAG_RESPONSE);
        if (response == Tlv.ABSENT) {
            throw Tlv.malformed();
        }
        short value = blockAt(input, response, end, block);
        crypt(Cipher.MODE_DECRYPT, input, value, block, input, value);
        accept(sent == CHALLENGE, input, value, block);
        return 0;
    }

    /** Sends a new challenge in clear, or a witness encrypted. */
    private short ask(byte kind, byte tag, short block, byte[] output) {
        random.generateData(exchange, (short) 0, block);
        exchange[SENT] = kind;
        short value = Tlv.header(output, (short) 0, Piv.TAG_TEMPLATE, Tlv.size(block));
        value = Tlv.header(output, value, tag, block);
        if (kind == WITNESS) {
            crypt(Cipher.MODE_ENCRYPT, exchange, (short) 0, block, output, value);
        } else {
            Util.arrayCopyNonAtomic(exchange, (short) 0, output, value, block);
        }
        return (short) (value + block);
    }

    /** The host has decrypted the witness; its challenge comes back encrypted. */
    private short answerMutually(byte sent, short block, byte[] input, short witness, short challenge, short end,
            byte[] output) {
        short question = blockAt(input, challenge, end, block);
        accept(sent == WITNESS, input, blockAt(input, witness, end, block), block);
        short value = Tlv.header(output, (short) 0, Piv.TAG_TEMPLATE, Tlv.size(block));
        value = Tlv.header(output, value, Piv.TAG_RESPONSE, block);
        crypt(Cipher.MODE_ENCRYPT, input, question, block, output, value);
        return (short) (value + block);
    }

    private static short blockAt(byte[] input, short field, short end, short block) {
        if (Tlv.length(input, field, end) != block) {
            throw Tlv.malformed();
        }
        return Tlv.value(input, field, end);
    }

    private void accept(boolean asked, byte[] input, short offset, short block) {
        byte differences = (byte) (asked ? 0 : 1);
        for (short i = 0; i < block; i++) {
            differences |= (byte) (exchange[i] ^ input[(short) (offset + i)]);
        }
        status.setAdministrator(differences == 0);
        SecurityStatus.require(differences == 0);
    }

    private void crypt(byte mode, byte[] input, short offset, short length, byte[] output, short to) {
        Cipher cipher = key.getType() == KeyBuilder.TYPE_DES ? des : aes;
        cipher.init(key, mode);
        cipher.doFinal(input, offset, length, output, to);
    }
}
