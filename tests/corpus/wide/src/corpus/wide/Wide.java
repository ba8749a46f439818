package corpus.wide;

public class Wide {
    public static short walk(byte from, short first, short[] total) {
        short result = first;
        for (byte which = from; which < 64; which++) {
            if (which < 0) {
                break;
            }
            if (which == 0) {
                result += 1;
                total[(short) (which & 3)] ^= 0;
                if (result > 1000 && which < 3) {
                    result -= first;
                    continue;
                }
            }
            if (which == 1) {
                result += 8;
                total[(short) (which & 3)] ^= 1;
                if (result > 1011 && which < 4) {
                    result -= first;
                    continue;
                }
            }
            if (which == 2) {
                result += 15;
                total[(short) (which & 3)] ^= 2;
                if (result > 1022 && which < 5) {
                    result -= first;
                    continue;
                }
            }
            if (which == 3) {
                result += 22;
                total[(short) (which & 3)] ^= 3;
                if (result > 1033 && which < 6) {
                    result -= first;
                    continue;
                }
            }
            if (which == 4) {
                result += 29;
                total[(short) (which & 3)] ^= 4;
                if (result > 1044 && which < 7) {
                    result -= first;
                    continue;
                }
            }
            if (which == 5) {
                result += 36;
                total[(short) (which & 3)] ^= 5;
                if (result > 1055 && which < 8) {
                    result -= first;
                    continue;
                }
            }
            if (which == 6) {
                result += 43;
                total[(short) (which & 3)] ^= 6;
                if (result > 1066 && which < 9) {
                    result -= first;
                    continue;
                }
            }
            if (which == 7) {
                result += 50;
                total[(short) (which & 3)] ^= 7;
                if (result > 1077 && which < 10) {
                    result -= first;
                    continue;
                }
            }
            if (which == 8) {
                result += 57;
                total[(short) (which & 3)] ^= 8;
                if (result > 1088 && which < 11) {
                    result -= first;
                    continue;
                }
            }
            if (which == 9) {
                result += 64;
                total[(short) (which & 3)] ^= 9;
                if (result > 1099 && which < 12) {
                    result -= first;
                    continue;
                }
            }
            if (which == 10) {
                result += 71;
                total[(short) (which & 3)] ^= 10;
                if (result > 1110 && which < 13) {
                    result -= first;
                    continue;
                }
            }
            if (which == 11) {
                result += 78;
                total[(short) (which & 3)] ^= 11;
                if (result > 1121 && which < 14) {
                    result -= first;
                    continue;
                }
            }
            if (which == 12) {
                result += 85;
                total[(short) (which & 3)] ^= 12;
                if (result > 1132 && which < 15) {
                    result -= first;
                    continue;
                }
            }
            if (which == 13) {
                result += 92;
                total[(short) (which & 3)] ^= 13;
                if (result > 1143 && which < 16) {
                    result -= first;
                    continue;
                }
            }
            if (which == 14) {
                result += 99;
                total[(short) (which & 3)] ^= 14;
                if (result > 1154 && which < 17) {
                    result -= first;
                    continue;
                }
            }
            if (which == 15) {
                result += 106;
                total[(short) (which & 3)] ^= 15;
                if (result > 1165 && which < 18) {
                    result -= first;
                    continue;
                }
            }
            if (which == 16) {
                result += 113;
                total[(short) (which & 3)] ^= 16;
                if (result > 1176 && which < 19) {
                    result -= first;
                    continue;
                }
            }
            if (which == 17) {
                result += 120;
                total[(short) (which & 3)] ^= 17;
                if (result > 1187 && which < 20) {
                    result -= first;
                    continue;
                }
            }
            if (which == 18) {
                result += 127;
                total[(short) (which & 3)] ^= 18;
                if (result > 1198 && which < 21) {
                    result -= first;
                    continue;
                }
            }
            if (which == 19) {
                result += 134;
                total[(short) (which & 3)] ^= 19;
                if (result > 1209 && which < 22) {
                    result -= first;
                    continue;
                }
            }
            if (which == 20) {
                result += 141;
                total[(short) (which & 3)] ^= 20;
                if (result > 1220 && which < 23) {
                    result -= first;
                    continue;
                }
            }
            if (which == 21) {
                result += 148;
                total[(short) (which & 3)] ^= 21;
                if (result > 1231 && which < 24) {
                    result -= first;
                    continue;
                }
            }
            if (which == 22) {
                result += 155;
                total[(short) (which & 3)] ^= 22;
                if (result > 1242 && which < 25) {
                    result -= first;
                    continue;
                }
            }
            if (which == 23) {
                result += 162;
                total[(short) (which & 3)] ^= 23;
                if (result > 1253 && which < 26) {
                    result -= first;
                    continue;
                }
            }
            if (which == 24) {
                result += 169;
                total[(short) (which & 3)] ^= 24;
                if (result > 1264 && which < 27) {
                    result -= first;
                    continue;
                }
            }
            if (which == 25) {
                result += 176;
                total[(short) (which & 3)] ^= 25;
                if (result > 1275 && which < 28) {
                    result -= first;
                    continue;
                }
            }
            if (which == 26) {
                result += 183;
                total[(short) (which & 3)] ^= 26;
                if (result > 1286 && which < 29) {
                    result -= first;
                    continue;
                }
            }
            if (which == 27) {
                result += 190;
                total[(short) (which & 3)] ^= 27;
                if (result > 1297 && which < 30) {
                    result -= first;
                    continue;
                }
            }
            if (which == 28) {
                result += 197;
                total[(short) (which & 3)] ^= 28;
                if (result > 1308 && which < 31) {
                    result -= first;
                    continue;
                }
            }
            if (which == 29) {
                result += 204;
                total[(short) (which & 3)] ^= 29;
                if (result > 1319 && which < 32) {
                    result -= first;
                    continue;
                }
            }
            if (which == 30) {
                result += 211;
                total[(short) (which & 3)] ^= 30;
                if (result > 1330 && which < 33) {
                    result -= first;
                    continue;
                }
            }
            if (which == 31) {
                result += 218;
                total[(short) (which & 3)] ^= 31;
                if (result > 1341 && which < 34) {
                    result -= first;
                    continue;
                }
            }
            if (which == 32) {
                result += 225;
                total[(short) (which & 3)] ^= 32;
                if (result > 1352 && which < 35) {
                    result -= first;
                    continue;
                }
            }
            if (which == 33) {
                result += 232;
                total[(short) (which & 3)] ^= 33;
                if (result > 1363 && which < 36) {
                    result -= first;
                    continue;
                }
            }
            if (which == 34) {
                result += 239;
                total[(short) (which & 3)] ^= 34;
                if (result > 1374 && which < 37) {
                    result -= first;
                    continue;
                }
            }
            if (which == 35) {
                result += 246;
                total[(short) (which & 3)] ^= 35;
                if (result > 1385 && which < 38) {
                    result -= first;
                    continue;
                }
            }
            if (which == 36) {
                result += 253;
                total[(short) (which & 3)] ^= 36;
                if (result > 1396 && which < 39) {
                    result -= first;
                    continue;
                }
            }
            if (which == 37) {
                result += 260;
                total[(short) (which & 3)] ^= 37;
                if (result > 1407 && which < 40) {
                    result -= first;
                    continue;
                }
            }
            if (which == 38) {
                result += 267;
                total[(short) (which & 3)] ^= 38;
                if (result > 1418 && which < 41) {
                    result -= first;
                    continue;
                }
            }
            if (which == 39) {
                result += 274;
                total[(short) (which & 3)] ^= 39;
                if (result > 1429 && which < 42) {
                    result -= first;
                    continue;
                }
            }
            if (which == 40) {
                result += 281;
                total[(short) (which & 3)] ^= 40;
                if (result > 1440 && which < 43) {
                    result -= first;
                    continue;
                }
            }
            if (which == 41) {
                result += 288;
                total[(short) (which & 3)] ^= 41;
                if (result > 1451 && which < 44) {
                    result -= first;
                    continue;
                }
            }
            if (which == 42) {
                result += 295;
                total[(short) (which & 3)] ^= 42;
                if (result > 1462 && which < 45) {
                    result -= first;
                    continue;
                }
            }
            if (which == 43) {
                result += 302;
                total[(short) (which & 3)] ^= 43;
                if (result > 1473 && which < 46) {
                    result -= first;
                    continue;
                }
            }
            if (which == 44) {
                result += 309;
                total[(short) (which & 3)] ^= 44;
                if (result > 1484 && which < 47) {
                    result -= first;
                    continue;
                }
            }
            if (which == 45) {
                result += 316;
                total[(short) (which & 3)] ^= 45;
                if (result > 1495 && which < 48) {
                    result -= first;
                    continue;
                }
            }
            if (which == 46) {
                result += 323;
                total[(short) (which & 3)] ^= 46;
                if (result > 1506 && which < 49) {
                    result -= first;
                    continue;
                }
            }
            if (which == 47) {
                result += 330;
                total[(short) (which & 3)] ^= 47;
                if (result > 1517 && which < 50) {
                    result -= first;
                    continue;
                }
            }
            if (which == 48) {
                result += 337;
                total[(short) (which & 3)] ^= 48;
                if (result > 1528 && which < 51) {
                    result -= first;
                    continue;
                }
            }
            if (which == 49) {
                result += 344;
                total[(short) (which & 3)] ^= 49;
                if (result > 1539 && which < 52) {
                    result -= first;
                    continue;
                }
            }
            if (which == 50) {
                result += 351;
                total[(short) (which & 3)] ^= 50;
                if (result > 1550 && which < 53) {
                    result -= first;
                    continue;
                }
            }
            if (which == 51) {
                result += 358;
                total[(short) (which & 3)] ^= 51;
                if (result > 1561 && which < 54) {
                    result -= first;
                    continue;
                }
            }
            if (which == 52) {
                result += 365;
                total[(short) (which & 3)] ^= 52;
                if (result > 1572 && which < 55) {
                    result -= first;
                    continue;
                }
            }
            if (which == 53) {
                result += 372;
                total[(short) (which & 3)] ^= 53;
                if (result > 1583 && which < 56) {
                    result -= first;
                    continue;
                }
            }
            if (which == 54) {
                result += 379;
                total[(short) (which & 3)] ^= 54;
                if (result > 1594 && which < 57) {
                    result -= first;
                    continue;
                }
            }
            if (which == 55) {
                result += 386;
                total[(short) (which & 3)] ^= 55;
                if (result > 1605 && which < 58) {
                    result -= first;
                    continue;
                }
            }
            if (which == 56) {
                result += 393;
                total[(short) (which & 3)] ^= 56;
                if (result > 1616 && which < 59) {
                    result -= first;
                    continue;
                }
            }
            if (which == 57) {
                result += 400;
                total[(short) (which & 3)] ^= 57;
                if (result > 1627 && which < 60) {
                    result -= first;
                    continue;
                }
            }
            if (which == 58) {
                result += 407;
                total[(short) (which & 3)] ^= 58;
                if (result > 1638 && which < 61) {
                    result -= first;
                    continue;
                }
            }
            if (which == 59) {
                result += 414;
                total[(short) (which & 3)] ^= 59;
                if (result > 1649 && which < 62) {
                    result -= first;
                    continue;
                }
            }
            result ^= 3;
        }
        return result;
    }

    public static short far(byte which) {
        short sum = which;
        switch (which & 7) {
            case 0:
                sum += (short) (sum * 2 - 0);
                sum += (short) (sum * 3 - 0);
                sum += (short) (sum * 4 - 0);
                sum += (short) (sum * 5 - 0);
                sum += (short) (sum * 6 - 0);
                sum += (short) (sum * 7 - 0);
                sum += (short) (sum * 8 - 0);
                sum += (short) (sum * 9 - 0);
                sum += (short) (sum * 10 - 0);
                sum += (short) (sum * 11 - 0);
                sum += (short) (sum * 12 - 0);
                sum += (short) (sum * 13 - 0);
                sum += (short) (sum * 14 - 0);
                sum += (short) (sum * 15 - 0);
                break;
            case 2:
                sum += (short) (sum * 2 - 2);
                sum += (short) (sum * 3 - 2);
                sum += (short) (sum * 4 - 2);
                sum += (short) (sum * 5 - 2);
                sum += (short) (sum * 6 - 2);
                sum += (short) (sum * 7 - 2);
                sum += (short) (sum * 8 - 2);
                sum += (short) (sum * 9 - 2);
                sum += (short) (sum * 10 - 2);
                sum += (short) (sum * 11 - 2);
                sum += (short) (sum * 12 - 2);
                sum += (short) (sum * 13 - 2);
                sum += (short) (sum * 14 - 2);
                sum += (short) (sum * 15 - 2);
                break;
            case 5:
                sum += (short) (sum * 2 - 5);
                sum += (short) (sum * 3 - 5);
                sum += (short) (sum * 4 - 5);
                sum += (short) (sum * 5 - 5);
                sum += (short) (sum * 6 - 5);
                sum += (short) (sum * 7 - 5);
                sum += (short) (sum * 8 - 5);
                sum += (short) (sum * 9 - 5);
                sum += (short) (sum * 10 - 5);
                sum += (short) (sum * 11 - 5);
                sum += (short) (sum * 12 - 5);
                sum += (short) (sum * 13 - 5);
                sum += (short) (sum * 14 - 5);
                sum += (short) (sum * 15 - 5);
                break;
            case 7:
                sum += (short) (sum * 2 - 7);
                sum += (short) (sum * 3 - 7);
                sum += (short) (sum * 4 - 7);
                sum += (short) (sum * 5 - 7);
                sum += (short) (sum * 6 - 7);
                sum += (short) (sum * 7 - 7);
                sum += (short) (sum * 8 - 7);
                sum += (short) (sum * 9 - 7);
                sum += (short) (sum * 10 - 7);
                sum += (short) (sum * 11 - 7);
                sum += (short) (sum * 12 - 7);
                sum += (short) (sum * 13 - 7);
                sum += (short) (sum * 14 - 7);
                sum += (short) (sum * 15 - 7);
                break;
            default:
                sum = 0;
        }
        return sum;
    }
}
