"""Who gives which privileges to whom (GP Card Specification 2.3.1, 6.6.2, table 6-2; 11.5.2.3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from opentsm_card.install import InstallForInstall, InstallForRegistryUpdate
from opentsm_card.privileges import Privilege
from probe_card import P1, SD, SD1, ProbeCard
from sd_host import SD_MODULE, SD_PACKAGE

if TYPE_CHECKING:
    from sd_host import Host


@pytest.fixture
def card() -> ProbeCard:
    return ProbeCard()


CARD_WIDE: Final = (
    Privilege.CARD_LOCK,
    Privilege.CARD_TERMINATE,
    Privilege.CARD_RESET,
    Privilege.GLOBAL_DELETE,
    Privilege.GLOBAL_LOCK,
    Privilege.GLOBAL_REGISTRY,
    Privilege.FINAL_APPLICATION,
    Privilege.CONTACTLESS_ACTIVATION,
)
HARMLESS: Final = (
    Privilege.CVM_MANAGEMENT,
    Privilege.GLOBAL_SERVICE,
    Privilege.CONTACTLESS_SELF_ACTIVATION,
)


class TestGranting:
    """Who gives privileges: clause 6.6.2, table 6-2."""

    @pytest.fixture
    def manager(self, card: ProbeCard) -> Host:
        return card.domain(SD1, Privilege.AUTHORIZED_MANAGEMENT)

    @pytest.mark.parametrize("privilege", CARD_WIDE, ids=lambda privilege: privilege.name)
    def test_what_is_over_the_whole_card_the_issuer_gives(
        self, card: ProbeCard, manager: Host, privilege: Privilege
    ) -> None:
        assert card.install(P1, privilege, host=manager) == 0x6985
        assert card.install(P1, privilege) == 0x9000

    @pytest.mark.parametrize("privilege", HARMLESS, ids=lambda privilege: privilege.name)
    def test_what_is_over_nobody_else_a_manager_gives_too(
        self, card: ProbeCard, manager: Host, privilege: Privilege
    ) -> None:
        assert card.install(P1, privilege, host=manager) == 0x9000

    @pytest.mark.parametrize("privilege", CARD_WIDE, ids=lambda privilege: privilege.name)
    def test_a_manager_does_not_give_by_update_either(
        self, card: ProbeCard, manager: Host, privilege: Privilege
    ) -> None:
        assert card.install(P1, host=manager) == 0x9000
        assert manager.sw(InstallForRegistryUpdate(P1, privileges=privilege)) == 0x6985

    @pytest.mark.parametrize("reserved", [Privilege.RFU_1, Privilege.RFU_2, Privilege.RFU_3, Privilege.PRIVACY_TRUSTED])
    def test_reserved_bits_are_refused(self, card: ProbeCard, reserved: Privilege) -> None:
        assert card.install(P1, reserved) == 0x6A80
        assert card.sw(InstallForInstall(SD_PACKAGE, SD_MODULE, SD1, SD | reserved)) == 0x6A80

    def test_privileges_are_read_by_their_holder(self, card: ProbeCard) -> None:
        given = Privilege.CARD_LOCK | Privilege.GLOBAL_SERVICE | Privilege.CONTACTLESS_SELF_ACTIVATION
        card.install(P1, given)
        assert card.probe(P1).privileges() == given
        assert card.update(P1, Privilege.CVM_MANAGEMENT) == 0x9000
        assert card.probe(P1).privileges() == Privilege.CVM_MANAGEMENT
