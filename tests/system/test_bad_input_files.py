"""Whatever file is given to whatever door: one line that names file and place, exit code 4, nothing changed."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from door import door, refused

if TYPE_CHECKING:
    from collections.abc import Iterator

SD = "F06F70656E74736D0A0001"
MNO = '\n[[mno]]\nid = "north"\ngateway = "https://127.0.0.1:1"\nca = "ca.pem"\n'
SE = {"id": "ese-1", "type": "eSE", "configuration": "embedded", "mno": "north", "msisdn": "+4917000"}
ACCOUNT = {"uid": "00" * 16, "pan": "4111111111111111", "expiry": "300131", "label": "card"}
AGENT = """\
[tsm]
url = "https://127.0.0.1:1"
[network]
gateway = "https://127.0.0.1:1"
[identity]
certificate = "tsm/operator.pem"
key = "tsm/operator.key"
ca = "tsm/ca.pem"
[journal]
path = "journal"
[[se]]
id = "x"
type = "eSE"
link = "tcp:127.0.0.1:1"
"""

PERSONALIZE = ("--config", "sp/sp.toml", "--se", "e", "--service", "payment", "--qualifier", "q", "--accounts")

Files = dict[str, str]


def digests(folder: Path) -> Files:
    """Return what is in a folder; a database's log beside it aside."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


@pytest.fixture(scope="module", name="made")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of each server, an SP with its certificate, and files that are wrong each in its way."""
    root = tmp_path_factory.mktemp("made")
    assert door("tsm", "init", root / "tsm").code == 0
    with (root / "tsm" / "tsm.toml").open("a") as file:
        file.write(MNO)
    tsm = ("--config", root / "tsm" / "tsm.toml")
    assert door("tsm", "se", "add", *tsm, stdin=json.dumps([SE]).encode()).code == 0
    assert door("mno", "init", "--dir", root / "mno", "--id", "north", "--listen", "127.0.0.1:0").code == 0
    sp = root / "sp"
    assert door("sp", "init", "--dir", sp, "--id", "bank", "--sd", SD, "--tsm", "https://127.0.0.1:1").code == 0
    shutil.copy(root / "tsm" / "ca.pem", sp / "tsm-ca.pem")
    request = ("--csr", sp / "client.csr.pem", "--out", sp / "client")
    assert door("tsm", "issue-cert", "--role", "sp", "--id", "bank", *request, *tsm).code == 0
    text = (sp / "sp.toml").read_text().replace("[tsm]", "[tsm]\npatience_s = 0.0")
    (sp / "sp.toml").write_text(f'{text}\n[[service]]\nname = "payment"\ninstance = "F06F70656E74736D0B000101"\n')
    assert door("sp", "operations", "--config", sp / "sp.toml").code == 0
    (root / "agent.toml").write_text(AGENT)
    (root / "directory").mkdir()
    (root / "empty").write_bytes(b"")
    (root / "script").write_text("00A4040000\n")
    (root / "junk").write_bytes(b"= = =\n")
    (root / "latin").write_bytes(b"\xff\xfe = 1\n")
    (root / "unknown").write_bytes(b"frob = 1\n")
    (root / "nested").write_text("a = " + "[" * 100_000 + "]" * 100_000)
    (root / "huge").write_bytes(b"# nothing\n" * 200_000)
    (root / "nul").write_text('id = "a\\u0000b"\n')
    return root


@pytest.fixture(name="root")
def _root(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "root"
    shutil.copytree(made, root)
    monkeypatch.chdir(root)
    return root


@pytest.fixture(name="unchanged")
def _unchanged(root: Path) -> Iterator[None]:
    """Hold a test to changing nothing but what it wrote itself, under `given`."""
    before = digests(root)
    yield
    after = {name: digest for name, digest in digests(root).items() if not name.startswith("given")}
    assert after == before


DOORS = {
    "agent run": ("agent", "run"),
    "agent status": ("agent", "status"),
    "agent enrol": ("agent", "enrol", "--code", "x"),
    "mno serve": ("mno", "serve"),
    "se run": ("se", "run"),
    "tsm serve": ("tsm", "serve"),
    "tsm audit": ("tsm", "audit"),
    "tsm key list": ("tsm", "key", "list"),
    "sp operations": ("sp", "operations"),
}


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name", DOORS)
@pytest.mark.parametrize("file", ["missing", "directory", "junk", "latin", "unknown", "nested", "huge", "nul"])
def test_a_wrong_configuration_file_is_named(name: str, file: str) -> None:
    assert file in refused(4, *DOORS[name], "--config", file)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name", [name for name in DOORS if not name.startswith("tsm")])
def test_an_empty_configuration_names_what_it_lacks(name: str) -> None:
    said = refused(4, *DOORS[name], "--config", "empty")
    assert "empty: " in said
    assert "Object missing required field" in said


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "arguments",
    [
        ("mno", "fingerprint"),
        ("tsm", "key", "add", "--config", "tsm/tsm.toml", "--name", "spare", "--file"),
        ("tsm", "init", "given", "--master-file"),
        ("tsm", "se", "add", "--config", "tsm/tsm.toml", "--json"),
        ("tsm", "issue-cert", "--config", "tsm/tsm.toml", "--role", "sp", "--id", "x", "--out", "given", "--csr"),
        ("sp", "personalize", *PERSONALIZE),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
@pytest.mark.parametrize("file", ["missing", "directory", "empty", "junk", "latin"])
def test_a_wrong_file_given_to_an_option_is_bad_input(root: Path, arguments: tuple[str, ...], file: str) -> None:
    line = refused(4, *arguments, file)
    assert file in line or "--csr" in arguments
    assert not (root / "given").exists()
    assert not (root / "given.pem").exists()


@pytest.mark.parametrize(
    ("door_name", "config", "entry", "file", "says"),
    [
        ("tsm serve", "tsm/tsm.toml", 'certificate = "server.pem"', "junk", "junk"),
        ("tsm serve", "tsm/tsm.toml", 'key = "server.key"', "directory", "directory"),
        ("tsm serve", "tsm/tsm.toml", 'key = "server.key"', "mno/server.key", "another certificate's"),
        ("tsm serve", "tsm/tsm.toml", 'ca = "ca.pem"\nkeystore', "junk", "junk: not a PEM certificate"),
        ("tsm serve", "tsm/tsm.toml", 'ca = "ca.pem"\nkeystore', "mno/ca.pem", "not the certificate of the CA's key"),
        ("tsm serve", "tsm/tsm.toml", 'keystore = "keystore.json"', "latin", "latin: not a key store"),
        ("tsm serve", "tsm/tsm.toml", 'passphrase_file = "passphrase"', "junk", "wrong passphrase"),
        ("tsm serve", "tsm/tsm.toml", 'passphrase_file = "passphrase"', "empty", "empty: no passphrase"),
        ("tsm serve", "tsm/tsm.toml", 'database = "tsm.sqlite"', "directory", "directory: "),
        ("tsm serve", "tsm/tsm.toml", 'database = "tsm.sqlite"', "junk", "junk: not a database"),
        ("mno serve", "mno/mno.toml", 'certificate = "server.pem"', "empty", "empty"),
        ("mno serve", "mno/mno.toml", 'database = "mno.sqlite"', "latin", "latin: not a database"),
        ("mno serve", "mno/mno.toml", 'database = "mno.sqlite"', "directory", "directory: "),
        ("sp operations", "sp/sp.toml", 'certificate = "client.pem"', "missing", "missing: no such file"),
        ("sp operations", "sp/sp.toml", 'ca = "tsm-ca.pem"', "junk", "junk: not a CA certificate"),
        ("sp operations", "sp/sp.toml", 'database = "sp.sqlite"', "junk", "junk: not a database"),
        ("sp operations", "sp/sp.toml", 'passphrase_file = "passphrase"', "latin", "wrong passphrase"),
        ("agent run", "agent.toml", 'certificate = "tsm/operator.pem"', "missing", "opentsm agent enrol --config"),
        ("agent run", "agent.toml", 'key = "tsm/operator.key"', "latin", "latin: not PEM"),
        ("agent run", "agent.toml", 'key = "tsm/operator.key"', "tsm/server.key", "another certificate's"),
        ("agent run", "agent.toml", 'ca = "tsm/ca.pem"', "empty", "empty: not PEM"),
        ("agent run", "agent.toml", 'path = "journal"', "/proc/no/journal", "journal /proc/no/journal"),
        ("agent status", "agent.toml", 'path = "journal"', "directory", "directory: Is a directory"),
        ("agent status", "agent.toml", 'path = "journal"', "junk", "no journal of the agent"),
    ],
)
def test_a_wrong_file_of_a_folder_is_named(
    root: Path, door_name: str, config: str, entry: str, file: str, says: str
) -> None:
    path = root / config
    text = path.read_text()
    assert entry in text
    path.write_text(text.replace(entry, re.sub(r'"[^"]*"', f'"{root / file}"', entry, count=1)))
    before = digests(root)
    assert says in refused(4, *DOORS[door_name], "--config", config)
    assert digests(root) == before


@pytest.mark.parametrize(
    ("door_name", "config", "table", "says"),
    [
        ("tsm serve", "tsm/tsm.toml", MNO, "mno: more than one table for north"),
        ("tsm serve", "tsm/tsm.toml", MNO.replace("north", "n").replace("https", "ftp"), "mno n: gateway"),
        ("tsm serve", "tsm/tsm.toml", MNO.replace("north", "n").replace("ca.pem", "../junk"), "junk: not a PEM"),
        ("tsm serve", "tsm/tsm.toml", '[[sp]]\nid = "s"\nmnos = []\nencryption_key = "no.pem"', "no.pem: No such"),
        ("tsm serve", "tsm/tsm.toml", '[[sp]]\nid = "s"\nmnos = []\nencryption_key = "ca.pem"', "ca.pem: not a"),
        ("tsm serve", "tsm/tsm.toml", '[[se]]\nid = "a b"', "$.se[0].id"),
        ("mno serve", "mno/mno.toml", '[[device]]\nse = "a"\n[[device]]\nse = "a"', "device: more than one"),
        ("mno serve", "mno/mno.toml", '[[device]]\nse = "a"\ncertificate = "zz"', "$.device[0].certificate"),
        ("mno serve", "mno/mno.toml", '[[uicc]]\nse = "a"\ndiversification_data = "zz"', "uicc[0].diversif"),
        (
            "mno serve",
            "mno/mno.toml",
            '[[uicc]]\nse = "a"\ndiversification_data = "00112233445566778899"\nisd = "A0"',
            "uicc[0].isd: an AID has 5 to 16 bytes",
        ),
        ("sp operations", "sp/sp.toml", '[[service]]\nname = "b"\ninstance = "zz"', "service[1].instance"),
        ("sp operations", "sp/sp.toml", '[[service]]\nname = "payment"\ninstance = "0011223344"', "more than one"),
        ("sp operations", "sp/sp.toml", '[[service]]\nname = "b"\ninstance = "0011223344"\npriority = 0', "priority"),
        ("agent run", "agent.toml", '[[se]]\nid = "y"\ntype = "eSE"\nlink = "tcp:host"', "$.se[1].link"),
        ("agent run", "agent.toml", '[[se]]\nid = "y"\ntype = "frob"\nlink = "tcp:h:1"', "$.se[1].type"),
    ],
)
def test_a_wrong_entry_is_named(root: Path, door_name: str, config: str, table: str, says: str) -> None:
    with (root / config).open("a") as file:
        file.write(f"\n{table}\n")
    before = digests(root)
    line = refused(4, *DOORS[door_name], "--config", config)
    assert says in line
    assert digests(root) == before


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b'[{"id"', "stdin: $: not JSON"),
        (b'[{"id": "\xff"}]', "stdin: $: not JSON"),
        (b"{}", "Expected `array`"),
        (b'[{"id": 5}]', "$[0].id"),
        (json.dumps([SE | {"frob": 1}]).encode(), "`frob`"),
        (json.dumps([SE | {"id": "x", "mno": "west"}]).encode(), "no mno 'west'"),
        (json.dumps([SE | {"id": "x", "msisdn": ""}]).encode(), "$[0].msisdn"),
        (json.dumps([SE | {"id": "x", "packages": ["AA"]}]).encode(), "se x: AID"),
        (json.dumps([SE | {"id": "x", "diversification_data": "AA"}]).encode(), "diversification_data"),
        # The first is sound: all of them go in, or none.
        (json.dumps([SE | {"id": "x"}, SE | {"id": "y", "issuer": "AA"}]).encode(), "se y: AID"),
    ],
)
def test_wrong_secure_elements_leave_the_inventory_as_it_was(document: bytes, says: str) -> None:
    assert says in refused(4, "tsm", "se", "add", "--config", "tsm/tsm.toml", stdin=document)
    listed = json.loads(door("tsm", "se", "list", "--config", "tsm/tsm.toml", "--json").out)
    assert [se["id"] for se in listed] == ["ese-1"]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b'[{"uid"', "given: $: not JSON"),
        (json.dumps([ACCOUNT | {"frob": 1}]).encode(), "`frob`"),
        (json.dumps([ACCOUNT, ACCOUNT | {"uid": "00"}]).encode(), "given: $[1]: account uid"),
        (json.dumps([ACCOUNT | {"pan": "4111x"}]).encode(), "$[0]: account pan"),
        (json.dumps([ACCOUNT | {"expiry": "301301"}]).encode(), "$[0]: account expiry"),
        (json.dumps([ACCOUNT, ACCOUNT]).encode(), "$[1].uid: an account before it"),
    ],
)
def test_wrong_accounts_are_refused_before_an_operation_is_kept(root: Path, document: bytes, says: str) -> None:
    (root / "given").write_bytes(document)
    line = refused(4, "sp", "personalize", *PERSONALIZE, "given")
    assert says in line
    assert "4111" not in line
    assert door("sp", "operations", "--config", "sp/sp.toml").out == ""


@pytest.mark.parametrize("name", ["tsm/tsm.toml", "mno/mno.toml"])
def test_a_port_in_use_is_a_link_error(root: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        config = root / name
        config.write_text(re.sub(r'(?m)^listen = ".*"$', f'listen = "{address}"', config.read_text()))
        line = refused(3, name.partition("/")[0], "serve", "--config", name)
    assert line == f"opentsm: cannot listen on {address}: Address already in use"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "--image", "given/none.card"), "none.card: No such file"),
        (("run", "--image", "./junk"), "junk: this is no card image"),
        (("restore", "nobody", "directory"), "directory: Is a directory"),
        (("reset", "./empty", "--new"), "empty: this is no card image"),
        (("sweep", "embedded", "--cap", "junk", "--script", "script"), "junk: not a readable ZIP archive"),
        (("sweep", "embedded", "--cap", "given/none", "--script", "script"), "given/none: No such file"),
        (("sweep", "embedded", "--script", "junk"), "junk, line 1"),
        (("trace", "embedded", "--cap", "junk", "--script", "empty"), "junk: not a readable ZIP archive"),
        (("trace", "embedded", "--script", "empty", "--source", "given/none"), "given/none: no folder of sources"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_what_a_virtual_se_is_given(arguments: tuple[str, ...], says: str) -> None:
    assert says in refused(4, "se", *arguments)


@pytest.mark.usefixtures("root")
def test_a_card_image_is_never_written_over() -> None:
    assert door("se", "create", "./mine.card", "--profile", "embedded").code == 0
    before = digests(Path())
    assert "mine.card: File exists" in refused(4, "se", "create", "./mine.card", "--profile", "embedded")
    assert digests(Path()) == before
