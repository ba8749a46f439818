"""The SP TSM against a card's own SCP03 side: rotation, personalization, deletion, each cut at every point.

The card is a small real one (SCP03, PUT KEY, DELETE KEY, GET DATA, INSTALL [for personalization], STORE DATA); the
central TSM in between runs scripts on it, does each operation once, and can lose an answer or be there when the SP
TSM is killed.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from opentsm_card import tlv
from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.delete import DeleteKey
from opentsm_card.errors import CardError, OpenTsmError, SecureChannelError
from opentsm_card.install import InstallForPersonalization
from opentsm_card.keys import KeySet
from opentsm_card.put_key import PutKey
from opentsm_card.scp03_card import Scp03Card
from opentsm_card.store_data import parse_dgis
from opentsm_tsm.keystore import KeyStore
from opentsm_tsm.messages import (
    FUNCTIONS,
    Accepted,
    ActionReceipt,
    Operation,
    ResolveOperation,
    ScriptEntry,
    ScriptResult,
    SendScript,
    TerminateResult,
    TerminateService,
)
from opentsm_tsm.sp import Account, SpTsm
from opentsm_tsm.sp.config import Centre, KeyStoreFile, Provider, Service, SpConfig, TlsFiles
from opentsm_tsm.sp.store import SpStore
from opentsm_tsm.wire import Hex, Message, Request, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Make = Callable[..., tuple["SpTsm", "FakeCentre"]]

SE = "se-1"
SD = bytes.fromhex("F06F70656E74736D0A0001")
INSTANCE = bytes.fromhex("F06F70656E74736D0B000101")
DIVERSIFICATION = bytes(range(10))
TEMPORARY = KeySet(0x30, b"\x01" * 16, b"\x02" * 16, b"\x03" * 16)
ACCOUNTS = tuple(Account(bytes([n]) * 16, f"541333008902001{n}", "301231", f"card {n}") for n in range(3))
CONFIG = SpConfig(
    sp=Provider(id="bank", sd=SD.hex()),
    tsm=Centre(url="https://127.0.0.1:1", ca="ca.pem"),
    tls=TlsFiles(certificate="c", key="k"),
    keys=KeyStoreFile(store="s", passphrase_file="p"),
    service=(Service(name="payment", instance=INSTANCE.hex()),),
)


class Card:
    """A security domain with key sets, and one payment instance under it."""

    def __init__(self) -> None:
        self.keys = {TEMPORARY.version: TEMPORARY}
        self.channels = {TEMPORARY.version: self._channel(TEMPORARY)}
        self.open: int | None = None
        self.selected = SD
        self.accounts: list[tuple[bytes, bytes]] = []
        self.last = bytes(16)
        self.personalizing: bytes | None = None
        self.effects: list[str] = []

    def _channel(self, keys: KeySet) -> Scp03Card:
        return Scp03Card(keys, aid=SD, diversification_data=DIVERSIFICATION)

    def select(self, aid: bytes) -> None:
        self.open, self.selected = None, aid

    def transmit(self, encoded: bytes) -> bytes:
        apdu = CommandApdu.parse(encoded)
        try:
            return self._dispatch(apdu).encode()
        except CardError as error:
            return ResponseApdu(b"", error.sw).encode()
        except SecureChannelError:
            return ResponseApdu(b"", 0x6982).encode()

    def _dispatch(self, apdu: CommandApdu) -> ResponseApdu:
        if apdu.ins == 0x50:
            self.open = None
            if apdu.p1 not in self.channels:
                raise CardError(0x6A88, "INITIALIZE UPDATE")
            self.open = apdu.p1
            self.channels[apdu.p1].aid = self.selected
            return ResponseApdu(self.channels[apdu.p1].initialize_update(apdu).encode())
        if self.open is None:
            raise CardError(0x6982, "no session")
        channel = self.channels[self.open]
        if apdu.ins == 0x82:
            channel.external_authenticate(apdu)
            return ResponseApdu()
        plain = channel.unwrap(apdu)
        try:
            return channel.wrap(ResponseApdu(self._execute(plain)))
        except CardError as error:
            return channel.wrap(ResponseApdu(b"", error.sw))

    def _execute(self, apdu: CommandApdu) -> bytes:
        if apdu.ins == 0xCA:
            return self._data(apdu.p1 << 8 | apdu.p2)
        if apdu.ins == 0xD8:
            command = PutKey.parse(apdu)
            dek = self.keys[self.open or 0].dek
            enc, mac, new_dek = (key.decrypt_aes(dek) for key in command.keys)
            self.keys[command.key_version] = KeySet(command.key_version, enc, mac, new_dek)
            self.channels[command.key_version] = self._channel(self.keys[command.key_version])
            self.effects.append(f"put {command.key_version}")
            return command.answer().encode()
        if apdu.ins == 0xE4:
            version = DeleteKey.parse(apdu).key_version
            if version not in self.keys:
                raise CardError(0x6A88, "DELETE")
            del self.keys[version], self.channels[version]
            self.effects.append(f"delete {version}")
            return b"\x00"
        if apdu.ins == 0xE6:
            self.personalizing = InstallForPersonalization.parse(apdu).application
            return b"\x00"
        if apdu.ins == 0xE2 and self.personalizing == INSTANCE:
            self._store(apdu.data)
            return b""
        raise CardError(0x6D00, "?")

    def _data(self, tag: int) -> bytes:
        if tag == 0xE0 and self.selected == SD:
            keys = (tlv.encode(0xC0, bytes((number, v, 0x88, 16))) for v in self.keys for number in (1, 2, 3))
            return tlv.encode(0xE0, b"".join(keys))
        if tag == 0xDF01 and self.selected == INSTANCE:
            return tlv.encode(0xDF01, self.last)
        if tag == 0xDF02 and self.selected == INSTANCE:
            entries = (tlv.encode(0xE1, tlv.encode(0xC0, q) + tlv.encode(0xC1, uid)) for q, uid in self.accounts)
            return tlv.encode(0xDF02, b"".join(entries))
        raise CardError(0x6A88, "GET DATA")

    def _store(self, data: bytes) -> None:
        operation, other = parse_dgis(data)
        members = tlv.parse_all(other.value)
        account = (tlv.find(members, 0xC0) or b"", tlv.find(members, 0xC1) or b"")
        if other.identifier == 0x0201:
            self.accounts.append(account)
        elif other.identifier == 0x0202:
            if account not in self.accounts:
                raise CardError(0x6A88, "delete account")
            self.accounts.remove(account)
        elif other.identifier == 0x0203:
            self.accounts = [kept for kept in self.accounts if kept[0] != account[0]]
        self.last = operation.value
        self.effects.append(f"store {operation.value.hex()}")


class Killed(BaseException):
    """The SP TSM died here."""


@dataclass
class FakeCentre:
    """A central TSM with one card, which does each operation once."""

    card: Card = field(default_factory=Card)
    operations: dict[str, Operation] = field(default_factory=dict)
    resolved: dict[str, str] = field(default_factory=dict)
    apdus: int = 0
    lose: int | None = None  # the C-APDU, counted over all, whose answer is lost
    executed: bool = True  # whether the card executed it
    kill: int | None = None  # the moment, counted over all, at which the SP TSM dies
    moments: int = 0
    destroyed: int = 0

    def moment(self) -> None:
        self.moments += 1
        if self.moments - 1 == self.kill:
            raise Killed

    def close(self) -> None:
        pass

    def query(self, request: Request, reply: type[Message]) -> Message:
        assert reply is ActionReceipt
        self.moment()
        self.destroyed += request.action == "key-rotation"  # type: ignore[attr-defined] # this one request
        self.moment()
        return ActionReceipt(sd=Hex(SD), action="done", destroyed=True)

    def start(self, function: str, body: bytes) -> Accepted:
        self.moment()
        request: Any = decode(body, FUNCTIONS[function].request)
        if request.operation_id not in self.operations:
            self.operations[request.operation_id] = self._do(function, request)
        self.moment()
        return Accepted(operation=request.operation_id, state="pending")

    def wait(self, operation_id: str) -> Operation:
        self.moment()
        return self.operations[operation_id]

    def resolve(self, operation_id: str, message: ResolveOperation) -> None:
        self.moment()
        assert self.operations[operation_id].state == "in-doubt"
        self.resolved[operation_id] = message.decision

    def _do(self, function: str, request: SendScript | TerminateService) -> Operation:
        blocking = [o for o, found in self.operations.items() if found.state == "in-doubt" and o not in self.resolved]
        probe = request.probe if isinstance(request, SendScript) else None
        assert not blocking or probe in blocking, "the domain is blocked by a doubt"
        result = self._run(bytes(request.target or b""), request.script)
        message: Message = result if function == "SendScript" else TerminateResult(script=result)
        return Operation(
            operation=request.operation_id or "",
            function=function,
            se_id=SE,
            state="in-doubt" if result.in_doubt else "done",
            phase="end",
            created=0,
            updated=0,
            result=decode(encode(message), dict[str, Any]),
        )

    def _run(self, target: bytes, script: tuple[ScriptEntry, ...]) -> ScriptResult:
        self.card.select(target)
        answers: list[Hex] = []
        for position, entry in enumerate(script):
            lost = self.apdus == self.lose
            self.apdus += 1
            if lost and not self.executed:
                return ScriptResult(answers=tuple(answers), in_doubt=True, not_sent=len(script) - position - 1)
            answer = self.card.transmit(bytes(entry.apdu))
            if lost:
                return ScriptResult(answers=tuple(answers), in_doubt=True, not_sent=len(script) - position - 1)
            answers.append(Hex(answer))
            data = entry.expect.data
            if answer[-2:] != b"\x90\x00" or (data is not None and answer[:-2] != data):
                return ScriptResult(answers=tuple(answers), not_sent=len(script) - position - 1)
        return ScriptResult(answers=tuple(answers))


class MortalStore(SpStore):
    """The SP TSM's store, around each of whose commits it may die."""

    centre: FakeCentre | None = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        outermost = not self._db.in_transaction
        if outermost and self.centre is not None:
            self.centre.moment()
        with super().transaction():
            yield
        if outermost and self.centre is not None:
            self.centre.moment()


@pytest.fixture(scope="module")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> KeyStore:
    return KeyStore.create(tmp_path_factory.mktemp("keys") / "keys", b"passphrase")


@pytest.fixture
def make(tmp_path: Path, keystore: KeyStore) -> Callable[..., tuple[SpTsm, FakeCentre]]:
    """Return what makes an SP TSM on a new database, or on the one of another (after a kill)."""
    count = 0

    def made(centre: FakeCentre | None = None, *, rotated: bool = False) -> tuple[SpTsm, FakeCentre]:
        nonlocal count
        count += centre is None
        new = centre is None
        centre = centre or FakeCentre()
        store = MortalStore(tmp_path / f"sp-{count}.sqlite", keystore)
        tsm = SpTsm(CONFIG, store, centre, b"")  # type: ignore[arg-type] # the fake has what is used
        if new:
            keys = TEMPORARY.enc + TEMPORARY.mac + TEMPORARY.dek
            store.keep_key_set(SE, SD, TEMPORARY.version, keys, temporary=True)
        if rotated:
            tsm.rotate_keys(SE)
            centre.card.effects.clear()
            centre.apdus = centre.moments = 0
        store.centre = centre
        return tsm, centre

    return made


def test_rotation_leaves_only_keys_that_nobody_else_has(make: Make) -> None:
    tsm, centre = make()
    result = tsm.rotate_keys(SE)
    assert (result.old_version, result.new_version, result.temporary_keys_destroyed) == (0x30, 1, True)
    assert list(centre.card.keys) == [1]
    assert centre.card.effects == ["put 1", "delete 48"]
    assert TEMPORARY.enc not in (centre.card.keys[1].enc, centre.card.keys[1].mac)
    assert tsm.key_versions(SE) == ((1, False),)


def test_the_next_rotation_counts_the_version_up_and_needs_one_script(make: Make) -> None:
    tsm, centre = make(rotated=True)
    assert tsm.rotate_keys(SE).new_version == 2
    assert list(centre.card.keys) == [2]
    assert len(centre.operations) == 3  # the first had to learn the SE's constants


@pytest.mark.parametrize("executed", [True, False])
@pytest.mark.parametrize("lose", range(7))
def test_rotation_survives_a_lost_answer_anywhere(make: Make, lose: int, executed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    tsm, centre = make()
    centre.lose, centre.executed = lose, executed
    tsm.rotate_keys(SE)
    assert list(centre.card.keys) == [1]
    assert sorted(centre.card.effects) == ["delete 48", "put 1"]
    assert set(centre.resolved) == {o for o, found in centre.operations.items() if found.state == "in-doubt"}


def test_personalization_writes_accounts_and_deletion_takes_one(make: Make) -> None:
    tsm, centre = make(rotated=True)
    tsm.personalize(SE, "payment", "q1", ACCOUNTS)
    assert centre.card.accounts == [(b"q1", account.uid) for account in ACCOUNTS]
    tsm.delete_accounts(SE, "payment", "q1", [ACCOUNTS[1].uid])
    assert [uid for _, uid in centre.card.accounts] == [ACCOUNTS[0].uid, ACCOUNTS[2].uid]
    listed = tsm.accounts(SE, "payment")
    assert [(entry.qualifier, bytes(entry.uid)) for entry in listed.accounts] == [
        ("q1", ACCOUNTS[0].uid),
        ("q1", ACCOUNTS[2].uid),
    ]
    tsm.delete_accounts(SE, "payment", "q1")
    assert centre.card.accounts == []


@pytest.mark.parametrize("executed", [True, False])
@pytest.mark.parametrize("lose", range(6))
def test_each_account_is_written_once_wherever_an_answer_is_lost(make: Make, lose: int, executed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    tsm, centre = make(rotated=True)
    centre.lose, centre.executed = lose, executed
    tsm.personalize(SE, "payment", "q1", ACCOUNTS)
    assert centre.card.accounts == [(b"q1", account.uid) for account in ACCOUNTS]
    assert len(centre.card.effects) == 3
    assert len(set(centre.card.effects)) == 3


@pytest.mark.parametrize("executed", [True, False])
def test_a_deletion_in_doubt_is_probed_and_done_once(make: Make, executed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    tsm, centre = make(rotated=True)
    tsm.personalize(SE, "payment", "q1", ACCOUNTS)
    centre.card.effects.clear()
    centre.lose, centre.executed = centre.apdus + 3, executed
    tsm.delete_accounts(SE, "payment", "q1", [ACCOUNTS[0].uid])
    assert [uid for _, uid in centre.card.accounts] == [account.uid for account in ACCOUNTS[1:]]
    assert len(centre.card.effects) == 1
    assert list(centre.resolved.values()) == ["accept" if executed else "reset"]


def test_a_refusal_of_the_card_is_told_and_earlier_blocks_stay(make: Make) -> None:
    tsm, centre = make(rotated=True)
    tsm.personalize(SE, "payment", "q1", ACCOUNTS[:1])
    with pytest.raises(CardError) as caught:
        tsm.delete_accounts(SE, "payment", "q1", [ACCOUNTS[0].uid, ACCOUNTS[1].uid])
    assert caught.value.sw == 0x6A88
    assert centre.card.accounts == []
    last = tsm.operations()[-1]
    assert (last.kind, last.state) == ("delete-accounts", "failed")
    assert "6A88" in (last.error or "")


def test_a_counter_that_moved_behind_our_back_costs_one_more_script(make: Make) -> None:
    tsm, centre = make(rotated=True)
    centre.card.channels[1].sequence_counter += 5
    before = len(centre.operations)
    tsm.personalize(SE, "payment", "q1", ACCOUNTS[:1])
    assert len(centre.operations) == before + 2
    assert len(centre.card.effects) == 1


def test_wrong_keys_are_tried_once_and_never_used(make: Make) -> None:
    tsm, centre = make(rotated=True)
    keys = centre.card.keys[1]
    centre.card.channels[1] = centre.card._channel(KeySet(1, keys.mac, keys.enc, keys.dek))
    with pytest.raises(SecureChannelError):
        tsm.personalize(SE, "payment", "q1", ACCOUNTS)
    assert centre.apdus == 1
    assert centre.card.effects == []


def test_a_tampered_answer_is_not_believed(make: Make) -> None:
    tsm, centre = make(rotated=True)
    whole = centre.card.transmit

    def tampered(encoded: bytes) -> bytes:
        answer = whole(encoded)
        return answer if encoded[1] != 0xE2 else bytes([answer[0] ^ 1]) + answer[1:]

    centre.card.transmit = tampered  # type: ignore[method-assign] # a card on a bad line
    with pytest.raises(SecureChannelError):
        tsm.personalize(SE, "payment", "q1", ACCOUNTS[:1])


def test_nothing_is_done_without_keys(make: Make) -> None:
    tsm, centre = make()
    with pytest.raises(OpenTsmError, match="rotate the keys first"):
        tsm.personalize(SE, "payment", "q1", ACCOUNTS)
    with pytest.raises(OpenTsmError, match="deploy first"):
        tsm.rotate_keys("another-se")
    assert centre.apdus == 0


def _killed_everywhere(make: Make, work: Callable[[SpTsm], object], *, rotated: bool) -> int:
    """Kill the SP TSM at every moment of an operation, bring it to its end anew, and return how many moments it has."""
    moments = 0
    while True:
        tsm, centre = make(rotated=rotated)
        centre.kill = moments
        try:
            work(tsm)
        except Killed:
            tsm.close()
            centre.kill = None
            tsm, _ = make(centre)
            if len(tsm.operations()) == rotated:  # it died before the operation was there: nothing was promised
                work(tsm)
            tsm.resume()
            assert [row.state for row in tsm.operations()] == ["done"] * (1 + rotated)
        else:
            return moments
        finally:
            tsm.close()
        _check_ended(centre, rotated=rotated)
        moments += 1


def _check_ended(centre: FakeCentre, *, rotated: bool) -> None:
    assert list(centre.card.keys) == [1]
    if rotated:
        assert centre.card.accounts == [(b"q1", account.uid) for account in ACCOUNTS]
        assert len(centre.card.effects) == 3
    else:
        assert centre.card.effects == ["put 1", "delete 48"]


def test_a_kill_anywhere_in_a_rotation_loses_nothing(make: Make) -> None:
    assert _killed_everywhere(make, lambda tsm: tsm.rotate_keys(SE), rotated=False) > 20


def test_a_kill_anywhere_in_a_personalization_loses_nothing(make: Make) -> None:
    assert _killed_everywhere(make, lambda tsm: tsm.personalize(SE, "payment", "q1", ACCOUNTS), rotated=True) > 15


def test_the_database_holds_no_key_and_no_account(make: Make, tmp_path: Path) -> None:
    tsm, centre = make()
    centre.kill = 14
    with pytest.raises(Killed):
        tsm.rotate_keys(SE)
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert TEMPORARY.enc not in held
    new = tsm._store.key_set(SE, SD, 1)
    assert new is not None
    assert new[:16] not in held
    assert new[:16].hex().encode() not in held
    centre.kill = None
    tsm.resume()
    tsm.personalize(SE, "payment", "q1", ACCOUNTS)
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert all(account.pan.encode() not in held and bytes.fromhex(account.pan) not in held for account in ACCOUNTS)
