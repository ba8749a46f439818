"""A card with the built-in packages and the tests' probe, an application that tries every door of GPSystem."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.delete import DeleteObject
from opentsm_card.install import InstallForInstall, InstallForLoad, InstallForRegistryUpdate
from opentsm_card.install_parameters import InstallParameters
from opentsm_card.load import load_blocks, load_file
from opentsm_card.privileges import Privilege
from opentsm_simulator import VirtualSe
from opentsm_simulator.profile import load_profile
from sd_host import CVM_MODULE, CVM_PACKAGE, ISD, ISD_KEYS, SD_MODULE, SD_PACKAGE, Host, keys

if TYPE_CHECKING:
    from opentsm_build.cap import CapFile
    from opentsm_card.apdu import Command
    from opentsm_card.keys import KeySet
    from opentsm_simulator.virtual_se import Interface

PROFILE: Final = Path(__file__).resolve().parent.parent / "card" / "privileges" / "profile.toml"
PROBE_PACKAGE: Final = Aid.from_text("F000000003")
PROBE_MODULE: Final = Aid.from_text("F00000000301")
P1: Final = Aid.from_text("F0000000E1")
P2: Final = Aid.from_text("F0000000E2")
P3: Final = Aid.from_text("F0000000E3")
CVM: Final = Aid.from_text("F0000000EC")
SD1: Final = Aid.from_text("F0000000D1")
SD2: Final = Aid.from_text("F0000000D2")

GLOBAL_PIN: Final = 0x8211
NONE: Final = Privilege.NONE
SD: Final = Privilege.SECURITY_DOMAIN
_TAG_SERVICES: Final = 0xCB


class ProbeCard:
    """Manages such a card as its issuer, and talks to probes on links of their own."""

    def __init__(self, issuer: Privilege | None = None, *, pin_cap: CapFile | None = None) -> None:
        """Make it.

        Args:
            issuer: privileges of its issuer's domain in place of the profile's.
            pin_cap: the cardholder verification package, to be loaded as a host would, instead of built in.
        """
        profile = load_profile(str(PROFILE))
        if pin_cap is not None:
            others = tuple(each for each in profile.packages if each != "built-in:cardholder-verification")
            profile = msgspec.structs.replace(profile, packages=others)
        if issuer is not None:
            born = msgspec.structs.replace(profile.instances[0], privileges=issuer.encode().hex())
            profile = msgspec.structs.replace(profile, instances=(born,))
        self.se = VirtualSe.create(profile)
        self.host = Host(self.se.link())
        if pin_cap is not None:
            block = load_file(pin_cap.load_file_data_block())
            self.issuer().done(InstallForLoad(CVM_PACKAGE), *load_blocks(block, 200))

    def issuer(self) -> Host:
        """Return the host with a session with the issuer's domain."""
        return self.host.into(ISD, ISD_KEYS)

    def sw(self, *commands: Command) -> int:
        """Run commands in a session with the issuer's domain; return the last status word."""
        host = self.issuer()
        return [host.sw(command) for command in commands][-1]

    def install(
        self,
        aid: Aid,
        privileges: Privilege = NONE,
        *,
        services: bytes = b"",
        implicit: int | None = None,
        host: Host | None = None,
        selectable: bool = True,
    ) -> int:
        """Install a probe, by the issuer's domain unless a host with a session with another is given."""
        system = (tlv.Tlv(_TAG_SERVICES, services),) if services else ()
        parameters = InstallParameters(system=system, implicit_selection=implicit).encode()
        command = InstallForInstall(
            PROBE_PACKAGE, PROBE_MODULE, aid, privileges, parameters, make_selectable=selectable
        )
        return (host or self.issuer()).sw(command)

    def domain(self, aid: Aid, privileges: Privilege = NONE, key_set: KeySet | None = None) -> Host:
        """Make a security domain with keys of its own under the issuer's; return a session with it."""
        key_set = key_set or keys(0x31, 1)
        self.sw(InstallForInstall(SD_PACKAGE, SD_MODULE, aid, SD | privileges))
        self.host.into(aid, ISD_KEYS)
        self.host.put_keys(key_set).require("PUT KEY")
        return Host(self.se.link()).into(aid, key_set)

    def pin(self) -> int:
        """Install the cardholder verification application as the global PIN."""
        parameters = InstallParameters(
            system=(tlv.Tlv(_TAG_SERVICES, GLOBAL_PIN.to_bytes(2, "big")),),
        ).encode()
        return self.sw(InstallForInstall(CVM_PACKAGE, CVM_MODULE, CVM, Privilege.GLOBAL_SERVICE, parameters))

    def update(self, aid: Aid, privileges: Privilege) -> int:
        """Change privileges by registry update."""
        return self.sw(InstallForRegistryUpdate(aid, privileges=privileges))

    def delete(self, aid: Aid) -> int:
        return self.sw(DeleteObject(aid))

    def probe(self, aid: Aid, interface: Interface = "contact") -> Probe:
        """Select a probe."""
        probe = Probe(Host(self.se.link(interface)))
        assert probe.host.select(aid).sw == 0x9000
        return probe


class Probe:
    """A probe that is selected: each method is one call of the API and says what it returned."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def call(self, ins: int, p1: int = 0, p2: int = 0, data: bytes = b"") -> bytes | int:
        """Return the answer's data, or the status word when it is not 9000."""
        lead = bytes((0x80, ins, p1, p2)) + (bytes((len(data),)) + data if data else b"")
        answer = self.host.raw(lead)
        return answer.data if answer.sw == 0x9000 else answer.sw

    def flag(self, ins: int, p1: int = 0, p2: int = 0, data: bytes = b"") -> bool:
        """Return what a method of type boolean returned."""
        answer = self.call(ins, p1, p2, data)
        assert answer in {b"\x00", b"\x01"}, answer
        return answer == b"\x01"

    def set_own_state(self, state: int) -> bool:
        return self.flag(0x10, state)

    def state(self) -> int:
        answer = self.call(0x11)
        assert isinstance(answer, bytes)
        return answer[0]

    def privileges(self) -> Privilege:
        answer = self.call(0x11)
        assert isinstance(answer, bytes)
        return Privilege.parse(answer[2:])

    def lock_card(self) -> bool:
        return self.flag(0x12, 0)

    def terminate_card(self) -> bool:
        return self.flag(0x12, 1)

    def sees(self, aid: Aid) -> bool:
        """Tell whether the registry shows it another's entry."""
        answer = self.call(0x14, data=bytes(aid))
        assert isinstance(answer, bytes) or answer == 0x6A88
        return isinstance(answer, bytes)

    def set_state(self, aid: Aid, state: int) -> bool | None:
        """Set another's state; None when it does not even see it."""
        answer = self.call(0x15, state, data=bytes(aid))
        return None if answer == 0x6A88 else answer == b"\x01"

    def register(self, service: int) -> bool:
        return self.call(0x16, service >> 8, service & 0xFF) == b""

    def deregister(self, service: int) -> bool:
        return self.call(0x17, service >> 8, service & 0xFF) == b""

    def service(self, service: int, aid: bytes = b"") -> tuple[bytes, bytes] | None:
        """Return who answered a service, and whom that one saw calling."""
        answer = self.call(0x18, service >> 8, service & 0xFF, aid)
        if answer == 0x6A88:
            return None
        assert isinstance(answer, bytes)
        server, rest = answer[1 : 1 + answer[0]], answer[1 + answer[0] :]
        return server, rest[1 : 1 + rest[0]]

    def has_pin(self) -> bool:
        return self.flag(0x19, GLOBAL_PIN & 0xFF)

    def pin(self, what: int, value: int = 0, data: bytes = b"") -> bool:
        """Call a method of the CVM: 0 verify, 1 update, 2 limit, 3 reset, 4 block, 5 unblock, 6 verify and abort."""
        return self.flag(0x1A, what, value, data)

    def pin_state(self) -> tuple[set[str], int]:
        """Return the CVM's states, and the tries that remain."""
        answer = self.call(0x1A, 0x7F)
        assert isinstance(answer, bytes)
        names = ("active", "submitted", "verified", "blocked")
        return {name for bit, name in enumerate(names) if answer[0] & 1 << bit}, answer[1]

    def set_historical_bytes(self, data: bytes) -> bool:
        return self.flag(0x1B, data=data)

    def historical_bytes(self) -> bytes | int:
        return self.call(0x1C, 0x00, 0x80)

    def set_contactless(self, state: int) -> bool:
        """Set its own contactless activation state."""
        return self.call(0x1D, state) == bytes((state,))

    def personalized(self) -> bytes:
        answer = self.call(0x1E)
        assert isinstance(answer, bytes)
        return answer
