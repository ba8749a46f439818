"""Tokens of delegated management: what they sign, how they are put into a command, and how they are verified.

A token signs P1, P2, the length of the fields before it, and these fields, of the command that it is put into. The
fields can hold a control reference template (B6) that says whose token it is and numbers it; it is signed with them.

Spec: GP Card Specification 2.3.1, 9.2.3, tables 11-48 to 11-52, C.4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self, TypeVar

from opentsm_card import tlv
from opentsm_card.delete import DeleteObject
from opentsm_card.errors import ProtocolError
from opentsm_card.install import (
    InstallForExtradition,
    InstallForInstall,
    InstallForLoad,
    InstallForMakeSelectable,
    InstallForRegistryUpdate,
)
from opentsm_card.signatures import sign, verify

if TYPE_CHECKING:
    from opentsm_card.signatures import SigningKey, VerificationKey

__all__ = ["TokenTemplate", "add_token", "check_token", "token_data", "with_template"]

_TAG_TEMPLATE: Final = 0xB6
_TAG_PROVIDER: Final = 0x42
_TAG_IMAGE: Final = 0x45
_TAG_APPLICATION_PROVIDER: Final = 0x5F20
_TAG_NUMBER: Final = 0x93

_Install = (
    InstallForLoad | InstallForInstall | InstallForMakeSelectable | InstallForExtradition | InstallForRegistryUpdate
)
_Command = TypeVar("_Command", bound=_Install | DeleteObject)


@dataclass(frozen=True, slots=True)
class TokenTemplate:
    """The control reference template (B6) that goes with a token; each part may be empty, and is left out then.

    Args:
        provider: identification number (42) of the security domain that is to verify the token.
        image: its image number (45).
        application_provider: identifier (5F20) that the registry keeps with what is loaded or installed.
        number: the token's identifier (93): a card takes each number once.
    """

    provider: bytes = b""
    image: bytes = b""
    application_provider: bytes = b""
    number: bytes = b""

    def encode(self) -> bytes:
        """Return the template's value, without tag and length."""
        parts = (
            (_TAG_PROVIDER, self.provider),
            (_TAG_IMAGE, self.image),
            (_TAG_APPLICATION_PROVIDER, self.application_provider),
            (_TAG_NUMBER, self.number),
        )
        return b"".join(tlv.encode(tag, value) for tag, value in parts if value)

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Parse a template's value; other data objects are skipped.

        Raises:
            ProtocolError: malformed.
        """
        objects = tlv.parse_all(encoded)
        tags = (_TAG_PROVIDER, _TAG_IMAGE, _TAG_APPLICATION_PROVIDER, _TAG_NUMBER)
        return cls(*(tlv.find(objects, tag) or b"" for tag in tags))


def with_template(command: _Command, template: TokenTemplate) -> _Command:
    """Return a command with a control reference template, and no token.

    Args:
        command: as it is to be; its parameters have no template yet.
        template: goes behind the other parameters, or behind the AID of DELETE.
    """
    value = template.encode()
    if isinstance(command, DeleteObject):
        return replace(command, signature_template=value, token=b"")
    return replace(command, parameters=command.parameters + tlv.encode(_TAG_TEMPLATE, value), token=b"")


def token_data(command: _Command, *, first: InstallForLoad | None = None) -> bytes:
    """Return what a command's token signs.

    Args:
        command: with a token or without.
        first: the command that began a combined load, install and make selectable process, when this one ends it.

    Spec: tables C-4 to C-10.
    """
    apdu = replace(command, token=b"").apdu()
    # An empty token is a length byte in INSTALL and nothing in DELETE.
    fields = apdu.data if isinstance(command, DeleteObject) else apdu.data[:-1]
    if len(fields) > 0xFFFF:
        raise ProtocolError(f"{command.NAME}: {len(fields)} bytes are too many for a token")
    length = bytes((len(fields),)) if len(fields) <= 0xFF else b"\x00" + len(fields).to_bytes(2, "big")
    before = b"" if first is None else token_data(first)
    return before + bytes((apdu.p1, apdu.p2)) + length + fields


def add_token(command: _Command, key: SigningKey, *, first: InstallForLoad | None = None) -> _Command:
    """Return a command with its token.

    Args:
        command: complete but for the token; see `with_template`.
        key: the token key of the security domain that verifies.
        first: see `token_data`.
    """
    return replace(command, token=sign(key, token_data(command, first=first)))


def check_token(command: _Command, key: VerificationKey, *, first: InstallForLoad | None = None) -> None:
    """Verify a command's token, as a card does.

    Raises:
        SecureChannelError: it does not verify, or there is none.
    """
    verify(key, token_data(command, first=first), command.token, f"{command.NAME}: token")
