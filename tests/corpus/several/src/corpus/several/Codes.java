package corpus.several;

public interface Codes {
    byte CLA = (byte) 0x80;
    byte INS_COUNT = 0x10;
    byte INS_READ = INS_COUNT + 2;
    short SW_UNKNOWN = (short) (0x6D00 | INS_READ & 0);
    short START = -3;
    short MAX = Short.MAX_VALUE;
}
