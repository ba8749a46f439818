"""What GlobalPlatformPro, GPShell, pySim, lpac and opensc-tool send, in their own bytes, and what they need back.

Each figure was taken from the host itself in front of this virtual SE behind pcscd and vpcd.
"""

from __future__ import annotations

import pytest

from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu
from opentsm_card.privileges import Privilege
from opentsm_card.scp03 import SecurityLevel
from opentsm_simulator import VirtualSe
from sd_host import ALIAS, BANK, CENTRAL, ISD, ISD_KEYS, PPSE, Host, keys

MAC = SecurityLevel.parse(0x01)
RECOGNITION = bytes.fromhex(
    "732F06072A864886FC6B01600C060A2A864886FC6B02020301630906072A864886FC6B03640B06092A864886FC6B040370"
)
KEYS = bytes.fromhex("C00401308810C00402308810C00403308810")


def fci(aid: str) -> str:
    """Return the answer to SELECT: AID, recognition data, production data, 255 bytes of command data at most."""
    proprietary = f"A53E{RECOGNITION.hex().upper()}9F6E064F54628501009F6501FF"
    return f"6F{2 + len(aid) // 2 + len(proprietary) // 2:02X}84{len(aid) // 2:02X}{aid}{proprietary}9000"


def send(host: Host, *commands: str) -> list[str]:
    return [host.raw(bytes.fromhex(command)).encode().hex().upper() for command in commands]


@pytest.mark.parametrize(("profile", "protocol"), [("embedded", 1), ("uicc", 0)])
def test_one_protocol_is_offered(profile: str, protocol: int) -> None:
    """With two, pcscd takes T=1, and pySim, which then asks for T=0, gets no command through."""
    start, t0, td1, *check = VirtualSe.create(profile).atr
    assert (start, t0) == (0x3B, 0x80)  # direct convention; only TD1 follows, no historical bytes
    assert td1 == protocol  # and no TD2, which would bring another
    assert check == ([] if protocol == 0 else [t0 ^ td1])  # ISO 7816-3, 8.2.5


def test_what_pysim_begins_with(host: Host) -> None:
    """A file that is not there is just that; GSM's class is none of GlobalPlatform's."""
    assert send(host, "00A40004023F0000", "00A40004022F0000", "A0A40000027F2000", "00A40004027FE000") == [
        "9000",
        "6A82",
        "6E00",
        "6A82",
    ]
    assert send(host, "00A4040408A00000000300000000") == [fci("A000000151000000")]


def test_the_terminal_capability_of_lpac_is_unknown(host: Host, isd: Host) -> None:
    assert send(Host(host.link), "80AA00000AA9088100820101830107") == ["6982"]  # it has broken into a session
    host.link.reset()
    assert send(host, "80AA00000AA9088100820101830107", "80F2800200") == ["6D00", "6982"]
    isd.into(ISD, ISD_KEYS)
    assert isd.sw(CommandApdu(0x80, 0xAA, 0, 0)) == 0x6D00


@pytest.mark.parametrize("le", ["", "00"])
def test_data_objects_by_class(host: Host, le: str) -> None:
    """GlobalPlatformPro, GPShell and pySim read the object (80), yubikit and GP 2.3.1's odd instruction the value."""
    for tag, value in (("0066", RECOGNITION), ("00E0", KEYS)):
        whole = bytes.fromhex(tag[2:]) + bytes((len(value),)) + value
        assert send(host, f"80CA{tag}{le}") == [f"{whole.hex().upper()}9000"]
        assert send(host, f"00CA{tag}{le}", f"00CB{tag}{le}") == [f"{value.hex().upper()}9000"] * 2
    assert send(host, f"80CA00D2{le}", f"00CA00D2{le}", f"80CB0066{le}") == ["6A88", "6A88", "6D00"]


def test_the_issuers_other_name_stands_for_it_in_commands(isd: Host) -> None:
    """pySim loads for the security domain that it has selected, under the name it selected it by."""
    command = "0AF06F70656E74736D0CA708A0000000030000000000 00".replace(" ", "")
    assert isd.send(CommandApdu(0x80, 0xE6, 0x02, 0, bytes.fromhex(command), 256)).sw == 0x9000
    taken = "0AF06F70656E74736D01010BF06F70656E74736D01010108A000000003000000010002C90000"
    assert isd.send(CommandApdu(0x80, 0xE6, 0x0C, 0, bytes.fromhex(taken), 256)).sw == 0x6985
    assert isd.delete(ALIAS) == 0x6985


def test_the_privileges_that_hosts_show_can_be_granted(isd: Host) -> None:
    """Card capability information names, for domains (81) and applications (82), nothing that INSTALL refuses."""
    (item,) = tlv.parse_all(bytes.fromhex(send(isd, "80CA006700")[0])[:-2])
    for tag, package in (
        (0x81, "07A000000151535008A0000001515350410BF06F70656E74736D0A0001"),
        (0x82, "0AF06F70656E74736D01010BF06F70656E74736D0101010CF06F70656E74736D0B000101"),
    ):
        shown = int.from_bytes(tlv.find(item.children(), tag) or b"", "big")
        domain = shown & Privilege.SECURITY_DOMAIN
        assert bool(domain) == (tag == 0x81)
        for bit in range(24):
            chosen = Privilege(shown & 1 << bit | domain)
            if chosen & Privilege.MANDATED_DAP_VERIFICATION:
                chosen |= Privilege.DAP_VERIFICATION  # the one comes with the other only
            privileges = chosen.encode()
            # GlobalPlatformPro's form of INSTALL [for install and make selectable], privileges in 3 bytes.
            install = bytes.fromhex(package) + b"\x03" + privileges + bytes.fromhex("02C90000")
            answer = isd.send(CommandApdu(0x80, 0xE6, 0x0C, 0, install, 256))
            assert answer.sw == 0x9000, privileges.hex()
            aid = Aid(install[install.rindex(b"\xf0\x6f") :][: 11 if domain else 12])
            assert isd.delete(aid) == 0x9000


@pytest.mark.parametrize("data", [b"", ISD, PPSE, b"\x01"])
def test_a_card_is_locked_and_unlocked_whatever_the_data_field_names(host: Host, data: bytes) -> None:
    """GlobalPlatformPro sends none, GPShell the domain it has selected (clause 11.10.2.3: ignored)."""
    host.into(ISD, ISD_KEYS, MAC)
    assert host.sw(CommandApdu(0x80, 0xF0, 0x80, 0x7F, data, 256)) == 0x9000
    assert send(host, "00A4040000")[0].endswith("6283")
    host.into(ISD, ISD_KEYS, MAC)
    assert host.sw(CommandApdu(0x80, 0xF0, 0x80, 0x0F, data, 256)) == 0x9000
    assert send(host, "00A4040000")[0].endswith("9000")


def test_a_channel_left_open_on_a_locked_card_closes_at_its_next_select(host: Host) -> None:
    """Clause 6.4.3.1.2; the basic channel stays."""
    assert send(host, "0070000100") == ["9000"]
    host.into(ISD, ISD_KEYS)
    assert host.sw(CommandApdu(0x80, 0xF0, 0x80, 0x7F)) == 0x9000
    assert send(host, "81CA004200")[0].endswith("9000")
    assert send(host, "01A4040008A000000151000000", "81CA004200") == ["6A81", "6881"]
    assert send(host, "00A4040008A000000151000000")[0].endswith("6283")


def test_a_terminated_card_gives_data_in_both_classes(host: Host) -> None:
    host.into(ISD, ISD_KEYS)
    assert host.sw(CommandApdu(0x80, 0xF0, 0x80, 0xFF)) == 0x9000
    assert [answer[-4:] for answer in send(host, "80CA0066", "00CA0066", "00CB0066")] == ["9000"] * 3
    assert send(host, "00A4040000", "00A40004022F0000", "80F28002024F0000", "8050000008010203040506070800") == [
        "6A81",
        "6985",
        "6985",
        "6985",
    ]


def test_globalplatformpro_makes_a_domain_moves_an_application_and_is_told_why_not(host: Host) -> None:
    """--domain, --create, --move before and after --lock of the domain, --delete of both."""
    host.into(ISD, ISD_KEYS, MAC)

    def run(header: str, data: str) -> str:
        cla, ins, p1, p2 = bytes.fromhex(header)
        return host.send(CommandApdu(cla, ins, p1, p2, bytes.fromhex(data), 256)).encode().hex().upper()

    domain = "07A000000151535008A0000001515350410BF06F70656E74736D0A00010380000006C9048102037000"
    payment = "0AF06F70656E74736D01010BF06F70656E74736D0101010CF06F70656E74736D0B00010203000000"
    move = "0BF06F70656E74736D0A0001000CF06F70656E74736D0B000102000000"
    assert run("80E60C00", domain) == "009000"
    assert run("80E60C00", f"{payment}02C90000") == "009000"
    assert run("80E61000", move) == "6985"  # the domain has no keys yet
    host.into(BANK, ISD_KEYS, MAC)
    assert run("80CA00E0", "") == "E0009000"
    host.put_keys(keys(0x31, 1)).require("PUT KEY")
    host.into(ISD, ISD_KEYS, MAC)
    assert run("80E61000", move) == "009000"
    assert run("80E40000", "4F0BF06F70656E74736D0A0001") == "6985"
    assert run("80E40000", "4F0CF06F70656E74736D0B000102") == "009000"
    assert run("80E40000", "4F0BF06F70656E74736D0A0001") == "009000"


@pytest.mark.parametrize("p2", [0x00, 0x80])
def test_keys_are_deleted_by_the_p2_of_globalplatformpro_and_of_gpshell(host: Host, p2: int) -> None:
    """GPShell's put-key and del-key of one AES key; its PUT KEY has no inner length byte."""
    host.into(ISD, ISD_KEYS, MAC)
    key = "408810C62E5212589B9EAF19AE940D03C3B7C203F2A8DF"
    answer = host.send(CommandApdu(0x80, 0xD8, 0x00, 0x01, bytes.fromhex(key), 256))
    assert answer.encode().hex().upper() == "40F2A8DF9000"
    assert "C00401408810" in send(host, "80CA00E000")[0]
    delete = CommandApdu(0x80, 0xE4, 0x00, p2, bytes.fromhex("D20140"), 256)
    assert [host.send(delete).encode().hex().upper() for _ in range(2)] == ["009000", "6A88"]
    assert host.sw(CommandApdu(0x80, 0xE4, 0x00, p2, bytes.fromhex("D20130"), 256)) == 0x6985


@pytest.mark.parametrize(("given", "granted"), [("0180", "808000"), ("03800000", "800000")])
def test_a_domain_gets_trusted_path_by_default_with_privileges_of_one_byte(
    host: Host, given: str, granted: str
) -> None:
    """GPShell's install-sd sends one byte, GlobalPlatformPro's --domain three (clause 11.5.2.3.2, table 6-2)."""
    host.into(ISD, ISD_KEYS, MAC)
    parameters = "11C90F81020370820220208301208702202000"  # the acceptances of UICC parameters are none of this card's
    data = f"07A000000151535008A0000001515350410BF06F70656E74736D0A0001{given}{parameters}"
    assert host.sw(CommandApdu(0x80, 0xE6, 0x0C, 0, bytes.fromhex(data), 256)) == 0x9000
    entry = host.entry(BANK)
    assert entry is not None
    assert entry.privileges.encode().hex() == granted
    # Two bytes, as GPShell cuts them when the third is 00, are no form of privileges.
    data = f"07A000000151535008A0000001515350410BF06F70656E74736D0A0002028080{parameters}"
    assert host.sw(CommandApdu(0x80, 0xE6, 0x0C, 0, bytes.fromhex(data), 256)) == 0x6A80


@pytest.mark.parametrize("privileges", ["0104", "03040000"])
def test_what_is_not_made_selectable_has_no_card_reset(isd: Host, privileges: str) -> None:
    data = f"0AF06F70656E74736D01010BF06F70656E74736D0101010CF06F70656E74736D0B000101{privileges}02C90000"
    assert isd.sw(CommandApdu(0x80, 0xE6, 0x04, 0, bytes.fromhex(data), 256)) == 0x6A80
    assert isd.sw(CommandApdu(0x80, 0xE6, 0x0C, 0, bytes.fromhex(data), 256)) == 0x9000


def test_key_version_zero_means_the_first_set(host: Host) -> None:
    """GlobalPlatformPro opens with it; a further set is found by its own version, and by 00 once it is the only one."""
    host.into(ISD, ISD_KEYS, MAC)
    new = keys(0x31, 1)
    host.put_keys(new).require("PUT KEY")
    host.select(ISD)
    assert host.begin(ISD_KEYS, version=0).answer.key_version == 0x30
    host.into(ISD, new, MAC)
    assert host.sw(CommandApdu(0x80, 0xE4, 0, 0, bytes.fromhex("D20130"), 256)) == 0x9000
    host.select(ISD)
    assert host.begin(new, version=0).answer.key_version == 0x31


def test_a_uicc_s_central_domain_is_reached_by_its_aid() -> None:
    host = Host(VirtualSe.create("uicc").link())
    assert send(host, f"00A404000A{CENTRAL}00") == [fci(str(CENTRAL))]
