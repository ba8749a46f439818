"""A card of the tests' own applets, whose Manager is a security domain that asks for each of the OPEN's services."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from opentsm_simulator import VirtualSe

if TYPE_CHECKING:
    from opentsm_simulator.virtual_se import Interface

PROFILE: Final = Path(__file__).resolve().parent.parent / "card" / "open" / "profile.toml"

ISD: Final = bytes.fromhex("A000000151000000")
ALIAS: Final = bytes.fromhex("A000000003000000")
LOAD_FILE: Final = bytes.fromhex("F000000001")
MANAGER: Final = bytes.fromhex("F00000000101")
ECHO: Final = bytes.fromhex("F00000000102")
LONE_FILE: Final = bytes.fromhex("F000000002")
LONE: Final = bytes.fromhex("F00000000201")
A1: Final = bytes.fromhex("F0000000A1")
A102: Final = bytes.fromhex("F0000000A102")
B1: Final = bytes.fromhex("F0000000B1")
D1: Final = bytes.fromhex("F0000000D1")

DOMAIN: Final = bytes.fromhex("800000")
MANAGING_DOMAIN: Final = bytes.fromhex("804000")


def lv(*values: bytes) -> bytes:
    return b"".join(bytes((len(value),)) + value for value in values)


class OpenCard:
    """Drives one such card over one interface; answers are (data, status word)."""

    def __init__(self, se: VirtualSe | None = None, interface: Interface = "contact") -> None:
        self.se = se or VirtualSe.create(str(PROFILE))
        self.link = self.se.link(interface)

    def send(self, text: str, data: bytes = b"") -> tuple[bytes, int]:
        command = bytes.fromhex(text) + (bytes((len(data),)) + data if data else b"")
        return self.raw(command)

    def raw(self, command: bytes) -> tuple[bytes, int]:
        answer = self.link.transmit(command)
        return answer[:-2], int.from_bytes(answer[-2:], "big")

    def select(self, aid: bytes, *, p2: int = 0, channel: int = 0) -> int:
        cla = channel if channel < 4 else 0x40 | channel - 4
        return self.send(f"{cla:02X}A404{p2:02X}", aid)[1]

    def selected(self, channel: int = 0) -> bytes:
        """Return the AID of the Echo selected on a channel."""
        cla = 0x80 | channel
        return self.send(f"{cla:02X}0C0000")[0]

    def manage(self, ins: int, *fields: bytes, p1: int = 0, p2: int = 0) -> tuple[bytes, int]:
        """Call one of the Manager's services on the selected Manager."""
        return self.send(f"80{ins:02X}{p1:02X}{p2:02X}", lv(*fields))

    def install(
        self,
        aid: bytes,
        privileges: bytes = bytes(3),
        parameters: bytes = b"",
        *,
        module: bytes = ECHO,
        load_file: bytes = LOAD_FILE,
        selectable: bool = True,
    ) -> int:
        return self.manage(0x10, load_file, module, aid, privileges, parameters, p1=int(selectable))[1]

    def make_selectable(self, aid: bytes, privileges: bytes = b"", parameters: bytes = b"") -> int:
        return self.manage(0x11, aid, privileges, parameters)[1]

    def extradite(self, aid: bytes, domain: bytes) -> int:
        return self.manage(0x12, aid, domain)[1]

    def update(self, aid: bytes, privileges: bytes = b"", parameters: bytes = b"") -> int:
        return self.manage(0x13, aid, privileges, parameters)[1]

    def delete(self, aid: bytes, *, related: bool = False) -> int:
        return self.manage(0x14, aid, p1=int(related))[1]

    def set_state(self, aid: bytes, state: int) -> int:
        return self.manage(0x15, aid, p1=state)[1]

    def set_state_of_all(self, aid: bytes, state: int) -> int:
        return self.manage(0x16, aid, p1=state)[1]

    def set_card_state(self, state: int) -> int:
        return self.send(f"8017{state:02X}00")[1]

    def set_contactless(self, aid: bytes, state: int) -> int:
        return self.manage(0x18, aid, p1=state)[1]

    def list(self, scope: int) -> list[bytes]:
        data = self.send(f"801A{scope:02X}00")[0]
        found = []
        while data:
            found.append(data[1 : 1 + data[0]])
            data = data[1 + data[0] :]
        return found

    def describe(self, aid: bytes) -> dict[str, object]:
        data, sw = self.manage(0x1B, aid)
        if sw != 0x9000:
            return {"sw": sw}
        rest = data[6:]
        domain, rest = rest[1 : 1 + rest[0]], rest[1 + rest[0] :]
        load_file, rest = rest[1 : 1 + rest[0]], rest[1 + rest[0] :]
        return {
            "kind": data[0],
            "state": data[1],
            "privileges": data[2:5],
            "contactless": data[5],
            "domain": domain,
            "load_file": load_file,
            "version": rest,
        }

    def state(self, aid: bytes) -> int:
        state = self.describe(aid)["state"]
        assert isinstance(state, int)
        return state
