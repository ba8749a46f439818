"""S16 and every key length of SCP03, judged by another implementation's sessions and by Amendment D written anew.

`Plain` is SCP03 as the document says it, without anything of ours and nothing kept between steps.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.external_authenticate import SecurityLevel
from opentsm_card.keys import KeySet
from opentsm_card.scp03 import Scp03Session

SESSIONS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "scp03-s16-dialogues.json").read_text(encoding="utf-8")
)["sessions"]
dialogue = pytest.mark.parametrize("vector", SESSIONS, ids=lambda vector: vector["name"])


class Plain:
    """A session as Amendment D 1.2 describes it.

    Args:
        keys: Key-ENC and Key-MAC.
        challenges: host's and card's.
        size: 8 (S8) or 16 (S16).
    """

    def __init__(self, keys: tuple[bytes, bytes], challenges: bytes, size: int) -> None:
        enc, mac = keys
        self.size = size
        self.challenges = challenges
        self.enc = self.derive(enc, 0x04, len(enc))
        self.mac = self.derive(mac, 0x06, len(mac))
        self.rmac = self.derive(mac, 0x07, len(mac))
        self.chain = bytes(16)
        self.counter = 0

    def derive(self, key: bytes, constant: int, length: int) -> bytes:
        """4.1.5: label, separation indicator 00, length in bits, counter, context."""
        derived = b""
        for counter in (1, 2):
            label = bytes(11) + bytes([constant])
            derived += self.cmac(
                key, label + b"\0" + (8 * length).to_bytes(2, "big") + bytes([counter]) + self.challenges
            )
        return derived[:length]

    @staticmethod
    def cmac(key: bytes, message: bytes) -> bytes:
        context = CMAC(algorithms.AES(key))
        context.update(message)
        return context.finalize()

    def cryptogram(self, constant: int) -> bytes:
        return self.derive(self.mac, constant, self.size)

    def cbc(self, first: int) -> Cipher[modes.CBC]:
        """6.2.6, 6.2.7: the ICV is the encrypted counter, with 80 at its front for a response."""
        block = bytes([first]) + self.counter.to_bytes(15, "big")
        ecb = Cipher(algorithms.AES(self.enc), modes.ECB()).encryptor()  # noqa: S305 - one block, prescribed
        return Cipher(algorithms.AES(self.enc), modes.CBC(ecb.update(block) + ecb.finalize()))

    def command(self, header: bytes, data: bytes, *, encrypt: bool) -> bytes:
        """6.2.4, 6.2.6: encrypted data, then the MAC over chaining value, header, Lc, data."""
        if encrypt:
            self.counter += 1
            padded = data + b"\x80" + bytes(-(len(data) + 1) % 16)
            encryptor = self.cbc(0).encryptor()
            data = encryptor.update(padded) + encryptor.finalize()
        whole = header + bytes([len(data) + self.size]) + data
        self.chain = self.cmac(self.mac, self.chain + whole)
        return whole + self.chain[: self.size]

    def response(self, data: bytes, sw: bytes = b"\x90\0") -> bytes:
        """6.2.5, 6.2.7: the plain data of a response, its MAC checked."""
        encrypted, mac = data[: -self.size], data[-self.size :]
        assert self.cmac(self.rmac, self.chain + encrypted + sw)[: self.size] == mac
        decryptor = self.cbc(0x80).decryptor()
        padded = decryptor.update(encrypted) + decryptor.finalize()
        return padded[: padded.rindex(b"\x80")]


def fields(vector: dict[str, Any]) -> tuple[KeySet, bytes, bytes, int]:
    """Return keys, host challenge, answer, and 8 or 16."""
    enc, mac, dek = (bytes.fromhex(vector["keys"][name]) for name in ("enc", "mac", "dek"))
    challenge = CommandApdu.parse(bytes.fromhex(vector["initialize_update"]["command"])).data
    answer = bytes.fromhex(vector["initialize_update"]["response_data"])
    return KeySet(0, enc, mac, dek), challenge, answer, len(challenge)


@dialogue
def test_the_document_written_anew_agrees_with_the_sessions(vector: dict[str, Any]) -> None:
    keys, challenge, answer, size = fields(vector)
    session = Plain((keys.enc, keys.mac), challenge + answer[13 : 13 + size], size)
    assert session.cryptogram(0x00) == answer[13 + size : 13 + 2 * size]
    command = session.command(bytes.fromhex("84823300"), session.cryptogram(0x01), encrypt=False)
    assert command.hex() == vector["external_authenticate"]
    for exchange in vector["exchanges"]:
        plain = bytes.fromhex(exchange["plain_command"])
        wrapped = session.command(b"\x84" + plain[1:4], plain[5:], encrypt=True)
        assert wrapped.hex() == exchange["wrapped_command"]
        assert (
            session.response(bytes.fromhex(exchange["wrapped_response_data"])).hex() == exchange["plain_response_data"]
        )


@dialogue
def test_our_host_agrees_with_the_sessions(vector: dict[str, Any]) -> None:
    keys, challenge, answer, _ = fields(vector)
    session = Scp03Session.open(keys, challenge, answer)
    assert session.external_authenticate(SecurityLevel.ALL).encode().hex() == vector["external_authenticate"]
    for exchange in vector["exchanges"]:
        plain = CommandApdu.parse(bytes.fromhex(exchange["plain_command"]))
        assert session.wrap(plain).encode().hex() == exchange["wrapped_command"]
        response = ResponseApdu(bytes.fromhex(exchange["wrapped_response_data"]), int(exchange["status"], 16))
        assert session.unwrap(response).data.hex() == exchange["plain_response_data"]
