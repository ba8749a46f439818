"""Commands that begin sessions and bring keys and certificates, broken anywhere: a status word, and never 6F00."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

import pytest

from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.put_key import KeyData, KeyDetails, KeyType, PutKey
from opentsm_card.scp11 import Variant
from opentsm_card.scp11_kdf import encode_point
from opentsm_card.scp11_store import KeyReference, store_allow_list, store_authority, store_certificates
from opentsm_card.store_data import DataStructure, StoreData
from scp11_host import AUTHORITY_VERSION, VERSION, Scp11Host, make, own_chain
from scp11_pki import chain
from sd_host import ISD, ISD_KEYS, Host

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS: Final = 400
NO_DIAGNOSIS: Final = 0x6F00


def broken(random: Random, data: bytes) -> bytes:
    """Break data in one to three places: bits, bytes, lengths; or cut it, or repeat a part."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(changed) or 1)
        match random.randrange(6):
            case 0 if changed:
                changed[at] ^= 1 << random.randrange(8)
            case 1 if changed:
                changed[at] = random.choice((0x00, 0x7F, 0x80, 0x81, 0x82, 0xFF))
            case 2:
                del changed[at:]
            case 3:
                del changed[at : at + random.randint(1, 4)]
            case 4:
                changed[at:at] = random.randbytes(random.randint(1, 4))
            case _:
                changed += changed[: random.randint(0, 8)]
    return bytes(changed[:250])


def sources(host: Scp11Host) -> list[Callable[[], CommandApdu]]:
    """Return what commands are made of before they are broken."""
    own = own_chain(host.authority, host.key)[0]
    x509 = chain().sent[0]
    der = x509.tbs_certificate_bytes[:200]
    return [
        lambda: CommandApdu(0x80, 0x2A, AUTHORITY_VERSION, 0x10, own, 256),
        lambda: CommandApdu(0x80, 0x2A, AUTHORITY_VERSION, 0x90, der, 256),
        lambda: host.agreement(Variant.A).authenticate(),
        lambda: host.agreement(Variant.B).authenticate(),
        lambda: host.agreement(Variant.C).authenticate(),
        lambda: CommandApdu(0x80, 0x50, 0x30, 0x00, bytes(8), 256),
        lambda: CommandApdu(0x84, 0x82, 0x33, 0x00, bytes(16)),
        lambda: CommandApdu(0x80, 0xCA, 0xBF, 0x21, bytes.fromhex("A60483021303"), 256),
    ]


@pytest.mark.parametrize("seed", range(1))
def test_commands_that_begin_sessions(seed: int) -> None:
    random = Random(seed)
    host = make()
    host.select()
    made = sources(host)
    for number in range(ROUNDS):
        command = random.choice(made)()
        p1, p2 = (
            value ^ (1 << random.randrange(8) if random.random() < 0.1 else 0) for value in (command.p1, command.p2)
        )
        data = broken(random, command.data) if random.random() < 0.8 else command.data
        answer = host.plain(CommandApdu(command.cla, command.ins, p1, p2, data, command.ne))
        assert answer.sw != NO_DIAGNOSIS, f"seed {seed}, command {number}: {command!r} {data.hex()}"
    host.open(Variant.B)


@pytest.mark.parametrize("seed", range(1))
def test_keys_and_certificates(seed: int) -> None:
    random = Random(seed)
    made = make()
    isd = Host(made.link).into(ISD, ISD_KEYS)
    assert isd.session is not None
    encrypt = isd.session.encrypt_sensitive
    point = encode_point(made.authority.public_key())
    reference = KeyReference(0x13, VERSION)
    own = own_chain(made.authority, made.key)[0]
    aes = KeyData.aes(bytes(16), ISD_KEYS.dek)
    commands: list[PutKey | StoreData] = [
        PutKey(0, 0x40, 1, (KeyData.ecc_public(point),)),
        PutKey(0, 0x40, 1, (KeyData.ecc_private(bytes(31) + b"\x05", encrypt),)),
        PutKey(0, 0x40, 1, (KeyData.rsa_public(bytes(range(1, 129))),)),
        PutKey(0, 0x40, 1, (KeyData(KeyType.AES, aes.component, aes.check_value, (), KeyDetails(b"\x18", b"\x00")),)),
        PutKey(0, 0x41, 1, (aes, aes, aes)),
        StoreData(0, store_certificates(reference, [own]), last=True, structure=DataStructure.BER_TLV),
        StoreData(0, store_allow_list(KeyReference(0x10, AUTHORITY_VERSION), [b"\x01", b"\x02\x03"]), last=True),
        StoreData(0, store_authority(KeyReference(0x10, AUTHORITY_VERSION), b"authority"), last=True),
    ]
    for number in range(ROUNDS):
        command = random.choice(commands).apdu()
        data = broken(random, command.data)[:200]
        answer: ResponseApdu = isd.send(CommandApdu(command.cla, command.ins, command.p1, command.p2, data, command.ne))
        assert answer.sw != NO_DIAGNOSIS, f"seed {seed}, command {number}: {command!r} {data.hex()}"
    assert isd.send(CommandApdu(0x80, 0xCA, 0x00, 0xE0, ne=256)).data.startswith(b"\xe0")
    isd.into(ISD, ISD_KEYS)
