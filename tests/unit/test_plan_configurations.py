import pytest

from opentsm_card.configurations import (
    Acceptance,
    CommandName,
    Role,
    Situation,
    configuration,
    configuration_names,
    parse_configuration,
    situation,
)
from opentsm_card.errors import ProtocolError
from opentsm_card.lifecycle import CardState
from opentsm_card.privileges import Privilege

CONTENT_MANAGEMENT = (
    CommandName.INSTALL_FOR_INSTALL,
    CommandName.INSTALL_AND_MAKE_SELECTABLE,
    CommandName.INSTALL_FOR_MAKE_SELECTABLE,
    CommandName.INSTALL_FOR_EXTRADITION,
    CommandName.INSTALL_FOR_REGISTRY_UPDATE,
    CommandName.DELETE_APPLICATION,
    CommandName.DELETE_LOAD_FILE,
    CommandName.DELETE_LOAD_FILE_AND_APPLICATIONS,
)
# Where each security domain is at work.
WORKING = (Situation.SECURED, Situation.PERSONALIZED)


def document(name: str) -> bytes:
    from importlib import resources

    return (resources.files("opentsm_card") / "configurations" / f"{name}.toml").read_bytes()


def test_the_four_configurations_of_the_figures_are_there() -> None:
    assert configuration_names() == ("embedded", "embedded-third-parties", "uicc", "uicc-third-parties")
    assert {configuration(name).figure for name in configuration_names()} == {5, 6, 7, 8}
    assert configuration("embedded").central_role is Role.ISSUER
    assert configuration("uicc").central_role is Role.CENTRAL
    assert configuration("uicc").domains[Role.PROVIDER].parent is Role.CENTRAL


def test_privileges_encode_as_the_specification_codes_them() -> None:
    assert configuration("embedded").domains[Role.ISSUER].privilege_bits.encode() == bytes.fromhex("9EFE80")
    assert configuration("uicc").domains[Role.CENTRAL].privilege_bits.encode() == bytes.fromhex("80C000")
    assert configuration("uicc").domains[Role.PROVIDER].privilege_bits.encode() == bytes.fromhex("808000")
    third_parties = configuration("uicc-third-parties").domains
    assert third_parties[Role.ISSUER].privilege_bits.encode() == bytes.fromhex("9EDE00")
    assert third_parties[Role.CENTRAL].privilege_bits.encode() == bytes.fromhex("80E080")
    assert third_parties[Role.AUTHORIZED].privilege_bits.encode() == bytes.fromhex("80C000")
    assert third_parties[Role.DELEGATED].privilege_bits.encode() == bytes.fromhex("A08000")


def test_one_security_domain_verifies_tokens_and_gives_receipts() -> None:
    for name in configuration_names():
        for privilege in (Privilege.TOKEN_MANAGEMENT, Privilege.RECEIPT_GENERATION):
            holders = [role for role, table in configuration(name).domains.items() if table.privilege_bits & privilege]
            assert len(holders) == 1, name
            if "third" in name:
                assert holders == [configuration(name).central_role], "tokens are the central TSM's"


@pytest.mark.parametrize("name", configuration_names())
def test_tables_hold_what_the_privileges_imply(name: str) -> None:
    for role, domain in configuration(name).domains.items():
        granted = domain.privilege_bits
        (at,) = set(WORKING) & set(domain.situations)
        for command in CONTENT_MANAGEMENT:
            accepted = domain.cell(command, at) is Acceptance.SESSION
            assert accepted == bool(granted & Privilege.AUTHORIZED_MANAGEMENT), (role, command)
        card_lock = domain.cell(CommandName.SET_STATUS_CARD_LOCKED, at) is Acceptance.SESSION
        assert card_lock == bool(granted & Privilege.CARD_LOCK), role
        end = domain.cell(CommandName.SET_STATUS_CARD_TERMINATED, at) is Acceptance.SESSION
        assert end == bool(granted & Privilege.CARD_TERMINATE), role
        final = domain.cell(CommandName.GET_DATA, Situation.TERMINATED) is Acceptance.OPEN
        assert final == bool(granted & Privilege.FINAL_APPLICATION), role


@pytest.mark.parametrize("name", configuration_names())
def test_nothing_with_an_effect_is_open_and_a_terminated_card_takes_none(name: str) -> None:
    harmless = {
        CommandName.SELECT,
        CommandName.MANAGE_CHANNEL,
        CommandName.INITIALIZE_UPDATE,
        CommandName.EXTERNAL_AUTHENTICATE,
        CommandName.PERFORM_SECURITY_OPERATION,
        CommandName.MUTUAL_AUTHENTICATE,
        CommandName.INTERNAL_AUTHENTICATE,
        CommandName.GET_DATA,
    }
    for domain in configuration(name).domains.values():
        for command in CommandName:
            for at in domain.situations:
                cell = domain.cell(command, at)
                if command not in harmless:
                    assert cell is not Acceptance.OPEN
                if at is Situation.TERMINATED and command is not CommandName.GET_DATA:
                    assert cell is Acceptance.REFUSED


@pytest.mark.parametrize(
    ("domain", "card", "issuer", "expected"),
    [
        (0x03, CardState.SECURED, False, Situation.INSTALLED),
        (0x07, CardState.SECURED, False, Situation.SELECTABLE),
        (0x0F, CardState.OP_READY, False, Situation.PERSONALIZED),
        (0x8F, CardState.SECURED, False, Situation.LOCKED),
        (0x87, CardState.SECURED, False, Situation.LOCKED),
        (0x0F, CardState.CARD_LOCKED, False, Situation.CARD_LOCKED),
        (0x01, CardState.OP_READY, True, Situation.OP_READY),
        (0x07, CardState.INITIALIZED, True, Situation.INITIALIZED),
        (0x0F, CardState.SECURED, True, Situation.SECURED),
        (0x7F, CardState.CARD_LOCKED, True, Situation.CARD_LOCKED),
        (0xFF, CardState.TERMINATED, True, Situation.TERMINATED),
    ],
)
def test_situation(domain: int, card: CardState, *, issuer: bool, expected: Situation) -> None:
    assert situation(domain, card, issuer=issuer) is expected


def test_an_unknown_configuration_is_named() -> None:
    with pytest.raises(
        ProtocolError,
        match="no SE configuration 'phone'; there are: embedded, embedded-third-parties, uicc, uicc-third-parties",
    ):
        configuration("phone")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"name = ", b"name : ", "at line 2[0-9]"),
        (b'"SECURITY_DOMAIN", "CARD_LOCK"', b'"SECURITY_DOMAIN", "CARD_LOOK"', "no privilege 'CARD_LOOK'"),
        (
            b'privileges = ["SECURITY_DOMAIN", "TRUSTED_PATH"]',
            b"privileges = []",
            "domains.provider: a security domain needs",
        ),
        (b"[domains.provider", b"[domains.tenant", "tenant"),
        (b'"installed", "selectable"', b'"installed", "installed"', "domains.provider: the situation installed"),
        (b'"op_ready", "initialized"', b'"op_ready", "personalized"', "domains.issuer: the situation personalized"),
        (b', "terminated"]', b"]", "domains.issuer: select needs a cell for each of op_ready"),
        (b'"open",    "open",    "-"', b'"open",    "open",    "never"', "select needs a cell"),
        (b'parent = "issuer"', b'parent = "central"', "its parent central is not there"),
        (b"\nload  ", b"\nloads ", "loads"),
        (b'"session", "-"', b'"sessions", "-"', "sessions"),
        (b"figure = 5", b'figure = 5\ncolour = "red"', "colour"),
    ],
)
def test_a_broken_table_is_refused_with_its_place(old: bytes, new: bytes, message: str) -> None:
    good = document("embedded")
    assert old in good
    with pytest.raises(ProtocolError, match=message):
        parse_configuration(good.replace(old, new))


def test_a_missing_row_is_named() -> None:
    lines = [line for line in document("embedded").splitlines() if not line.startswith(b"put-key")]
    with pytest.raises(ProtocolError, match=r"domains\.issuer: no row for put-key-new, put-key-replace"):
        parse_configuration(b"\n".join(lines))
