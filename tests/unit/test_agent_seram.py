"""SERAM messages as the agent reads and writes them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from opentsm_agent.handshake import SecureElement, encode_handshake, parse_handshake_response
from opentsm_agent.journal_records import Orphan
from opentsm_agent.relay import ANY_ANSWER
from opentsm_agent.seram import (
    MAX_DELAY_MS,
    LocalAgentStatus,
    SeCommand,
    Step,
    encode_polling,
    encode_report,
    order_number,
    parse_order,
)
from opentsm_card.errors import ProtocolError
from opentsm_card.script import Expect, ScriptCommand, ScriptOutcome

SELECT = "00A4040007A0000001515350"
OK = bytes.fromhex("9000")


def order(**members: Any) -> bytes:
    return json.dumps(members).encode()


def se_command(**members: Any) -> dict[str, Any]:
    return {"ramCommandType": "seRamCommand", "listOfCAPDU": [SELECT], **members}


class TestHandshake:
    def test_the_command_has_everything_that_the_schema_knows(self) -> None:
        told = json.loads(encode_handshake([SecureElement("eSE", "8900"), SecureElement("uicc", "8901", "SAM")]))
        assert told == {
            "secureElements": [
                {"seType": "eSE", "seId": "8900"},
                {"seType": "uicc", "seId": "8901", "seExtraInfo": "SAM"},
            ],
            "supportedTransportProtocols": ["HTTPS"],
            "supportedDataFormats": ["application/json"],
            "supportedVersions": ["2.0.0"],
            "opentsm": {"version": 1},
        }

    @pytest.mark.parametrize("format_member", ["chosenDataFormat", "chosenDataProtocol"])
    def test_either_name_of_the_data_format_will_do(self, format_member: str) -> None:
        chosen = {"chosenTransportProtocol": "HTTPS", "chosenVersion": "2.0.0", format_member: "application/json"}
        assert parse_handshake_response(order(**chosen)) is False
        assert parse_handshake_response(order(**chosen, opentsm={"version": 1})) is True

    @pytest.mark.parametrize(
        "change",
        [
            {"chosenVersion": "1.0"},
            {"chosenTransportProtocol": "MQTT"},
            {"chosenDataFormat": "application/cbor"},
            {"chosenDataFormat": None},
            {"opentsm": {"version": 2}},
            {"opentsm": 1},
        ],
    )
    def test_what_was_not_offered_is_refused(self, change: dict[str, Any]) -> None:
        chosen = {"chosenTransportProtocol": "HTTPS", "chosenVersion": "2.0.0", "chosenDataFormat": "application/json"}
        with pytest.raises(ProtocolError, match="handshake response"):
            parse_handshake_response(order(**(chosen | change)))


class TestOrder:
    def test_an_se_ram_command_with_our_members(self) -> None:
        command = se_command(
            listOfCAPDU=[SELECT, "80ca006600", "80CA006600"],
            expect=[{"sw": ["9000", "6310"], "data": "aabb"}, {}, None],
            reset=True,
            opaqueFrom=1,
        )
        parsed = parse_order(
            order(
                delay=0,
                chosenSecureElement={"seType": "eSE", "seId": "8900"},
                ramCommands=[command],
                opentsm={"order": 3},
            )
        )
        get_data = bytes.fromhex("80CA006600")
        assert parsed.number == 3
        assert parsed.delay_ms == 0
        assert parsed.secure_element == SecureElement("eSE", "8900")
        script = (
            ScriptCommand(bytes.fromhex(SELECT), Expect(frozenset({0x9000, 0x6310}), b"\xaa\xbb")),
            ScriptCommand(get_data, Expect()),
            ScriptCommand(get_data, ANY_ANSWER),
        )
        assert parsed.commands == (SeCommand(script, reset=True, opaque_from=1),)

    @pytest.mark.parametrize("prefix", ["ramS", "s"])
    def test_both_spellings_of_start_and_stop(self, prefix: str) -> None:
        commands = [{"ramCommandType": f"{prefix}tartCommand"}, {"ramCommandType": f"{prefix}topCommand"}]
        assert parse_order(order(ramCommands=commands)).commands == (Step.START, Step.STOP)

    def test_the_examples_of_the_specification(self) -> None:
        assert parse_order(b'{"delay": 500}').delay_ms == 500
        assert parse_order(b"{}").delay_ms == 100
        notification = {"ramCommandType": "notificationCommand", "deviceAppNotification": "step1/action2/OK"}
        assert parse_order(order(ramCommands=[notification])).commands == ("step1/action2/OK",)

    def test_a_delay_is_bounded(self) -> None:
        assert parse_order(order(delay=10**15)).delay_ms == MAX_DELAY_MS

    @pytest.mark.parametrize(
        ("members", "place"),
        [
            ({"delay": "soon"}, r"\$\.delay"),
            ({"delay": -1}, r"\$\.delay"),
            ({"chosenSecureElement": {"seType": "SD card", "seId": "1"}}, r"\$\.chosenSecureElement\.seType"),
            ({"chosenSecureElement": {"seType": "eSE"}}, r"\$\.chosenSecureElement"),
            ({"ramCommands": [{"ramCommandType": "format"}]}, r"\$\.ramCommands\[0\]"),
            ({"ramCommands": [se_command(), {"listOfCAPDU": []}]}, r"\$\.ramCommands\[1\]"),
            ({"ramCommands": [se_command(listOfCAPDU=[SELECT, "00A"])]}, r"listOfCAPDU\[1\]"),
            ({"ramCommands": [se_command(listOfCAPDU=["00 A4"])]}, r"listOfCAPDU\[0\]"),
            ({"ramCommands": [se_command(listOfCAPDU=["00A40400\n"])]}, r"listOfCAPDU\[0\]"),
            ({"ramCommands": [se_command(expect=[None, None])]}, r"ramCommands\[0\]\.expect"),
            ({"ramCommands": [se_command(expect=[{"sw": []}])]}, r"expect\[0\]\.sw"),
            ({"ramCommands": [se_command(expect=[{"sw": ["90"]}])]}, r"expect\[0\]\.sw\[0\]"),
            ({"ramCommands": [se_command(expect=[{"mask": "FF"}])]}, r"expect\[0\]"),
            ({"ramCommands": [se_command(opaqueFrom=-1)]}, r"opaqueFrom"),
            ({"opentsm": {"order": 0}}, r"\$\.opentsm\.order"),
            ({"opentsm": {"order": "1"}}, r"\$\.opentsm\.order"),
        ],
    )
    def test_a_malformed_order_names_the_place(self, members: dict[str, Any], place: str) -> None:
        with pytest.raises(ProtocolError, match=place):
            parse_order(order(**members))

    @pytest.mark.parametrize(
        "document", [b"", b"{", b"[]", b"\xff", b'{"delay": 1e999}', b"[" * 100_000, b'{"x":' + b"[" * 100_000]
    )
    def test_what_is_no_order_is_a_protocol_error(self, document: bytes) -> None:
        with pytest.raises(ProtocolError, match="order: "):
            parse_order(document)
        assert order_number(document) is None

    def test_members_that_we_do_not_know_are_left_alone(self) -> None:
        parsed = parse_order(
            order(ramCommands=[se_command(vendor={"x": 1})], vendor=True, opentsm={"order": 1, "x": 2})
        )
        assert len(parsed.se_commands) == 1

    def test_the_number_of_a_malformed_order_can_be_read(self) -> None:
        assert order_number(order(delay="soon", opentsm={"order": 5})) == 5
        assert order_number(order(delay="soon")) is None

    def test_an_error_holds_nothing_of_a_c_apdu(self) -> None:
        with pytest.raises(ProtocolError) as caught:
            parse_order(order(ramCommands=[se_command(listOfCAPDU=["80E2000004C0FFEE4"])]))
        assert "C0FFEE" not in str(caught.value)


class TestReport:
    def test_polling(self) -> None:
        status = {"localAgentStatusEnum": "POLLING", "executedSeRamCommands": 0}
        assert json.loads(encode_polling(None)) == {"localAgentStatus": status}
        assert json.loads(encode_polling(4)) == {"localAgentStatus": status, "opentsm": {"order": 4}}

    def test_every_command_has_its_response_with_an_empty_string_where_there_is_no_answer(self) -> None:
        outcomes = [
            (ScriptOutcome((b"\xab" + OK, OK)), 2),
            (ScriptOutcome((OK,), in_doubt=True, not_sent=1), 3),
            (ScriptOutcome((), not_sent=1), 1),
        ]
        told = json.loads(encode_report(LocalAgentStatus.UNAVAILABLE_SE, outcomes, error="gone", order=7))
        assert told == {
            "localAgentStatus": {
                "localAgentStatusEnum": "UNAVAILABLE_SE",
                "executedSeRamCommands": 1,
                "errorMsg": "gone",
            },
            "ramResponses": [
                {
                    "ramResponseType": "seRamResponse",
                    "listOfRAPDU": ["AB9000", "9000"],
                    "answered": 2,
                    "inDoubt": False,
                    "notSent": 0,
                },
                {
                    "ramResponseType": "seRamResponse",
                    "listOfRAPDU": ["9000", "", ""],
                    "answered": 1,
                    "inDoubt": True,
                    "notSent": 1,
                },
                {
                    "ramResponseType": "seRamResponse",
                    "listOfRAPDU": [""],
                    "answered": 0,
                    "inDoubt": False,
                    "notSent": 1,
                },
            ],
            "opentsm": {"order": 7},
        }

    def test_a_peer_without_our_members_gets_none(self) -> None:
        told = json.loads(
            encode_report(LocalAgentStatus.PROCESSED, [(ScriptOutcome((OK,)), 1)], order=1, extended=False)
        )
        assert told == {
            "localAgentStatus": {"localAgentStatusEnum": "PROCESSED", "executedSeRamCommands": 1},
            "ramResponses": [{"ramResponseType": "seRamResponse", "listOfRAPDU": ["9000"]}],
        }

    def test_reports_of_dropped_sessions_are_told_with_the_first_poll(self) -> None:
        outcome = ScriptOutcome((OK,), in_doubt=True)
        report = encode_report(LocalAgentStatus.UNKNOWN_FAILURE, [(outcome, 2)], error="cut", order=9)
        told = json.loads(encode_polling(None, [Orphan("old", "https://tsm.test", 9, report)]))
        (recovered,) = told["opentsm"]["recovered"]
        assert (recovered["session"], recovered["order"]) == ("old", 9)
        assert recovered["localAgentStatus"]["errorMsg"] == "cut"
        assert recovered["ramResponses"][0]["inDoubt"] is True
        assert "opentsm" not in recovered
