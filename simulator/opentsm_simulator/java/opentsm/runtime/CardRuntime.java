package opentsm.runtime;

import com.licel.jcardsim.base.SimulatorRuntime;
import com.licel.jcardsim.base.SimulatorSystem;
import com.licel.jcardsim.base.TransientMemory;
import com.licel.jcardsim.utils.BiConsumer;
import javacard.framework.AID;
import javacard.framework.APDU;
import javacard.framework.ApduAccess;
import javacard.framework.Applet;
import javacard.framework.ISOException;
import javacard.framework.Shareable;

/**
 * A card: jCardSim's runtime with a GlobalPlatform OPEN in place of jCardSim's own dispatch.
 *
 * <p>Many cards share one JVM. A card is bound to the calling thread for each command, and runs one command at a time.
 * jCardSim's tables of applets and load files stay empty; the {@link Registry} is in their place.
 *
 * <p>Spec: GP Card 2.3.1 clause 6 (OPEN); JCRE 3.0.5.
 */
public final class CardRuntime extends SimulatorRuntime {
    private static final byte[] NOTHING = {};

    final Memory memory = new Memory(this);
    final Budget budget = new Budget();
    final Contexts contexts = new Contexts(this);
    final Firewall firewall = new Firewall(this);

    /** Code of packages tells of its writes; false only to see what that costs. */
    boolean transactional = true;
    final Registry registry = new Registry();
    final Effects effects = new Effects();
    final Locks locks = new Locks(this);
    final CardData data = new CardData();
    final CardInterface[] interfaces;

    /** Not an interface of the card: where {@link #ask} has its channel. */
    private final CardInterface backstage = new CardInterface(this, 2);
    final Contactless contactless = new Contactless(this);

    final transient Faults faults = new Faults(registry);

    /** Told what the card executes and writes; null when nobody wants to know. */
    transient Trace trace;

    byte secureElementType;
    byte[] historicalBytes = {};

    /** Reads what LOAD brings; null when this card takes none. */
    PackageReader packages;

    /** What no domain of this card will ever do again (Restrictions). */
    int restrictions;

    /** What the historical bytes become when the contact interface is powered next; null: what they are. */
    byte[] nextHistoricalBytes;

    /** Set while the card is being made (Provisioner), false from then on. */
    boolean manufacturing = true;

    /** Keeps what the card keeps without power; null when nobody does. */
    CardImage image;

    /** Another card has taken its place, and its classes. */
    private transient boolean replaced;

    /** The state of the card; SECURED as delivered unless the profile says otherwise. */
    private byte state = LifeCycle.CARD_OP_READY;

    private final Selection selection;
    private final Dispatcher dispatcher;
    private final Power power;
    private final Services services;
    private final ApplicationServices applicationServices;
    private final GlobalServices globalServices = new GlobalServices(this);
    private final ContactlessServices contactlessServices;
    private final ManagementServices management;
    private final CommandForm form = new CommandForm();

    /** The channel of the command that runs. */
    private Channel channel;

    /** An applet has asked for the deletion of what it reaches no more. */
    private transient boolean deletionRequested;

    /** Selections have to be looked at again once the command that runs is answered. */
    /** The running command selects what is selected on its channel already. */
    transient boolean reselecting;

    private transient boolean reviewSelections;

    /** Makes an empty card; a {@link Provisioner} fills it. */
    public CardRuntime() {
        interfaces = new CardInterface[] {new CardInterface(this, 0), new CardInterface(this, 1)};
        selection = new Selection(this);
        dispatcher = new Dispatcher(this, selection, form);
        power = new Power(this, selection);
        applicationServices = new ApplicationServices(this);
        contactlessServices = new ContactlessServices(this);
        services = new Services(this);
        management = new ManagementServices(this);
    }

    /** Returns the card that the calling thread is running. */
    public static CardRuntime current() {
        return (CardRuntime) SimulatorSystem.instance();
    }

    public Services services() {
        return services;
    }

    public ManagementServices management() {
        return management;
    }

    public ApplicationServices applicationServices() {
        return applicationServices;
    }

    public ContactlessServices contactlessServices() {
        return contactlessServices;
    }

    /** Records an effect once it is for good, unless the card is being made. */
    void recordEffect(String line) {
        if (!manufacturing) {
            memory.afterwards(() -> effects.record(line));
        }
    }

    public GlobalServices globalServices() {
        return globalServices;
    }

    public CardInterface contact() {
        return interfaces[0];
    }

    public CardInterface contactless() {
        return interfaces[1];
    }

    /** Returns the historical bytes that the ATR shows. */
    public synchronized byte[] historicalBytes() {
        return historicalBytes.clone();
    }

    /** Returns what the registry holds, a line for each entry ({@link Inspection#registry}). */
    public synchronized String[] inspect() {
        return new Inspection(this).registry();
    }

    /** Returns the parameters that registry entries have ({@link Inspection#parameters}). */
    public synchronized String[] parameters() {
        return new Inspection(this).parameters();
    }

    /** Returns the card's life cycle state, whether the contactless interface is on, and {@link Resources#figures}. */
    public synchronized int[] figures() {
        int[] memory = new Resources(this).figures();
        return new int[] {state & 0xFF, contactless.enabled ? 1 : 0, memory[0], memory[1], memory[2], memory[3]};
    }

    /**
     * Has an application answer a command on a channel that no interface has, so that nothing selected is disturbed; for
     * what anyone may read of it.
     *
     * @return the R-APDU; nothing when it can't be selected beside what is
     */
    public synchronized byte[] ask(byte[] aid, byte[] command) {
        ApplicationEntry entry = registry.application(aid);
        Channel on = backstage.channels[0];
        if (isMute() || entry == null || !form.parse(command)) {
            return NOTHING;
        }
        begin();
        try {
            if (!selection.selectAs(on, entry)) {
                return NOTHING;
            }
            try {
                return process(on, command, form, false);
            } finally {
                selection.deselect(on);
                keep(true);
            }
        } finally {
            memory.end();
        }
    }

    /** Begins something that the card does, bound to the calling thread; memory.end() ends it. */
    private void begin() {
        activateSimulatorRuntimeInstance();
        budget.begin();
        memory.begin();
    }

    private boolean isMute() {
        return replaced || budget.isExhausted() || memory.isCut();
    }

    // What the card keeps without power.

    /** Returns all that the card keeps without power. */
    public synchronized byte[] snapshot() {
        return ImageWriter.write(this);
    }

    /** Has what the card keeps taken, now and whenever a command has changed it; null: by nobody. */
    public synchronized void keepIn(CardImage.Keeper keeper) {
        image = keeper == null ? null : new CardImage(keeper);
        if (image != null && !image.keep(this)) {
            throw new IllegalStateException("the card's image can't be written");
        }
    }

    /**
     * Tells whether all that the card keeps is kept; otherwise it locks up.
     *
     * @param told whether nothing else than what was told of its write can have changed
     */
    private boolean keep(boolean told) {
        if (image == null) {
            return true;
        }
        boolean changed = memory.takeChanged() || !told;
        if (changed && !memory.isCut() && !image.keep(this)) {
            memory.lose();
            return false;
        }
        return true;
    }

    /** Has another card made of this one's classes; this one answers nothing more. */
    synchronized void giveWay(Runnable making) {
        making.run();
        replaced = true;
    }

    /** Returns the parts of the card that are always there, whose contents are in its image. */
    Object[] parts() {
        return new Object[] {this, memory, memory.heap, registry, contactless, data, effects, globalServices, budget};
    }

    /** Returns what is always there: the parts, and what has no content in an image. */
    Object[] places() {
        return new Object[] {this, memory, memory.heap, registry, contactless, data, effects, globalServices, budget,
            shortAPDU, ApduAccess.buffer(shortAPDU), extendedAPDU, ApduAccess.buffer(extendedAPDU)};
    }

    /** Cuts the power at the n-th persistent write from now; 0 takes that back. */
    public synchronized void cutPower(long atWrite) {
        memory.cutPower(atWrite);
    }

    /** Tells whether the power was cut and no reset has brought it back, or an applet made the card lock up. */
    public synchronized boolean isCut() {
        return memory.isCut();
    }

    /** Counts persistent writes from now on, in all and for each address. */
    public synchronized void countWrites() {
        memory.count();
    }

    /** Returns the addresses that were written most ({@link Wear#hottest}). */
    public synchronized String[] hottest(int most) {
        return Wear.hottest(memory.heap, most);
    }

    /** Returns digests of what the applications hold ({@link Fingerprint}). */
    public synchronized String[] fingerprint() {
        return Fingerprint.of(this);
    }

    /** Returns how many persistent writes were counted. */
    public synchronized long writes() {
        return memory.writes();
    }

    /** Returns what commands left behind on the card, in order, since it was made. */
    public synchronized String[] effects() {
        return effects.list();
    }

    /** Appends later effects to a file also. */
    public synchronized void logEffectsTo(String path) throws java.io.IOException {
        effects.logTo(path);
    }

    /** Sets the first byte of an array inside of an API's object for good, whatever becomes of a transaction. */
    public void setUnconditionally(byte[] array, byte value) {
        memory.unconditional(array);
        array[0] = value;
    }

    byte state() {
        return state;
    }

    /** Sets the card's state; what it ends, ends behind the command that runs. */
    void setState(byte newState) {
        state = newState;
        reviewSelections = true;
    }

    /** Has selections that are no longer allowed ended behind the command that runs. */
    void reviewSelections() {
        reviewSelections = true;
    }

    Channel channel() {
        return channel;
    }

    void enterChannel(Channel entered) {
        channel = entered;
        currentProtocol = entered.side.protocol;
    }

    // The way of a command.

    @Override
    public byte[] transmitCommand(byte[] command) {
        return transmit(interfaces[0], command);
    }

    /** Runs a command; null when the card is mute, because of this command or one before. */
    synchronized byte[] transmit(CardInterface side, byte[] command) {
        faults.begin(); // a mute card tells once why it is
        if (isMute()) {
            return null;
        }
        begin();
        try {
            if (trace != null) {
                return traced(side, command);
            }
            byte[] answer = run(side, command);
            if (deletionRequested && !isMute()) {
                deletionRequested = false;
                ObjectDeletion.run(this);
            }
            // What the command left behind is kept before its answer leaves.
            return keep(true) && !isMute() ? answer : null;
        } finally {
            memory.end();
        }
    }

    private byte[] traced(CardInterface side, byte[] command) {
        int number = command.length == 0 ? -1 : CardInterface.channelOf(command[0]);
        Channel on = side.channels[Math.max(number, 0)];
        trace.begin(this, on);
        byte[] answer = run(side, command);
        answer = isMute() ? null : answer;
        trace.end(this, side, on, command, answer);
        return answer;
    }

    private byte[] run(CardInterface side, byte[] command) {
        if (side.contactless() && !contactless.enabled) {
            // Off, the interface is as mute as a card that is out of the field.
            return NOTHING;
        }
        if (!side.powered) {
            power.on(side);
        }
        if (!form.parse(command)) {
            return Sw.answer(Sw.WRONG_LENGTH);
        }
        int number = CardInterface.channelOf(command[0]);
        if (number < 0) {
            return Sw.answer(Sw.CLASS_NOT_SUPPORTED);
        }
        Channel on = side.channels[number];
        boolean opens = !on.open;
        if (opens && !dispatcher.isOpening(command)) {
            return Sw.answer(Sw.CHANNEL_NOT_SUPPORTED);
        }
        on.open = true;
        byte[] answer;
        try {
            answer = dispatcher.answer(on, command);
        } catch (Throwable fault) {
            // A fault of the runtime is the card's, not its host's.
            answer = Sw.answer(Sw.NO_PRECISE_DIAGNOSIS);
        } finally {
            reselecting = false;
        }
        on.open &= !opens || on.selected != null;
        if (reviewSelections) {
            reviewSelections = false;
            power.review();
        }
        return answer;
    }

    /** Runs the selected application's process() and returns its answer. */
    byte[] process(Channel on, byte[] command, CommandForm parts, boolean isSelect) {
        ApplicationEntry entry = on.selected;
        if (parts.extended && !entry.extendedLength) {
            return Sw.answer(Sw.WRONG_LENGTH);
        }
        enterChannel(on);
        usingExtendedAPDUs = parts.extended;
        APDU apdu = parts.extended ? extendedAPDU : shortAPDU;
        ApduAccess.load(apdu, command, parts.dataOffset, parts.dataLength, parts.expected, parts.p3, on.number,
                currentProtocol, entry.extendedLength);
        responseBufferSize = 0;
        selecting = isSelect;
        short sw = Sw.OK;
        try {
            contexts.as(entry, null, () -> {
                entry.applet.process(apdu);
                return null;
            });
        } catch (ISOException thrown) {
            faults.note(thrown);
            sw = thrown.getReason();
        } catch (Throwable thrown) {
            faults.note(thrown);
            budget.failed(thrown);
            sw = Sw.NO_PRECISE_DIAGNOSIS;
        } finally {
            selecting = false;
            ApduAccess.close(apdu);
            management.endCommand();
        }
        abortOpenTransaction();
        // Data go with 9000 and with warnings; an error is a status word alone (ISO 7816-3 clause 12.2.1).
        int sw1 = sw >> 8 & 0xFF;
        int length = (sw1 & 0xF0) == 0x90 || sw1 >= 0x61 && sw1 <= 0x63 ? responseBufferSize : 0;
        byte[] answer = new byte[length + 2];
        System.arraycopy(responseBuffer, 0, answer, 0, length);
        answer[length] = (byte) (sw >> 8);
        answer[length + 1] = (byte) sw;
        return answer;
    }

    synchronized void reset(CardInterface side) {
        Channel basic = side.channels[0];
        if (trace != null) {
            trace.begin(this, basic);
        }
        end(side);
        begin();
        faults.begin();
        try {
            power.on(side);
            keep(false);
        } finally {
            memory.end();
        }
        if (trace != null) {
            trace.end(this, side, basic, null, null);
        }
    }

    /** Returns what ended an applet in the last command ({@link Faults#describe}). */
    public synchronized String[] fault() {
        return faults.describe();
    }

    /** Ends a session: in order, or because the power was cut, and then on both interfaces. */
    private void end(CardInterface side) {
        budget.reset();
        begin();
        try {
            if (memory.isCut()) {
                power.lost();
            } else {
                power.off(side);
            }
            keep(false);
        } finally {
            memory.end();
        }
    }

    synchronized void powerOff(CardInterface side) {
        end(side);
    }

    /** Aborts a transaction that an applet left open (JCRE 3.0.5 clause 7.6.2); after a power cut, the next reset does. */
    void abortOpenTransaction() {
        if (!memory.isCut() && memory.depth() != 0) {
            memory.abortTransaction();
        }
    }

    /** Says who takes the instance that an applet registers; null when none may. */
    void onRegister(BiConsumer<Applet, AID> taker) {
        registrationCallback.set(taker);
    }

    /** Runs something as the card's maker, with this card bound to the thread. */
    synchronized <T> T make(Contexts.Action<T> action) throws Throwable {
        begin();
        channel = interfaces[0].channels[0];
        try {
            return action.run();
        } finally {
            abortOpenTransaction();
            memory.end();
        }
    }

    // What jCardSim's API classes ask of the runtime.

    @Override
    public AID getAID() {
        return contexts.currentAid();
    }

    @Override
    public AID getPreviousContextAID() {
        return contexts.previousAid();
    }

    @Override
    public AID lookupAID(byte[] buffer, short offset, byte length) {
        for (ApplicationEntry entry : registry.applications()) {
            if (entry.hasAid(buffer, offset, length)) {
                return entry.aid();
            }
        }
        return null;
    }

    /** Tells whether the running command selects what is selected on its channel already. */
    public boolean isReselecting() {
        return reselecting;
    }

    @Override
    public boolean isAppletSelecting(Object applet) {
        return selecting && contexts.current != null && applet == contexts.current.applet;
    }

    @Override
    public TransientMemory getTransientMemory() {
        return contexts.memory();
    }

    /** Makes a transient array of ints for the current application. */
    public int[] makeTransientInts(int length, byte event) {
        return contexts.current.memory.makeIntArray(length, event);
    }

    /** Returns the logical channel, 0 to 19, of the interface that the command came over. */
    @Override
    public byte getAssignedChannel() {
        return channel == null ? 0 : (byte) channel.number;
    }

    /** Tells whether an array is the APDU buffer, of short or of extended commands. */
    boolean isApduBuffer(Object array) {
        return array == shortAPDU.getBuffer() || array == extendedAPDU.getBuffer();
    }

    @Override
    public APDU getCurrentAPDU() {
        return usingExtendedAPDUs ? extendedAPDU : shortAPDU;
    }

    @Override
    public Shareable getSharedObject(AID server, byte parameter) {
        return applicationServices.sharedObject(server, parameter);
    }

    @Override
    public void beginTransaction() {
        memory.beginTransaction();
    }

    @Override
    public void commitTransaction() {
        memory.commitTransaction();
    }

    @Override
    public void abortTransaction() {
        if (memory.abortTransaction()) {
            // Clause 7.6.3: references to what was made are on the applet's stack still. The session is locked up.
            memory.lockUp();
        }
    }

    @Override
    public byte getTransactionDepth() {
        return memory.depth();
    }

    @Override
    public short getAvailablePersistentMemory() {
        return available(Heap.PERSISTENT);
    }

    @Override
    public short getAvailableTransientResetMemory() {
        return available(Heap.CLEAR_ON_RESET);
    }

    @Override
    public short getAvailableTransientDeselectMemory() {
        return available(Heap.CLEAR_ON_DESELECT);
    }

    private short available(byte kind) {
        return (short) Math.min(memory.limits.available(kind, contexts.current), Short.MAX_VALUE);
    }

    @Override
    public boolean isObjectDeletionSupported() {
        return true;
    }

    @Override
    public void requestObjectDeletion() {
        deletionRequested = true;
    }

    @Override
    public short getMaxCommitCapacity() {
        return (short) Math.min(memory.capacity(), Short.MAX_VALUE);
    }

    @Override
    public short getUnusedCommitCapacity() {
        return (short) Math.min(memory.unusedCapacity(), Short.MAX_VALUE);
    }

    @Override
    public void reset() {
        reset(interfaces[0]);
    }
}
