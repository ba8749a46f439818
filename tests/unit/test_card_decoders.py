"""What cards say of themselves: ATR, CPLC, card data, capabilities, key information, resources.

The figures are of real cards, as their owners published them; each names where.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentsm_card.atr import Atr
from opentsm_card.capabilities import CardCapabilities
from opentsm_card.card_data import CardData, Oid
from opentsm_card.card_resources import CardResources
from opentsm_card.cplc import FIELDS, Cplc, possible_dates
from opentsm_card.errors import ProtocolError
from opentsm_card.key_information import KeyInformation, parse_key_information
from opentsm_card.privileges import Privilege

if TYPE_CHECKING:
    from collections.abc import Callable

TODAY = date(2026, 11, 1)
# GlobalPlatformPro issues 221 (JCOP 4), 103 (Gemalto IDCore 30), 270 (Sm@rtCafe)
JCOP4_ATR = bytes.fromhex("3BD518FF8191FE1FC38073C821100A")
IDCORE_ATR = bytes.fromhex("3B7F96000080318065B08456511012FFFE829000")
SMARTCAFE_ATR = bytes.fromhex("3BF71800008031FE45736674652D6E66C4")
JCOP4_CPLC = bytes.fromhex("9F7F2A4790D32147000000000083456E6E6E50524300000000000000005758594E4E4E4E4E0000000000000000")
# An Oberthur card, in GlobalPlatformPro issue 112
OBERTHUR_CPLC = bytes.fromhex(
    "9F7F2A47906A1582314176009661330000114A1424114261331143613311446133130B00000000000000000000"
)
IDCORE_CARD_DATA = bytes.fromhex(
    "734A06072A864886FC6B01600C060A2A864886FC6B02020101630906072A864886FC6B03640B06092A864886FC6B040310"
    "650B06092B8510864864020103660C060A2B060104012A026E0102"
)
# PeculiarVentures/scp, cardrecognition_test.go: a YubiKey 5.7.4, whose i of SCP11 has two bytes
YUBIKEY_CARD_DATA = bytes.fromhex(
    "663F733D06072A864886FC6B01600C060A2A864886FC6B02020301630906072A864886FC6B03640B06092A864886FC6B040360"
    "640C060A2A864886FC6B04119B06"
)
# chenpengcong/blog, issue 31: a domain that names two protocols, SCP02 i=55 and SCP80 i=00
TWO_PROTOCOLS = bytes.fromhex(
    "663D733B06072A864886FC6B01600B06092A864886FC6B020202630906072A864886FC6B03640B06092A864886FC6B040255"
    "640B06092A864886FC6B048000"
)


def test_an_atr_of_jcop_4() -> None:
    atr = Atr.parse(JCOP4_ATR)
    assert [(byte.name, byte.value) for byte in atr.interface] == [
        ("TA1", 0x18), ("TC1", 0xFF), ("TD1", 0x81), ("TD2", 0x91), ("TA3", 0xFE), ("TD3", 0x1F), ("TA4", 0xC3),
    ]  # fmt: skip
    assert (atr.convention, atr.protocols, atr.check, atr.check_ok) == ("direct", (1,), 0x0A, True)
    assert atr.rates == (372, 12)
    objects = atr.objects()
    assert objects is not None
    assert [(item.tag, item.value.hex()) for item in objects] == [(7, "c82110")]
    assert "selection by full DF name" in objects[0].capabilities
    assert "channel number assigned by the card" in objects[0].capabilities


def test_an_atr_with_status_bytes_and_of_t0_alone() -> None:
    atr = Atr.parse(IDCORE_ATR)
    assert (atr.protocols, atr.check, atr.check_ok, len(atr.historical)) == ((0,), None, True, 15)
    assert atr.rates == (512, 32)
    objects = atr.objects()
    assert objects is not None
    assert [(item.tag, item.value.hex()) for item in objects] == [
        (3, "80"),
        (6, "b084565110"),
        (1, "fffe"),
        (8, "9000"),
    ]


def test_historical_bytes_that_are_text_are_no_objects() -> None:
    atr = Atr.parse(SMARTCAFE_ATR)
    assert atr.historical == b"sfte-nf"
    assert atr.objects() is None
    assert not Atr.parse(SMARTCAFE_ATR[:-1] + b"\x00").check_ok


@pytest.mark.parametrize("raw", ["", "3B", "3C00", "3B01", "3B8080", "3B8080010100", "3B00" + "00" * 32])
def test_what_is_no_atr(raw: str) -> None:
    with pytest.raises(ProtocolError):
        Atr.parse(bytes.fromhex(raw))


def test_production_data_field_by_field() -> None:
    cplc = Cplc.parse(JCOP4_CPLC)
    assert sum(length for _, length, _ in FIELDS) == 42
    assert cplc.field("ic_fabricator").hex() == "4790"
    assert cplc.field("ic_serial_number").hex() == "6e6e6e50"
    assert cplc.chip_id == bytes.fromhex("4790D32152436E6E6E50")
    assert Cplc.parse(JCOP4_CPLC[3:]) == cplc
    # issue 7 of herlesupreeth/CoIMS_Wiki: a sysmoUSIM's is all FF, and names no chip
    assert Cplc.parse(b"\xff" * 42).chip_id is None
    with pytest.raises(ProtocolError):
        Cplc.parse(JCOP4_CPLC[:-1])


def test_dates_have_one_digit_of_the_year() -> None:
    assert possible_dates(bytes.fromhex("8345"), TODAY)[0] == date(2018, 12, 11)  # GlobalPlatformPro says so too
    assert possible_dates(bytes.fromhex("4176"), TODAY) == (date(2024, 6, 24), date(2014, 6, 25), date(2004, 6, 24),
                                                            date(1994, 6, 25))  # fmt: skip
    assert possible_dates(bytes.fromhex("6366"), TODAY) == (date(2016, 12, 31), date(1996, 12, 31))  # leap years
    for no_date in ("0000", "594E", "FFFF", "7400"):
        assert possible_dates(bytes.fromhex(no_date), TODAY) == ()


def test_card_data() -> None:
    data = CardData.parse(IDCORE_CARD_DATA)
    assert (data.version, data.parameters()) == ("2.1.1", {3: 0x10})
    assert str(data.chip[0]) == "1.3.6.1.4.1.42.2.110.1.2"
    assert str(data.configuration[0]) == "1.3.656.840.100.2.1.3"
    assert CardData.parse(TWO_PROTOCOLS).parameters() == {2: 0x55, 0x80: 0}
    assert CardData.parse(YUBIKEY_CARD_DATA).parameters() == {3: 0x60, 0x11: 0x0D86}
    with pytest.raises(ProtocolError, match="no card recognition data"):
        CardData.parse(b"")
    with pytest.raises(ProtocolError, match="no secure channel protocol"):
        CardData.parse(YUBIKEY_CARD_DATA.replace(bytes.fromhex("04119B06"), bytes.fromhex("04039B06")))


def test_object_identifiers() -> None:
    assert str(Oid.parse(bytes.fromhex("2A864886FC6B02020301"))) == "1.2.840.114283.2.2.3.1"
    assert Oid.parse(bytes.fromhex("2A864886FC6B04038100")).globalplatform == (4, 3, 128)
    for bad in ("", "2A86", "FFFFFFFFFF7F"):
        with pytest.raises(ProtocolError):
            Oid.parse(bytes.fromhex(bad))


def test_capabilities() -> None:
    inner = "A00A80010381027000820107A006800102810155" + "8103FFFE80" + "82031E0600" + "830401020304" + "850142"
    encoded = bytes.fromhex(f"67{len(inner) // 2:02X}{inner}")
    found = CardCapabilities.parse(encoded)
    assert [(item.scp, item.options.hex(), item.key_sizes) for item in found.protocols] == [
        (3, "7000", ("AES-128", "AES-192", "AES-256")),
        (2, "55", ()),
    ]
    assert found.application_privileges is not None
    assert Privilege.CARD_LOCK in found.application_privileges
    assert found.hashes == ("SHA-1", "SHA-256", "SHA-384", "SHA-512")
    assert found.tokens == ("RSA above 1024, PSS, SHA-256", "ECDSA P-256, SHA-256")
    assert found.receipts == ()


def test_key_information_in_both_structures() -> None:
    # Sm@rtCafe Expert 6, in GlobalPlatformPro issue 66
    keys = parse_key_information(bytes.fromhex("E012C00401018010C00402018010C00403018010"))
    assert [(key.key_id, key.version) for key in keys] == [(1, 1), (2, 1), (3, 1)]
    assert keys[0].components[0].name == "DES (mode implicitly known)"
    public = KeyInformation.parse(bytes.fromhex("0170A180A003"))
    assert [(part.key_type, part.length_bytes) for part in public.components] == [(0xA1, 128), (0xA0, 3)]
    extended = KeyInformation.parse(bytes.fromhex("0130FF88001001380100"))
    assert (extended.components[0].length_bytes, extended.usage.hex(), extended.access.hex()) == (16, "38", "00")
    for bad in ("E001", "E003C00101", "E0034F0101"):
        with pytest.raises(ProtocolError):
            parse_key_information(bytes.fromhex(bad))


def test_resources() -> None:
    found = CardResources.parse(bytes.fromhex("FF2110810200058204000186A0830400000800"))
    assert (found.applications, found.free_nonvolatile_bytes, found.free_volatile_bytes) == (5, 100_000, 2048)
    assert CardResources.parse(b"") == CardResources(None, None, None)
    with pytest.raises(ProtocolError):
        CardResources.parse(bytes.fromhex("8100"))


@pytest.mark.parametrize(
    "parse", [Atr.parse, Cplc.parse, CardData.parse, CardCapabilities.parse, parse_key_information, CardResources.parse]
)
@given(data=st.binary(max_size=80))
def test_a_parser_raises_protocol_errors_only(parse: Callable[[bytes], object], data: bytes) -> None:
    try:
        parse(data)
    except ProtocolError:
        return


@pytest.mark.parametrize(
    ("parse", "whole"),
    [(Atr.parse, JCOP4_ATR), (Cplc.parse, OBERTHUR_CPLC), (CardData.parse, TWO_PROTOCOLS)],
)
def test_truncated_anywhere_is_refused(parse: Callable[[bytes], object], whole: bytes) -> None:
    parse(whole)
    for length in range(len(whole)):
        with pytest.raises(ProtocolError):
            parse(whole[:length])
