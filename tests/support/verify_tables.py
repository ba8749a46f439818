"""Methods that a verifier must take, and methods that it must refuse, for `cap_craft.craft`."""

from __future__ import annotations

from typing import Final

from cap_craft import Code, Handler
from opentsm_build.cap.descriptor import AccessFlag

__all__ = ["RIGHT", "WRONG"]

VIRTUAL: Final = AccessFlag.PRIVATE

RIGHT: Final = {
    "nothing": Code("return"),
    "arithmetic": Code("sload_0; sconst_2; sadd; s2b; sreturn", "SB"),
    "int": Code("sload_0; s2i; iipush 100000; imul; i2s; sreturn", "SS"),
    "int local": Code("iload_0; istore_2; iinc 2 1; iload_2; ireturn", "II"),
    "loop": Code("sconst_0; sstore_1; top: sload_1; sload_0; if_scmpge out; sinc 1 1; goto top; out: return", "SV"),
    "joined classes": Code(
        "sload_0; ifeq other; new Base; dup; invokespecial Base.<init>; goto join; other: aconst_null; join: areturn", "SP"
    ),
    "joined in an interface": Code(
        "sload_0; ifeq other; new Base; dup; invokespecial Base.<init>; goto join; other: aload_1;"
        "join: aload_2; swap_x 0x11; aload_2; invokeinterface 2 Sink 0; sreturn",
        "SKbS",
    ),
    "arrays": Code(
        "sconst_5; newarray 11; dup; sconst_0; sconst_1; bastore; sconst_0; baload; pop; sconst_2; anewarray Object;"
        "dup; sconst_0; aconst_null; aastore; arraylength; sreturn",
        "S",
    ),
    "element of an array": Code("aload_0; sconst_0; aaload; checkcast 0 Base; areturn", "oP"),
    "cast to bytes": Code("aload_0; dup; instanceof 11 0; ifeq no; checkcast 11 0; areturn; no: pop; aconst_null; areturn", "Ob"),
    "fields": Code(
        "aload_0; getfield_a Applet.data; pop; getfield_s_this Applet.large; putfield_s_this Applet.large; aload_0;"
        "aconst_null; putfield_a Applet.sink; return",
        "V", access=VIRTUAL,
    ),
    "statics": Code("getstatic_a static.table; arraylength; putstatic_s static.total; return"),
    "superclass": Code("aload_0; invokespecial super.select; sreturn", "Z", access=VIRTUAL),
    "handler": Code(
        "sconst_1; sstore_1; start: sload_0; sconst_2; sdiv; sreturn; at: pop; sload_1; sreturn", "SS",
        handlers=(Handler("start", "at", "at", "Exception"),),
    ),
    "finally": Code(
        "sload_0; sstore_1; start: jsr sub; sload_1; sreturn; at: astore_2; jsr sub; aload_2; athrow; sub: astore 3; sinc 1 1; ret 3",
        "SS", locals=4, handlers=(Handler("start", "at", "at"),),
    ),
    "subroutine in a subroutine": Code(
        "jsr outer; return; outer: astore_0; jsr inner; ret 0; inner: astore_1; ret 1", locals=2
    ),
    "subroutine with two kinds in a local": Code(
        "sconst_1; sstore_0; jsr sub; sload_0; pop; aconst_null; astore_0; jsr sub; aload_0; pop; return; sub: astore_1; ret 1",
        locals=2,
    ),
    "switches": Code(
        "sload_0; stableswitch a 0 1 b c; a: sload_0; slookupswitch b 2 -5 c 5 b; b: sload_0; s2i; ilookupswitch c 1 70000 c; c: return",
        "SV",
    ),
    "stack shuffles": Code("sload_0; iload_1; dup_x 0x23; swap_x 0x21; pop; pop2; pop2; return", "SIV", stack=8),
    "an array is an Object": Code("aload_0; areturn", "bO"),
    "thrown": Code("aload_0; athrow", "XV"),
    "object made and used": Code(
        "new Base; dup; invokespecial Base.<init>; aload_0; invokevirtual take; sreturn", "bS"
    ),
}  # fmt: skip

# Code, and what the error says.
WRONG: Final = {
    "falls off the end": (Code("nop"), "runs on behind"),
    "underflow": (Code("pop; return"), "the stack is empty"),
    "overflow": (Code("sconst_0; sconst_0; pop2; return", stack=1), "max_stack is 1"),
    "short for a reference": (Code("sconst_0; areturn", "O"), "has short, Object is wanted"),
    "reference for a short": (Code("aload_0; sreturn", "OS"), "has Object, short is wanted"),
    "int for a short": (Code("iload_0; pop; pop; return", "IV"), "no half of an int"),
    "half of an int": (Code("iload_0; pop; return", "IV"), "no half of an int"),
    "two halves": (Code("iload_0; iload_0; dup_x 0x10; return", "IV"), "half of an int"),
    "int word order": (Code("iload_0; swap_x 0x11; iadd; return", "IV"), "half of an int"),
    "wrong return": (Code("return", "S"), "return in a method with result short"),
    "result of void": (Code("sconst_0; sreturn"), "sreturn in a method with result void"),
    "unset local": (Code("sload_0; pop; return"), "local 0 has nothing"),
    "local of another kind": (Code("aload_0; pop; return", "SV"), "local 0 has short, a reference is wanted"),
    "local out of range": (Code("sload 9; pop; return"), "no local 9"),
    "half an int overwritten": (Code("iload_0; istore_2; sconst_0; sstore_3; iload_2; pop2; return", "IV"), "local 2 has nothing"),
    "joined depths": (Code("sload_0; ifeq a; sconst_1; a: return", "SV"), "on one path"),
    "joined kinds": (Code("sload_0; ifeq a; sconst_1; goto b; a: aconst_null; b: pop; return", "SV"), "word 0 of the stack is"),
    "jump into an operand": (Code("goto 4; sspush 1; return"), "where no instruction begins"),
    "jump outside": (Code("goto_w 300; return"), "jumps to 300"),
    "bad cast": (Code("aload_0; checkcast 9 Base; areturn", "OP"), "checkcast of type 9"),
    "cast with index": (Code("aload_0; checkcast 11 3; areturn", "Ob"), "with index 3"),
    "wrong pool kind": (Code("getstatic_s Base; pop; return"), "getstatic_s with entry"),
    "wrong field kind": (Code("aload_0; getfield_s Applet.data; pop; return", access=VIRTUAL), "which is of type byte"),
    "field of another class": (Code("aload_0; getfield_s Base.count; pop; return", "AV"), "of APDU"),
    "private field": (Code("aload_0; getfield_b Base.hidden; pop; return", "PV"), "is private"),
    "this in a static method": (Code("getfield_a_this Applet.data; pop; return"), "has no `this`"),
    "method of another class": (Code("aload_0; invokevirtual APDU.getBuffer; pop; return", "OV"), "APDU is wanted"),
    "wrong argument": (Code("aload_0; aload_0; invokevirtual take; sreturn", "PS"), "byte[] is wanted"),
    "interface not implemented": (Code("aload_0; aconst_null; invokeinterface 2 Sink 0; sreturn", "OS"), "Object, interface 0x0000 is wanted"),
    "interface method": (Code("aload_0; aconst_null; invokeinterface 2 Sink 1; sreturn", "KS"), "has no method 1"),
    "interface words": (Code("aload_0; aconst_null; invokeinterface 3 Sink 0; sreturn", "KS"), "with 3 words"),
    "interface of a class": (Code("aload_0; aconst_null; invokeinterface 2 Base 0; sreturn", "PS"), "which is no interface"),
    "new of an interface": (Code("new Sink; pop; return"), "which is abstract"),
    "uninitialized used": (Code("new Base; aconst_null; invokevirtual take; sreturn", "S"), "uninitialized object"),
    "uninitialized returned": (Code("new Base; areturn", "P"), "an uninitialized object, class"),
    "initialized twice": (Code("aload_0; invokespecial Base.<init>; return", "PV"), "of class 0x0001"),
    "constructor of another class": (Code("new Applet; invokespecial Base.<init>; return"), "of an object of"),
    "uninitialized around a loop": (Code("top: new Base; goto top"), "not initialized yet"),
    "protected constructor": (Code("new Object; invokespecial framework.Applet.<init>; return"), "of an object of"),
    "throws no throwable": (Code("aload_0; athrow", "OV"), "Throwable is wanted"),
    "array of another kind": (Code("aload_0; sconst_0; baload; pop; return", "sV"), "boolean_array or byte_array is wanted"),
    "array of no array": (Code("aload_0; arraylength; pop; return", "OV"), "is wanted"),
    "newarray of no type": (Code("sconst_1; newarray 9; pop; return"), "newarray of type 9"),
    "dup_x operand": (Code("sconst_1; dup_x 0x51; return"), "of 5 and 1 words"),
    "swap_x operand": (Code("sconst_1; swap_x 0x31; return"), "of 3 and 1 words"),
    "keys that fall": (Code("sconst_0; slookupswitch a 2 5 a 4 a; a: return"), "keys do not ascend"),
    "impdep": (Code("impdep1; return"), "may not be in a CAP file"),
    "ret of no address": (Code("sconst_0; sstore_0; ret 0", locals=1), "a return address"),
    "recursive subroutine": (Code("jsr a; return; a: astore_0; jsr a; ret 0", locals=1), "calls itself"),
    "handler that catches no throwable": (
        Code("s: nop; return; at: pop; return", handlers=(Handler("s", "at", "at", "Base"),)), "is no Throwable"
    ),
    "handler with a field": (
        Code("s: nop; return; at: pop; return", handlers=(Handler("s", "at", "at", "static.table"),)), "which is no class"
    ),
    "handler without stack": (
        Code("s: nop; return; at: pop; return", stack=0, handlers=(Handler("s", "at", "at"),)), "needs a word of stack"
    ),
    "handler that sees another local": (
        Code("s: sconst_0; sstore_0; return; at: pop; sload_0; pop; return", handlers=(Handler("s", "at", "at"),)), "local 0 has nothing"
    ),
    "stop bit": (
        Code("s: nop; return; at: pop; return", handlers=(Handler("s", "at", "at", stop=False),)), "stop bit is wrong"
    ),
    "superclass method in a static method": (Code("aload_0; invokespecial super.select; sreturn", "OZ"), "is wanted"),
    "static as virtual": (Code("sconst_0; invokespecial probe; return"), "invokespecial of"),
}  # fmt: skip
