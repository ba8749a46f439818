"""Small static methods between translated code and what it calls.

Translated code knows ints and Objects only. Where it calls a method that wants more, an adapter casts the arguments;
the JVM's compiler puts it in line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_card.errors import CapError
from opentsm_simulator.translate.classes import OwnClass, OwnInterface
from opentsm_simulator.translate.classwriter import ACC_INTERFACE, ACC_STATIC, ClassWriter, Code

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_simulator.translate.signature import Member, Signature
    from opentsm_simulator.translate.targets import KnownTarget, SuperTarget, VirtualTarget

__all__ = ["WITHOUT_ARGUMENTS", "Adapters", "load_arguments", "returns"]

_OBJECT: Final = "java/lang/Object"
_OWNER_PIN: Final = "javacard/framework/OwnerPIN"

# What does the work of a constructor of an API's class, by class and descriptor, on an object that is there already.
LATER: Final = {
    ("javacard/framework/CardRuntimeException", "(S)V"): "setReason",
    ("javacard/framework/CardException", "(S)V"): "setReason",
    (_OWNER_PIN, "(BB)V"): "initialize",
}

# Classes of which our runtime has a constructor without arguments that the API has not.
WITHOUT_ARGUMENTS: Final = frozenset({_OWNER_PIN})


def parameters(descriptor: str) -> list[str]:
    """Split the parameters of a JVM method descriptor."""
    text = descriptor[1 : descriptor.index(")")]
    found = []
    at = 0
    while at < len(text):
        start = at
        while text[at] == "[":
            at += 1
        at = text.index(";", at) + 1 if text[at] == "L" else at + 1
        found.append(text[start:at])
    return found


def load_arguments(code: Code, descriptor: str, first: int) -> None:
    """Load arguments from locals, cast to what a descriptor wants."""
    for index, kind in enumerate(parameters(descriptor), first):
        if kind[0] not in "L[":
            code.local("iload", index)
            if kind == "B":
                code.op("i2b")
            continue
        code.local("aload", index)
        name = kind[1:-1] if kind[0] == "L" else kind
        if name != _OBJECT:
            code.of_class("checkcast", name)


def returns(code: Code, descriptor: str, *, cast: bool = False) -> None:
    """Return the result that a descriptor names; cast to its class where what is there is an Object."""
    result = descriptor[descriptor.index(")") + 1 :]
    if result == "V":
        code.op("return")
    elif result[0] in "L[":
        name = result[1:-1] if result[0] == "L" else result
        if cast and name != _OBJECT:
            code.of_class("checkcast", name)
        code.op("areturn")
    else:
        code.op("ireturn")


class Adapters:
    """Makes the adapters of a package, in the class of its code.

    Args:
        code_class: where they go.
        prefix: before the names of the package's classes.
        class_of: the writer of a class of the package.
    """

    def __init__(self, code_class: ClassWriter, prefix: str, class_of: Callable[[OwnClass], ClassWriter]) -> None:
        self._class = code_class
        self._prefix = prefix
        self._class_of = class_of
        self._names: dict[tuple[object, ...], str] = {}
        self._protected: dict[Member, tuple[ClassWriter, str]] = {}

    @property
    def protected(self) -> dict[Member, tuple[ClassWriter, str]]:
        """Interfaces through which protected methods are called: own classes under their owners implement them."""
        return self._protected

    def _make(self, key: tuple[object, ...], signature: Signature, write: Callable[[Code], None]) -> tuple[str, str]:
        descriptor = signature.descriptor
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = f"a{len(self._names)}"
            size = len(signature.params)
            code = Code(self._class, size + 3, size + 1)
            write(code)
            self._class.add_method(name, descriptor, code, ACC_STATIC)
        return name, descriptor

    def known(self, target: KnownTarget) -> tuple[str, str]:
        """Return the adapter to a method that exists: static, virtual or an interface's."""
        member = target.member
        owner = target.owner.name

        def write(code: Code) -> None:
            receiver = 0 if target.how == "invokestatic" else 1
            if receiver:
                code.local("aload", 0)
                if owner != _OBJECT:
                    code.of_class("checkcast", owner)
            load_arguments(code, member.descriptor, receiver)
            if target.how == "invokeinterface":
                code.invoke_interface(owner, member.name, member.descriptor, len(member.signature.params))
            else:
                # A static method is called where it is; another through the class that the reference names.
                code.invoke(target.how, owner if receiver else member.owner, member.name, member.descriptor)
            returns(code, member.descriptor)

        if member.protected:
            return self._through_interface(member)
        return self._make((target.how, owner, member), member.signature, write)

    def _through_interface(self, member: Member) -> tuple[str, str]:
        """Call a protected method on an object of ours: each class of ours under its owner lends its right to it."""
        signature = member.signature
        if member not in self._protected:
            number = len(self._protected)
            writer = ClassWriter(f"{self._prefix}P{number}", access=ACC_INTERFACE)
            writer.add_abstract_method(f"p{number}", signature.instance_descriptor)
            self._protected[member] = (writer, f"p{number}")
        interface, method = self._protected[member]

        def write(code: Code) -> None:
            code.local("aload", 0)
            code.of_class("checkcast", interface.name)
            load_arguments(code, signature.instance_descriptor, 1)
            code.invoke_interface(interface.name, method, signature.instance_descriptor, len(signature.params))
            returns(code, signature.instance_descriptor)

        return self._make(("protected", member), signature, write)

    def virtual(self, target: VirtualTarget, name: str, exact_descriptor: str, signature: Signature) -> tuple[str, str]:
        """Return the adapter to a virtual or interface method of the package."""
        owner = target.owner.name

        def write(code: Code) -> None:
            code.local("aload", 0)
            code.of_class("checkcast", owner)
            load_arguments(code, exact_descriptor, 1)
            if isinstance(target.owner, OwnInterface):
                code.invoke_interface(owner, name, exact_descriptor, len(signature.params))
            else:
                code.invoke("invokevirtual", owner, name, exact_descriptor)
            returns(code, exact_descriptor)

        return self._make(("virtual", owner, name, exact_descriptor), signature, write)

    def super(self, target: SuperTarget) -> tuple[str, str]:
        """Return the adapter to a known superclass's method, called by super from a class of the package."""
        member, signature = target.member, target.member.signature
        writer = self._class_of(target.caller)
        name = f"super{target.token}"
        if not writer.has_method(name, signature.instance_descriptor):
            inside = Code(writer, len(signature.params) + 2, len(signature.params) + 1)
            inside.local("aload", 0)
            load_arguments(inside, member.descriptor, 1)
            inside.invoke("invokespecial", writer.superclass, member.name, member.descriptor)
            returns(inside, member.descriptor)
            writer.add_method(name, signature.instance_descriptor, inside)

        def write(code: Code) -> None:
            code.local("aload", 0)
            code.of_class("checkcast", writer.name)
            load_arguments(code, signature.instance_descriptor, 1)
            code.invoke("invokevirtual", writer.name, name, signature.instance_descriptor)
            returns(code, signature.instance_descriptor)

        return self._make(("super", writer.name, name), signature, write)

    def factory(self, target: KnownTarget) -> tuple[str, str]:
        """Return what makes an object of an API's class by one of its constructors."""
        member = target.member
        signature = type(member.signature)(member.signature.params[1:], "A")

        def write(code: Code) -> None:
            code.of_class("new", member.owner)
            code.op("dup")
            load_arguments(code, member.descriptor, 0)
            code.invoke("invokespecial", member.owner, "<init>", member.descriptor)
            code.op("areturn")

        return self._make(("factory", member), signature, write)

    def super_constructor(self, target: KnownTarget) -> tuple[str, str] | None:
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

        def write(code: Code) -> None:
            code.local("aload", 0)
            code.of_class("checkcast", later)
            load_arguments(code, member.descriptor, 1)
            code.invoke("invokevirtual", later, method, member.descriptor)
            code.op("return")

        return self._make(("later", later), member.signature, write)
