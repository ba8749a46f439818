"""Read an SE itself, with the keys of its issuer security domain and as a payment reader.

Neither the central TSM nor an agent takes part: the check has its own connection to the SE's contactless interface.
The registry comes in one secure channel at level 33, every list to its end, so each entry and each absence is under
response MAC.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from opentsm_agent.links import open_link
from opentsm_card import tlv
from opentsm_card.apdu import ResponseApdu
from opentsm_card.errors import CardError, ProtocolError
from opentsm_card.get_data import DataTag, GetData
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.lifecycle import CardState
from opentsm_card.registry import Registry
from opentsm_card.scp03 import Scp03Session, SecurityLevel
from opentsm_card.select import Select
from opentsm_card.status import StatusWord
from opentsm_tools.demo.cast import ISSUER_SD
from opentsm_tools.demo.reader import PaymentReader

if TYPE_CHECKING:
    from opentsm_card.apdu import CommandApdu
    from opentsm_card.keys import KeySet
    from opentsm_card.link import Link

__all__ = ["Inspector", "Snapshot"]

_CHALLENGE_BYTES: Final = 8
_MORE: Final = int(StatusWord.MORE_DATA_AVAILABLE)


@dataclass(frozen=True)
class Snapshot:
    """What was read from one SE.

    Args:
        terminated: the card is TERMINATED: it answers GET DATA only, and nothing else can be read.
        registry: every entry, as the issuer security domain sees them.
        keys: the key versions of each security domain.
        directory: the AIDs that the PPSE lists, in its order; None when there is no PPSE to select.
        reader: for each instance that a payment reader can use, the (PAN, expiry) pairs it read.
    """

    terminated: bool
    registry: Registry
    keys: dict[bytes, frozenset[int]] = field(default_factory=dict)
    directory: tuple[bytes, ...] | None = None
    reader: dict[bytes, frozenset[tuple[str, str]]] = field(default_factory=dict)

    @property
    def card_state(self) -> CardState | None:
        """The card's life cycle, None when it was not shown."""
        if self.terminated:
            return CardState.TERMINATED
        return None if self.registry.isd is None else CardState(self.registry.isd.state)


class Inspector:
    """The check's own way to one SE; `reader_apdus` is what the payment reader sent in the last reading.

    Args:
        link: URI of its contactless interface.
        keys: of its issuer security domain.
    """

    def __init__(self, link: str, keys: KeySet) -> None:
        self._uri = link
        self._keys = keys
        self.reader_apdus = 0

    def __repr__(self) -> str:
        """Show no key."""
        return f"Inspector({self._uri})"

    def read(self, domains: tuple[bytes, ...] = (), instances: tuple[bytes, ...] = ()) -> Snapshot:
        """Read the SE completely.

        Args:
            domains: security domains whose key versions to read.
            instances: payment instances that a reader is to try, listed in the PPSE or not.

        Raises:
            CardError, SecureChannelError, TransportError: it can't be read.
        """
        with open_link(self._uri) as link:
            if self._is_terminated(link):
                return Snapshot(terminated=True, registry=Registry(None, (), (), complete=False))
            registry = self._registry(link)
            keys = {domain: found for domain in domains if (found := _key_versions(link, domain))}
            reader = PaymentReader(link)
            listed = reader.directory()
            seen: dict[bytes, frozenset[tuple[str, str]]] = {}
            for aid in {*instances, *(entry.aid for entry in listed or ())}:
                records = reader.pay(aid)
                if records is not None and aid in {entry.aid for entry in listed or ()}:
                    seen[aid] = frozenset((record.pan, record.expiry) for record in records)
                elif records is not None:
                    raise ProtocolError(f"{aid.hex().upper()} can be used by a reader but is not in the PPSE")
            self.reader_apdus = reader.apdus
            directory = None if listed is None else tuple(entry.aid for entry in listed)
            return Snapshot(False, registry, keys, directory, seen)

    def _is_terminated(self, link: Link) -> bool:
        """Tell whether the card answers GET DATA and nothing else (GP 2.3.1, 5.1.1.5)."""
        selected = _send(link, Select(ISSUER_SD).apdu())
        if selected.sw in {StatusWord.DONE, StatusWord.WARNING_LOCKED}:
            return False
        challenge = secrets.token_bytes(_CHALLENGE_BYTES)
        session = _send(link, Scp03Session.initialize_update(self._keys.version, challenge))
        data = _send(link, GetData(DataTag.CARD_PRODUCTION_LIFE_CYCLE).apdu())
        return session.sw != StatusWord.DONE and data.sw == StatusWord.DONE

    def _registry(self, link: Link) -> Registry:
        selected = _send(link, Select(ISSUER_SD).apdu())
        selected.require("SELECT issuer security domain", (StatusWord.DONE, StatusWord.WARNING_LOCKED))
        challenge = secrets.token_bytes(_CHALLENGE_BYTES)
        begin = Scp03Session.initialize_update(self._keys.version, challenge)
        session = Scp03Session.open(self._keys, challenge, _send(link, begin).require("INITIALIZE UPDATE"))
        _send(link, session.external_authenticate(SecurityLevel.ALL)).require("EXTERNAL AUTHENTICATE")

        def listed(scope: Scope) -> list[ResponseApdu]:
            command = GetStatus.everything(scope)
            answers = []
            while True:
                answers.append(session.unwrap(_send(link, session.wrap(command.apdu()))))
                if answers[-1].sw != _MORE:
                    return answers
                command = command.following()

        return Registry.parse(
            listed(Scope.APPLICATIONS),
            listed(Scope.LOAD_FILES_AND_MODULES),
            listed(Scope.ISSUER_SECURITY_DOMAIN),
        )


def _send(link: Link, command: CommandApdu) -> ResponseApdu:
    return ResponseApdu.parse(link.transmit(command.encode()))


def _key_versions(link: Link, domain: bytes) -> frozenset[int]:
    """Return the key versions that a security domain shows (GET DATA E0), or none when it can't be selected."""
    if _send(link, Select(domain).apdu()).sw != StatusWord.DONE:
        return frozenset()
    try:
        template = tlv.parse_one(_send(link, GetData(DataTag.KEY_INFORMATION).apdu()).require("GET DATA E0"))
    except CardError:
        return frozenset()
    return frozenset(key[1] for key in tlv.find_all(template.children(), 0xC0))
