from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentsm_card.script import Expect, ScriptCommand
from opentsm_tsm import seram
from opentsm_tsm.wire import WireError, decode


def report(answers: list[str], **members: Any) -> seram.Report:
    response = {"ramResponseType": "seRamResponse", "listOfRAPDU": answers, **members}
    document = {"localAgentStatus": {"localAgentStatusEnum": "PROCESSED"}, "ramResponses": [response]}
    return decode(json.dumps(document).encode(), seram.Report)


def test_an_order_carries_expectations_and_where_the_scripts_owner_changes() -> None:
    script = (
        ScriptCommand(bytes.fromhex("00A4040005A000000001")),
        ScriptCommand(b"\x80\x50\x30\x00", Expect(frozenset({0x6310, 0x9000}), b"\x01\x02")),
    )
    order = json.loads(seram.script_order(2, ("eSE", "se-1"), script, reset=True, opaque_from=1))
    assert order["delay"] == 0
    assert order["chosenSecureElement"] == {"seType": "eSE", "seId": "se-1"}
    assert order["opentsm"] == {"order": 2}
    assert order["ramCommands"] == [
        {
            "ramCommandType": "seRamCommand",
            "listOfCAPDU": ["00A4040005A000000001", "80503000"],
            "expect": [{"sw": ["9000"]}, {"sw": ["6310", "9000"], "data": "0102"}],
            "reset": True,
            "opaqueFrom": 1,
        }
    ]


def test_the_first_order_starts_the_session_and_the_last_stops_it() -> None:
    first = json.loads(seram.script_order(1, ("eSE", "se-1"), (ScriptCommand(b"\x00\xa4\x04\x00"),)))
    assert [command["ramCommandType"] for command in first["ramCommands"]] == ["ramStartCommand", "seRamCommand"]
    last = json.loads(seram.stop_order(3))
    assert last["ramCommands"] == [{"ramCommandType": "ramStopCommand"}]
    assert last["opentsm"] == {"order": 3}


def test_the_handshake_names_its_format_twice_and_offers_our_members_back() -> None:
    plain = decode(b'{"secureElements":[{"seType":"eSE","seId":"x"}]}', seram.Handshake)
    reply = json.loads(seram.handshake_reply(plain))
    assert reply["chosenDataFormat"] == reply["chosenDataProtocol"] == "application/json"
    assert "opentsm" not in reply
    ours = decode(b'{"secureElements":[],"opentsm":{"version":1},"unheardOf":1}', seram.Handshake)
    assert json.loads(seram.handshake_reply(ours))["opentsm"] == {"version": 1}
    other = decode(b'{"secureElements":[],"supportedVersions":["1.0.0"]}', seram.Handshake)
    assert not other.acceptable


@pytest.mark.parametrize(
    ("answers", "members", "length", "kept", "in_doubt", "not_sent"),
    [
        (["9000", "9000"], {"answered": 2, "inDoubt": False, "notSent": 0}, 2, 2, False, 0),
        (["9000", "6A80", ""], {"answered": 2, "inDoubt": False, "notSent": 1}, 3, 2, False, 1),
        (["9000", "", ""], {"answered": 1, "inDoubt": True, "notSent": 1}, 3, 1, True, 1),
        # A power loss: everything behind the last kept answer is in doubt.
        (["9000", "", ""], {"answered": 1, "inDoubt": True, "notSent": 0}, 3, 1, True, 0),
        # Says too little, or what can't be: the rest is in doubt.
        (["9000", "", ""], {}, 3, 1, True, 0),
        (["9000", "", ""], {"answered": 1, "inDoubt": False, "notSent": 0}, 3, 1, True, 0),
        (["9000", "", ""], {"answered": 1, "inDoubt": True, "notSent": 9}, 3, 1, True, 1),
        (["9000", "9000", "9000"], {"answered": 3, "inDoubt": False, "notSent": 0}, 2, 2, False, 0),
        ([], {"answered": 0, "inDoubt": False, "notSent": 2}, 2, 0, False, 2),
    ],
)
def test_what_became_of_each_command(
    answers: list[str], members: dict[str, Any], length: int, kept: int, *, in_doubt: bool, not_sent: int
) -> None:
    outcome = seram.outcome(report(answers, **members), length)
    assert (len(outcome.answers), outcome.in_doubt, outcome.not_sent) == (kept, in_doubt, not_sent)


def test_a_report_without_the_response_leaves_everything_in_doubt() -> None:
    bare = decode(b'{"localAgentStatus":{"localAgentStatusEnum":"UNKNOWN_FAILURE"}}', seram.Report)
    outcome = seram.outcome(bare, 3)
    assert outcome.in_doubt
    assert outcome.answers == ()
    assert outcome.not_sent == 0


@given(
    answers=st.lists(st.binary(max_size=6), max_size=8),
    answered=st.one_of(st.none(), st.integers(0, 9)),
    in_doubt=st.booleans(),
    not_sent=st.one_of(st.none(), st.integers(0, 9)),
    length=st.integers(1, 8),
)
def test_no_report_makes_a_command_vanish(
    *, answers: list[bytes], answered: int | None, in_doubt: bool, not_sent: int | None, length: int
) -> None:
    members: dict[str, Any] = {"inDoubt": in_doubt}
    if answered is not None:
        members["answered"] = answered
    if not_sent is not None:
        members["notSent"] = not_sent
    outcome = seram.outcome(report([answer.hex() for answer in answers], **members), length)
    assert len(outcome.answers) <= length
    assert all(len(answer) >= 2 for answer in outcome.answers)
    rest = length - len(outcome.answers)
    assert (rest == 0) == outcome.complete
    if rest:
        assert outcome.not_sent < rest if outcome.in_doubt else outcome.not_sent == rest


@given(st.binary(max_size=200))
def test_any_bytes_are_a_report_or_an_error_that_names_the_place(document: bytes) -> None:
    # WireError is the one exception that may come; its path is never empty.
    with contextlib.suppress(WireError):
        decode(document, seram.Report)
