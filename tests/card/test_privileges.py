"""Each privilege of table 6-1, with it and without (GlobalPlatform Card Specification 2.3.1, 6.6.1 and 6.6.2).

How tokens, receipts, DAPs and ciphered load files are verified has tests of its own.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from content_keys import (
    CIPHER_VERSION,
    DAP_VERSION,
    RECEIPT_VERSION,
    TOKEN_VERSION,
    independent_signature,
    put_key,
    signing_key,
)
from delegation import lv, signed
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu
from opentsm_card.dap import encipher_block, load_file_hash
from opentsm_card.delete import DeleteObject
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.install import (
    InstallForExtradition,
    InstallForInstall,
    InstallForLoad,
    InstallForMakeSelectable,
    InstallForPersonalization,
)
from opentsm_card.lifecycle import CardState
from opentsm_card.load import CipheredBlock, DapBlock, load_blocks, load_file
from opentsm_card.privileges import Privilege
from opentsm_card.set_status import SetStatus
from opentsm_card.signatures import MacKey
from opentsm_card.store_data import StoreData
from probe_card import (
    NONE,
    P1,
    P2,
    P3,
    PROBE_MODULE,
    PROBE_PACKAGE,
    SD,
    SD1,
    SD2,
    Probe,
    ProbeCard,
)
from sd_host import ISD, ISD_KEYS, SD_MODULE, SD_PACKAGE, Host, keys
from small_cap import PACKAGE, small_cap

if TYPE_CHECKING:
    from opentsm_card.apdu import ResponseApdu
    from opentsm_card.registry import Registry


@pytest.fixture
def card() -> ProbeCard:
    return ProbeCard()


def entries(host: Host) -> Registry:
    return host.registry()


class TestSecurityDomain:
    """Privilege 0, clauses 6.6.2.1, 7."""

    def test_with_it_an_instance_holds_keys_and_has_applications(self, card: ProbeCard) -> None:
        host = card.domain(SD1, Privilege.AUTHORIZED_MANAGEMENT)
        assert card.install(P1, host=host) == 0x9000
        assert [entry.aid for entry in entries(host).under(SD1)] == [P1]

    def test_without_it_it_has_none_and_the_open_serves_it_not(self, card: ProbeCard) -> None:
        assert card.install(P1) == card.install(P2) == 0x9000
        assert card.sw(InstallForExtradition(P1, P2)) == 0x6985
        card.sw(InstallForInstall(SD_PACKAGE, SD_MODULE, SD1, NONE))
        assert card.host.select(SD1).sw == 0x6985

    def test_it_is_neither_given_nor_taken_later(self, card: ProbeCard) -> None:
        card.domain(SD1)
        card.install(P1)
        assert card.update(P1, SD) == 0x6985
        assert card.update(SD1, NONE) == 0x6985


@pytest.mark.parametrize(
    "privilege",
    [
        Privilege.DAP_VERIFICATION,  # 1, clause 6.6.2.1
        Privilege.DELEGATED_MANAGEMENT,  # 2, clause 6.6.2.4
        Privilege.MANDATED_DAP_VERIFICATION | Privilege.DAP_VERIFICATION,  # 7, which table 11-7 codes with both bits
        Privilege.AUTHORIZED_MANAGEMENT,  # 9, clause 6.6.2.4
        Privilege.TOKEN_MANAGEMENT,  # 10
        Privilege.RECEIPT_GENERATION,  # 16
        Privilege.CIPHERED_LOAD_FILE_DATA_BLOCK,  # 17
    ],
    ids=lambda privilege: privilege.name,
)
def test_what_only_a_security_domain_can_have(card: ProbeCard, privilege: Privilege) -> None:
    """Table 6-1: these come with the privilege Security Domain, and with it alone."""
    assert card.sw(InstallForInstall(SD_PACKAGE, SD_MODULE, SD1, SD | privilege)) == 0x9000
    entry = card.issuer().entry(SD1)
    assert entry is not None
    assert privilege in entry.privileges
    assert card.install(P1, privilege) == 0x6A80
    assert card.issuer().entry(P1) is None


def test_mandated_dap_verification_comes_with_dap_verification(card: ProbeCard) -> None:
    """Table 11-7."""
    privileges = SD | Privilege.MANDATED_DAP_VERIFICATION
    assert card.sw(InstallForInstall(SD_PACKAGE, SD_MODULE, SD1, privileges)) == 0x6A80
    assert card.issuer().entry(SD1) is None


ISSUER: Final = Privilege.parse(bytes.fromhex("9EFE80"))
LOADED: Final = Aid(PACKAGE)


class TestDelegation:
    """Privileges 10 and 16, clauses 6.6.2.4, 9.1.3.1, 9.1.3.6: who verifies the tokens, who makes the receipts."""

    @staticmethod
    def delegated(issuer: Privilege) -> ResponseApdu:
        """Install a probe by a domain with Delegated Management, with a right token."""
        card = ProbeCard(issuer)
        tenant = card.domain(SD1, Privilege.DELEGATED_MANAGEMENT | Privilege.TRUSTED_PATH)
        host = Host(card.se.link("contactless")).into(ISD, ISD_KEYS)
        for version in (TOKEN_VERSION, RECEIPT_VERSION):
            put_key(host, version, signing_key("aes-128", version)).require("PUT KEY")
        fields = lv(bytes(PROBE_PACKAGE), bytes(PROBE_MODULE), bytes(P1), b"\x00", b"\xc9\x00")
        token = independent_signature(signing_key("aes-128", TOKEN_VERSION), signed(0x0C, 0, fields))
        return tenant.send(CommandApdu(0x80, 0xE6, 0x0C, 0, fields + lv(token), 256))

    def test_with_both_a_token_is_taken_and_a_receipt_given(self) -> None:
        answer = self.delegated(ISSUER)
        assert answer.sw == 0x9000
        assert len(answer.data) > 1

    def test_where_nobody_verifies_tokens_nothing_is_delegated(self) -> None:
        assert self.delegated(ISSUER & ~Privilege.TOKEN_MANAGEMENT).sw == 0x6985

    def test_where_nobody_makes_receipts_there_is_none(self) -> None:
        answer = self.delegated(ISSUER & ~Privilege.RECEIPT_GENERATION)
        assert (answer.data, answer.sw) == (b"\0", 0x9000)


class TestLoadFiles:
    """Privileges 1, 7 and 17, clauses 6.6.2.1, 9.2.1, C.3, C.6: what a domain asks of load files."""

    @staticmethod
    def load(host: Host, owner: Aid | None, block: bytes | CipheredBlock, *daps: DapBlock, clear: bytes) -> int:
        host.done(InstallForLoad(LOADED, owner, hash=load_file_hash(clear, "sha256")))
        *pieces, last = load_blocks(load_file(block, daps), 230)
        host.done(*pieces)
        sw = host.sw(last)
        if sw == 0x9000:
            assert host.delete(LOADED) == 0x9000
        return sw

    @staticmethod
    def dap(clear: bytes) -> DapBlock:
        return DapBlock(SD1, independent_signature(signing_key("aes-128", 5), load_file_hash(clear, "sha256")))

    @pytest.mark.parametrize(
        ("privilege", "own", "others"),
        [
            (NONE, False, False),
            (Privilege.DAP_VERIFICATION, True, False),
            (Privilege.DAP_VERIFICATION | Privilege.MANDATED_DAP_VERIFICATION, True, True),
        ],
    )
    def test_whose_load_files_need_a_dap(
        self, card: ProbeCard, privilege: Privilege, *, own: bool, others: bool
    ) -> None:
        domain = card.domain(SD1, privilege)
        put_key(domain, DAP_VERSION, signing_key("aes-128", 5)).require("PUT KEY")
        host, clear = card.issuer(), small_cap()
        for owner, needs in ((SD1, own), (None, others)):
            assert self.load(host, owner, clear, clear=clear) == (0x6985 if needs else 0x9000)
            if needs:
                assert self.load(host, owner, clear, self.dap(clear), clear=clear) == 0x9000

    @pytest.mark.parametrize(("privilege", "sw"), [(NONE, 0x6985), (Privilege.CIPHERED_LOAD_FILE_DATA_BLOCK, 0x9000)])
    def test_who_deciphers_load_files(self, card: ProbeCard, privilege: Privilege, sw: int) -> None:
        key, clear = MacKey(bytes(range(16))), small_cap()
        put_key(card.domain(SD1, privilege), CIPHER_VERSION, key).require("PUT KEY")
        assert self.load(card.issuer(), SD1, encipher_block(key, clear), clear=clear) == sw


class TestManagement:
    """Privileges 2 and 9, clauses 6.6.2.4, 9.1.3."""

    def test_authorized_management_manages_on_its_own_authority(self, card: ProbeCard) -> None:
        host = card.domain(SD1, Privilege.AUTHORIZED_MANAGEMENT)
        assert card.install(P1, host=host) == 0x9000
        assert host.delete(P1) == 0x9000

    def test_without_it_a_domain_manages_nothing(self, card: ProbeCard) -> None:
        host = card.domain(SD1)
        assert card.install(P1, host=host) == 0x6985
        card.install(P1)
        assert card.sw(InstallForExtradition(SD1, P1)) == 0x9000
        host = Host(card.se.link()).into(SD1, keys(0x31, 1))
        assert host.delete(P1) == 0x6985

    def test_delegated_management_needs_a_token(self, card: ProbeCard) -> None:
        host = card.domain(SD1, Privilege.DELEGATED_MANAGEMENT)
        assert card.install(P1, host=host) in {0x6982, 0x6985}
        assert card.issuer().entry(P1) is None

    def test_the_two_exclude_each_other(self, card: ProbeCard) -> None:
        both = Privilege.AUTHORIZED_MANAGEMENT | Privilege.DELEGATED_MANAGEMENT
        assert card.sw(InstallForInstall(SD_PACKAGE, SD_MODULE, SD1, SD | both)) == 0x6A80


class TestCardLock:
    """Privilege 3, clauses 5.1.1.4, 9.6.1, 11.10."""

    def test_an_application_with_it_locks_the_card(self, card: ProbeCard) -> None:
        card.install(P1, Privilege.CARD_LOCK)
        assert card.probe(P1).lock_card()
        assert card.issuer().state(ISD) == CardState.CARD_LOCKED

    def test_a_domain_with_it_locks_the_card(self, card: ProbeCard) -> None:
        host = card.domain(SD1, Privilege.CARD_LOCK)
        assert host.sw(SetStatus.card(CardState.CARD_LOCKED)) == 0x9000
        assert card.host.select(SD1).sw == 0x6A81
        assert card.sw(SetStatus.card(CardState.SECURED)) == 0x9000

    def test_without_it_nobody_does(self, card: ProbeCard) -> None:
        card.install(P1)
        assert not card.probe(P1).lock_card()
        host = card.domain(SD1)
        assert host.sw(SetStatus.card(CardState.CARD_LOCKED)) == 0x6985
        assert card.issuer().state(ISD) == CardState.SECURED


class TestCardTerminate:
    """Privilege 4, clauses 5.1.1.5, 9.6.1, 11.10."""

    def test_with_it_the_card_is_terminated(self, card: ProbeCard) -> None:
        card.install(P1, Privilege.CARD_TERMINATE)
        probe = card.probe(P1)
        assert probe.terminate_card()
        assert probe.call(0x11) == 0x6985
        assert card.host.select(P1).sw == 0x6A81
        assert card.host.raw(bytes.fromhex("80CA006600")).sw == 0x9000

    def test_by_a_domain(self, card: ProbeCard) -> None:
        host = card.domain(SD1, Privilege.CARD_TERMINATE)
        assert host.sw(SetStatus.card(CardState.TERMINATED)) == 0x9000

    def test_without_it_it_is_not(self, card: ProbeCard) -> None:
        card.install(P1, Privilege.CARD_LOCK)
        assert not card.probe(P1).terminate_card()
        assert card.domain(SD1).sw(SetStatus.card(CardState.TERMINATED)) == 0x6985
        assert card.issuer().state(ISD) == CardState.SECURED


class TestCardReset:
    """Privilege 5, clauses 6.4.2.1, 6.6.2.3: the default selected application."""

    def test_its_holder_is_selected_after_a_reset(self, card: ProbeCard) -> None:
        card.install(P1, Privilege.CARD_RESET)
        for interface in ("contact", "contactless"):
            probe = Probe(Host(card.se.link(interface)))
            assert (probe.call(0x1F) == b"\x00" + P1) == (interface == "contact")  # not activated there
        entry = card.issuer().registry().isd
        assert entry is not None
        assert Privilege.CARD_RESET not in entry.privileges

    def test_without_a_holder_it_is_the_issuer_s_domain(self, card: ProbeCard) -> None:
        card.install(P1)
        assert Host(card.se.link()).raw(bytes.fromhex("80CA006600")).sw == 0x9000

    def test_only_one_has_it_and_it_returns_to_the_issuer(self, card: ProbeCard) -> None:
        card.install(P1, Privilege.CARD_RESET)
        assert card.install(P2, Privilege.CARD_RESET) == 0x6985
        assert card.delete(P1) == 0x9000
        assert card.install(P2, Privilege.CARD_RESET) == 0x9000
        assert card.delete(P2) == 0x9000
        isd = card.issuer().registry().isd
        assert isd is not None
        assert Privilege.CARD_RESET in isd.privileges

    def test_it_comes_with_being_selectable(self, card: ProbeCard) -> None:
        assert card.install(P1, Privilege.CARD_RESET, selectable=False) == 0x6A80
        assert card.install(P1, selectable=False) == 0x9000
        assert card.sw(InstallForMakeSelectable(P1, Privilege.CARD_RESET)) == 0x9000

    def test_it_sets_historical_bytes(self, card: ProbeCard) -> None:
        card.install(P1, Privilege.CARD_RESET)
        card.install(P2)
        assert not card.probe(P2).set_historical_bytes(b"\x01")
        before = card.se.atr
        probe = card.probe(P1)
        assert not probe.set_historical_bytes(bytes(16))
        assert probe.set_historical_bytes(b"opentsm")
        assert probe.historical_bytes() == b""  # from the next reset on
        after = probe.host.link.reset()
        assert after[1] & 0x0F == 7
        assert b"opentsm" in after
        assert functools.reduce(int.__xor__, after[1:]) == 0  # ISO 7816-3, 8.2.5: the check byte
        assert len(after) == len(before) + 7
        assert card.probe(P1).historical_bytes() == b"opentsm"


class TestCvmManagement:
    """Privilege 6, clauses 6.6.2.6, 8.2; the methods one by one: `test_global_services.py`."""

    @pytest.mark.parametrize("privilege", [Privilege.CVM_MANAGEMENT, NONE])
    def test_who_changes_a_shared_pin(self, card: ProbeCard, privilege: Privilege) -> None:
        assert card.pin() == 0x9000
        card.install(P1, privilege)
        probe = card.probe(P1)
        assert probe.pin(2, 3) == probe.pin(1, 3, b"\x12\x34") == bool(privilege)
        assert probe.pin(0, 3, b"\x12\x34") == bool(privilege)  # verifying is anyone's, where there is a value


class TestTrustedPath:
    """Privilege 8, clauses 6.7, 7.3.3: commands are passed on to an application along a trusted path only."""

    def test_with_it_a_domain_personalizes_its_applications(self, card: ProbeCard) -> None:
        assert card.install(P1) == 0x9000
        command = (InstallForPersonalization(P1), StoreData(0, b"secret", last=True))
        assert card.sw(*command) == 0x9000
        assert b"secret" in card.probe(P1).personalized()

    def test_without_it_it_passes_nothing_on(self, card: ProbeCard) -> None:
        host = card.domain(SD1, Privilege.AUTHORIZED_MANAGEMENT)
        card.install(P1, host=host)
        assert host.sw(InstallForPersonalization(P1)) == 0x6985
        assert card.update(SD1, SD | Privilege.AUTHORIZED_MANAGEMENT | Privilege.TRUSTED_PATH) == 0x9000
        host = Host(card.se.link()).into(SD1, keys(0x31, 1))
        assert host.sw(InstallForPersonalization(P1)) == 0x9000

    def test_a_domain_installed_with_one_byte_of_privileges_has_it(self, card: ProbeCard) -> None:
        card.sw(InstallForInstall(SD_PACKAGE, SD_MODULE, SD1, SD, short_privileges=True))
        entry = card.issuer().entry(SD1)
        assert entry is not None
        assert entry.privileges == SD | Privilege.TRUSTED_PATH  # 11.5.2.3.2


class TestGlobalDelete:
    """Privilege 11, clauses 6.6.2.5, 9.5."""

    def test_with_it_what_others_own_is_deleted(self, card: ProbeCard) -> None:
        card.install(P1)
        host = card.domain(SD1, Privilege.GLOBAL_DELETE)
        assert host.delete(P1) == 0x9000
        assert card.issuer().entry(P1) is None

    def test_without_it_it_is_not(self, card: ProbeCard) -> None:
        card.install(P1)
        host = card.domain(SD1, Privilege.AUTHORIZED_MANAGEMENT)
        assert host.delete(P1) == 0x6985
        assert card.issuer().entry(P1) is not None


class TestGlobalLock:
    """Privilege 12, clauses 6.6.2.8, 9.6.2, 9.6.3."""

    def test_an_application_with_it_locks_and_unlocks_any(self, card: ProbeCard) -> None:
        card.install(P1, Privilege.GLOBAL_LOCK | Privilege.GLOBAL_REGISTRY)
        card.install(P2)
        probe = card.probe(P1)
        assert probe.set_state(P2, 0x80)
        assert card.host.select(P2).sw == 0x6A82
        assert card.probe(P1).set_state(P2, 0x80) is False  # locked already
        assert card.probe(P1).set_state(P2, 0x0F)  # b8 alone counts: unlocked, in the state before
        assert card.issuer().state(P2) == 0x07
        assert card.probe(P1).set_state(P2, 0x0F) is False  # another state is P2's own to set

    def test_a_domain_with_it_locks_what_is_not_under_it(self, card: ProbeCard) -> None:
        card.install(P1)
        host = card.domain(SD1, Privilege.GLOBAL_LOCK)
        assert host.sw(SetStatus.lock(P1)) == 0x9000
        assert host.sw(SetStatus.unlock(P1)) == 0x9000

    def test_without_it_only_one_s_own_is_locked(self, card: ProbeCard) -> None:
        card.install(P1, Privilege.GLOBAL_REGISTRY)
        card.install(P2)
        assert card.probe(P1).set_state(P2, 0x80) is False
        assert card.domain(SD1).sw(SetStatus.lock(P2)) == 0x6985
        assert card.issuer().state(P2) == 0x07

    def test_it_does_not_reach_the_card_s_state(self, card: ProbeCard) -> None:
        card.install(P1, Privilege.GLOBAL_LOCK | Privilege.GLOBAL_REGISTRY)
        assert card.probe(P1).set_state(ISD, 0x7F) is False
        card.update(P1, Privilege.CARD_LOCK | Privilege.GLOBAL_REGISTRY)
        assert card.probe(P1).set_state(ISD, 0x7F)  # GPRegistryEntry.setState of the ISD is the card's
        assert card.issuer().state(ISD) == CardState.CARD_LOCKED


class TestGlobalRegistry:
    """Privilege 13, clauses 6.4.1, 11.4; GP Card API, GPSystem.getRegistryEntry."""

    def test_with_it_all_is_seen(self, card: ProbeCard) -> None:
        card.install(P1, Privilege.GLOBAL_REGISTRY)
        card.install(P2)
        assert card.probe(P1).sees(P2)
        host = card.domain(SD1, Privilege.GLOBAL_REGISTRY)
        assert {entry.aid for entry in entries(host)} >= {ISD, P1, P2, SD1, PROBE_PACKAGE}

    def test_without_it_only_what_is_under_one(self, card: ProbeCard) -> None:
        card.install(P1)
        card.install(P2)
        probe = card.probe(P1)
        assert probe.sees(P1)
        assert not probe.sees(P2)
        assert not probe.sees(ISD)
        assert [entry.aid for entry in entries(card.domain(SD1))] == [SD1]


class TestFinalApplication:
    """Privilege 14, clauses 5.1.1.4, 5.1.1.5, 6.6.2.10."""

    def test_its_holder_is_all_that_a_locked_card_selects(self, card: ProbeCard) -> None:
        card.install(P1, Privilege.FINAL_APPLICATION)
        card.install(P2)
        assert card.sw(SetStatus.card(CardState.CARD_LOCKED)) == 0x9000
        host = Host(card.se.link())
        assert host.raw(bytes.fromhex("801F0000")).data == b"\x00" + P1  # selected by default
        assert host.select(P1).sw == 0x6283
        for aid in (P2, ISD):
            assert host.select(aid).sw == 0x6A81
        assert host.raw(bytes.fromhex("0070000001")).sw == 0x6A81

    def test_without_a_holder_it_is_the_issuer_s_domain(self, card: ProbeCard) -> None:
        card.install(P1)
        card.sw(SetStatus.card(CardState.CARD_LOCKED))
        host = Host(card.se.link())
        assert host.select(P1).sw == 0x6A81
        assert host.select(ISD).sw == 0x6283

    def test_only_one_has_it(self, card: ProbeCard) -> None:
        card.install(P1, Privilege.FINAL_APPLICATION)
        assert card.install(P2, Privilege.FINAL_APPLICATION) == 0x6985
        assert card.update(P1, NONE) == 0x9000
        assert card.install(P2, Privilege.FINAL_APPLICATION) == 0x9000

    def test_a_terminated_card_gives_its_data(self, card: ProbeCard) -> None:
        card.install(P1, Privilege.FINAL_APPLICATION)
        card.sw(SetStatus.card(CardState.TERMINATED))
        host = Host(card.se.link())
        assert host.raw(bytes.fromhex("80CA006600")).sw == 0x6D00  # GET DATA came to the probe, which has none
        assert host.raw(bytes.fromhex("801F0000")).sw == 0x6985

    def test_a_locked_holder_is_selected_by_nothing(self, card: ProbeCard) -> None:
        card.install(P1, Privilege.FINAL_APPLICATION)
        card.sw(SetStatus.lock(P1), SetStatus.card(CardState.CARD_LOCKED))
        host = Host(card.se.link())
        assert host.raw(bytes.fromhex("801F0000")).sw == 0x6985
        assert {host.select(aid).sw for aid in (P1, ISD)} <= {0x6A81, 0x6A82}


class TestGlobalService:
    """Privilege 15, clauses 6.6.2.7, 8.1; names and families: `test_global_services.py`."""

    @pytest.mark.parametrize("privilege", [Privilege.GLOBAL_SERVICE, NONE])
    def test_who_offers_a_service(self, card: ProbeCard, privilege: Privilege) -> None:
        card.install(P1, privilege, services=b"\x88\x05")
        card.install(P2)
        assert card.probe(P1).register(0x8805) == bool(privilege)
        assert card.probe(P2).service(0x8805) == ((P1, P2) if privilege else None)


class TestContactlessActivation:
    """Privileges 18 and 19 (GP Amendment C, 3.11)."""

    def test_self_activation(self, card: ProbeCard) -> None:
        card.install(P1, Privilege.CONTACTLESS_SELF_ACTIVATION)
        card.install(P2)
        assert card.probe(P1).set_contactless(1)
        assert not card.probe(P2).set_contactless(1)
        assert card.host.select(P1).sw == 0x9000
        reader = Host(card.se.link("contactless"))
        assert [reader.select(aid).sw for aid in (P1, P2)] == [0x9000, 0x6A82]

    def test_activation_of_others_is_a_privilege(self, card: ProbeCard) -> None:
        card.install(P1)
        assert card.domain(SD1).sw(SetStatus.contactless(P1, activated=True)) == 0x6985
        host = card.domain(SD2, Privilege.CONTACTLESS_ACTIVATION, keys(0x32, 2))
        assert host.sw(SetStatus.contactless(P1, activated=True)) == 0x9000


def test_a_domain_sees_its_subtree_whatever_its_depth(card: ProbeCard) -> None:
    """Clause 11.4: associated directly or indirectly."""
    host = card.domain(SD1, Privilege.AUTHORIZED_MANAGEMENT)
    host.done(InstallForInstall(SD_PACKAGE, SD_MODULE, SD2, SD))
    host.into(SD2, keys(0x31, 1))
    host.put_keys(keys(0x32, 2)).require("PUT KEY")
    host.into(SD1, keys(0x31, 1))
    assert card.install(P3, host=host) == 0x9000
    assert host.sw(InstallForExtradition(SD2, P3)) == 0x9000
    assert {entry.aid for entry in entries(host)} == {SD1, SD2, P3}
    assert host.sw(GetStatus(Scope.LOAD_FILES, bytes(PROBE_PACKAGE))) == 0x6A88
    below = Host(card.se.link()).into(SD2, keys(0x32, 2))
    assert {entry.aid for entry in entries(below)} == {SD2, P3}
    assert below.sw(DeleteObject(P3)) == 0x6985


def test_every_privilege_is_tried_here() -> None:
    """Table 6-1 has 20."""
    source = Path(__file__).read_text(encoding="utf-8").replace(" SD |", " Privilege.SECURITY_DOMAIN |")
    every = [privilege for privilege in Privilege if privilege >= Privilege.CONTACTLESS_SELF_ACTIVATION]
    assert len(every) == 20
    assert [privilege for privilege in every if f"Privilege.{privilege.name}" not in source] == []
