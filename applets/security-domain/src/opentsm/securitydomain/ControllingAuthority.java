package opentsm.securitydomain;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Shareable;
import javacard.framework.Util;
import javacard.security.ECPrivateKey;
import javacard.security.KeyAgreement;
import opentsm.open.Open;
import org.globalplatform.Authority;
import org.globalplatform.GPRegistryEntry;
import org.globalplatform.GPSystem;
import org.globalplatform.GlobalService;

/**
 * The controlling authority's part of a Security Domain (a CASD): the certificate that anyone can read, and the key
 * agreement with its private key that it does for other domains, a global service.
 *
 * <p>A domain is one when its install parameters (C9) have tag 86 and CB records the service 8300. Its key is an ECC
 * private key of version 74; its certificate (7F21) comes by STORE DATA. What it computes for another domain is the shared
 * secret alone: which keys are made of it only that domain and the host know.
 *
 * <p>Spec: GP Card 2.3.1 clauses 8.1.3, B.4.4; GP Amendment A (scenario 3); GP Card API 1.7, Authority, GlobalService.
 */
final class ControllingAuthority implements DataHolder, GlobalService, Authority {
    /** The service's name: family of authorities. */
    static final short SERVICE = (short) 0x8300;

    private static final byte KEY_VERSION = 0x74;
    private static final short TAG_CERTIFICATE = 0x7F21;

    /** The longest certificate: what GET DATA answers in one response, less tag and length. */
    private static final short CERTIFICATE_SIZE = SecurityDomain.RESPONSE_LIMIT - 4;

    private final KeyStore keys;
    private final KeyAgreement agreement;
    private final ECPrivateKey p256;
    private final ECPrivateKey p384;

    /** Length, then value of the certificate; empty when there is none. */
    private final byte[] certificate = new byte[(short) (1 + CERTIFICATE_SIZE)];

    /** The mode that the client initialized; cleared at reset. */
    private final byte[] mode;

    private final byte[] scratch;

    ControllingAuthority(KeyStore keys) {
        this.keys = keys;
        agreement = KeyAgreement.getInstance(KeyAgreement.ALG_EC_SVDP_DH_PLAIN, false);
        p256 = Curves.privateKey(Curves.P256);
        p384 = Curves.privateKey(Curves.P384);
        mode = JCSystem.makeTransientByteArray((short) 1, JCSystem.CLEAR_ON_RESET);
        scratch = JCSystem.makeTransientByteArray((short) 2, JCSystem.CLEAR_ON_RESET);
    }

    /** Offers the service to all domains of the card; refused when another domain offers it already. */
    static void register() {
        GPSystem.getRegistryEntry(null).registerService(SERVICE);
    }

    @Override
    public boolean holds(short tag) {
        return tag == TAG_CERTIFICATE;
    }

    @Override
    public void check(short tag, byte[] buffer, short offset, short length) {
        if (length == 0 || length > CERTIFICATE_SIZE) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
    }

    @Override
    public void store(short tag, byte[] buffer, short offset, short length) {
        JCSystem.beginTransaction();
        Util.arrayCopy(buffer, offset, certificate, (short) 1, length);
        certificate[0] = (byte) length;
        JCSystem.commitTransaction();
        Util.setShort(scratch, (short) 0, tag);
        Open.effect(Open.EFFECT_STORE_DATA, scratch, (short) 0, (short) 2);
    }

    @Override
    public short get(short tag, byte[] response, short at) {
        short length = (short) (certificate[0] & 0xFF);
        if (length == 0) {
            return Tlv.ABSENT;
        }
        short value = Tlv.putHeader(response, at, tag, (short) 0);
        at = Util.arrayCopyNonAtomic(certificate, (short) 1, response, value, length);
        return Tlv.closeLength(response, (short) (value - 1), at);
    }

    /** {@inheritDoc} For Security Domains only: the secret is that of the keys they are to have. */
    @Override
    public Shareable getServiceInterface(GPRegistryEntry client, short service, byte[] parameters,
            short parametersOffset, short parametersLength) {
        if (service != SERVICE || client == null || !client.isPrivileged(GPRegistryEntry.PRIVILEGE_SECURITY_DOMAIN)) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        return this;
    }

    @Override
    public void init(byte newMode) {
        if (newMode != MODE_KEY_RECOVERY) {
            ISOException.throwIt(Gp.SW_FUNCTION_NOT_SUPPORTED); // it signs nothing
        }
        mode[0] = newMode;
    }

    @Override
    public void update(byte[] data, short offset, short length) {
        ISOException.throwIt(Gp.SW_FUNCTION_NOT_SUPPORTED);
    }

    @Override
    public short sign(byte[] data, short offset, short length, byte[] signature, short signatureOffset) {
        ISOException.throwIt(Gp.SW_FUNCTION_NOT_SUPPORTED);
        return 0;
    }

    /**
     * Computes the shared secret of this domain's private key and a host's ephemeral public key, 04 and two coordinates.
     *
     * @return the offset behind the secret
     */
    @Override
    public short recoverKey(byte[] data, short offset, short length, byte[] key, short keyOffset) {
        if (mode[0] != MODE_KEY_RECOVERY) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        mode[0] = 0;
        KeySlot slot = privateKey();
        if (slot == null || (Open.self().state() & Gp.STATE_LOCKED_BIT) != 0) {
            ISOException.throwIt(Gp.SW_CONDITIONS);
        }
        byte curve = Curves.ofLength(slot.length);
        if (length != (short) (1 + 2 * slot.length)) {
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        }
        ECPrivateKey working = curve == Curves.P256 ? p256 : p384;
        Curves.setParameters(working, curve);
        working.setS(keys.values(), slot.offset, slot.length);
        short end = 0;
        try {
            agreement.init(working);
            end = (short) (keyOffset + agreement.generateSecret(data, offset, length, key, keyOffset));
        } catch (RuntimeException notOnCurve) {
            // CryptoException by the API; runtimes throw others too for what is no point of the curve.
            ISOException.throwIt(Gp.SW_WRONG_DATA);
        } finally {
            working.clearKey();
        }
        return end;
    }

    private KeySlot privateKey() {
        for (short i = 0; i < keys.size(); i++) {
            KeySlot slot = keys.slot(i);
            if (slot.version == KEY_VERSION && slot.type == Gp.KEY_TYPE_ECC_PRIVATE) {
                return slot;
            }
        }
        return null;
    }
}
