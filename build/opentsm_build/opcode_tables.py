"""The instruction set of the Java Card virtual machine: 187 opcodes with operands, stack effect and control flow.

Spec: Java Card VM Specification 3.1, Classic Edition, 7.5 (instructions) and 7.3, table 7-1.

One row an opcode: number, mnemonic, operands, words popped (the last is the stack's top), words pushed, control flow.

Operands: `s1` `s2` `s4` signed constants; `local` an index of a local variable; `branch1` `branch2` signed distances from
the opcode; `cp1` `cp2` constant pool indices; `words` the m and n of dup_x and swap_x; `nargs` argument words; `token` a
method's token in its interface; `atype` an array type; `tableswitchN` `lookupswitchN` tables with N-byte keys.

Stack: `s` a short (boolean, byte), `i` an int (two words), `a` a reference, `r` a return address, `w` any word,
`*` depends on the operands.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["BY_NAME", "OPCODES", "OPERAND_BYTES", "Flow", "Opcode"]


class Flow(StrEnum):
    """What runs after an instruction."""

    NEXT = "next"
    BRANCH = "branch"
    JUMP = "jump"
    SWITCH = "switch"
    JSR = "jsr"
    RET = "ret"
    RETURN = "return"
    THROW = "throw"


@dataclass(frozen=True, slots=True)
class Opcode:
    """One opcode.

    Args:
        value: its number.
        name: its mnemonic.
        operands: kinds of its operands, in order; see the module.
        pops: kinds of the words it takes off the stack, the top last.
        pushes: kinds of what it leaves.
        flow: what runs next.
        length_bytes: opcode and operands; 0 where the operands say (switches).
    """

    value: int
    name: str
    operands: tuple[str, ...]
    pops: str
    pushes: str
    flow: Flow
    length_bytes: int


# Bytes of each fixed operand.
OPERAND_BYTES: Final = {
    "s1": 1,
    "s2": 2,
    "s4": 4,
    "local": 1,
    "branch1": 1,
    "branch2": 2,
    "cp1": 1,
    "cp2": 2,
    "words": 1,
    "nargs": 1,
    "token": 1,
    "atype": 1,
}

_ROWS: Final = """\
  0 nop             -                 -    -     next
  1 aconst_null     -                 -    a     next
  2 sconst_m1       -                 -    s     next
  3 sconst_0        -                 -    s     next
  4 sconst_1        -                 -    s     next
  5 sconst_2        -                 -    s     next
  6 sconst_3        -                 -    s     next
  7 sconst_4        -                 -    s     next
  8 sconst_5        -                 -    s     next
  9 iconst_m1       -                 -    i     next
 10 iconst_0        -                 -    i     next
 11 iconst_1        -                 -    i     next
 12 iconst_2        -                 -    i     next
 13 iconst_3        -                 -    i     next
 14 iconst_4        -                 -    i     next
 15 iconst_5        -                 -    i     next
 16 bspush          s1                -    s     next
 17 sspush          s2                -    s     next
 18 bipush          s1                -    i     next
 19 sipush          s2                -    i     next
 20 iipush          s4                -    i     next
 21 aload           local             -    a     next
 22 sload           local             -    s     next
 23 iload           local             -    i     next
 24 aload_0         -                 -    a     next
 25 aload_1         -                 -    a     next
 26 aload_2         -                 -    a     next
 27 aload_3         -                 -    a     next
 28 sload_0         -                 -    s     next
 29 sload_1         -                 -    s     next
 30 sload_2         -                 -    s     next
 31 sload_3         -                 -    s     next
 32 iload_0         -                 -    i     next
 33 iload_1         -                 -    i     next
 34 iload_2         -                 -    i     next
 35 iload_3         -                 -    i     next
 36 aaload          -                 as   a     next
 37 baload          -                 as   s     next
 38 saload          -                 as   s     next
 39 iaload          -                 as   i     next
 40 astore          local             a    -     next
 41 sstore          local             s    -     next
 42 istore          local             i    -     next
 43 astore_0        -                 a    -     next
 44 astore_1        -                 a    -     next
 45 astore_2        -                 a    -     next
 46 astore_3        -                 a    -     next
 47 sstore_0        -                 s    -     next
 48 sstore_1        -                 s    -     next
 49 sstore_2        -                 s    -     next
 50 sstore_3        -                 s    -     next
 51 istore_0        -                 i    -     next
 52 istore_1        -                 i    -     next
 53 istore_2        -                 i    -     next
 54 istore_3        -                 i    -     next
 55 aastore         -                 asa  -     next
 56 bastore         -                 ass  -     next
 57 sastore         -                 ass  -     next
 58 iastore         -                 asi  -     next
 59 pop             -                 w    -     next
 60 pop2            -                 ww   -     next
 61 dup             -                 w    ww    next
 62 dup2            -                 ww   wwww  next
 63 dup_x           words             *    *     next
 64 swap_x          words             *    *     next
 65 sadd            -                 ss   s     next
 66 iadd            -                 ii   i     next
 67 ssub            -                 ss   s     next
 68 isub            -                 ii   i     next
 69 smul            -                 ss   s     next
 70 imul            -                 ii   i     next
 71 sdiv            -                 ss   s     next
 72 idiv            -                 ii   i     next
 73 srem            -                 ss   s     next
 74 irem            -                 ii   i     next
 75 sneg            -                 s    s     next
 76 ineg            -                 i    i     next
 77 sshl            -                 ss   s     next
 78 ishl            -                 ii   i     next
 79 sshr            -                 ss   s     next
 80 ishr            -                 ii   i     next
 81 sushr           -                 ss   s     next
 82 iushr           -                 ii   i     next
 83 sand            -                 ss   s     next
 84 iand            -                 ii   i     next
 85 sor             -                 ss   s     next
 86 ior             -                 ii   i     next
 87 sxor            -                 ss   s     next
 88 ixor            -                 ii   i     next
 89 sinc            local s1          -    -     next
 90 iinc            local s1          -    -     next
 91 s2b             -                 s    s     next
 92 s2i             -                 s    i     next
 93 i2b             -                 i    s     next
 94 i2s             -                 i    s     next
 95 icmp            -                 ii   s     next
 96 ifeq            branch1           s    -     branch
 97 ifne            branch1           s    -     branch
 98 iflt            branch1           s    -     branch
 99 ifge            branch1           s    -     branch
100 ifgt            branch1           s    -     branch
101 ifle            branch1           s    -     branch
102 ifnull          branch1           a    -     branch
103 ifnonnull       branch1           a    -     branch
104 if_acmpeq       branch1           aa   -     branch
105 if_acmpne       branch1           aa   -     branch
106 if_scmpeq       branch1           ss   -     branch
107 if_scmpne       branch1           ss   -     branch
108 if_scmplt       branch1           ss   -     branch
109 if_scmpge       branch1           ss   -     branch
110 if_scmpgt       branch1           ss   -     branch
111 if_scmple       branch1           ss   -     branch
112 goto            branch1           -    -     jump
113 jsr             branch2           -    r     jsr
114 ret             local             -    -     ret
115 stableswitch    tableswitch2      s    -     switch
116 itableswitch    tableswitch4      i    -     switch
117 slookupswitch   lookupswitch2     s    -     switch
118 ilookupswitch   lookupswitch4     i    -     switch
119 areturn         -                 a    -     return
120 sreturn         -                 s    -     return
121 ireturn         -                 i    -     return
122 return          -                 -    -     return
123 getstatic_a     cp2               -    a     next
124 getstatic_b     cp2               -    s     next
125 getstatic_s     cp2               -    s     next
126 getstatic_i     cp2               -    i     next
127 putstatic_a     cp2               a    -     next
128 putstatic_b     cp2               s    -     next
129 putstatic_s     cp2               s    -     next
130 putstatic_i     cp2               i    -     next
131 getfield_a      cp1               a    a     next
132 getfield_b      cp1               a    s     next
133 getfield_s      cp1               a    s     next
134 getfield_i      cp1               a    i     next
135 putfield_a      cp1               aa   -     next
136 putfield_b      cp1               as   -     next
137 putfield_s      cp1               as   -     next
138 putfield_i      cp1               ai   -     next
139 invokevirtual   cp2               *    *     next
140 invokespecial   cp2               *    *     next
141 invokestatic    cp2               *    *     next
142 invokeinterface nargs cp2 token   *    *     next
143 new             cp2               -    a     next
144 newarray        atype             s    a     next
145 anewarray       cp2               s    a     next
146 arraylength     -                 a    s     next
147 athrow          -                 a    -     throw
148 checkcast       atype cp2         a    a     next
149 instanceof      atype cp2         a    s     next
150 sinc_w          local s2          -    -     next
151 iinc_w          local s2          -    -     next
152 ifeq_w          branch2           s    -     branch
153 ifne_w          branch2           s    -     branch
154 iflt_w          branch2           s    -     branch
155 ifge_w          branch2           s    -     branch
156 ifgt_w          branch2           s    -     branch
157 ifle_w          branch2           s    -     branch
158 ifnull_w        branch2           a    -     branch
159 ifnonnull_w     branch2           a    -     branch
160 if_acmpeq_w     branch2           aa   -     branch
161 if_acmpne_w     branch2           aa   -     branch
162 if_scmpeq_w     branch2           ss   -     branch
163 if_scmpne_w     branch2           ss   -     branch
164 if_scmplt_w     branch2           ss   -     branch
165 if_scmpge_w     branch2           ss   -     branch
166 if_scmpgt_w     branch2           ss   -     branch
167 if_scmple_w     branch2           ss   -     branch
168 goto_w          branch2           -    -     jump
169 getfield_a_w    cp2               a    a     next
170 getfield_b_w    cp2               a    s     next
171 getfield_s_w    cp2               a    s     next
172 getfield_i_w    cp2               a    i     next
173 getfield_a_this cp1               -    a     next
174 getfield_b_this cp1               -    s     next
175 getfield_s_this cp1               -    s     next
176 getfield_i_this cp1               -    i     next
177 putfield_a_w    cp2               aa   -     next
178 putfield_b_w    cp2               as   -     next
179 putfield_s_w    cp2               as   -     next
180 putfield_i_w    cp2               ai   -     next
181 putfield_a_this cp1               a    -     next
182 putfield_b_this cp1               s    -     next
183 putfield_s_this cp1               s    -     next
184 putfield_i_this cp1               i    -     next
254 impdep1         -                 -    -     next
255 impdep2         -                 -    -     next
"""


def _opcode(row: str) -> Opcode:
    value, name, *rest = row.split()
    flow = Flow(rest[-1])
    pops, pushes = (part.replace("-", "") for part in rest[-3:-1])
    operands = tuple(part for part in rest[:-3] if part != "-")
    switch = flow is Flow.SWITCH
    length = 0 if switch else 1 + sum(OPERAND_BYTES[operand] for operand in operands)
    return Opcode(int(value), name, operands, pops, pushes, flow, length)


BY_NAME: Final = {opcode.name: opcode for opcode in map(_opcode, _ROWS.strip().splitlines())}

_BY_VALUE: Final = {opcode.value: opcode for opcode in BY_NAME.values()}

# By number; None where no instruction has it.
OPCODES: Final = tuple(_BY_VALUE.get(value) for value in range(256))
