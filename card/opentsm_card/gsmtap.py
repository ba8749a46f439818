"""APDU traces as pcapng that Wireshark opens: GSMTAP-SIM over UDP and IPv4, as SIM tracers send it.

Spec: draft-ietf-opsawg-pcapng (section header, interface description, enhanced packet blocks); GSMTAP version 2 as
libosmocore's `gsmtap.h` defines it (type 4: SIM; sub-types 0: APDU, 1: ATR); LINKTYPE_RAW is 101.
"""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["apdu_packet", "atr_packet", "beginning"]

_SECTION: Final = 0x0A0D0D0A
_INTERFACE: Final = 1
_ENHANCED_PACKET: Final = 6
_BYTE_ORDER: Final = 0x1A2B3C4D
_LINKTYPE_RAW: Final = 101
_LENGTH_UNKNOWN: Final = -1
_OPT_COMMENT: Final = 1
_OPT_USERAPPL: Final = 4
_OPT_NAME: Final = 2

_GSMTAP_PORT: Final = 4729
_GSMTAP_SIM: Final = 4
_SIM_APDU: Final = 0
_SIM_ATR: Final = 1
_CASE_2_BYTES: Final = 5
_MOST_SHORT_BYTES: Final = 256
_SW_BYTES: Final = 2
_IP_HEADER_BYTES: Final = 20
_UDP_HEADER_BYTES: Final = 8
_UDP: Final = 17
_LOOPBACK: Final = bytes((127, 0, 0, 1))
_MOST_BYTES: Final = 0xFFFF - _IP_HEADER_BYTES - _UDP_HEADER_BYTES - 16


def beginning(name: str) -> bytes:
    """Return what a pcapng file begins with.

    Args:
        name: of the one interface, such as a link's URI.
    """
    section = struct.pack("<IHHq", _BYTE_ORDER, 1, 0, _LENGTH_UNKNOWN) + _options((_OPT_USERAPPL, "opentsm"))
    interface = struct.pack("<HHI", _LINKTYPE_RAW, 0, 0) + _options((_OPT_NAME, name))
    return _block(_SECTION, section) + _block(_INTERFACE, interface)


def apdu_packet(at_us: int, command: bytes, answer: bytes, comment: str = "") -> bytes:
    """Return a packet with a C-APDU and its R-APDU, one behind the other, as GSMTAP-SIM has them.

    A C-APDU that asks for all there is (Le 00) stands there as T=0 carries it at last, with the length that came:
    readers of the format take that for the length of the data (ISO/IEC 7816-3:2006 clause 12.2.3).

    Args:
        at_us: when, in microseconds since 1970 (UTC).
        command: the C-APDU.
        answer: the R-APDU; empty where none came.
        comment: shown beside the packet.
    """
    data_bytes = len(answer) - _SW_BYTES
    if len(command) == _CASE_2_BYTES and not command[-1] and 0 < data_bytes < _MOST_SHORT_BYTES:
        command = command[:-1] + bytes((data_bytes,))
    return _packet(at_us, _SIM_APDU, command + answer, comment)


def atr_packet(at_us: int, atr: bytes, comment: str = "") -> bytes:
    """Return a packet with an ATR; arguments as `apdu_packet` has them."""
    return _packet(at_us, _SIM_ATR, atr, comment)


def _packet(at_us: int, sub_type: int, payload: bytes, comment: str) -> bytes:
    if len(payload) > _MOST_BYTES:
        comment = f"{comment}; cut, it had {len(payload)} bytes".removeprefix("; ")
        payload = payload[:_MOST_BYTES]
    # version, header length in words, type, timeslot, ARFCN, signal, noise, frame number, sub-type, antenna, sub-slot
    tap = struct.pack(">BBBBHbbIBBBB", 2, 4, _GSMTAP_SIM, 0, 0, 0, 0, 0, sub_type, 0, 0, 0)
    udp = struct.pack(">HHHH", _GSMTAP_PORT, _GSMTAP_PORT, _UDP_HEADER_BYTES + len(tap) + len(payload), 0)
    datagram = _ip_header(len(udp) + len(tap) + len(payload)) + udp + tap + payload
    body = struct.pack("<IIIII", 0, at_us >> 32, at_us & 0xFFFFFFFF, len(datagram), len(datagram))
    return _block(_ENHANCED_PACKET, body + _padded(datagram) + (_options((_OPT_COMMENT, comment)) if comment else b""))


def _ip_header(length: int) -> bytes:
    fields = struct.pack(">BBHHHBBH4s4s", 0x45, 0, _IP_HEADER_BYTES + length, 0, 0, 64, _UDP, 0, _LOOPBACK, _LOOPBACK)
    total = sum(struct.unpack(">10H", fields))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return fields[:10] + struct.pack(">H", ~total & 0xFFFF) + fields[12:]


def _options(*options: tuple[int, str]) -> bytes:
    encoded = ((code, text.encode()[:0xFFFF]) for code, text in options)
    return b"".join(struct.pack("<HH", code, len(text)) + _padded(text) for code, text in encoded) + bytes(4)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length
