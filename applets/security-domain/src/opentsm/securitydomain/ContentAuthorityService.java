package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import opentsm.open.ContentAuthority;

/**
 * What this Security Domain does at the OPEN's request when card content changes.
 *
 * <p>Its keys for that have key identifier 01 and the versions that GlobalPlatform's configurations reserve: 70 for
 * tokens, 71 for receipts, 73 for DAPs, 75 for ciphered load files.
 *
 * <p>Spec: GP Card 2.3.1 clauses 9.1.3, 11.1.6, annex C.
 */
final class ContentAuthorityService implements ContentAuthority {
    private static final byte KEY_IDENTIFIER = 1;
    private static final short NO_KEY = -1;

    /** Room for the confirmation data: counter, unique data (42 and 45), token identifier. */
    private static final short CONFIRMATION_SIZE = 64;

    private static final short LONGEST_TOKEN_IDENTIFIER = 16;

    private final KeyStore keys;
    private final DataHolder names;
    private final ConfirmationCounter confirmations;
    private final Signatures signatures;
    private final TokenNumbers numbers;

    /** Used within one call, cleared at reset. */
    private final byte[] scratch;

    /** @param names who holds this domain's 42 and 45 */
    ContentAuthorityService(
            KeyStore keys, PublicKeys publicKeys, DataHolder names, ConfirmationCounter confirmations) {
        this.keys = keys;
        this.names = names;
        this.confirmations = confirmations;
        signatures = new Signatures(keys, publicKeys);
        numbers = new TokenNumbers();
        scratch = JCSystem.makeTransientByteArray(CONFIRMATION_SIZE, JCSystem.CLEAR_ON_RESET);
    }

    private KeySlot key(byte service) {
        return keys.find(service, KEY_IDENTIFIER);
    }

    private KeySlot require(byte service) {
        KeySlot key = key(service);
        if (key == null) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        return key;
    }

    /** {@inheritDoc} A receipt key must be one that can sign, and the counter not at its end. */
    @Override
    public short hashLength(byte service) {
        KeySlot key = key(service);
        if (key == null || !fits(key, service) || service == RECEIPT && confirmations.isExhausted()) {
            return NO_KEY;
        }
        return service == CIPHERED_LOAD_FILE ? Signatures.hashLengthForCipher(key) : Signatures.hashLength(key);
    }

    private static boolean fits(KeySlot key, byte service) {
        return service == RECEIPT ? Signatures.isSigningKey(key)
                : service == CIPHERED_LOAD_FILE ? Signatures.isMacKey(key) : Signatures.isVerificationKey(key);
    }

    @Override
    public boolean verifyToken(byte[] first, short firstLength, byte[] command, short offset, short length,
            byte[] template, short templateOffset, short templateLength,
            byte[] token, short tokenOffset, short tokenLength) {
        KeySlot key = require(TOKEN);
        short end = (short) (templateOffset + templateLength);
        if (!isNamed(Gp.TAG_IIN, template, templateOffset, end) || !isNamed(Gp.TAG_CIN, template, templateOffset, end)) {
            return false;
        }
        short number = Tlv.find(template, templateOffset, end, Gp.TAG_TOKEN_IDENTIFIER);
        if (number != Tlv.ABSENT
                && numbers.isSpent(template, Tlv.valueOffset(template, number), Tlv.length(template, number, end))) {
            return false;
        }
        return signatures.verify(key, first, firstLength, command, offset, length, token, tokenOffset, tokenLength);
    }

    /** Tells whether a template names this domain by 42 or 45, or does not name any by it. */
    private boolean isNamed(short tag, byte[] template, short offset, short end) {
        short field = Tlv.find(template, offset, end, tag);
        if (field == Tlv.ABSENT) {
            return true;
        }
        short length = putName(tag, scratch, (short) 0);
        return Tlv.length(template, field, end) == length
                && Util.arrayCompare(template, Tlv.valueOffset(template, field), scratch, (short) 0, length) == 0;
    }

    /** Writes the value of 42 or 45, nothing when the domain has none, and returns the offset behind it. */
    private short putName(short tag, byte[] buffer, short at) {
        short end = names.get(tag, buffer, at);
        if (end == Tlv.ABSENT) {
            return at;
        }
        // Tag and length have a byte each.
        short value = (short) (at + 2);
        return Util.arrayCopyNonAtomic(buffer, value, buffer, at, (short) (end - value));
    }

    @Override
    public void spendToken(byte[] number, short offset, short length) {
        numbers.spend(number, offset, length);
    }

    @Override
    public void returnToken(byte[] number, short offset, short length) {
        numbers.giveBack(number, offset, length);
    }

    @Override
    public boolean verifyDap(byte[] hash, short hashLength, byte[] signature, short offset, short length) {
        return signatures.verify(require(DAP), hash, (short) 0, hash, (short) 0, hashLength, signature, offset, length);
    }

    /**
     * {@inheritDoc}
     *
     * <p>Confirmation data (table 11-14): counter, this domain's 42 and 45, the token's identifier. The counter goes up
     * before the receipt can leave the card.
     */
    @Override
    public short confirm(byte[] operation, short operationLength, byte[] token, short tokenLength, byte[] output,
            short outputOffset) {
        KeySlot key = require(RECEIPT);
        short end = confirmationData(token, tokenLength);
        short size = signatures.sign(key, scratch, end, operation, (short) 0, operationLength, output,
                (short) (outputOffset + 1));
        confirmations.increment();
        output[outputOffset] = (byte) size;
        return Util.arrayCopyNonAtomic(scratch, (short) 0, output, (short) (outputOffset + 1 + size), end);
    }

    private short confirmationData(byte[] token, short tokenLength) {
        scratch[0] = ConfirmationCounter.SIZE;
        short unique = confirmations.get(scratch, (short) 1);
        short end = putName(Gp.TAG_IIN, scratch, (short) (unique + 1));
        end = putName(Gp.TAG_CIN, scratch, end);
        scratch[unique] = (byte) (end - unique - 1);
        if (tokenLength > 0 && tokenLength <= LONGEST_TOKEN_IDENTIFIER) {
            scratch[end] = (byte) tokenLength;
            end = Util.arrayCopyNonAtomic(token, (short) 0, scratch, (short) (end + 1), tokenLength);
        }
        return end;
    }

    @Override
    public void beginDecryption(byte[] vector, short length) {
        KeySlot key = require(CIPHERED_LOAD_FILE);
        if (length != 0 && length != Signatures.blockSize(key)) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        signatures.beginDecryption(vector, length);
    }

    @Override
    public void decrypt(byte[] data, short offset, short length) {
        KeySlot key = require(CIPHERED_LOAD_FILE);
        if (length == 0 || (short) (length % Signatures.blockSize(key)) != 0) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        signatures.decrypt(key, data, offset, length);
    }
}
