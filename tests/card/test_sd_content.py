"""INSTALL and DELETE of card content: who may do what, in the hierarchy and by privilege."""

from __future__ import annotations

import pytest

from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu
from opentsm_card.delete import DeleteObject
from opentsm_card.install import (
    InstallForExtradition,
    InstallForInstall,
    InstallForLoad,
    InstallForMakeSelectable,
    InstallForPersonalization,
    InstallForRegistryUpdate,
)
from opentsm_card.privileges import Privilege
from opentsm_card.registry import Kind
from opentsm_simulator import VirtualSe
from sd_host import (
    BANK,
    CARD_1,
    CARD_2,
    CENTRAL,
    CRS,
    ISD,
    ISD_KEYS,
    OWN,
    PAYMENT_MODULE,
    PAYMENT_PACKAGE,
    PPSE,
    PPSE_PACKAGE,
    SD_MODULE,
    SD_PACKAGE,
    TRANSIT,
    Host,
    keys,
    payment_parameters,
    service_provider,
)

BANK_KEYS = keys(0x31, 1)
TRANSIT_KEYS = keys(0x32, 2)
UNKNOWN = Aid(OWN + b"\x0f\x0f\x0f")


@pytest.fixture
def uicc() -> VirtualSe:
    return VirtualSe.create("uicc", keys={"isd": keys(0x30, 100)})


def test_install_and_make_selectable_in_one_step_or_two(isd: Host) -> None:
    answer = isd.send(InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1))
    assert (answer.data, answer.sw) == (b"\0", 0x9000)
    assert isd.state(CARD_1) == 0x07
    isd.done(InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_2, make_selectable=False))
    assert isd.state(CARD_2) == 0x03
    assert isd.select(CARD_2).sw == 0x6A82
    isd.into(ISD, ISD_KEYS)
    isd.done(InstallForMakeSelectable(CARD_2))
    assert isd.state(CARD_2) == 0x07
    assert isd.sw(InstallForMakeSelectable(CARD_2)) == 0x6985
    assert isd.select(CARD_2).sw == 0x9000


def test_make_selectable_keeps_privileges(isd: Host) -> None:
    isd.done(InstallForInstall(SD_PACKAGE, SD_MODULE, BANK, Privilege.SECURITY_DOMAIN, make_selectable=False))
    isd.done(InstallForMakeSelectable(BANK))
    entry = isd.entry(BANK)
    assert entry is not None
    assert entry.privileges is Privilege.SECURITY_DOMAIN
    assert entry.kind is Kind.SECURITY_DOMAIN


def test_make_selectable_can_add_card_reset(isd: Host) -> None:
    isd.done(InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1, make_selectable=False))
    isd.done(InstallForMakeSelectable(CARD_1, Privilege.CARD_RESET))
    entry = isd.entry(CARD_1)
    assert entry is not None
    assert entry.privileges is Privilege.CARD_RESET
    isd.link.reset()
    assert isd.raw(bytes.fromhex("80CADF0300")).data == bytes.fromhex("DF030100")  # selected by default


@pytest.mark.parametrize(
    ("load_file", "module", "sw"),
    [(PAYMENT_PACKAGE, SD_MODULE, 0x6A88), (UNKNOWN, PAYMENT_MODULE, 0x6A88), (PAYMENT_PACKAGE, UNKNOWN, 0x6A88)],
)
def test_install_needs_a_module_of_the_load_file(isd: Host, load_file: Aid, module: Aid, sw: int) -> None:
    assert isd.sw(InstallForInstall(load_file, module, CARD_1)) == sw
    assert isd.entry(CARD_1) is None


def test_install_refuses_an_aid_in_use(isd: Host) -> None:
    isd.new_payment(CARD_1)
    for aid in (CARD_1, ISD, PPSE, PAYMENT_PACKAGE):
        assert isd.sw(InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, aid)) == 0x6985


def test_applet_that_refuses_its_parameters_is_not_there(se: VirtualSe, isd: Host) -> None:
    for wrong in (b"\xc2\x01\x00", b"\xc2\x01\x07", b"\xc2\x02\x01\x01", b"\x50\x11" + bytes(17), b"\x50\x05A"):
        command = InstallForInstall(
            PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1, parameters=b"\xc9" + bytes([len(wrong)]) + wrong
        )
        assert isd.sw(command) == 0x6A80
    assert isd.entry(CARD_1) is None
    assert se.effects() == []


@pytest.mark.parametrize(
    "data",
    [
        "",
        "00",
        "08F06F70656E74736D",
        "0AF06F70656E74736D01010BF06F70656E74736D0101010CF06F70656E74736D0B0001010100",
        "0AF06F70656E74736D01010BF06F70656E74736D0101010CF06F70656E74736D0B00010101000000FF",
        "0AF06F70656E74736D01010BF06F70656E74736D0101010CF06F70656E74736D0B000101000000",
        "0AF06F70656E74736D01010BF06F70656E74736D0101010CF06F70656E74736D0B0001010200000000",
        "0AF06F70656E74736D01010BF06F70656E74736D01010103F06F7001000000",
        "0AF06F70656E74736D01010BF06F70656E74736D0101010CF06F70656E74736D0B000101010003C9050000",
    ],
)
def test_malformed_install_changes_nothing(se: VirtualSe, isd: Host, data: str) -> None:
    assert isd.sw(CommandApdu(0x80, 0xE6, 0x0C, 0x00, bytes.fromhex(data), 256)) == 0x6A80
    assert se.effects() == []


def test_token_and_unknown_forms_are_refused(isd: Host) -> None:
    command = InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1, token=bytes(16))
    assert isd.sw(command) == 0x6985
    assert isd.sw(InstallForLoad(UNKNOWN, token=bytes(16))) == 0x6985
    assert isd.sw(CommandApdu(0x80, 0xE8, 0x80, 0x00, bytes(8))) == 0x6985
    data = InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1).apdu().data
    assert isd.sw(CommandApdu(0x80, 0xE6, 0x0C, 0x01, data)) == 0x6A86


def test_install_without_token_field_is_taken(isd: Host) -> None:
    data = InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1).apdu().data
    assert isd.sw(CommandApdu(0x80, 0xE6, 0x0C, 0x00, data[:-1], 256)) == 0x9000


def test_one_byte_of_privileges(isd: Host) -> None:
    isd.done(InstallForInstall(SD_PACKAGE, SD_MODULE, BANK, Privilege.SECURITY_DOMAIN, short_privileges=True))
    entry = isd.entry(BANK)
    assert entry is not None
    assert entry.kind is Kind.SECURITY_DOMAIN


def test_extradition_needs_a_personalized_domain(se: VirtualSe, isd: Host) -> None:
    isd.new_payment(CARD_1)
    isd.new_domain(TRANSIT)
    assert isd.extradite(CARD_1, TRANSIT) == 0x6985
    host = service_provider(se, ISD, ISD_KEYS, BANK, BANK_KEYS)
    assert host.extradite(CARD_1, BANK) == 0x9000
    entry = host.entry(CARD_1)
    assert entry is not None
    assert entry.associated_sd == BANK
    assert host.extradite(CARD_1, ISD) == 0x9000
    assert host.extradite(CARD_1, CARD_1) == 0x6985
    assert host.extradite(CARD_1, UNKNOWN) == 0x6A88
    assert host.extradite(UNKNOWN, BANK) == 0x6A88
    assert host.extradite(ISD, BANK) == 0x6985


def test_registry_update(se: VirtualSe) -> None:
    host = service_provider(se, ISD, ISD_KEYS, BANK, BANK_KEYS)
    host.new_payment(CARD_1)
    host.done(InstallForRegistryUpdate(CARD_1, BANK, Privilege.CONTACTLESS_SELF_ACTIVATION))
    entry = host.entry(CARD_1)
    assert entry is not None
    assert (entry.associated_sd, entry.privileges) == (BANK, Privilege.CONTACTLESS_SELF_ACTIVATION)
    assert host.sw(InstallForRegistryUpdate(CARD_1, privileges=Privilege.SECURITY_DOMAIN)) == 0x6985
    assert host.sw(InstallForRegistryUpdate(ISD, privileges=Privilege.SECURITY_DOMAIN)) == 0x6985
    assert host.sw(InstallForRegistryUpdate(UNKNOWN)) == 0x6A88


def test_delete(se: VirtualSe, isd: Host) -> None:
    isd.new_payment(CARD_1)
    isd.new_payment(CARD_2)
    answer = isd.send(DeleteObject(CARD_1))
    assert (answer.data, answer.sw) == (b"\0", 0x9000)
    assert isd.entry(CARD_1) is None
    assert isd.entry(CARD_2) is not None
    assert isd.delete(CARD_1) == 0x6A88
    assert isd.delete(ISD) == 0x6985
    assert isd.sw(CommandApdu(0x80, 0xE4, 0x00, 0x00, b"\x4f\x00", 256)) == 0x6A88
    assert isd.sw(CommandApdu(0x80, 0xE4, 0x00, 0x00, b"\x4f\x09\x01", 256)) == 0x6A80
    assert se.effects()[-1] == f"delete {CARD_1}"
    # The card ignores bits that are reserved (11.1): all of P1 but b8, all of P2 but b8.
    assert isd.sw(CommandApdu(0x80, 0xE4, 0x01, 0x40, DeleteObject(CARD_2).apdu().data, 256)) == 0x9000


def test_what_is_in_use_is_not_deleted(se: VirtualSe) -> None:
    host = service_provider(se, ISD, ISD_KEYS, BANK, BANK_KEYS)
    host.new_payment(CARD_1)
    host.extradite(CARD_1, BANK)
    assert host.delete(BANK) == 0x6985  # an application is associated with it
    assert host.delete(PAYMENT_PACKAGE) == 0x6985  # it has an instance
    host.activate(CARD_1)
    reader = Host(se.link("contactless"))
    reader.select(CARD_1).require("SELECT")
    assert host.delete(CARD_1) == 0x6985  # selected on the other interface
    reader.select(PPSE)
    assert host.delete(CARD_1) == 0x9000
    assert host.delete(BANK) == 0x9000


def test_delete_a_package_with_its_instances(isd: Host) -> None:
    isd.new_payment(CARD_1)
    isd.new_payment(CARD_2)
    assert isd.delete(PAYMENT_PACKAGE, related=True) == 0x9000
    registry = isd.registry()
    assert [entry.aid for entry in registry.applications] == [PPSE, CRS]
    assert registry.find(PAYMENT_PACKAGE) is None


def test_an_sp_s_domain_manages_its_keys_and_personalizes_and_nothing_else(se: VirtualSe) -> None:
    host = service_provider(se, ISD, ISD_KEYS, BANK, BANK_KEYS)
    host.new_payment(CARD_1)
    host.extradite(CARD_1, BANK)
    host.into(BANK, BANK_KEYS)
    before = se.effects()
    for command in (
        InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_2),
        InstallForInstall(SD_PACKAGE, SD_MODULE, TRANSIT, Privilege.SECURITY_DOMAIN),
        InstallForMakeSelectable(CARD_1),
        InstallForExtradition(ISD, CARD_1),
        InstallForExtradition(BANK, CARD_1),
        InstallForRegistryUpdate(CARD_1, privileges=Privilege.CARD_RESET),
        DeleteObject(CARD_1),
        DeleteObject(BANK),
        DeleteObject(PPSE),
        DeleteObject(UNKNOWN),  # refused alike: what else there is stays unknown
    ):
        assert host.sw(command) == 0x6985, command
    assert se.effects() == before
    assert host.sw(InstallForPersonalization(CARD_1)) == 0x9000
    assert host.put_keys(keys(0x33, 9)).sw == 0x9000


def test_two_sps_do_not_reach_each_other(se: VirtualSe) -> None:
    service_provider(se, ISD, ISD_KEYS, TRANSIT, TRANSIT_KEYS)
    host = service_provider(se, ISD, ISD_KEYS, BANK, BANK_KEYS)
    host.new_payment(CARD_1)
    host.new_payment(CARD_2)
    host.extradite(CARD_1, BANK)
    host.extradite(CARD_2, TRANSIT)
    host.into(TRANSIT, TRANSIT_KEYS)
    assert [entry.aid for entry in host.registry()] == [TRANSIT, CARD_2]
    assert host.sw(InstallForPersonalization(CARD_1)) == 0x6985
    assert host.activate(CARD_1) == 0x6985
    assert host.activate(CARD_2) == 0x9000


def test_central_domain_of_a_uicc_manages_what_is_under_it(uicc: VirtualSe) -> None:
    host = service_provider(uicc, CENTRAL, ISD_KEYS, BANK, BANK_KEYS)
    host.new_payment(CARD_1)
    assert host.extradite(CARD_1, BANK) == 0x9000
    assert {entry.aid for entry in host.registry()} == {CENTRAL, PPSE, BANK, CARD_1}
    assert host.delete(SD_PACKAGE) == 0x6985
    assert host.delete(ISD) == 0x6985
    assert host.delete(CENTRAL) == 0x6985
    assert host.extradite(CARD_1, ISD) == 0x6985  # the issuer's hand is not its own
    assert host.extradite(PPSE_PACKAGE, BANK) == 0x6985
    assert host.delete(CARD_1) == 0x9000
    assert host.delete(BANK) == 0x9000


@pytest.mark.parametrize(
    "privileges",
    [
        Privilege.GLOBAL_DELETE,
        Privilege.GLOBAL_LOCK,
        Privilege.GLOBAL_REGISTRY,
        Privilege.CARD_LOCK,
        Privilege.CARD_TERMINATE,
        Privilege.CARD_RESET,
        Privilege.FINAL_APPLICATION,
        Privilege.CONTACTLESS_ACTIVATION,
        Privilege.SECURITY_DOMAIN | Privilege.AUTHORIZED_MANAGEMENT,  # the runtime leaves it to the issuer
        Privilege.SECURITY_DOMAIN | Privilege.DELEGATED_MANAGEMENT,
        Privilege.SECURITY_DOMAIN | Privilege.TOKEN_MANAGEMENT,
    ],
)
def test_central_domain_grants_no_power_over_others(uicc: VirtualSe, privileges: Privilege) -> None:
    host = Host(uicc.link()).into(CENTRAL, ISD_KEYS)
    domain = Privilege.SECURITY_DOMAIN in privileges
    package, module = (SD_PACKAGE, SD_MODULE) if domain else (PAYMENT_PACKAGE, PAYMENT_MODULE)
    assert host.sw(InstallForInstall(package, module, CARD_1, privileges)) == 0x6985
    assert host.entry(CARD_1) is None


def test_a_third_party_with_authorized_management_manages_its_own(isd: Host) -> None:
    isd.new_domain(BANK, Privilege.SECURITY_DOMAIN | Privilege.AUTHORIZED_MANAGEMENT)
    isd.into(BANK, ISD_KEYS)
    assert isd.sw(InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1)) == 0x6985  # no keys of its own yet
    isd.put_keys(BANK_KEYS).require("PUT KEY")
    isd.into(BANK, BANK_KEYS)
    isd.new_payment(CARD_1)
    entry = isd.entry(CARD_1)
    assert entry is not None
    assert entry.associated_sd == BANK
    assert isd.delete(PPSE) == 0x6985
    assert isd.delete(CARD_1) == 0x9000


def test_the_uicc_s_issuer_reaches_everything(uicc: VirtualSe) -> None:
    issuer = keys(0x30, 100)
    service_provider(uicc, CENTRAL, ISD_KEYS, BANK, BANK_KEYS).new_payment(CARD_1)
    host = Host(uicc.link()).into(ISD, issuer)
    assert {CENTRAL, BANK, CARD_1, PPSE} <= {entry.aid for entry in host.registry()}
    assert host.delete(CARD_1) == 0x9000


def test_install_parameters_reach_the_instance(isd: Host) -> None:
    isd.new_payment(CARD_1, payment_parameters(b"Savings", 3))
    fci = isd.select(CARD_1).data
    assert fci == b"\x6f\x1c\x84\x0c" + CARD_1 + b"\xa5\x0c\x50\x07Savings\x87\x01\x03"
