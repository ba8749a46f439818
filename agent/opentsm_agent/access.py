"""What a card's issuer lets the device's applications do with it: rules read from the card, kept until they change.

Rules are read from the ARA-M; from the files (ARF) where there is none. A card with neither gives nobody anything.

Spec: GPD_SPE_013 1.1 clauses 4.2 (reading), 7.1 (files, where there is no ARA-M).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_card import access_rules, arf, tlv
from opentsm_card.access_rules import AccessRules
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_card.access_rules import AccessRule

__all__ = ["RuleReader"]

_OK: Final = b"\x90\x00"
_MOST_BYTES: Final = 64 * 1024
_READ_BYTES: Final = 253
_MAX_OFFSET: Final = 0x7FFF


class RuleReader:
    """Reads a card's access rules, again only when its refresh tag has changed."""

    def __init__(self) -> None:
        self._refresh: bytes | None = None
        self._rules = AccessRules(())

    def read(self, exchange: Callable[[bytes], bytes]) -> AccessRules:
        """Return the rules.

        Args:
            exchange: gives a C-APDU, its class as on the basic channel, to a channel of the reader's own.

        Raises:
            TransportError: the link failed.
            ProtocolError: what the card has are no rules; then nobody may do anything.
        """
        try:
            self._rules = self._from_application(exchange)
        except ProtocolError:
            self._refresh, self._rules = None, AccessRules(())
            raise
        return self._rules

    def _from_application(self, exchange: Callable[[bytes], bytes]) -> AccessRules:
        name = access_rules.ARA_M
        if _data(exchange(bytes((0x00, 0xA4, 0x04, 0x00, len(name))) + name + b"\0")) is None:
            return self._from_files(exchange)
        tag = _data(exchange(access_rules.GET_REFRESH_TAG))
        refresh = access_rules.parse_refresh_tag(tag) if tag is not None else None
        if refresh is not None and refresh == self._refresh:
            return self._rules
        data = _data(exchange(access_rules.GET_ALL)) or b""
        # GET DATA [All] brings the beginning where it is too long for one answer; [Next] what follows (4.1.1).
        while len(data) < (wanted := _length(data)):
            more = _data(exchange(access_rules.GET_NEXT))
            if not more or wanted > _MOST_BYTES:
                raise ProtocolError(f"access rules: {len(data)} bytes of {wanted}")
            data += more
        self._refresh = refresh
        return AccessRules(access_rules.parse_all(data) if data else ())

    def _from_files(self, exchange: Callable[[bytes], bytes]) -> AccessRules:
        self._refresh = None
        if _data(exchange(bytes((0x00, 0xA4, 0x04, 0x00, len(arf.PKCS15))) + arf.PKCS15 + b"\0")) is None:
            return AccessRules(())
        files = _Files(exchange)
        _, main = arf.parse_acmain(files.read(arf.parse_dodf(files.read(arf.parse_odf(files.read(arf.EF_ODF))))))
        found: list[AccessRule] = []
        conditions: dict[bytes, bytes] = {}
        for aid, path in arf.parse_rules(files.read(main)):
            if path not in conditions:
                conditions[path] = files.read(path)
            found.extend(arf.parse_conditions(conditions[path], aid))
        return AccessRules(found)


class _Files:
    """Transparent files below the application that is selected."""

    def __init__(self, exchange: Callable[[bytes], bytes]) -> None:
        self._exchange = exchange

    def read(self, path: bytes) -> bytes:
        """Read a whole file; each file of the path is selected in turn."""
        for at in range(0, len(path), 2):
            if _data(self._exchange(bytes.fromhex("00A4000402") + path[at : at + 2] + b"\0")) is None:
                raise ProtocolError(f"access rules: no file {path.hex().upper()}")
        content = b""
        while len(content) <= _MAX_OFFSET:
            part = _data(self._exchange(b"\x00\xb0" + len(content).to_bytes(2, "big") + bytes((_READ_BYTES,))))
            content += part or b""
            if part is None or len(part) < _READ_BYTES:
                break
        return content


def _data(answer: bytes) -> bytes | None:
    """Return the data of an answer; None where the card refused.

    A warning (62xx) comes with what there is: of a file that ends before what was asked for.
    """
    if answer[-2:] == _OK or answer[-2:-1] == b"\x62":
        return answer[:-2]
    return None


def _length(data: bytes) -> int:
    """Return how long a data object of which at least the header is there will be; its own length without one."""
    if len(data) < 3:
        return len(data)
    try:
        tags = tlv.encode_tag(access_rules.TAG_ALL)
        first = data[len(tags)]
        more = first & 0x7F if first > 0x80 else 0
        value = int.from_bytes(data[len(tags) + 1 : len(tags) + 1 + more], "big") if more else first
    except IndexError:
        return len(data)
    return len(tags) + 1 + more + value
