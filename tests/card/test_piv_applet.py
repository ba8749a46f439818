"""The PIV card application, command by command (NIST SP 800-73-4): access rules, chains, wrong commands, power cuts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.errors import LinkTimeoutError
from opentsm_simulator import VirtualSe
from piv_card import AID, CAP, KEY, PIN, PUK, public_point
from sd_host import ISD, ISD_KEYS, Host
from short_host import ShortHost, install_cap

if TYPE_CHECKING:
    from collections.abc import Callable


INSTANCE: Final = Aid.from_text(AID)
MODULE: Final = Aid.from_text("F06F70656E74736D010701")
PRINTED, FINGERPRINTS, CHUID, SECURITY, CARD_CERTIFICATE = "5FC109", "5FC103", "5FC102", "5FC106", "5FC101"


def padded(pin: str) -> str:
    return pin.encode().ljust(8, b"\xff").hex()


def put(identifier: str, content: bytes) -> bytes:
    return tlv.encode(0x5C, bytes.fromhex(identifier)) + tlv.encode(0x53, content)


class Person(ShortHost):
    """Whoever holds the card."""

    def select(self, name: str = AID) -> bytes:
        return super().select(name)

    def verify(self, pin: str = PIN) -> int:
        return self.sw("00200080", padded(pin))

    def read(self, identifier: str) -> tuple[bytes, int]:
        return self.send("00CB3FFF", tlv.encode(0x5C, bytes.fromhex(identifier)))

    def write(self, identifier: str, content: bytes) -> int:
        return self.sw("00DB3FFF", put(identifier, content))

    def administer(self) -> None:
        """Authenticate by challenge and response (appendix A.1, external)."""
        challenge = self.done("0087039B", "7C028100")
        assert challenge[:4] == bytes.fromhex("7C0A8108")
        self.done("0087039B", bytes.fromhex("7C0A8208") + encrypt(challenge[4:]))

    def generate(self, slot: str) -> ec.EllipticCurvePublicKey:
        return public_point(self.done(f"004700{slot}", "AC03800111"))

    def sign(self, slot: str, digest: bytes = bytes(32)) -> tuple[bytes, int]:
        answer, sw = self.send(f"008711{slot}", tlv.encode(0x7C, b"\x82\x00" + tlv.encode(0x81, digest)))
        (template,) = tlv.parse_all(answer) or (None,)
        return (tlv.find(template.children(), 0x82) or b"" if template else b""), sw


def encrypt(block: bytes) -> bytes:
    encryptor = Cipher(TripleDES(KEY), modes.ECB()).encryptor()  # noqa: S305 - a single block
    return encryptor.update(block) + encryptor.finalize()


def install(se: VirtualSe, parameters: bytes = b"") -> int:
    return install_cap(se, CAP, MODULE, INSTANCE, parameters)


@pytest.fixture
def person(se: VirtualSe) -> Person:
    """Someone with a card as it is delivered, selected."""
    assert install(se) == 0x9000
    holder = Person(se.link())
    holder.select()
    return holder


@pytest.fixture
def equipped(person: Person) -> Person:
    """Someone whose card has keys and data; the administrator is still there."""
    person.administer()
    for slot in ("9A", "9C", "9D", "9E"):
        person.generate(slot)
    for identifier in (PRINTED, FINGERPRINTS, CHUID, SECURITY, CARD_CERTIFICATE):
        assert person.write(identifier, bytes.fromhex(identifier) * 100) == 0x9000
    return person


def test_it_says_what_it_is(person: Person) -> None:
    """Part 2 table 3: application and version, authority; part 1 3.3.2: the discovery object."""
    template = "6111" + "4F06000010000100" + "7907" + "4F05A000000308"
    for name in (AID, AID[:18], AID[:10]):
        assert person.select(name).hex().upper() == template
    discovery, sw = person.read("7E")
    assert (discovery.hex().upper(), sw) == (f"7E124F0B{AID}5F2F024000", 0x9000)
    assert person.done("00FD0000") == bytes((1, 0, 0))


def test_selected_again_it_keeps_its_status(equipped: Person) -> None:
    """Part 2 3.1.1: selected again, or a name that is not there: unchanged. Another application: not satisfied."""
    assert equipped.verify() == 0x9000
    equipped.select(AID[:10])
    assert equipped.sw("00A40400", "A0000000790001") == 0x6A82
    assert equipped.sw("00200080") == 0x9000
    assert equipped.write(CHUID, b"new") == 0x9000
    equipped.select("A000000151000000")
    equipped.select()
    assert equipped.sw("00200080") == 0x63C3
    assert equipped.write(CHUID, b"newer") == 0x6982


def test_a_key_with_pin_always_wants_it_each_time(equipped: Person) -> None:
    """Part 2 3.2.4: verified immediately before, for one signature."""
    assert equipped.sign("9C")[1] == 0x6982
    assert equipped.verify() == 0x9000
    assert equipped.sign("9C")[1] == 0x9000
    assert equipped.sign("9C")[1] == 0x6982
    assert equipped.verify() == 0x9000
    equipped.read(CHUID)
    assert equipped.sign("9C")[1] == 0x6982
    for wrong in ("7C028200", "7D00"):
        assert equipped.verify() == 0x9000
        assert equipped.sw("0087119C", wrong) == 0x6A80
        assert equipped.sign("9C")[1] == 0x6982
    assert [equipped.sign(slot)[1] for slot in ("9A", "9D", "9E")] == [0x9000] * 3
    assert equipped.sw("0020FF80") == 0x9000  # the status is reset
    assert [equipped.sign(slot)[1] for slot in ("9A", "9C", "9D", "9E")] == [0x6982] * 3 + [0x9000]


def test_signatures_are_of_the_key_that_was_shown(person: Person) -> None:
    person.administer()
    keys = {slot: person.generate(slot) for slot in ("9A", "9D", "9E")}
    assert person.verify() == 0x9000
    digest = bytes(range(32))
    for slot, key in keys.items():
        signature, sw = person.sign(slot, digest)
        assert sw == 0x9000
        key.verify(signature, digest, ec.ECDSA(Prehashed(hashes.SHA256())))


def test_objects_are_read_by_their_rules(equipped: Person) -> None:
    """Part 1 table 2: free, or with the PIN."""
    assert [equipped.read(each)[1] for each in (PRINTED, FINGERPRINTS)] == [0x6982] * 2
    assert [equipped.read(each)[1] for each in (CHUID, SECURITY, CARD_CERTIFICATE)] == [0x9000] * 3
    assert equipped.verify() == 0x9000
    for each in (PRINTED, FINGERPRINTS, CHUID):
        assert equipped.read(each) == (tlv.encode(0x53, bytes.fromhex(each) * 100), 0x9000)
    assert equipped.read("5FC105") == (b"", 0x6A82)
    assert equipped.read("5FC17F") == (b"", 0x6A82)
    assert equipped.write(PRINTED, b"") == 0x9000
    assert equipped.read(PRINTED) == (b"", 0x6A82)


@pytest.mark.usefixtures("equipped")
def test_without_contacts_little_is_free(se: VirtualSe) -> None:
    """Part 1 tables 2 and 4b, no secure messaging: what identifies the card, and its own key."""
    assert Host(se.link()).into(ISD, ISD_KEYS).activate(INSTANCE) == 0x9000
    air = Person(se.link("contactless"))
    air.select()
    assert [air.read(each)[1] for each in (CHUID, CARD_CERTIFICATE, "7E")] == [0x9000] * 3
    assert [air.read(each)[1] for each in (SECURITY, PRINTED)] == [0x6982] * 2
    assert air.sign("9E")[1] == 0x9000
    assert air.sign("9A")[1] == 0x6982
    assert air.verify() == 0x6982
    assert [air.sw(each, "00" * 16) for each in ("00240080", "002C0080", "0047009A", "0087039B")] == [0x6982] * 3 + [
        0x6A80
    ]
    assert air.sw("0087039B", "7C028100") == 0x6982
    assert air.write(CHUID, b"new") == 0x6982


def test_a_challenge_counts_for_the_next_command(person: Person) -> None:
    def answer(*between: str) -> int:
        challenge = person.done("0087039B", "7C028100")[4:]
        for command in between:
            person.sw(command)
        return person.sw("0087039B", bytes.fromhex("7C0A8208") + encrypt(challenge))

    assert answer() == 0x9000
    assert answer("00FD0000") == 0x6982
    assert person.write(CHUID, b"new") == 0x6982  # what failed takes away what was
    assert person.sw("0087039B", bytes.fromhex("7C0A8208") + encrypt(bytes(8))) == 0x6982
    # A witness is answered by what it decrypts to, which is no challenge's answer.
    witness = person.done("0087039B", "7C028000")[4:]
    assert person.sw("0087039B", bytes.fromhex("7C0A8208") + encrypt(witness)) == 0x6982


def test_pins_are_counted_and_unblocked(person: Person) -> None:
    """Part 2 3.2.1 to 3.2.3."""
    assert [person.verify("000000") for _ in range(2)] == [0x63C2, 0x63C1]
    assert person.verify("00000") == 0x6A80  # what is no PIN costs no try
    assert person.verify("abcdef") == 0x6A80
    assert person.sw("00200080") == 0x63C1
    person.link.reset()
    person.select()
    assert person.verify() == 0x9000
    assert person.sw("00240080", padded(PIN) + padded("87654321")) == 0x9000
    assert person.sw("00240080", padded(PIN) + padded(PIN)) == 0x63C2
    assert person.sw("00200080") == 0x63C2  # no longer verified
    assert [person.verify() for _ in range(3)] == [0x63C1, 0x6983, 0x6983]
    assert person.verify("87654321") == 0x6983
    assert person.sw("002C0080", padded("00000000") + padded(PIN)) == 0x63C2
    assert person.sw("002C0080", padded(PUK) + padded("12")) == 0x6A80
    assert person.sw("002C0080", padded(PUK) + padded(PIN)) == 0x9000
    assert person.verify() == 0x9000
    assert person.sw("00240081", padded(PUK) + "FF" * 8) == 0x9000
    assert [person.sw("002C0080", padded(PUK) + padded(PIN)) for _ in range(3)] == [0x63C2, 0x63C1, 0x6983]
    assert person.sw("002C0080", "FF" * 8 + padded(PIN)) == 0x6983


@pytest.mark.parametrize(
    ("command", "data", "sw"),
    [
        ("00200000", "", 0x6A88),  # a global PIN: there is none
        ("00200180", padded(PIN), 0x6A86),
        ("00200080", padded(PIN)[:-2], 0x6700),
        ("00240080", padded(PIN), 0x6700),
        ("00CB3FFF", "", 0x6A80),
        ("00CB3FFF", "5C035FC1", 0x6A80),
        ("00CB3FFF", "5C83000001", 0x6A80),
        ("00CB3FFF", "5C82FFFF5FC102", 0x6A80),
        ("00CB3F00", "5C035FC102", 0x6A86),
        ("00DB3FFF", "5C035FC102", 0x6A80),
        ("00DB3FFF", "5C035FC102530100", 0x9000),
        ("00DB3FFF", "5C035FC1025302AA", 0x6A80),
        ("00DB3FFF", "5C035FC1025301AABB", 0x6A80),
        ("00DB3FFF", "5C035FC1025382FFFFAA", 0x6A80),
        ("00DB3FFF", "5C035FC100530100", 0x6A80),
        ("00DB3FFF", "5C017E530100", 0x6A80),
        ("0047009A", "AC03800114", 0x6A80),  # P-384
        ("0047009A", "AC0480020711", 0x6A80),
        ("0047009A", "AC00", 0x6A80),
        ("0047009B", "AC03800111", 0x6A86),
        ("0087119E", "7C048200" + "8100", 0x6A80),
        ("0087119E", "7C2281" + "20" + "00" * 32, 0x6A80),  # nothing is asked for
        ("0087079E", "7C2482008120" + "00" * 32, 0x6A86),  # the key is of another kind
        ("0087119E", "7C4582008541" + "04" + "01" * 64, 0x6A80),  # no point of the curve
        ("0087119A", "7C2482008120" + "00" * 32, 0x6A88),  # no key yet
        ("0087089B", "7C028100", 0x6A86),
        ("0087039B", "7C0A8107" + "00" * 7, 0x6A80),
        ("00B00000", "", 0x6D00),
        ("80CB3FFF", "5C035FC102", 0x6E00),
        ("0CCB3FFF", "5C035FC102", 0x6882),
    ],
)
def test_what_is_wrong_is_refused(person: Person, command: str, data: str, sw: int) -> None:
    person.administer()
    person.generate("9E")
    assert person.sw(command, data) == sw


def test_an_object_stays_until_all_of_the_next_has_come(equipped: Person) -> None:
    old = equipped.read(CHUID)
    whole = put(CHUID, bytes(400))
    first = b"\x10\xdb\x3f\xff\xc8" + whole[:200]
    rest = whole[200:]
    assert equipped.link.transmit(first) == b"\x90\x00"
    assert equipped.read(CHUID) == old
    assert equipped.sw("00DB3FFF", rest) == 0x6A80  # the chain was given up
    assert equipped.link.transmit(first) == b"\x90\x00"
    assert equipped.sw("00DB3FFF", rest[:-1]) == 0x6A80  # a byte is missing
    assert equipped.read(CHUID) == old
    assert equipped.link.transmit(first) == b"\x90\x00"
    assert equipped.sw("00DB3FFF", rest) == 0x9000
    assert equipped.read(CHUID)[0] == tlv.encode(0x53, bytes(400))
    assert equipped.sw("00DB3FFF", put(CHUID, bytes(32000))) == 0x9000
    assert equipped.read(CHUID)[0] == tlv.encode(0x53, bytes(32000))


def test_a_chain_that_failed_begins_anew(person: Person) -> None:
    whole = put(CHUID, bytes(400))
    first = b"\x10\xdb\x3f\xff\xc8" + whole[:200]
    assert [person.link.transmit(first).hex() for _ in range(2)] == ["6982"] * 2
    person.administer()
    assert person.link.transmit(first[:5] + bytes(200)).hex() == "6a80"
    assert person.link.transmit(first).hex() == "9000"
    assert person.sw("00DB3FFF", whole[200:]) == 0x9000
    part = bytes.fromhex("1087119E") + b"\xc8" + bytes(200)
    assert [person.link.transmit(part).hex() for _ in range(3)] == ["9000", "6700", "9000"]


def test_memory_of_what_was_replaced_comes_back(person: Person) -> None:
    """The card has a megabyte; this is more than four."""
    person.administer()
    for _ in range(150):
        assert person.write(CHUID, bytes(30000)) == 0x9000


def test_install_parameters(se: VirtualSe) -> None:
    """README: PIN, PUK, administration key; what is no such thing is refused, and nothing installed."""
    for wrong in ("80083132333435FFFFFF", "8007313233343536FF", "9B1103" + "00" * 16, "9B00", "80"):
        other = VirtualSe.create("embedded")
        assert install(other, bytes.fromhex(wrong)) == 0x6A80
        assert Person(other.link()).sw("00A40400", AID) == 0x6A82
    parameters = "8008" + padded("654321") + "8108" + padded("87654321") + "9B1108" + "AB" * 16
    assert install(se, bytes.fromhex(parameters)) == 0x9000
    holder = Person(se.link())
    holder.select()
    assert holder.verify("654321") == 0x9000
    assert holder.sw("002C0080", padded("87654321") + padded(PIN)) == 0x9000
    assert len(holder.done("0087089B", "7C028100")) == 4 + 16


def state(person: Person) -> tuple[bytes, bool, bool, int]:
    """Look at a card behind a reset: an object, whether the old PIN and the new are it, a signature's answer."""
    person.link.reset()
    person.select()
    was = person.verify("123456") == 0x9000
    now = person.verify("87654321") == 0x9000
    return person.read(CHUID)[0], was, now, person.sign("9E")[1]


@pytest.mark.parametrize("what", ["put", "change", "generate"])
def test_power_is_cut_at_every_write(se: VirtualSe, equipped: Person, what: str) -> None:
    """What a command changes is as it was, or as it shall be."""
    commands: dict[str, Callable[[], object]] = {
        "put": lambda: equipped.write(CHUID, bytes(300)),
        "change": lambda: equipped.sw("00240080", padded(PIN) + padded("87654321")),
        "generate": lambda: equipped.send("0047009E", "AC03800111"),
    }
    image = se.snapshot()
    before = state(equipped)
    found = [before]
    for at_write in range(1, 1000):
        se.restore(image)
        equipped.link = se.link()
        equipped.select()
        equipped.administer()
        se.cut_power(at_write=at_write)
        try:
            commands[what]()
        except LinkTimeoutError:
            found.append(state(equipped))
        else:
            se.cut_power(at_write=0)
            after = state(equipped)
            break
    assert len(found) > 2
    assert set(found) <= {before, after}
    assert found[1] == before
    if what != "generate":
        assert before != after


def test_a_card_image_has_its_keys(se: VirtualSe, equipped: Person) -> None:
    key = equipped.generate("9E").public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    other = Person(VirtualSe.from_image(se.snapshot()).link())
    other.select()
    signature, sw = other.sign("9E", bytes(32))
    assert sw == 0x9000
    shown = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
    shown.verify(signature, bytes(32), ec.ECDSA(Prehashed(hashes.SHA256())))
