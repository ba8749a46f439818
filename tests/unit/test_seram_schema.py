"""SERAM messages, ours and the central TSM's, validate against GlobalPlatform's published OpenAPI file.

Where that file lies beside the checkout it is the judge, as well as our own restatement of its schemas; elsewhere that
one is.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from openapi_schema_validator import OAS30Validator

from opentsm_agent.handshake import SecureElement, encode_handshake
from opentsm_agent.seram import LocalAgentStatus, encode_polling, encode_report
from opentsm_card.script import Expect, ScriptCommand, ScriptOutcome
from opentsm_tsm import seram
from opentsm_tsm.wire import decode

ROOT = Path(__file__).parents[2]
OWN = json.loads((ROOT / "tests" / "vectors" / "seram-2.0.0.json").read_text())
PUBLISHED = ROOT.parent / "shared" / "standards" / "gpseram-2.0.0.yaml"
DOCUMENTS = {"own": OWN} | ({"published": yaml.safe_load(PUBLISHED.read_text())} if PUBLISHED.exists() else {})
# The discriminators' targets: which schema a command or response of a type must fit.
TYPES = {"seRamCommand": "seRamCommand", "seRamResponse": "seRamResponse"}


def check(document: bytes, schema: str) -> dict[str, Any]:
    """Validate a message, and each command or response in it by its type, against every judge there is."""
    message = json.loads(document)
    assert isinstance(message, dict)
    for judge in DOCUMENTS.values():
        validate(judge, message, schema)
        for part in message.get("ramCommands", []) + message.get("ramResponses", []):
            kind = part.get("ramCommandType") or part.get("ramResponseType")
            validate(judge, part, TYPES.get(kind, "ramCommand"))
    for text in apdus(message):
        # The file's pattern has no anchors: alone it would let anything pass.
        assert re.fullmatch("([0-9A-F]{2})*", text)
    return message


def validate(judge: dict[str, Any], instance: object, schema: str) -> None:
    OAS30Validator({"$ref": f"#/components/schemas/{schema}", "components": judge["components"]}).validate(instance)


def apdus(message: dict[str, Any]) -> list[str]:
    commands = message.get("ramCommands", []) + message.get("ramResponses", [])
    return [each for command in commands for name in ("listOfCAPDU", "listOfRAPDU") for each in command.get(name, [])]


outcomes = st.lists(
    st.tuples(
        st.builds(
            ScriptOutcome,
            st.lists(st.binary(min_size=2, max_size=20), max_size=4).map(tuple),
            st.booleans(),
            st.integers(0, 3),
        ),
        st.integers(0, 8),
    ),
    max_size=3,
)


@given(
    st.lists(
        st.builds(
            SecureElement,
            st.sampled_from(["eSE", "iSE", "uicc", "euicc", "ieuicc", "undefined"]),
            st.text(min_size=1),
            st.none() | st.text(),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_the_agent_s_handshake(elements: list[SecureElement]) -> None:
    message = check(encode_handshake(elements), "ramHandshakeCommand")
    assert len(message["secureElements"]) == len(elements)


@given(
    st.sampled_from(LocalAgentStatus), outcomes, st.none() | st.text(), st.none() | st.integers(1, 99), st.booleans()
)
def test_the_agent_s_reports(
    status: LocalAgentStatus,
    results: list[tuple[ScriptOutcome, int]],
    error: str | None,
    order: int | None,
    extended: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    sized = [(outcome, max(size, len(outcome.answers))) for outcome, size in results]
    document = encode_report(status, sized, error=error, order=order, extended=extended)
    message = check(document, "remoteManagementReport")
    assert [len(each["listOfRAPDU"]) for each in message.get("ramResponses", [])] == [size for _, size in sized]


@pytest.mark.parametrize("order", [None, 3])
def test_the_agent_s_polling(order: int | None) -> None:
    message = check(encode_polling(order), "remoteManagementReport")
    assert message["localAgentStatus"] == {"localAgentStatusEnum": "POLLING", "executedSeRamCommands": 0}


def test_the_central_tsm_s_handshake_reply() -> None:
    handshake = decode(encode_handshake([SecureElement("eSE", "se")]), seram.Handshake)
    check(seram.handshake_reply(handshake), "ramHandshakeResponse")


def test_the_central_tsm_s_orders() -> None:
    script = (
        ScriptCommand(bytes.fromhex("00A4040008A000000151000000"), Expect(frozenset({0x9000, 0x6283}))),
        ScriptCommand(bytes.fromhex("8050300008"), Expect(data=b"\xab")),
    )
    for number in (1, 2):
        message = check(seram.script_order(number, ("eSE", "se"), script, reset=True), "remoteManagementOrder")
        assert [each["ramCommandType"] for each in message["ramCommands"]][-1] == "seRamCommand"
    check(seram.empty_order(0.5), "remoteManagementOrder")
    check(seram.stop_order(3), "remoteManagementOrder")


def test_the_judge_refuses_what_is_none() -> None:
    for judge in DOCUMENTS.values():
        for wrong, schema in (
            ({"localAgentStatus": {"localAgentStatusEnum": "FINE"}}, "remoteManagementReport"),
            ({}, "remoteManagementReport"),
            ({"secureElements": [{"seType": "sim", "seId": "x"}]}, "ramHandshakeCommand"),
            ({"delay": "soon"}, "remoteManagementOrder"),
            ({"ramResponseType": "seRamResponse"}, "seRamResponse"),
        ):
            with pytest.raises(Exception, match=r"."):
                validate(judge, wrong, schema)


def test_our_restatement_names_what_the_published_file_names() -> None:
    schemas = {name: each["components"]["schemas"] for name, each in DOCUMENTS.items()}
    assert set(schemas) >= {"own"}
    for name, schema in schemas["own"].items():
        published = schemas.get("published", schemas["own"])[name]
        for member in schema.get("properties", {}):
            assert member in json.dumps(published), (name, member)
