package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import opentsm.open.Open;

/**
 * The state of one secure channel session, of any protocol: its keys, chaining values and counters.
 *
 * <p>All state lives in one array cleared at reset, not at deselect: a Security Domain serves sessions of applications
 * under it while it is not selected itself. A session belongs to one selection of one application (4 bytes that the OPEN
 * gives out), so selecting anything on its channel, closing the channel and a reset of its interface all end it. What is
 * done with the state is up to the {@link Messaging} of its protocol.
 *
 * <p>Spec: GP Card 2.3.1 clause 10.2.
 */
final class Session {
    private static final byte NONE = 0;
    private static final byte INITIALIZED = 1;
    private static final byte ESTABLISHED = 2;

    static final byte C_MAC = 0x01;
    static final byte C_DECRYPTION = 0x02;
    static final byte R_MAC = 0x10;
    static final byte R_ENCRYPTION = 0x20;

    /** R-MACs go with each response, or are kept for the end of their session. */
    static final byte R_MACS_SENT = 1;

    static final byte R_MACS_KEPT = 2;

    private static final short STATE = 0;
    private static final short SELECTION = 1;

    /** Protocols.SCP02, SCP03 or SCP11. */
    static final short PROTOCOL = 5;

    /** The security level in force: C_MAC and the others. */
    static final short LEVEL = 6;

    /** What the level was set to when the session was established. */
    static final short FIRST_LEVEL = 7;

    /** 80 when the off-card entity is authenticated (SecureChannel.AUTHENTICATED), else 00. */
    static final short AUTHENTICATION = 8;

    static final short KEY_LENGTH = 9;

    /** Length of MACs: 8, or 16 (S16). */
    static final short SIZE = 10;

    /** 1 when this session's keys are those in the key objects of its messaging; see there. */
    static final short LOADED = 11;

    /** SCP02: 1 once a C-MAC was verified. */
    static final short CHAINED = 11;

    /** SCP02: R_MACS_SENT, R_MACS_KEPT, or 0 when there are none. */
    static final short R_MAC_MODE = 12;

    /** SCP02: number of bytes in the last, incomplete block of the R-MAC; -1 when the response gets none. */
    static final short R_PARTIAL_LENGTH = 13;

    /** Level and R-MAC mode from the next command on. */
    static final short NEXT_LEVEL = 14;

    static final short NEXT_R_MAC_MODE = 15;

    static final short S_ENC = 16;
    static final short S_MAC = 48;
    static final short S_RMAC = 80;
    static final short DEK = 112;

    /** The MAC chaining value: 16 bytes; SCP02: the last C-MAC, 8 bytes. */
    static final short CHAIN = 144;

    /** SCP03: the encryption counter; SCP02: the last R-MAC, its running state, its incomplete block. */
    static final short COUNTER = 160;

    static final short LAST_R_MAC = 160;
    static final short R_STATE = 168;

    /** The expected host cryptogram until it has come; SCP02: the incomplete block of the R-MAC. */
    static final short HOST_CRYPTOGRAM = 176;

    static final short R_PARTIAL = 176;
    static final short SCRATCH = 192;
    private static final short RAM_SIZE = 224;

    final byte[] ram;

    /** The first slot of the key set in use, or the one key; cleared at reset. */
    private final Object[] keySet;

    Session() {
        ram = JCSystem.makeTransientByteArray(RAM_SIZE, JCSystem.CLEAR_ON_RESET);
        keySet = JCSystem.makeTransientObjectArray((short) 1, JCSystem.CLEAR_ON_RESET);
    }

    /** Tells whether the session is that of the selection in force on the current channel. */
    boolean isCurrent(byte[] selection, short offset) {
        return ram[STATE] != NONE && Util.arrayCompare(ram, SELECTION, selection, offset, Selections.SIZE) == 0;
    }

    /** Tells whether the room of this session can be taken: it has ended, or its selection is no longer in force. */
    boolean isFree() {
        return ram[STATE] == NONE || !Open.isSelectionInForce(ram, SELECTION);
    }

    boolean isInitialized() {
        return ram[STATE] == INITIALIZED;
    }

    boolean isEstablished() {
        return ram[STATE] == ESTABLISHED;
    }

    byte protocol() {
        return ram[PROTOCOL];
    }

    byte level() {
        return ram[LEVEL];
    }

    byte authentication() {
        return ram[AUTHENTICATION];
    }

    /** Returns the length of MACs. */
    short size() {
        return ram[SIZE];
    }

    short keyLength() {
        return ram[KEY_LENGTH];
    }

    /** Returns the key set with which the session was begun. */
    KeySlot keySet() {
        return (KeySlot) keySet[0];
    }

    /** Ends the session and forgets its keys. */
    void end() {
        Util.arrayFillNonAtomic(ram, (short) 0, RAM_SIZE, (byte) 0);
        keySet[0] = null;
    }

    /** Begins a session of a selection; its keys are to be derived. */
    void begin(KeySlot set, byte protocol, short keyLength, short size, byte[] selection, short offset) {
        end();
        ram[PROTOCOL] = protocol;
        ram[KEY_LENGTH] = (byte) keyLength;
        ram[SIZE] = (byte) size;
        Util.arrayCopyNonAtomic(selection, offset, ram, SELECTION, Selections.SIZE);
        keySet[0] = set;
        ram[STATE] = INITIALIZED;
    }

    /** Establishes the session at a security level. */
    void establish(byte level, byte authentication) {
        Util.arrayFillNonAtomic(ram, HOST_CRYPTOGRAM, (short) 16, (byte) 0);
        ram[LEVEL] = level;
        ram[FIRST_LEVEL] = level;
        ram[NEXT_LEVEL] = level;
        ram[AUTHENTICATION] = authentication;
        ram[STATE] = ESTABLISHED;
    }

    /** Puts level and R-MAC mode into force that the command before asked for; to be called once for each command. */
    void step() {
        ram[LEVEL] = ram[NEXT_LEVEL];
        ram[R_MAC_MODE] = ram[NEXT_R_MAC_MODE];
    }

    /** Makes commands unprotected from this one on; R-MACs stay (clause E.1.6, implicit initiation). */
    void leaveCommandsPlain() {
        ram[LEVEL] &= ~C_MAC;
        ram[NEXT_LEVEL] &= ~C_MAC;
    }

    /** Tells whether commands are to be protected. */
    boolean isForCommands() {
        return (ram[NEXT_LEVEL] & C_MAC) != 0;
    }

    /** Tells whether responses are protected though commands are not: then nothing may pass the session by. */
    boolean isForResponsesAlone() {
        return (ram[NEXT_LEVEL] & C_MAC) == 0 && ((ram[NEXT_LEVEL] & R_MAC) != 0 || ram[NEXT_R_MAC_MODE] != 0);
    }

    /** Tells whether an R-MAC session is under way that BEGIN R-MAC SESSION began. */
    boolean isResponseSession() {
        return (ram[FIRST_LEVEL] & R_MAC) == 0 && ((ram[LEVEL] & R_MAC) != 0 || ram[R_MAC_MODE] != 0);
    }

    /** Ends the session because a command in it was tampered with: 6982. */
    void fail() {
        end();
        ISOException.throwIt(Gp.SW_SECURITY_STATUS);
    }
}
