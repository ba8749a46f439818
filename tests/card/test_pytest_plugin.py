"""The pytest plugin, used as a developer of applets uses it: pytest in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from applet_project import SOURCE, AppletProject
from opentsm_build.build import build_project
from opentsm_simulator.config import SeConfig
from opentsm_simulator.host import Host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WITHOUT_TRANSACTION = (
    ("        JCSystem.beginTransaction();\n", ""),
    ("        JCSystem.commitTransaction();\n", ""),
)
REGISTER = "new Hello().register(parameters, (short) (offset + 1), parameters[offset]);"
# Whom it greets is in the parameters (C9), behind the AID and the privileges.
REGISTER_NAMED = """Hello made = new Hello();
        short at = (short) (offset + 1 + parameters[offset]);
        at = (short) (at + 1 + parameters[at]);
        made.nameLength = parameters[at];
        Util.arrayCopy(parameters, (short) (at + 1), made.name, (short) 0, made.nameLength);
        made.register(parameters, (short) (offset + 1), parameters[offset]);"""
REFUSING_NAMES = """short at = (short) (offset + 1 + parameters[offset]);
        at = (short) (at + 1 + parameters[at]);
        if (parameters[at] != 0) {
            ISOException.throwIt((short) 0x6A84);
        }
        """


@pytest.fixture
def project(tmp_path: Path) -> AppletProject:
    return AppletProject(tmp_path)


@pytest.fixture
def served() -> Iterator[tuple[Host, str]]:
    """A virtual SE behind TCP: to the plugin it is a card like any other."""
    with Host([SeConfig("card", "embedded", tcp=("127.0.0.1", 0))]) as host:
        tcp = host.ses[0].tcp
        assert tcp is not None
        yield host, f"tcp:{tcp.address}"


def registered(host: Host) -> str:
    return "\n".join(host.ses[0].se.registry_lines()).upper()


def test_a_new_applets_tests_pass(project: AppletProject) -> None:
    code, output = project.pytest()
    assert code == 0, output
    assert "3 passed" in output


def test_a_power_cut_finds_what_no_transaction_holds_together(project: AppletProject) -> None:
    project.change(*WITHOUT_TRANSACTION)
    code, output = project.pytest()
    assert code == 1
    assert "1 failed, 2 passed" in output
    assert "|Hi Ale|" in output  # the new name, cut to the old one's length


def test_the_same_tests_run_on_a_card(project: AppletProject, served: tuple[Host, str]) -> None:
    host, uri = served
    before = registered(host)
    for _ in range(2):
        code, output = project.pytest("--se", uri, "--se-key-file", str(project.key_file()), "-rs")
        assert code == 0, output
        assert "2 passed, 1 skipped" in output
        assert f"cutting the power needs a virtual SE, such as --se virtual:embedded; this is {uri}" in output
        assert registered(host) == before


def test_cards_and_keys_can_be_configured(project: AppletProject, served: tuple[Host, str]) -> None:
    _, uri = served
    path = project.folder / "pytest.ini"
    project.key_file()
    path.write_text(path.read_text().replace("se = virtual:embedded", f"se = {uri}\nse_key_file = card.toml"))
    code, output = project.pytest("-rs")
    assert code == 0, output
    assert f"this is {uri}" in output


@pytest.mark.parametrize(
    ("uri", "says"),
    [("virtual:none", "no card profile 'none'"), ("nonsense:1", "nonsense"), ("tcp:127.0.0.1:1", "refused")],
)
def test_an_se_that_is_not_there_is_told_in_a_line(project: AppletProject, uri: str, says: str) -> None:
    code, output = project.pytest("--se", uri)
    assert code == 1
    assert says in output
    assert ".py:" not in output.partition("short test summary")[0]  # no traceback


def test_no_keys_are_tried_unasked(project: AppletProject, served: tuple[Host, str]) -> None:
    code, output = project.pytest("--se", served[1])
    assert code == 1
    assert "none are tried unasked: --se-key-file" in output
    assert "INITIALIZE UPDATE" not in output


def test_published_keys_want_a_test_card(project: AppletProject, served: tuple[Host, str]) -> None:
    path = project.key_file()
    path.write_text(path.read_text().replace("test_card = true", ""))
    arguments = ("--se", served[1], "--se-key-file", str(path))
    code, output = project.pytest(*arguments)
    assert code == 1
    assert "published test keys" in output
    assert project.pytest(*arguments, "--se-test-card")[0] == 0


def test_what_a_run_left_behind_is_replaced_when_told(project: AppletProject, served: tuple[Host, str]) -> None:
    host, uri = served
    arguments = ("--se", uri, "--se-key-file", str(project.key_file()))
    before = registered(host)
    name = project.folder / "tests" / "test_hello.py"
    kept = name.read_text()
    project.write_tests("import os\n\n\ndef test_dies(applet):\n    os._exit(9)\n")
    assert project.pytest(*arguments)[0] == 9
    assert registered(host) != before
    name.write_text(kept)
    code, output = project.pytest(*arguments)
    assert code == 1
    assert "is on the card already, perhaps from a run that was cut off: --se-replace" in output
    code, output = project.pytest(*arguments, "--se-replace")
    assert code == 0, output
    assert registered(host) == before


def test_a_failing_test_shows_its_apdus_and_no_secret(project: AppletProject) -> None:
    project.write_tests(
        "def test_passes(applet):\n    applet.transmit(bytes.fromhex('00CA0000 00'))\n\n\n"
        "def test_fails(applet):\n"
        "    pin = bytes.fromhex('31373239')\n"
        "    applet.transmit(bytes.fromhex('0020000004') + pin)\n"
        "    applet.transmit(bytes.fromhex('00CA'))\n"
        "    assert applet.send(bytes.fromhex('00CA000000')).data == b'Hi you'\n"
    )
    code, output = project.pytest()
    assert code == 1
    assert output.count("APDUs (virtual:embedded)") == 1  # of the test that failed
    shown = output.partition("APDUs (virtual:embedded)")[2]
    assert "EXTERNAL AUTHENTICATE" in shown
    assert "> 00 20 00 00  VERIFY, 4 bytes that are not shown\n< 6D00 invalid instruction\n" in shown
    assert "> 00 CA  malformed\n< 6700" in shown
    assert "> 00 CA 00 00  GET DATA, Le 256\n< 9000 done, 48 69 20  |Hi |\n" in shown
    assert "31 37 32 39" not in output
    assert "1729" not in output


def test_an_applet_that_can_not_be_installed_shows_why(project: AppletProject) -> None:
    project.change(("new Hello().register(", "ISOException.throwIt((short) 0x6A84); new Hello().register("))
    code, output = project.pytest("-k", "greets")
    assert code == 1
    shown = output.partition("ERRORS ==")[2].partition("short test summary")[0]
    message, found, exchanged = shown.partition("APDUs (virtual:embedded)")
    assert found
    assert message.splitlines()[2] == (
        "opentsm: INSTALL F07ED7A9A7439501: the card answered 6A84 (not enough memory space)"
    )
    assert len(message.splitlines()) == 4, message  # no traceback, and no chain of exceptions
    assert "> 84 E6 0C 00  INSTALL" in exchanged
    assert "< 6A84 not enough memory" in exchanged
    assert "DELETE" not in exchanged  # it comes behind
    assert "1 error" in output


def test_a_refusal_in_a_test_is_shown_at_its_line(project: AppletProject) -> None:
    project.change((REGISTER, REFUSING_NAMES + REGISTER))
    project.write_tests(
        "def again(applet):\n    applet.install_again(b'Ann')\n\n\ndef test_it(applet):\n    again(applet)\n"
    )
    code, output = project.pytest()
    assert code == 1
    shown = output.partition("APDUs (virtual:embedded)")[0]
    assert "RefusedError: INSTALL F07ED7A9A7439501: the card answered 6A84" in shown
    assert "tests/test_hello.py:2: RefusedError" in shown
    assert "tests/test_hello.py:6:" in shown
    assert "opentsm_tools/" not in shown  # nothing of what is below
    assert "1 failed" in output.splitlines()[-1]
    assert "error" not in output.splitlines()[-1]


def test_a_mark_says_how_the_applet_is_installed(project: AppletProject) -> None:
    project.change((REGISTER, REGISTER_NAMED))
    project.write_tests(
        "import pytest\n\nfrom opentsm_card.privileges import Privilege\n\n"
        "CARD_RESET = Privilege.CARD_RESET\n"
        "pytestmark = pytest.mark.applet(aid='F07ED7A9A743950909', params='456E61')\n"
        "GREET = bytes.fromhex('00CA000000')\n\n\n"
        "def test_one(applet):\n"
        "    assert str(applet.aid) == 'F07ED7A9A743950909'\n"
        "    assert applet.send(GREET).data == b'Hi Ena'\n"
        "    applet.install_again(b'Ann')\n"
        "    assert applet.send(GREET).data == b'Hi Ann'\n\n\n"
        "@pytest.mark.applet(params=b'Bea', privileges='card-reset')\n"
        "def test_closest(applet, se):\n"
        "    assert str(applet.aid) == 'F07ED7A9A743950909'\n"
        "    assert applet.send(GREET).data == b'Hi Bea'\n"
        "    assert CARD_RESET in se.manager().registry().find(applet.aid).privileges\n\n\n"
        "@pytest.mark.applet(parms='00')\n"
        "def test_misspelt(applet):\n"
        "    pass\n"
    )
    code, output = project.pytest()
    assert code == 1
    assert "2 passed, 1 error" in output, output
    assert "mark applet: unknown argument parms; known: params, install_params, aid" in output


def test_a_cap_file_of_another_converter_is_tested_too(project: AppletProject) -> None:
    built = project.folder / "build"
    build_project(project.folder)
    (built / "hello.cap").rename(project.folder / "theirs.cap")
    (project.folder / "applet.toml").unlink()
    test = project.folder / "tests" / "test_hello.py"
    text = test.read_text()
    code, output = project.pytest()
    assert code == 1
    assert "no applet.toml in its folder or any above" in output
    test.write_text(f"import pytest\n{text}\n\npytestmark = pytest.mark.applet(cap='../theirs.cap')\n")
    code, output = project.pytest()
    assert code == 0, output


def test_each_test_finds_a_virtual_se_as_it_was_delivered(project: AppletProject) -> None:
    locked = "80F0807F00"
    project.write_tests(
        "def test_locks_the_card(se):\n"
        "    from opentsm_card.apdu import CommandApdu\n"
        f"    assert se.host.send(CommandApdu.parse(bytes.fromhex('{locked}'))).sw == 0x9000\n"
        "    assert se.transmit(bytes.fromhex('00A4040000'))[-2:] == b'\\x62\\x83'\n\n\n"
        "def test_it_is_another(se):\n"
        "    assert se.host.authenticated\n"
        "    assert se.transmit(bytes.fromhex('00A4040000'))[-2:] == b'\\x90\\x00'\n"
        "    assert not se.host.authenticated\n"
    )
    code, output = project.pytest()
    assert code == 0, output
    assert "2 passed" in output


def test_a_cut_at_nothing_is_an_error(project: AppletProject) -> None:
    project.write_tests(
        "def test_reads(applet, power_cut):\n"
        "    for _ in power_cut.every(lambda: applet.send(bytes.fromhex('00CA000000'))):\n"
        "        raise AssertionError\n\n\n"
        "def test_by_hand(applet, power_cut):\n"
        "    import pytest\n"
        "    from opentsm_card.errors import TransportError\n"
        "    power_cut.at(1)\n"
        "    with pytest.raises(TransportError, match='power was cut'):\n"
        "        applet.transmit(bytes.fromhex('00DA0000025A5A'))\n"
        "    assert power_cut.happened\n"
        "    power_cut.restore()\n"
        "    assert not power_cut.happened\n"
        "    assert applet.send(bytes.fromhex('00CA000000')).data == b'Hi '\n"
    )
    code, output = project.pytest()
    assert code == 1
    assert "1 failed, 1 passed" in output
    assert "the action makes no persistent write: there is nothing to cut" in output


def test_other_tests_pay_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n\n\n"
        "def test_it():\n"
        "    loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "    paid = {'opentsm_card', 'opentsm_agent', 'opentsm_build', 'jpype', 'msgspec', 'cryptography', 'click'}\n"
        "    assert not loaded & paid\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_failing_test_names_the_line_and_a_run_writes_its_trace(project: AppletProject) -> None:
    project.change(("        buffer[1] = (byte) 'i';", "        name[MAX_NAME] = 1;"))
    line = 1 + (project.folder / SOURCE).read_text().splitlines().index("        name[MAX_NAME] = 1;")
    code, output = project.pytest("--se-trace", "trace", "-k", "greets")
    assert code == 1
    shown = output.partition("APDUs (virtual:embedded)")[2]
    assert "< 6F00" in shown
    assert f"    at com.example.hello.Hello.greet (Hello.java:{line})\n" in shown
    report = json.loads((project.folder / "trace" / "trace.json").read_text())
    (package,) = report["packages"]
    assert package["name"] == "com.example.hello"
    (greet,) = [each for each in package["methods"] if each["method"].startswith("greet(")]
    assert greet["calls"] == 1
    assert greet["covered"] < greet["instructions"]
    marks = [each["text"] for each in report["commands"] if each["kind"] == "mark"]
    assert marks == ["tests/test_hello.py::test_it_greets_whom_it_is_told"]
    assert "public final class Hello" in (project.folder / "trace" / "trace.html").read_text()
