package opentsm.payment;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;

/**
 * The accounts of an instance: each has a unique identifier and belongs to a service qualifier.
 *
 * <p>Room for all is taken at install. Changes are made inside the caller's transaction.
 */
final class Accounts {
    private static final short SW_NOT_FOUND = 0x6A88;

    private final Account[] accounts;

    Accounts(short limit) {
        accounts = new Account[limit];
        for (short i = 0; i < limit; i++) {
            accounts[i] = new Account();
        }
    }

    short count() {
        short count = 0;
        for (short i = 0; i < (short) accounts.length; i++) {
            if (accounts[i].used) {
                count++;
            }
        }
        return count;
    }

    /** Returns the n-th account that is there, counted from 1, or null. */
    Account get(short number) {
        for (short i = 0; i < (short) accounts.length; i++) {
            if (accounts[i].used) {
                number--;
                if (number == 0) {
                    return accounts[i];
                }
            }
        }
        return null;
    }

    private Account byUid(byte[] buffer, short field) {
        for (short i = 0; i < (short) accounts.length; i++) {
            if (accounts[i].used && accounts[i].uid.equals(buffer, field)) {
                return accounts[i];
            }
        }
        return null;
    }

    private Account room() {
        for (short i = 0; i < (short) accounts.length; i++) {
            if (!accounts[i].used) {
                return accounts[i];
            }
        }
        ISOException.throwIt(ISO7816.SW_FILE_FULL);
        return null;
    }

    private static short qualifier(byte[] buffer, short data, short end) {
        return DataObjects.require(buffer, data, end, DataObjects.QUALIFIER, (short) 1, Account.QUALIFIER_LIMIT);
    }

    private static short uid(byte[] buffer, short data, short end) {
        return DataObjects.require(buffer, data, end, DataObjects.UID, Account.UID_SIZE, Account.UID_SIZE);
    }

    /**
     * Puts an account, or replaces what is there under its identifier (DGI 0201); 6985 when that belongs to another
     * qualifier, since an identifier names one account only.
     */
    void put(byte[] buffer, short data, short end) {
        short qualifier = qualifier(buffer, data, end);
        short uid = uid(buffer, data, end);
        short pan = DataObjects.require(buffer, data, end, DataObjects.PAN, (short) 1, Account.PAN_LIMIT);
        short expiry = DataObjects.require(
                buffer, data, end, DataObjects.EXPIRY, Account.EXPIRY_SIZE, Account.EXPIRY_SIZE);
        Account account = byUid(buffer, uid);
        if (account == null) {
            account = room();
        } else if (!account.qualifier.equals(buffer, qualifier)) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        } else {
            account.clear();
        }
        account.used = true;
        account.qualifier.set(buffer, qualifier);
        account.uid.set(buffer, uid);
        account.pan.set(buffer, pan);
        account.expiry.set(buffer, expiry);
        optional(account.track2, buffer, data, end, DataObjects.TRACK_2, Account.TRACK_2_LIMIT);
        optional(account.label, buffer, data, end, DataObjects.LABEL, Account.LABEL_LIMIT);
    }

    private static void optional(Field target, byte[] buffer, short data, short end, short tag, short limit) {
        short field = DataObjects.find(buffer, data, end, tag);
        if (field == DataObjects.ABSENT) {
            return;
        }
        if (DataObjects.length(buffer, field) > limit) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        target.set(buffer, field);
    }

    /** Deletes one account of a qualifier (DGI 0202); 6A88 when it is not there. */
    void delete(byte[] buffer, short data, short end) {
        short qualifier = qualifier(buffer, data, end);
        Account account = byUid(buffer, uid(buffer, data, end));
        if (account == null || !account.qualifier.equals(buffer, qualifier)) {
            ISOException.throwIt(SW_NOT_FOUND);
        }
        account.clear();
    }

    /** Deletes all accounts of a qualifier (DGI 0203); 6A88 when there is none. */
    void deleteOf(byte[] buffer, short data, short end) {
        short qualifier = qualifier(buffer, data, end);
        boolean found = false;
        for (short i = 0; i < (short) accounts.length; i++) {
            if (accounts[i].used && accounts[i].qualifier.equals(buffer, qualifier)) {
                accounts[i].clear();
                found = true;
            }
        }
        if (!found) {
            ISOException.throwIt(SW_NOT_FOUND);
        }
    }

    /** Deletes all accounts (DGI 0204); there may be none. */
    void deleteAll() {
        for (short i = 0; i < (short) accounts.length; i++) {
            accounts[i].clear();
        }
    }

    /** Writes E1 { C0 qualifier, C1 identifier } of each account and returns the offset behind them. */
    short list(byte[] buffer, short offset) {
        for (short i = 0; i < (short) accounts.length; i++) {
            if (accounts[i].used) {
                short value = DataObjects.header(buffer, offset, DataObjects.ACCOUNT, (short) 0);
                short end = accounts[i].qualifier.putAlways(buffer, value, DataObjects.QUALIFIER);
                end = accounts[i].uid.putAlways(buffer, end, DataObjects.UID);
                offset = DataObjects.close(buffer, value, end);
            }
        }
        return offset;
    }

    /** Writes an account's record, 70 { 57, 5A, 5F24 }, and returns the offset behind it; 6A83 when there is none. */
    short record(short number, byte[] buffer, short offset) {
        Account account = get(number);
        if (account == null) {
            ISOException.throwIt(ISO7816.SW_RECORD_NOT_FOUND);
        }
        short value = DataObjects.header(buffer, offset, DataObjects.RECORD, (short) 0);
        short end = account.track2.put(buffer, value, DataObjects.TRACK_2);
        end = account.pan.put(buffer, end, DataObjects.PAN);
        end = account.expiry.put(buffer, end, DataObjects.EXPIRY);
        return DataObjects.close(buffer, value, end);
    }
}
