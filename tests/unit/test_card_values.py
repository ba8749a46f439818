from __future__ import annotations

import pytest

from opentsm_card.aid import Aid
from opentsm_card.errors import ProtocolError
from opentsm_card.lifecycle import (
    ApplicationState,
    CardState,
    SecurityDomainState,
    is_locked,
    locked,
    state_name,
    unlocked,
)
from opentsm_card.privileges import Privilege
from opentsm_card.status import StatusWord, meaning


def test_an_aid_is_bytes_and_shows_as_hex() -> None:
    aid = Aid.from_text("a000000151000000")
    assert aid == bytes.fromhex("A000000151000000")
    assert f"{aid}" == "A000000151000000"
    assert repr(aid) == "Aid(A000000151000000)"
    assert aid.rid.hex() == "a000000151"
    assert {aid: 1}[Aid(bytes(aid))] == 1


@pytest.mark.parametrize("text", ["", "A0000001", "A0" * 17, "xyz", "A00000015"])
def test_what_is_no_aid_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        Aid.from_text(text)


def test_privileges_of_the_configurations() -> None:
    issuer = Privilege.parse(bytes.fromhex("9EFE80"))
    assert issuer.encode().hex() == "9efe80"
    assert Privilege.SECURITY_DOMAIN | Privilege.CARD_LOCK in issuer
    assert Privilege.RECEIPT_GENERATION in issuer
    assert Privilege.DELEGATED_MANAGEMENT not in issuer
    central = Privilege.SECURITY_DOMAIN | Privilege.TRUSTED_PATH | Privilege.AUTHORIZED_MANAGEMENT
    assert central.encode().hex() == "80c000"


def test_every_privilege_bit_is_kept() -> None:
    for bit in range(24):
        encoded = (1 << bit).to_bytes(3, "big")
        assert Privilege.parse(encoded).encode() == encoded


def test_one_byte_privileges() -> None:
    assert Privilege.parse(b"\x80") is Privilege.SECURITY_DOMAIN
    assert Privilege.SECURITY_DOMAIN.encode(short=True) == b"\x80"
    assert Privilege.parse(b"") is Privilege.NONE
    with pytest.raises(ProtocolError):
        Privilege.TRUSTED_PATH.encode(short=True)
    with pytest.raises(ProtocolError):
        Privilege.parse(b"\x80\x00")


def test_locking_keeps_the_state_before() -> None:
    assert locked(SecurityDomainState.PERSONALIZED) == 0x8F
    assert is_locked(0x8F)
    assert unlocked(0x8F) == SecurityDomainState.PERSONALIZED
    assert not is_locked(ApplicationState.SELECTABLE)


@pytest.mark.parametrize(
    ("state", "kind", "name"),
    [
        (0x07, ApplicationState, "SELECTABLE"),
        (0x87, ApplicationState, "LOCKED (SELECTABLE)"),
        (0x1F, ApplicationState, "application specific 1F"),
        (0x0F, SecurityDomainState, "PERSONALIZED"),
        (0x7F, CardState, "CARD_LOCKED"),
        (0xFF, CardState, "TERMINATED"),
        (0x01, SecurityDomainState, "unknown 01"),
    ],
)
def test_states_have_names(state: int, kind: type[ApplicationState], name: str) -> None:
    assert state_name(state, kind) == name


@pytest.mark.parametrize("sw", list(StatusWord))
def test_every_status_word_we_name_has_a_meaning_of_its_own(sw: StatusWord) -> None:
    assert meaning(sw) not in {"error", "warning", "unknown status word"}


@pytest.mark.parametrize(
    ("sw", "words"),
    [
        (0x6110, "16 more bytes"),
        (0x6C00, "256 would be right"),
        (0x63C2, "2 tries left"),
        (0x6A00, "error"),
        (0x62F1, "warning"),
        (0x1234, "unknown status word"),
    ],
)
def test_meanings_of_status_words_with_a_number(sw: int, words: str) -> None:
    assert words in meaning(sw)
