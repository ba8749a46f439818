package opentsm.securitydomain;

/**
 * Numbers of the GlobalPlatform card specification: instructions, tags, states and status words.
 *
 * <p>Spec: GP Card 2.3.1 clause 11 and annex H; GP Amendment D for SCP03.
 */
final class Gp {
    static final byte INS_PERFORM_SECURITY_OPERATION = 0x2A;
    static final byte INS_INITIALIZE_UPDATE = 0x50;
    static final byte INS_END_R_MAC_SESSION = 0x78;
    static final byte INS_BEGIN_R_MAC_SESSION = 0x7A;
    static final byte INS_EXTERNAL_AUTHENTICATE = (byte) 0x82;
    static final byte INS_INTERNAL_AUTHENTICATE = (byte) 0x88;
    static final byte INS_SELECT = (byte) 0xA4;
    static final byte INS_GET_DATA = (byte) 0xCA;

    /** GET DATA as the interindustry class has it since 2.3.1 (clause 11.3.2.1). */
    static final byte INS_GET_DATA_ODD = (byte) 0xCB;

    static final byte INS_PUT_KEY = (byte) 0xD8;
    static final byte INS_STORE_DATA = (byte) 0xE2;
    static final byte INS_DELETE = (byte) 0xE4;
    static final byte INS_INSTALL = (byte) 0xE6;
    static final byte INS_LOAD = (byte) 0xE8;
    static final byte INS_SET_STATUS = (byte) 0xF0;
    static final byte INS_GET_STATUS = (byte) 0xF2;

    static final byte CARD_OP_READY = 0x01;
    static final byte CARD_INITIALIZED = 0x07;
    static final byte CARD_SECURED = 0x0F;
    static final byte CARD_LOCKED = 0x7F;
    static final byte CARD_TERMINATED = (byte) 0xFF;

    static final byte STATE_SELECTABLE = 0x07;
    static final byte STATE_PERSONALIZED = 0x0F;
    static final byte STATE_LOCKED_BIT = (byte) 0x80;

    static final byte KEY_TYPE_DES = (byte) 0x80;
    static final byte KEY_TYPE_DES_CBC = (byte) 0x82;
    static final byte KEY_TYPE_AES = (byte) 0x88;
    static final byte KEY_TYPE_RSA_EXPONENT = (byte) 0xA0;
    static final byte KEY_TYPE_RSA_MODULUS = (byte) 0xA1;
    static final byte KEY_TYPE_ECC_PUBLIC = (byte) 0xB0;
    static final byte KEY_TYPE_ECC_PRIVATE = (byte) 0xB1;
    static final byte KEY_TYPE_ECC_FIELD = (byte) 0xB2;
    static final byte KEY_TYPE_ECC_A = (byte) 0xB3;
    static final byte KEY_TYPE_ECC_B = (byte) 0xB4;
    static final byte KEY_TYPE_ECC_BASE = (byte) 0xB5;
    static final byte KEY_TYPE_ECC_ORDER = (byte) 0xB6;
    static final byte KEY_TYPE_ECC_COFACTOR = (byte) 0xB7;
    static final byte KEY_TYPE_ECC_PARAMETERS = (byte) 0xF0;
    static final byte KEY_TYPE_EXTENDED = (byte) 0xFF;

    static final short TAG_AID = 0x004F;
    static final short TAG_TAG_LIST = 0x005C;
    static final short TAG_TOKEN_IDENTIFIER = 0x0093;
    static final short TAG_IIN = 0x0042;

    static final short TAG_CIN = 0x0045;
    static final short TAG_CARD_DATA = 0x0066;
    static final short TAG_CAPABILITIES = 0x0067;
    static final short TAG_SEQUENCE_COUNTER = 0x00C1;
    static final short TAG_LOAD_FILE = 0x00C4;
    static final short TAG_PRIVILEGES = 0x00C5;
    static final short TAG_DOMAIN = 0x00CC;
    static final short TAG_CONFIRMATION_COUNTER = 0x00C2;
    static final short TAG_DIVERSIFICATION = 0x00CF;
    static final short TAG_KEY_INFORMATION = 0x00E0;
    static final short TAG_STATUS_ENTRY = 0x00E3;
    static final short TAG_SECURITY_LEVEL = 0x00D3;
    static final short TAG_APPLICATIONS = 0x2F00;
    static final short TAG_MANAGER_URL = 0x5F50;
    static final short TAG_RESOURCES = (short) 0xFF21;
    static final short TAG_CERTIFICATES = (short) 0xBF21;
    static final short TAG_CPLC = (short) 0x9F7F;
    static final short TAG_LIFE_CYCLE = (short) 0x9F70;

    static final short SW_AUTHENTICATION_FAILED = 0x6300;
    static final short SW_CERTIFICATE_NOT_VERIFIED = 0x6600;
    static final short SW_CERTIFICATE_NOT_ALLOWED = 0x6640;
    static final short SW_MORE_DATA = 0x6310;
    static final short SW_CARD_LOCKED = 0x6283;
    static final short SW_WRONG_LENGTH = 0x6700;
    static final short SW_CHAINING_NOT_SUPPORTED = 0x6884;
    static final short SW_SECURITY_STATUS = 0x6982;
    static final short SW_KEY_BLOCKED = 0x6983;
    static final short SW_CONDITIONS = 0x6985;
    static final short SW_WRONG_DATA = 0x6A80;
    static final short SW_FUNCTION_NOT_SUPPORTED = 0x6A81;
    static final short SW_FILE_NOT_FOUND = 0x6A82;
    static final short SW_NOT_ENOUGH_MEMORY = 0x6A84;
    static final short SW_INCORRECT_P1P2 = 0x6A86;
    static final short SW_NOT_FOUND = 0x6A88;
    static final short SW_INS_NOT_SUPPORTED = 0x6D00;
    static final short SW_CLA_NOT_SUPPORTED = 0x6E00;
    static final short SW_ALGORITHM_NOT_SUPPORTED = (short) 0x9484;
    static final short SW_INVALID_KEY_CHECK_VALUE = (short) 0x9485;

    private Gp() {}
}
