"""What applets use of the Java Card API that jCardSim lacks, or does in another way than a card."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from opentsm_build.build import build_project
from opentsm_card.aid import Aid
from opentsm_card.install import InstallForInstall, InstallForLoad
from opentsm_card.load import load_blocks, load_file
from opentsm_simulator import offered, runtime
from opentsm_simulator.load_files import PackageReader
from sd_host import ISD_KEYS

if TYPE_CHECKING:
    from opentsm_build.cap import CapFile
    from sd_host import Host

FOLDER = Path(__file__).parent / "packages" / "platform"
MODULE = Aid.from_text("F06F70656E74736D0E0301")


@pytest.fixture(scope="module")
def cap(tmp_path_factory: pytest.TempPathFactory) -> CapFile:
    return build_project(FOLDER, tmp_path_factory.mktemp("caps")).conversion.cap


@pytest.fixture
def applet(isd: Host, cap: CapFile) -> Host:
    isd.done(InstallForLoad(cap.package_aid))
    isd.done(*load_blocks(load_file(cap.load_file_data_block()), 200))
    isd.done(InstallForInstall(cap.package_aid, MODULE, MODULE))
    isd.select(MODULE)
    return isd


def ask(host: Host, ins: int, p1: int = 0) -> str:
    return host.raw(bytes((0x80, ins, p1, 0, 0))).require(f"command {ins:02X}").hex()


def test_an_applet_is_told_that_it_is_selected_again(applet: Host) -> None:
    """JC API 3.0.5, Applet.reSelectingApplet: in deselect, select and process, on one logical channel."""
    assert applet.select(MODULE).data.hex() == "010101"
    applet.select(Aid.from_text("A000000151000000"))
    assert applet.select(MODULE).data.hex() == "000000"
    assert applet.select(MODULE).data.hex() == "010101"


def test_a_reset_is_no_reselection(applet: Host) -> None:
    applet.select(MODULE)
    applet.link.reset()
    assert applet.select(MODULE).data[1:].hex() == "0000"


def test_every_generated_key_is_another(applet: Host) -> None:
    assert len({ask(applet, 1) for _ in range(3)}) == 3


def test_every_ecdsa_signature_has_a_nonce_of_its_own(applet: Host) -> None:
    """Two signatures by one key with the same nonce tell the key."""
    ask(applet, 1)
    signatures = [bytes.fromhex(ask(applet, 2)) for _ in range(3)]
    assert len({signature[4 : 4 + signature[3]] for signature in signatures}) == 3  # r


@pytest.mark.parametrize("zeros", [0, 1, 32])
@pytest.mark.parametrize("mode", [1, 2], ids=["decrypt", "encrypt"])
def test_rsa_without_padding_computes_with_any_modulus_and_whole_blocks(applet: Host, mode: int, zeros: int) -> None:
    """JC API 3.0.5, Cipher.ALG_RSA_NOPAD: input and output are as long as the modulus, under either key.

    A modulus that begins with zeros is as long as the key all the same: libraries of long numbers compute so.
    """
    assert applet.raw(bytes((0x80, 3, mode, zeros, 0))).data.hex() == "00" * 63 + "01"


def test_an_exception_has_no_reason_until_it_is_given_one(applet: Host) -> None:
    assert applet.raw(bytes.fromhex("8004000000")).sw == 0x6701


@pytest.mark.parametrize(
    ("form", "size", "sw"),
    [
        (4, 65, 0x9000),
        (2, 33, 0x9000),
        (3, 33, 0x9000),
        (4, 64, 0x6601),
        (4, 66, 0x6601),
        (2, 65, 0x6601),
        (5, 65, 0x6601),
        (2, 1, 0x6601),
        (0, 1, 0x6601),
    ],
)
def test_a_public_key_takes_no_point_that_is_none(applet: Host, form: int, size: int, sw: int) -> None:
    """JC API 3.0.5, ECPublicKey.setW: ILLEGAL_VALUE for a wrong format, or another length than the key's."""
    point = bytes((form,)) + bytes(range(1, size))
    assert applet.raw(bytes((0x80, 0x0A, 0, 0, size)) + point).sw == sw


def test_an_applet_may_look_behind_its_install_parameters(applet: Host) -> None:
    """Its install() reads the byte behind them: that it was installed is the test."""
    assert applet.select(MODULE).sw == 0x9000


def test_array_fill_is_part_of_a_transaction(applet: Host) -> None:
    assert ask(applet, 5) == "0055550003"
    assert ask(applet, 5, 1) == "0000000003"


def test_transient_ints_are_cleared_at_deselect(applet: Host) -> None:
    assert ask(applet, 6) == "0102030402"
    assert ask(applet, 6) == "0204060802"
    applet.select(MODULE)
    assert ask(applet, 6) == "0102030402"


@pytest.mark.parametrize(("event", "reason"), [(0, "01"), (1, "00"), (2, "00"), (3, "01"), (7, "01"), (0xFF, "01")])
def test_transient_arrays_are_cleared_at_one_of_two_events(applet: Host, event: int, reason: str) -> None:
    """JC API 3.0.5, JCSystem.makeTransientByteArray and its like: ILLEGAL_VALUE for any other."""
    assert ask(applet, 11, event) == 5 * reason


@pytest.mark.parametrize(
    ("cla", "expected"),
    [
        (0x00, "0000000101"),
        (0x83, "0300000001"),
        (0x8C, "0001000001"),
        (0x1F, "0301010101"),
        (0x42, "0600000101"),
        (0xFF, "1301010000"),
        (0x20, "0000000100"),
        (0xEC, "1001000001"),
    ],
)
def test_what_a_class_byte_says(applet: Host, cla: int, expected: str) -> None:
    """JC API 3.0.5, APDUUtil; ISO/IEC 7816-4 5.4.1."""
    assert ask(applet, 8, cla) == expected


def pin(host: Host, what: int, value: int = 0) -> str:
    answer = host.raw(bytes((0x80, 9, what, value, 0)))
    return answer.data.hex() if answer.sw == 0x9000 else f"{answer.sw:04x}"


BUILD, CHECK, COUNT, LIMIT, TRIES, UPDATE = range(6)
ILLEGAL_VALUE, ILLEGAL_STATE = "6601", "6602"


def test_pins_of_each_kind(applet: Host) -> None:
    """JC API 3.0.5, OwnerPINBuilder, OwnerPINx, OwnerPINxWithPredecrement."""
    assert pin(applet, BUILD, 4) == ILLEGAL_VALUE
    for kind in (1, 2):
        assert pin(applet, BUILD, kind) == "0300"
        pin(applet, CHECK, 1)
        if kind == 2:
            assert pin(applet, UPDATE) == "0300"
            assert pin(applet, CHECK, 1) == "0200"
            assert pin(applet, LIMIT, 0) == pin(applet, TRIES, 4) == pin(applet, TRIES, 0xFF) == ILLEGAL_VALUE
            assert pin(applet, LIMIT, 5) == "0500"
            assert pin(applet, TRIES, 4) == "0400"
            assert pin(applet, TRIES, 0) == "0000"
            assert pin(applet, CHECK, 0) == "0000"
            assert pin(applet, TRIES, 1) == "0100"
    assert pin(applet, CHECK, 0)[2:] == "01"


def test_a_pin_whose_tries_are_counted_first(applet: Host) -> None:
    pin(applet, BUILD, 3)
    assert pin(applet, CHECK, 0) == ILLEGAL_STATE
    assert pin(applet, COUNT) == "0200"
    assert pin(applet, CHECK, 1) == "0200"
    assert pin(applet, CHECK, 0) == ILLEGAL_STATE
    pin(applet, COUNT)
    applet.link.reset()
    applet.select(MODULE)
    assert pin(applet, CHECK, 0) == ILLEGAL_STATE
    assert pin(applet, COUNT) == "0000"
    assert pin(applet, CHECK, 0) == "0301"
    assert pin(applet, COUNT) == "0200"
    assert pin(applet, TRIES, 0) == "0000"
    assert pin(applet, COUNT) == "0000"
    assert pin(applet, CHECK, 0) == "0000"


def test_an_application_may_receive_the_data_before_its_domain_does(applet: Host) -> None:
    """org.globalplatform 1.7, SecureChannel.processSecurity: it is the method's to receive; cards take both."""
    assert applet.into(MODULE, ISD_KEYS).session is not None


def test_generic_arrays(applet: Host) -> None:
    """JC API 3.0.5, ArrayLogic: copied and repacked, found, filled and compared, of one type only."""
    assert ask(applet, 7, 0) == "03040506"
    assert ask(applet, 7, 1) == "02"
    assert ask(applet, 7, 2) == "0100"
    assert ask(applet, 7, 3) == "02000300"


class Described:
    """Takes what a package reader says of a package."""

    def setPackage(self, *_: object) -> None:  # noqa: N802 - as Java calls it
        pass

    addModule = addImport = setPackage  # noqa: N815 - as Java calls it


def built_for(folder: Path, target: str, members: str) -> CapFile:
    """Build an applet of a few members for a release of Java Card."""
    project = folder / "project"
    (project / "src" / "a").mkdir(parents=True)
    (project / "applet.toml").write_text(
        f'package = "a"\naid = "F06F70656E74736D0E04"\ntarget = "{target}"\n'
        '[[applets]]\nclass = "A"\naid = "F06F70656E74736D0E0401"\n'
    )
    (project / "src" / "a" / "A.java").write_text(
        "package a;\nimport javacard.framework.*;\nimport javacard.security.*;\npublic class A extends Applet {\n"
        "public static void install(byte[] p, short o, byte l) { new A().register(); }\n"
        f"{members}\n}}\n"
    )
    return build_project(project, folder / "out").conversion.cap


def test_a_package_of_a_later_release_is_taken_when_all_it_uses_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """JCVM 3.1, 4.5.2: the card has 3.0.5 as a whole, and of later releases what was there before."""
    beyond = built_for(tmp_path, "3.2.0", "public void process(APDU apdu) { JCSystem.isArrayView(null); }")
    runtime_folder = runtime.runtime_classes()
    assert offered.missing_references(beyond, runtime_folder) == ("javacard.framework.JCSystem.isArrayView",)
    reader = PackageReader(runtime_folder)
    assert not reader.read(beyond.load_file_data_block(), Described())
    assert "needs javacard.framework.JCSystem.isArrayView: this card has no such thing" in caplog.text
    # The same package without the call, which still names the version that has it.
    target = (FOLDER / "applet.toml").read_text().replace('"3.0.5"', '"3.2.0"')
    newer = tmp_path / "newer"
    shutil.copytree(FOLDER / "src", newer / "src")
    (newer / "applet.toml").write_text(target)
    fits = build_project(newer, tmp_path / "out").conversion.cap
    assert any(each.version > (1, 6) for each in fits.imports)
    assert reader.read(fits.load_file_data_block(), Described())


@pytest.mark.parametrize(
    "call",
    [
        "javacardx.framework.tlv.BERTLV.verifyFormat(new byte[4], (short) 0, (short) 4)",
        "javacardx.framework.math.BCDUtil.isBCDFormat(new byte[1], (short) 0, (short) 1)",
        "javacardx.framework.string.StringUtil.codePointCount(new byte[1], (short) 0, (short) 1)",
        "javacardx.biometry.BioBuilder.buildBioTemplate((byte) 1, (byte) 3)",
        "javacardx.security.SensitiveResult.assertTrue()",
    ],
)
def test_optional_packages_that_are_not_there(tmp_path: Path, caplog: pytest.LogCaptureFixture, call: str) -> None:
    """They are refused at loading: a card without them does not answer nothing in their place."""
    folder = tmp_path / "optional"
    (folder / "src" / "a").mkdir(parents=True)
    (folder / "applet.toml").write_text(
        'package = "a"\naid = "F06F70656E74736D0E06"\ntarget = "3.0.5"\n'
        '[[applets]]\nclass = "A"\naid = "F06F70656E74736D0E0601"\n'
    )
    (folder / "src" / "a" / "A.java").write_text(
        "package a;\nimport javacard.framework.*;\npublic class A extends Applet {\n"
        "public static void install(byte[] p, short o, byte l) { new A().register(); }\n"
        f"public void process(APDU apdu) {{ {call}; }}\n}}\n"
    )
    cap = build_project(folder, tmp_path / "out").conversion.cap
    assert not PackageReader(runtime.runtime_classes()).read(cap.load_file_data_block(), Described())
    assert f"needs {call.partition('(')[0].rpartition('.')[0]}: this card has no such thing" in caplog.text


LATER = {
    "javacard.security.XECKey": "public void process(APDU apdu) { if (kept instanceof XECKey) { kept = null; } }",
    "javacard.security.KeyBuilder.buildXECKey": (
        "public void process(APDU apdu) { kept = KeyBuilder.buildXECKey(null, (short) 0, false); }"
    ),
    "javacardx.security.derivation.DerivationFunction": (
        "public void process(APDU apdu) {"
        " javacardx.security.derivation.DerivationFunction.getInstance((byte) 1, false); }"
    ),
}


@pytest.mark.parametrize("missing", LATER)
def test_what_later_releases_brought_is_refused_at_loading(
    isd: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture, missing: str
) -> None:
    """Keys of XEC and key derivation (Java Card 3.1): the last LOAD says 6A80, the log what is missing."""
    later = built_for(tmp_path, "3.1.0", f"private Key kept;\n{LATER[missing]}")
    isd.done(InstallForLoad(later.package_aid))
    assert [isd.sw(each) for each in load_blocks(load_file(later.load_file_data_block()), 200)][-1] == 0x6A80
    assert missing in caplog.text
    assert "this card has no such thing" in caplog.text
    assert isd.entry(later.package_aid) is None
