"""Plans with packages to load, key sets to rotate, and third parties that manage by delegation."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import msgspec
import pytest

from opentsm_card.aid import Aid
from opentsm_card.command_names import CommandName
from opentsm_card.configurations import Acceptance, Configuration, Role, configuration
from opentsm_card.delete import DeleteKey, DeleteObject
from opentsm_card.install import InstallForExtradition, InstallForInstall
from opentsm_card.lifecycle import CardState
from opentsm_card.plan import (
    Absent,
    ApplicationPresent,
    Block,
    KeySetsPresent,
    LoadPackage,
    PackagePresent,
    PlanError,
    PutKeySet,
    PutTemporaryKeys,
    Refusal,
    SecureElement,
    SecurityDomainPresent,
    Wanted,
    apply_block,
    authorized,
    diff,
    plan,
)
from opentsm_card.privileges import Privilege
from opentsm_card.registry import Kind, Registry, RegistryEntry
from opentsm_card.set_status import SetStatus
from sd_host import BANK, CARD_1, CARD_2, CENTRAL, ISD, OWN, SD_MODULE, SD_PACKAGE, TENANT

LIBRARY: Final = Aid(OWN + b"\x01\x10")
PACKAGE: Final = Aid(OWN + b"\x01\x11")
MODULE: Final = Aid(OWN + b"\x01\x11\x01")
CONTENT: Final = tuple(CommandName)[tuple(CommandName).index(CommandName.INSTALL_FOR_LOAD) :]
SSD: Final = Privilege.SECURITY_DOMAIN


def loading(name: str) -> Configuration:
    """Return a configuration whose managers load packages, and whose third party does so by delegation."""
    found = configuration(name)
    domains = {}
    for role, table in found.domains.items():
        commands = dict(table.commands)
        if role is Role.DELEGATED:
            ready = [Acceptance.TOKEN if at.is_ready else Acceptance.REFUSED for at in table.situations]
            commands |= dict.fromkeys(CONTENT, tuple(ready))
        manages = commands[CommandName.INSTALL_FOR_INSTALL]
        commands |= dict.fromkeys((CommandName.INSTALL_FOR_LOAD, CommandName.LOAD), manages)
        domains[role] = msgspec.structs.replace(table, commands=commands)
    return msgspec.structs.replace(found, domains=domains)


ELEMENT: Final = SecureElement(loading("embedded"), ISD, ISD, {ISD: 0x30}, SD_PACKAGE, SD_MODULE)


def registry(*entries: RegistryEntry, files: tuple[RegistryEntry, ...] = ()) -> Registry:
    isd = RegistryEntry(
        ISD, CardState.SECURED, Privilege.parse(bytes.fromhex("9EFE80")), kind=Kind.ISSUER_SECURITY_DOMAIN
    )
    return Registry(isd, entries, files, complete=True)


def file(aid: Aid, version: bytes = b"\x01\x00") -> RegistryEntry:
    return RegistryEntry(aid, 0x01, associated_sd=ISD, modules=(MODULE,), version=version, kind=Kind.LOAD_FILE)


def instance(aid: Aid, under: Aid = ISD) -> RegistryEntry:
    return RegistryEntry(aid, 0x07, associated_sd=under, load_file=PACKAGE)


def domain(aid: Aid, privileges: Privilege = SSD) -> RegistryEntry:
    return RegistryEntry(aid, 0x0F, privileges, ISD, SD_PACKAGE, kind=Kind.SECURITY_DOMAIN)


LIBRARY_PRESENT: Final = PackagePresent(LIBRARY, b"\x02\x01", size_bytes=900)
PACKAGE_PRESENT: Final = PackagePresent(
    PACKAGE, b"\x01\x00", (MODULE,), 1200, b"\x11" * 32, imports=frozenset({LIBRARY, Aid.from_text("A0000000620101")})
)
APPLICATION: Final = ApplicationPresent(PACKAGE, MODULE, CARD_1)


def test_what_is_imported_is_loaded_first_and_instances_come_last() -> None:
    wanted = Wanted((APPLICATION, PACKAGE_PRESENT, LIBRARY_PRESENT))
    (block,) = plan(ELEMENT, registry(), wanted)
    assert block.commands == (
        LoadPackage(LIBRARY, b"\x02\x01", size_bytes=900),
        LoadPackage(PACKAGE, b"\x01\x00", (MODULE,), 1200, b"\x11" * 32),
        InstallForInstall(PACKAGE, MODULE, CARD_1),
    )
    after = apply_block(registry(), block)
    assert after.complete
    assert after.find(PACKAGE) == file(PACKAGE)
    assert plan(ELEMENT, after, wanted) == ()


def test_a_package_of_which_nothing_is_known_ends_the_plan_behind_its_loading() -> None:
    wanted = Wanted((PackagePresent(PACKAGE), APPLICATION))
    (block,) = plan(ELEMENT, registry(), wanted)
    assert block.commands == (LoadPackage(PACKAGE),)
    (block,) = plan(ELEMENT, registry(files=(file(PACKAGE),)), wanted)
    assert block.commands == (InstallForInstall(PACKAGE, MODULE, CARD_1),)


def test_a_package_known_to_be_there_is_not_loaded() -> None:
    element = replace(ELEMENT, packages=frozenset({PACKAGE}))
    wanted = Wanted((PACKAGE_PRESENT, LIBRARY_PRESENT))
    (block,) = plan(element, registry(), wanted)
    assert block.commands == (LoadPackage(LIBRARY, b"\x02\x01", size_bytes=900),)


def test_packages_that_import_each_other_are_a_contradiction() -> None:
    circle = replace(LIBRARY_PRESENT, imports=frozenset({PACKAGE}))
    with pytest.raises(PlanError, match="packages import each other"):
        plan(ELEMENT, registry(), Wanted((PACKAGE_PRESENT, circle)))


def test_a_package_goes_to_its_security_domain_at_once_or_is_handed_over() -> None:
    wanted = Wanted((replace(PACKAGE_PRESENT, security_domain=BANK),))
    (block,) = plan(ELEMENT, registry(domain(BANK)), wanted)
    (load,) = block.commands
    assert isinstance(load, LoadPackage)
    assert load.security_domain == BANK
    assert plan(ELEMENT, apply_block(registry(domain(BANK)), block), wanted) == ()
    (block,) = plan(ELEMENT, registry(domain(BANK), files=(file(PACKAGE),)), wanted)
    assert block.commands == (InstallForExtradition(BANK, PACKAGE),)
    with pytest.raises(PlanError, match=f"{BANK}: {PACKAGE}: it can own nothing"):
        plan(ELEMENT, registry(), wanted)


def test_another_version_is_replaced_only_when_asked_and_with_its_instances() -> None:
    old = registry(instance(CARD_1), instance(CARD_2), files=(file(PACKAGE, b"\x00\x09"), file(LIBRARY, b"\x02\x01")))
    with pytest.raises(PlanError, match=r"version 0\.9 is there, 1\.0 is wanted") as refused:
        plan(ELEMENT, old, Wanted((PACKAGE_PRESENT, APPLICATION)))
    assert refused.value.refusal is Refusal.DIFFERENT
    asked = replace(PACKAGE_PRESENT, replace=True)
    with pytest.raises(PlanError, match=f"{PACKAGE}: {CARD_2} depends on it and is not to go"):
        plan(ELEMENT, old, Wanted((asked, APPLICATION)))
    wanted = Wanted((asked, APPLICATION, Absent(CARD_2)))
    (block,) = plan(ELEMENT, old, wanted)
    assert set(block.commands[:2]) == {DeleteObject(CARD_1), DeleteObject(CARD_2)}
    assert block.commands[2] == DeleteObject(PACKAGE)
    assert isinstance(block.commands[3], LoadPackage)
    assert block.commands[4] == InstallForInstall(PACKAGE, MODULE, CARD_1)
    assert plan(ELEMENT, apply_block(old, block), wanted) == ()
    # Cut off behind the deletion, or behind the loading: the rest is done, nothing twice.
    for done in range(6):
        cut = apply_block(old, replace(block, commands=block.commands[:done]))
        rest = plan(ELEMENT, cut, wanted)
        assert [command for each in rest for command in each.commands] == list(block.commands[done:])


def test_what_imports_a_replaced_package_is_loaded_anew_with_it() -> None:
    both = registry(instance(CARD_1), files=(file(PACKAGE), file(LIBRARY, b"\x02\x00")))
    newer = replace(LIBRARY_PRESENT, replace=True)
    with pytest.raises(PlanError, match=f"{LIBRARY}: {PACKAGE} depends on it and is not to go"):
        plan(ELEMENT, both, Wanted((newer, PACKAGE_PRESENT, APPLICATION)))
    wanted = Wanted((newer, replace(PACKAGE_PRESENT, replace=True), APPLICATION))
    (block,) = plan(ELEMENT, both, wanted)
    assert block.commands[:3] == (DeleteObject(CARD_1), DeleteObject(PACKAGE), DeleteObject(LIBRARY))
    assert [getattr(command, "package", None) for command in block.commands[3:5]] == [LIBRARY, PACKAGE]
    assert plan(ELEMENT, apply_block(both, block), wanted) == ()


def test_packages_go_in_the_reverse_of_the_order_in_which_they_came() -> None:
    both = registry(files=(file(LIBRARY), file(PACKAGE)))
    (block,) = plan(ELEMENT, both, Wanted((Absent(LIBRARY), Absent(PACKAGE))))
    assert block.commands == (DeleteObject(PACKAGE), DeleteObject(LIBRARY))


def test_an_imported_package_does_not_go() -> None:
    with pytest.raises(PlanError, match="it is to go, and is wanted or needed otherwise"):
        plan(ELEMENT, registry(files=(file(LIBRARY),)), Wanted((PACKAGE_PRESENT, Absent(LIBRARY))))


def test_keys_rotate_by_putting_proving_and_then_deleting() -> None:
    wanted = Wanted((KeySetsPresent(ISD, (0x31,), only=True),))
    blocks = plan(ELEMENT, registry(), wanted, {ISD: {0x30}})
    assert blocks == (
        Block(ISD, ISD, (PutKeySet(0x31),)),
        Block(ISD, ISD, (DeleteKey(0x30),), key_version=0x31),
    )
    assert plan(ELEMENT, registry(), wanted, {ISD: {0x30, 0x31}}) == blocks[1:]
    assert plan(ELEMENT, registry(), wanted, {ISD: {0x31}}) == ()
    assert diff(ELEMENT, registry(), wanted, {ISD: {0x31}}) == ()
    (found,) = diff(ELEMENT, registry(), wanted, {ISD: {0x30, 0x32}})
    assert str(found) == f"{ISD}: key sets is 0x30, 0x32, wanted 0x31"


def test_keys_beside_others_leave_those_alone() -> None:
    wanted = Wanted((KeySetsPresent(ISD, (0x31, 0x32)),))
    (block,) = plan(ELEMENT, registry(), wanted, {ISD: {0x30, 0x31}})
    assert block == Block(ISD, ISD, (PutKeySet(0x32),))


def test_keys_that_were_not_read_are_not_guessed() -> None:
    with pytest.raises(PlanError, match="its key information was not read") as refused:
        plan(ELEMENT, registry(), Wanted((KeySetsPresent(ISD, (0x31,)),)))
    assert refused.value.refusal is Refusal.INCOMPLETE_REGISTRY


def test_a_new_domain_gets_its_first_keys_and_then_the_others() -> None:
    element = replace(ELEMENT, keys={ISD: 0x30, BANK: 0x32})
    wanted = Wanted((SecurityDomainPresent(BANK, key_version=0x31), KeySetsPresent(BANK, (0x31, 0x32))))
    blocks = plan(element, registry(), wanted)
    assert blocks[1] == Block(BANK, ISD, (PutTemporaryKeys(0x31),))
    assert blocks[2] == Block(BANK, BANK, (PutKeySet(0x32),))


TENANCY: Final = SecureElement(
    loading("embedded-third-parties"), ISD, ISD, {TENANT: 0x31}, SD_PACKAGE, SD_MODULE, packages=frozenset({PACKAGE})
)
DELEGATED: Final = Privilege.parse(bytes.fromhex("A08000"))


def test_a_third_party_needs_a_token_for_content_and_none_for_locks() -> None:
    here = Registry(None, (domain(TENANT, DELEGATED),), (), complete=True)
    wanted = Wanted((PACKAGE_PRESENT, replace(APPLICATION, associated_sd=TENANT)))
    element = replace(TENANCY, packages=frozenset({LIBRARY}))
    (block,) = plan(element, here, Wanted((replace(PACKAGE_PRESENT, security_domain=TENANT), wanted.items[1])))
    assert (block.target, block.via, block.tokens) == (TENANT, TENANT, frozenset({0, 1}))
    allowed = authorized(block, {0: b"load", 1: b"install"})
    assert [getattr(command, "token", None) for command in allowed.commands] == [b"load", b"install"]
    assert not allowed.tokens
    for wrong in ({}, {0: b"load"}, {0: b"load", 1: b"install", 2: b"more"}):
        with pytest.raises(ValueError, match=r"tokens are wanted for the commands at \[0, 1\]"):
            authorized(block, wrong)
    there = Registry(None, (domain(TENANT, DELEGATED), instance(CARD_1, TENANT)), (), complete=True)
    contactless = replace(APPLICATION, associated_sd=TENANT, contactless=True)
    (block,) = plan(TENANCY, there, Wanted((contactless,)))
    assert block == Block(TENANT, TENANT, (SetStatus.contactless(CARD_1, activated=True),))
    (block,) = plan(TENANCY, there, Wanted((Absent(CARD_1),)))
    assert block == Block(TENANT, TENANT, (DeleteObject(CARD_1),), tokens=frozenset({0}))


def test_the_centre_installs_in_its_own_right_where_it_can() -> None:
    element = replace(TENANCY, keys={ISD: 0x30})
    (block,) = plan(element, registry(), Wanted((APPLICATION,)))
    assert (block.target, block.tokens) == (ISD, frozenset())


def test_a_third_party_makes_no_domain_with_management_of_its_own() -> None:
    here = Registry(None, (domain(TENANT, DELEGATED),), (), complete=True)
    managing = SecurityDomainPresent(BANK, SSD | Privilege.AUTHORIZED_MANAGEMENT, parent=TENANT)
    with pytest.raises(PlanError, match="does not give it AUTHORIZED_MANAGEMENT"):
        plan(TENANCY, here, Wanted((managing,)))
    uicc = SecureElement(loading("uicc-third-parties"), ISD, CENTRAL, {ISD: 0x30}, SD_PACKAGE, SD_MODULE)
    (block,) = plan(uicc, registry(), Wanted((replace(managing, parent=ISD),)))
    assert block.commands[0] == InstallForInstall(SD_PACKAGE, SD_MODULE, BANK, managing.privileges or SSD)


def test_the_owner_of_a_card_may_give_what_it_likes() -> None:
    verifier = SecurityDomainPresent(BANK, SSD | Privilege.DAP_VERIFICATION)
    with pytest.raises(PlanError, match="does not give it DAP_VERIFICATION"):
        plan(ELEMENT, registry(), Wanted((verifier,)))
    (block,) = plan(replace(ELEMENT, grants=Privilege(0xFFFFFF)), registry(), Wanted((verifier,)))
    assert block.commands == (InstallForInstall(SD_PACKAGE, SD_MODULE, BANK, verifier.privileges or SSD),)
