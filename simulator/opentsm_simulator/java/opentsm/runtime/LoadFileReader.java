package opentsm.runtime;

import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.List;

/**
 * Takes a load file apart while its blocks come: DAP blocks, then the load file data block, plain or ciphered.
 *
 * <p>Spec: GP Card 2.3.1 clause 11.6.2.3, table 11-58.
 */
final class LoadFileReader {
    /** The most bytes of a load file data block: far beyond what a package can have. */
    private static final int MOST_DATA = 1 << 20;

    /** The most bytes of a DAP block (an RSA key of 4096 bits signs with 512), and how many may come. */
    private static final int MOST_DAP = 1024;

    private static final int MOST_DAPS = 16;

    private static final int DAP_BLOCK = 0xE2;
    private static final int DATA = 0xC4;
    private static final int VECTOR = 0xD3;
    private static final int CIPHERED_DATA = 0xD4;
    private static final int DAP_DOMAIN = 0x4F;
    private static final int DAP_SIGNATURE = 0xC3;

    /** A signature of the load file data block's hash, and the AID of the domain that is to verify it. */
    static final class Dap {
        final byte[] domain;
        final byte[] signature;

        Dap(byte[] domain, byte[] signature) {
            this.domain = domain;
            this.signature = signature;
        }
    }

    final List<Dap> daps = new ArrayList<>();

    /** The value of D3; empty when none came. */
    byte[] vector = {};

    private final byte[] header = new byte[5];
    private int headerLength;
    private int tag;
    private int missing;
    private ByteArrayOutputStream value = new ByteArrayOutputStream();

    /** Value of C4 or D4, once complete. */
    private byte[] data;

    private boolean ciphered;

    /** Takes the next bytes of the file. */
    void add(byte[] buffer, int offset, int length) {
        int at = offset;
        int end = offset + length;
        while (at < end) {
            if (missing > 0) {
                int part = Math.min(missing, end - at);
                value.write(buffer, at, part);
                at += part;
                missing -= part;
                if (missing == 0) {
                    close();
                }
                continue;
            }
            // Nothing comes behind the load file data block.
            Sw.require(data == null, Sw.WRONG_DATA);
            header[headerLength++] = buffer[at++];
            if (isHeaderComplete()) {
                open(header[0] & 0xFF, headerValue());
            }
        }
    }

    private boolean isHeaderComplete() {
        if (headerLength < 2) {
            return false;
        }
        int first = header[1] & 0xFF;
        Sw.require(first < 0x80 || first >= 0x81 && first <= 0x83, Sw.WRONG_DATA);
        return headerLength == (first < 0x80 ? 2 : 2 + first - 0x80);
    }

    private int headerValue() {
        if (headerLength == 2) {
            return header[1];
        }
        int length = 0;
        for (int i = 2; i < headerLength; i++) {
            length = length << 8 | header[i] & 0xFF;
        }
        return length;
    }

    private void open(int newTag, int length) {
        switch (newTag) {
            case DAP_BLOCK:
                Sw.require(vector.length == 0 && length <= MOST_DAP && daps.size() < MOST_DAPS, Sw.WRONG_DATA);
                break;
            case VECTOR:
                Sw.require(vector.length == 0 && (length == 8 || length == 16), Sw.WRONG_DATA);
                break;
            case DATA:
                Sw.require(vector.length == 0, Sw.WRONG_DATA);
                Sw.require(length <= MOST_DATA, Sw.NOT_ENOUGH_MEMORY);
                break;
            case CIPHERED_DATA:
                Sw.require(length <= MOST_DATA, Sw.NOT_ENOUGH_MEMORY);
                break;
            default:
                Sw.require(false, Sw.WRONG_DATA);
                break;
        }
        Sw.require(length > 0, Sw.WRONG_DATA);
        tag = newTag;
        missing = length;
        headerLength = 0;
        value = new ByteArrayOutputStream(length);
    }

    private void close() {
        byte[] complete = value.toByteArray();
        if (tag == DAP_BLOCK) {
            daps.add(parseDap(complete));
        } else if (tag == VECTOR) {
            vector = complete;
        } else {
            data = complete;
            ciphered = tag == CIPHERED_DATA;
        }
    }

    private static Dap parseDap(byte[] block) {
        Tlv domain = Tlv.at(block, 0);
        Sw.require(domain.tag == DAP_DOMAIN && domain.length >= 5 && domain.length <= 16, Sw.WRONG_DATA);
        Tlv signature = Tlv.at(block, domain.end());
        Sw.require(signature.tag == DAP_SIGNATURE && signature.length > 0 && signature.end() == block.length,
                Sw.WRONG_DATA);
        return new Dap(domain.value(), signature.value());
    }

    /** Returns the load file data block as it came, plain or ciphered; 6A80 when the file is not whole. */
    byte[] data() {
        Sw.require(data != null, Sw.WRONG_DATA);
        return data;
    }

    boolean isCiphered() {
        return ciphered;
    }
}
