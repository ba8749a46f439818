"""The OpenPGP application, command by command (OpenPGP card 3.4): access rules, wrong commands, power cuts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from openpgp_card import AID, CAP, MODULE, P256_OID, PW1, PW3
from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.errors import LinkTimeoutError
from opentsm_simulator import VirtualSe
from short_host import ShortHost, install_cap

if TYPE_CHECKING:
    from collections.abc import Callable

INSTANCE: Final = Aid.from_text(AID)
OPENPGP: Final = AID[:12]
CERTIFICATE, COUNTER, STATUS = "7F21", "007A", "00C4"
SIGNATURE, DECIPHERMENT, AUTHENTICATION = "B600", "B800", "A400"
DIGEST: Final = bytes(range(32))


class Person(ShortHost):
    """Whoever holds the card."""

    def verify(self, reference: int, password: str) -> int:
        return self.sw(f"002000{reference:02X}", password.encode())

    def unlock(self) -> None:
        """Be the user in all, and the administrator."""
        assert [self.verify(0x81, PW1), self.verify(0x82, PW1), self.verify(0x83, PW3)] == [0x9000] * 3

    def read(self, tag: str) -> tuple[bytes, int]:
        return self.send(f"00CA{tag}")

    def write(self, tag: str, data: bytes | str) -> int:
        return self.sw(f"00DA{tag}", data)

    def make_elliptic(self) -> None:
        for number, algorithm in ((1, 0x13), (2, 0x12), (3, 0x13)):
            assert self.write(f"00C{number}", bytes((algorithm,)) + P256_OID) == 0x9000

    def generate(self, template: str) -> ec.EllipticCurvePublicKey:
        answer = self.done("00478000", template)
        assert self.done("00478100", template) == answer
        head = bytes.fromhex("7F49438641")
        assert answer.startswith(head)
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), answer[len(head) :])

    def tries(self) -> bytes:
        return self.done(f"00CA{STATUS}")[4:]


@pytest.fixture
def person(se: VirtualSe) -> Person:
    """Someone with a card as it is delivered, selected."""
    assert install_cap(se, CAP, MODULE, INSTANCE) == 0x9000
    holder = Person(se.link())
    holder.select(AID)
    return holder


@pytest.fixture
def equipped(person: Person) -> Person:
    """Someone whose card has elliptic keys and data, and who has given all passwords."""
    person.unlock()
    person.make_elliptic()
    for template in (SIGNATURE, DECIPHERMENT, AUTHENTICATION):
        person.generate(template)
    assert person.write("005B", b"Doe<<John") == 0x9000
    assert person.write(CERTIFICATE, bytes(300)) == 0x9000
    return person


def verifies(key: ec.EllipticCurvePublicKey, signature: bytes, digest: bytes = DIGEST) -> None:
    r, s = (int.from_bytes(part, "big") for part in (signature[:32], signature[32:]))
    assert len(signature) == 64
    key.verify(encode_dss_signature(r, s), digest, ec.ECDSA(Prehashed(hashes.SHA256())))


def test_it_says_what_it_is(person: Person) -> None:
    """4.4.1: identifier, historical bytes, capabilities, attributes, as hosts read them."""
    assert person.select(OPENPGP).hex().upper() == f"6F128410{AID}"
    (application,) = tlv.parse_all(person.done("00CA006E"))
    assert tlv.find(application.children(), 0x4F) == INSTANCE
    assert tlv.find(application.children(), 0x5F52) == bytes.fromhex("0031C073C00180059000")
    (discretionary,) = (each for each in application.children() if each.tag == 0x73)
    values = {each.tag: each.value for each in discretionary.children()}
    assert values[0xC0] == bytes.fromhex("5C0000FF080000FE0001")
    assert values[0xC1] == values[0xC2] == values[0xC3] == bytes.fromhex("010800002000")
    assert values[0xC4] == bytes.fromhex("00404040030003")
    assert (values[0xC5], values[0xC6], values[0xCD]) == (bytes(60), bytes(60), bytes(12))
    assert values[0xDE] == bytes.fromhex("010002000300")
    (algorithms,) = tlv.parse_all(person.done("00CA00FA"))
    assert [each.tag for each in algorithms.children()] == [0xC1, 0xC1, 0xC2, 0xC2, 0xC3, 0xC3]
    assert [each.value[0] for each in algorithms.children()] == [0x01, 0x13, 0x01, 0x12, 0x01, 0x13]
    assert person.done("00CA0065").hex().upper() == "65085B005F2D005F3500"


def test_passwords_count_for_their_uses(equipped: Person) -> None:
    """4.3.1, 4.3.2: 81 for signatures, 82 for all else, 83 for the administrator."""
    uses: dict[int, list[tuple[str, bytes | str]]] = {
        0x81: [("002A9E9A", DIGEST)],
        0x82: [("00880000", DIGEST), ("00DA0101", b"a"), ("00CA0103", b""), ("00DA0103", b"b")],
        0x83: [("00CA0104", b""), ("00DA0104", b"c"), ("00DA0102", b"d"), ("00DA005B", b"e"), ("00478000", SIGNATURE)],
    }
    for reference in uses:
        equipped.select(AID)
        assert equipped.verify(reference, PW3 if reference == 0x83 else PW1) == 0x9000
        for needed, commands in uses.items():
            answered = {equipped.sw(*command) for command in commands}
            assert answered == {0x9000 if needed == reference else 0x6982}
    assert [equipped.sw(f"00CA010{number}") for number in (1, 2)] == [0x9000] * 2
    assert equipped.sw("0020FF83") == 0x9000
    assert equipped.write("005B", b"") == 0x6982


def test_a_signature_takes_the_password_unless_it_lasts(equipped: Person) -> None:
    """4.4.3.4, 7.2.10; the counter of 4.4.3.2."""
    assert [equipped.sw("002A9E9A", DIGEST) for _ in range(2)] == [0x9000, 0x6982]
    assert equipped.write(STATUS, "01") == 0x9000
    assert equipped.verify(0x81, PW1) == 0x9000
    assert [equipped.sw("002A9E9A", DIGEST) for _ in range(300)] == [0x9000] * 300
    assert equipped.done(f"00CA{COUNTER}").hex() == f"7a059303{301:06x}"
    equipped.generate(SIGNATURE)
    assert equipped.done(f"00CA{COUNTER}").hex() == "7a059303000000"


def test_each_key_does_what_it_is_for(person: Person) -> None:
    person.unlock()
    person.make_elliptic()
    signer, receiver, client = (person.generate(each) for each in (SIGNATURE, DECIPHERMENT, AUTHENTICATION))
    verifies(signer, person.done("002A9E9A", DIGEST))
    verifies(client, person.done("00880000", DIGEST))
    verifies(client, person.done("00880000", b"\x01" * 20), bytes(12) + b"\x01" * 20)
    verifies(client, person.done("00880000", DIGEST * 2))
    other = ec.generate_private_key(ec.SECP256R1())
    point = other.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    cipher = tlv.encode(0xA6, tlv.encode(0x7F49, tlv.encode(0x86, point)))
    assert person.done("002A8086", cipher) == other.exchange(ec.ECDH(), receiver)
    # 7.2.18: the two may take each other's part.
    person.done("002241B8", "830103")
    assert person.done("002A8086", cipher) == other.exchange(ec.ECDH(), client)
    person.done("002241A4", "830102")
    verifies(receiver, person.done("00880000", DIGEST))
    person.done("002241B8", "830102")
    assert person.done("002A8086", cipher) == other.exchange(ec.ECDH(), receiver)


def test_other_attributes_take_the_key_away(equipped: Person) -> None:
    assert equipped.write("00C7", bytes(range(20))) == 0x9000
    assert equipped.write("00C1", b"\x13" + P256_OID) == 0x9000  # as they are
    assert equipped.sw("00478100", SIGNATURE) == 0x9000
    assert equipped.write("00C1", "010800002000") == 0x9000
    assert equipped.sw("00478100", SIGNATURE) == 0x6A88
    assert equipped.sw("002A9E9A", DIGEST) == 0x6A88
    assert bytes(range(20)) not in equipped.done("00CA006E")


def test_three_certificates_are_told_apart(person: Person) -> None:
    """7.2.5, 7.2.7: SELECT DATA, GET NEXT DATA; the authentication key's is the first."""
    person.unlock()
    contents = [bytes((number,)) * size for number, size in ((1, 2048), (2, 700), (3, 1))]
    for number, content in enumerate(contents):
        person.done(f"00A50{number}04", "60045C027F21")
        assert person.write(CERTIFICATE, content) == 0x9000
    person.done("00A50004", "60045C027F21")
    assert person.done(f"00CA{CERTIFICATE}") == contents[0]
    assert [person.done(f"00CC{CERTIFICATE}") for _ in range(2)] == contents[1:]
    assert person.sw(f"00CC{CERTIFICATE}") == 0x6A88
    person.select(AID)
    person.unlock()
    assert person.done(f"00CA{CERTIFICATE}") == contents[0]
    assert person.write(CERTIFICATE, bytes(2049)) == 0x6700
    assert person.write(CERTIFICATE, b"") == 0x9000
    assert person.read(CERTIFICATE) == (b"", 0x9000)


def test_passwords_are_counted_and_reset(person: Person) -> None:
    """7.2.2 to 7.2.4."""
    assert person.sw("00200082") == 0x63C3
    assert [person.verify(0x82, "wrong password") for _ in range(2)] == [0x6982] * 2
    assert person.tries().hex() == "010003"
    assert person.verify(0x81, PW1) == 0x9000
    assert (person.tries().hex(), person.sw("00200081"), person.sw("00200082")) == ("030003", 0x9000, 0x63C3)
    assert person.sw("00240081", (PW1 + "secret").encode()) == 0x9000
    assert person.sw("00200081") == 0x63C3  # the new one was not given yet
    assert [person.verify(0x81, password) for password in (PW1, "secret")] == [0x6982, 0x9000]
    assert person.sw("00240081", b"secret" + b"short") == 0x6700
    assert person.sw("00240083", (PW1 + PW3 * 2).encode()) == 0x6982
    assert person.sw("002C0081", b"a code." + b"public") == 0x6983  # there is no code
    assert person.sw("002C0281", b"public") == 0x6982
    assert person.verify(0x83, PW3) == 0x9000
    assert person.write("00D3", b"too few") == 0x6700
    assert person.write("00D3", b"the code") == 0x9000
    assert person.tries().hex() == "030303"
    assert [person.verify(0x81, PW1) for _ in range(4)] == [0x6982] * 3 + [0x6983]
    assert person.verify(0x81, "secret") == 0x6983
    assert person.sw("002C0081", b"the node" + b"public") == 0x6982
    assert person.tries().hex() == "000203"
    assert person.sw("002C0081", b"the code" + b"public") == 0x9000
    assert person.verify(0x82, "public") == 0x9000
    assert person.sw("002C0281", b"common") == 0x9000
    assert person.verify(0x82, "common") == 0x9000


@pytest.mark.parametrize(
    ("command", "data", "sw"),
    [
        ("00200084", "31", 0x6A88),
        ("00200181", "31", 0x6A86),
        ("00240082", "31" * 12, 0x6A86),
        ("00240081", "31" * 75, 0x6700),
        ("00CA7F00", "", 0x6A88),
        ("00DA00C5", "00", 0x6A88),
        ("00DA00C7", "00" * 19, 0x6700),
        ("00DA00CE", "00" * 5, 0x6700),
        ("00DA00C4", "02", 0x6A80),
        ("00DA00C1", "", 0x6A80),
        ("00DA00C1", "011000002000", 0x6A80),  # RSA 4096
        ("00DA00C1", "122A8648CE3D030107", 0x6A80),  # ECDH, to sign with
        ("00DA00C2", "132A8648CE3D030107", 0x6A80),
        ("00DA00C1", "132B81040022", 0x6A80),  # P-384
        ("00DA005B", "41" * 40, 0x6700),
        ("00DA0101", "41" * 255, 0x6700),
        ("00DB3FFF", "4D00", 0x6D00),
        ("00478000", "B900", 0x6A80),
        ("00478000", "", 0x6A80),
        ("00478200", "B600", 0x6A86),
        ("002A9E9B", "00" * 32, 0x6A86),
        ("002A9E9A", "", 0x6700),
        ("002A8086", "A600", 0x6A80),
        ("002A8086", "A6047F498600", 0x6A80),
        ("002A8086", "A6467F4943864104" + "01" * 64, 0x6A80),  # no point of the curve
        ("002A8086", "A6467F4981", 0x6A80),
        ("00880001", "00" * 32, 0x6A86),
        ("002241B8", "830101", 0x6A80),
        ("002241B6", "830102", 0x6A86),
        ("00A50304", "60045C027F21", 0x6A88),
        ("00A50004", "60045C025F50", 0x6A88),
        ("00A50004", "60045C03", 0x6A80),
        ("00B00000", "", 0x6D00),
        ("80CA004F", "", 0x6E00),
        ("0CCA004F", "", 0x6882),
    ],
)
def test_what_is_wrong_is_refused(equipped: Person, command: str, data: str, sw: int) -> None:
    assert equipped.sw(command, data) == sw


def test_rsa_without_padding_is_no_cipher_text(person: Person) -> None:
    person.unlock()
    person.done("00478000", DECIPHERMENT)
    assert person.sw("002A8086", b"\x00" + bytes(255) + b"\x02") == 0x6A80
    assert person.sw("002A8086", bytes(256)) == 0x6A80
    assert person.sw("00880000", bytes(103)) == 0x6A88
    person.done("00478000", AUTHENTICATION)
    assert [person.sw("00880000", bytes(length)) for length in (102, 103)] == [0x9000, 0x6700]


def test_a_chain_is_given_up_by_another_command(equipped: Person) -> None:
    part = bytes.fromhex("10DA7F21") + b"\xff" + bytes(255)
    assert equipped.link.transmit(part) == b"\x90\x00"
    assert equipped.sw("00CA005E") == 0x9000
    assert equipped.write(CERTIFICATE, b"alone") == 0x9000
    assert equipped.read(CERTIFICATE)[0] == b"alone"
    answers = [equipped.link.transmit(part)[-2:].hex() for _ in range(9)]
    assert answers == ["9000"] * 8 + ["6700"]
    assert equipped.read(CERTIFICATE)[0] == b"alone"


def test_terminated_it_can_only_be_made_new(equipped: Person) -> None:
    """7.2.16, 7.2.17: by the administrator, or when all passwords are blocked."""
    equipped.select(AID)
    assert equipped.sw("00E60000") == 0x6982
    for reference in (0x81, 0x83):
        for _ in range(3):
            equipped.verify(reference, "wrong password")
    assert equipped.sw("00E60000") == 0x9000
    assert equipped.sw("00A40400", AID) == 0x6285
    assert equipped.read("5F52") == (bytes.fromhex("0031C073C00180039000"), 0x9000)
    assert [equipped.sw(each) for each in ("00200081", "00478100", "00880000")] == [0x6985] * 3
    assert equipped.sw("00440000") == 0x9000
    equipped.select(AID)
    equipped.unlock()
    assert equipped.done("00CA0065").hex().upper() == "65085B005F2D005F3500"
    assert [equipped.sw("00478100", each) for each in (SIGNATURE, DECIPHERMENT, AUTHENTICATION)] == [0x6A88] * 3
    assert equipped.read(CERTIFICATE) == (b"", 0x9000)


def test_install_parameters(se: VirtualSe) -> None:
    """README: the first passwords; those that are none are refused, and nothing installed."""
    for wrong in ("81053132333435", "830731323334353637", "8141" + "31" * 65, "81"):
        other = VirtualSe.create("embedded")
        assert install_cap(other, CAP, MODULE, INSTANCE, bytes.fromhex(wrong)) == 0x6A80
        assert ShortHost(other.link()).sw("00A40400", AID) == 0x6A82
    given = tlv.encode(0x81, b"mine alone") + tlv.encode(0x83, b"the administrator's")
    assert install_cap(se, CAP, MODULE, INSTANCE, given) == 0x9000
    holder = Person(se.link())
    holder.select(AID)
    assert [holder.verify(0x81, "mine alone"), holder.verify(0x83, "the administrator's")] == [0x9000] * 2
    holder.done("00E60000")
    holder.done("00440000")
    holder.select(AID)
    assert holder.verify(0x81, "mine alone") == 0x9000


def state(person: Person) -> tuple[object, ...]:
    """Look at a card behind a reset: what it shows, its passwords, whether its key signs."""
    person.link.reset()
    _, selected = person.send("00A40400", AID)
    passwords = [person.verify(0x81, each) for each in ("another", PW1)]
    # Behind those: a try may have been counted that the cut kept from being given back.
    shown = [person.read(tag) for tag in ("006E", "0065", CERTIFICATE, COUNTER)]
    return (selected, *passwords, *shown, person.sw("002A9E9A", DIGEST))


@pytest.mark.parametrize("what", ["put", "change", "attributes", "generate", "sign"])
def test_power_is_cut_at_every_write(se: VirtualSe, equipped: Person, what: str) -> None:
    """What a command changes is as it was, or as it shall be."""
    commands: dict[str, Callable[[], object]] = {
        "put": lambda: equipped.write(CERTIFICATE, bytes(500)),
        "change": lambda: equipped.sw("00240081", (PW1 + "another").encode()),
        "attributes": lambda: equipped.write("00C3", "010800002000"),
        "generate": lambda: equipped.send("00478000", AUTHENTICATION),
        "sign": lambda: equipped.send("002A9E9A", DIGEST),
    }
    image = se.snapshot()
    before = state(equipped)
    found = [before]
    for at_write in range(1, 1000):
        se.restore(image)
        equipped.link = se.link()
        equipped.select(AID)
        equipped.unlock()
        se.cut_power(at_write=at_write)
        try:
            commands[what]()
        except LinkTimeoutError:
            found.append(state(equipped))
        else:
            se.cut_power(at_write=0)
            after = state(equipped)
            break
    assert len(found) > 1
    assert all(each in (before, after) for each in found)
    assert found[1] == before
    if what != "generate":
        assert before != after


def test_power_is_cut_at_every_write_of_the_activation(se: VirtualSe, equipped: Person) -> None:
    """It stays terminated until all of it is new."""
    equipped.done("00E60000")
    image = se.snapshot()
    terminated = 0
    for at_write in range(1, 1000):
        se.restore(image)
        equipped.link = se.link()
        equipped.send("00A40400", AID)
        se.cut_power(at_write=at_write)
        try:
            equipped.done("00440000")
        except LinkTimeoutError:
            equipped.link.reset()
            if equipped.sw("00A40400", AID) == 0x6285:
                terminated += 1
                equipped.done("00440000")
        else:
            se.cut_power(at_write=0)
            break
        equipped.link.reset()
        equipped.select(AID)
        equipped.unlock()
        assert equipped.sw("00478100", SIGNATURE) == 0x6A88
        assert equipped.read(CERTIFICATE) == (b"", 0x9000)
    assert terminated > 10
