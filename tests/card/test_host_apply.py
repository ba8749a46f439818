"""`opentsm card apply`: what is declared comes about, twice is once, and the next run makes good one cut anywhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from apply_bench import LIBRARY, WALLET, WALLET_MODULE, CutLink, bench_folder, write_cap, write_keys
from card_cli import TEST_KEY, CardDoor
from content_keys import RECEIPT_VERSION, TOKEN_VERSION, signing_key
from opentsm_build.build import build_project
from opentsm_card.aid import Aid
from opentsm_card.lifecycle import ContactlessState
from opentsm_card.privileges import Privilege
from opentsm_card.signatures import MacKey
from opentsm_simulator import VirtualSe
from opentsm_tools.card import apply_document
from opentsm_tools.card.apply_run import Applier
from sd_host import (
    BANK,
    CARD_1,
    CARD_2,
    CENTRAL,
    ISD,
    ISD_KEYS,
    OWN,
    OWNER,
    PAYMENT_MODULE,
    PAYMENT_PACKAGE,
    TENANT,
    TRANSIT,
    Host,
    keys,
)
from small_cap import small_cap
from token_keys import RECEIPT_KEY, TOKEN_KEY, give_token_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_card.keys import KeySet
    from opentsm_card.link import Link
    from opentsm_card.registry import Registry, RegistryEntry
    from opentsm_card.signatures import SigningKey
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
BANK_KEYS: Final = keys(0x31, 17)
TRANSIT_KEYS: Final = keys(0x31, 71)


@pytest.fixture
def document(tmp_path: Path) -> Path:
    return bench_folder(tmp_path, BANK_KEYS, TRANSIT_KEYS)


def registry(se: VirtualSe, issuer: KeySet = ISD_KEYS) -> Registry:
    return Host(se.link()).into(ISD, issuer).registry()


def entry(se: VirtualSe, aid: bytes) -> RegistryEntry:
    found = registry(se).find(aid)
    assert found is not None
    return found


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


# How often it is seen that a run behind the one that made good has nothing to do.
_THIRD_RUNS: Final = 6


class Cutter:
    """Runs `apply` with the link cut at one APDU.

    Args:
        folder: for the state of `opentsm card`.
        patch: undone with the test.
        before: run to its end on each new card, before the link is cut.
        make: makes the card.
    """

    def __init__(
        self,
        folder: Path,
        patch: pytest.MonkeyPatch,
        before: Path | None = None,
        make: Callable[[], VirtualSe] = lambda: VirtualSe.create("embedded", se_id="cut"),
    ) -> None:
        self.folder = folder
        self.patch = patch
        self.before = before
        self.make = make

    def run(self, document: Path, at: int | None, *options: str, lost: bool = False) -> tuple[CardDoor, int]:
        """Run once, cut at an APDU (None: at none), on a new card; return it, and how many APDUs were sent."""
        links: list[CutLink] = []

        def wrap(link: Link) -> Link:
            links.append(CutLink(link, at, lost=lost))
            return links[-1]

        card = CardDoor(self.make(), self.folder / "state", self.patch)
        if self.before is not None:
            assert card("apply", self.before).code == 0
        card.wrap = wrap
        answer = card("apply", document, *options)
        assert answer.code == (0 if at is None else 3), answer.err
        card.wrap = lambda link: link
        return card, links[0].sent

    def everywhere(self, document: Path, issuer: KeySet, *options: str, lost: bool) -> int:
        """Cut at every APDU, run again, and compare the card with one that was not cut; return how many there were."""
        whole, sent = self.run(document, None, *options)
        expected, effects = content(registry(whole.se, issuer)), sorted(whole.se.effects())
        for at in range(sent):
            card, _ = self.run(document, at, *options, lost=lost)
            answer = card("apply", document, *options)
            assert answer.code == 0, (at, answer.err)
            assert content(registry(card.se, issuer)) == expected, at
            assert sorted(card.se.effects()) == effects, f"cut at {at}: something was done twice, or not at all"
            if at % _THIRD_RUNS == 0:
                assert card("apply", document, *options).out == "nothing to do\n", at
        return sent


def content(found: Registry) -> tuple[RegistryEntry | None, set[RegistryEntry], set[RegistryEntry]]:
    """What is on a card, in no order: a run that was cut may bring things about in another one."""
    return found.isd, set(found.applications), set(found.load_files)


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
        install_parameters = "C900EF04C8020400"
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


CENTRE: Final = {"embedded-third-parties": ISD, "uicc-third-parties": CENTRAL}


def shared_card(name: str) -> VirtualSe:
    """Make a card with third parties, whose central security domain verifies tokens and gives receipts."""
    se = VirtualSe.create(name, se_id="cut")
    give_token_keys(Host(se.link()).into(CENTRE[name], ISD_KEYS))
    return se


@pytest.fixture(params=CENTRE)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pem(key: SigningKey) -> bytes:
    assert isinstance(key, RSAPrivateKey)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def key_file(key: SigningKey) -> bytes:
    assert isinstance(key, MacKey)
    return f'key = "{key.value.hex()}"'.encode()


@pytest.fixture
def tenancy(document: Path, name: str) -> Path:
    """What a third party with Delegated Management wants, with the keys that sign its tokens."""
    centre = "" if CENTRE[name] == ISD else f'central_sd = "{CENTRAL}"'
    for file, content in (("token.pem", pem(TOKEN_KEY)), ("receipt.toml", key_file(RECEIPT_KEY))):
        (document.parent / file).write_bytes(content)
        (document.parent / file).chmod(0o600)
    document.write_text(
        f"""
        [card]
        configuration = "{name}"
        {centre}
        packages = ["{PAYMENT_PACKAGE}"]
        [delegation]
        token_key = "token.pem"
        receipt_key = "receipt.toml"
        [[package]]
        cap = "library.cap"
        security_domain = "{TENANT}"
        [[package]]
        cap = "wallet.cap"
        security_domain = "{TENANT}"
        [[application]]
        aid = "{CARD_1}"
        package = "{PAYMENT_PACKAGE}"
        module = "{PAYMENT_MODULE}"
        parameters = "500442616E6B870101C20104"
        security_domain = "{TENANT}"
        contactless = "activated"
        """
    )
    return document


AS_TENANT: Final = ("--sd", str(TENANT))


def test_a_third_party_needs_tokens_and_gets_receipts(
    tenancy: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = CardDoor(shared_card(name), tmp_path / "state", monkeypatch)
    effects = card.se.effects()
    text = tenancy.read_text()
    tenancy.write_text(
        re.sub(r"\[delegation\].*?receipt.toml\"", "", text, flags=re.DOTALL).replace("cap =", 'hash = "sha256"\ncap =')
    )
    (block,) = card.json("apply", tenancy, "--dry-run", *AS_TENANT)["plan"]
    assert (block["security_domain"], block["keys_of"]) == (str(TENANT), str(TENANT))
    assert [(item["do"], "token" in item) for item in block["do"]] == [
        ("load", True),
        ("load", True),
        ("install", True),
        ("activate", False),
    ]
    told = card.refused(1, "apply", tenancy, *AS_TENANT)
    assert f"security domain {TENANT}: it manages by delegation, and has no tokens for: INSTALL [for load]" in told
    assert card.se.effects() == effects
    tenancy.write_text(text)
    done = card.json("apply", tenancy, *AS_TENANT)
    assert [(receipt["command"], receipt["verified"]) for receipt in done["receipts"]] == [
        ("INSTALL [for load]", True),
        ("INSTALL [for load]", True),
        ("INSTALL [for install]", True),
    ]
    assert [receipt["counter"] for receipt in done["receipts"]] == [0, 1, 2]
    assert entry(card.se, CARD_1).associated_sd == TENANT
    assert card("apply", tenancy, *AS_TENANT).out == "nothing to do\n"
    # What the token of a stranger allows is nothing.
    (tenancy.parent / "token.pem").write_bytes(pem(signing_key("rsa-1024", seed=1)))
    tenancy.write_text(text.replace(str(CARD_1), str(CARD_2)))
    assert "the card answered 6982" in card.refused(1, "apply", tenancy, *AS_TENANT)


def test_a_receipt_under_another_key_is_not_taken(
    tenancy: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = CardDoor(shared_card(name), tmp_path / "state", monkeypatch)
    (tenancy.parent / "receipt.toml").write_text(f'key = "{"5B" * 16}"')
    assert "receipt" in card.refused(1, "apply", tenancy, *AS_TENANT)


@pytest.mark.parametrize(("name", "lost"), [("embedded-third-parties", True), ("uicc-third-parties", False)])
def test_delegated_management_cut_at_every_apdu_is_made_good(
    tenancy: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, lost: bool
) -> None:
    cutter = Cutter(tmp_path, monkeypatch, make=lambda: shared_card(name))
    assert cutter.everywhere(tenancy, ISD_KEYS, *AS_TENANT, lost=lost) > 20


def test_the_central_security_domain_of_a_uicc_does_it_without_the_issuer(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = CardDoor(VirtualSe.create("uicc"), tmp_path / "state", monkeypatch)
    text = document.read_text().replace(
        'configuration = "embedded"\nstate = "SECURED"',
        f'configuration = "uicc"\ncentral_sd = "{CENTRAL}"\npackages = ["{PAYMENT_PACKAGE}"]',
    )
    document.write_text(text)
    as_central = ("--sd", str(CENTRAL))
    assert card("apply", document, *as_central).code == 0
    assert entry(card.se, BANK).associated_sd == CENTRAL
    assert entry(card.se, CARD_1).associated_sd == BANK
    assert entry(card.se, LIBRARY).associated_sd == CENTRAL
    assert card("apply", document, *as_central).out == "nothing to do\n"
    document.write_text(text.replace("[card]", '[card]\nstate = "CARD_LOCKED"'))
    told = card.refused(1, "apply", document, *as_central)
    assert told.endswith(f"set-status-card-locked: security domain {ISD}: the keys of MNO SD {ISD} are with the MNO")


def test_a_third_party_with_management_of_its_own_needs_no_token(
    tenancy: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = CardDoor(VirtualSe.create(name), tmp_path / "state", monkeypatch)
    tenancy.write_text(tenancy.read_text().replace(str(TENANT), str(OWNER)))
    done = card.json("apply", tenancy, "--sd", str(OWNER))
    assert (done["done"], done["receipts"]) == (4, [])
    assert entry(card.se, CARD_1).associated_sd == OWNER
    assert card("apply", tenancy, "--sd", str(OWNER)).out == "nothing to do\n"


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
