"""INSTALL [for load] and LOAD: block order, load file structure, hash, registration, refusals.

Spec: GP Card Specification 2.3.1, 9.3.2, 9.3.5, 11.5.2.3.1, 11.6, C.2; JCVM 3.0.5, 4.5.2 and 6.
"""

from __future__ import annotations

import hashlib
import logging
import random
import struct
from typing import TYPE_CHECKING

import pytest

from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.install import InstallForInstall, InstallForLoad
from opentsm_card.load import Load, load_blocks, load_file
from opentsm_card.privileges import Privilege
from opentsm_card.scp03 import SecurityLevel
from sd_host import BANK, CARD_1, ISD, ISD_KEYS, PAYMENT_PACKAGE, PPSE, TRANSIT, Host, keys, service_provider
from small_cap import JAVA_LANG, JAVACARD_FRAMEWORK, LIBRARY, MODULE, PACKAGE, SECOND_MODULE, small_cap

if TYPE_CHECKING:
    from opentsm_card.apdu import Command
    from opentsm_card.registry import RegistryEntry
    from opentsm_simulator import VirtualSe

ELF = Aid(PACKAGE)
LIB = Aid(LIBRARY)
BANK_KEYS = keys(0x31, 1)
HASHES = ("sha1", "sha256", "sha384", "sha512")


def load(host: Host, block: bytes, command: InstallForLoad | None = None, size: int = 200) -> list[int]:
    """Load a load file and return every status word."""
    commands: list[Command] = [command or InstallForLoad(ELF), *load_blocks(load_file(block), size)]
    return [host.sw(each) for each in commands]


def loaded(host: Host, aid: bytes = PACKAGE) -> RegistryEntry | None:
    return host.registry().find(aid)


def test_a_load_file_is_registered_with_its_modules_and_version(se: VirtualSe, isd: Host) -> None:
    """9.3.5, load completion; GET STATUS with CE, 84 and CC (11.4.3.1)."""
    block = small_cap(version=(3, 7), modules=(MODULE, SECOND_MODULE))
    assert set(load(isd, block)) == {0x9000}
    entry = loaded(isd)
    assert entry is not None
    assert (entry.version, entry.modules) == (b"\x03\x07", (Aid(MODULE), Aid(SECOND_MODULE)))
    assert (entry.associated_sd, entry.state) == (ISD, 0x01)
    answer = isd.send(GetStatus.everything(Scope.LOAD_FILES_AND_MODULES, PACKAGE)).data
    assert tlv.find(tlv.parse_one(answer).children(), 0xCE) == b"\x03\x07"
    assert se.effects() == [f"load {ELF}"]
    assert isd.delete(ELF) == 0x9000
    assert loaded(isd) is None
    assert set(load(isd, block)) == {0x9000}  # and again


@pytest.mark.parametrize("size", [1, 2, 7, 90, 223, 239])
def test_blocks_of_any_size(isd: Host, size: int) -> None:
    """11.6.1: the file is cut anywhere, in its tags and lengths too."""
    assert set(load(isd, small_cap(), size=size)) == {0x9000}
    assert loaded(isd) is not None


@pytest.mark.parametrize("level", [0x01, 0x03, 0x11, 0x13, 0x33])
def test_loading_at_each_security_level(host: Host, level: int) -> None:
    """GlobalPlatformPro fills a short command: 255 less the MAC, at C-MAC."""
    host.into(ISD, ISD_KEYS, SecurityLevel.parse(level))
    size = 247 if level in {0x01, 0x11} else 239
    assert set(load(host, small_cap(padding_bytes=3000), size=size)) == {0x9000}


def test_256_blocks_are_the_most(isd: Host) -> None:
    """11.6.2.2: block numbers from 00 to FF."""
    pieces = load_blocks(load_file(small_cap(padding_bytes=255 * 21 - len(small_cap()))), 21)
    assert len(pieces) == 256
    isd.done(InstallForLoad(ELF), *pieces)
    isd.done(InstallForLoad(LIB))
    for number in range(256):
        assert isd.sw(Load(number, b"\xc4\x83\x0f\xff\xff" if number == 0 else b"\0")) == 0x9000
    assert isd.sw(Load(0, b"\0")) == 0x6A86
    assert isd.sw(Load(0, b"\0")) == 0x6985


def test_extended_commands_and_long_forms(isd: Host) -> None:
    block = small_cap(padding_bytes=2000)
    isd.done(InstallForLoad(ELF), Load(0, load_file(block), last=True))
    isd.delete(ELF)
    long_form = b"\xc4\x83" + len(block).to_bytes(3, "big") + block  # longer than it must be, and BER all the same
    isd.done(InstallForLoad(ELF), *load_blocks(long_form, 200))


def test_blocks_out_of_order_end_the_load(se: VirtualSe, isd: Host) -> None:
    """11.6.1: strictly sequential from 00: 6A86, then there is no load any more: 6985."""
    pieces = load_blocks(load_file(small_cap()), 40)
    for wrong in (pieces[1], Load(255, b"\xc4"), Load(2, b"\xc4", last=True)):
        isd.done(InstallForLoad(ELF))
        assert isd.sw(wrong) == 0x6A86
        assert isd.sw(pieces[0]) == 0x6985
    isd.done(InstallForLoad(ELF), pieces[0], pieces[1])
    assert isd.sw(pieces[1]) == 0x6A86  # twice
    assert isd.sw(pieces[2]) == 0x6985
    assert se.effects() == []


def test_a_block_without_data_ends_the_load(isd: Host) -> None:
    isd.done(InstallForLoad(ELF))
    assert isd.sw(CommandApdu(0x80, 0xE8, 0x00, 0x00, b"", 256)) == 0x6700
    assert isd.sw(Load(0, b"\xc4\x01\x00")) == 0x6985


@pytest.mark.parametrize(
    "command",
    [
        GetStatus.everything(Scope.APPLICATIONS),
        InstallForInstall(PAYMENT_PACKAGE, None, CARD_1),
        CommandApdu(0x80, 0xE4, 0, 0, b"\x4f\x05\x01\x02\x03\x04\x05", 256),
        CommandApdu(0x80, 0xF0, 0x80, 0x0F, b"", None),
    ],
    ids=["GET STATUS", "INSTALL", "DELETE", "SET STATUS"],
)
def test_any_other_command_ends_the_load(isd: Host, command: CommandApdu) -> None:
    """9.3.5: the LOAD commands follow the INSTALL; what comes between ends the process."""
    pieces = load_blocks(load_file(small_cap()), 40)
    isd.done(InstallForLoad(ELF), pieces[0])
    isd.sw(command)
    assert isd.sw(pieces[1]) == 0x6985
    assert loaded(isd) is None


def test_get_data_between_blocks_is_harmless(isd: Host) -> None:
    pieces = load_blocks(load_file(small_cap()), 40)
    isd.done(InstallForLoad(ELF), pieces[0])
    assert isd.plain(CommandApdu(0x80, 0xCA, 0x00, 0x66, b"", 256)).sw == 0x9000
    isd.done(*pieces[1:])


def test_a_new_session_or_a_reset_ends_the_load(isd: Host) -> None:
    pieces = load_blocks(load_file(small_cap()), 40)
    isd.done(InstallForLoad(ELF), pieces[0])
    isd.open(ISD_KEYS)
    assert isd.sw(pieces[1]) == 0x6985
    isd.done(InstallForLoad(ELF), pieces[0])
    isd.link.reset()
    isd.into(ISD, ISD_KEYS)
    assert isd.sw(pieces[1]) == 0x6985
    assert set(load(isd, small_cap())) == {0x9000}


def test_one_load_at_a_time(se: VirtualSe, isd: Host) -> None:
    """9.3.1: loading may be prohibited while a load is in progress on another channel."""
    pieces = load_blocks(load_file(small_cap()), 40)
    isd.done(InstallForLoad(ELF), pieces[0])
    other = Host(se.link("contactless")).into(ISD, ISD_KEYS)
    assert other.sw(InstallForLoad(LIB)) == 0x6985
    assert other.sw(pieces[1]) == 0x6985
    isd.done(*pieces[1:])
    assert other.sw(InstallForLoad(LIB)) == 0x9000


def test_load_without_install_for_load(isd: Host) -> None:
    assert isd.sw(Load(0, b"\xc4\x01\x00", last=True)) == 0x6985


def test_an_aid_in_use_is_refused(isd: Host) -> None:
    """9.3.5: not already present as an Executable Load File or Application."""
    for aid in (PAYMENT_PACKAGE, PPSE, ISD):
        assert isd.sw(InstallForLoad(aid)) == 0x6985
    assert set(load(isd, small_cap())) == {0x9000}
    assert isd.sw(InstallForLoad(ELF)) == 0x6985


def test_the_load_file_belongs_to_the_domain_that_is_named(se: VirtualSe) -> None:
    """9.3.5: a domain that exists, is one, and accepts; the modules are its too."""
    host = service_provider(se, ISD, ISD_KEYS, BANK, BANK_KEYS)
    host.new_domain(TRANSIT)
    assert host.sw(InstallForLoad(ELF, Aid(b"\xf0" * 8))) == 0x6A88
    assert host.sw(InstallForLoad(ELF, PPSE)) == 0x6985
    assert host.sw(InstallForLoad(ELF, TRANSIT)) == 0x6985  # it has no keys, so it is not PERSONALIZED
    assert set(load(host, small_cap(), InstallForLoad(ELF, BANK))) == {0x9000}
    entry = loaded(host)
    assert entry is not None
    assert entry.associated_sd == BANK
    assert [found.aid for found in host.into(BANK, BANK_KEYS).registry()] == [BANK, ELF]


@pytest.mark.parametrize("algorithm", HASHES)
def test_the_hash_is_checked_when_it_is_there(isd: Host, algorithm: str) -> None:
    """9.2.2, C.2: SHA-1, SHA-256, SHA-384, SHA-512, told apart by their length."""
    block = small_cap()
    digest = hashlib.new(algorithm, block).digest()
    assert set(load(isd, block, InstallForLoad(ELF, hash=digest))) == {0x9000}
    isd.delete(ELF)
    wrong = bytes((digest[0] ^ 1,)) + digest[1:]
    assert load(isd, block, InstallForLoad(ELF, hash=wrong))[-1] == 0x6A80
    flipped = bytearray(block)
    flipped[-1] ^= 1
    assert load(isd, bytes(flipped), InstallForLoad(ELF, hash=digest))[-1] == 0x6A80
    assert loaded(isd) is None
    assert isd.sw(InstallForLoad(ELF, hash=digest[:-1])) == 0x6A80


@pytest.mark.parametrize(
    "parameters",
    [
        b"\xef\x04\xc6\x02\x10\x00",
        b"\xef\x0e\xc6\x04\x00\x00\x80\x00\xc7\x02\x01\x00\xc8\x02\x02\x00",
        b"\xb6\x05\x5f\x20\x02\x01\x02",
        b"\xef\x03\xcd\x01\x01",
        b"\xef\x00",
        b"",
    ],
)
def test_load_parameters_are_taken(isd: Host, parameters: bytes) -> None:
    """Table 11-48."""
    assert set(load(isd, small_cap(), InstallForLoad(ELF, parameters=parameters))) == {0x9000}


@pytest.mark.parametrize(
    "parameters",
    [b"\xef\x03\xc6\x01\x10", b"\xef\x05\xc7\x03\x01\x02\x03", b"\xef\x02\xc6\x02", b"\xb6\x03\x5f\x20\x00"],
)
def test_malformed_load_parameters_are_refused(isd: Host, parameters: bytes) -> None:
    assert isd.sw(InstallForLoad(ELF, parameters=parameters)) == 0x6A80


@pytest.mark.parametrize(
    "file",
    [
        b"\xc5\x01\x00",
        b"\xc4\x00",
        b"\xc4\x80",
        b"\xc4\x84\x00\x00\x00\x01\x00",
        b"\xc4\x05\x01\x02\x03\x04",
        b"\xc4\x01\x00\x00",
        b"\xc4\x01\x00\xc4\x01\x00",
        b"\xe2\x03\x4f\x01\x01\xc4\x01\x00",
        b"\xe2\x08\x4f\x05\x01\x02\x03\x04\x05\x06",
        b"\xd3\x08" + bytes(8) + b"\xc4\x01\x00",
        b"\xd3\x07" + bytes(7),
        b"\xe2\x82\x08\x00",
        b"\xe2",
    ],
)
def test_what_is_no_load_file_ends_the_load(isd: Host, file: bytes) -> None:
    """Table 11-58."""
    isd.done(InstallForLoad(ELF))
    assert isd.sw(Load(0, file, last=True)) == 0x6A80
    assert isd.sw(Load(1, b"\0", last=True)) == 0x6985
    assert loaded(isd) is None


def test_a_load_file_that_no_card_has_room_for(isd: Host) -> None:
    """Table 11-60."""
    isd.done(InstallForLoad(ELF))
    assert isd.sw(Load(0, b"\xc4\x83\x10\x00\x01" + bytes(8))) == 0x6A84
    assert isd.sw(Load(1, bytes(8))) == 0x6985


def test_a_package_that_is_none_is_refused_and_why_is_logged(isd: Host, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "opentsm.simulator"):
        assert load(isd, b"\x01\x00\x02\xde\xca")[-1] == 0x6A80
        assert load(isd, small_cap(LIBRARY))[-1] == 0x6A80  # another AID than was announced
    assert len(caplog.messages) == 1
    assert "load file refused" in caplog.messages[0]


def test_imports_must_be_on_the_card(isd: Host, caplog: pytest.LogCaptureFixture) -> None:
    """JCVM 4.5.2: the same major version, and no newer minor one, of the platform and of packages that were loaded."""
    library = small_cap(LIBRARY, version=(1, 2), modules=(), imports=(JAVA_LANG,))
    needs = (*(JAVACARD_FRAMEWORK, JAVA_LANG), (LIBRARY, 1, 1))
    assert load(isd, small_cap(imports=needs))[-1] == 0x6A80
    assert f"it needs package {LIB} 1.1, which is not on the card" in caplog.messages[-1]
    assert set(load(isd, library, InstallForLoad(LIB))) == {0x9000}
    for version in ((1, 3), (2, 0), (0, 9)):
        assert load(isd, small_cap(imports=(*needs[:2], (LIBRARY, *version))))[-1] == 0x6A80
    assert set(load(isd, small_cap(imports=needs))) == {0x9000}
    assert isd.delete(LIB) == 0x6985  # clause 9.5.2: something refers to it
    assert isd.delete(LIB, related=True) == 0x6985
    assert isd.delete(ELF) == 0x9000
    assert isd.delete(LIB) == 0x9000


def test_a_platform_too_old_is_refused(isd: Host, caplog: pytest.LogCaptureFixture) -> None:
    newer = (JAVACARD_FRAMEWORK[0], 1, 10)
    assert load(isd, small_cap(imports=(newer, JAVA_LANG)))[-1] == 0x6A80
    assert "javacard.framework 1.10, this card has" in caplog.messages[-1]
    unknown = (bytes.fromhex("A0000000090005FFFFFFFF8911000000"), 1, 0)  # uicc.access
    assert load(isd, small_cap(imports=(JAVACARD_FRAMEWORK, JAVA_LANG, unknown)))[-1] == 0x6A80


def test_an_applet_that_does_not_register_is_refused(isd: Host) -> None:
    assert set(load(isd, small_cap())) == {0x9000}
    assert isd.sw(InstallForInstall(ELF, Aid(MODULE), CARD_1)) == 0x6985


def test_who_manages_no_content_loads_none(se: VirtualSe) -> None:
    host = service_provider(se, ISD, ISD_KEYS, BANK, BANK_KEYS)
    host.into(BANK, BANK_KEYS)
    assert host.sw(InstallForLoad(ELF)) == 0x6985
    assert host.sw(Load(0, b"\xc4\x01\x00", last=True)) == 0x6985
    host.into(ISD, ISD_KEYS).new_domain(TRANSIT, Privilege.SECURITY_DOMAIN | Privilege.AUTHORIZED_MANAGEMENT)
    host.into(TRANSIT, ISD_KEYS)
    assert host.sw(InstallForLoad(ELF)) == 0x6985  # no keys of its own yet


def test_every_truncation_of_a_load_file_is_refused(isd: Host) -> None:
    """Cut at every byte: the last block comes too early, and nothing is left of it."""
    file = load_file(small_cap())
    for cut in range(1, len(file)):
        isd.done(InstallForLoad(ELF))
        assert isd.sw(Load(0, file[:cut], last=True)) == 0x6A80, cut
    assert loaded(isd) is None


def test_mutated_load_files_never_break_the_card(se: VirtualSe, isd: Host) -> None:
    """Seeded: bytes changed anywhere, blocks cut, swapped, repeated; each is answered, and the registry stays whole."""
    chance = random.Random(20261126)
    block = small_cap(modules=(MODULE, SECOND_MODULE))
    for _ in range(300):
        data = bytearray(load_file(block))
        for _ in range(chance.randrange(4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        pieces = list(load_blocks(bytes(data), chance.choice((13, 60, 200))))
        if chance.random() < 0.3:
            chance.shuffle(pieces)
        isd.done(InstallForLoad(ELF))
        answers = [isd.sw(piece) for piece in pieces]
        assert set(answers) <= {0x9000, 0x6A80, 0x6A84, 0x6A86, 0x6985}
        entry = loaded(isd)
        if entry is not None:
            assert answers[-1] == 0x9000
            isd.done(CommandApdu(0x80, 0xE4, 0, 0, b"\x4f" + struct.pack("B", len(PACKAGE)) + PACKAGE, 256))
    assert {effect.split()[0] for effect in se.effects()} <= {"load", "delete"}
