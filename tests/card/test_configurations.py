"""The virtual SE against the tables of the SE configurations, cell by cell.

For each security domain of each configuration and each life cycle that it and the card can be in, every command is
sent: first without a secure channel, then in one. What the card did is the cell; a command it refused must have had no
effect.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from opentsm_card.aid import Aid
from opentsm_card.command_names import CommandName
from opentsm_card.configurations import Role, configuration, configuration_names
from opentsm_card.delete import DeleteObject
from opentsm_card.install import InstallForExtradition, InstallForInstall, InstallForPersonalization
from opentsm_card.privileges import Privilege
from opentsm_card.registry import Kind
from opentsm_card.set_status import SetStatus
from opentsm_simulator import VirtualSe
from sd_host import (
    BANK,
    CARD_1,
    CARD_2,
    CASD,
    ISD,
    ISD_KEYS,
    OWNER,
    PAYMENT_MODULE,
    PAYMENT_PACKAGE,
    TENANT,
    TRANSIT,
    Host,
    payment_parameters,
)
from se_stage import AIDS, NEW, NEW_KEYS, OWN_KEYS, Case, cases, observe
from token_keys import give_token_keys, is_receipt, with_token

MANAGER: Final = {name: AIDS[configuration(name).central_role] for name in configuration_names()}
# Where the profiles have them; an SP's security domain is made when there is an SP.
SUBJECT: Final = {**AIDS, Role.PROVIDER: BANK, Role.AUTHORIZED: OWNER, Role.DELEGATED: TENANT, Role.CONTROLLING: CASD}
CASES: Final = [case for name in configuration_names() for case in cases(name)]
MANUAL: Final = Path(__file__).parents[2] / "docs" / "configurations.md"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_card_takes_what_the_table_says(case: Case) -> None:
    table = configuration(case.name).domains[case.role]
    seen = observe(case)
    different = {
        str(command): f"table {table.cell(command, case.at)}, card {seen[command]}"
        for command in CommandName
        if seen[command] is not table.cell(command, case.at)
    }
    assert different == {}


def test_the_manual_tells_how_many_cells_are_tried() -> None:
    cells = sum(configuration(name).cells for name in configuration_names())
    tried = len(CASES) * len(CommandName)
    assert f"The tables have {cells:,} cells; the card is tried in {tried:,} combinations" in MANUAL.read_text()


@pytest.mark.parametrize("name", configuration_names())
def test_the_card_has_the_privileges_of_the_table(name: str) -> None:
    se = VirtualSe.create(name)
    issuer = Host(se.link()).into(ISD, ISD_KEYS)
    table = configuration(name)
    Host(se.link("contactless")).into(MANAGER[name], ISD_KEYS).new_domain(BANK)
    registry = issuer.registry()
    for role, domain in table.domains.items():
        entry = registry.find(SUBJECT[role])
        assert entry is not None
        assert entry.privileges == domain.privilege_bits, role
        assert entry.associated_sd == SUBJECT[domain.parent], role
    assert {entry.kind for entry in registry} == set(Kind)


@pytest.mark.parametrize("name", configuration_names())
def test_applications_may_have_the_privileges_of_the_table(name: str) -> None:
    table = configuration(name)
    host = Host(VirtualSe.create(name).link()).into(MANAGER[name], ISD_KEYS)
    for number, privilege in enumerate(table.application_privilege_bits):
        instance = Aid(CARD_1[:-1] + bytes((0x40 + number,)))
        parameters = payment_parameters()
        host.done(InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, instance, privilege, parameters))
        entry = host.entry(instance)
        assert entry is not None
        assert entry.privileges == privilege


@pytest.mark.parametrize("name", configuration_names())
def test_authority_ends_at_what_is_under_a_domain(name: str) -> None:
    """Under `SP SD` here: the bank's; beside it the transit operator's, and what belongs to the issuer."""
    manager = MANAGER[name]
    se = VirtualSe.create(name)
    host = Host(se.link("contactless")).into(manager, ISD_KEYS)
    for owner, own, card in ((BANK, OWN_KEYS, CARD_1), (TRANSIT, NEW_KEYS, CARD_2)):
        host.new_domain(owner)
        host.into(owner, ISD_KEYS).put_keys(own).require("PUT KEY")
        host.into(manager, ISD_KEYS).new_payment(card)
        host.done(InstallForExtradition(owner, card))
    Host(se.link("contactless")).into(ISD, ISD_KEYS).new_payment(NEW)
    before = se.effects()
    bank = Host(se.link()).into(BANK, OWN_KEYS)
    assert {entry.aid for entry in bank.registry()} == {BANK, CARD_1}, "it does not see the others"
    strangers = {CARD_2, TRANSIT, NEW}
    for stranger in strangers:
        assert bank.sw(SetStatus.lock(stranger)) != 0x9000
        assert bank.sw(SetStatus.contactless(stranger, activated=True)) != 0x9000
        assert bank.sw(InstallForPersonalization(stranger)) != 0x9000
    central = Host(se.link()).into(manager, ISD_KEYS)
    granted = configuration(name).domains[configuration(name).central_role].privilege_bits
    outside = () if manager == ISD else (NEW,)
    for stranger in outside:
        assert not granted & (Privilege.GLOBAL_DELETE | Privilege.GLOBAL_LOCK | Privilege.GLOBAL_REGISTRY)
        assert central.entry(stranger) is None
        assert central.sw(SetStatus.lock(stranger)) != 0x9000
        assert central.sw(DeleteObject(stranger)) != 0x9000
        assert central.sw(InstallForExtradition(BANK, stranger)) != 0x9000
    assert se.effects() == before, "what was refused had no effect"
    central.done(SetStatus.lock(CARD_1), DeleteObject(CARD_2))


@pytest.mark.parametrize("name", [name for name in configuration_names() if "third" in name])
def test_what_a_third_party_does_with_a_token_comes_with_a_receipt(name: str) -> None:
    """Authorized by the central TSM, and confirmed to it; the other third party needs neither."""
    se = VirtualSe.create(name)
    give_token_keys(Host(se.link()).into(MANAGER[name], ISD_KEYS))
    tenant = Host(se.link()).into(TENANT, ISD_KEYS)
    install = InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1, parameters=payment_parameters())
    assert tenant.sw(install) == 0x6985
    answer = tenant.send(with_token(install))
    assert answer.sw == 0x9000
    assert is_receipt(answer.data, PAYMENT_PACKAGE, CARD_1)
    assert not is_receipt(answer.data, PAYMENT_PACKAGE, CARD_2)
    entry = Host(se.link()).into(ISD, ISD_KEYS).entry(CARD_1)
    assert entry is not None
    assert entry.associated_sd == TENANT
    owner = Host(se.link()).into(OWNER, ISD_KEYS)
    other = InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_2, parameters=payment_parameters())
    assert owner.send(other).data == b"\x00", "no receipt"
    for stranger in (DeleteObject(CARD_1), SetStatus.lock(CARD_1)):
        assert owner.sw(stranger) != 0x9000
