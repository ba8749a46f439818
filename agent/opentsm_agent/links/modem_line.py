"""Commands to a modem and their answers, over a port, in time; and getting in step with it.

AT commands carry no number, so nothing but order tells whose an answer is. A command is sent when the one before is
answered and nothing else has arrived; a modem that was interrupted, or that still works on what another program asked,
is first brought in step: an `AT`, silence, and then two questions whose answers no other command has.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, Protocol

from opentsm_card.errors import CardRemovedError, LinkTimeoutError, ProtocolError, TransportError
from opentsm_card.modem import AtDialogue, LineReader, is_answer, plain_answer

if TYPE_CHECKING:
    from opentsm_agent.links.modem_port import ModemPort
    from opentsm_card.modem import AtResult

__all__ = ["AtLine", "ModemLine", "RefusedError"]

_ATTEMPTS: Final = 3
_ANSWER_S: Final = 2.0
_SILENCE_S: Final = 0.1
_LONGEST_NOISE_S: Final = 2.0
# +CME ERROR numbers (TS 27.007, 9.2.1): SIM not inserted, SIM failure is the card's, SIM busy.
_NO_CARD: Final = 10
# Errors as the word ERROR, and in words (TS 27.007, 9.1).
_OTHER_ERRORS: Final = ("+CMEE: 0", "+CMEE: 2")


class RefusedError(TransportError):
    """The modem answered a command by an error: it is in step, and takes the next."""


class AtLine(Protocol):
    """A modem that takes AT commands, one at a time: at its port (`ModemLine`), or by way of ModemManager."""

    def synchronize(self) -> str:
        """Bring modem and host in step, and return what the modem says it is.

        Raises:
            LinkTimeoutError: nothing that answers AT is there.
            CardRemovedError: the way to the modem is gone.
            TransportError: what is there makes no sense, or gives no leave.
        """

    def ask(self, command: str, prefix: str | None = None, *, bare: bool = False) -> AtResult:
        """Give a command and return its answer, which is OK.

        Args:
            command: the command line without its end.
            prefix: what the awaited information line begins with, such as `+CSIM:`.
            bare: whether digits alone are such a line too.

        Raises:
            RefusedError: the modem answers by an error; `CardRemovedError` where it says there is no card.
            LinkTimeoutError: no answer in time.
            TransportError: the answer is none.
        """

    def restore(self) -> None:
        """Leave the modem as it was found; no error is told."""

    def hurried(self, timeout_s: float) -> AtLine:
        """Return the same line, not in step yet, with another time-out in seconds."""

    def now(self) -> float:
        """Return the time in seconds, from any beginning; it only grows."""

    def pause(self, seconds: float) -> None:
        """Wait, and forget what the modem says meanwhile."""

    def close(self) -> None:
        """Let the modem go; safe to call twice."""


class ModemLine:
    """A modem that is asked at its port (`AtLine`).

    Args:
        port: its AT port.
        name: of the link, for errors.
        timeout_s: how long an answer may take, in seconds.
    """

    def __init__(self, port: ModemPort, name: str, timeout_s: float) -> None:
        self.port = port
        self._name = name
        self._timeout_s = timeout_s
        self._unasked = LineReader()
        # What AT+CMEE? said, where that is not what it is set to.
        self._errors_found: str | None = None

    def synchronize(self) -> str:
        """Bring modem and host in step, set the modem up, and return what it says it is.

        Raises:
            LinkTimeoutError: nothing that answers AT is there.
            TransportError: what is there makes no sense.
        """
        self._knock()
        self._quiet()
        # Whether it obeys or not: echo is recognized, and an error without a number is an error.
        self._ask_gently("ATE0V1")
        found = self._ask_gently("AT+CMEE?")
        self._errors_found = next((line[7:] for line in found.text if line in _OTHER_ERRORS), None) if found else None
        self._ask_gently("AT+CMEE=1")
        maker = self._identify("AT+CGMI")
        return f"{maker} {self._identify('AT+CGMM')}".strip()

    def restore(self) -> None:
        """Put the form of errors back: programs are known that wait for ever at another than they know."""
        if self._errors_found is not None:
            with contextlib.suppress(TransportError):
                self._exchange(f"AT+CMEE={self._errors_found}", None, min(_ANSWER_S, self._timeout_s))

    def ask(self, command: str, prefix: str | None = None, *, bare: bool = False) -> AtResult:
        """Give a command and return its answer, which is OK.

        Raises:
            RefusedError: the modem answers by an error; `CardRemovedError` where it says there is no card.
            LinkTimeoutError: no answer in time.
            TransportError: the answer is none, or an answer was there before the command.
        """
        self._check_silent()
        result = self._exchange(command, prefix, self._timeout_s, bare=bare)
        if result.error is None:
            return result
        # The verb only: what follows is a C-APDU.
        message = f"{self._name}: {command.partition('=')[0]}: the modem answers {result.error}"
        raise (CardRemovedError if result.cme == _NO_CARD else RefusedError)(message)

    def hurried(self, timeout_s: float) -> ModemLine:
        """Return a line on the same port, which is not in step yet."""
        return ModemLine(self.port, self._name, timeout_s)

    def now(self) -> float:
        """Return the port's time."""
        return self.port.now()

    def pause(self, seconds: float) -> None:
        """Wait, and forget what the modem says meanwhile."""
        until = self.port.now() + seconds
        while self.port.read(until):
            pass

    def close(self) -> None:
        """Let the port go; safe to call twice."""
        self.port.close()

    def _exchange(self, command: str, prefix: str | None, timeout_s: float, *, bare: bool = False) -> AtResult:
        until = self.port.now() + timeout_s
        self.port.write(f"{command}\r".encode("ascii"))
        data = self.port.read(until)
        if (plain := plain_answer(prefix, data)) is not None:
            return plain
        dialogue = AtDialogue(command, prefix, bare=bare)
        while True:
            try:
                result = dialogue.feed(data)
            except ProtocolError as error:
                raise TransportError(f"{self._name}: {error}") from error
            if result is not None:
                return result
            if self.port.now() >= until:
                break
            data = self.port.read(until)
        verb = command.partition("=")[0]
        raise LinkTimeoutError(f"{self._name}: {verb}: no answer within {timeout_s:g} s")

    def _check_silent(self) -> None:
        """Take what the modem said unasked, which must not be an answer to anything."""
        # The beginning of a line is waited out: its end must not be taken for a line of the answer.
        while data := self.port.read(self.port.now() + (_SILENCE_S if self._unasked.unfinished else 0)):
            try:
                lines = self._unasked.feed(data)
            except ProtocolError as error:
                raise TransportError(f"{self._name}: {error}") from error
            if any(is_answer(line) for line in lines):
                raise TransportError(f"{self._name}: an answer arrived that nothing asked for")

    def _knock(self) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._exchange("AT", None, min(_ANSWER_S, self._timeout_s))
            except LinkTimeoutError as error:
                if attempt == _ATTEMPTS:
                    raise LinkTimeoutError(
                        f"{self._name}: nothing answers AT; is this the modem's AT port, and does nobody else use it?"
                    ) from error
            except CardRemovedError:
                raise
            except TransportError:
                # The end of somebody else's answer.
                self._quiet()
            else:
                return
        raise TransportError(f"{self._name}: what answers AT is never done; is this a modem's AT port?")

    def _quiet(self) -> None:
        """Wait until nothing arrives any more, and forget what has.

        Raises:
            TransportError: there is no end to it.
        """
        end = self.port.now() + _LONGEST_NOISE_S
        while self.port.read(self.port.now() + _SILENCE_S):
            if self.port.now() > end:
                raise TransportError(f"{self._name}: the port never falls silent; is this a modem's AT port?")
        self._unasked = LineReader()

    def _ask_gently(self, command: str) -> AtResult | None:
        """Ask what need not be answered; None when it was not, or not intelligibly."""
        try:
            return self._exchange(command, None, min(_ANSWER_S, self._timeout_s))
        except CardRemovedError:
            raise
        except TransportError:
            self._quiet()
            return None

    def _identify(self, command: str) -> str:
        """Ask what the modem is; an answer without text is another command's."""
        for attempt in range(_ATTEMPTS):
            result = self._ask_gently(command)
            if result is not None and result.error is None and result.text:
                if attempt:
                    self._quiet()
                return " ".join(result.text)
            self._quiet()
        return ""
