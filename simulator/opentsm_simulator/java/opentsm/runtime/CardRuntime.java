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
    final Exchange exchange;
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

    /** The state of the card; SECURED as delivered unless the profile says otherwise. */
    private byte state = LifeCycle.CARD_OP_READY;

    private final Services services;
    private final ApplicationServices applicationServices;
    private final GlobalServices globalServices = new GlobalServices(this);
    private final ContactlessServices contactlessServices;
    private final ManagementServices management;

    /** The channel of the command that runs. */
    transient Channel channel;

    /** The running command selects what is selected on its channel already. */
    transient boolean reselecting;

    /** Makes an empty card; a {@link Provisioner} fills it. */
    public CardRuntime() {
        interfaces = new CardInterface[] {new CardInterface(this, 0), new CardInterface(this, 1)};
        exchange = new Exchange(this);
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
            memory.levels.afterwards(() -> effects.record(line));
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

    /** Returns what whoever runs the card sees of it and does to it. */
    public Rig rig() {
        return new Rig(this, exchange);
    }

    /** Begins something that the card does, bound to the calling thread; memory.end() ends it. */
    void begin() {
        activateSimulatorRuntimeInstance();
        budget.begin();
        memory.begin();
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

    /** Sets the first byte of an array inside of an API's object for good, whatever becomes of a transaction. */
    public void setUnconditionally(byte[] array, byte value) {
        memory.apis.unconditional(array);
        array[0] = value;
    }

    byte state() {
        return state;
    }

    /** Sets the card's state; what it ends, ends behind the command that runs. */
    void setState(byte newState) {
        state = newState;
        exchange.reviewSelections();
    }

    void enterChannel(Channel entered) {
        channel = entered;
        currentProtocol = entered.side.protocol;
    }

    // The way of a command.

    @Override
    public byte[] transmitCommand(byte[] command) {
        return exchange.transmit(interfaces[0], command);
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

    /** Aborts a transaction that an applet left open (JCRE 3.0.5 clause 7.6.2); after a power cut, the next reset does. */
    void abortOpenTransaction() {
        if (!memory.writes.isCut() && memory.levels.inTransaction()) {
            memory.levels.abortTransaction();
        }
    }

    /** Says who takes the instance that an applet registers; null when none may. */
    void onRegister(BiConsumer<Applet, AID> taker) {
        registrationCallback.set(taker);
    }

    /** Runs something as the card's maker, with this card bound to the thread. */
    <T> T make(Contexts.Action<T> action) throws Throwable {
        synchronized (exchange) {
            begin();
            channel = interfaces[0].channels[0];
            try {
                return action.run();
            } finally {
                abortOpenTransaction();
                memory.end();
            }
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
        memory.levels.beginTransaction();
    }

    @Override
    public void commitTransaction() {
        memory.levels.commitTransaction();
    }

    @Override
    public void abortTransaction() {
        if (memory.levels.abortTransaction()) {
            // Clause 7.6.3: references to what was made are on the applet's stack still. The session is locked up.
            memory.writes.lockUp();
        }
    }

    @Override
    public byte getTransactionDepth() {
        return (byte) (memory.levels.inTransaction() ? 1 : 0);
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
        exchange.requestDeletion();
    }

    @Override
    public short getMaxCommitCapacity() {
        return (short) Math.min(memory.capacity, Short.MAX_VALUE);
    }

    @Override
    public short getUnusedCommitCapacity() {
        return (short) Math.min(memory.levels.unusedCapacity(), Short.MAX_VALUE);
    }

    @Override
    public void reset() {
        exchange.reset(interfaces[0]);
    }
}
