"""The links: URIs, vpcd's framing over TCP, what T=0 leaves to the host, replayed traces."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from agent_peers import ATR, CountingCard
from opentsm_agent.http import parse_base_url
from opentsm_agent.links import check_uri, open_link, register, schemes
from opentsm_agent.links.replay import Exchange, Reset, ScriptedLink, encode_trace, parse_trace
from opentsm_agent.links.t0 import transmit_t0
from opentsm_agent.links.tcp import TcpLink, parse_host_port
from opentsm_card.errors import CardRemovedError, LinkTimeoutError, ProtocolError, TransportError
from opentsm_card.link import Link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SELECT = bytes.fromhex("00A4040000")


@pytest.fixture
def card() -> Iterator[CountingCard]:
    with CountingCard() as counting:
        yield counting


class TestUri:
    @pytest.mark.parametrize("uri", ["", "tcp", "tcp:", "nosuch:x", ":x", "TCP:h:1"])
    def test_a_uri_without_a_known_scheme_is_refused(self, uri: str) -> None:
        with pytest.raises(ProtocolError, match="link"):
            check_uri(uri)

    def test_what_follows_the_first_colon_is_the_schemes_own(self) -> None:
        assert check_uri("pcsc:ACME: reader 00") == ("pcsc", "ACME: reader 00")

    def test_a_registered_scheme_opens_links(self) -> None:
        given = ScriptedLink([])
        asked: list[tuple[str, float]] = []

        def opener(rest: str, timeout_s: float) -> Link:
            asked.append((rest, timeout_s))
            return given

        register("test-scheme", opener)
        assert open_link("test-scheme:profile", 7) is given
        assert asked == [("profile", 7)]
        assert "test-scheme" in schemes()

    @pytest.mark.parametrize("address", ["host", "host:", ":1", "host:0", "host:65536", "host:x", "host:-1"])
    def test_an_address_needs_a_host_and_a_port(self, address: str) -> None:
        with pytest.raises(ProtocolError, match="HOST:PORT"):
            parse_host_port(address)

    @pytest.mark.parametrize("host", ["a..b", "a" * 64, ".test"])
    def test_a_host_that_can_be_no_name_is_refused_before_it_is_asked_for(self, host: str) -> None:
        with pytest.raises(ProtocolError, match="empty or too long"):
            parse_host_port(f"{host}:9000")
        with pytest.raises(ProtocolError, match="empty or too long"):
            parse_base_url(f"https://{host}")
        assert parse_base_url("https://tsm.test.:9000") == ("tsm.test.", 9000, "")

    def test_an_ipv6_address_stands_in_brackets(self) -> None:
        assert parse_host_port("[::1]:35963") == ("::1", 35963)


class TestTcp:
    def test_opening_powers_the_card_up_and_an_exchange_comes_back(self, card: CountingCard) -> None:
        with open_link(card.uri) as link:
            assert isinstance(link, Link)
            assert link.transmit(bytes.fromhex("80CA000003AABBCC")) == bytes.fromhex("AABBCC9000")
            assert card.resets == 1
            assert link.reset() == ATR
            assert card.resets == 2

    def test_an_extended_c_apdu_goes_through_whole(self, card: CountingCard) -> None:
        c_apdu = bytes.fromhex("80E20000") + b"\x00\xff\x00" + bytes(0xFF00)
        with open_link(card.uri) as link:
            link.transmit(c_apdu)
        assert card.run == [c_apdu]

    @pytest.mark.parametrize("size", [0, 1, 3, 0x10000])
    def test_what_cannot_be_framed_is_not_sent(self, card: CountingCard, size: int) -> None:
        # A single byte would be a control: 00 would power the card off.
        with open_link(card.uri) as link:
            with pytest.raises(ProtocolError, match=f"{size} bytes"):
                link.transmit(bytes(size))
            link.transmit(SELECT)
        assert card.run == [SELECT]

    def test_nobody_listening_is_a_card_that_is_gone(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with pytest.raises(CardRemovedError, match=f"tcp:127.0.0.1:{port}"):
            open_link(f"tcp:127.0.0.1:{port}")

    def test_a_card_that_goes_away_is_noticed_and_the_link_stays_closed(self, card: CountingCard) -> None:
        def leave(_number: int, _c_apdu: bytes) -> bytes | None:
            raise ConnectionAbortedError

        link = open_link(card.uri)
        card.hook = leave
        for _ in range(2):
            with pytest.raises(CardRemovedError):
                link.transmit(SELECT)
        with pytest.raises(CardRemovedError):
            link.reset()
        link.close()
        link.close()

    def test_a_late_answer_is_never_taken_for_the_next_ones(self) -> None:
        release = threading.Event()

        def late(_number: int, c_apdu: bytes) -> bytes | None:
            if c_apdu == SELECT:
                release.wait(10)
            return None

        with CountingCard() as slow:
            slow.hook = late
            link = TcpLink("127.0.0.1", slow.port, 0.05)
            with pytest.raises(LinkTimeoutError, match=r"0\.05 s"):
                link.transmit(SELECT)
            release.set()
            with pytest.raises(CardRemovedError):
                link.transmit(bytes.fromhex("80CA000000"))

    def test_an_answer_in_single_bytes_is_put_together(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def trickle() -> None:
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with connection:
                    connection.recv(9)
                    for byte in b"\x00\x05" + ATR:
                        connection.sendall(bytes((byte,)))
                    connection.recv(100)

            thread = threading.Thread(target=trickle)
            thread.start()
            link = TcpLink("127.0.0.1", listener.getsockname()[1], 5)
            assert link.atr == ATR
            link.close()
            thread.join()

    def test_a_card_that_says_more_than_it_was_asked_is_not_believed_any_more(self, card: CountingCard) -> None:
        link = open_link(card.uri)
        card.hook = lambda _number, _c_apdu: b"\x90\x00" + b"\x00\x02\x90\x00" * 3
        assert link.transmit(SELECT) == b"\x90\x00" + b"\x00\x02\x90\x00" * 3  # framed, this is one long answer
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def talk() -> None:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(9)
                    connection.sendall(b"\x00\x05" + ATR + b"\x00\x02\x90\x00")
                    connection.recv(9)

            thread = threading.Thread(target=talk)
            thread.start()
            with pytest.raises(TransportError, match="more than the answer"):
                open_link(f"tcp:127.0.0.1:{listener.getsockname()[1]}")
            thread.join()

    def test_an_answer_without_a_status_word_closes_the_link(self, card: CountingCard) -> None:
        card.hook = lambda _number, _c_apdu: b"\x90"
        with open_link(card.uri) as link:
            with pytest.raises(TransportError, match="status word"):
                link.transmit(SELECT)
            with pytest.raises(CardRemovedError):
                link.transmit(SELECT)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class TestTcpListening:
    def test_a_card_that_dials_is_let_in_and_the_next_is_not(self, card: CountingCard) -> None:
        port = free_port()

        def dial() -> None:
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                with contextlib.suppress(OSError):
                    card.serve(socket.create_connection(("127.0.0.1", port)))
                    break

        thread = threading.Thread(target=dial)
        thread.start()
        with open_link(f"tcp:127.0.0.1:{port}?listen", 10) as link:
            assert link.transmit(bytes.fromhex("80CA000003AABBCC")) == bytes.fromhex("AABBCC9000")
            assert link.reset() == ATR
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
        thread.join(10)
        assert not thread.is_alive()
        assert card.resets == 2

    def test_nobody_dials(self) -> None:
        port = free_port()
        with pytest.raises(LinkTimeoutError, match=r"no card dials within 0\.2 s"):
            open_link(f"tcp:127.0.0.1:{port}?listen", 0.2)
        with socket.create_server(("127.0.0.1", port)):
            pass

    def test_a_port_that_is_taken_is_said_so(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(TransportError, match="can't be listened on"):
                open_link(f"tcp:127.0.0.1:{port}?listen", 1)

    def test_what_dials_and_says_nothing_is_a_timeout(self) -> None:
        port = free_port()
        held: list[socket.socket] = []

        def dial() -> None:
            while not held:
                with contextlib.suppress(OSError):
                    held.append(socket.create_connection(("127.0.0.1", port)))

        thread = threading.Thread(target=dial)
        thread.start()
        with pytest.raises(LinkTimeoutError, match="no answer"):
            open_link(f"tcp:127.0.0.1:{port}?listen", 0.3)
        thread.join()
        held[0].close()

    def test_only_listen_may_follow_the_port(self) -> None:
        assert check_uri("tcp:[::1]:9?listen") == ("tcp", "[::1]:9?listen")
        for address in ("host:1?dial", "host:1?listen=1", "?listen"):
            with pytest.raises(ProtocolError, match="HOST:PORT"):
                check_uri(f"tcp:{address}")


def tpdus(*exchanges: tuple[str, str]) -> Callable[[bytes], bytes]:
    """Return an exchange function that knows these TPDUs, in this order."""
    link = ScriptedLink([Exchange(bytes.fromhex(sent), bytes.fromhex(got)) for sent, got in exchanges])

    def exchange(tpdu: bytes) -> bytes:
        return link.transmit(tpdu)

    return exchange


class TestT0:
    @pytest.mark.parametrize(
        ("command", "exchanges", "answer"),
        [
            ("80E40000", [("80E4000000", "9000")], "9000"),  # case 1: P3 = 00
            ("80CA006600", [("80CA006600", "660173 9000")], "6601739000"),  # case 2
            ("80E4000001AA", [("80E4000001AA", "6A88")], "6A88"),  # case 3
            ("80F2400001AA00", [("80F2400001AA", "6102"), ("00C0000002", "CCDD9000")], "CCDD9000"),  # case 4: no Le
            ("80CA006600", [("80CA006600", "6C03"), ("80CA006603", "AABBCC9000")], "AABBCC9000"),
            (
                "80F2400001AA00",
                [("80F2400001AA", "6100"), ("00C0000000", "AA" * 256 + "6101"), ("00C0000001", "BB9000")],
                "AA" * 256 + "BB9000",
            ),
            (
                "80F2400001AA00",
                [("80F2400001AA", "6104"), ("00C0000004", "6C02"), ("00C0000002", "AABB9000")],
                "AABB9000",
            ),
            ("81F2400001AA00", [("81F2400001AA", "6101"), ("01C0000001", "AA9000")], "AA9000"),  # channel 1
            ("84F2400001AA00", [("84F2400001AA", "6101"), ("00C0000001", "AA9000")], "AA9000"),  # no secure messaging
            ("C5F2400001AA00", [("C5F2400001AA", "6101"), ("45C0000001", "AA9000")], "AA9000"),  # channel 9
        ],
    )
    def test_each_case_of_command_becomes_its_tpdus(
        self, command: str, exchanges: list[tuple[str, str]], answer: str
    ) -> None:
        assert transmit_t0(tpdus(*exchanges), bytes.fromhex(command)) == bytes.fromhex(answer)

    def test_6cxx_to_a_command_with_data_is_the_answer(self) -> None:
        # The byte behind a header with data is Lc: to replace it would be to send another command.
        assert transmit_t0(tpdus(("80E4000001AA", "6C03")), bytes.fromhex("80E4000001AA")) == bytes.fromhex("6C03")

    def test_a_card_that_says_6cxx_for_ever_is_given_up(self) -> None:
        with pytest.raises(TransportError, match="6C03"):
            transmit_t0(tpdus(("80CA006600", "6C03"), ("80CA006603", "6C03")), bytes.fromhex("80CA006600"))

    def test_a_card_that_says_61xx_for_ever_is_given_up(self) -> None:
        with pytest.raises(TransportError, match="65536"):
            transmit_t0(lambda _tpdu: bytes(256) + b"\x61\x00", bytes.fromhex("80CA006600"))

    @pytest.mark.parametrize("command", ["80E20000000001AA", "80CA0066000000", "80E4000002AA", "80E4000001AABBCC"])
    def test_extended_and_malformed_commands_are_not_sent(self, command: str) -> None:
        with pytest.raises(ProtocolError, match="T=0"):
            transmit_t0(tpdus(), bytes.fromhex(command))


TRACE = """\
# a card
^ 3B80800101
> 00A4040000
< 6F00 9000   # spaces and comments are fine
> 80CA006600
! timeout
"""


class TestReplay:
    def test_a_trace_answers_as_recorded(self, tmp_path: Path) -> None:
        path = tmp_path / "trace"
        path.write_text(TRACE)
        link = open_link(f"replay:{path}")
        assert isinstance(link, ScriptedLink)
        assert link.atr == ATR
        assert link.transmit(SELECT) == bytes.fromhex("6F009000")
        with pytest.raises(LinkTimeoutError):
            link.transmit(bytes.fromhex("80CA006600"))
        assert link.exhausted

    def test_another_command_than_recorded_is_refused_by_its_header_only(self) -> None:
        link = ScriptedLink([Exchange(SELECT, b"\x90\x00")])
        with pytest.raises(ProtocolError, match="event 0") as caught:
            link.transmit(bytes.fromhex("80E2000004C0FFEE42"))
        assert "c0ffee" not in str(caught.value).lower()
        assert link.transmit(SELECT) == b"\x90\x00"
        with pytest.raises(ProtocolError, match="ends at event 1"):
            link.transmit(SELECT)

    def test_a_trace_that_is_none_names_its_file(self, tmp_path: Path) -> None:
        path = tmp_path / "trace"
        with pytest.raises(ProtocolError, match=f"^trace {re.escape(str(path))}: No such file"):
            open_link(f"replay:{path}")
        path.write_text("card = 1\n", encoding="ascii")
        with pytest.raises(ProtocolError, match=f"^{re.escape(str(path))}: trace line 1"):
            open_link(f"replay:{path}")

    def test_resets_are_part_of_a_trace(self) -> None:
        other = bytes.fromhex("3B00")
        link = ScriptedLink([Exchange(SELECT, b"\x90\x00"), Reset(other), Exchange(SELECT, b"\x6a\x82")])
        link.transmit(SELECT)
        with pytest.raises(ProtocolError):
            link.transmit(SELECT)
        assert link.reset() == other
        assert link.transmit(SELECT) == b"\x6a\x82"
        link.close()
        with pytest.raises(CardRemovedError):
            link.transmit(SELECT)

    def test_a_trace_is_written_as_it_is_read(self) -> None:
        events = parse_trace(TRACE)
        assert parse_trace(encode_trace(events)) == events

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("> 00A4040000\n> 00A4040000", "line 2"),
            ("< 9000", "line 1"),
            ("> 00A4040000\n< 90 0", "line 2"),
            ("> 00A4040000\n! later", "line 2"),
            ("> 00A4040000\n# 9000", "no answer"),
            ("? 00", "line 1"),
        ],
    )
    def test_a_malformed_trace_names_its_line(self, text: str, place: str) -> None:
        with pytest.raises(ProtocolError, match=place):
            parse_trace(text)

    def test_a_missing_trace_is_a_clear_error(self, tmp_path: Path) -> None:
        with pytest.raises(ProtocolError, match="nothing-here"):
            open_link(f"replay:{tmp_path / 'nothing-here'}")
