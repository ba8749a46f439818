"""`opentsm card` manages content: install, delete, lock, extradite, registry-update, personalize, terminate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from opentsm_card.errors import CardRemovedError
from opentsm_tools.demo.reader import PaymentReader
from sd_host import (
    BANK,
    CARD_1,
    CARD_2,
    ISD,
    ISD_KEYS,
    PAYMENT_MODULE,
    PAYMENT_PACKAGE,
    SD_MODULE,
    SD_PACKAGE,
    Host,
    block,
    keys,
    payment_parameters,
)

if TYPE_CHECKING:
    from pathlib import Path

    from card_cli import CardDoor
    from opentsm_card.link import Link
    from opentsm_simulator import VirtualSe

PARAMS = payment_parameters()[2:].hex()  # the value of C9
FROM_PAYMENT = ("--from", str(PAYMENT_PACKAGE), "--applet", str(PAYMENT_MODULE))


def look(se: VirtualSe) -> Host:
    return Host(se.link()).into(ISD, ISD_KEYS)


def test_an_instance_from_a_package_on_the_card(card: CardDoor, se: VirtualSe) -> None:
    done = card.json("install", *FROM_PAYMENT, "--aid", str(CARD_1), "--params", PARAMS)
    assert done["aid"] == str(CARD_1)
    assert look(se).state(CARD_1) == 0x07
    text = card("install", *FROM_PAYMENT, "--aid", str(CARD_2), "--params", PARAMS, "--not-selectable").out
    assert text == f"installed {CARD_2}\n"
    assert look(se).state(CARD_2) == 0x03
    told = card.refused(1, "install", *FROM_PAYMENT, "--aid", str(CARD_1), "--params", PARAMS)
    assert f"install of {CARD_1}" in told
    assert "the card answered 6" in told


def test_a_security_domain_of_its_own_with_privileges_by_name(card: CardDoor, se: VirtualSe) -> None:
    arguments = ("install", "--from", str(SD_PACKAGE), "--applet", str(SD_MODULE), "--aid", str(BANK))
    assert card(*arguments, "--privileges", "security-domain,trusted-path").code == 0
    entry = look(se).entry(BANK)
    assert entry is not None
    assert entry.privileges.encode().hex() == "808000"
    assert "no privilege 'king'" in card(*arguments, "--privileges", "king").err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("install",), 2, "CAP file or --from"),
        (("install", "--from", str(PAYMENT_PACKAGE)), 2, "--applet"),
        (("install", "/nowhere.cap"), 4, "/nowhere.cap"),
        (("delete", "00"), 2, "5 to 16 bytes"),
        (("delete", "F0F0F0F0F0"), 1, "6A88 (referenced data not found)"),
        (("lock",), 2, "either an AID or --card"),
        (("lock", str(CARD_1), "--card"), 2, "either an AID or --card"),
        (("lock", "F0F0F0F0F0"), 1, "lock F0F0F0F0F0"),
        (("registry-update", str(CARD_1)), 2, "nothing to change"),
        (("registry-update", str(CARD_1), "--implicit-selection", "8182"), 2, "one byte"),
        (("extradite", str(CARD_1), "--to", str(BANK)), 1, f"extradition of {CARD_1}"),
        (("personalize", "/nowhere.dgi"), 4, "/nowhere.dgi"),
        (("--security", "55", "list"), 4, "--security"),
        (("--key-version", "300", "list"), 2, "0 to 255"),
        (("--key-version", "0x31", "list"), 1, "INITIALIZE UPDATE"),
    ],
)
def test_what_is_refused_says_what_and_why(card: CardDoor, arguments: tuple[str, ...], code: int, says: str) -> None:
    answer = card(*arguments)
    assert answer.code == code, answer
    assert says in answer.err
    assert "Traceback" not in answer.err


def test_lock_unlock_and_delete(card: CardDoor, se: VirtualSe) -> None:
    look(se).new_payment(CARD_1)
    assert card("lock", str(CARD_1)).out == f"{CARD_1} is locked\n"
    assert look(se).state(CARD_1) == 0x87
    assert card("unlock", str(CARD_1)).code == 0
    assert look(se).state(CARD_1) == 0x07
    assert card.json("delete", str(CARD_1))["deleted"] == [{"aid": str(CARD_1), "receipt": "00"}]
    assert look(se).entry(CARD_1) is None


def test_a_domain_is_locked_with_its_applications(card: CardDoor, se: VirtualSe) -> None:
    host = look(se)
    host.new_domain(BANK)
    host.into(BANK, ISD_KEYS)
    host.put_keys(keys(0x31, 1)).require("PUT KEY")
    host.into(ISD, ISD_KEYS).new_payment(CARD_1)
    assert card("extradite", str(CARD_1), "--to", str(BANK)).out == f"{CARD_1} belongs to {BANK} now\n"
    assert card("lock", str(BANK), "--with-applications").code == 0
    assert (look(se).state(BANK), look(se).state(CARD_1)) == (0x8F, 0x87)
    assert card("unlock", str(BANK), "--with-applications").code == 0
    assert (look(se).state(BANK), look(se).state(CARD_1)) == (0x0F, 0x07)


def test_the_card_is_locked_and_still_managed(card: CardDoor) -> None:
    assert card("lock", "--card").code == 0
    assert card.json("list")["isd"]["state"] == "CARD_LOCKED"
    assert card("unlock", "--card").code == 0
    assert card.json("list")["isd"]["state"] == "SECURED"


def test_terminate_needs_the_identifier_of_this_card(card: CardDoor) -> None:
    identifier = card.json("list")["card"]
    assert f"--yes-card={identifier}" in card.refused(1, "terminate")
    assert "this is card" in card.refused(1, "terminate", "--yes-card", "4F54000100000000FFFF")
    assert card.json("list")["isd"]["state"] == "SECURED"
    assert card("terminate", "--yes-card", identifier.lower()).out == f"card {identifier} is terminated\n"
    assert card("list").code == 1


def test_privileges_are_updated(card: CardDoor, se: VirtualSe) -> None:
    look(se).new_payment(CARD_1)
    assert card("registry-update", str(CARD_1), "--privileges", "global-service").code == 0
    entry = look(se).entry(CARD_1)
    assert entry is not None
    assert entry.privileges.encode().hex() == "000100"
    assert card("registry-update", str(CARD_1), "--privileges", "00").code == 0
    entry = look(se).entry(CARD_1)
    assert entry is not None
    assert entry.privileges.encode().hex() == "000000"


def test_personalize_from_text_and_binary(card: CardDoor, se: VirtualSe, tmp_path: Path) -> None:
    look(se).new_payment(CARD_1)
    pan = bytes.fromhex("5413330089010011")
    account = b"".join(
        bytes((*tag, len(value))) + value
        for tag, value in (
            (b"\xc0", b"debit"),
            (b"\xc1", b"\x01" * 16),
            (b"\x5a", pan),
            (b"\x5f\x24", bytes.fromhex("301231")),
            (b"\x50", b"Card"),
        )
    )
    text = tmp_path / "account.dgi"
    text.write_text(f"# one command a line\n{block(1, 0x0201, account).hex()}  # its account\n")
    done = card.json("personalize", "--application", str(CARD_1), text)
    assert done["blocks"] == 1
    host = look(se)
    assert host.activate(CARD_1) == 0x9000
    records = PaymentReader(se.link("contactless")).pay(CARD_1)
    assert records is not None
    assert [record.pan for record in records] == [pan.hex()]
    text.write_text(block(2, 0x0103).hex())  # a data grouping that the applet does not know
    told = card.refused(1, "personalize", "--application", str(CARD_1), text)
    assert "STORE DATA, block 1 of 1: the card answered" in told
    binary = tmp_path / "data.tlv"
    binary.write_bytes(bytes.fromhex("4508") + b"\x80" * 8)
    assert card.json("personalize", "--format", "tlv", binary)["bytes"] == 10
    assert "80" * 8 in card("send", "80CA004500", keys=None).out


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"0101 05 00\n", "line 1: not DGI data"),
        (b"# nothing\n", "no data in it"),
        (b"", "no data in it"),
        (b"010\n", "odd number"),
        (b"\xff\xff\x05\x00", "not DGI data"),
    ],
)
def test_data_that_is_no_dgi_is_not_sent(card: CardDoor, tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "account.dgi"
    file.write_bytes(content)
    assert says in card.refused(4, "personalize", file)


class Cut:
    """A link that dies with the answer to an instruction."""

    def __init__(self, link: Link, instruction: int) -> None:
        self.link = link
        self.atr = link.reset()
        self.instruction = instruction

    def transmit(self, command: bytes) -> bytes:
        answer = self.link.transmit(command)
        if command[1] == self.instruction:
            raise CardRemovedError("reader: the card is gone")
        return answer

    def reset(self) -> bytes:
        return self.link.reset()

    def close(self) -> None:
        self.link.close()

    def __enter__(self) -> Cut:  # noqa: PYI034 - not subclassed
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def test_an_unknown_outcome_is_said_to_be_one(card: CardDoor, se: VirtualSe) -> None:
    look(se).new_payment(CARD_1)
    card.wrap = lambda link: Cut(link, 0xE4)
    told = card.refused(3, "delete", str(CARD_1))
    assert "DELETE was under way" in told
    assert "whether the card has run it is not known" in told
    card.wrap = lambda link: Cut(link, 0xF2)
    assert "not known" not in card.refused(3, "list")
    card.wrap = lambda link: link
    assert look(se).entry(CARD_1) is None
