"""The instructions of the Java virtual machine: opcode, name, and form of the operands. Spec: JVMS 8, 6.5, 7.

Forms: `-` none, `b` signed byte, `h` signed short, `l` local (a byte, two behind `wide`), `c` constant (1 byte), `C` constant
(2 bytes), `j` branch (2 bytes), `J` branch (4 bytes), `i` local and increment, `I` interface method, `D` dynamic call, `n` primitive type,
`m` array class and dimensions, `t` tableswitch, `k` lookupswitch, `w` wide.
"""

from __future__ import annotations

from typing import Final

__all__ = ["FORMS", "NAMES"]

_TABLE: Final = """
nop- aconst_null- iconst_m1- iconst_0- iconst_1- iconst_2- iconst_3- iconst_4- iconst_5- lconst_0- lconst_1- fconst_0- fconst_1- fconst_2-
dconst_0- dconst_1- bipush:b sipush:h ldc:c ldc_w:C ldc2_w:C iload:l lload:l fload:l dload:l aload:l
iload_0- iload_1- iload_2- iload_3- lload_0- lload_1- lload_2- lload_3- fload_0- fload_1- fload_2- fload_3- dload_0- dload_1- dload_2- dload_3-
aload_0- aload_1- aload_2- aload_3- iaload- laload- faload- daload- aaload- baload- caload- saload-
istore:l lstore:l fstore:l dstore:l astore:l istore_0- istore_1- istore_2- istore_3- lstore_0- lstore_1- lstore_2- lstore_3-
fstore_0- fstore_1- fstore_2- fstore_3- dstore_0- dstore_1- dstore_2- dstore_3- astore_0- astore_1- astore_2- astore_3-
iastore- lastore- fastore- dastore- aastore- bastore- castore- sastore- pop- pop2- dup- dup_x1- dup_x2- dup2- dup2_x1- dup2_x2- swap-
iadd- ladd- fadd- dadd- isub- lsub- fsub- dsub- imul- lmul- fmul- dmul- idiv- ldiv- fdiv- ddiv- irem- lrem- frem- drem- ineg- lneg- fneg- dneg-
ishl- lshl- ishr- lshr- iushr- lushr- iand- land- ior- lor- ixor- lxor- iinc:i i2l- i2f- i2d- l2i- l2f- l2d- f2i- f2l- f2d- d2i- d2l- d2f- i2b- i2c- i2s-
lcmp- fcmpl- fcmpg- dcmpl- dcmpg- ifeq:j ifne:j iflt:j ifge:j ifgt:j ifle:j if_icmpeq:j if_icmpne:j if_icmplt:j if_icmpge:j if_icmpgt:j if_icmple:j
if_acmpeq:j if_acmpne:j goto:j jsr:j ret:l tableswitch:t lookupswitch:k ireturn- lreturn- freturn- dreturn- areturn- return-
getstatic:C putstatic:C getfield:C putfield:C invokevirtual:C invokespecial:C invokestatic:C invokeinterface:I invokedynamic:D new:C newarray:n anewarray:C
arraylength- athrow- checkcast:C instanceof:C monitorenter- monitorexit- wide:w multianewarray:m ifnull:j ifnonnull:j goto_w:J jsr_w:J
"""

_ROWS: Final = [entry.partition(":") if ":" in entry else (entry[:-1], "", "-") for entry in _TABLE.split()]
NAMES: Final[tuple[str, ...]] = tuple(name for name, _, _ in _ROWS)
FORMS: Final[tuple[str, ...]] = tuple(form for _, _, form in _ROWS)
assert len(NAMES) == 202
