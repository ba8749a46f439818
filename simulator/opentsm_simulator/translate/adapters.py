"""Small static methods between translated code and what it calls.

What a call passes is known as far as `types` could find out; where the called method wants more, an adapter casts the
arguments. The JVM's compiler puts it in line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentsm_card.errors import CapError
from opentsm_simulator.translate.accessors import FIREWALL
from opentsm_simulator.translate.api_writes_tables import FAILED, how_it_writes, is_maker, may_write
from opentsm_simulator.translate.classes import OwnClass, OwnInterface
from opentsm_simulator.translate.classwriter import ACC_INTERFACE, ACC_STATIC, ClassWriter, Code, Label
from opentsm_simulator.translate.hierarchy import OBJECT, descriptor_of
from opentsm_simulator.translate.signature import parameters, result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentsm_simulator.translate.accessors import Accessors
    from opentsm_simulator.translate.hierarchy import Hierarchy
    from opentsm_simulator.translate.signature import Member, Signature
    from opentsm_simulator.translate.targets import KnownTarget, SuperTarget, VirtualTarget

__all__ = ["WITHOUT_ARGUMENTS", "Adapters", "load_arguments", "made", "returns"]

_RUNTIME: Final = "opentsm/runtime/Jcvm"
_JCSYSTEM: Final = "javacard/framework/JCSystem"
_OWNER_PIN: Final = "javacard/framework/OwnerPIN"

# Static methods that jCardSim has and leaves empty: the class that does their work.
_ELSEWHERE: Final = {(_JCSYSTEM, "getAvailableMemory", "([SSB)V"): _RUNTIME}

# What does the work of a constructor of an API's class, by class and descriptor, on an object that is there already.
LATER: Final = {
    ("javacard/framework/CardRuntimeException", "(S)V"): "setReason",
    ("javacard/framework/CardException", "(S)V"): "setReason",
    (_OWNER_PIN, "(BB)V"): "initialize",
}

# Classes of which our runtime has a constructor without arguments that the API has not.
WITHOUT_ARGUMENTS: Final = frozenset({_OWNER_PIN})


def _cast(code: Code, wanted: str) -> None:
    name = wanted[1:-1] if wanted[0] == "L" else wanted
    if name != OBJECT:
        code.of_class("checkcast", name)


def made(code: Code) -> None:
    """Tell the card of the object on top of the stack, which was made now."""
    code.op("dup")
    code.invoke("invokestatic", _RUNTIME, "made", "(Ljava/lang/Object;)V")


def load_arguments(code: Code, wanted: Sequence[str], first: int, uncast: Sequence[bool] = ()) -> None:
    """Load arguments from locals, cast to what descriptors want; `uncast` says which references need no cast."""
    for number, kind in enumerate(wanted):
        if kind[0] not in "L[":
            code.local("iload", first + number)
            if kind == "B":
                code.op("i2b")
            continue
        code.local("aload", first + number)
        if not (uncast and uncast[number]):
            _cast(code, kind)


def returns(code: Code, descriptor: str, *, cast: bool = False) -> None:
    """Return the result that a method's descriptor names; `cast` to its class where what is there may be less."""
    result = result_of(descriptor)
    if result == "V":
        code.op("return")
    elif result[0] in "L[":
        if cast:
            _cast(code, result)
        code.op("areturn")
    else:
        code.op("ireturn")


def _erased(signature: Signature, descriptor: str) -> str:
    """Return a descriptor with ints and Objects for parameters, and the result of another."""
    params = "".join(descriptor_of(OBJECT) if kind == "A" else "I" for kind in signature.params[1:])
    return f"({params}){_jvm_result(descriptor)}"


def _jvm_result(descriptor: str) -> str:
    result = result_of(descriptor)
    return "I" if result in {"B", "S", "Z"} else result


@dataclass(frozen=True, slots=True)
class _Around:
    """What an adapter does beside the call.

    Args:
        first: appends what comes first of all.
        before: appends what comes before the arguments.
        watched: where the method is an API's that may write to persistent objects: how it does (Jcvm.leave).
        asks: arguments, by number, about which the card's firewall is asked.
    """

    first: Callable[[Code], None] | None = None
    before: Callable[[Code], None] | None = None
    watched: int | None = None
    asks: Sequence[int] = ()


class Adapters:
    """Makes the adapters of a package, in the class of its code.

    Args:
        code_class: where they go.
        prefix: before the names of the package's classes.
        class_of: the writer of a class of the package.
        hierarchy: which references fit where.
        accessors: what asks the card's firewall.
    """

    def __init__(
        self,
        code_class: ClassWriter,
        prefix: str,
        class_of: Callable[[OwnClass], ClassWriter],
        hierarchy: Hierarchy,
        accessors: Accessors,
    ) -> None:
        self._class = code_class
        self._prefix = prefix
        self._class_of = class_of
        self._hierarchy = hierarchy
        self._accessors = accessors
        self._names: dict[tuple[object, ...], str] = {}
        self._protected: dict[Member, tuple[ClassWriter, str]] = {}

    @property
    def protected(self) -> dict[Member, tuple[ClassWriter, str]]:
        """Interfaces through which protected methods are called: own classes under their owners implement them."""
        return self._protected

    def fits(self, given: Sequence[str], wanted: Sequence[str]) -> list[bool]:
        """Tell of each argument whether it can be passed as it is."""
        return [
            kind[0] not in "L[" or self._hierarchy.fits(type_, kind[1:-1] if kind[0] == "L" else kind)
            for type_, kind in zip(given, wanted, strict=True)
        ]

    def _make(
        self,
        key: tuple[object, ...],
        given: Sequence[str],
        wanted: Sequence[str],
        descriptor: str,
        call: Callable[[Code], None],
        around: _Around | None = None,
    ) -> tuple[str, str]:
        """Make an adapter, or return the one that is there.

        Args:
            key: what it calls.
            given: types of the arguments.
            wanted: descriptors of what the method takes, its receiver among it.
            descriptor: of the method.
            call: appends the call, behind the arguments.
            around: what else there is to do.

        Returns:
            Its name and descriptor.
        """
        fits = self.fits(given, wanted)
        accepted = [
            "I" if kind[0] not in "L[" else kind if fit else descriptor_of(OBJECT)
            for kind, fit in zip(wanted, fits, strict=True)
        ]
        own_descriptor = f"({''.join(accepted)}){_jvm_result(descriptor)}"
        name = self._names.get((own_descriptor, *key))
        if name is None:
            name = self._names[own_descriptor, *key] = f"a{len(self._names)}"
            code = Code(self._class, len(wanted) + 3, len(wanted) + 1)
            around = around or _Around()
            self._accessors.ask(code, [("call", number) for number in around.asks if wanted[number][0] in "L["])
            if around.first is not None:
                around.first(code)
            if around.watched is not None:
                self._watch(code, f"{name}w", own_descriptor, around.watched, (wanted, fits, call))
            if around.before is not None:
                around.before(code)
            load_arguments(code, wanted, 0, fits)
            call(code)
            returns(code, own_descriptor)
            self._class.add_method(name, own_descriptor, code, ACC_STATIC)
        return name, own_descriptor

    def _watch(
        self,
        code: Code,
        name: str,
        descriptor: str,
        how: int,
        called: tuple[Sequence[str], Sequence[bool], Callable[[Code], None]],
    ) -> None:
        """Go another way to a method of an API while writes are watched: the card compares what it changed."""
        wanted, fits, call = called
        unwatched = Label()
        code.field("getstatic", _RUNTIME, "watched", "Z")
        code.jump("ifeq", unwatched)
        accepted = parameters(descriptor)
        for number, kind in enumerate(accepted):
            code.local("aload" if kind[0] in "L[" else "iload", number)
        code.invoke("invokestatic", self._class.name, name, descriptor)
        returns(code, descriptor)
        code.label(unwatched)
        size = len(wanted)
        token, result, thrown = size, size + 1, size + 2
        way = Code(self._class, max(size + 3, 6), size + 3)
        references = [number for number, kind in enumerate(wanted) if kind[0] in "L["]
        way.push(len(references))
        way.of_class("anewarray", OBJECT)
        for index, number in enumerate(references):
            way.op("dup")
            way.push(index)
            way.local("aload", number)
            way.op("aastore")
        way.push(how)
        way.invoke("invokestatic", _RUNTIME, "enter", "([Ljava/lang/Object;I)Ljava/lang/Object;")
        way.local("astore", token)
        begin, end, failed = Label(), Label(), Label()
        way.label(begin)
        load_arguments(way, wanted, 0, fits)
        call(way)
        kind = result_of(descriptor)[0]
        if kind != "V":
            way.local("astore" if kind in "L[" else "istore", result)
        way.label(end)
        self._left(way, token, how)
        if kind != "V":
            way.local("aload" if kind in "L[" else "iload", result)
        returns(way, descriptor)
        way.label(failed)
        way.handler(begin, end, failed, None)
        way.local("astore", thrown)
        self._left(way, token, how | FAILED)
        way.local("aload", thrown)
        way.of_class("checkcast", "java/lang/Throwable")
        way.op("athrow")
        self._class.add_method(name, descriptor, way, ACC_STATIC)

    @staticmethod
    def _left(code: Code, token: int, how: int) -> None:
        code.local("aload", token)
        code.push(how)
        code.invoke("invokestatic", _RUNTIME, "leave", "(Ljava/lang/Object;I)V")

    def _switched(self, called: tuple[str, str]) -> tuple[str, str]:
        """Return what calls a shareable interface's method in its owner's context (JCRE 3.0.5, 6.2.8.6).

        Args:
            called: the adapter to the method.
        """
        name, descriptor = f"{called[0]}s", called[1]
        if not self._accessors.firewall:
            return called
        if not self._class.has_method(name, descriptor):
            kinds = parameters(descriptor)
            before = len(kinds)
            code = Code(self._class, before + 3, before + 1)
            here, start, end, thrown = Label(), Label(), Label(), Label()

            def call() -> None:
                for number, kind in enumerate(kinds):
                    code.local("aload" if kind[0] in "L[" else "iload", number)
                code.invoke("invokestatic", self._class.name, *called)

            self._accessors.wall(code)
            code.jump("ifnull", here)
            self._accessors.wall(code)
            code.local("aload", 0)
            code.invoke("invokevirtual", FIREWALL, "enter", f"({descriptor_of(OBJECT)}){descriptor_of(OBJECT)}")
            code.local("astore", before)
            code.label(start)
            call()
            code.label(end)
            self._leave(code, before)
            returns(code, descriptor)
            code.label(thrown)
            code.handler(start, end, thrown, None)
            self._leave(code, before)
            code.op("athrow")
            code.label(here)
            call()
            returns(code, descriptor)
            self._class.add_method(name, descriptor, code, ACC_STATIC)
        return name, descriptor

    def _leave(self, code: Code, local: int) -> None:
        self._accessors.wall(code)
        code.local("aload", local)
        code.invoke("invokevirtual", FIREWALL, "leave", f"({descriptor_of(OBJECT)})V")

    def own(self, name: str, descriptor: str, given: Sequence[str]) -> tuple[str, str]:
        """Return a static method of the class of the code, or an adapter to it where arguments have to be cast."""
        wanted = parameters(descriptor)
        if all(self.fits(given, wanted)):
            return name, descriptor
        owner = self._class.name
        return self._make(
            ("own", name), given, wanted, descriptor, lambda code: code.invoke("invokestatic", owner, name, descriptor)
        )

    def known(self, target: KnownTarget, given: Sequence[str]) -> tuple[str, str]:
        """Return the adapter to a method that exists: static, virtual or an interface's."""
        member = target.member
        owner = target.owner.name
        static = target.how == "invokestatic"
        member_key = (member.name, member.descriptor)

        def call(code: Code) -> None:
            if target.how == "invokeinterface":
                code.invoke_interface(owner, member.name, member.descriptor, len(member.signature.params))
            else:
                # A static method is called where it is; another through the class that the reference names.
                where = member.owner if static else owner
                code.invoke(target.how, _ELSEWHERE.get((where, *member_key), where), *member_key)
            if target.owner.is_api and is_maker(member):
                made(code)

        # A protected static method of the API is public in the runtime: there is no object to lend the right to it.
        if member.protected and not static:
            return self._through_interface(member, given)
        wanted = ([] if static else [descriptor_of(owner)]) + parameters(member.descriptor)
        shareable = target.how == "invokeinterface" and target.owner.is_shareable
        is_api = target.owner.is_api
        # Code of an API works on all that it is given; code of a package sees for itself (JCRE 3.0.5, 6.2.8.2 and 4).
        asks = range(0 if shareable else len(wanted) if is_api else 0 if static else 1)
        writes = self._accessors.transactions and is_api and may_write(member, owner, wanted)
        how = how_it_writes(member) if writes else None
        if is_api and owner == _JCSYSTEM and member.name.startswith("makeTransient"):
            around = _Around(self._makes_transient, watched=how, asks=asks)
        else:
            around = _Around(watched=how, asks=asks)
        key = (target.how, owner, member)
        called = self._make(key, given, wanted, member.descriptor, call, around)
        return self._switched(called) if shareable else called

    @staticmethod
    def _makes_transient(code: Code) -> None:
        """Append what looks at the event that clears a transient array: the second argument."""
        code.local("iload", 1)
        code.invoke("invokestatic", _RUNTIME, "makesTransient", "(I)V")

    def _through_interface(self, member: Member, given: Sequence[str]) -> tuple[str, str]:
        """Call a protected method on an object of ours: each class of ours under its owner lends its right to it."""
        erased = _erased(member.signature, member.descriptor)
        if member not in self._protected:
            number = len(self._protected)
            writer = ClassWriter(f"{self._prefix}P{number}", access=ACC_INTERFACE)
            writer.add_abstract_method(f"p{number}", erased)
            self._protected[member] = (writer, f"p{number}")
        interface, method = self._protected[member]
        slots = len(member.signature.params)
        return self._make(
            ("protected", member),
            given,
            [descriptor_of(interface.name), *parameters(erased)],
            erased,
            lambda code: code.invoke_interface(interface.name, method, erased, slots),
        )

    def lend(self, cls: OwnClass) -> None:
        """Give a class the methods through which protected ones of its superclasses are called."""
        known = {each.name for each in cls.known_superclass.ancestors()}
        writer = self._class_of(cls)
        for member, (interface, method) in self._protected.items():
            if member.owner not in known:
                continue
            writer.interfaces += (interface.name,)
            code = Code(writer, len(member.signature.params) + 3, len(member.signature.params) + 1)
            code.local("aload", 0)
            load_arguments(code, parameters(member.descriptor), 1)
            code.invoke("invokevirtual", cls.name, member.name, member.descriptor)
            returns(code, member.descriptor)
            writer.add_method(method, _erased(member.signature, member.descriptor), code)

    def virtual(self, target: VirtualTarget, name: str, descriptor: str, given: Sequence[str]) -> tuple[str, str]:
        """Return the adapter to a virtual or interface method of the package."""
        owner = target.owner.name

        def call(code: Code) -> None:
            if isinstance(target.owner, OwnInterface):
                code.invoke_interface(owner, name, descriptor, len(given))
            else:
                code.invoke("invokevirtual", owner, name, descriptor)

        wanted = [descriptor_of(owner), *parameters(descriptor)]
        shareable = isinstance(target.owner, OwnInterface) and target.owner.is_shareable
        key = ("virtual", owner, name, descriptor)
        called = self._make(key, given, wanted, descriptor, call, _Around(asks=range(0 if shareable else 1)))
        return self._switched(called) if shareable else called

    def super(self, target: SuperTarget, given: Sequence[str]) -> tuple[str, str]:
        """Return the adapter to a known superclass's method, called by super from a class of the package."""
        member = target.member
        writer = self._class_of(target.caller)
        name = f"super{target.token}"
        erased = _erased(member.signature, member.descriptor)
        if not writer.has_method(name, erased):
            inside = Code(writer, len(member.signature.params) + 2, len(member.signature.params) + 1)
            inside.local("aload", 0)
            load_arguments(inside, parameters(member.descriptor), 1)
            inside.invoke("invokespecial", writer.superclass, member.name, member.descriptor)
            returns(inside, member.descriptor)
            writer.add_method(name, erased, inside)
        return self._make(
            ("super", writer.name, name),
            given,
            [descriptor_of(writer.name), *parameters(erased)],
            erased,
            lambda code: code.invoke("invokevirtual", writer.name, name, erased),
        )

    def factory(self, target: KnownTarget, given: Sequence[str]) -> tuple[str, str]:
        """Return what makes an object of an API's class by one of its constructors; `given` has no receiver."""
        member = target.member
        wanted = parameters(member.descriptor)

        def before(code: Code) -> None:
            code.of_class("new", member.owner)
            code.op("dup")

        def call(code: Code) -> None:
            code.invoke("invokespecial", member.owner, "<init>", member.descriptor)
            made(code)

        result = descriptor_of(member.owner)
        around = _Around(before=before, asks=range(len(wanted)))
        return self._make(("factory", member), given, wanted, f"({''.join(wanted)}){result}", call, around)

    def super_constructor(self, target: KnownTarget, given: Sequence[str]) -> tuple[str, str] | None:
        """Return what does the work of an API's constructor on an object of a subclass; None for nothing to do.

        An object of a class of ours is whole when it is made, by the superclass's constructor without arguments; what
        the arguments would have done, is done behind it.

        Raises:
            CapError: a constructor whose arguments can't be given later.
        """
        member = target.member
        if member.descriptor == "()V":
            return None
        later = next((each.name for each in target.owner.ancestors() if (each.name, member.descriptor) in LATER), None)
        if later is None:
            raise CapError(f"a class extends {member.owner} by its constructor {member.descriptor}: not supported")
        method = LATER[later, member.descriptor]
        return self._make(
            ("later", later),
            given,
            [descriptor_of(later), *parameters(member.descriptor)],
            member.descriptor,
            lambda code: code.invoke("invokevirtual", later, method, member.descriptor),
        )
