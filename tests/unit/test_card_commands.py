from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentsm_card import (
    delete,
    external_authenticate,
    get_data,
    get_status,
    initialize_update,
    install,
    load,
    manage_channel,
    select,
    set_status,
    store_data,
)
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu
from opentsm_card.commands import command_name, parse_command
from opentsm_card.errors import ProtocolError
from opentsm_card.install_parameters import InstallParameters
from opentsm_card.privileges import Privilege
from opentsm_card.tlv import Tlv

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "gp-commands.json").read_text(encoding="utf-8")
)["commands"]

MODULES = (
    delete, external_authenticate, get_data, get_status, initialize_update, install, load, manage_channel, select,
    set_status, store_data,
)  # fmt: skip
AID_FIELDS = {"load_file", "security_domain", "module", "application"}
ENUMS: dict[str, type] = {
    "scope": get_status.Scope,
    "status_type": set_status.StatusType,
    "structure": store_data.DataStructure,
    "privileges": Privilege,
    "level": external_authenticate.SecurityLevel,
}
APP = Aid.from_text("F06F70656E74736D0B000101")
SD = Aid.from_text("F06F70656E74736D0A0001")


def _field(name: str, value: object, command: str) -> object:
    if name in ENUMS:
        return ENUMS[name](value)
    if name == "tags":
        return tuple(value)  # type: ignore[arg-type] # a list in the vector
    if isinstance(value, str):
        content = bytes.fromhex(value)
        return Aid(content) if name in AID_FIELDS or (name == "aid" and command != "Select") else content
    return value


def _wanted(vector: dict[str, Any]) -> Any:
    kind = next(getattr(module, vector["class"]) for module in MODULES if hasattr(module, vector["class"]))
    return kind(**{name: _field(name, value, vector["class"]) for name, value in vector["fields"].items()})


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['class']}: {vector['note']}")
def test_command_vectors_encode_and_parse(vector: dict[str, Any]) -> None:
    wanted = _wanted(vector)
    encoded = bytes.fromhex(vector["command"])
    assert wanted.apdu().encode() == encoded
    parsed = parse_command(CommandApdu.parse(encoded))
    assert parsed == wanted
    assert type(parsed) is type(wanted)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['class']}: {vector['note']}")
def test_truncated_command_data_raises_protocol_errors_only(vector: dict[str, Any]) -> None:
    apdu = CommandApdu.parse(bytes.fromhex(vector["command"]))
    for end in range(len(apdu.data)):
        cut = CommandApdu(apdu.cla, apdu.ins, apdu.p1, apdu.p2, apdu.data[:end], apdu.ne)
        try:
            parsed = parse_command(cut)
        except ProtocolError:
            continue
        assert parsed.apdu().data in {cut.data, b""}  # taken as another valid command, or with no data of its own


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['class']}: {vector['note']}")
def test_no_command_takes_another_instruction(vector: dict[str, Any]) -> None:
    apdu = CommandApdu.parse(bytes.fromhex(vector["command"]))
    other = CommandApdu(apdu.cla, apdu.ins ^ 0x01, apdu.p1, apdu.p2, apdu.data, apdu.ne)
    with pytest.raises(ProtocolError):
        type(_wanted(vector)).parse(other)
    with pytest.raises(ProtocolError):
        parse_command(other)


def test_a_secured_command_is_not_parsed() -> None:
    with pytest.raises(ProtocolError, match="unwrap it first"):
        parse_command(CommandApdu(0x84, 0xE4, 0, 0, b"\x4f\x05abcde"))


@pytest.mark.parametrize(
    ("command", "place"),
    [
        ("80e602000504a0000001", "INSTALL [for load]"),
        ("80e6ff00", "P1 FF"),
        ("80e60e0000", "P1 0E"),
        ("80e61000" + "11" + "05a000000151" + "0101" + "05a000000152" + "000000", "an empty field expected"),
        ("80e40000054f00d2013000", "AID"),
        ("80e4000006d20130d2013100", "D2"),
        ("80f0410002aabb", "status type 41"),
        ("80f24004024f0000", "P2 04"),
        ("80f240020000"[:8], "4F"),
        ("80e2180001aa", "reserved"),
        ("8450300008" + "00" * 8, "secured"),
        ("8082330010" + "00" * 16, "EXTERNAL AUTHENTICATE"),
        ("8482070010" + "00" * 16, "07"),
        ("8050800008" + "00" * 8, "P1 80"),
        ("0070001400"[:8], "20"),
        ("00a4000002" + "3f00", "SELECT"),
        ("80aa0000", "AA"),
    ],
)
def test_errors_name_the_place(command: str, place: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_command(CommandApdu.parse(bytes.fromhex(command)))
    assert place.lower() in str(caught.value).lower()


def test_lists_of_everything_ask_for_associations() -> None:
    command = get_status.GetStatus.everything(get_status.Scope.APPLICATIONS)
    assert {0xC4, 0xCC, 0x9F70, 0xC5} <= set(command.tags)
    assert command.following().apdu().p2 == 0x03
    files = get_status.GetStatus.everything(get_status.Scope.LOAD_FILES_AND_MODULES)
    assert {0x84, 0xCE, 0xCC} <= set(files.tags)


def test_get_status_in_every_form() -> None:
    command = get_status.GetStatus(
        get_status.Scope.APPLICATIONS,
        b"\xa0",
        next=True,
        tags=(0x4F, 0x9F70),
        criteria=((0xC5, b"\x80"),),
        templates=False,
    )
    assert command.apdu().encode().hex() == "80f24001" + "0b" + "4f01a0" + "c50180" + "5c034f9f70" + "00"
    assert get_status.GetStatus.parse(command.apdu()) == command


def test_set_status_shorthands() -> None:
    assert set_status.SetStatus.lock(APP).apdu().header.hex() == "80f04080"
    assert set_status.SetStatus.unlock_all(SD).apdu().header.hex() == "80f06000"
    with pytest.raises(ProtocolError):
        set_status.SetStatus(set_status.StatusType.APPLICATION, 0x80).apdu()


def test_data_of_a_card_wide_set_status_is_ignored() -> None:
    parsed = set_status.SetStatus.parse(CommandApdu(0x80, 0xF0, 0x80, 0x7F, bytes.fromhex("A000000151000000")))
    assert parsed.aid is None
    assert parsed.state == 0x7F


def test_a_token_of_128_bytes_may_have_its_length_in_the_byte_80() -> None:
    whole = install.InstallForExtradition(SD, APP, token=b"\x77" * 128)
    apdu = whole.apdu()
    assert apdu.data.endswith(b"\x81\x80" + b"\x77" * 128)
    short = apdu.data.replace(b"\x81\x80", b"\x80")
    assert install.parse_install(CommandApdu(0x80, 0xE6, 0x10, 0, short, 256)) == whole


def test_make_selectable_ignores_what_older_hosts_put_into_empty_fields() -> None:
    data = bytes.fromhex("05a00000015105a000000152") + bytes((len(APP),)) + APP + bytes.fromhex("01000000")
    parsed = install.parse_install(CommandApdu(0x80, 0xE6, 0x08, 0, data))
    assert parsed == install.InstallForMakeSelectable(APP)


@given(st.integers(1, 300), st.integers(1, 255))
def test_a_split_install_is_whole_again(size: int, block: int) -> None:
    command = install.InstallForInstall(APP, APP, SD, parameters=bytes(size))
    pieces = install.split_install(command, block)
    assert b"".join(piece.data for piece in pieces) == command.apdu().data
    assert [bool(piece.p1 & 0x80) for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    assert {piece.p1 & 0x7F for piece in pieces} == {0x0C}
    assert all(len(piece.data) <= block for piece in pieces)


@pytest.mark.parametrize(
    ("parameters", "encoded"),
    [
        (InstallParameters(), "c900"),
        (InstallParameters(b"\x50\x01A"), "c903500141"),
        (
            InstallParameters(volatile_quota_bytes=256, nonvolatile_quota_bytes=40000),
            "c900ef0ac7020100c80400009c40",
        ),
        (InstallParameters(None, implicit_selection=0x41), "ef03cf0141"),
        (
            InstallParameters(b"", system=(Tlv(0xCB, b"\x01\x02"),), others=(Tlv(0xEA, b"\x80\x00"),)),
            "c900ef04cb020102ea028000",
        ),
    ],
)
def test_install_parameters(parameters: InstallParameters, encoded: str) -> None:
    assert parameters.encode().hex() == encoded
    assert InstallParameters.parse(bytes.fromhex(encoded)) == parameters


def test_a_quota_of_a_wrong_length_is_refused() -> None:
    with pytest.raises(ProtocolError, match="C8"):
        InstallParameters.parse(bytes.fromhex("c900ef05c803000100"))


def test_load_blocks_carry_the_whole_file() -> None:
    file = load.load_file(bytes(range(256)) * 4, (load.DapBlock(SD, b"sig"),))
    assert file[0] == 0xE2
    blocks = load.load_blocks(file, 239)
    assert b"".join(block.data for block in blocks) == file
    assert [block.block_number for block in blocks] == list(range(len(blocks)))
    assert [block.last for block in blocks] == [False] * (len(blocks) - 1) + [True]
    with pytest.raises(ProtocolError, match="256 at most"):
        load.load_blocks(bytes(257), 1)
    with pytest.raises(ProtocolError):
        load.load_blocks(b"", 239)


def test_store_data_chains_keep_length_fields_whole() -> None:
    dgis = store_data.encode_dgis((store_data.Dgi(0x0101, bytes(16)), store_data.Dgi(0x0201, bytes(300))))
    chain = store_data.store_data_chain(dgis, 223, structure=store_data.DataStructure.DGI)
    assert b"".join(block.data for block in chain) == dgis
    assert [block.apdu().p1 for block in chain] == [0x08, 0x88]
    assert [block.block_number for block in chain] == [0, 1]


def test_store_data_blocks_stay_whole() -> None:
    blocks = store_data.store_data_blocks((b"one", b"two"), structure=store_data.DataStructure.DGI)
    assert [(block.data, block.last) for block in blocks] == [(b"one", False), (b"two", True)]
    with pytest.raises(ProtocolError):
        store_data.store_data_blocks(())


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=600)), max_size=5))
def test_dgis_round_trip(items: list[tuple[int, bytes]]) -> None:
    dgis = tuple(store_data.Dgi(identifier, value) for identifier, value in items)
    assert store_data.parse_dgis(store_data.encode_dgis(dgis)) == dgis


def test_dgi_lengths_at_the_change_of_form() -> None:
    assert store_data.Dgi(0x0101, bytes(254)).encode()[:3].hex() == "0101fe"
    assert store_data.Dgi(0x0101, bytes(255)).encode()[:5].hex() == "0101ff00ff"


def test_the_initialize_update_answer_has_the_length_that_i_says() -> None:
    answer = initialize_update.InitializeUpdateAnswer(bytes(10), 0x30, 0x71, bytes(16), bytes(16), 5)
    assert len(answer.encode()) == 48
    assert initialize_update.InitializeUpdateAnswer.parse(answer.encode()) == answer
    for end in range(48):
        with pytest.raises(ProtocolError):
            initialize_update.InitializeUpdateAnswer.parse(answer.encode()[:end])
    with pytest.raises(ProtocolError, match="protocol 02"):
        initialize_update.InitializeUpdateAnswer.parse(bytes.fromhex("00" * 10 + "2002" + "00" * 16))


def test_command_names() -> None:
    assert command_name(0xE6) == "INSTALL"
    assert command_name(0x2A) == "INS 2A"


def test_stored_data_does_not_show() -> None:
    secret = b"\xde\xad\xbe\xef"
    for value in (store_data.StoreData(0, secret), store_data.Dgi(0x0101, secret)):
        assert "dead" not in repr(value).lower()
        assert str(secret) not in repr(value)
