"""A virtual modem: AT commands in, lines out, and a card behind it; no port and no clock.

It keeps to TS 27.007 but for the quirks it is given, and knows what a host that is after the card asks: identity,
+CSIM, +CCHO, +CGLA, +CCHC, +CFUN, +CPIN. A session's handle has nothing to do with its channel's number.

Spec: 3GPP TS 27.007, 8.2 (+CFUN), 8.3 (+CPIN), 8.17 (+CSIM), 8.43 to 8.45 (+CCHO, +CCHC, +CGLA), 9.2 (errors); ITU-T
V.250, 5.2.1 (command lines), 6.2.4 (echo).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from opentsm_card.apdu import cla_on_channel
from opentsm_card.atr import Atr
from opentsm_card.errors import CardRemovedError, LinkTimeoutError, ProtocolError
from opentsm_card.modem import QUIRKS, ModemEntry, known_modems
from opentsm_simulator.modem_faults import ModemFaults
from opentsm_simulator.t0 import T0Card

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_card.link import Link

__all__ = ["STANDARD", "VirtualModem", "find_modem"]

STANDARD: Final = ModemEntry("opentsm virtual modem", "virtual modem", "3GPP TS 27.007", ())
"""A modem without quirks."""

_MAX_COMMAND: Final = 2048
_FIRST_HANDLE: Final = 57
_LONG_HANDLE: Final = 0x0385A7CF
_BASIC: Final = re.compile(r"(?:[EVQ][01]?|Z0?|&F0?)+$")
_CSIM: Final = re.compile(r'(\d{1,4}),"?([0-9A-Fa-f]*)"?$')
_CGLA: Final = re.compile(r'"?([0-9A-Fa-f]{1,16})"?,(\d{1,4}),"?([0-9A-Fa-f]*)"?$')
_CCHO: Final = re.compile(r'"?((?:[0-9A-Fa-f]{2}){5,16})"?$')
_NOISE: Final = ("+CREG: 1", "RING", '+CIEV: "signal",3')
# +CME ERROR numbers (TS 27.007, 9.2.1).
_NO_SIM: Final = 10
_SIM_FAILURE: Final = 13
_MEMORY_FULL: Final = 20
_NOT_FOUND: Final = 22
_WRONG_PARAMETERS: Final = 50
_UNKNOWN: Final = 100
_OF_CARD: Final = ("+CSIM=", "+CCHO=", "+CGLA=", "+CCHC=")
_TESTED: Final = ("+CSIM=?", "+CCHO=?", "+CGLA=?", "+CCHC=?")


class _RefusalError(Exception):
    """A command is answered by an error; `number` is that of +CME ERROR, None for a command that is not known."""

    def __init__(self, number: int | None = None) -> None:
        super().__init__()
        self.number = number


def find_modem(text: str) -> ModemEntry:
    """Return the modem that a text names: one of the table by model or name, or quirks separated by commas.

    Raises:
        ProtocolError: it is neither.
    """
    for entry in known_modems():
        if text.lower() in {entry.model.lower(), entry.name.lower()}:
            return entry
    quirks = tuple(text.split(","))
    if unknown := [quirk for quirk in quirks if quirk not in QUIRKS]:
        models = ", ".join(entry.model for entry in known_modems())
        raise ProtocolError(f"no modem and no quirk {unknown[0]!r}; modems: {models}; quirks: {', '.join(QUIRKS)}")
    return ModemEntry(STANDARD.name, STANDARD.model, STANDARD.source, quirks)


class VirtualModem:
    """A modem with a card in it.

    Args:
        link: to the card.
        atr: the card's; one that offers T=0 alone is spoken to in TPDUs, as by a modem.
        entry: the modem to be.
        faults: of its lines.
    """

    def __init__(self, link: Link, atr: bytes, entry: ModemEntry = STANDARD, faults: ModemFaults | None = None) -> None:
        self._link = link
        self._t0 = T0Card(link.transmit) if Atr.parse(atr).protocols == (0,) else None
        self._card: Callable[[bytes], bytes] = link.transmit if self._t0 is None else self._t0.transmit
        self._entry = entry
        self._quirks = frozenset(entry.quirks)
        self._faults = faults or ModemFaults()
        self._typed = bytearray()
        self._echo = True
        self._numbers = False
        self._on = True
        # Why the card can't be reached, as +CME ERROR says it.
        self._lost: int | None = None
        self._handles: dict[str, int] = {}
        self._given = 0
        self._noise = 0

    def feed(self, data: bytes) -> list[tuple[float, bytes]]:
        """Take what a host sends; return what is sent back, each behind a pause in seconds (infinity: never)."""
        out: list[tuple[float, bytes]] = []
        for byte in data:
            if self._echo or "echo-stays" in self._quirks:
                out.append((0, bytes((byte,))))
            if byte != 0x0D:
                if byte != 0x0A and len(self._typed) <= _MAX_COMMAND:
                    self._typed.append(byte)
                continue
            command = self._typed.decode("latin-1").strip()
            self._typed.clear()
            out.extend(self._answer(command))
        return _joined(out)

    def _answer(self, command: str) -> list[tuple[float, bytes]]:
        if command[:2].upper() != "AT":
            # Not for a modem (V.250, 5.2.1): no answer.
            return []
        try:
            if len(command) > _MAX_COMMAND:
                raise _RefusalError(_WRONG_PARAMETERS)  # noqa: TRY301 - as every other refusal
            lines = [*self._run(command[2:]), "OK"]
        except _RefusalError as refusal:
            lines = [self._refusal(refusal.number)]
        except (CardRemovedError, LinkTimeoutError) as error:
            lines = [self._refusal(_NO_SIM if isinstance(error, CardRemovedError) else _SIM_FAILURE)]
        out: list[tuple[float, bytes]] = []
        end = "\r" if "bare-cr" in self._quirks else "\r\n"
        of_card = command[2:].upper().startswith(_OF_CARD)
        for line in lines:
            for kind in self._faults.next_line():
                self._happen(kind)
            lost = of_card and self._lost is not None
            if lost:
                line = self._refusal(self._lost)  # noqa: PLW2901 - it comes in place of what was to come
            noise: list[str] = []
            if "chatty" in self._quirks:
                self._noise += 1
                noise = [_NOISE[self._noise % len(_NOISE)]]
            delay_s, arriving = self._faults.apply(line)
            out.extend((0, f"{end}{text}{end}".encode("latin-1")) for text in noise)
            out.append((delay_s, "".join(f"{end}{text}{end}" for text in arriving).encode("latin-1")))
            if lost:
                break
        return out

    def _happen(self, kind: str) -> None:
        """Do to the card what a fault says."""
        if kind == "reset":
            self._reset_card()
        else:
            self._lost = _NO_SIM if kind == "remove" else _SIM_FAILURE

    def _reset_card(self) -> None:
        self._link.reset()
        if self._t0 is not None:
            self._t0.reset()

    def _refusal(self, number: int | None) -> str:
        if "word-errors" in self._quirks:
            return "COMMAND NOT SUPPORT"
        return "ERROR" if number is None or not self._numbers else f"+CME ERROR: {number}"

    def _run(self, command: str) -> list[str]:
        name, equals, value = command.partition("=")
        name = name.upper().strip()
        if not name.startswith("+"):
            return self._basic(name if not equals else "?")
        if f"{name}={value}" in _TESTED:
            return self._test(name)
        if not equals:
            return self._ask(name)
        if name == "+CMEE" and value in {"0", "1"}:
            self._numbers = value == "1"
            return []
        if name == "+CFUN" and value in {"0", "1", "4"}:
            return self._switch(value == "1")
        sessions = {} if "no-ccho" in self._quirks else {"+CCHO": self._ccho, "+CCHC": self._cchc, "+CGLA": self._cgla}
        command_of_card = {"+CSIM": self._csim, **sessions}.get(name)
        if command_of_card is None:
            raise _RefusalError
        return command_of_card(value)

    def _basic(self, command: str) -> list[str]:
        if command == "I":
            return [self._entry.name, self._entry.model]
        if command and _BASIC.match(command) is None:
            raise _RefusalError
        for setting in re.findall(r"[EVQZ&]F?[01]?", command):
            if setting[0] == "E":
                self._echo = setting[1:] == "1"
            elif setting[0] in "Z&":
                self._numbers = False
        return []

    def _test(self, name: str) -> list[str]:
        lacking = "no-test" in self._quirks or ("no-ccho" in self._quirks and name != "+CSIM")
        if lacking:
            raise _RefusalError
        return []

    def _ask(self, name: str) -> list[str]:
        match name:
            case "+CGMI":
                return [self._entry.name.partition(" ")[0]]
            case "+CGMM":
                return [self._entry.model]
            case "+CFUN?":
                return [f"+CFUN: {int(self._on)}"]
            case "+CPIN?":
                self._check_on()
                return ["+CPIN: READY"]
            case "+CMEE?":
                return [f"+CMEE: {int(self._numbers)}"]
        raise _RefusalError

    def _check_on(self) -> None:
        if not self._on:
            raise _RefusalError(_NO_SIM)
        if self._lost is not None:
            raise _RefusalError(self._lost)

    def _switch(self, on: bool) -> list[str]:  # noqa: FBT001 - what the command says
        self._on = on
        self._handles.clear()
        if on and self._lost != _NO_SIM:
            self._lost = None
            self._reset_card()
        return []

    # The card.

    def _csim(self, value: str) -> list[str]:
        self._check_on()
        match = _CSIM.match(value)
        if match is None:
            raise _RefusalError(_WRONG_PARAMETERS)
        tpdu = _tpdu(match[1], match[2])
        if tpdu[:2] == b"\x00\x70" and "csim-no-open" in self._quirks:
            raise _RefusalError(_UNKNOWN)
        if tpdu[0] & 0x03 and "csim-basic-only" in self._quirks:
            raise _RefusalError(_UNKNOWN)
        return [self._formatted("+CSIM:", self._card(tpdu))]

    def _ccho(self, value: str) -> list[str]:
        self._check_on()
        match = _CCHO.match(value)
        if match is None:
            raise _RefusalError(_WRONG_PARAMETERS)
        if "ccho-fails" in self._quirks:
            raise _RefusalError(_UNKNOWN)
        aid = bytes.fromhex(match[1])
        opened = self._card(bytes.fromhex("0070000001"))
        if opened[-2:] != b"\x90\x00" or len(opened) != 3:
            raise _RefusalError(_MEMORY_FULL)
        channel = opened[0]
        selected = self._card(bytes((cla_on_channel(0x00, channel), 0xA4, 0x04, 0x00, len(aid))) + aid)
        if selected[-2] not in {0x90, 0x61, 0x62, 0x63}:
            self._card(bytes((0x00, 0x70, 0x80, channel, 0x00)))
            raise _RefusalError(_NOT_FOUND)
        self._given += 1
        number = _LONG_HANDLE if "long-handle" in self._quirks else _FIRST_HANDLE
        handle = f"{number + self._given:016x}" if "long-handle" in self._quirks else str(number + self._given)
        self._handles[handle] = channel
        return [handle if "bare-session" in self._quirks else f"+CCHO: {handle}"]

    def _cchc(self, value: str) -> list[str]:
        self._check_on()
        channel = self._handles.pop(value.strip('"'), None)
        if channel is None:
            raise _RefusalError(_WRONG_PARAMETERS)
        self._card(bytes((0x00, 0x70, 0x80, channel, 0x00)))
        return []

    def _cgla(self, value: str) -> list[str]:
        """Pass a command on the session's channel, whose number goes into CLA whatever was there (8.45)."""
        self._check_on()
        match = _CGLA.match(value)
        channel = self._handles.get(match[1]) if match else None
        if match is None or channel is None:
            raise _RefusalError(_WRONG_PARAMETERS)
        tpdu = _tpdu(match[2], match[3])
        return [self._formatted("+CGLA:", self._card(bytes((cla_on_channel(tpdu[0], channel),)) + tpdu[1:]))]

    def _formatted(self, prefix: str, response: bytes) -> str:
        digits = response.hex().upper()
        quoted = digits if "no-quotes" in self._quirks else f'"{digits}"'
        return f"{prefix}{'' if 'no-space' in self._quirks else ' '}{len(digits)},{quoted}"


def _tpdu(length: str, digits: str) -> bytes:
    if int(length) != len(digits) or len(digits) % 2 or len(digits) < 8:
        raise _RefusalError(_WRONG_PARAMETERS)
    return bytes.fromhex(digits)


def _joined(parts: list[tuple[float, bytes]]) -> list[tuple[float, bytes]]:
    """Put together what is sent without a pause."""
    joined: list[tuple[float, bytes]] = []
    for delay_s, data in parts:
        if joined and not delay_s:
            joined[-1] = joined[-1][0], joined[-1][1] + data
        else:
            joined.append((delay_s, data))
    return joined
