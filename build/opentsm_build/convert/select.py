"""Translate a method's JVM instructions into Java Card ones, symbolic still.

A stack machine's code for a stack machine: instruction by instruction, with conversions between short and int put where
`Forms` wants them. Loads of `this` in front of a field access are spared: the `_this` instructions take it from local
0.

Spec: JCVM 3.1, 7.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build.classfile.bytecode import Switch
from opentsm_build.convert.flow_steps import ANONYMOUS, THIS
from opentsm_build.convert.ops import Cases, Label, Op
from opentsm_build.convert.ranges import fits_byte, fits_short
from opentsm_build.convert.references import ARRAY_TYPES
from opentsm_build.convert.universe import parse_method_descriptor
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_build.convert.flow import MethodFlow, Value
    from opentsm_build.convert.forms import Forms
    from opentsm_build.convert.ops import Reference
    from opentsm_build.convert.references import References

__all__ = ["Handlers", "select"]

# first covered, behind the last covered, handler, class caught
Handlers = list[tuple[Label, Label, Label, "Reference | None"]]

_KINDS: Final = {"Z": "b", "B": "b", "S": "s", "I": "i"}
# How compilers check that an outer object is not null.
_NULL_CHECKS: Final = frozenset(
    {("getClass", "()Ljava/lang/Class;"), ("requireNonNull", "(Ljava/lang/Object;)Ljava/lang/Object;")}
)
_THIS_FIELD: Final = frozenset({"getfield", "putfield"})


def kind_of(descriptor: str) -> str:
    """Return the letter of a field instruction for a type."""
    return _KINDS.get(descriptor, "a")


def words_of(descriptor: str) -> int:
    """Return the words that a value of a type takes."""
    return 0 if descriptor == "V" else 2 if descriptor == "I" else 1


class _Selector:
    def __init__(self, flow: MethodFlow, forms: Forms, references: References) -> None:
        self.flow, self.forms, self.references = flow, forms, references
        self.ops: list[Op] = []
        self.labels: dict[int, Label] = {}
        self.at = 0
        self.slots = _slots(flow, forms)
        self.spared = self._spared()

    # --- helpers ---

    def emit(self, name: str, arg: int | tuple[int, int] | None = None, **more: object) -> None:
        self.ops.append(Op(name, arg, pc=self.flow.insns[self.at].pc, **more))  # type: ignore[arg-type]

    def label(self, at: int) -> Label:
        return self.labels.setdefault(at, Label())

    def stack(self) -> list[Value]:
        stack = self.flow.before[self.at]
        assert stack is not None
        return stack

    def words(self, value: Value) -> int:
        """Return the words a value takes on the card's stack: none for a spared `this`."""
        if value[0] == "i":
            return 2 if self.forms.is_int(value[3]) else 1
        return 0 if value[3] in self.spared and value[0] == "a" else 1

    def is_int(self, value: Value) -> bool:
        return value[0] == "i" and self.forms.is_int(value[3])

    def want(self, value: Value, *, as_int: bool) -> None:
        """Convert the number on the stack's top where the next instruction wants another form of it."""
        if value[0] == "i" and self.is_int(value) != as_int:
            self.emit("s2i" if as_int else "i2s")

    def pushed(self, *, as_int: bool) -> None:
        """Convert the number that was just pushed to the form in which it is used."""
        if self.at in self.flow.result:
            wanted = self.forms.is_int(self.at)
            if wanted != as_int:
                self.emit("s2i" if wanted else "i2s")

    def _spared(self) -> frozenset[int]:
        """Find the loads of `this` that only serve one field access."""
        flow = self.flow
        if flow.method.is_static:
            return frozenset()
        written = {flow.webs.find(web) for web in flow.write_web.values()}
        spared = set()
        for at, insn in enumerate(flow.insns):
            stack = flow.before[at]
            if stack is None or insn.name not in _THIS_FIELD:
                continue
            value = stack[-1 if insn.name == "getfield" else -2]
            source = value[3]
            if value[0] != "a" or value[4] != THIS or source == ANONYMOUS or source in flow.shared:
                continue
            if flow.insns[source].arg == 0 and flow.webs.find(flow.read_web[source]) not in written:
                spared.add(source)
        return frozenset(spared)

    # --- the translation ---

    def run(self) -> list[Op]:
        flow = self.flow
        for at in range(len(flow.insns)):
            if flow.before[at] is None:
                continue
            self.at = at
            insn = flow.insns[at]
            if at in flow.leaders:
                self.emit("label", target=self.label(at))
            try:
                _SELECT[insn.name](self)
            except CapError as error:
                if error.where is not None:
                    raise
                raise flow.fail(error.reason, at) from None
        return self.ops

    def handlers(self) -> Handlers:
        flow = self.flow
        found: Handlers = []
        alive = [at for at, stack in enumerate(flow.before) if stack is not None]
        for handler in flow.code.handlers:
            covered = [at for at in alive if handler.start_pc <= flow.insns[at].pc < handler.end_pc]
            if not covered:
                continue
            behind = next((at for at in alive if at > covered[-1]), len(flow.insns))
            caught = None if handler.catch_type is None else self.references.class_ref(handler.catch_type)
            found.append(
                (self.label(covered[0]), self.label(behind), self.label(flow.index[handler.handler_pc]), caught)
            )
        return found

    def const(self) -> None:
        value = self.flow.insns[self.at].arg
        assert isinstance(value, int)
        if self.forms.is_int(self.at):
            self.emit("iconst", value)
        else:
            self.emit("sconst", (value + 0x8000) % 0x10000 - 0x8000)

    def load(self) -> None:
        insn = self.flow.insns[self.at]
        if self.at in self.spared:
            return
        web = self.flow.webs.find(self.flow.read_web[self.at])
        if insn.name == "aload":
            self.emit("aload", self.slots[web])
            return
        as_int = web in self.forms.int_webs
        self.emit("iload" if as_int else "sload", self.slots[web])
        self.pushed(as_int=as_int)

    def store(self) -> None:
        insn = self.flow.insns[self.at]
        web = self.flow.webs.find(self.flow.write_web[self.at])
        if insn.name == "astore":
            self.emit("astore", self.slots[web])
            return
        as_int = web in self.forms.int_webs
        self.want(self.stack()[-1], as_int=as_int)
        self.emit("istore" if as_int else "sstore", self.slots[web])

    def iinc(self) -> None:
        arg = self.flow.insns[self.at].arg
        assert isinstance(arg, tuple)
        web = self.flow.webs.find(self.flow.write_web[self.at])
        self.emit("iinc" if web in self.forms.int_webs else "sinc", (self.slots[web], arg[1]))

    def ret(self) -> None:
        self.emit("ret", self.slots[self.flow.webs.find(self.flow.read_web[self.at])])

    def binary(self) -> None:
        name = self.flow.insns[self.at].name
        as_int = self.at in self.forms.in_int
        self.want(self.stack()[-1], as_int=as_int)
        self.emit(name if as_int else "s" + name[1:])
        self.pushed(as_int=as_int)

    def narrow(self) -> None:
        name = self.flow.insns[self.at].name
        value = self.stack()[-1]
        wide = self.is_int(value)
        if name == "i2s":
            if wide:
                self.emit("i2s")
        elif wide:
            self.emit("i2b")
        elif not fits_byte(value[1], value[2]):
            self.emit("s2b")
        self.pushed(as_int=False)

    def compare(self) -> None:
        insn = self.flow.insns[self.at]
        condition = insn.name[-2:]
        value = self.stack()[-1]
        target = self.label(self.flow.targets(insn)[0])
        if "_icmp" in insn.name:
            as_int = self.at in self.forms.in_int
            self.want(value, as_int=as_int)
            if not as_int:
                self.emit(f"if_scmp{condition}", target=target)
                return
            self.emit("icmp")
        elif self.is_int(value):
            self.emit("iconst", 0)
            self.emit("icmp")
        self.emit(f"if{condition}", target=target)

    def branch(self) -> None:
        insn = self.flow.insns[self.at]
        self.emit(insn.name, target=self.label(self.flow.targets(insn)[0]))

    def switch(self) -> None:
        insn = self.flow.insns[self.at]
        assert isinstance(insn.arg, Switch)
        default, *targets = (self.label(target) for target in self.flow.targets(insn))
        value = self.stack()[-1]
        as_int = self.is_int(value)
        pairs = [
            (key, target)
            for key, target in zip(insn.arg.keys, targets, strict=True)
            if target is not default and (value[1] <= key <= value[2])
        ]
        cases = Cases(tuple(key for key, _ in pairs), tuple(target for _, target in pairs), default)
        self.emit("iswitch" if as_int else "sswitch", cases=cases)

    def give(self) -> None:
        name = self.flow.insns[self.at].name
        if name != "ireturn":
            self.emit(name)
            return
        as_int = self.flow.method.descriptor.endswith("I")
        self.want(self.stack()[-1], as_int=as_int)
        self.emit("ireturn" if as_int else "sreturn")

    def plain(self) -> None:
        self.emit(self.flow.insns[self.at].name)

    def array_load(self) -> None:
        name = self.flow.insns[self.at].name
        self.want(self.stack()[-1], as_int=False)
        self.emit(name)
        if name != "aaload":
            self.pushed(as_int=name == "iaload")

    def array_store(self) -> None:
        name = self.flow.insns[self.at].name
        index, value = self.stack()[-2:]
        if self.is_int(index):
            raise CapError("an array index is an int: cast it to short")
        if name != "aastore":
            self.want(value, as_int=name == "iastore")
        self.emit(name)

    def length(self) -> None:
        self.emit("arraylength")
        self.pushed(as_int=False)

    def field(self) -> None:
        insn = self.flow.insns[self.at]
        assert isinstance(insn.arg, tuple)
        static = insn.name.endswith("static")
        reference = self.references.field(insn.arg, static=static)
        kind = kind_of(insn.arg[2])
        stack = self.stack()
        if insn.name.startswith("put"):
            self.want(stack[-1], as_int=kind == "i")
        receiver = None if static else stack[-1 if insn.name == "getfield" else -2]
        spared = receiver is not None and receiver[0] == "a" and receiver[3] in self.spared
        self.emit(f"{insn.name}_{kind}" + ("_this" if spared else ""), ref=reference)
        if insn.name.startswith("get"):
            self.pushed(as_int=kind == "i")

    def invoke(self) -> None:
        insn = self.flow.insns[self.at]
        assert isinstance(insn.arg, tuple)
        _, name, descriptor = member = insn.arg
        parameters, result = parse_method_descriptor(descriptor)
        if (name, descriptor) in _NULL_CHECKS:
            self._null_check(name)
            return
        arguments = self.stack()[len(self.stack()) - len(parameters) :] if parameters else []
        for value, parameter in list(zip(arguments, parameters, strict=True))[:-1]:
            if self.is_int(value) != (parameter == "I"):
                raise CapError(f"an argument of {name} has another type than its parameter")
        if parameters:
            self.want(arguments[-1], as_int=parameters[-1] == "I")
        words = sum(map(words_of, parameters)) + (insn.name != "invokestatic")
        effect = (words, words_of(result))
        references = self.references
        interface = references.interface_method(member) if insn.name == "invokeinterface" else None
        if interface is not None:
            self.emit("invokeinterface", interface[1], ref=interface[0], words=effect)
        elif insn.name == "invokestatic":
            self.emit("invokestatic", ref=references.static_method(member), words=effect)
        elif insn.name == "invokespecial" and (name == "<init>" or references.is_private(member)):
            self.emit("invokespecial", ref=references.static_method(member), words=effect)
        elif insn.name == "invokespecial":
            self.emit("invokespecial", ref=references.super_method(self.flow.cls.name, member), words=effect)
        else:
            self.emit("invokevirtual", ref=references.virtual_method(member), words=effect)
        if result != "V":
            self.pushed(as_int=result == "I")

    def _null_check(self, name: str) -> None:
        """Check for null as compilers do by `getClass()` or `requireNonNull()`; a card has neither, but athrow does."""
        following = self.flow.insns[self.at + 1 : self.at + 2]
        if name == "getClass" and (not following or following[0].name != "pop"):
            raise CapError("getClass() does not exist on a card")
        fine = Label()
        self.emit("dup")
        self.emit("ifnonnull", target=fine)
        self.emit("aconst_null")
        self.emit("athrow")
        self.emit("label", target=fine)

    def new(self) -> None:
        name = self.flow.insns[self.at].arg
        assert isinstance(name, str)
        self.emit("new", ref=self.references.class_ref(name))

    def new_array(self) -> None:
        insn = self.flow.insns[self.at]
        assert isinstance(insn.arg, str)
        self.want(self.stack()[-1], as_int=False)
        if insn.name == "newarray":
            if "[" + insn.arg not in ARRAY_TYPES:
                raise CapError("an array of a type that no card has: boolean, byte, short (and int) are there")
            self.emit("newarray", ARRAY_TYPES["[" + insn.arg])
        elif insn.arg.startswith("["):
            raise CapError("an array of arrays: a card has arrays of one dimension")
        else:
            self.emit("anewarray", ref=self.references.class_ref(insn.arg))

    def cast(self) -> None:
        insn = self.flow.insns[self.at]
        assert isinstance(insn.arg, str)
        array, reference = self.references.array_or_class(insn.arg)
        self.emit(insn.name, array, ref=reference)
        if insn.name == "instanceof":
            self.pushed(as_int=False)

    def null(self) -> None:
        self.emit("aconst_null")

    def nothing(self) -> None:
        pass

    # --- the stack ---

    def pop(self) -> None:
        count = 2 if self.flow.insns[self.at].name == "pop2" else 1
        self._pop(sum(self.words(value) for value in self.stack()[-count:]))

    def _pop(self, words: int) -> None:
        while words:
            self.emit("pop2" if words > 1 else "pop")
            words -= 2 if words > 1 else 1

    def dup(self) -> None:
        name = self.flow.insns[self.at].name
        count = 2 if name.startswith("dup2") else 1
        under = int(name[-1]) if "_x" in name else 0
        stack = self.stack()
        top = sum(self.words(value) for value in stack[-count:])
        below = sum(self.words(value) for value in stack[len(stack) - count - under : len(stack) - count])
        if below == 0 and top <= 2:
            self.emit("dup" if top == 1 else "dup2")
        else:
            self.emit("dup_x", top << 4 | (top + below if below else 0), words=(top + below, 2 * top + below))

    def swap(self) -> None:
        second, first = (self.words(value) for value in self.stack()[-2:])
        if first and second:
            self.emit("swap_x", first << 4 | second, words=(first + second, first + second))


def _slots(flow: MethodFlow, forms: Forms) -> dict[int, int]:
    """Return the card's local of each web: slots keep their order, those that ever hold an int take two words."""
    wide = {flow.web_slot[web] for web in flow.web_slot if flow.webs.find(web) in forms.int_webs}
    mapping, next_slot = {}, 0
    for slot in range(flow.code.max_locals):
        mapping[slot] = next_slot
        next_slot += 2 if slot in wide else 1
    return {web: mapping[slot] for web, slot in flow.web_slot.items()}


def select(flow: MethodFlow, forms: Forms, references: References) -> tuple[list[Op], Handlers]:
    """Translate a method.

    Args:
        flow: its data flow.
        forms: the forms of its numbers.
        references: where members are resolved.

    Returns:
        Instructions with labels between them, and the exception handlers in order of precedence.

    Raises:
        CapError: it uses what no card has; the message names the source line.
    """
    selector = _Selector(flow, forms, references)
    ops = selector.run()
    handlers = selector.handlers()
    end = selector.labels.get(len(flow.insns))
    if end is not None:
        ops.append(Op("label", target=end))
    return ops, handlers


_ARITHMETIC: Final = ("iadd", "isub", "imul", "idiv", "irem", "ishl", "ishr", "iushr", "iand", "ior", "ixor", "ineg")
_SELECT: Final[dict[str, Callable[[_Selector], None]]] = {
    "nop": _Selector.nothing,
    "iconst": _Selector.const,
    "aconst_null": _Selector.null,
    **dict.fromkeys(("iload", "aload"), _Selector.load),
    **dict.fromkeys(("istore", "astore"), _Selector.store),
    "iinc": _Selector.iinc,
    "ret": _Selector.ret,
    **dict.fromkeys(_ARITHMETIC, _Selector.binary),
    **dict.fromkeys(("i2b", "i2s"), _Selector.narrow),
    **dict.fromkeys(("baload", "saload", "iaload", "aaload"), _Selector.array_load),
    **dict.fromkeys(("bastore", "sastore", "iastore", "aastore"), _Selector.array_store),
    **dict.fromkeys(("getstatic", "putstatic", "getfield", "putfield"), _Selector.field),
    **dict.fromkeys(("invokevirtual", "invokespecial", "invokestatic", "invokeinterface"), _Selector.invoke),
    "new": _Selector.new,
    **dict.fromkeys(("newarray", "anewarray"), _Selector.new_array),
    "arraylength": _Selector.length,
    **dict.fromkeys(("instanceof", "checkcast"), _Selector.cast),
    **dict.fromkeys(("pop", "pop2"), _Selector.pop),
    **dict.fromkeys(("dup", "dup_x1", "dup_x2", "dup2", "dup2_x1", "dup2_x2"), _Selector.dup),
    "swap": _Selector.swap,
    **dict.fromkeys([f"if{c}" for c in ("eq", "ne", "lt", "ge", "gt", "le")], _Selector.compare),
    **dict.fromkeys([f"if_icmp{c}" for c in ("eq", "ne", "lt", "ge", "gt", "le")], _Selector.compare),
    **dict.fromkeys(("if_acmpeq", "if_acmpne", "ifnull", "ifnonnull", "goto", "jsr"), _Selector.branch),
    "switch": _Selector.switch,
    **dict.fromkeys(("return", "ireturn", "areturn"), _Selector.give),
    "athrow": _Selector.plain,
}

assert fits_short(0, 0)
