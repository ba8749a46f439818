"""The card manager: one card behind a link, what is selected on it, and the secure channel.

Holds the link, the last SELECT's answer, the card's identity and the session. A session ends with a SELECT, a reset,
or an error of the channel. Commands with effects whose answer never came raise `UnknownOutcomeError`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.cplc import Cplc
from opentsm_card.errors import CardError, ProtocolError, SecureChannelError, StorageError, TransportError
from opentsm_card.external_authenticate import SecurityLevel
from opentsm_card.get_data import DataTag, GetData
from opentsm_card.initialize_update import InitializeUpdate
from opentsm_card.select import Select
from opentsm_card.status import StatusWord, meaning
from opentsm_tools.card.answers import is_domain, name_of, selected_aid, value_of
from opentsm_tools.card.channels import SCP11, Offer, implicit_session, open_session, strongest_level
from opentsm_tools.card.registry_reading import read_registry
from opentsm_tools.card.safety import CardIdentity, Caution

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_card.apdu import Command
    from opentsm_card.key_information import KeyInformation
    from opentsm_card.keys import KeySet
    from opentsm_card.link import Link
    from opentsm_card.registry import Registry
    from opentsm_tools.card.channels import SecureSession
    from opentsm_tools.card.key_sources import KeySource
    from opentsm_tools.card.scp11_entry import Scp11Entry

__all__ = ["CardManager", "RefusedError", "UnknownOutcomeError"]

ISSUER_AIDS: Final = (Aid.from_text("A000000151000000"), Aid.from_text("A000000003000000"))
"""Where issuer security domains are when the card's default application is another (GP 2.3.1, H.1.3, and VISA's)."""

_EFFECTS: Final = frozenset({0xD8, 0xE2, 0xE4, 0xE6, 0xE8, 0xF0})
_CHAINED: Final = frozenset({0xD8, 0xE4, 0xE6})  # GP 2.3.1, 11.1.5.1
_MORE: Final = 0x80
_UNDERSTOOD: Final = (0x9000, 0x6A88)  # of a GET DATA whose MAC was right: here it is, or there is none
_MAX_DATA_BYTES: Final = 255
_EXPLICIT: Final = 0x04  # of SCP02's i (GP 2.3.1, table E-1)
_MAX_RESPONSE_BYTES: Final = 65536
_SELECTED: Final = (int(StatusWord.DONE), int(StatusWord.WARNING_LOCKED))


class UnknownOutcomeError(TransportError):
    """The link broke while a command with effects was under way: the card may or may not have run it."""


class RefusedError(CardError):
    """The card refused a command: what was asked, the status word and what it means."""

    def __init__(self, sw: int, command: str) -> None:
        super().__init__(sw, command)
        self.args = (f"{command}: the card answered {sw:04X} ({meaning(sw)})",)


class CardManager:
    """Drive one card; not shared between threads.

    Args:
        link: an open link; whoever opened it closes it.
        atr: answer to reset of the card behind it.
        caution: what the user declared about the card.
        note: told what happens, a line at a time.
        issuer: AID of the issuer security domain where it is known; None to ask the card's default.
        parameters: i by secure channel protocol, as known of such cards, for a card that does not say.
        challenge: gives a host challenge of so many bytes; random unless a trace is replayed.
    """

    def __init__(
        self,
        link: Link,
        atr: bytes,
        *,
        caution: Caution | None = None,
        note: Callable[[str], None] = lambda _line: None,
        issuer: Aid | None = None,
        parameters: dict[int, int] | None = None,
        challenge: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.link = link
        self.identity = CardIdentity(atr)
        self.caution = caution or Caution()
        self.selected: Aid | None = None
        self.keys: KeySet | None = None
        self.offer: Offer | None = None
        self.level: SecurityLevel | None = None
        self.aids: set[str] = set()  # that the registry has shown
        self._issuer = issuer
        self._note = note
        self._challenge = challenge
        self._parameters = parameters or {}
        self._session: SecureSession | None = None

    def __repr__(self) -> str:
        """Show what is selected and how."""
        return f"CardManager({self.identity.identifier}, selected={self.selected}, level={self.level})"

    @property
    def authenticated(self) -> bool:
        """True while a secure channel is open."""
        return self._session is not None and self.level is not None

    @property
    def max_data_bytes(self) -> int:
        """How much data one short command takes now."""
        return self._session.max_data_bytes if self._session is not None else _MAX_DATA_BYTES

    # Sending.

    def plain(self, command: Command | CommandApdu) -> ResponseApdu:
        """Send a command outside the secure channel, and collect the whole answer (61xx, 6Cxx).

        Raises:
            TransportError: the link failed; `UnknownOutcomeError` where the command has effects.
            ProtocolError: the link can't carry the command, or the answer is no R-APDU.
        """
        apdu = command if isinstance(command, CommandApdu) else command.apdu()
        if apdu.ins == Select.INS and apdu.channel == 0:
            self._end()
            self.selected = None
        try:
            return self._collect(apdu)
        except KeyboardInterrupt:
            self._end()
            if apdu.ins in _EFFECTS:
                self._note(f"{name_of(apdu)} was under way: whether the card has run it is not known")
            raise
        except TransportError as error:
            self._end()
            if apdu.ins not in _EFFECTS:
                raise
            name = name_of(apdu)
            raise UnknownOutcomeError(
                f"{error}; {name} was under way, and whether the card has run it is not known: look with `opentsm card "
                "list` before doing it again"
            ) from error

    def send(self, command: Command | CommandApdu) -> ResponseApdu:
        """Send a command in the secure channel, or in the clear when none is open.

        An INSTALL, DELETE or PUT KEY too long for one command goes in several (GP 2.3.1, 11.1.5.1): it is secured as a
        whole, and what that makes is cut.

        Raises:
            SecureChannelError: the answer does not verify; the session is gone.
            TransportError, ProtocolError: as `plain`.
        """
        apdu = command if isinstance(command, CommandApdu) else command.apdu()
        if self._session is None or self.level is None:
            return self._in_pieces(apdu)
        response = self._in_pieces(self._session.wrap(apdu))
        try:
            return self._session.unwrap(response)
        except SecureChannelError as error:
            self._end()
            if apdu.ins not in _EFFECTS:
                raise
            raise SecureChannelError(
                f"{name_of(apdu)}: {error}; what the card did is not known: look with `opentsm card list`"
            ) from error

    def encrypt_sensitive(self, data: bytes) -> bytes:
        """Encrypt keys with the session's data encryption key, which SCP02 and SCP11 have.

        Spec: GP Card Specification 2.3.1, E.4.7; Amendment F 1.3, 3.1.2.

        Raises:
            SecureChannelError: no session, or one of another protocol.
        """
        encrypt = getattr(self._session, "encrypt_sensitive", None)
        if encrypt is None or self.level is None:
            raise SecureChannelError("no secure channel that encrypts sensitive data: 3DES keys are put under SCP02")
        encrypted: bytes = encrypt(data)
        return encrypted

    def require(self, command: Command | CommandApdu, what: str = "", ok: tuple[int, ...] = (0x9000,)) -> bytes:
        """Send a command and return its answer's data.

        Args:
            command: the command.
            what: what is being done, for the error; the command's name by default.
            ok: status words that count as done.

        Raises:
            RefusedError: the card refused.
        """
        response = self.send(command)
        return self._data(response, command, what, ok)

    def _in_pieces(self, apdu: CommandApdu) -> ResponseApdu:
        """Send a command, cut into as many as its data needs where GP allows that: b8 of P1 on all but the last."""
        if len(apdu.data) <= _MAX_DATA_BYTES or apdu.ins not in _CHAINED:
            return self.plain(apdu)
        response = ResponseApdu()
        for start in range(0, len(apdu.data), _MAX_DATA_BYTES):
            data = apdu.data[start : start + _MAX_DATA_BYTES]
            last = start + _MAX_DATA_BYTES >= len(apdu.data)
            piece = replace(
                apdu, p1=apdu.p1 | (0 if last else _MORE), data=data, ne=apdu.ne if last else None, extended=False
            )
            response = self.plain(piece)
            if response.sw != StatusWord.DONE:
                break
        return response

    def _data(self, response: ResponseApdu, command: Command | CommandApdu, what: str, ok: tuple[int, ...]) -> bytes:
        if response.sw not in ok:
            apdu = command if isinstance(command, CommandApdu) else command.apdu()
            raise RefusedError(response.sw, what or name_of(apdu))
        return response.data

    def _collect(self, apdu: CommandApdu) -> ResponseApdu:
        """Send a command and follow 6Cxx (give the right Le; the card has not run it) and 61xx (GET RESPONSE).

        Spec: ISO/IEC 7816-4:2013, 5.1.3, 11.7.1.
        """
        response = ResponseApdu.parse(self.link.transmit(apdu.encode()))
        if response.sw >> 8 == 0x6C and apdu.ne is not None:
            response = ResponseApdu.parse(self.link.transmit(replace(apdu, ne=response.sw & 0xFF or 256).encode()))
        data = response.data
        while response.sw >> 8 == 0x61:
            get = CommandApdu(0x00, 0xC0, 0x00, 0x00, ne=response.sw & 0xFF or 256).on_channel(apdu.channel)
            response = ResponseApdu.parse(self.link.transmit(get.encode()))
            data += response.data
            if len(data) > _MAX_RESPONSE_BYTES:
                raise ProtocolError("the card answers GET RESPONSE without end")
        return ResponseApdu(data, response.sw)

    # Selecting.

    def reset(self) -> bytes:
        """Reset the card and return its ATR; what was selected and the session are gone."""
        self._end()
        self.selected = None
        return self.link.reset()

    def forget_session(self) -> None:
        """Forget what was selected and the secure channel: something else than this manager spoke to the card."""
        self._end()
        self.selected = None

    def select(self, aid: bytes = b"") -> ResponseApdu:
        """SELECT an application or security domain; no AID for the issuer security domain.

        Raises:
            RefusedError: the card refused; 6283 (card locked) is no refusal.
        """
        if not aid:
            return self._select_issuer()
        self._end()
        command = Select(aid)
        response = self.plain(command)
        self._data(response, command, f"SELECT {aid.hex().upper()}", _SELECTED)
        self.selected = selected_aid(response.data) or Aid(aid)
        return response

    def _select_issuer(self) -> ResponseApdu:
        """SELECT the issuer security domain: its known AID, or the card's default, or where others have it."""
        self._end()
        tries = (self._issuer,) if self._issuer is not None else (b"", *ISSUER_AIDS)
        response = ResponseApdu()
        for aid in tries:
            response = self.plain(Select(aid))
            if response.sw in _SELECTED and (aid or is_domain(response.data)):
                self.selected = selected_aid(response.data) or (Aid(aid) if aid else None)
                return response
        raise RefusedError(response.sw, "SELECT the issuer security domain; name it with --sd AID")

    # Reading.

    def get_data(self, tag: int) -> bytes | None:
        """Return a data object as the card answers it, or None where the card has none; see GP 2.3.1, 11.3."""
        response = self.send(GetData(tag))
        if response.sw != StatusWord.DONE and not self.authenticated:
            response = self.send(GetData(tag, iso=True))
        return response.data if response.sw == StatusWord.DONE and response.data else None

    def identify(self) -> CardIdentity:
        """Read what tells this card from others (CPLC, IIN, CIN) and return it.

        To be called with the issuer security domain selected.
        """
        cplc = None
        raw = self.get_data(DataTag.CARD_PRODUCTION_LIFE_CYCLE)
        if raw is not None:
            with suppress(ProtocolError):
                cplc = Cplc.parse(raw)
        iin = cin = b""
        if cplc is None or cplc.chip_id is None:
            iin, cin = (value_of(self.get_data(tag)) for tag in (0x42, 0x45))
        self.identity = CardIdentity(self.identity.atr, cplc, iin, cin)
        return self.identity

    def key_information(self) -> tuple[KeyInformation, ...] | None:
        """Return the keys of the selected security domain (GET DATA E0), or None where it does not say.

        Raises:
            ProtocolError: the answer is malformed.
        """
        from opentsm_card.key_information import parse_key_information  # noqa: PLC0415 - not needed to list

        raw = self.get_data(DataTag.KEY_INFORMATION)
        return None if raw is None else parse_key_information(raw)

    def recognized(self) -> dict[int, int]:
        """Return i by secure channel protocol: as card data (66) says, else as is known of such cards."""
        from opentsm_card.card_data import CardData  # noqa: PLC0415 - not needed to relay

        raw = self.get_data(DataTag.CARD_DATA)
        try:
            said = CardData.parse(raw).parameters() if raw is not None else {}
        except ProtocolError:
            said = {}
        return self._parameters | said

    def registry(self) -> Registry:
        """Read the registry as the selected security domain shows it, every list to its end.

        Raises:
            RefusedError: the card does not list.
            ProtocolError: malformed.
        """
        found = read_registry(self)
        self.aids.update(str(entry.aid) for entry in found)
        return found

    # The secure channel.

    def authenticate(self, source: KeySource, level: SecurityLevel | None = None) -> None:
        """Open a secure channel with what is selected.

        It is announced which keys and protocol the card asks for; one failure ends it and is remembered.

        Args:
            source: gives the keys once the card has said what it asks for.
            level: security level; the strongest that the card offers by default.

        Raises:
            SafetyError: not with this card.
            SecureChannelError: the keys are wrong; nothing more was tried.
            RefusedError: the card does not open a channel.
        """
        self._end()
        recognized = self.recognized()
        implicit = recognized.get(2)
        if set(recognized) & {2, 3} == {2} and implicit is not None and not implicit & _EXPLICIT:
            self._begin_implicitly(source, level, implicit)
            return
        challenge = self._challenge(16 if recognized.get(3, 0) & 0x01 else 8)
        command = InitializeUpdate(source.version, challenge)
        offer = Offer.parse(self._data(self.plain(command), command, "", (0x9000,)), recognized)
        self.identity = replace(self.identity, diversification_data=offer.diversification_data)
        level = strongest_level(offer) if level is None else level
        self.caution.before_authentication(self.identity, offer, source)
        self._note(
            f"card {self.identity.identifier} asks for key version {offer.key_version:#04x}, {offer.name}; "
            f"trying {source.origin} at level {int(level):02X}"
        )
        keys = source.key_set(offer)
        try:
            session = open_session(offer, keys, challenge)
        except SecureChannelError as error:
            raise self._failed(offer, str(error)) from error
        # A level that the card does not offer is refused before anything is sent: no failure of its keys.
        answer = self.plain(session.external_authenticate(level))
        if answer.sw != StatusWord.DONE:
            raise self._failed(offer, f"EXTERNAL AUTHENTICATE answered {answer.sw:04X} ({meaning(answer.sw)})")
        self.caution.succeeded(self.identity)
        self._session, self.level, self.keys, self.offer = session, level, keys, offer

    def agree(self, entry: Scp11Entry, level: SecurityLevel | None = None) -> None:
        """Open a secure channel with what is selected, by agreement on keys (SCP11).

        Args:
            entry: keys and certificates.
            level: security level, 11 or 33; 33 by default.

        Raises:
            SafetyError: not with this card.
            SecureChannelError: it failed, on either side; where the card counts that, it is remembered.
            ProtocolError: SCP11 has no such level, or the card answers something malformed.
        """
        from opentsm_tools.card.agreement import AgreementError, agree, domain_key, usage_of  # noqa: PLC0415 - one protocol is loaded

        self._end()
        usage = usage_of(level)
        i = self.recognized().get(SCP11)
        offer = Offer(b"", entry.version, SCP11, i, variant=entry.variant.name.lower())
        version = f"key version {entry.version:#04x}" if entry.version else "the card's own choice of key version"
        self.caution.before_authentication(self.identity, offer, entry)
        self._note(
            f"card {self.identity.identifier}: trying {entry.origin}, {version}, {offer.name} at level "
            f"{int(usage.level):02X}"
        )
        key = domain_key(entry, self.plain)
        try:
            session = agree(entry, key, self.plain, usage, offer.i)
        except AgreementError as error:
            raise self._failed(offer, str(error)) from error
        self.caution.succeeded(self.identity)
        self._session, self.level, self.offer = session, usage.level, offer

    def _begin_implicitly(self, source: KeySource, level: SecurityLevel | None, i: int) -> None:
        """Open an SCP02 session that its first command with a right C-MAC begins: here a GET DATA, without effects.

        The card proves nothing, and has no say in which keys are used: its default ones.

        Raises:
            SafetyError, SecureChannelError, RefusedError: as `authenticate`.

        Spec: GP Card Specification 2.3.1, E.3.
        """
        if level is not None and level is not SecurityLevel.C_MAC:
            raise ProtocolError(f"--security {int(level):02X}: SCP02 i={i:02X} begins implicitly, at level 01 alone")
        if self.selected is None:
            raise SecureChannelError(
                f"the card's SCP02 i={i:02X} needs the AID that is selected: name it with --sd AID"
            )
        offer = Offer(b"", source.version, 2, i)
        self.caution.before_authentication(self.identity, offer, source)
        self._note(
            f"card {self.identity.identifier} begins sessions implicitly with its default keys, {offer.name}; trying "
            f"{source.origin} at level 01, which proves the host to the card alone"
        )
        counter = GetData(DataTag.SEQUENCE_COUNTER)
        value = value_of(self._data(self.plain(counter), counter, "GET DATA (sequence counter)", (0x9000,)))
        keys = source.key_set(offer)
        session = implicit_session(offer, keys, value, self.selected)
        answer = self.plain(session.wrap(GetData(DataTag.KEY_INFORMATION).apdu()))
        if answer.sw not in _UNDERSTOOD:
            raise self._failed(offer, f"a command with C-MAC was answered {answer.sw:04X} ({meaning(answer.sw)})")
        self.caution.succeeded(self.identity)
        self._session, self.level, self.keys, self.offer = session, SecurityLevel.C_MAC, keys, offer

    def _failed(self, offer: Offer, reason: str) -> SecureChannelError:
        try:
            advice = self.caution.failed(self.identity, offer, reason)
        except StorageError as error:
            advice = f"{error}. Don't try this card again before you know why: it may block itself after a few failures"
        return SecureChannelError(f"authentication failed: {reason}; {advice}")

    def _end(self) -> None:
        self._session = self.level = self.keys = self.offer = None
