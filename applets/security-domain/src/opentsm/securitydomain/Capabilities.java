package opentsm.securitydomain;

import javacard.framework.Util;

/**
 * What the card says of its abilities: recognition data (66, and 73 in the FCI) and capability information (67).
 *
 * <p>Each class tells what it can: {@link SecureChannelService} the protocols, {@link ContentManagement} hashes and
 * cipher suites, {@link Authority} the privileges. Here they are put together.
 *
 * <p>Spec: GP Card 2.3.1 annex H.2 and H.4.
 */
final class Capabilities {
    private static final short TAG_RECOGNITION = 0x0073;

    /** Up to the protocols: GP's OID 1.2.840.114283.1, the card management's version 2.3.1, the identification scheme. */
    private static final byte[] MANAGEMENT = {
        0x06, 0x07, 0x2A, (byte) 0x86, 0x48, (byte) 0x86, (byte) 0xFC, 0x6B, 0x01,
        0x60, 0x0C, 0x06, 0x0A, 0x2A, (byte) 0x86, 0x48, (byte) 0x86, (byte) 0xFC, 0x6B, 0x02, 0x02, 0x03, 0x01,
        0x63, 0x09, 0x06, 0x07, 0x2A, (byte) 0x86, 0x48, (byte) 0x86, (byte) 0xFC, 0x6B, 0x03
    };

    private final SecureChannelService channel;
    private final ContentManagement content;

    Capabilities(SecureChannelService channel, ContentManagement content) {
        this.channel = channel;
        this.content = content;
    }

    /** Writes the Security Domain's recognition data (73): in 66 of GET DATA, and in the FCI. */
    short putRecognition(byte[] response, short at) {
        short value = Tlv.putHeader(response, at, TAG_RECOGNITION, (short) 0);
        at = Util.arrayCopyNonAtomic(MANAGEMENT, (short) 0, response, value, (short) MANAGEMENT.length);
        at = channel.putSchemes(response, at);
        return Tlv.closeLength(response, (short) (value - 1), at);
    }

    /** Writes the card capability information: the value of 67. */
    short put(byte[] response, short at) {
        at = channel.putCapabilities(response, at);
        at = Authority.putCapabilities(response, at);
        return content.putCapabilities(response, at);
    }
}
