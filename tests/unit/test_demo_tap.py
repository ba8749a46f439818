"""The tap between agent and SE: passes everything on, counts, and cuts between a command's execution and its answer."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from opentsm_agent.links import open_link
from opentsm_card.errors import TransportError
from opentsm_tools.demo.tap import Tap

if TYPE_CHECKING:
    from collections.abc import Iterator

ATR = bytes.fromhex("3B80800101")


class EchoSe:
    """An SE behind a TCP port that answers each C-APDU with its header and 9000, and remembers it."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.executed: list[bytes] = []
        self.controls: list[int] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            while len(length := stream.read(2)) == 2:
                body = stream.read(int.from_bytes(length, "big"))
                if len(body) == 1:
                    self.controls.append(body[0])
                    answer = ATR if body == b"\x04" else None
                else:
                    self.executed.append(body)
                    answer = body[:4] + b"\x90\x00"
                if answer is not None:
                    connection.sendall(len(answer).to_bytes(2, "big") + answer)


@pytest.fixture
def se() -> Iterator[EchoSe]:
    se = EchoSe()
    yield se
    se.server.close()


@pytest.fixture
def tap(se: EchoSe) -> Iterator[Tap]:
    tap = Tap("127.0.0.1", se.server.getsockname()[1])
    yield tap
    tap.close()


def test_everything_passes_and_commands_are_counted(se: EchoSe, tap: Tap) -> None:
    with open_link(f"tcp:127.0.0.1:{tap.port}") as link:
        assert link.transmit(bytes.fromhex("80E60000")) == bytes.fromhex("80E600009000")
        assert link.reset() == ATR
        assert link.transmit(bytes.fromhex("80CA0000") + bytes(300))[-2:] == b"\x90\x00"
    assert tap.apdus == 2
    assert se.controls == [0x00, 0x01, 0x04, 0x02, 0x04]


def test_a_cut_comes_after_the_execution_and_before_the_answer(se: EchoSe, tap: Tap) -> None:
    seen: list[bytes] = []

    def trigger(command: bytes, answer: bytes) -> bool:
        seen.append(answer)
        return command[1] == 0xE6

    fired = tap.watch(trigger, cut=True)
    with open_link(f"tcp:127.0.0.1:{tap.port}") as link:
        link.transmit(bytes.fromhex("80CA0000"))
        assert not fired.is_set()
        with pytest.raises(TransportError):
            link.transmit(bytes.fromhex("80E60000"))
    assert fired.is_set()
    assert se.executed == [bytes.fromhex("80CA0000"), bytes.fromhex("80E60000")]
    assert len(seen) == 2
    with open_link(f"tcp:127.0.0.1:{tap.port}") as link:
        assert link.transmit(bytes.fromhex("80E60000"))[-2:] == b"\x90\x00"  # a trigger fires once


def test_a_trigger_that_does_not_cut_lets_the_answer_pass(tap: Tap) -> None:
    fired = tap.watch(lambda _command, _answer: True, cut=False)
    with open_link(f"tcp:127.0.0.1:{tap.port}") as link:
        assert link.transmit(bytes.fromhex("80E60000"))[-2:] == b"\x90\x00"
    assert fired.is_set()


def test_a_disarmed_trigger_does_nothing(tap: Tap) -> None:
    fired = tap.watch(lambda _command, _answer: True, cut=True)
    tap.disarm()
    with open_link(f"tcp:127.0.0.1:{tap.port}") as link:
        link.transmit(bytes.fromhex("80E60000"))
    assert not fired.is_set()
