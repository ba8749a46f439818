"""How Java Card instructions become JVM instructions, where one becomes one or a few.

A short is a JVM int that is always in range: what can leave it is cut by i2s. Spec: JCVM 3.1, 7.5.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ARRAYS",
    "ARRAY_DEPTHS",
    "ARRAY_TYPES",
    "BRANCHES",
    "CONSTANTS",
    "PRIMITIVE_ARRAYS",
    "SIMPLE",
    "STATIC_ARRAYS",
]

SIMPLE: Final = {
    "nop": (), "aconst_null": ("aconst_null",),
    "sadd": ("iadd", "i2s"), "iadd": ("iadd",), "ssub": ("isub", "i2s"), "isub": ("isub",),
    "smul": ("imul", "i2s"), "imul": ("imul",), "sdiv": ("idiv", "i2s"), "idiv": ("idiv",),
    "srem": ("irem",), "irem": ("irem",), "sneg": ("ineg", "i2s"), "ineg": ("ineg",),
    "sshl": ("ishl", "i2s"), "ishl": ("ishl",), "sshr": ("ishr",), "ishr": ("ishr",),
    "sushr": ("iushr", "i2s"), "iushr": ("iushr",),
    "sand": ("iand",), "iand": ("iand",), "sor": ("ior",), "ior": ("ior",), "sxor": ("ixor",), "ixor": ("ixor",),
    "s2b": ("i2b",), "s2i": (), "i2b": ("i2b",), "i2s": ("i2s",),
    "sreturn": ("ireturn",), "ireturn": ("ireturn",), "return": ("return",),
}  # fmt: skip

CONSTANTS: Final = {
    f"{kind}const_{name}": value
    for kind in "si"
    for name, value in (("m1", -1), ("0", 0), ("1", 1), ("2", 2), ("3", 3), ("4", 4), ("5", 5))
}

BRANCHES: Final = {
    "ifeq": "ifeq", "ifne": "ifne", "iflt": "iflt", "ifge": "ifge", "ifgt": "ifgt", "ifle": "ifle",
    "ifnull": "ifnull", "ifnonnull": "ifnonnull", "if_acmpeq": "if_acmpeq", "if_acmpne": "if_acmpne",
    "if_scmpeq": "if_icmpeq", "if_scmpne": "if_icmpne", "if_scmplt": "if_icmplt",
    "if_scmpge": "if_icmpge", "if_scmpgt": "if_icmpgt", "if_scmple": "if_icmple",
    "goto": "goto", "jsr": "jsr",
}  # fmt: skip

# Array instructions are the JVM's where the array's type is known, or else these methods of opentsm.runtime.Jcvm.
ARRAYS: Final = {
    "aaload": "(Ljava/lang/Object;I)Ljava/lang/Object;",
    "baload": "(Ljava/lang/Object;I)I",
    "saload": "(Ljava/lang/Object;I)I",
    "iaload": "(Ljava/lang/Object;I)I",
    "aastore": "(Ljava/lang/Object;ILjava/lang/Object;)V",
    "bastore": "(Ljava/lang/Object;II)V",
    "sastore": "(Ljava/lang/Object;II)V",
    "iastore": "(Ljava/lang/Object;II)V",
    "arraylength": "(Ljava/lang/Object;)I",
}

# How deep on the stack the array lies, and with which arrays (how their descriptors begin) the JVM's instruction works.
ARRAY_DEPTHS: Final = {
    "arraylength": 1, "aaload": 2, "baload": 2, "saload": 2, "iaload": 2,
    "aastore": 3, "bastore": 3, "sastore": 3, "iastore": 3,
}  # fmt: skip
ARRAY_TYPES: Final = {
    "arraylength": ("[Z", "[B", "[S", "[I", "[L"), "aaload": ("[L", ""), "baload": ("[Z", "[B"), "saload": ("[S",),
    "iaload": ("[I",), "aastore": ("[L",), "bastore": ("[Z", "[B"), "sastore": ("[S",), "iastore": ("[I",),
}  # fmt: skip

# By the atype of newarray, checkcast and instanceof: the JVM's number and descriptor. Spec: JCVM 3.1, table 7-2.
PRIMITIVE_ARRAYS: Final = {10: (4, "[Z"), 11: (8, "[B"), 12: (9, "[S"), 13: (10, "[I")}

# By the type of an array in the StaticField component. Spec: JCVM 3.1, table 6-15.
STATIC_ARRAYS: Final = {2: "[Z", 3: "[B", 4: "[S", 5: "[I"}
