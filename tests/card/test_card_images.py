"""Card images: what a card keeps without power is all there again, here, on another machine, after any kill."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from click.testing import CliRunner

from opentsm_build.build import build_project, convert_project
from opentsm_build.project import Project
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu
from opentsm_card.errors import CardRemovedError, LinkTimeoutError, ProtocolError, StorageError
from opentsm_card.install import InstallForInstall, InstallForLoad
from opentsm_card.load import load_blocks, load_file
from opentsm_card.set_status import SetStatus
from opentsm_simulator import VirtualSe
from opentsm_simulator.cli import se as se_command
from opentsm_simulator.config import SeConfig
from opentsm_simulator.host import Host as SeHost
from opentsm_simulator.image import VERSION, CardImage, ImageFile, write_image
from opentsm_simulator.profile import profile_names
from opentsm_tools.main import exit_code
from sd_host import BANK, CARD_1, ISD, ISD_KEYS, Host, block, keys, payment_parameters, service_provider
from tearing_card import BEGIN, Report, TearingCard

if TYPE_CHECKING:
    from opentsm_build.cap import CapFile

HERE: Final = Path(__file__).parent
CORPUS: Final = HERE.parent / "corpus"
BANK_KEYS: Final = keys(0x31, 1)
# How the class table of a state names the entries of load files.
ENTRY: Final = b"\0\0\0\x1dopentsm.runtime.LoadFileEntry"
SEVERAL: Final = Aid.from_text("F000006F1901")


def same(one: VirtualSe, other: VirtualSe) -> None:
    """Two cards are the same: registry, parameters, effects, ATR, figures, and all that is in their images."""
    assert one.registry_lines() == other.registry_lines()
    assert one.parameter_lines() == other.parameter_lines()
    assert one.effects() == other.effects()
    assert one.figures() == other.figures()
    assert one.atr == other.atr
    assert one.image().state == other.image().state


def copied(se: VirtualSe) -> VirtualSe:
    se.reset()
    other = VirtualSe.from_image(se.snapshot())
    other.reset()
    same(se, other)
    return other


def load(host: Host, cap: CapFile) -> None:
    host.done(InstallForLoad(cap.package_aid))
    host.done(*load_blocks(load_file(cap.load_file_data_block()), 200))


@pytest.fixture
def banked(se: VirtualSe) -> VirtualSe:
    """A card with a bank's domain, its key set rotated in, and a personalized payment application."""
    host = service_provider(se, ISD, ISD_KEYS, BANK, BANK_KEYS)
    host.new_payment(CARD_1)
    assert host.extradite(CARD_1, BANK) == 0x9000
    assert host.activate(CARD_1) == 0x9000
    host.into(BANK, BANK_KEYS)
    uid = bytes(range(16))
    account = bytes.fromhex("C0056465626974C110") + uid + bytes.fromhex("5A0854133300890100115F24033012315004")
    account += b"Card"
    assert host.store(CARD_1, [block(7, 0x0201, account)]) == [0x9000]
    return se


class TestCopies:
    @pytest.mark.parametrize("name", profile_names())
    def test_every_profile_as_delivered(self, name: str) -> None:
        se = VirtualSe.create(name, se_id="se-1")
        other = copied(se)
        assert (other.se_id, other.profile) == (se.se_id, se.profile)
        assert Host(other.link()).select(ISD) == Host(se.link()).select(ISD)

    def test_keys_rotated_and_personalized_applications_go_on(self, banked: VirtualSe) -> None:
        other = copied(banked)
        reader = [Host(se.link("contactless")) for se in (banked, other)]
        for command in (
            CommandApdu(0x80, 0xA8, 0, 0, b"\x83\x00", 256),
            CommandApdu(0x00, 0xB2, 1, 0x0C, ne=256),
            CommandApdu(0x80, 0xCA, 0xDF, 0x02, ne=256),
            CommandApdu(0x80, 0xCA, 0xDF, 0x01, ne=256),
        ):
            for host in reader:
                host.select(CARD_1).require("SELECT")
            assert reader[0].plain(command) == reader[1].plain(command), command
        bank = Host(other.link()).into(BANK, BANK_KEYS)
        assert bank.store(CARD_1, [block(8, 0x0204)]) == [0x9000]
        issuer = Host(other.link()).into(ISD, ISD_KEYS)
        assert issuer.sw(SetStatus.lock(CARD_1)) == 0x9000
        issuer.new_payment(Aid(CARD_1 + b"\x01"), payment_parameters(b"Two"))
        # What happens to a copy does not happen to the card.
        assert not any(CARD_1.hex().upper() + "01" in line for line in banked.registry_lines())

    def test_counters_of_pseudo_random_challenges_go_on(self, se: VirtualSe) -> None:
        for _ in range(3):
            Host(se.link()).into(ISD, ISD_KEYS)
        counters = []
        for card in (copied(se), se):
            host = Host(card.link())
            host.select(ISD)
            answer = host.raw(bytes.fromhex("8050000008") + bytes(8) + b"\x00").require("INITIALIZE UPDATE")
            counters.append(answer[-3:])
        assert counters[0] == counters[1]
        assert int.from_bytes(counters[0], "big") >= 3

    def test_fields_arrays_pins_and_keys_of_a_loaded_package(self) -> None:
        """The applet's report has fields, arrays of each kind, statics, a PIN, a key and transient memory."""
        card = TearingCard()
        for ins in range(1, 0x0A):
            card.write(ins, 7)
        card.write(0x0A, 0)
        other = Host(copied(card.se).link())
        other.select(CARD_1).require("SELECT")
        card.reset()
        before = card.report()
        assert before != Report()
        assert Report.parse(other.raw(bytes.fromhex("8020000000")).require("report")) == before

    @pytest.mark.parametrize("name", ["several", "library"])
    def test_packages_of_the_corpus_with_their_statics(self, isd: Host, se: VirtualSe, name: str) -> None:
        cap = convert_project(Project.load(CORPUS / name))[0].cap
        load(isd, cap)
        if name == "several":
            isd.done(InstallForInstall(cap.package_aid, SEVERAL, SEVERAL))
            isd.select(SEVERAL)
            assert isd.raw(bytes.fromhex("8010050000")).sw == 0x9000
        other = Host(copied(se).link())
        if name == "several":
            other.select(SEVERAL)
            assert other.raw(bytes.fromhex("8012000000")).data.hex() == "00020f"

    def test_a_package_that_imports_another_is_linked_again(self, isd: Host, se: VirtualSe, tmp_path: Path) -> None:
        for name in ("ledger", "counter"):
            load(isd, build_project(HERE / "packages" / name, tmp_path).conversion.cap)
        package, module = Aid.from_text("F06F70656E74736D0E02"), Aid.from_text("F06F70656E74736D0E0201")
        isd.done(InstallForInstall(package, module, CARD_1))
        host = Host(copied(se).link())
        assert host.select(CARD_1).sw == 0x9000


class TestRestore:
    def test_back_and_forth_with_links_open(self, se: VirtualSe, host: Host) -> None:
        before = se.snapshot()
        host.into(ISD, ISD_KEYS)
        host.new_payment(CARD_1)
        after = se.snapshot()
        se.restore(before)
        assert Host(host.link).select(CARD_1).sw == 0x6A82
        host.into(ISD, ISD_KEYS)
        se.restore(after)
        assert Host(host.link).select(CARD_1).sw == 0x9000
        host.into(ISD, ISD_KEYS)
        assert host.delete(CARD_1) == 0x9000
        se.renew()
        assert se.image().state == VirtualSe.from_image(before).image().state

    def test_a_transaction_that_the_power_was_cut_in_is_no_part_of_it(self) -> None:
        card = TearingCard()
        card.reset()
        before = card.report()
        card.se.cut_power(at_write=1)
        with pytest.raises(LinkTimeoutError):
            card.write(1, 9, BEGIN)
        card.reset()
        other = Host(copied(card.se).link())
        other.select(CARD_1).require("SELECT")
        assert Report.parse(other.raw(bytes.fromhex("8020000000")).require("report")) == before


class TestFiles:
    @pytest.fixture
    def path(self, se: VirtualSe, tmp_path: Path) -> Path:
        path = tmp_path / "se-1.card"
        write_image(path, se.snapshot())
        return path

    def test_what_was_answered_is_kept(self, path: Path) -> None:
        """Nothing is closed in order: what the file holds is all that is left."""
        se = VirtualSe.open(path)
        assert se.image_path == path
        host = Host(se.link()).into(ISD, ISD_KEYS)
        for step in (lambda: host.new_domain(BANK), lambda: host.new_payment(CARD_1), lambda: host.activate(CARD_1)):
            step()
            assert VirtualSe.from_image(path.read_bytes()).registry_lines() == [
                line.replace("\tC0", "\t") for line in se.registry_lines()
            ]
        assert path.stat().st_mode & 0o777 == 0o600
        assert [each.name for each in path.parent.iterdir()] == [path.name]

    def test_a_command_that_changes_nothing_writes_nothing(self, path: Path) -> None:
        se = VirtualSe.open(path)
        link = se.link()
        before = path.stat().st_ino, path.stat().st_mtime_ns
        for command in ("80CA9F7F00", "00A4040000", "80CA006600", "80F24000024F0000"):
            link.transmit(bytes.fromhex(command))
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == before

    def test_one_process_runs_it(self, path: Path) -> None:
        se = VirtualSe.open(path)
        Host(se.link()).into(ISD, ISD_KEYS).new_domain(BANK)
        with pytest.raises(StorageError, match="another process runs this card"):
            VirtualSe.open(path)
        # As a program that is just being started has them.
        copies = [
            os.dup(int(each.name)) for each in Path("/proc/self/fd").iterdir() if each.resolve() == path.resolve()
        ]
        assert copies
        se.close()
        assert any(BANK.hex().upper() in line for line in VirtualSe.open(path, synced=True).registry_lines())
        for copy in copies:
            os.close(copy)

    def test_a_card_that_can_not_be_kept_is_mute(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        se = VirtualSe.open(path)
        host = Host(se.link()).into(ISD, ISD_KEYS)
        before = path.read_bytes()

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "writev", full)
            with pytest.raises(LinkTimeoutError):
                host.new_domain(BANK)
        assert path.read_bytes() == before
        se.reset()
        assert any(BANK.hex().upper() in line for line in VirtualSe.from_image(path.read_bytes()).registry_lines())

    def test_an_image_that_is_restored_into_is_that_card_from_then_on(self, path: Path) -> None:
        other = VirtualSe.create("uicc", se_id="sim")
        se = VirtualSe.open(path)
        se.restore(other.snapshot())
        se.close()
        again = VirtualSe.open(path)
        assert (again.se_id, again.profile.name) == ("se-1", "uicc")
        assert again.registry_lines() == other.registry_lines()
        again.renew()
        assert again.registry_lines() == other.registry_lines()


@pytest.fixture(scope="module")
def image() -> CardImage:
    return VirtualSe.create("embedded", se_id="se-1").image()


class TestRefusals:
    def test_another_version(self, image: CardImage) -> None:
        old = bytearray(image.encode())
        old[8:10] = (VERSION - 1).to_bytes(2, "big")
        with pytest.raises(ProtocolError, match=f"is of version {VERSION - 1}, and this release"):
            VirtualSe.from_image(bytes(old))

    def test_another_version_of_the_state(self, image: CardImage) -> None:
        old = CardImage(image.se_id, image.profile, image.delivered, b"\x00\x63" + image.state[2:])
        with pytest.raises(ProtocolError, match="its state is of version 99"):
            VirtualSe.from_image(old.encode())

    def test_a_class_with_other_fields(self, image: CardImage) -> None:
        at = image.state.index(ENTRY) + len(ENTRY) + 1
        state = image.state[:at] + bytes(8) + image.state[at + 8 :]
        with pytest.raises(ProtocolError, match="another release of opentsm"):
            VirtualSe.from_image(CardImage(image.se_id, image.profile, b"", state).encode())

    @pytest.mark.parametrize("name", [b"java.io.FileOutputStream", b"java.lang.ProcessBuilder", b"no.such.Thing"])
    def test_a_class_that_is_none_of_a_cards(self, image: CardImage, name: bytes) -> None:
        state = image.state.replace(ENTRY, len(name).to_bytes(4, "big") + name)
        assert state != image.state
        with pytest.raises(ProtocolError, match="can't be taken"):
            VirtualSe.from_image(CardImage(image.se_id, image.profile, b"", state).encode())

    def test_a_refused_image_leaves_the_card_as_it_is(self, se: VirtualSe, host: Host, image: CardImage) -> None:
        host.into(ISD, ISD_KEYS)
        before = se.image().state
        for length in (100, len(image.state) // 2, len(image.state) - 1):
            broken = CardImage(image.se_id, image.profile, image.delivered, image.state[:length])
            with pytest.raises(ProtocolError):
                se.restore(broken.encode())
        host.new_domain(BANK)
        assert se.image().state != before

    def test_a_file_that_is_none(self, tmp_path: Path) -> None:
        path = tmp_path / "x.card"
        path.write_bytes(b"no card at all")
        with pytest.raises(ProtocolError, match=r"x\.card: this is no card image"):
            ImageFile(path)


class TestCommands:
    @pytest.fixture(autouse=True)
    def folders(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENTSM_RUNTIME_DIR", str(tmp_path / "run"))
        monkeypatch.setenv("OPENTSM_SE_DIR", str(tmp_path / "cards"))

    @staticmethod
    def run(*words: str) -> dict[str, object]:
        result = CliRunner().invoke(se_command, [*words, "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return dict(json.loads(result.output))

    def test_create_list_and_reset(self, tmp_path: Path) -> None:
        made = self.run("create", "mine", "--profile", "embedded", "--id", "ese")
        path = tmp_path / "cards" / "mine.card"
        assert made == {"ses": [{"id": "ese", "profile": "embedded", "image": str(path)}]}
        assert self.run("list", "--images")["images"] == made["ses"]
        se = VirtualSe.open(path)
        Host(se.link()).into(ISD, ISD_KEYS).new_domain(BANK)
        se.close()
        assert self.run("reset", "mine", "--new")["id"] == "ese"
        assert not any(BANK.hex().upper() in line for line in VirtualSe.open(path).registry_lines())

    def test_a_card_of_another_release_is_not_reset(self, image: CardImage, tmp_path: Path) -> None:
        """What it was delivered as can't run here either: the file stays as it is, and the way out is told."""
        path = tmp_path / "old.card"
        at = image.delivered.index(ENTRY) + len(ENTRY) + 1
        other = image.delivered[:at] + bytes(8) + image.delivered[at + 8 :]
        write_image(path, CardImage(image.se_id, image.profile, other, image.state).encode())
        before = path.read_bytes()
        result = CliRunner().invoke(se_command, ["reset", str(path), "--new"])
        assert isinstance(result.exception, ProtocolError)
        assert exit_code(result.exception) == 4
        for says in (f"{path}: ", "another release of opentsm", "make the card anew", "opentsm se create"):
            assert says in str(result.exception)
        assert path.read_bytes() == before
        # A present state that can't run is what resetting is good for.
        path.unlink()
        write_image(path, CardImage(image.se_id, image.profile, image.delivered, other).encode())
        assert self.run("reset", str(path), "--new")["id"] == "se-1"
        assert VirtualSe.open(path).image().state == image.state

    def test_a_folder_that_is_not_there_is_no_empty_list(self, tmp_path: Path) -> None:
        assert self.run("list", "--images") == {"folder": str(tmp_path / "cards"), "images": []}
        (tmp_path / "empty").mkdir()
        assert self.run("list", "--images", str(tmp_path / "empty"))["images"] == []
        (tmp_path / "file").touch()
        for name, why in (("missing", "No such file"), ("file", "Not a directory")):
            result = CliRunner().invoke(se_command, ["list", "--images", str(tmp_path / name)])
            assert isinstance(result.exception, StorageError)
            assert exit_code(result.exception) == 4
            assert f"{tmp_path / name}: {why}" in str(result.exception)

    def test_a_folder_of_them(self, tmp_path: Path) -> None:
        self.run("create", str(tmp_path / "fleet"), "--profile", "uicc", "--count", "2")
        names = sorted(path.name for path in (tmp_path / "fleet").iterdir())
        assert names == ["uicc-1.card", "uicc-2.card"]

    def test_snapshot_and_restore_of_running_ones(self, tmp_path: Path) -> None:
        configs = [SeConfig("a", "embedded", ("127.0.0.1", 0), image=tmp_path / "a.card"), SeConfig("b", "uicc")]
        with SeHost(configs, controlled=True) as running:
            first, second = (hosted.se for hosted in running.ses)
            Host(first.link()).into(ISD, ISD_KEYS).new_domain(BANK)
            link = second.link()
            file = tmp_path / "snapshot.card"
            assert self.run("snapshot", "a", str(file))["bytes"] == file.stat().st_size
            assert self.run("restore", "b", str(file))["profile"] == "embedded"
            assert Host(link).select(BANK).sw == 0x9000
            link.close()
            with pytest.raises(CardRemovedError):
                link.transmit(b"\x00")
        assert any(BANK.hex().upper() in line for line in VirtualSe.open(tmp_path / "a.card").registry_lines())
