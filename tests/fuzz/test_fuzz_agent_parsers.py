"""The agent's parsers: whatever comes, they answer or raise our own error."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from opentsm_agent.handshake import parse_handshake_response
from opentsm_agent.journal_frames import encode_frame, parse_frames
from opentsm_agent.links import check_uri
from opentsm_agent.links.replay import encode_trace, parse_trace
from opentsm_agent.links.t0 import transmit_t0
from opentsm_agent.relay import check_script
from opentsm_agent.seram import order_number, parse_order
from opentsm_card.apdu import CommandApdu
from opentsm_card.errors import ProtocolError, ScriptError
from opentsm_card.script import ScriptCommand

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
HEX = st.binary(max_size=12).map(lambda raw: raw.hex())
COMMANDS = st.fixed_dictionaries(
    {"ramCommandType": st.sampled_from(["seRamCommand", "startCommand", "ramStopCommand"]) | st.text(max_size=5)},
    optional={
        "listOfCAPDU": st.lists(HEX | st.text(max_size=5), max_size=4) | JSON,
        "expect": st.lists(st.none() | st.fixed_dictionaries({}, optional={"sw": st.lists(HEX), "data": HEX})) | JSON,
        "reset": st.booleans() | JSON,
        "opaqueFrom": st.integers(-2, 5) | JSON,
    },
)
ORDERS = st.fixed_dictionaries(
    {},
    optional={
        "delay": st.integers() | JSON,
        "chosenSecureElement": st.fixed_dictionaries({"seType": st.just("eSE"), "seId": st.text()}) | JSON,
        "ramCommands": st.lists(COMMANDS, max_size=3) | JSON,
        "opentsm": st.fixed_dictionaries({"order": st.integers()}) | JSON,
    },
)


@given(ORDERS | JSON)
def test_an_order_is_parsed_or_refused(order: Any) -> None:
    document = json.dumps(order).encode()
    order_number(document)
    with contextlib.suppress(ProtocolError):
        parsed = parse_order(document)
        for command in parsed.se_commands:
            with contextlib.suppress(ScriptError):
                check_script(command.script, command.opaque_from)


@given(st.binary())
def test_bytes_are_no_order_and_no_handshake(document: bytes) -> None:
    for parse in (parse_order, parse_handshake_response):
        with contextlib.suppress(ProtocolError):
            parse(document)


@given(st.lists(st.binary(max_size=40), max_size=6), st.data())
def test_a_journal_is_never_read_as_more_than_was_written(payloads: list[bytes], data: st.DataObject) -> None:
    durable = data.draw(st.integers(0, len(payloads)))
    content = b"".join(encode_frame(number, min(number, durable), body) for number, body in enumerate(payloads))
    cut = data.draw(st.integers(0, len(content)))
    tail = data.draw(st.binary(max_size=20) | st.just(bytes(64)))
    with contextlib.suppress(ProtocolError):
        frames = parse_frames(content[:cut] + tail)
        assert frames.payloads == tuple(payloads[: len(frames.payloads)])
        assert frames.length <= len(content)


@given(st.binary(max_size=300))
def test_bytes_are_a_journal_or_refused(content: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        parse_frames(content)


@given(st.text() | st.text(alphabet="><!^# 0123456789ABCDEF\n"))
def test_a_trace_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(ProtocolError):
        events = parse_trace(text)
        assert parse_trace(encode_trace(events)) == events


@given(st.text())
def test_a_link_uri_is_split_or_refused(uri: str) -> None:
    with contextlib.suppress(ProtocolError):
        scheme, rest = check_uri(uri)
        assert f"{scheme}:{rest}" == uri


@given(st.binary(max_size=270))
def test_t0_sends_a_prefix_of_a_short_c_apdu_or_nothing(command: bytes) -> None:
    sent: list[bytes] = []

    def exchange(tpdu: bytes) -> bytes:
        sent.append(tpdu)
        return b"\x90\x00"

    try:
        CommandApdu.parse(command)
    except ProtocolError:
        return
    with contextlib.suppress(ProtocolError):
        assert transmit_t0(exchange, command) == b"\x90\x00"
    assert all(command.startswith(tpdu) or tpdu == command + b"\x00" for tpdu in sent)


@given(st.lists(st.binary(max_size=12), max_size=6), st.integers(0, 6))
def test_a_script_that_passes_has_no_select_in_its_opaque_part(c_apdus: list[bytes], opaque_from: int) -> None:
    try:
        check_script(tuple(map(ScriptCommand, c_apdus)), opaque_from)
    except ScriptError:
        return
    for c_apdu in c_apdus[opaque_from:]:
        assert c_apdu[0] & 0x80 or c_apdu[1] not in {0xA4, 0x70}
