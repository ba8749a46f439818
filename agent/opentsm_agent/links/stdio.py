"""`stdio:COMMAND`: a card behind a program of any language, which is spoken to in lines of JSON.

The program is started by the link, without a shell, and reads one request a line from its standard input; it writes one
answer a line to its standard output, and nothing else there (standard error is its own). Bytes are hex. Each answer
carries the number of its request:

    > {"id":1,"do":"reset"}                               resets the card
    < {"id":1,"atr":"3B80800101"}
    > {"id":2,"do":"transmit","command":"00A4040000"}     a whole C-APDU
    < {"id":2,"response":"6F009000"}                      its whole R-APDU, SW1 SW2 last
    < {"id":2,"error":"timeout","message":"…"}            or an error: timeout, removed, failed, refused (was not sent)

The end of its standard input is the end of the link: the program gives the card free and ends. One that does not is
ended after two seconds, with whatever it has started. After any failure it is ended at once, and the link stays closed:
an answer that is late must find nobody who waits for another.

`serve_stdio` is the program's side, over any link of ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shlex
import signal
import subprocess
import time
from typing import IO, TYPE_CHECKING, Any, Final, Self

from opentsm_card.errors import CardRemovedError, LinkTimeoutError, OpenTsmError, ProtocolError, TransportError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_card.link import Link

__all__ = ["StdioLink", "open_stdio", "serve_stdio", "split_command"]

_MAX_APDU_BYTES: Final = 4 + 3 + 65535 + 2
# An R-APDU in hex, and what stands around it; a line that is longer is no answer.
_MAX_LINE_BYTES: Final = 2 * (65536 + 2) + 1024
_READ_BYTES: Final = 65536
_END_S: Final = 2.0
_MAX_MESSAGE_CHARACTERS: Final = 200
_ERRORS: Final[dict[str, type[OpenTsmError]]] = {
    "timeout": LinkTimeoutError,
    "removed": CardRemovedError,
    "failed": TransportError,
    "refused": ProtocolError,
}
# As our own program writes it, and the module says it: what most answers are.
_PLAIN: Final = re.compile(rb'\{"id":(\d+),"response":"([0-9A-Fa-f]*)"\}\n')
_KINDS: Final = {kind: name for name, kind in _ERRORS.items()}


def split_command(command: str) -> list[str]:
    """Split a command into its words, as a shell does, but without running one.

    Raises:
        ProtocolError: there is no word, or a quotation has no end.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ProtocolError(f"link 'stdio:{command}': {error}") from error
    if not words:
        raise ProtocolError(f"link 'stdio:{command}': want a command")
    return words


def open_stdio(command: str, timeout_s: float) -> StdioLink:
    """Start a program, and open a link to the card behind it."""
    return StdioLink(split_command(command), timeout_s)


class StdioLink:
    """A card behind a program; opening the link starts the program and resets the card.

    Args:
        command: the program and its arguments.
        timeout_s: how long to wait for each answer, in seconds.

    Raises:
        TransportError: the program can't be started, or gives no ATR.
    """

    def __init__(self, command: list[str], timeout_s: float) -> None:
        self._name = f"stdio:{command[0]}"
        self._timeout_s = timeout_s
        self._number = 0
        self._process: subprocess.Popen[bytes] | None = None
        try:
            # In a session of its own: Ctrl-C is for us, who end it; and so its own children can be ended with it.
            self._process = subprocess.Popen(  # noqa: S603 - the user's own command, no shell
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
            )
        except OSError as error:
            raise TransportError(f"{self._name}: can't be started: {error.strerror or error}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to_card = self._process.stdin.fileno()
        self._from_card = self._process.stdout.fileno()
        for descriptor in (self._to_card, self._from_card):
            os.set_blocking(descriptor, False)
        self._poll = select.poll()
        self._poll.register(self._from_card, select.POLLIN)
        self._write_poll = select.poll()
        self._write_poll.register(self._to_card, select.POLLOUT)
        self.atr = self.reset()

    def transmit(self, command: bytes) -> bytes:
        """Send one C-APDU and return its R-APDU, SW1 SW2 last.

        Raises:
            ProtocolError: it is no C-APDU, or the program can't carry it; nothing was sent to the card.
            LinkTimeoutError: no answer in time; the link is closed.
            CardRemovedError: card or program are gone, or the link is closed.
            TransportError: any other failure, an answer that makes no sense too; the link is closed.
        """
        if not 4 <= len(command) <= _MAX_APDU_BYTES:
            raise ProtocolError(f"a C-APDU of {len(command)} bytes: want 4 to {_MAX_APDU_BYTES}")
        response = self._ask("transmit", "response", f',"command":"{command.hex().upper()}"')
        if len(response) < 2:
            raise self._fail(TransportError(f"an R-APDU of {len(response)} bytes has no status word"))
        return response

    def reset(self) -> bytes:
        """Reset the card and return its ATR.

        Raises:
            TransportError: as `transmit`; the link is closed.
        """
        self.atr = self._ask("reset", "atr")
        return self.atr

    def close(self) -> None:
        """End the program: by the end of its input, else by SIGTERM, else by SIGKILL; safe to call twice."""
        self._end(_END_S)

    def __enter__(self) -> Self:
        """Return the link itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the link."""
        self.close()

    def _ask(self, do: str, wanted: str, more: str = "") -> bytes:
        if self._process is None:
            raise CardRemovedError(f"{self._name}: the link is closed")
        self._number += 1
        until = time.monotonic() + self._timeout_s
        try:
            # Written by hand, so that a program can find the members by position; it need not.
            self._send(f'{{"id":{self._number},"do":"{do}"{more}}}\n'.encode("ascii"), until)
            return self._answer(self._line(until), wanted)
        except OSError as error:
            raise self._fail(CardRemovedError(f"the program is gone ({error.strerror or error})")) from error
        except TransportError as error:
            raise self._fail(error) from error

    def _send(self, line: bytes, until: float) -> None:
        while line:
            try:
                line = line[os.write(self._to_card, line) :]
            except BlockingIOError:
                if not self._write_poll.poll(max(0.0, until - time.monotonic()) * 1000):
                    raise LinkTimeoutError(f"the program takes nothing within {self._timeout_s:g} s") from None

    def _line(self, until: float) -> bytes:
        received = b""
        while not received.endswith(b"\n"):
            if len(received) > _MAX_LINE_BYTES:
                raise TransportError(f"the program's line is longer than {_MAX_LINE_BYTES} bytes")
            if not self._poll.poll(max(0.0, until - time.monotonic()) * 1000):
                raise LinkTimeoutError(f"no answer within {self._timeout_s:g} s")
            part = os.read(self._from_card, _READ_BYTES)
            if not part:
                raise CardRemovedError("the program has ended")
            received += part
        return received

    def _answer(self, line: bytes, wanted: str) -> bytes:
        plain = _PLAIN.fullmatch(line)
        if plain and wanted == "response" and plain[1] == b"%d" % self._number and len(plain[2]) % 2 == 0:
            return bytes.fromhex(plain[2].decode("ascii"))
        try:
            answer = json.loads(line)
        except ValueError as error:
            # What is wrong with it is not told: it may hold the card's data.
            raise TransportError("the program's answer is not one line of JSON") from error
        if not isinstance(answer, dict) or answer.get("id") != self._number:
            raise TransportError(f"the program's answer is not to request {self._number}")
        if "error" in answer:
            kind = _ERRORS.get(str(answer["error"]), TransportError)
            message = str(answer.get("message", answer["error"]))[:_MAX_MESSAGE_CHARACTERS]
            raise kind(f"the program says: {message}")
        value = answer.get(wanted)
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                return bytes.fromhex(value)
        raise TransportError(f"the program's answer has no {wanted!r} in hex")

    def _fail(self, error: TransportError) -> TransportError:
        self._end(0.0)
        return type(error)(f"{self._name}: {error}")

    def _end(self, patience_s: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        if _has_ended(process, patience_s):
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            if _has_ended(process, _END_S):
                return


def _has_ended(process: subprocess.Popen[bytes], within_s: float) -> bool:
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def serve_stdio(link: Link, atr: bytes, requests: Iterable[bytes], answers: IO[bytes]) -> None:
    """Be the program: answer requests by means of a link until they end, or the link fails.

    Args:
        link: to the card.
        atr: of the reset that opened it, which is the answer to a first request for one.
        requests: lines, such as of a binary file.
        answers: where to write; flushed after each line.

    Raises:
        ProtocolError: a request makes no sense.
        TransportError: the link failed, which was told.
    """
    fresh = True
    for line in requests:
        number, do, command = _request(line)
        told: dict[str, Any] = {"id": number}
        failure: TransportError | None = None
        try:
            if do == "transmit":
                told["response"] = link.transmit(command).hex().upper()
            else:
                told["atr"] = (atr if fresh else link.reset()).hex().upper()
        except (TransportError, ProtocolError) as error:
            told |= {"error": _KINDS.get(type(error), "failed"), "message": str(error)}
            failure = error if isinstance(error, TransportError) else None
        fresh = False
        answers.write(json.dumps(told, separators=(",", ":")).encode() + b"\n")
        answers.flush()
        if failure is not None:
            raise failure


def _request(line: bytes) -> tuple[int, str, bytes]:
    try:
        request = json.loads(line)
        number, do = request["id"], request["do"]
        command = bytes.fromhex(request["command"]) if do == "transmit" else b""
    except (ValueError, KeyError, TypeError) as error:
        raise ProtocolError("a request is a line of JSON with id, do, and for transmit a command in hex") from error
    if not isinstance(number, int) or do not in {"transmit", "reset"}:
        raise ProtocolError("a request has a number as its id, and do is reset or transmit")
    return number, do, command
