"""INSTALL in all its forms.

Each form is a dataclass; `parse_install` tells them apart by P1. Fields are coded as length and value; a length of 128
may be the single byte 80, and is taken, never sent. Data of more than 255 bytes goes in several commands: see
`split_install`.

Spec: GP Card Specification 2.3.1, 11.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu, check_header
from opentsm_card.errors import ProtocolError
from opentsm_card.privileges import Privilege
from opentsm_card.reader import Reader, encode_lv

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "InstallForExtradition",
    "InstallForInstall",
    "InstallForLoad",
    "InstallForMakeSelectable",
    "InstallForPersonalization",
    "InstallForRegistryUpdate",
    "InstallForm",
    "parse_install",
    "split_install",
]

_INS = 0xE6
_NAME = "INSTALL"

# Reference control parameter P1 (table 11-41) and P2 (11.5.2.2).
_MORE = 0x80
_FOR_REGISTRY_UPDATE = 0x40
_FOR_PERSONALIZATION = 0x20
_FOR_EXTRADITION = 0x10
_FOR_MAKE_SELECTABLE = 0x08
_FOR_INSTALL = 0x04
_FOR_INSTALL_AND_MAKE_SELECTABLE = 0x0C
_FOR_LOAD = 0x02
_FOR_LOAD_INSTALL_AND_MAKE_SELECTABLE = 0x0E
_COMBINED_BEGIN = 0x01
_COMBINED_END = 0x03


class InstallForm(Protocol):
    """What every form of INSTALL offers."""

    def apdu(self) -> CommandApdu:
        """Return the command APDU, in the extended form when data is longer than 255 bytes."""


def _command(p1: int, p2: int, fields: tuple[bytes, ...]) -> CommandApdu:
    return CommandApdu(0x80, _INS, p1, p2, b"".join(encode_lv(field) for field in fields), 256)


def _reader(apdu: CommandApdu, name: str, *forms: tuple[int, int]) -> Reader:
    """Check header and form (P1, P2) and return a reader of the data."""
    check_header(apdu, _INS, name)
    if (apdu.p1, apdu.p2) not in forms:
        raise ProtocolError(f"not {name}: P1 {apdu.p1:02X}, P2 {apdu.p2:02X}")
    return Reader(apdu.data, name)


def _aid(reader: Reader) -> Aid:
    value = reader.lv()
    if not 5 <= len(value) <= 16:
        raise reader.fail(f"an AID of {len(value)} bytes")
    return Aid(value)


def _optional_aid(reader: Reader) -> Aid | None:
    if reader.peek() == 0:
        reader.byte()
        return None
    return _aid(reader)


def _nothing(reader: Reader) -> None:
    if reader.lv():
        raise reader.fail("an empty field expected")


def _parameters_and_token(reader: Reader) -> tuple[bytes, bytes]:
    parameters, token = reader.lv(byte_80=True), reader.lv(byte_80=True)
    reader.end()
    return parameters, token


@dataclass(frozen=True, slots=True)
class InstallForLoad:
    """Announce a load file; LOAD commands follow.

    Args:
        load_file: AID of the load file.
        security_domain: which one it is to belong to; None for the one that receives the command.
        hash: of the load file data block, at most 127 bytes; empty for none.
        parameters: load parameters (table 11-48), as data objects; see `opentsm_card.install_parameters`.
        token: load token; empty for none.
        combined: begins a combined load, install and make selectable.

    Spec: GP Card Specification 2.3.1, 11.5.2.3.1.
    """

    NAME: ClassVar[str] = "INSTALL [for load]"
    INS: ClassVar[int] = _INS

    load_file: Aid
    security_domain: Aid | None = None
    hash: bytes = b""
    parameters: bytes = b""
    token: bytes = b""
    combined: bool = False

    def apdu(self) -> CommandApdu:
        """Return the command APDU."""
        fields = (self.load_file, self.security_domain or b"", self.hash, self.parameters, self.token)
        if self.combined:
            return _command(_FOR_LOAD_INSTALL_AND_MAKE_SELECTABLE, _COMBINED_BEGIN, fields)
        return _command(_FOR_LOAD, 0x00, fields)

    @classmethod
    def parse(cls, apdu: CommandApdu) -> Self:
        """Parse the command APDU.

        Raises:
            ProtocolError: another command, or malformed data.
        """
        combined = (_FOR_LOAD_INSTALL_AND_MAKE_SELECTABLE, _COMBINED_BEGIN)
        reader = _reader(apdu, cls.NAME, (_FOR_LOAD, 0x00), combined)
        load_file, security_domain, digest = _aid(reader), _optional_aid(reader), reader.lv()
        parameters, token = _parameters_and_token(reader)
        return cls(load_file, security_domain, digest, parameters, token, bool(apdu.p2))


@dataclass(frozen=True, slots=True)
class InstallForInstall:
    """Install an application from a module of a load file.

    Args:
        load_file: AID of the load file; None only at the end of a combined load.
        module: AID of the module; None where the runtime environment needs none.
        application: AID of the instance.
        privileges: of the instance.
        parameters: install parameters (table 11-49), C9 at least; see `opentsm_card.install_parameters`.
        token: install token; empty for none.
        make_selectable: make it selectable in the same step.
        combined: ends a combined load, install and make selectable (implies `make_selectable`).
        short_privileges: code the privileges in 1 byte, for cards that know no more.

    Spec: GP Card Specification 2.3.1, 11.5.2.3.2.
    """

    NAME: ClassVar[str] = "INSTALL [for install]"
    INS: ClassVar[int] = _INS

    load_file: Aid | None
    module: Aid | None
    application: Aid
    privileges: Privilege = Privilege.NONE
    parameters: bytes = b"\xc9\x00"
    token: bytes = b""
    make_selectable: bool = True
    combined: bool = False
    short_privileges: bool = False

    def apdu(self) -> CommandApdu:
        """Return the command APDU."""
        fields = (
            self.load_file or b"",
            self.module or b"",
            self.application,
            self.privileges.encode(short=self.short_privileges),
            self.parameters,
            self.token,
        )
        if self.combined:
            return _command(_FOR_LOAD_INSTALL_AND_MAKE_SELECTABLE, _COMBINED_END, fields)
        p1 = _FOR_INSTALL_AND_MAKE_SELECTABLE if self.make_selectable else _FOR_INSTALL
        return _command(p1, 0x00, fields)

    @classmethod
    def parse(cls, apdu: CommandApdu) -> Self:
        """Parse the command APDU.

        Raises:
            ProtocolError: another command, or malformed data.
        """
        combined = (_FOR_LOAD_INSTALL_AND_MAKE_SELECTABLE, _COMBINED_END)
        reader = _reader(apdu, cls.NAME, (_FOR_INSTALL, 0x00), (_FOR_INSTALL_AND_MAKE_SELECTABLE, 0x00), combined)
        load_file, module, application = _optional_aid(reader), _optional_aid(reader), _aid(reader)
        privileges = reader.lv()
        if not privileges:
            raise reader.fail("privileges are mandatory")
        parameters, token = _parameters_and_token(reader)
        return cls(
            load_file,
            module,
            application,
            Privilege.parse(privileges),
            parameters,
            token,
            bool(apdu.p1 & _FOR_MAKE_SELECTABLE),
            bool(apdu.p2),
            len(privileges) == 1,
        )


@dataclass(frozen=True, slots=True)
class InstallForMakeSelectable:
    """Make an installed application selectable.

    Args:
        application: AID of the instance.
        privileges: only the Card Reset privilege has an effect here.
        parameters: make selectable parameters (table 11-50).
        token: empty for none.

    Spec: GP Card Specification 2.3.1, 11.5.2.3.3.
    """

    NAME: ClassVar[str] = "INSTALL [for make selectable]"
    INS: ClassVar[int] = _INS

    application: Aid
    privileges: Privilege = Privilege.NONE
    parameters: bytes = b""
    token: bytes = b""

    def apdu(self) -> CommandApdu:
        """Return the command APDU."""
        fields = (b"", b"", self.application, self.privileges.encode(), self.parameters, self.token)
        return _command(_FOR_MAKE_SELECTABLE, 0x00, fields)

    @classmethod
    def parse(cls, apdu: CommandApdu) -> Self:
        """Parse the command APDU; the first two fields carry nothing and are ignored.

        Raises:
            ProtocolError: another command, or malformed data.
        """
        reader = _reader(apdu, cls.NAME, (_FOR_MAKE_SELECTABLE, 0x00))
        # Older hosts put load file and module AID into the two fields that are empty today.
        reader.lv()
        reader.lv()
        application, privileges = _aid(reader), Privilege.parse(reader.lv())
        return cls(application, privileges, *_parameters_and_token(reader))


@dataclass(frozen=True, slots=True)
class InstallForExtradition:
    """Hand an application or load file over to another security domain.

    Args:
        security_domain: the new owner.
        application: AID of the application or load file, now under the selected security domain.
        parameters: extradition parameters (table 11-51).
        token: empty for none.

    Spec: GP Card Specification 2.3.1, 11.5.2.3.4.
    """

    NAME: ClassVar[str] = "INSTALL [for extradition]"
    INS: ClassVar[int] = _INS

    security_domain: Aid
    application: Aid
    parameters: bytes = b""
    token: bytes = b""

    def apdu(self) -> CommandApdu:
        """Return the command APDU."""
        fields = (self.security_domain, b"", self.application, b"", self.parameters, self.token)
        return _command(_FOR_EXTRADITION, 0x00, fields)

    @classmethod
    def parse(cls, apdu: CommandApdu) -> Self:
        """Parse the command APDU.

        Raises:
            ProtocolError: another command, or malformed data.
        """
        reader = _reader(apdu, cls.NAME, (_FOR_EXTRADITION, 0x00))
        security_domain = _aid(reader)
        _nothing(reader)
        application = _aid(reader)
        _nothing(reader)
        return cls(security_domain, application, *_parameters_and_token(reader))


@dataclass(frozen=True, slots=True)
class InstallForRegistryUpdate:
    """Change what the registry says of an application: its privileges, its owner, its parameters.

    Args:
        application: whose entry; None to restrict the OPEN itself.
        security_domain: the new owner; None to leave the owner.
        privileges: the new privileges; None to leave them.
        parameters: registry update parameters (table 11-52).
        token: empty for none.

    Spec: GP Card Specification 2.3.1, 11.5.2.3.5.
    """

    NAME: ClassVar[str] = "INSTALL [for registry update]"
    INS: ClassVar[int] = _INS

    application: Aid | None
    security_domain: Aid | None = None
    privileges: Privilege | None = None
    parameters: bytes = b""
    token: bytes = b""

    def apdu(self) -> CommandApdu:
        """Return the command APDU."""
        privileges = b"" if self.privileges is None else self.privileges.encode()
        owner, application = self.security_domain or b"", self.application or b""
        fields = (owner, b"", application, privileges, self.parameters, self.token)
        return _command(_FOR_REGISTRY_UPDATE, 0x00, fields)

    @classmethod
    def parse(cls, apdu: CommandApdu) -> Self:
        """Parse the command APDU.

        Raises:
            ProtocolError: another command, or malformed data.
        """
        reader = _reader(apdu, cls.NAME, (_FOR_REGISTRY_UPDATE, 0x00))
        security_domain = _optional_aid(reader)
        _nothing(reader)
        application, privileges = _optional_aid(reader), reader.lv()
        wanted = Privilege.parse(privileges) if privileges else None
        return cls(application, security_domain, wanted, *_parameters_and_token(reader))


@dataclass(frozen=True, slots=True)
class InstallForPersonalization:
    """Name the application that the STORE DATA commands which follow are for.

    Args:
        application: associated with the selected security domain.

    Spec: GP Card Specification 2.3.1, 11.5.2.3.6.
    """

    NAME: ClassVar[str] = "INSTALL [for personalization]"
    INS: ClassVar[int] = _INS

    application: Aid

    def apdu(self) -> CommandApdu:
        """Return the command APDU."""
        return _command(_FOR_PERSONALIZATION, 0x00, (b"", b"", self.application, b"", b"", b""))

    @classmethod
    def parse(cls, apdu: CommandApdu) -> Self:
        """Parse the command APDU.

        Raises:
            ProtocolError: another command, or malformed data.
        """
        reader = _reader(apdu, cls.NAME, (_FOR_PERSONALIZATION, 0x00))
        _nothing(reader)
        _nothing(reader)
        application = _aid(reader)
        for _ in range(3):
            _nothing(reader)
        reader.end()
        return cls(application)


_AnyInstall = (
    InstallForLoad
    | InstallForInstall
    | InstallForMakeSelectable
    | InstallForExtradition
    | InstallForRegistryUpdate
    | InstallForPersonalization
)

_PARSERS: dict[int, Callable[[CommandApdu], _AnyInstall]] = {
    _FOR_LOAD: InstallForLoad.parse,
    _FOR_INSTALL: InstallForInstall.parse,
    _FOR_INSTALL_AND_MAKE_SELECTABLE: InstallForInstall.parse,
    _FOR_MAKE_SELECTABLE: InstallForMakeSelectable.parse,
    _FOR_EXTRADITION: InstallForExtradition.parse,
    _FOR_REGISTRY_UPDATE: InstallForRegistryUpdate.parse,
    _FOR_PERSONALIZATION: InstallForPersonalization.parse,
}


def parse_install(apdu: CommandApdu) -> _AnyInstall:
    """Parse an INSTALL of any form, in one piece.

    Raises:
        ProtocolError: no INSTALL, an unknown form, or malformed.
    """
    if apdu.p1 == _FOR_LOAD_INSTALL_AND_MAKE_SELECTABLE:
        return (InstallForLoad if apdu.p2 == _COMBINED_BEGIN else InstallForInstall).parse(apdu)
    parser = _PARSERS.get(apdu.p1)
    if parser is None:
        raise ProtocolError(f"{_NAME}: P1 {apdu.p1:02X} is no form of it")
    return parser(apdu)


def split_install(command: InstallForm, data_bytes: int) -> tuple[CommandApdu, ...]:
    """Cut an INSTALL into as many commands as its data needs, b8 of P1 set on all but the last.

    Args:
        command: any form.
        data_bytes: data bytes of one command at most, what secure messaging adds already taken off.

    Spec: GP Card Specification 2.3.1, 11.5.2.1.
    """
    whole = command.apdu()
    if data_bytes < 1:
        raise ProtocolError(f"{_NAME}: no room for data")
    starts = range(0, len(whole.data), data_bytes)
    return tuple(
        CommandApdu(
            whole.cla,
            whole.ins,
            whole.p1 | (_MORE if start + data_bytes < len(whole.data) else 0),
            whole.p2,
            whole.data[start : start + data_bytes],
            256,
        )
        for start in starts
    )
