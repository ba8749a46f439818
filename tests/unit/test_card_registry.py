from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentsm_card.aid import Aid
from opentsm_card.apdu import ResponseApdu
from opentsm_card.errors import ProtocolError
from opentsm_card.get_status import Scope
from opentsm_card.lifecycle import ContactlessState
from opentsm_card.privileges import Privilege
from opentsm_card.registry import Kind, Registry, RegistryEntry, parse_get_status

ISD = Aid.from_text("A000000151000000")
CENTRAL = Aid.from_text("F06F70656E74736D0001")
BANK = Aid.from_text("F06F70656E74736D0A0001")
CARD = Aid.from_text("F06F70656E74736D0B000101")
PACKAGE = Aid.from_text("F06F70656E74736D0101")
MODULE = Aid.from_text("F06F70656E74736D010101")

SD = Privilege.SECURITY_DOMAIN
ENTRIES = (
    RegistryEntry(CENTRAL, 0x0F, SD | Privilege.TRUSTED_PATH, ISD, kind=Kind.SECURITY_DOMAIN),
    RegistryEntry(BANK, 0x0F, SD, CENTRAL, kind=Kind.SECURITY_DOMAIN),
    RegistryEntry(
        CARD, 0x87, Privilege.NONE, BANK, PACKAGE, contactless=ContactlessState.ACTIVATED, implicit_selection=b"\x41"
    ),
)  # fmt: skip
PACKAGES = (RegistryEntry(PACKAGE, 1, Privilege.NONE, ISD, None, (MODULE,), b"\x01\x00", Kind.LOAD_FILE),)
ISSUER = (RegistryEntry(ISD, 0x0F, Privilege.parse(bytes.fromhex("9EFE80")), kind=Kind.ISSUER_SECURITY_DOMAIN),)


def _answers(entries: tuple[RegistryEntry, ...], sw: int = 0x9000) -> list[ResponseApdu]:
    return [ResponseApdu(b"".join(entry.encode() for entry in entries), sw)]


def _registry() -> Registry:
    return Registry.parse(_answers(ENTRIES), _answers(PACKAGES), _answers(ISSUER))


def test_an_entry_put_together_by_hand_from_table_11_36() -> None:
    template = bytes.fromhex(
        "e32b" "4f0cf06f70656e74736d0b000101" "9f70020701" "c503000000" "c40af06f70656e74736d0101" "cc05a000000151"
    )  # fmt: skip
    (entry,), complete = parse_get_status(Scope.APPLICATIONS, [ResponseApdu(template)])
    assert complete
    assert entry == RegistryEntry(
        CARD, 0x07, Privilege.NONE, Aid.from_text("A000000151"), PACKAGE, contactless=ContactlessState.ACTIVATED
    )
    assert not entry.locked
    assert entry.encode() == template


def test_a_load_file_put_together_by_hand_from_table_11_37() -> None:
    template = bytes.fromhex(
        "e32b" "4f0af06f70656e74736d0101" "9f700101" "ce020100" "840bf06f70656e74736d010101" "cc08a000000151000000"
    )  # fmt: skip
    (entry,), _ = parse_get_status(Scope.LOAD_FILES_AND_MODULES, [ResponseApdu(template)])
    assert entry == PACKAGES[0]
    assert entry.encode() == template


def test_a_whole_registry() -> None:
    registry = _registry()
    assert registry == Registry(ISSUER[0], ENTRIES, PACKAGES, complete=True)
    assert registry.find(CARD) is ENTRIES[2] or registry.find(CARD) == ENTRIES[2]
    assert registry.find(MODULE) is None
    assert ENTRIES[2].locked
    assert not ENTRIES[0].locked
    assert not ISSUER[0].locked


def test_what_is_under_a_security_domain() -> None:
    registry = _registry()
    assert {entry.aid for entry in registry.under(CENTRAL)} == {BANK, CARD}
    assert {entry.aid for entry in registry.under(ISD)} == {CENTRAL, BANK, CARD, PACKAGE}
    assert registry.under(CARD) == ()


def test_an_association_in_a_circle_ends() -> None:
    loop = (
        RegistryEntry(BANK, 7, SD, CENTRAL, kind=Kind.SECURITY_DOMAIN),
        RegistryEntry(CENTRAL, 7, SD, BANK, kind=Kind.SECURITY_DOMAIN),
    )
    registry = Registry(None, loop, (), complete=True)
    assert {entry.aid for entry in registry.under(BANK)} == {CENTRAL}


def test_continued_answers_are_one_list_even_when_an_entry_is_cut() -> None:
    data = b"".join(entry.encode() for entry in ENTRIES)
    answers = [ResponseApdu(data[:50], 0x6310), ResponseApdu(data[50:], 0x9000)]
    assert parse_get_status(Scope.APPLICATIONS, answers) == (ENTRIES, True)


@pytest.mark.parametrize("sw", [0x6310, 0x6A88])
def test_a_list_that_did_not_end_well_proves_no_absence(sw: int) -> None:
    answers = [*_answers(ENTRIES, 0x6310), ResponseApdu(b"", sw)]
    assert parse_get_status(Scope.APPLICATIONS, answers) == (ENTRIES, False)
    assert not Registry.parse(answers, _answers(PACKAGES)).complete


def test_an_error_status_alone_is_an_empty_list_that_proves_nothing() -> None:
    registry = Registry.parse([ResponseApdu(b"", 0x6A88)], _answers(PACKAGES), _answers(ISSUER))
    assert registry.applications == ()
    assert not registry.complete


def test_nothing_read_proves_nothing() -> None:
    assert parse_get_status(Scope.APPLICATIONS, []) == ((), False)


def test_an_empty_list_under_9000_is_complete() -> None:
    assert parse_get_status(Scope.APPLICATIONS, [ResponseApdu()]) == ((), True)


@pytest.mark.parametrize(
    ("data", "sw"),
    [
        ("e3074f05a000000151", 0x9000),
        ("e3049f700107", 0x9000),
        ("e3054f03a00000", 0x9000),
        ("e30e4f05a0000001519f7002070255cc00"[:-6], 0x9000),
        ("610100", 0x9000),
        ("", 0x6985),
    ],
)
def test_malformed_answers_are_refused(data: str, sw: int) -> None:
    with pytest.raises(ProtocolError):
        parse_get_status(Scope.APPLICATIONS, [ResponseApdu(bytes.fromhex(data), sw)])


def test_two_issuers_are_refused() -> None:
    with pytest.raises(ProtocolError, match="several issuer"):
        Registry.parse(_answers(ENTRIES), _answers(PACKAGES), _answers(ISSUER * 2))


def test_truncated_answers_raise_protocol_errors_only() -> None:
    data = b"".join(entry.encode() for entry in ENTRIES)
    whole = {0, *(sum(len(entry.encode()) for entry in ENTRIES[:count]) for count in range(1, 4))}
    for end in range(len(data)):
        if end in whole:
            continue
        with pytest.raises(ProtocolError):
            parse_get_status(Scope.APPLICATIONS, [ResponseApdu(data[:end])])


AIDS = st.binary(min_size=5, max_size=16).map(Aid)


@given(
    AIDS,
    st.integers(0, 255),
    st.integers(0, 0x7FFFFF),
    st.none() | AIDS,
    st.none() | AIDS,
    st.none() | st.sampled_from(list(ContactlessState)),
    st.binary(max_size=3),
)
def test_applications_round_trip(
    aid: Aid,
    state: int,
    privileges: int,
    owner: Aid | None,
    load_file: Aid | None,
    contactless: ContactlessState | None,
    implicit: bytes,
) -> None:
    entry = RegistryEntry(
        aid, state, Privilege(privileges), owner, load_file, contactless=contactless, implicit_selection=implicit
    )  # fmt: skip
    assert parse_get_status(Scope.APPLICATIONS, [ResponseApdu(entry.encode())]) == ((entry,), True)
