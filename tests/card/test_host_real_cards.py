"""`opentsm card` against real cards: dialogues that their owners published, played back byte for byte.

A dialogue is never whole. What it holds must be sent exactly as it stands there, and is answered as it stands there;
what it does not hold is answered 6A88, which says nothing of the card.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from door import door
from opentsm_card.apdu import ResponseApdu
from opentsm_card.get_status import Scope
from opentsm_card.registry import parse_get_status
from recorded_card import run

VECTORS: Final = Path(__file__).parents[1] / "vectors"
REAL: Final = json.loads((VECTORS / "real-cards.json").read_text())
DIALOGUES: Final = json.loads((VECTORS / "scp03-dialogues.json").read_text())["sessions"]
SECURED: Final = 0x84


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.parametrize("session", DIALOGUES, ids=lambda session: str(session["name"]))
def test_a_euicc_s_sessions_at_every_level(session: dict[str, Any], tmp_path: Path) -> None:
    """From INITIALIZE UPDATE to the wrapped commands our host sends what that card took, and it reads its answer."""
    keys = session["keys"]
    file = tmp_path / "keys.toml"
    file.write_text("\n".join(f'{part} = "{keys[part]}"' for part in ("enc", "mac", "dek")))
    file.chmod(0o600)
    begin = session["initialize_update"]
    exchanges = [
        (bytes.fromhex(begin["command"]), bytes.fromhex(begin["response_data"] + "9000")),
        (bytes.fromhex(session["external_authenticate"]), bytes.fromhex("9000")),
    ]
    plain = []
    for exchange in session["exchanges"]:
        answer = exchange.get("wrapped_response_data", "") + exchange.get("status", "6A88")
        exchanges.append((bytes.fromhex(exchange["wrapped_command"]), bytes.fromhex(answer)))
        plain.append(exchange["plain_command"])
    access = ("--sd", session["selected_aid"], "--key-file", file, "--key-version", str(keys["key_version"]))
    answer, card = run(
        exchanges, *access, "--security", session["security_level"], "send", "--secure", *plain, "--json"
    )
    assert answer.code == 0, answer
    first = json.loads(answer.out)["exchanges"][0]
    assert first["data"] == session["exchanges"][0]["plain_response_data"].upper()
    assert f"key version {keys['key_version']:#04x}, SCP03 i=70" in answer.err
    # Nothing under the secure channel was other than recorded.
    assert [command for command in card.missing if command[0] == SECURED] == []


def exchanges_of(session: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    return [(bytes.fromhex(command), bytes.fromhex(answer)) for command, answer in session["exchanges"]]


@pytest.mark.parametrize(
    "session",
    [item for item in REAL["sessions"] if item["scp"].startswith("SCP03")],
    ids=lambda item: str(item["card"]),
)
def test_a_card_s_cryptogram_proves_keys_and_diversification(session: dict[str, Any]) -> None:
    """The records end before EXTERNAL AUTHENTICATE is answered: it is sent only when the cryptogram is right."""
    declared = ("--key", session["master"], *(("--test-card",) if session["test_key"] else ()))
    right = ("--diversification", session["diversification"])
    answer, card = run(exchanges_of(session), *declared, *right, "keys", "check")
    assert f"asks for key version 0x{session['key_version']}, {session['scp']}" in answer.err
    assert "EXTERNAL AUTHENTICATE answered 6A88" in answer.err
    assert [command[1] for command in card.missing if command[0] == SECURED] == [0x82]
    wrong = "none" if session["diversification"] != "none" else "emv"
    answer, card = run(exchanges_of(session), *declared, "--diversification", wrong, "--after-failure", "keys", "check")
    assert answer.code == 1
    assert "cryptogram does not verify" in answer.err
    assert [command for command in card.missing if command[0] == SECURED] == []


def test_the_keys_of_a_cosmo_card_are_listed() -> None:
    answer, _ = run(exchanges_of(REAL["sessions"][0]), "keys", "list", "--json")
    assert [
        (key["version"], key["id"], key["types"], key["length_bytes"]) for key in json.loads(answer.out)["keys"]
    ] == [(1, number, ["AES"], [32]) for number in (1, 2, 3)]


def test_a_trace_of_the_cosmo_card_is_played_back(tmp_path: Path) -> None:
    """`replay:` takes each command as recorded and in order: here they are all there."""
    wanted = ("00A4040000", "80CA9F7F00", "80CA00E000")
    recorded = dict(REAL["sessions"][0]["exchanges"])
    trace = tmp_path / "cosmo.trace"
    lines = [f"> {command}\n< {recorded[command]}" for command in wanted]
    trace.write_text("^ 3BD6970081B1FE451F078031C1521118F9\n" + "\n".join(lines) + "\n")
    answer = door("card", "--link", f"replay:{trace}", "keys", "list", "--json")
    assert answer.code == 0, answer
    assert len(json.loads(answer.out)["keys"]) == 3
    trace.write_text(trace.read_text().replace("< E012", "< E013"))
    assert door("card", "--link", f"replay:{trace}", "keys", "list").code == 4


@pytest.mark.parametrize("record", REAL["get_status"], ids=lambda record: f"{record['source']} {record['scope']}")
def test_registries_of_real_cards_are_read_to_their_end(record: dict[str, Any]) -> None:
    answers = [ResponseApdu(bytes.fromhex(data), int(sw, 16)) for data, sw in record["answers"]]
    scope = Scope(int(record["scope"], 16))
    entries, complete = parse_get_status(scope, answers)
    assert (len(entries), complete) == (record["entries"], True)
    if len(answers) > 1:
        assert parse_get_status(scope, answers[:-1])[1] is False
