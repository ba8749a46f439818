package opentsm.open;

import opentsm.runtime.CardRuntime;

/**
 * The OPEN's services to packages of Security Domains.
 *
 * <p>The Security Domain decides (keys, secure channel, authorization); the OPEN acts, and checks again what it must
 * never allow. Every method throws ISOException 6985 when its caller is not a Security Domain, and ISOException with the
 * status word that the command's clause names when the request can't be met; then nothing has changed. "LV" is a length
 * byte followed by that many bytes, as in the data field of INSTALL; an offset at which an LV begins is named so.
 *
 * <p>Spec: GP Card 2.3.1 clauses 6, 9 and 11.
 */
public final class Open {
    /** Enumerates the Issuer Security Domain (GET STATUS P1 80). */
    public static final byte SCOPE_ISSUER_DOMAIN = (byte) 0x80;

    /** Enumerates applications and supplementary Security Domains (GET STATUS P1 40). */
    public static final byte SCOPE_APPLICATIONS = 0x40;

    /** Enumerates load files (GET STATUS P1 20; also 10, whose modules follow by {@link Entry#nextModule}). */
    public static final byte SCOPE_LOAD_FILES = 0x20;

    /** An effect: a key set or key was put; detail: its key version number. */
    public static final byte EFFECT_PUT_KEY = 1;

    /** An effect: keys were deleted; detail: key version number (and key identifier). */
    public static final byte EFFECT_DELETE_KEY = 2;

    /** An effect: the Security Domain stored data of its own; detail: the tag or DGI. */
    public static final byte EFFECT_STORE_DATA = 3;

    /** A resource: the number of applications and Security Domains, on 2 bytes. */
    public static final byte RESOURCE_APPLICATIONS = 1;

    /** A resource: bytes of non-volatile memory that are free, on 4 bytes. */
    public static final byte RESOURCE_FREE_NON_VOLATILE = 2;

    /** A resource: bytes of volatile memory that are free, on 4 bytes. */
    public static final byte RESOURCE_FREE_VOLATILE = 3;

    private Open() {}

    /** Returns the calling Security Domain's own entry. */
    public static Entry self() {
        return CardRuntime.current().services().self();
    }

    /**
     * Returns the application that is selected on the channel of the current APDU; it is not the caller when the caller
     * serves another application through a shareable interface (its secure channel, say).
     */
    public static Entry selected() {
        return CardRuntime.current().services().selected();
    }

    /**
     * Writes the AID under which the host selected the application of the current channel: the registry's, or the alias
     * that the host named in full (A000000003000000 for the ISD, say). SCP03 binds its pseudo-random challenge to it.
     *
     * @return the offset behind the AID
     */
    public static short getSelectedAid(byte[] buffer, short offset) {
        return CardRuntime.current().services().getSelectedAid(buffer, offset);
    }

    /**
     * Writes 4 bytes that name the current selection: no other selection of an application, on any channel of any
     * interface, has the same ones until the card loses power. A secure channel session belongs to one.
     *
     * @return the offset behind them
     */
    public static short getSelection(byte[] buffer, short offset) {
        return CardRuntime.current().services().getSelection(buffer, offset);
    }

    /**
     * Tells whether a selection is still in force: its channel has neither been closed, nor reset with its interface,
     * nor has anything been selected on it since (the same application again ends it too).
     *
     * @param buffer what {@link #getSelection} wrote, at the offset
     */
    public static boolean isSelectionInForce(byte[] buffer, short offset) {
        return CardRuntime.current().services().isSelectionInForce(buffer, offset);
    }

    /** Returns the Issuer Security Domain. */
    public static Entry issuerDomain() {
        return CardRuntime.current().services().issuerDomain();
    }

    /** Tells whether the card is being made: keys come with the install parameters then, and no command does. */
    public static boolean manufacturing() {
        return CardRuntime.current().services().manufacturing();
    }

    /** Returns the application, Security Domain or load file (not module) with exactly this AID, or null. */
    public static Entry find(byte[] buffer, short offset, short length) {
        return CardRuntime.current().services().find(buffer, offset, length);
    }

    /**
     * Enumerates the registry in a stable order (that of creation).
     *
     * @param previous the entry returned before, of the same scope, or null to begin; if it was deleted since, 6A88
     * @param scope one SCOPE constant
     * @return the next entry or null
     */
    public static Entry next(Entry previous, byte scope) {
        return CardRuntime.current().services().next(previous, scope);
    }

    /**
     * Installs an instance, associated with the calling Security Domain.
     *
     * <p>Refused unless the caller has Authorized or Delegated Management (a token is the caller's to verify), and the
     * privileges can be granted on this card.
     *
     * @param buffer what follows are offsets into it, each at which an LV begins
     * @param loadFileLv the load file's AID; empty when the module's AID says it
     * @param moduleLv the module's AID
     * @param instanceLv the instance's AID
     * @param privilegesLv 1 or 3 bytes
     * @param parametersLv install parameters: C9 (given to the applet), EF system parameters (CF implicit selection, CB
     *     global services, memory, A0 contactless parameters of Amendment C), B6 (5F20); others are ignored. Its length
     *     has one to three bytes
     * @param makeSelectable whether the instance becomes SELECTABLE at once (INSTALL P1 0C)
     * @return the new entry
     * <p>Spec: GP Card 2.3.1 clauses 9.3.5, 11.5.2.3.2, 11.5.2.3.7.
     */
    public static Entry install(byte[] buffer, short loadFileLv, short moduleLv, short instanceLv, short privilegesLv,
            short parametersLv, boolean makeSelectable) {
        return CardRuntime.current().services().install(buffer, loadFileLv, moduleLv, instanceLv, privilegesLv,
                parametersLv, makeSelectable);
    }

    /**
     * Makes an INSTALLED application SELECTABLE and, when the privileges LV is not empty, sets its privileges.
     *
     * <p>Spec: GP Card 2.3.1 clauses 9.3.6, 11.5.2.3.3.
     */
    public static void makeSelectable(Entry application, byte[] buffer, short privilegesLv, short parametersLv) {
        CardRuntime.current().services().makeSelectable(application, buffer, privilegesLv, parametersLv);
    }

    /**
     * Extradites an application or load file to another Security Domain.
     *
     * <p>The caller must be directly or indirectly associated with the entry and have Authorized or Delegated
     * Management; a Security Domain under the extradited one is never accepted as its new domain.
     *
     * <p>Spec: GP Card 2.3.1 clauses 9.4.1, 11.5.2.3.4.
     */
    public static void extradite(Entry entry, Entry newDomain) {
        CardRuntime.current().services().extradite(entry, newDomain);
    }

    /**
     * Updates an application's registry entry: its domain (unless null), privileges (when the LV is not empty) and
     * parameters (EF: CF, CB, D9, A0); all or nothing.
     *
     * <p>Spec: GP Card 2.3.1 clauses 9.4.2, 11.5.2.3.5.
     */
    public static void updateRegistry(Entry application, Entry newDomain, byte[] buffer, short privilegesLv,
            short parametersLv) {
        CardRuntime.current().services().updateRegistry(application, newDomain, buffer, privilegesLv, parametersLv);
    }

    /**
     * Takes functions of card content management from the whole card, for ever (parameter D9); the caller must have the
     * Global Lock privilege.
     *
     * <p>Spec: GP Card 2.3.1 clauses 9.4.2.1, 11.5.2.3.7.
     */
    public static void restrict(byte[] buffer, short parametersLv) {
        CardRuntime.current().services().restrict(buffer, parametersLv);
    }

    /**
     * Has the token of the running command verified by the domain with the Token Verification privilege in the caller's
     * sub-hierarchy; with it the caller's Delegated Management allows what the command asks. 6982 when the token is
     * wrong or was used before; 6985 when there is no domain or no key to verify it, or none for the receipt.
     *
     * @param buffer what follows are offsets and lengths in it
     * @param offset what is signed: P1, P2, the length of the fields (1 byte up to 255, else 00 and 2), the fields
     * @param templateOffset value of the control reference template (B6); its length is 0 when there is none
     * @param tokenOffset the token
     * <p>Spec: GP Card 2.3.1 clause 9.1.3, annex C.4.
     */
    public static void authorize(byte[] buffer, short offset, short length, short templateOffset, short templateLength,
            short tokenOffset, short tokenLength) {
        CardRuntime.current().management().authorize(buffer, offset, length, templateOffset, templateLength,
                tokenOffset, tokenLength);
    }

    /**
     * Writes the confirmation of what the running command did, when it took a token and the caller's sub-hierarchy has a
     * domain with the Receipt Generation privilege.
     *
     * @return the offset behind it; the same offset when there is none
     * <p>Spec: GP Card 2.3.1 clause 11.1.6, annex C.5.
     */
    public static short confirm(byte[] buffer, short offset) {
        return CardRuntime.current().management().confirm(buffer, offset);
    }

    /**
     * Begins to load a load file for the caller; it belongs to the current selection, and there is one at a time.
     *
     * @param loadFileLv the load file's AID
     * @param domainLv the domain it is to be associated with; empty for the caller
     * @param hashLv the load file data block's hash; empty when there is none
     * @param parametersLv load parameters
     * @param combined whether {@link #installLoaded} ends it
     * @param commandOffset of a combined process: what its token signs of this command, as for {@link #authorize}
     * <p>Spec: GP Card 2.3.1 clauses 9.3.5, 9.3.8, 11.5.2.3.1.
     */
    public static void beginLoad(byte[] buffer, short loadFileLv, short domainLv, short hashLv, short parametersLv,
            boolean combined, short commandOffset, short commandLength) {
        CardRuntime.current().management().beginLoad(buffer, loadFileLv, domainLv, hashLv, parametersLv, combined,
                commandOffset, commandLength);
    }

    /** Tells whether the caller is loading something in the current selection. */
    public static boolean isLoading() {
        return CardRuntime.current().management().isLoading();
    }

    /**
     * Takes a part of the load file; the last one has the whole verified and, unless the process is a combined one,
     * registered. Whatever is wrong ends the load.
     *
     * <p>Spec: GP Card 2.3.1 clauses 9.3.5, 11.6.
     */
    public static void load(byte[] buffer, short offset, short length, boolean last) {
        CardRuntime.current().management().load(buffer, offset, length, last);
    }

    /** Gives up what the caller is loading in the current selection; nothing of it stays. */
    public static void abortLoad() {
        CardRuntime.current().management().abortLoad();
    }

    /**
     * Ends a combined process: registers what was loaded and installs an instance of it, or does neither.
     *
     * @param loadFileLv empty, or the AID that the process began with
     * <p>Spec: GP Card 2.3.1 clauses 9.3.8, 11.5.2.3.2.
     */
    public static Entry installLoaded(byte[] buffer, short loadFileLv, short moduleLv, short instanceLv,
            short privilegesLv, short parametersLv) {
        return CardRuntime.current().management().installLoaded(buffer, loadFileLv, moduleLv, instanceLv, privilegesLv,
                parametersLv);
    }

    /**
     * Deletes an application, or a load file (with its modules).
     *
     * <p>6985 when something depends on it: an instance of the load file (unless related), an application or load file
     * associated with the Security Domain, or an instance selected on another channel.
     *
     * @param entry what to delete; the caller must manage it, or have the Global Delete privilege
     * @param related also the instances of a load file
     * <p>Spec: GP Card 2.3.1 clauses 9.5, 11.2.
     */
    public static void delete(Entry entry, boolean related) {
        CardRuntime.current().services().delete(entry, related);
    }

    /**
     * Sets the life cycle state of an application or Security Domain as SET STATUS P1 40 asks: b8 of the state locks
     * (only b8 is looked at then); with b8 clear the state from before the lock comes back, or an SD or application
     * specific transition is made that table 11-4 or 11-5 allows.
     *
     * <p>Spec: GP Card 2.3.1 clauses 5.3, 9.6.2, 9.6.3, 11.10.
     */
    public static void setState(Entry application, byte state) {
        CardRuntime.current().services().setState(application, state);
    }

    /**
     * Locks (b8 set) or unlocks a Security Domain with everything associated with it, directly or indirectly, as SET
     * STATUS P1 60 asks. Unlocking leaves locked what had been locked one by one.
     *
     * <p>Spec: GP Card 2.3.1 clauses 5.3.2.5, 11.10.2.1.
     */
    public static void setStateOfAll(Entry domain, byte state) {
        CardRuntime.current().services().setStateOfAll(domain, state);
    }

    /** Returns the card's life cycle state, GPSystem.CARD_*. */
    public static byte cardState() {
        return CardRuntime.current().services().cardState();
    }

    /**
     * Makes a transition of the card's life cycle: OP_READY to INITIALIZED to SECURED, SECURED to CARD_LOCKED and back
     * (Card Lock), any to TERMINATED (Card Terminate).
     *
     * <p>Spec: GP Card 2.3.1 clauses 5.1, 9.6.
     */
    public static void setCardState(byte state) {
        CardRuntime.current().services().setCardState(state);
    }

    /**
     * Activates or deactivates an application on the contactless interface.
     *
     * <p>The caller must have the Contactless Activation privilege or manage the application directly or indirectly.
     *
     * @param application the application; 6985 when it is not activatable, or activated while not selectable
     * @param state GPCLRegistryEntry.STATE_CL_ACTIVATED or STATE_CL_DEACTIVATED
     * <p>Spec: GP Amendment C clause 3.11.
     */
    public static void setContactlessState(Entry application, byte state) {
        CardRuntime.current().services().setContactlessState(application, state);
    }

    /** Tells whether an application takes personalization data (is a Personalization or an Application). */
    public static boolean isPersonalizable(Entry application) {
        return CardRuntime.current().services().isPersonalizable(application);
    }

    /**
     * Forwards a STORE DATA command to an application, by its Personalization interface or else its Application
     * interface: header first, unwrapped, in the APDU buffer. The effect is recorded here, with the operation id when the
     * data begin with DGI 0101.
     *
     * @return the number of bytes that the application wrote to the output buffer
     * <p>Spec: GP Card 2.3.1 clause 7.3.3.
     */
    public static short personalize(Entry application, byte[] input, short inputOffset, short inputLength,
            byte[] output, short outputOffset) {
        return CardRuntime.current().services().personalize(application, input, inputOffset, inputLength, output,
                outputOffset);
    }

    /**
     * Reads a card-wide data object: 0042 (IIN), 0045 (CIN), 9F7F (CPLC), 00CF (diversification data, 10 bytes).
     *
     * @return the offset behind the value (no tag, no length), or -1 when the card has no such object
     */
    public static short getCardData(short tag, byte[] buffer, short offset) {
        return CardRuntime.current().services().getCardData(tag, buffer, offset);
    }

    /**
     * Writes what the card has of a resource, as far as the runtime can tell.
     *
     * @param resource one RESOURCE constant
     * @return the offset behind the number
     * <p>Spec: ETSI TS 102 226 clause 8.2.1.7.2.
     */
    public static short getResource(byte resource, byte[] buffer, short offset) {
        return CardRuntime.current().services().getResource(resource, buffer, offset);
    }

    /** Stores a card-wide data object's value; the Issuer Security Domain only; 6A88 for a tag that can't be set. */
    public static void setCardData(short tag, byte[] buffer, short offset, short length) {
        CardRuntime.current().services().setCardData(tag, buffer, offset, length);
    }

    /**
     * Records an effect with persistent consequences that only the caller knows of. The OPEN records its own.
     *
     * @param effect one EFFECT constant
     * @param detail what is shown, in hex, behind the caller's AID; never a secret
     */
    public static void effect(byte effect, byte[] detail, short offset, short length) {
        CardRuntime.current().services().effect(effect, detail, offset, length);
    }
}
