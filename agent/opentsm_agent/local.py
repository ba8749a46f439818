"""The device's own applications and its secure elements: a local socket, and the card's access rules in front of it.

A client speaks JSON, one object a line, and gets one line for each:

    {"open": "F06F70656E74736D0B000101", "se": "ese-1"}   {"channel": 1, "answer": "6F…9000"}
    {"transmit": "80CA9F7F00", "channel": 1}               {"answer": "…9000"}
    {"close": 1}                                           {"closed": 1}

`se` may be left out where there is one. What can't be done is `{"error": "…", "reason": "denied"}`, with a reason of
denied, busy, refused (by the card, with its `answer`), gone (the channel, with the card) or bad-request. Who a client
is, the kernel says: the configuration has a hash for each Unix user, which stands for the certificate of a device
application in the card's rules. A card without rules lets nobody do anything.

Each channel is a logical one of the card's. A card that gives none has its basic channel used by one client at a time;
a session of the TSM takes it away, and afterwards the application is selected again: what it knew of its user is gone.

Spec: GPD_SPE_013 1.1 (access control), clause 4.2: rules are looked for when a channel is opened, APDUs filtered on it;
Open Mobile API 3.3: MANAGE CHANNEL and SELECT by name are not for applications.
"""

from __future__ import annotations

import contextlib
import pwd
import socket
import struct
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec

from opentsm_agent.access import RuleReader
from opentsm_agent.channels import HeldError, NoChannelError
from opentsm_agent.local_sockets import listen
from opentsm_card.errors import OpenTsmError, ProtocolError, TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentsm_agent.channels import CardChannel
    from opentsm_agent.config import Local
    from opentsm_agent.events import Events
    from opentsm_agent.secure_elements import SecureElements
    from opentsm_card.access_rules import Access

__all__ = ["LocalServer"]

_MOST_CLIENTS: Final = 16
_MOST_CHANNELS: Final = 8
_MOST_LINE_BYTES: Final = 2 * 65544 + 256
_INS_SELECT: Final = 0xA4
_INS_MANAGE_CHANNEL: Final = 0x70
_BY_NAME: Final = 0x04
_CREDENTIALS: Final = struct.Struct("3i")


class _Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    open: str | None = None
    se: str | None = None
    transmit: str | None = None
    channel: int | None = None
    close: int | None = None


class _RefusedError(OpenTsmError):
    """A request that is answered with a reason, and perhaps with what the card said."""

    def __init__(self, reason: str, message: str, answer: bytes | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.answer = answer


@dataclass(slots=True)
class _Open:
    """A channel that a client has."""

    se_id: str
    aid: bytes
    access: Access
    channel: CardChannel


class LocalServer:
    """The socket; clients each in a thread of their own.

    Args:
        path: where the socket is made; one that was left there is replaced.
        mode: of the file, such as 0o660.
        users: hash (20 or 32 bytes) of the device application that stands for each Unix user.
        elements: the device's secure elements.
        events: where it is told who was refused.

    Raises:
        StorageError: the socket can't be made.
    """

    def __init__(
        self, path: Path, mode: int, users: Mapping[str, bytes], elements: SecureElements, events: Events
    ) -> None:
        self._path = path
        self._users = dict(users)
        self._elements = elements
        self._events = events
        self._readers = {se_id: RuleReader() for se_id in elements.configs}
        self._clients: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._socket = listen(path, mode, None, "local socket")
        self._thread = threading.Thread(target=self._accept, name="local", daemon=True)
        self._thread.start()

    @classmethod
    def of(cls, local: Local, elements: SecureElements, events: Events) -> Self:
        """Make the server that a configuration describes.

        Raises:
            StorageError: the socket can't be made.
        """
        users = {name: bytes.fromhex(digest) for name, digest in local.users.items()}
        return cls(Path(local.socket), int(local.mode, 8), users, elements, events)

    def stop(self) -> None:
        """Let nobody in any more, and everyone out."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._path.unlink(missing_ok=True)
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self._thread.join(1.0)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with self._lock:
                full = len(self._clients) >= _MOST_CLIENTS
                if not full:
                    self._clients.add(client)
            if full:
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), name="local-client", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        session = _Client(self._elements, self._readers, self._user_of(client))
        try:
            with client, client.makefile("rwb") as stream:
                while line := stream.readline(_MOST_LINE_BYTES + 1):
                    if len(line) > _MOST_LINE_BYTES or not line.endswith(b"\n"):
                        break
                    stream.write(msgspec.json.encode(self._answer(session, line)) + b"\n")
                    stream.flush()
        except OSError:
            return
        finally:
            session.close()
            with self._lock:
                self._clients.discard(client)

    def _answer(self, session: _Client, line: bytes) -> dict[str, object]:
        try:
            request = msgspec.json.decode(line, type=_Request)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return {"error": str(error), "reason": "bad-request"}
        try:
            return session.run(request)
        except _RefusedError as error:
            if error.reason == "denied":
                self._events.emit("access-denied", user=session.user, reason=str(error))
            answered = {} if error.answer is None else {"answer": error.answer.hex().upper()}
            return {"error": str(error), "reason": error.reason, **answered}
        except HeldError as error:
            return {"error": str(error), "reason": "busy"}
        except TransportError as error:
            return {"error": str(error), "reason": "gone"}
        except ProtocolError as error:
            return {"error": str(error), "reason": "bad-request"}

    def _user_of(self, client: socket.socket) -> tuple[str, bytes | None]:
        """Return the Unix user at the other end, and the hash that stands for it."""
        credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, uid, _ = _CREDENTIALS.unpack(credentials)
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            name = str(uid)
        return name, self._users.get(name)


@dataclass(slots=True)
class _Client:
    """What one client has open; for its own thread."""

    elements: SecureElements
    readers: Mapping[str, RuleReader]
    who: tuple[str, bytes | None]
    opened: dict[int, _Open] = field(default_factory=dict)
    last: int = 0

    @property
    def user(self) -> str:
        return self.who[0]

    def run(self, request: _Request) -> dict[str, object]:
        """Do what a request asks for, and return the answer."""
        match request:
            case _Request(open=str(text), transmit=None, channel=None, close=None):
                return self._open(_hex(text), request.se)
            case _Request(transmit=str(text), channel=int(number), open=None, se=None, close=None):
                return {"answer": self._transmit(self._of(number), _hex(text)).hex().upper()}
            case _Request(close=int(number), open=None, se=None, transmit=None, channel=None):
                self._of(number).channel.close()
                del self.opened[number]
                return {"closed": number}
        raise _RefusedError("bad-request", "want one of open, transmit with channel, close")

    def close(self) -> None:
        for each in self.opened.values():
            each.channel.close()
        self.opened.clear()

    def _of(self, number: int) -> _Open:
        if number not in self.opened:
            raise _RefusedError("bad-request", f"no channel {number}")
        return self.opened[number]

    def _open(self, aid: bytes, se_id: str | None) -> dict[str, object]:
        if se_id is None and len(self.elements.configs) == 1:
            se_id = next(iter(self.elements.configs))
        if se_id not in self.elements.configs:
            raise _RefusedError(
                "bad-request", "which secure element? The device has " + ", ".join(self.elements.configs)
            )
        if not 5 <= len(aid) <= 16:
            raise _RefusedError("bad-request", "an AID has 5 to 16 bytes")
        if len(self.opened) >= _MOST_CHANNELS:
            raise _RefusedError("busy", f"a client has at most {_MOST_CHANNELS} channels")
        digest = self.who[1]
        if digest is None:
            raise _RefusedError("denied", f"user {self.user} stands for no application")
        channel = self._channel(se_id)
        try:
            opened = _Open(se_id, aid, self._access(se_id, channel, aid, digest), channel)
            answer = _select(opened)
        except BaseException:
            channel.close()
            raise
        self.last += 1
        self.opened[self.last] = opened
        return {"channel": self.last, "answer": answer.hex().upper()}

    def _channel(self, se_id: str) -> CardChannel:
        shared = self.elements.shared[se_id]
        try:
            return shared.channel()
        except HeldError:
            raise
        except NoChannelError:
            return shared.basic()

    def _access(self, se_id: str, channel: CardChannel, aid: bytes, digest: bytes) -> Access:
        try:
            access = self.readers[se_id].read(channel.transmit).access(aid, digest)
        except ProtocolError as error:
            raise _RefusedError("denied", f"the card's rules can't be read: {error}") from error
        if access.apdus is False:
            raise _RefusedError("denied", f"the card's rules do not give {aid.hex().upper()} to user {self.user}")
        return access

    def _transmit(self, opened: _Open, command: bytes) -> bytes:
        if len(command) < 4:
            raise _RefusedError("bad-request", "no C-APDU")
        interindustry = not command[0] & 0x80
        if interindustry and command[1] == _INS_MANAGE_CHANNEL:
            raise _RefusedError("denied", "MANAGE CHANNEL is the agent's")
        if interindustry and command[1] == _INS_SELECT and command[2] == _BY_NAME:
            raise _RefusedError("denied", "SELECT by name: open another channel")
        if command[0] & 0x43:
            raise _RefusedError("bad-request", "want a class byte of the basic channel")
        if not opened.access.allows(command):
            raise _RefusedError("denied", f"the card's rules do not allow {command[:4].hex().upper()}")
        if opened.channel.number == 0 and not opened.channel.alive:
            # A session had the card meanwhile.
            opened.channel.reset()
            _select(opened)
        return opened.channel.transmit(command)


def _select(opened: _Open) -> bytes:
    aid = opened.aid
    answer = opened.channel.transmit(bytes((0x00, _INS_SELECT, _BY_NAME, 0x00, len(aid))) + aid + b"\0")
    if answer[-2:] != b"\x90\x00" and answer[-2:-1] not in {b"\x62", b"\x63"}:
        raise _RefusedError("refused", f"the card does not select {aid.hex().upper()}", answer)
    return answer


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise _RefusedError("bad-request", "want hex digits") from error
