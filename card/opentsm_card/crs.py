"""Commands of the CRS application, a device's user interface to the contactless applications of its SE.

Spec: GP Card Specification Amendment C 1.3, 3.11.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar, Final, Self

from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu
from opentsm_card.contactless import aid_list, encode_aid_list
from opentsm_card.errors import ProtocolError
from opentsm_card.lifecycle import ContactlessState

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CRS_AID", "ContactlessEntry", "CrsGetStatus", "CrsSetStatus", "Priority", "Undone", "parse_entries"]

CRS_AID: Final = Aid.from_text("A00000015143525300")

_TAG_AID: Final = 0x4F
_TAG_TAG_LIST: Final = 0x5C
_TAG_APPLICATION: Final = 0x61
_TAG_LIFE_CYCLE: Final = 0x9F70
_TAG_FAMILY: Final = 0x87
_TAG_CONFLICTING: Final = 0xA0
_TAG_FAILED: Final = 0xA1

_APPLICATIONS: Final = 0x40
_AVAILABILITY: Final = 0x01
_PRIORITY: Final = 0x02
_INTERFACE: Final = 0x04
_REMAINING: Final = 0x80
_INTERFACE_ON: Final = 0x80
_PROXIMITY: Final = tlv.encode(0x80, b"\x40")


@dataclass(frozen=True, slots=True)
class CrsGetStatus:
    """List contactless applications; an answer with 6310 goes on by `following`.

    Args:
        prefix: beginning of the AIDs wanted; empty for all.
        state: only applications in this activation state.
        family: only applications of this family.
        tags: data objects wanted; empty for all that there are. AID and states always come.
        next: whether this goes on.

    Spec: 3.11.3, tables 3-9 and 3-13 to 3-16.
    """

    NAME: ClassVar[str] = "GET STATUS of the CRS application"

    prefix: bytes = b""
    state: ContactlessState | None = None
    family: int | None = None
    tags: tuple[int, ...] = ()
    next: bool = False

    def apdu(self) -> CommandApdu:
        """Return the command APDU."""
        data = tlv.encode(_TAG_AID, self.prefix)
        if self.state is not None:
            # The first byte, the life cycle state, is not looked at.
            data += tlv.encode(_TAG_LIFE_CYCLE, bytes((0, self.state)))
        if self.family is not None:
            data += tlv.encode(_TAG_FAMILY, bytes((self.family,)))
        if self.tags:
            data += tlv.encode(_TAG_TAG_LIST, b"".join(tlv.encode_tag(tag) for tag in self.tags))
        return CommandApdu(0x80, 0xF2, _APPLICATIONS, int(self.next), data, 256)

    def following(self) -> Self:
        """Return the command that fetches what comes next."""
        return type(self)(self.prefix, self.state, self.family, self.tags, next=True)


@dataclass(frozen=True, slots=True)
class ContactlessEntry:
    """What the registry says of a contactless application.

    Args:
        aid: its AID.
        life_cycle: life cycle state, one byte.
        state: activation state.
        priority: its place in partial selection, 0 for the volatile priority; None when not told.
        head: head of its group.
        members: members of the group of which it is the head.
        listeners: its CREL list.
        others: all further data objects by tag, such as 7F20, A6, 87, 88.
    """

    aid: Aid
    life_cycle: int
    state: ContactlessState
    priority: int | None = None
    head: Aid | None = None
    members: tuple[Aid, ...] = ()
    listeners: tuple[Aid, ...] = ()
    others: dict[int, bytes] = field(default_factory=dict)

    @classmethod
    def parse(cls, template: bytes) -> Self:
        """Parse the value of a 61.

        Raises:
            ProtocolError: malformed, or without AID and states.
        """
        members = {item.tag: item.value for item in tlv.parse_all(template)}
        aid, states = members.pop(_TAG_AID, None), members.pop(_TAG_LIFE_CYCLE, b"")
        if aid is None or len(states) != 2 or states[1] not in {member.value for member in ContactlessState}:
            raise ProtocolError("a contactless application: no 4F, or no 9F70 of two states")
        priority = members.pop(0x81, None)
        heads = aid_list(members.pop(0xA2, b""))
        return cls(
            Aid(aid),
            states[0],
            ContactlessState(states[1]),
            None if priority is None else int.from_bytes(priority, "big"),
            heads[0] if heads else None,
            aid_list(members.pop(0xA3, b"")),
            aid_list(members.pop(0xA4, b"")),
            members,
        )


def parse_entries(answers: Iterable[bytes]) -> tuple[ContactlessEntry, ...]:
    """Parse the data of a GET STATUS and of those that went on; a large entry may go over several.

    Raises:
        ProtocolError: malformed.
    """
    objects = tlv.parse_all(b"".join(answers))
    if any(item.tag != _TAG_APPLICATION for item in objects):
        raise ProtocolError("a list of contactless applications: something other than 61 in it")
    return tuple(ContactlessEntry.parse(item.value) for item in objects)


class Priority(IntEnum):
    """What is done to the order of partial selection: P2 of SET STATUS with P1 02."""

    HIGHEST = 0x01
    LOWEST = 0x81
    VOLATILE = 0x02
    NO_VOLATILE = 0x82


@dataclass(frozen=True, slots=True)
class CrsSetStatus:
    """Change activation states, the order of partial selection, or the contactless interface.

    An answer with 6310 goes on by `remaining`; with 6320 its data are an `Undone`.

    Args:
        p1: what is changed.
        p2: how.
        data: AIDs, each as a 4F; for the interface, which.

    Spec: 3.11.4, tables 3-17 to 3-28.
    """

    NAME: ClassVar[str] = "SET STATUS of the CRS application"

    p1: int
    p2: int
    data: bytes = b""

    @classmethod
    def activate(cls, *aids: Aid, activated: bool = True) -> Self:
        """Activate applications, or deactivate them."""
        return cls(_AVAILABILITY, int(activated), encode_aid_list(aids))

    @classmethod
    def order(cls, priority: Priority, *aids: Aid) -> Self:
        """Put applications first or last, or give the volatile priority, or take it (no AIDs)."""
        return cls(_PRIORITY, priority, encode_aid_list(aids))

    @classmethod
    def interface(cls, *, on: bool) -> Self:
        """Switch the contactless interface."""
        return cls(_INTERFACE, _INTERFACE_ON if on else 0, _PROXIMITY)

    @classmethod
    def remaining(cls) -> Self:
        """Fetch the rest of a long answer."""
        return cls(_REMAINING, 0)

    def apdu(self) -> CommandApdu:
        """Return the command APDU."""
        return CommandApdu(0x80, 0xF0, self.p1, self.p2, self.data, 256)


@dataclass(frozen=True, slots=True)
class Undone:
    """What a SET STATUS could not do.

    Args:
        conflicts: applications that conflict with active ones, and those.
        failed: other applications.
    """

    conflicts: tuple[tuple[Aid, tuple[Aid, ...]], ...] = ()
    failed: tuple[Aid, ...] = ()

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parse the answer's data, put together.

        Raises:
            ProtocolError: malformed.
        """
        conflicts: list[tuple[Aid, tuple[Aid, ...]]] = []
        failed: list[Aid] = []
        for item in tlv.parse_all(data):
            if item.tag == _TAG_FAILED:
                failed += aid_list(item.value)
            elif item.tag == _TAG_APPLICATION:
                parts = item.children()
                aid = tlv.find(parts, _TAG_AID)
                if aid is None:
                    raise ProtocolError("a conflict: no 4F")
                conflicts.append((Aid(aid), aid_list(tlv.find(parts, _TAG_CONFLICTING) or b"")))
            else:
                raise ProtocolError(f"an answer to SET STATUS: {item.tag:02X} in it")
        return cls(tuple(conflicts), tuple(failed))
