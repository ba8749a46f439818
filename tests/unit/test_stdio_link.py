"""`stdio:` links: programs of any language, those of the manual too, and what becomes of programs that misbehave."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import sys
import time
from pathlib import Path

import pytest

from opentsm_agent.links import check_uri, open_link
from opentsm_agent.links.replay import Exchange, Reset, ScriptedLink
from opentsm_agent.links.stdio import StdioLink, serve_stdio
from opentsm_card.errors import CardRemovedError, LinkTimeoutError, OpenTsmError, ProtocolError, TransportError

SELECT = bytes.fromhex("00A4040000")
ATR = bytes.fromhex("3B80800101")
MANUAL = Path(__file__).parents[2] / "docs" / "links.md"


def program(folder: Path, body: str) -> str:
    """Return the link to a Python program that has read a request as `ask`, and can `say` an answer to it."""
    path = folder / "card.py"
    path.write_text(
        "import json, os, signal, subprocess, sys, time\n"
        "def say(**told): print(json.dumps({'id': ask['id']} | told), flush=True)\n"
        f"for ask in map(json.loads, sys.stdin):\n"
        f"    if ask['do'] == 'reset': say(atr='{ATR.hex()}'); continue\n"
        + "".join(f"    {line}\n" for line in body.splitlines())
    )
    return f"stdio:{sys.executable} {path}"


def gone(pid: int, within_s: float = 5.0) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if not Path(f"/proc/{pid}").exists() or "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("language", ["sh", "python"])
def test_the_manuals_programs_are_cards(tmp_path: Path, language: str) -> None:
    (text,) = re.findall(rf"```{language}\n(#!.*?)```", MANUAL.read_text(), re.DOTALL)
    card = tmp_path / "card"
    card.write_text(text)
    card.chmod(0o755)
    with open_link(f"stdio:{card}", 20) as link:
        assert isinstance(link, StdioLink)
        assert link.atr == ATR
        assert link.transmit(SELECT) == bytes.fromhex("6F009000")
        assert link.transmit(bytes.fromhex("80CA9F7F00")) == bytes.fromhex("6D00")
        assert link.reset() == ATR


@pytest.mark.parametrize(
    "body",
    ["say(response=ask['command'][14:] + '9000')", "print(PLAIN % (ask['id'], ask['command'][14:]), flush=True)"],
    ids=["with spaces", "as our own program writes it"],
)
def test_a_long_apdu_goes_both_ways_whole(tmp_path: Path, body: str) -> None:
    command = bytes.fromhex("80E2000000FFFF") + os.urandom(65535)
    body = body.replace("PLAIN", '\'{"id":%d,"response":"%s9000"}\'')
    with open_link(program(tmp_path, body), 20) as link:
        assert link.transmit(command) == command[7:] + b"\x90\x00"


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ("say(error='timeout')", LinkTimeoutError, "timeout"),
        ("say(error='removed', message='no card')", CardRemovedError, "no card"),
        ("say(error='failed', message='x' * 9999)", TransportError, "x{200}$"),
        ("say(error='nonsense')", TransportError, "nonsense"),
        ("print('hello', flush=True)", TransportError, "not one line of JSON"),
        ("print('[1]', flush=True)", TransportError, "not to request 2"),
        ("ask['id'] -= 1; say(response='9000')", TransportError, "not to request 2"),
        ("say(response='900')", TransportError, "in hex"),
        ("say(response=9000)", TransportError, "in hex"),
        ("say(response='90')", TransportError, "no status word"),
        ("say(atr='9000')", TransportError, "in hex"),
        ('print(\'{"id":1,"response":"9000"}\', flush=True)', TransportError, "not to request 2"),
        ('print(\'{"id":2,"response":"900"}\', flush=True)', TransportError, "in hex"),
        ('print(\'{"id":2,"response":"90"}\', flush=True)', TransportError, "no status word"),
        ('print(\'{"id":02,"response":"9000"}\', flush=True)', TransportError, "not one line of JSON"),
        ("print('x' * 500000, flush=True)", TransportError, "longer than"),
        ("print('{', end='', flush=True); time.sleep(60)", LinkTimeoutError, "within 2 s"),
        ("time.sleep(60)", LinkTimeoutError, "within 2 s"),
        ("sys.exit(1)", CardRemovedError, "has ended"),
        ("print('{', end='', flush=True); sys.exit(1)", CardRemovedError, "has ended"),
    ],
)
def test_each_failure_has_its_error_and_ends_the_program(
    tmp_path: Path, body: str, error: type[TransportError], message: str
) -> None:
    link = open_link(program(tmp_path, body), 2)
    assert isinstance(link, StdioLink)
    process = link._process
    assert process is not None
    with pytest.raises(TransportError, match=message) as caught:
        link.transmit(SELECT)
    assert type(caught.value) is error
    assert gone(process.pid)
    with pytest.raises(CardRemovedError, match="closed"):
        link.transmit(SELECT)
    with pytest.raises(CardRemovedError, match="closed"):
        link.reset()


@pytest.mark.parametrize("form", ["", ", separators=(',', ':')"])
def test_what_comes_unasked_is_never_an_answer(tmp_path: Path, form: str) -> None:
    two = f"''.join(json.dumps({{'id': n, 'response': '9000'}}{form}) + '\\n' for n in (2, 3))"
    body = f"sys.stdout.write({two}); sys.stdout.flush()"
    with open_link(program(tmp_path, body), 5) as link, pytest.raises(TransportError):
        link.transmit(SELECT)


def test_a_refusal_leaves_the_link_open(tmp_path: Path) -> None:
    body = "say(error='refused', message='too long') if len(ask['command']) > 10 else say(response='9000')"
    with open_link(program(tmp_path, body), 20) as link:
        with pytest.raises(ProtocolError, match="too long"):
            link.transmit(bytes(20))
        assert link.transmit(SELECT) == b"\x90\x00"
        with pytest.raises(ProtocolError):
            link.transmit(b"\x00\xa4\x04")


@pytest.mark.parametrize(
    "stubborn",
    ["", "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"],
    ids=["ends by SIGTERM", "ends by SIGKILL"],
)
def test_a_program_that_does_not_end_is_ended_with_what_it_started(tmp_path: Path, stubborn: str) -> None:
    uri = program(
        tmp_path, f"{stubborn}child = subprocess.Popen(['sleep', '600'])\nsay(response=f'{{child.pid:08X}}9000')"
    )
    path = tmp_path / "card.py"
    # It goes on when its input has ended.
    path.write_text(path.read_text() + "time.sleep(600)\n")
    link = open_link(uri, 20)
    assert isinstance(link, StdioLink)
    child = int.from_bytes(link.transmit(SELECT)[:4], "big")
    process = link._process
    assert process is not None
    link.close()
    assert gone(process.pid)
    assert gone(child)
    link.close()


def test_closing_ends_a_program_that_obeys_by_the_end_of_its_input(tmp_path: Path) -> None:
    mark = tmp_path / "ended"
    path = tmp_path / "card.py"
    link_uri = program(tmp_path, "say(response='9000')")
    path.write_text(path.read_text() + f"open({str(mark)!r}, 'w').close()\n")
    open_link(link_uri, 20).close()
    assert mark.exists()


def test_no_shell_is_between() -> None:
    with pytest.raises(TransportError, match=r"can't be started"):
        open_link("stdio:/no/such/program; echo", 1)
    with pytest.raises(TransportError, match=r"has ended|is gone"):
        open_link("stdio:true", 5)
    for command in ("stdio:  ", "stdio:'x"):
        with pytest.raises(ProtocolError, match="stdio"):
            check_uri(command)


def test_one_process_serves_a_link_to_another(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text("^ 3B80800101\n> 00A4040000\n< 6F009000\n^ 3B00\n> 80CA9F7F00\n< 6A88\n")
    command = [sys.executable, "-m", "opentsm_tools.main", "card", "--link", f"replay:{trace}", "stdio"]
    with open_link(f"stdio:{shlex.join(command)}", 30) as link:
        assert isinstance(link, StdioLink)
        assert link.atr == ATR
        assert link.transmit(SELECT) == bytes.fromhex("6F009000")
        assert link.reset() == bytes.fromhex("3B00")
        assert link.transmit(bytes.fromhex("80CA9F7F00")) == bytes.fromhex("6A88")


class TestServing:
    @staticmethod
    def serve(link: ScriptedLink, *requests: object) -> tuple[list[dict[str, object]], OpenTsmError | None]:
        lines = [r.encode() if isinstance(r, str) else json.dumps(r).encode() for r in requests]
        said = io.BytesIO()
        failure: OpenTsmError | None = None
        try:
            serve_stdio(link, ATR, lines, said)
        except OpenTsmError as error:
            failure = error
        return [json.loads(line) for line in said.getvalue().splitlines()], failure

    def test_the_first_reset_is_the_one_that_opened_the_link(self) -> None:
        link = ScriptedLink([Reset(ATR), Exchange(SELECT, b"\x90\x00")])
        told, failure = self.serve(
            link,
            {"id": 1, "do": "reset"},
            {"id": 2, "do": "transmit", "command": "00A4040000"},
            {"id": 3, "do": "reset"},
        )
        assert failure is None
        assert told == [
            {"id": 1, "atr": ATR.hex().upper()},
            {"id": 2, "response": "9000"},
            {"id": 3, "atr": ATR.hex().upper()},
        ]
        assert link.resets == 1

    @pytest.mark.parametrize("kind", ["timeout", "removed", "failed"])
    def test_a_failure_of_the_link_is_told_and_ends_it(self, kind: str) -> None:
        told, failure = self.serve(
            ScriptedLink([Exchange(SELECT, kind)]), {"id": 7, "do": "transmit", "command": "00A4040000"}
        )
        assert isinstance(failure, TransportError)
        assert [(line["id"], line["error"]) for line in told] == [(7, kind)]

    @pytest.mark.parametrize(
        "request_",
        ["{", "[]", "1", {"id": 1}, {"id": "1", "do": "reset"}, {"id": 1, "do": "x"}]
        + [{"id": 1, "do": "transmit", "command": value} for value in ("0", 5, None)],
    )
    def test_a_request_that_makes_no_sense_is_bad_input(self, request_: object) -> None:
        told, failure = self.serve(ScriptedLink([]), request_)
        assert told == []
        assert isinstance(failure, ProtocolError)
