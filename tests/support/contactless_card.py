"""An SE whose Ticket applets call each method of org.globalplatform.contactless, managed through its issuer domain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu
from opentsm_card.install import InstallForInstall, InstallForLoad, InstallForRegistryUpdate
from opentsm_card.install_parameters import InstallParameters
from opentsm_card.load import load_blocks, load_file
from opentsm_card.privileges import Privilege
from opentsm_card.select import Select
from opentsm_simulator import VirtualSe
from sd_host import CRS, ISD, ISD_KEYS, Host

if TYPE_CHECKING:
    from opentsm_build.cap import CapFile
    from opentsm_card.link import Link

PROFILE: Final = Path(__file__).resolve().parent.parent / "card" / "contactless" / "profile.toml"

PACKAGE: Final = Aid.from_text("F000000003")
MODULE: Final = Aid.from_text("F00000000301")
A: Final = Aid.from_text("F000000000A1")
B: Final = Aid.from_text("F000000000B1")
C: Final = Aid.from_text("F000000000C1")
LISTENER: Final = Aid.from_text("F000000000E1")

SELF_ACTIVATION: Final = Privilege.CONTACTLESS_SELF_ACTIVATION
ACTIVATION: Final = Privilege.CONTACTLESS_ACTIVATION | Privilege.GLOBAL_REGISTRY


def aids(*names: bytes) -> bytes:
    return b"".join(tlv.encode(0x4F, name) for name in names)


def interaction(*objects: tuple[int, bytes]) -> tlv.Tlv:
    """Return A1, the user interaction parameters."""
    return tlv.Tlv(0xA1, b"".join(tlv.encode(tag, value) for tag, value in objects))


def protocol(*objects: tuple[int, bytes]) -> tlv.Tlv:
    """Return A0, the contactless protocol parameters."""
    return tlv.Tlv(0xA0, b"".join(tlv.encode(tag, value) for tag, value in objects))


class Ticket:
    """Drives one Ticket applet over a link that others use too: it is selected for each call."""

    def __init__(self, link: Link, aid: Aid) -> None:
        self.aid = aid
        self._link = link

    def call(self, ins: int, p1p2: int = 0, data: bytes = b"") -> tuple[bytes, int]:
        selected = self._link.transmit(Select(self.aid).apdu().encode())
        assert selected[-2:] == b"\x90\x00", selected.hex()
        answer = self._link.transmit(CommandApdu(0x80, ins, p1p2 >> 8, p1p2 & 0xFF, data, 256).encode())
        return answer[:-2], int.from_bytes(answer[-2:], "big")

    def state(self, state: int, of: bytes = b"") -> int:
        """Call setCLState; return the status word."""
        return self.call(0x10, state << 8, of)[1]

    def events(self) -> list[tuple[bytes, int]]:
        """Return what it was told since the last time: AID (empty: of itself) and event."""
        data, sw = self.call(0x12)
        assert sw == 0x9000
        found = []
        while data:
            end = 1 + data[0]
            found.append((data[1:end], int.from_bytes(data[end : end + 2], "big")))
            data = data[end + 2 :]
        return found

    def names(self, ins: int, p1p2: int = 0, of: bytes = b"") -> list[bytes]:
        data, sw = self.call(ins, p1p2, of)
        assert sw == 0x9000
        found = []
        while data:
            found.append(data[1 : 1 + data[0]])
            data = data[1 + data[0] :]
        return found


class ContactlessCard:
    """The card, and one link to its contacts, over which all go who manage it."""

    def __init__(self, crs: CapFile | None = None) -> None:
        """Make it; with the CRS application of a CAP file, loaded as any host would, in place of the built-in one."""
        self.se = VirtualSe.create(str(PROFILE))
        self.link = self.se.link()
        if crs is not None:
            self._load(crs)

    def _load(self, cap: CapFile) -> None:
        package, (applet,) = cap.package_aid, cap.applets
        manager = self.manager()
        assert manager.delete(package, related=True) == 0x9000
        blocks = load_blocks(load_file(cap.load_file_data_block()), 200)
        parameters = InstallParameters(system=(protocol((0xA5, tlv.encode(0x82, b"\x80"))),)).encode()
        install = InstallForInstall(package, applet.aid, CRS, ACTIVATION, parameters=parameters)
        manager.done(InstallForLoad(package), *blocks, install)

    def manager(self) -> Host:
        return Host(self.link).into(ISD, ISD_KEYS)

    def install(self, aid: Aid, *system: tlv.Tlv, privileges: Privilege = Privilege.NONE) -> int:
        parameters = InstallParameters(system=system).encode()
        return self.manager().sw(InstallForInstall(PACKAGE, MODULE, aid, privileges, parameters=parameters))

    def update(self, aid: Aid, *system: tlv.Tlv) -> int:
        parameters = InstallParameters(application=None, system=system).encode()
        return self.manager().sw(InstallForRegistryUpdate(aid, parameters=parameters))

    def ticket(self, aid: Aid) -> Ticket:
        return Ticket(self.link, aid)

    def state(self, aid: Aid) -> int:
        entry = self.manager().entry(aid)
        assert entry is not None
        assert entry.contactless is not None
        return int(entry.contactless)

    def reader(self) -> Host:
        """Return a reader in whose field the SE is."""
        return Host(self.se.link("contactless"))

    def crs(self, *commands: str) -> list[tuple[bytes, int]]:
        """Select the CRS application and send it commands, in hex."""
        host = Host(self.link)
        assert host.select(CRS).sw == 0x9000
        answers = [host.raw(bytes.fromhex(command)) for command in commands]
        return [(answer.data, answer.sw) for answer in answers]
