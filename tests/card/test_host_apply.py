"""`opentsm card apply`: what is declared comes about, twice is once, and the next run makes good one cut anywhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from apply_bench import LIBRARY, WALLET, WALLET_MODULE, CutLink, bench_folder, write_cap, write_keys
from apply_cuts import BANK_KEYS, TRANSIT_KEYS, Cutter, content, entry, registry
from card_cli import TEST_KEY, CardDoor
from content_keys import RECEIPT_VERSION, TOKEN_VERSION
from opentsm_build.build import build_project
from opentsm_card.aid import Aid
from opentsm_card.lifecycle import ContactlessState
from opentsm_card.privileges import Privilege
from opentsm_simulator import VirtualSe
from opentsm_tools.card import apply_document
from opentsm_tools.card.apply_run import Applier
from sd_host import (
    BANK,
    CARD_1,
    CARD_2,
    ISD,
    ISD_KEYS,
    OWN,
    PAYMENT_MODULE,
    PAYMENT_PACKAGE,
    TRANSIT,
    Host,
    keys,
)
from small_cap import small_cap
from token_keys import give_token_keys

if TYPE_CHECKING:
    from opentsm_tools.card.apply_look import Look

ROOT: Final = Path(__file__).parents[2]
DOCUMENT_ENTRIES: Final = (
    apply_document.CardDocument,
    apply_document.CardEntry,
    apply_document.IssuerEntry,
    apply_document.PackageEntry,
    apply_document.DomainEntry,
    apply_document.ApplicationEntry,
    apply_document.AbsentEntry,
    apply_document.KeyEntry,
)


@pytest.fixture
def document(tmp_path: Path) -> Path:
    return bench_folder(tmp_path, BANK_KEYS, TRANSIT_KEYS)


def test_what_is_declared_comes_about(card: CardDoor, document: Path) -> None:
    answer = card("apply", document)
    assert answer.code == 0, answer.err
    se = card.se
    bank, transit = entry(se, BANK), entry(se, TRANSIT)
    assert (bank.state, bank.associated_sd) == (0x0F, ISD)
    assert transit.state == 0x8F
    one, two = entry(se, CARD_1), entry(se, CARD_2)
    assert (one.state, one.associated_sd, one.contactless) == (0x07, BANK, ContactlessState.ACTIVATED)
    assert (two.state, two.privileges, two.associated_sd) == (0x83, Privilege.GLOBAL_SERVICE, ISD)
    wallet, library = entry(se, WALLET), entry(se, LIBRARY)
    assert (wallet.version, wallet.modules, wallet.associated_sd) == (b"\x01\x00", (Aid(WALLET_MODULE),), BANK)
    assert (library.modules, library.associated_sd) == ((), ISD)
    Host(se.link()).into(BANK, BANK_KEYS)
    assert "4 to install" in answer.out
    assert answer.out.splitlines()[-1].startswith("done: 12 commands")


def test_run_twice_the_second_does_nothing(card: CardDoor, document: Path) -> None:
    first = card.json("apply", document)
    assert (first["done"], first["dry_run"]) == (12, False)
    assert first["bytes_to_load"] == sum(
        item["bytes"] for block in first["plan"] for item in block["do"] if "bytes" in item
    )
    effects, before = card.se.effects(), registry(card.se)
    second = card.json("apply", document)
    assert (second["done"], second["plan"], second["differences"]) == (0, [], [])
    assert card("apply", document).out == "nothing to do\n"
    assert (card.se.effects(), registry(card.se)) == (effects, before)


def test_a_dry_run_shows_what_would_be_done_and_does_nothing(card: CardDoor, document: Path) -> None:
    answer = card("apply", document, "--dry-run")
    assert answer.code == 0
    assert card.se.effects() == []
    lines = answer.out.splitlines()
    assert lines[0] == f"in security domain {ISD}:"
    assert f"  install {BANK} (security domain from A0000001515350, trusted path)" in lines
    loads = [line.split()[1] for line in lines if line.startswith("  load")]
    assert loads == [LIBRARY.hex().upper(), WALLET.hex().upper()], "what is imported comes first"
    plan = card.json("apply", document, "--dry-run")
    assert (plan["dry_run"], plan["done"]) == (True, 0)
    assert f"{TRANSIT}: presence is absent, wanted sd" in plan["differences"]
    assert card.se.effects() == []


LOST: Final = pytest.mark.parametrize("lost", [False, True], ids=["not-sent", "answer-lost"])


@LOST
def test_cut_at_every_apdu_and_run_again_gives_the_same_card(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, lost: bool
) -> None:
    assert Cutter(tmp_path, monkeypatch).everywhere(document, ISD_KEYS, lost=lost) > 50


NEW_ISD_KEYS: Final = keys(0x32, 131)


@pytest.fixture
def change(document: Path) -> Path:
    """What turns the card of `document` into another: a new version, things gone and unlocked, keys rotated."""
    folder = document.parent / "later"
    folder.mkdir()
    after = bench_folder(folder, BANK_KEYS, TRANSIT_KEYS, version=(1, 1))
    write_keys(folder / "isd.toml", NEW_ISD_KEYS)
    write_keys(folder / "bank-2.toml", keys(0x33, 201))
    text = after.read_text()
    for old, new in (
        ('hash = "sha256"', 'hash = "sha1"\nreplace = true'),
        ('file = "bank.toml" }]', 'file = "bank.toml" }, { version = 0x33, file = "bank-2.toml" }]'),
        ("locked = true\n\n[[application]]", "locked = false\n\n[[application]]"),
        ('contactless = "activated"', 'contactless = "deactivated"\nprivileges = ["cvm-management"]'),
        (text[text.index(f'[[application]]\naid = "{CARD_2}"') :], ABSENT),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    after.write_text(text)
    return after


ABSENT: Final = f"""
[issuer]
keys = [{{ version = 0x32, file = "isd.toml" }}]
only = true

[[absent]]
aid = "{CARD_2}"
"""


@LOST
def test_a_change_cut_at_every_apdu_is_made_good_too(
    document: Path, change: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, lost: bool
) -> None:
    cutter = Cutter(tmp_path, monkeypatch, before=document)
    identifier = cutter.run(change, None, f"--yes-card={card_id(tmp_path, monkeypatch)}")[0].json("apply", change)[
        "card"
    ]
    assert cutter.everywhere(change, NEW_ISD_KEYS, f"--yes-card={identifier}", lost=lost) > 30


def card_id(folder: Path, patch: pytest.MonkeyPatch) -> str:
    card = CardDoor(VirtualSe.create("embedded", se_id="cut"), folder / "state", patch)
    return str(card.json("list")["card"])


def test_keys_rotate_and_the_old_ones_go_when_the_new_have_proved_themselves(
    card: CardDoor, document: Path, change: Path
) -> None:
    # Keys for tokens and receipts are no key sets: `only` leaves them alone.
    give_token_keys(Host(card.se.link()).into(ISD, ISD_KEYS))
    assert card("apply", document).code == 0
    told = card.refused(1, "apply", change)
    assert "delete key version 0x30 of the issuer security domain" in told
    assert "--yes-card=" in told
    identifier = card.json("list")["card"]
    answer = card("apply", change, f"--yes-card={identifier}")
    assert answer.code == 0, answer.err
    bank = Host(card.se.link()).into(BANK, BANK_KEYS)
    bank.into(BANK, keys(0x33, 201))
    found = registry(card.se, NEW_ISD_KEYS)
    assert found.find(CARD_2) is None
    wallet, one, transit = found.find(WALLET), found.find(CARD_1), found.find(TRANSIT)
    assert wallet is not None
    assert wallet.version == b"\x01\x01"
    assert one is not None
    assert (one.privileges, one.contactless) == (Privilege.CVM_MANAGEMENT, ContactlessState.DEACTIVATED)
    assert transit is not None
    assert transit.state == 0x0F
    assert f"delete-key {ISD} 30" in card.se.effects()
    versions = {key["version"] for key in card.json("keys", "list")["keys"]}
    assert versions == {0x32, TOKEN_VERSION, RECEIPT_VERSION}


def test_a_run_that_breaks_says_how_to_go_on(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = CardDoor(VirtualSe.create("embedded"), tmp_path / "state", monkeypatch, lambda link: CutLink(link, 40))
    answer = card("apply", document)
    assert answer.code == 3
    assert re.search(r"not finished, after \d+ commands: run again, it goes on from where the card is", answer.err)
    assert "the link is cut" in answer.err.splitlines()[-1]


CHILD: Final = Aid(OWN + bytes.fromhex("0A000101"))


@pytest.fixture
def family(document: Path) -> Path:
    """A security domain with two key sets, and one under it that is managed with the keys of the one above."""
    write_keys(document.parent / "bank-2.toml", keys(0x33, 201))
    document.write_text(
        f"""
        [[security_domain]]
        aid = "{CHILD}"
        parent = "{BANK}"
        install_parameters = "C900EF06C80400008000"
        keys = [{{ version = 0x31, file = "transit.toml" }}]
        [[security_domain]]
        aid = "{BANK}"
        keys = [{{ version = 0x31, file = "bank.toml" }}, {{ version = 0x33, file = "bank-2.toml" }}]
        only = true
        """
    )
    return document


@LOST
def test_a_domain_under_another_gets_its_keys_through_that(
    family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, lost: bool
) -> None:
    cutter = Cutter(tmp_path, monkeypatch)
    card, _ = cutter.run(family, None)
    assert entry(card.se, CHILD).associated_sd == BANK
    host = Host(card.se.link()).into(CHILD, TRANSIT_KEYS)
    host.into(BANK, BANK_KEYS).into(BANK, keys(0x33, 201))
    assert cutter.everywhere(family, ISD_KEYS, lost=lost) > 10


def test_a_version_is_not_replaced_unasked(card: CardDoor, document: Path, tmp_path: Path) -> None:
    assert card("apply", document).code == 0
    newer = tmp_path / "newer"
    newer.mkdir()
    effects = card.se.effects()
    told = card.refused(1, "apply", bench_folder(newer, BANK_KEYS, TRANSIT_KEYS, version=(1, 1)))
    assert "version 1.0 is there, 1.1 is wanted" in told
    assert card.se.effects() == effects


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[[package]]\n", "[[packages]]\n", "there is no entry 'packages' here"),
        (f'aid = "{CARD_2}"', 'aid = "F0"', "application number 2, aid: 'F0' is no AID"),
        (f'aid = "{CARD_2}"', f'aid = "{CARD_1}"', f"application number 2: {CARD_1} is application number 1 already"),
        (f'aid = "{CARD_2}"\n', "", "application number 2: Object missing required field `aid`"),
        ('"global-service"', '"global-servant"', "number 1: no privilege 'global-servant'; there are security-domain"),
        ("wallet.cap", "gone.cap", "gone.cap: No such file"),
        ('cap = "wallet.cap"', 'cap = "card.toml"', "package number 1: "),
        ('cap = "wallet.cap"', 'cap = "library.cap"', "package number 2: F06F70656E74736D0120 is there already"),
        ('file = "bank.toml"', 'environment = "NO_SUCH_KEYS"', "no variable NO_SUCH_KEYS"),
        (
            'version = 0x31, file = "bank.toml"',
            "version = 0x31",
            "security_domain number 1, keys number 1: want one of",
        ),
        (
            'version = 0x31, file = "bank.toml"',
            'version = 200, file = "bank.toml"',
            "number 1, version: Expected `int`",
        ),
        ('configuration = "embedded"', 'configuration = "phone"', "card, configuration: 'phone'; there are embedded"),
        ('configuration = "embedded"', 'configuration = "uicc"', "configuration uicc needs central_sd"),
        ('state = "SECURED"', 'state = "LOCKED"', "card, state: 'LOCKED' is none of INITIALIZED, SECURED"),
        (f'module = "{PAYMENT_MODULE}"\nprivileges', "privileges", "application number 2: name its module, or its cap"),
        ("[card]\n", "[card\n", "card.toml: "),
        ('contactless = "activated"', "contactless = true", "application number 1, contactless"),
        ('contactless = "activated"', 'contactless = "on"', "contactless: 'on' is none of activated, deactivated"),
        ('parameters = "5004', 'install_parameters = "C900"\nparameters = "5004', "number 1: either parameters"),
    ],
)
def test_a_document_that_is_wrong_is_refused_with_its_place(
    card: CardDoor, document: Path, old: str, new: str, told: str
) -> None:
    text = document.read_text()
    assert old in text
    document.write_text(text.replace(old, new, 1))
    line = card.refused(4, "apply", document)
    assert told in line, line
    assert str(document.parent) in line or "environment" in line
    assert card.se.effects() == []


def test_contradictions_are_refused_before_anything_is_sent(card: CardDoor, document: Path) -> None:
    document.write_text(document.read_text() + f'[[absent]]\naid = "{PAYMENT_PACKAGE}"\n')
    assert "is to go, and is wanted or needed otherwise" in card.refused(1, "apply", document)
    assert card.se.effects() == []


def test_more_than_there_is_room_for_is_refused_before_anything_is_sent(card: CardDoor, tmp_path: Path) -> None:
    free = card.json("info")["resources"]["free_nonvolatile_bytes"]
    document = tmp_path / "card.toml"
    names: list[str] = []
    size = 0
    while size <= free:
        number = len(names) + 1
        names.append(f"{number}.cap")
        block = small_cap(LIBRARY + bytes((number,)), modules=(), padding_bytes=30_000)
        size += len(block)
        write_cap(tmp_path / names[-1], block)
    document.write_text("".join(f'[[package]]\ncap = "{name}"\n' for name in names))
    told = card.refused(1, "apply", document)
    assert f"{size:,} bytes are to be loaded, and {free:,} are free" in told
    assert card.se.effects() == []


def test_a_key_file_can_say_that_it_is_for_a_test_card(card: CardDoor, document: Path, tmp_path: Path) -> None:
    keys = tmp_path / "isd.toml"
    keys.write_text(f'key = "{TEST_KEY}"\n')
    keys.chmod(0o600)
    told = card("apply", document, "--key-file", keys, keys=None)
    assert "say so with --test-card" in told.err
    keys.write_text(f'key = "{TEST_KEY}"\ntest_card = true\n')
    assert card("apply", document, "--key-file", keys, keys=None).code == 0


def test_what_a_card_confirms_and_does_not_show_is_not_done_again(
    card: CardDoor, document: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Look] = []
    look = Applier.look

    def stuck(applier: Applier) -> Look:
        looks.append(look(applier))
        return looks[0]

    monkeypatch.setattr(Applier, "look", stuck)
    told = card.refused(1, "apply", document)
    assert f"the card does not come into the wanted state: {BANK}: presence is absent" in told
    assert len(looks) == 2


def test_a_failed_authentication_ends_it_and_nothing_is_tried_twice(card: CardDoor, document: Path) -> None:
    assert "authentication failed" in card.refused(1, "apply", document, keys="00" * 16)
    assert "an authentication failed before" in card.refused(1, "apply", document)


LEDGER: Final = Aid(OWN + b"\x0e\x01")
COUNTER: Final = Aid(OWN + b"\x0e\x02")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the CAP files of two packages, built from their sources, and a document that names them."""
    folder = tmp_path_factory.mktemp("built")
    for name in ("ledger", "counter"):
        build = build_project(ROOT / "tests" / "card" / "packages" / name, folder)
        (folder / f"{name}.cap").write_bytes(build.conversion.cap.encode())
    (folder / "card.toml").write_text(
        f"""
        [[package]]
        cap = "counter.cap"
        replace = true
        [[package]]
        cap = "ledger.cap"
        replace = true
        [[application]]
        aid = "{CARD_1}"
        cap = "counter.cap"
        parameters = "07"
        """
    )
    return folder / "card.toml"


@LOST
def test_packages_built_from_sources_run_when_their_loading_was_cut_anywhere(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, lost: bool
) -> None:
    cutter = Cutter(tmp_path, monkeypatch)
    whole, sent = cutter.run(built, None)
    expected, effects = content(registry(whole.se)), sorted(whole.se.effects())
    assert {LEDGER, COUNTER} <= {each.aid for each in expected[2]}
    assert sent > 20
    counted = first_count(whole.se)
    assert counted != bytes(len(counted))
    for at in range(sent):
        card, _ = cutter.run(built, at, lost=lost)
        assert card("apply", built).code == 0, at
        assert content(registry(card.se)) == expected, at
        assert sorted(card.se.effects()) == effects, at
        assert first_count(card.se) == counted, at


def first_count(se: VirtualSe) -> bytes:
    """What a fresh instance answers to its first command: it counts in the library, from what its parameters said."""
    host = Host(se.link())
    host.select(CARD_1)
    return host.raw(bytes.fromhex("8001000100")).require("count")


def test_the_manuals_example_runs_as_it_stands_there(
    card: CardDoor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manual = (ROOT / "docs" / "apply.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", manual, re.DOTALL)
    document = bench_folder(tmp_path, BANK_KEYS, TRANSIT_KEYS)
    document.write_text(example)
    write_keys(tmp_path / "isd-2.toml", keys(0x31, 131))
    monkeypatch.setenv("TRANSIT_KEY", "5A" * 16)
    identifier = card.json("list")["card"]
    answer = card("apply", document, f"--yes-card={identifier}")
    assert answer.code == 0, answer.err
    found = registry(card.se, keys(0x31, 131))
    entries = tomllib.loads(example)
    for kind in ("security_domain", "application"):
        for each in entries[kind]:
            there = found.find(bytes.fromhex(each["aid"]))
            assert there is not None
            assert there.locked == each.get("locked", False)
    assert card("apply", document).out == "nothing to do\n"
    # Every entry that a document may have is in the manual's table.
    table = manual[manual.index("| entry |") : manual.index("Keys never")]
    listed = set(re.findall(r"`(?:card\.|issuer\.)?([a-z_]+)`", table))
    known = {name for kind in DOCUMENT_ENTRIES for name in kind.__struct_fields__}
    assert known <= listed | {"issuer", "card", "delegation"}
