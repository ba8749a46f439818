"""Numbers of the JVM instructions that translated code uses. Spec: JVMS SE 8, table 7.1."""

from __future__ import annotations

from typing import Final

__all__ = ["OP"]

OP: Final = {
    "nop": 0x00, "aconst_null": 0x01, "iconst_0": 0x03, "bipush": 0x10, "sipush": 0x11, "ldc_w": 0x13,
    "iload": 0x15, "aload": 0x19, "istore": 0x36, "astore": 0x3A, "pop": 0x57, "pop2": 0x58,
    "dup": 0x59, "dup_x1": 0x5A, "dup_x2": 0x5B, "dup2": 0x5C, "dup2_x1": 0x5D, "dup2_x2": 0x5E, "swap": 0x5F,
    "iadd": 0x60, "isub": 0x64, "imul": 0x68, "idiv": 0x6C, "irem": 0x70, "ineg": 0x74,
    "ishl": 0x78, "ishr": 0x7A, "iushr": 0x7C, "iand": 0x7E, "ior": 0x80, "ixor": 0x82,
    "i2b": 0x91, "i2s": 0x93,
    "ifeq": 0x99, "ifne": 0x9A, "iflt": 0x9B, "ifge": 0x9C, "ifgt": 0x9D, "ifle": 0x9E,
    "if_icmpeq": 0x9F, "if_icmpne": 0xA0, "if_icmplt": 0xA1, "if_icmpge": 0xA2, "if_icmpgt": 0xA3, "if_icmple": 0xA4,
    "if_acmpeq": 0xA5, "if_acmpne": 0xA6, "goto": 0xA7, "jsr": 0xA8, "ret": 0xA9,
    "tableswitch": 0xAA, "lookupswitch": 0xAB, "ireturn": 0xAC, "areturn": 0xB0, "return": 0xB1,
    "getstatic": 0xB2, "putstatic": 0xB3, "getfield": 0xB4, "putfield": 0xB5,
    "invokevirtual": 0xB6, "invokespecial": 0xB7, "invokestatic": 0xB8, "invokeinterface": 0xB9,
    "new": 0xBB, "newarray": 0xBC, "anewarray": 0xBD, "athrow": 0xBF, "checkcast": 0xC0, "instanceof": 0xC1,
    "ifnull": 0xC6, "ifnonnull": 0xC7,
}  # fmt: skip
