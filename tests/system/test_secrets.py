"""The SP's secrets are end to end.

One run is recorded: all that the central TSM and the agent see, store and log, and every key that the centre ever
holds. Then all of it is tried with all of those keys.
"""

from __future__ import annotations

import base64
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.errors import CardError, ProtocolError, SecureChannelError
from opentsm_card.external_authenticate import ExternalAuthenticate
from opentsm_card.initialize_update import InitializeUpdate, InitializeUpdateAnswer
from opentsm_card.keys import KeySet
from opentsm_card.scp03 import Scp03Session
from opentsm_card.scp03_card import Scp03Card
from opentsm_tools.demo.cast import BANK, DEVICES
from opentsm_tools.demo.world import World
from witness import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PHONE = DEVICES[0]
ACCOUNTS = BANK.accounts(PHONE.customer, 2)
TEMPORARY_VERSION = 0x30
INS_SELECT, INS_INITIALIZE_UPDATE, INS_PUT_KEY, INS_DELETE, INS_GET_DATA = 0xA4, 0x50, 0xD8, 0xE4, 0xCA


@dataclass
class Channel:
    """One secure channel on the wire."""

    target: bytes
    begin: tuple[bytes, bytes]
    authenticate: bytes | None = None
    exchanges: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def answer(self) -> InitializeUpdateAnswer:
        return InitializeUpdateAnswer.parse(self.begin[1][:-2])

    def opened(self, keys: tuple[bytes, bytes, bytes]) -> list[tuple[CommandApdu, bytes]] | None:
        """Return the plain commands and answers when these keys open the channel."""
        answer = self.answer
        assert answer.sequence_counter is not None
        held = KeySet(answer.key_version, *keys)
        card = Scp03Card(
            held,
            aid=self.target,
            diversification_data=answer.diversification_data,
            i=answer.i,
            sequence_counter=answer.sequence_counter - 1,
        )
        begin = CommandApdu.parse(self.begin[0])
        if card.initialize_update(begin).encode() != answer.encode():
            return None
        host = Scp03Session.open(held, InitializeUpdate.parse(begin).host_challenge, answer.encode())
        plain: list[tuple[CommandApdu, bytes]] = []
        if self.authenticate is None:
            return plain
        authenticate = CommandApdu.parse(self.authenticate)
        card.external_authenticate(authenticate)
        host.external_authenticate(ExternalAuthenticate.parse(authenticate).level)
        for c_apdu, r_apdu in self.exchanges:
            command = card.unwrap(CommandApdu.parse(c_apdu))
            assert host.wrap(command).encode() == c_apdu
            plain.append((command, host.unwrap(ResponseApdu.parse(r_apdu)).data))
        return plain


def channels(exchanges: Iterable[tuple[bytes, bytes]]) -> list[Channel]:
    """Find the secure channels among APDUs."""
    found: list[Channel] = []
    target = b""
    for c_apdu, r_apdu in exchanges:
        command = CommandApdu.parse(c_apdu)
        if command.ins == INS_SELECT:
            target = command.data
        elif command.ins == INS_INITIALIZE_UPDATE and r_apdu[-2:] == b"\x90\x00":
            found.append(Channel(target, (c_apdu, r_apdu)))
        elif command.ins == 0x82 and r_apdu[-2:] == b"\x90\x00":
            found[-1].authenticate = c_apdu
        elif command.secured:
            found[-1].exchanges.append((c_apdu, r_apdu))
    return found


def spellings(secret: bytes) -> Iterator[bytes]:
    """Give the ways in which a secret may stand in a file: raw, hex of both cases, base64 at each alignment."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        for lead in range(3):
            # Characters that depend on neighbours are cut off at both ends.
            yield encode(bytes(lead) + secret)[(0, 2, 3)[lead] :].rstrip(b"=")[:-1]


def files_with(secret: bytes, folders: Iterable[Path]) -> set[Path]:
    """Return the files below folders in which a secret stands, in whatever spelling."""
    forms = list(spellings(secret))
    return {
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and any(form in path.read_bytes() for form in forms)
    }


@dataclass
class Run:
    """A recorded run: the SP's life on one phone."""

    world: World
    centre: Record
    agent: Record
    sp_keys: list[KeySet]
    sealed_on_disk: bool

    @property
    def public_folders(self) -> list[Path]:
        """All that is not the SP's own, nor the SE maker's."""
        root = self.world.ses_file.parent
        return [
            path for path in root.iterdir() if path.is_dir() and path.name != "se" and not path.name.startswith("sp-")
        ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder: Path = tmp_path_factory.mktemp("secrets")
    centre, agent = Record(folder / "centre.jsonl"), Record(folder / "agent.jsonl")
    launch = {PHONE.name: agent.command, "tsm": centre.command}
    with (
        pytest.MonkeyPatch.context() as patch,
        World(folder / "world", lambda _: None, lambda _: None, devices=(PHONE,), launch=launch) as world,
    ):
        sp, sp_keys = world.sps[BANK.name], []
        check = KeySet.__post_init__

        def held(this: KeySet) -> None:
            check(this)
            sp_keys.append(this)

        sp.deploy(PHONE.se, BANK.service, PHONE.customer)
        sealed_on_disk = bool(_sealed_in(centre, folder / "world" / "tsm"))
        patch.setattr(KeySet, "__post_init__", held)
        sp.rotate_keys(PHONE.se)
        sp.personalize(PHONE.se, BANK.service, PHONE.customer, ACCOUNTS)
        sp.suspend_or_resume(PHONE.se, "activate", service=BANK.service, qualifier=PHONE.customer)
        sp.accounts(PHONE.se, BANK.service)
        sp.delete_accounts(PHONE.se, BANK.service, PHONE.customer, [ACCOUNTS[0].uid])
        sp.rotate_keys(PHONE.se)
        sp.personalize(PHONE.se, BANK.service, PHONE.customer, ACCOUNTS)
        own = [keys for keys in sp_keys if keys.version != TEMPORARY_VERSION]
        yield Run(world, centre, agent, own, sealed_on_disk)


def _sealed_in(centre: Record, folder: Path) -> list[bytes]:
    return [sealed for sealed in centre.sealed() if files_with(sealed, [folder])]


def _openings(run: Run) -> list[tuple[Channel, list[tuple[CommandApdu, bytes]] | None]]:
    """Try every channel with every key set that the centre ever held."""
    key_sets = {(enc, mac, dek) for _version, enc, mac, dek in run.centre.key_sets()}
    openings = []
    for channel in channels(run.agent.exchanges()):
        tried = (_try(channel, keys) for keys in key_sets)
        openings.append((channel, next((plain for plain in tried if plain is not None), None)))
    return openings


def _try(channel: Channel, keys: tuple[bytes, bytes, bytes]) -> list[tuple[CommandApdu, bytes]] | None:
    try:
        return channel.opened(keys)
    except (SecureChannelError, CardError, ProtocolError):
        return None


def test_of_the_sps_channels_only_the_first_rotation_opens_with_the_centres_keys(run: Run) -> None:
    openings = [(channel, plain) for channel, plain in _openings(run) if channel.target in {BANK.sd, BANK.instance}]
    opened = [(channel, plain) for channel, plain in openings if plain is not None]
    closed = [channel for channel, plain in openings if plain is None]
    assert opened
    # Under the parent's keys the SD got its temporary ones; under those the SP put its own.
    assert all(channel.answer.key_version == TEMPORARY_VERSION for channel, _ in opened)
    commands = {command.ins for _, plain in opened for command, _ in plain}
    assert INS_PUT_KEY in commands
    assert commands <= {INS_PUT_KEY, INS_GET_DATA, INS_DELETE}
    # The proof and the deletion of the temporary keys, personalization, deletion, the second rotation.
    assert len([channel for channel in closed if channel.exchanges]) >= 5
    assert any(CommandApdu.parse(c_apdu).ins == INS_PUT_KEY for channel in closed for c_apdu, _ in channel.exchanges)


def test_the_same_trial_with_the_sps_keys_reads_the_accounts(run: Run) -> None:
    """Without this the test before it could pass by failing to decrypt anything."""
    plain = b"".join(
        command.data
        for channel in channels(run.agent.exchanges())
        for keys in run.sp_keys
        for command, _ in _try(channel, (keys.enc, keys.mac, keys.dek)) or []
    )
    assert all(bytes.fromhex(account.pan) in plain for account in ACCOUNTS)


def test_no_account_data_reaches_the_centre_or_the_agent(run: Run) -> None:
    seen = run.centre.seen() + run.agent.seen()
    assert len(seen) > 10_000
    opened = [plain for _, plain in _openings(run) if plain is not None]
    decrypted = b"".join(command.data + answer for plain in opened for command, answer in plain)
    on_link = b"".join(c_apdu + r_apdu for c_apdu, r_apdu in run.agent.exchanges())
    assert on_link.hex().encode() not in seen
    for account in ACCOUNTS:
        for form in (account.pan.encode(), *spellings(bytes.fromhex(account.pan))):
            assert form not in seen
            assert form not in decrypted
            assert form not in on_link
            assert not files_with(form, run.public_folders)


def test_no_sp_key_is_on_disk_or_in_a_log(run: Run, tmp_path: Path) -> None:
    keys = {key for held in run.sp_keys for key in (held.enc, held.mac, held.dek)}
    assert len(keys) >= 6
    assert len(run.public_folders) >= 4
    for key in keys:
        assert not files_with(key, run.public_folders)
        assert not any(form in run.centre.seen() + run.agent.seen() for form in spellings(key))
    planted = next(iter(keys))
    for number, form in enumerate(spellings(planted)):
        (tmp_path / str(number)).write_bytes(b"2026-11-22 log line: " + form + b" and more")
        assert tmp_path / str(number) in files_with(planted, [tmp_path])
    (tmp_path / "embedded").write_bytes(base64.b64encode(b"{" + planted + b"}"))
    assert tmp_path / "embedded" in files_with(planted, [tmp_path])


def test_the_temporary_keys_are_gone(run: Run) -> None:
    folder = run.world.ses_file.parent / "tsm"
    assert run.sealed_on_disk, "the sealed temporary keys were never found: the search does not work"
    assert not _sealed_in(run.centre, folder)
    with sqlite3.connect(f"file:{next(folder.glob('*.sqlite*'))}?mode=ro", uri=True) as database:
        assert database.execute("SELECT count(*) FROM domain WHERE sealed IS NOT NULL").fetchone() == (0,)
        assert database.execute("SELECT count(*) FROM domain").fetchone() == (1,)
    database.close()
    for key in {key for version, *keys in run.centre.key_sets() if version == TEMPORARY_VERSION for key in keys}:
        assert not files_with(key, run.public_folders)
