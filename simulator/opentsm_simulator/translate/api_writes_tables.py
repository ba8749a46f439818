"""How methods of the APIs write to persistent objects: what is atomic, what no transaction undoes, what makes objects.

Every other call is watched the same way: what it changed of persistent arrays is written element by element, what it
changed inside of a key or a PIN at once.

Spec: Java Card API 3.0.5, the descriptions of these methods; JCRE 3.0.5, 7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentsm_simulator.translate.signature import Member

__all__ = ["FAILED", "how_it_writes", "is_maker", "may_write"]

# Bits of opentsm.runtime.ApiWrites.
_ATOMIC: Final = 1
_UNCONDITIONAL: Final = 2
_OPEN: Final = 4
_STAYS: Final = 8
FAILED: Final = 16
"""The call ended with an exception."""

_HOW: Final = {
    ("javacard/framework/Util", "arrayCopy"): _ATOMIC,
    ("javacard/framework/Util", "arrayFill"): _ATOMIC,
    ("javacard/framework/Util", "setShort"): _ATOMIC,
    ("javacard/framework/Util", "arrayCopyNonAtomic"): _UNCONDITIONAL,
    ("javacard/framework/Util", "arrayFillNonAtomic"): _UNCONDITIONAL,
    ("javacardx/framework/util/ArrayLogic", "arrayCopyRepack"): _ATOMIC,
    ("javacardx/framework/util/ArrayLogic", "arrayFillGeneric"): _ATOMIC,
    ("javacardx/framework/util/ArrayLogic", "arrayCopyRepackNonAtomic"): _UNCONDITIONAL,
    ("javacardx/framework/util/ArrayLogic", "arrayFillGenericNonAtomic"): _UNCONDITIONAL,
    ("javacardx/framework/util/intx/JCint", "setInt"): _ATOMIC,
}

# Operations of the OPEN: what happens in one happens whole or not at all.
_OPERATIONS: Final = {
    "opentsm/open/Open": frozenset(
        {"install", "makeSelectable", "extradite", "updateRegistry", "restrict", "installLoaded", "delete", "load"}
        | {"setState", "setStateOfAll", "setCardState", "setContactlessState", "setCardData"}
    ),
    "org/globalplatform/GPSystem": frozenset({"lockCard", "terminateCard", "setATRHistBytes", "setCardContentState"}),
    "org/globalplatform/GPRegistryEntry": frozenset({"setState", "registerService", "deregisterService"}),
    "org/globalplatform/contactless/GPCLRegistryEntry": frozenset(
        {"setCLState", "setInfo", "joinGroup", "addToGroupAuthorizationList", "removeFromGroupAuthorizationList"}
        | {"setPartialSelectionOrder", "addToCRELApplicationList", "removeFromCRELApplicationList"}
    ),
    "org/globalplatform/contactless/GPCLSystem": frozenset({"setCommunicationInterface"}),
}
# A load that is refused gives its token back, in the security domain that verified it.
_STAYING: Final = frozenset({"load", "installLoaded"})

# Static methods that make an object, and what hands out a key that was made with its pair.
_MAKERS: Final = frozenset(
    {"getInstance", "buildKey", "buildKeyWithSharedDomain", "buildOwnerPIN", "buildBioTemplate", "open"}
    | {"makeGlobalArray", "getPublic", "getPrivate"}
    | {f"makeTransient{kind}Array" for kind in ("Boolean", "Byte", "Short", "Int", "Object")}
)


def how_it_writes(member: Member) -> int:
    """Return how a method writes: bits of `opentsm.runtime.ApiWrites`."""
    if member.name in _OPERATIONS.get(member.owner, ()):
        return _OPEN | (_STAYS if member.name in _STAYING else 0)
    return _HOW.get((member.owner, member.name), 0)


def is_maker(member: Member) -> bool:
    """Tell whether a method of an API returns an object that it made."""
    return member.name in _MAKERS and member.descriptor[member.descriptor.index(")") + 1] in "L["


def may_write(member: Member, owner: str, wanted: Sequence[str]) -> bool:
    """Tell whether a method may write to persistent memory: an array among its arguments, a key, a PIN, the OPEN's."""
    stateful = "Key" in owner or "PIN" in owner or member.name in _OPERATIONS.get(member.owner, ())
    return stateful or any(kind[0] == "[" or kind == "Ljava/lang/Object;" for kind in wanted)
