"""The local socket by which commands on the device reach the running agent: `opentsm agent status`, `wake` and so on.

A client sends one line of JSON, gets one back, and the connection ends. Who may connect is for the socket's file mode,
owner and group to say. Nothing that comes out names a session by its id or holds anything of an APDU; what can be done
is to have the agent look for work, which its TSM would give it anyway.

| request | answer |
| --- | --- |
| `{"ask": "status"}` | what the agent is, and how its wake-ups, secure elements and sessions are |
| `{"ask": "sessions"}` | the sessions that are open now |
| `{"ask": "journal"}` | what the journal holds, see `journal_view` |
| `{"ask": "wake"}`, with or without `"session"` | has it look for wake-ups and try what waits, or open that session |
"""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec

from opentsm_agent.journal_view import journal_facts
from opentsm_agent.local_sockets import listen
from opentsm_card.errors import ProtocolError, TransportError

if TYPE_CHECKING:
    from opentsm_agent.agent import Agent
    from opentsm_agent.config import Control

__all__ = ["ControlServer", "ask"]

_REQUEST_BYTES: Final = 4096
_ANSWER_BYTES: Final = 16 * 1024 * 1024
_CLIENT_S: Final = 2.0
_ANSWER_S: Final = 10.0


class _Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ask: Literal["status", "sessions", "journal", "wake"]
    session: Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=r"\A[!-~]+\Z")] | None = None


class ControlServer:
    """Answers commands of this device until it is stopped.

    Args:
        config: path, mode and group of the socket.
        agent: the running agent.

    Raises:
        StorageError: the socket can't be made, or there is no such group.
    """

    def __init__(self, config: Control, agent: Agent) -> None:
        self._agent = agent
        self._path = Path(config.socket)
        self._listener = listen(self._path, int(config.mode, 8), config.group, "control socket")
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; safe to call twice."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with contextlib.suppress(OSError):
            self._path.unlink()
        self._thread.join(_CLIENT_S)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(_CLIENT_S)
                connection.sendall(self._answer(_receive_line(connection, _REQUEST_BYTES)) + b"\n")

    def _answer(self, line: bytes) -> bytes:
        try:
            request = msgspec.json.decode(line, type=_Request)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return msgspec.json.encode({"error": str(error)})
        return msgspec.json.encode({"answer": self._do(request)})

    def _do(self, request: _Request) -> object:
        agent = self._agent
        match request.ask:
            case "status":
                return agent.facts()
            case "sessions":
                return agent.session_facts()
            case "journal":
                with agent.journal.reading() as state:
                    return journal_facts(state)
        if request.session is None:
            agent.hurry()
        else:
            agent.wake(request.session)
        return {"woken": True}


def ask(control: Control, request: dict[str, str]) -> Any:  # noqa: ANN401 - JSON
    """Ask the running agent.

    Raises:
        TransportError: none is running, it may not be asked, or it does not answer.
        ProtocolError: it does not take the request.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_S)
        try:
            connection.connect(control.socket)
            connection.sendall(msgspec.json.encode(request) + b"\n")
            answer = msgspec.json.decode(_receive_line(connection, _ANSWER_BYTES), type=dict[str, Any])
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise TransportError(f"{control.socket}: no agent is running there") from error
        except OSError as error:
            raise TransportError(f"{control.socket}: {error.strerror or 'no answer in time'}") from error
        except msgspec.MsgspecError as error:
            raise TransportError(f"{control.socket}: the answer is no agent's") from error
    if "error" in answer:
        raise ProtocolError(f"the agent: {answer['error']}")
    return answer.get("answer")


def _receive_line(connection: socket.socket, most: int) -> bytes:
    received = b""
    while not received.endswith(b"\n"):
        part = connection.recv(min(65536, most + 1 - len(received)))
        received += part
        if not part or len(received) > most:
            break
    return received
