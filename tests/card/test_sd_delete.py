"""DELETE of card content in every form.

Spec: GP Card Specification 2.3.1, 9.5, 11.2 (tables 11-20 to 11-26), C.4.6, C.5.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from delegation import TENANT, delegation, domain, lv, number
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu
from opentsm_card.get_status import Scope
from opentsm_card.install import InstallForLoad
from opentsm_card.load import load_blocks, load_file
from opentsm_card.privileges import Privilege
from sd_host import (
    BANK,
    CARD_1,
    CARD_2,
    ISD,
    ISD_KEYS,
    PAYMENT_MODULE,
    PAYMENT_PACKAGE,
    SD_PACKAGE,
    Host,
    keys,
    payment_parameters,
)
from small_cap import MODULE, PACKAGE, small_cap

if TYPE_CHECKING:
    from opentsm_simulator import VirtualSe

BANK_KEYS = keys(0x31, 1)
ALONE, RELATED = 0x00, 0x80
GONE = Aid(b"\xf0" * 9)


def delete(host: Host, data: bytes, p2: int = ALONE, p1: int = 0) -> int:
    return host.sw(CommandApdu(0x80, 0xE4, p1, p2, data, 256))


def aid(value: bytes) -> bytes:
    return b"\x4f" + lv(value)


def test_an_application(isd: Host) -> None:
    """9.5.1: its entry goes, and only that; the answer is a 00 (11.2.3.1)."""
    isd.new_payment(CARD_1)
    isd.new_payment(CARD_2)
    answer = isd.send(CommandApdu(0x80, 0xE4, 0, ALONE, aid(CARD_1), 256))
    assert (answer.sw, answer.data) == (0x9000, b"\0")
    assert isd.entry(CARD_1) is None
    assert isd.entry(CARD_2) is not None
    assert delete(isd, aid(CARD_1)) == 0x6A88
    isd.new_payment(CARD_1)  # its AID is free again


def test_a_load_file(isd: Host) -> None:
    """9.5.2: with its modules; not while there is an instance of it."""
    isd.done(InstallForLoad(Aid(PACKAGE)), *load_blocks(load_file(small_cap()), 200))
    assert delete(isd, aid(MODULE)) == 0x6A88  # a module is not deleted by itself
    assert delete(isd, aid(PACKAGE)) == 0x9000
    assert isd.listed(Scope.LOAD_FILES_AND_MODULES, PACKAGE)[0].sw == 0x6A88
    isd.new_payment(CARD_1)
    assert delete(isd, aid(PAYMENT_PACKAGE)) == 0x6985


def test_a_load_file_with_its_applications(isd: Host) -> None:
    """9.5.3, P2 80."""
    isd.new_payment(CARD_1)
    isd.new_payment(CARD_2)
    assert delete(isd, aid(PAYMENT_PACKAGE), RELATED) == 0x9000
    for gone in (PAYMENT_PACKAGE, CARD_1, CARD_2):
        assert isd.entry(gone) is None
    # For what has nothing related it is as P2 00: pySim and GPShell send it always.
    isd.done(InstallForLoad(Aid(PACKAGE)), *load_blocks(load_file(small_cap()), 200))
    assert delete(isd, aid(PACKAGE), RELATED) == 0x9000


def test_all_or_nothing_of_a_load_file(se: VirtualSe, isd: Host) -> None:
    """9.5.3: when any application can't go, none does: it is selected, or others belong to it."""
    isd.new_payment(CARD_1)
    isd.new_payment(CARD_2)
    isd.activate(CARD_2)
    reader = Host(se.link("contactless"))
    reader.select(CARD_2).require("SELECT")
    assert delete(isd, aid(PAYMENT_PACKAGE), RELATED) == 0x6985
    assert isd.entry(CARD_1) is not None
    reader.select(ISD)
    assert delete(isd, aid(PAYMENT_PACKAGE), RELATED) == 0x9000
    domain(isd, BANK, Privilege.SECURITY_DOMAIN, BANK_KEYS)
    assert delete(isd, aid(SD_PACKAGE), RELATED) == 0x6985  # the issuer's domain is made of it
    assert isd.entry(BANK) is not None


def test_a_security_domain(isd: Host) -> None:
    """9.5.1: not while an application or a load file is associated with it; never the issuer's, never itself."""
    domain(isd, BANK, Privilege.SECURITY_DOMAIN, BANK_KEYS)
    isd.done(InstallForLoad(Aid(PACKAGE), BANK), *load_blocks(load_file(small_cap()), 200))
    assert delete(isd, aid(BANK)) == 0x6985
    assert delete(isd, aid(PACKAGE)) == 0x9000
    assert delete(isd, aid(BANK)) == 0x9000
    assert delete(isd, aid(ISD)) == 0x6985


@pytest.mark.parametrize(
    ("data", "sw"),
    [
        (b"", 0x6A80),
        (b"\x4f", 0x6A80),
        (b"\x4f\x00", 0x6A88),
        (b"\x4f\x05\x01\x02", 0x6A80),
        (b"\x4f\x81\x05\xf0\xf0\xf0\xf0\xf0", 0x6A88),  # a length of two bytes is BER, too
        (aid(GONE) + aid(GONE), 0x6A80),  # one object at a time
        (aid(GONE) + b"\x9e\x00", 0x6985),  # a token, though an empty one
        (b"\x9e\x01\x00" + aid(GONE), 0x6A80),
        (aid(GONE) + b"\x9e\x01\x00" + b"\xb6\x00", 0x6A80),  # the template comes before the token
        (aid(GONE) + b"\xb6\x00", 0x6A88),  # a template without a token says nothing
        (aid(GONE) + b"\x45\x00", 0x6A80),
        (b"\x4f" + lv(bytes(17)), 0x6A88),
    ],
)
def test_other_data_fields(se: VirtualSe, isd: Host, data: bytes, sw: int) -> None:
    """Table 11-23."""
    assert delete(isd, data) == sw
    assert se.effects() == []


def test_by_token_with_receipt() -> None:
    """C.4.6, C.5.5: of a load file with its applications the receipt has the load file's AID alone."""
    card = delegation()
    payment = (PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1, bytes(3), payment_parameters())
    assert card.install(0x0C, *payment).sw == 0x9000
    assert card.delete(CARD_1, template=number(1), token=b"").sw == 0x6982
    answer = card.delete(CARD_1, p2=RELATED, template=number(1))
    assert answer.data == card.receipt(1, CARD_1, token_number=b"\x00\x01")
    assert card.delete(CARD_1, p2=RELATED, template=number(1)).sw in {0x6982, 0x6A88}
    issuer = Host(card.se.link()).into(ISD, ISD_KEYS)
    assert issuer.extradite(PAYMENT_PACKAGE, TENANT) == 0x9000
    card.tenant()
    assert card.install(0x0C, *payment).sw == 0x9000
    assert card.delete(PAYMENT_PACKAGE).sw == 0x6985
    assert card.delete(PAYMENT_PACKAGE, p2=RELATED).data == card.receipt(3, PAYMENT_PACKAGE)


def test_global_delete_reaches_what_is_not_under_it(se: VirtualSe, isd: Host) -> None:
    """9.1.3.4, 9.5: with the privilege whatever it belongs to; without it, what is under the domain."""
    managing = Privilege.SECURITY_DOMAIN | Privilege.AUTHORIZED_MANAGEMENT
    domain(isd, BANK, managing, BANK_KEYS)
    isd.new_payment(CARD_1)
    assert delete(isd.into(BANK, BANK_KEYS), aid(CARD_1)) == 0x6985
    assert delete(isd.into(BANK, BANK_KEYS), aid(GONE)) in {0x6985, 0x6A88}
    isd.into(ISD, ISD_KEYS)
    other = Aid(BANK[:-1] + b"\x77")
    domain(isd, other, managing | Privilege.GLOBAL_DELETE, BANK_KEYS)
    assert delete(isd.into(other, BANK_KEYS), aid(CARD_1)) == 0x9000
    assert delete(isd.into(other, BANK_KEYS), aid(ISD)) == 0x6985
    assert se.effects()[-1] == f"delete {CARD_1}"
