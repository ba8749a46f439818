"""The handshake of GP SERAM 2.0.0, as the Local Agent holds it: what the device has, and what the two will speak.

It stands apart from the other messages because an agent that has been woken needs it first and at once.

Spec: GP SERAM 2.0.0, schemas ramHandshakeCommand and ramHandshakeResponse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SecureElement", "encode_handshake", "parse_handshake_response"]


class SecureElement(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A secure element: its type, its identifier, and a comma separated list of features."""

    se_type: Literal["eSE", "iSE", "uicc", "euicc", "ieuicc", "undefined"]
    se_id: str
    se_extra_info: str | None = None


class _Version(msgspec.Struct, frozen=True):
    version: int


class _HandshakeResponse(msgspec.Struct, frozen=True, rename="camel"):
    # The schema requires chosenDataProtocol and defines chosenDataFormat: either will do.
    chosen_transport_protocol: Literal["HTTPS"]
    chosen_version: Literal["2.0.0"]
    chosen_data_format: Literal["application/json"] | None = None
    chosen_data_protocol: Literal["application/json"] | None = None
    opentsm: _Version | None = None


def encode_handshake(secure_elements: Sequence[SecureElement]) -> bytes:
    """Encode a ramHandshakeCommand that offers our members.

    Args:
        secure_elements: the device's, in order of preference.
    """
    return msgspec.json.encode(
        {
            "secureElements": secure_elements,
            "supportedTransportProtocols": ["HTTPS"],
            "supportedDataFormats": ["application/json"],
            "supportedVersions": ["2.0.0"],
            "opentsm": {"version": 1},
        }
    )


def parse_handshake_response(document: bytes) -> bool:
    """Parse a ramHandshakeResponse; True when the peer knows our members too.

    Raises:
        ProtocolError: it is none, or chooses what was not offered.
    """
    try:
        response = msgspec.json.decode(document, type=_HandshakeResponse)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"handshake response: {error}") from error
    if response.chosen_data_format is None and response.chosen_data_protocol is None:
        raise ProtocolError("handshake response: neither chosenDataFormat nor chosenDataProtocol")
    if response.opentsm is not None and response.opentsm.version != 1:
        raise ProtocolError(f"handshake response: opentsm version {response.opentsm.version} was not offered")
    return response.opentsm is not None
