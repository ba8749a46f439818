package com.example.counter;

import com.example.ledger.Ledger;
import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.OwnerPIN;
import javacard.framework.Util;

/** Counts in every way a test can ask for. */
public final class Counter extends Applet {
    private static final byte[] TABLE = {10, 20, 30};

    private static short calls;

    /** A PIN whose constructor takes arguments. */
    private static final class Secret extends OwnerPIN {
        Secret(byte limit) {
            super(limit, (byte) 4);
        }

        boolean seen() {
            return getValidatedFlag();
        }
    }

    private final Secret secret = new Secret((byte) 3);
    private final Ledger ledger;
    private final byte[] memory = JCSystem.makeTransientByteArray((short) 2, JCSystem.CLEAR_ON_DESELECT);

    private Counter(final byte factor) {
        ledger = new Ledger() {
            @Override
            protected short weight(short amount) {
                return amount > 100 ? (short) 1 : factor;
            }
        };
        secret.update(new byte[] {1, 2, 3, 4}, (short) 0, (byte) 4);
        register();
    }

    public static void install(byte[] array, short offset, byte length) {
        // Behind the instance's AID and the privileges come the application's parameters.
        short parameters = (short) (offset + array[offset] + 1);
        parameters += (short) (array[parameters] + 1);
        new Counter(array[parameters] == 0 ? 2 : array[(short) (parameters + 1)]);
    }

    @Override
    public void process(APDU apdu) {
        if (selectingApplet()) {
            return;
        }
        byte[] buffer = apdu.getBuffer();
        calls++;
        switch (buffer[ISO7816.OFFSET_INS]) {
            case 0x01:
                answer(apdu, ledger.add(Util.getShort(buffer, ISO7816.OFFSET_P1)));
                break;
            case 0x02:
                answer(apdu, Ledger.opened());
                break;
            case 0x03:
                answer(apdu, calls);
                break;
            case 0x04:
                apdu.setIncomingAndReceive();
                boolean right = secret.check(buffer, ISO7816.OFFSET_CDATA, buffer[ISO7816.OFFSET_LC]);
                answer(apdu, (short) (secret.getTriesRemaining() << 8 | (right && secret.seen() ? 1 : 0)));
                break;
            case 0x05:
                JCSystem.beginTransaction();
                TABLE[buffer[ISO7816.OFFSET_P1]] += 1;
                ledger.add((short) 1000);
                calls += 500;
                if (buffer[ISO7816.OFFSET_P2] == 0) {
                    JCSystem.abortTransaction();
                } else {
                    JCSystem.commitTransaction();
                }
                answer(apdu, TABLE[buffer[ISO7816.OFFSET_P1]]);
                break;
            case 0x06:
                try {
                    answer(apdu, (short) (100 / buffer[ISO7816.OFFSET_P1]));
                } catch (ArithmeticException divided) {
                    ISOException.throwIt((short) 0x6F42);
                } finally {
                    memory[0]++;
                }
                break;
            case 0x07:
                answer(apdu, memory[0]);
                break;
            case 0x08:
                runAway(buffer[ISO7816.OFFSET_P1]);
                break;
            default:
                ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
        }
    }

    /** Goes on for ever, in one of several ways, and tries not to be stopped. */
    private void runAway(byte how) {
        while (true) {
            try {
                if (how == 0) {
                    calls++;
                } else if (how == 1) {
                    deeper((short) 0);
                } else {
                    branch((short) 60);
                }
            } catch (Throwable stopped) {
                calls += 100;
            } finally {
                memory[1]++;
            }
        }
    }

    private short deeper(short level) {
        return (short) (deeper((short) (level + 1)) + 1);
    }

    private short branch(short level) {
        return level == 0 ? 1 : (short) (branch((short) (level - 1)) + branch((short) (level - 1)));
    }

    private static void answer(APDU apdu, short value) {
        Util.setShort(apdu.getBuffer(), (short) 0, value);
        apdu.setOutgoingAndSend((short) 0, (short) 2);
    }
}
