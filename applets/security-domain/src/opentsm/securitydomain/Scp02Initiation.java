package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import opentsm.open.Open;
import org.globalplatform.SecureChannel;

/**
 * What is SCP02's own in the beginning of a session: session keys, challenge and cryptograms, and implicit initiation.
 *
 * <p>The sequence counter is that of the session to come, 2 bytes; it is counted when a host has been authenticated.
 *
 * <p>Spec: GP Card 2.3.1 clauses E.1.2, E.3, E.4.1, E.4.2.
 */
final class Scp02Initiation {
    private static final short DERIVE_C_MAC = 0x0101;
    private static final short DERIVE_R_MAC = 0x0102;
    private static final short DERIVE_DEK = 0x0181;
    private static final short DERIVE_ENC = 0x0182;

    private static final short CHALLENGE_SIZE = 6;
    private static final short COUNTER_SIZE = 2;
    private static final short COUNTER = (short) (KeySlot.COUNTER_SIZE - COUNTER_SIZE);

    /** Layout of the scratch memory: what a cryptogram is of; the AID, or a MAC. */
    private static final short INPUT = 0;

    private static final short AID = 16;
    private static final short SCRATCH_SIZE = 32;

    private final KeyStore keys;
    private final Protocols protocols;
    private final Scp02Crypto crypto;
    private final Scp03Crypto random;

    /** Used within one call only; cleared at reset. */
    private final byte[] scratch;

    Scp02Initiation(KeyStore keys, Protocols protocols, Scp02Crypto crypto, Scp03Crypto random) {
        this.keys = keys;
        this.protocols = protocols;
        this.crypto = crypto;
        this.random = random;
        scratch = JCSystem.makeTransientByteArray(SCRATCH_SIZE, JCSystem.CLEAR_ON_RESET);
    }

    /**
     * Derives the session's keys and writes sequence counter, card challenge and card cryptogram.
     *
     * @return the offset behind them
     */
    short answer(Session session, KeySlot enc, byte[] host, short hostOffset, byte[] buffer, short at) {
        if (isExhausted(enc)) {
            session.end();
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        derive(session, enc);
        byte[] ram = session.ram;
        short counter = at;
        at = Util.arrayCopyNonAtomic(enc.counter, COUNTER, buffer, at, COUNTER_SIZE);
        if ((protocols.scp02() & Protocols.I02_PSEUDO_RANDOM) != 0) {
            macOfAid(ram, Session.S_MAC, scratch, AID);
            Util.arrayCopyNonAtomic(scratch, AID, buffer, at, CHALLENGE_SIZE);
        } else {
            random.random(buffer, at, CHALLENGE_SIZE);
        }
        at += CHALLENGE_SIZE;
        // Of the card: host challenge, counter, card challenge; of the host: counter, card challenge, host challenge.
        Util.arrayCopyNonAtomic(host, hostOffset, scratch, INPUT, Scp02Crypto.BLOCK);
        Util.arrayCopyNonAtomic(buffer, counter, scratch, Scp02Crypto.BLOCK, Scp02Crypto.BLOCK);
        short cryptogram = at;
        crypto.cryptogram(ram, Session.S_ENC, scratch, INPUT, buffer, cryptogram);
        Util.arrayCopyNonAtomic(buffer, counter, scratch, INPUT, Scp02Crypto.BLOCK);
        Util.arrayCopyNonAtomic(host, hostOffset, scratch, Scp02Crypto.BLOCK, Scp02Crypto.BLOCK);
        crypto.cryptogram(ram, Session.S_ENC, scratch, INPUT, ram, Session.HOST_CRYPTOGRAM);
        return (short) (cryptogram + Scp02Crypto.BLOCK);
    }

    private static boolean isExhausted(KeySlot enc) {
        return enc.counter[1] == (byte) 0xFF && enc.counter[2] == (byte) 0xFF;
    }

    /** Derives the four session keys. */
    private void derive(Session session, KeySlot enc) {
        deriveMac(session, enc);
        deriveOthers(session, enc);
    }

    /** Derives the C-MAC key; with a base key (i bit 01 clear) all keys are of that one. */
    private void deriveMac(Session session, KeySlot enc) {
        derive(staticKey(enc, KeyStore.ID_MAC), DERIVE_C_MAC, session, Session.S_MAC, enc);
    }

    private void deriveOthers(Session session, KeySlot enc) {
        derive(enc, DERIVE_ENC, session, Session.S_ENC, enc);
        derive(staticKey(enc, KeyStore.ID_MAC), DERIVE_R_MAC, session, Session.S_RMAC, enc);
        derive(staticKey(enc, KeyStore.ID_DEK), DERIVE_DEK, session, Session.DEK, enc);
    }

    private KeySlot staticKey(KeySlot enc, byte identifier) {
        return protocols.isScp02BaseKey() ? enc : keys.find(enc.version, identifier);
    }

    private void derive(KeySlot from, short constant, Session session, short at, KeySlot enc) {
        crypto.derive(keys.values(), from.offset, constant, enc.counter, COUNTER, session.ram, at);
    }

    /** Writes the retail MAC of the AID that the host selected: a challenge (i bit 40), or the first ICV (i bit 08). */
    private void macOfAid(byte[] ram, short key, byte[] output, short offset) {
        short end = Open.getSelectedAid(scratch, AID);
        crypto.macBegin();
        crypto.macUpdate(ram, key, scratch, AID, (short) (end - AID));
        crypto.macFinish(ram, key, output, offset);
    }

    /** Counts a session that was authenticated. */
    void count(KeySlot enc) {
        enc.incrementCounter(scratch, INPUT);
    }

    /** Tells whether sessions begin implicitly with the default key set; refuses when it is blocked. */
    boolean isImplicit() {
        byte version = keys.defaultVersion();
        return protocols.isScp02Implicit() && version != 0 && keys.protocol(version) == Protocols.SCP02;
    }

    /**
     * Begins a session with its first secured command, whose C-MAC is checked against the MAC of the selected AID as ICV;
     * the host is authenticated by it. The other keys are of the counter by then, and the first R-MAC's ICV of one of them.
     *
     * <p>Spec: clauses E.1.2.2, E.3.3.
     *
     * @return the length of the plain command
     */
    short begin(Session session, Messaging messaging, byte[] selection, short selectionOffset, byte[] buffer,
            short offset, short length) {
        KeySlot enc = keys.find(keys.defaultVersion(), KeyStore.ID_ENC);
        if (protocols.isBlocked(enc)) {
            ISOException.throwIt(Gp.SW_KEY_BLOCKED);
        }
        if (isExhausted(enc)) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        session.begin(enc, Protocols.SCP02, Scp02Crypto.KEY_SIZE, Scp02Crypto.BLOCK, selection, selectionOffset);
        byte[] ram = session.ram;
        deriveMac(session, enc);
        macOfAid(ram, Session.S_MAC, ram, Session.CHAIN);
        session.establish(Session.C_MAC, SecureChannel.AUTHENTICATED);
        Protocols.countFailure(enc);
        length = messaging.unwrap(session, buffer, offset, length);
        enc.failures = 0;
        count(enc);
        deriveOthers(session, enc);
        macOfAid(ram, Session.S_RMAC, ram, Session.LAST_R_MAC);
        return length;
    }
}
