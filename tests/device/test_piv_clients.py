"""OpenSC's tools and yubikit in front of the PIV card application, on a virtual SE behind pcscd and vpcd."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from ykman.pcsc import ScardSmartCardConnection
from yubikit.core import InvalidPinError, Version
from yubikit.core.smartcard import ApduError, SmartCardConnection
from yubikit.piv import KEY_TYPE, OBJECT_ID, SLOT, PivSession

from opentsm_card import tlv
from opentsm_simulator.profile import load_profile
from pcsc_bench import Bench, answers, connect
from piv_card import AID, CAP, KEY, PIN, PUK, certificate, public_point

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pcsc_rig import Pcscd, Slot

RSA_2048, P_256 = "07", "11"
AES_256: Final = bytes(range(32))
# How OpenSC numbers the keys.
IDS: Final = {"9A": "01", "9C": "02", "9D": "03", "9E": "04"}
MESSAGE: Final = b"a message of someone's"


class Card(Bench):
    """A PIV card in a reader, and OpenSC's tools."""

    def __init__(
        self,
        pcscd: Pcscd,
        slot: Slot,
        folder: Path,
        administrator: tuple[str, bytes] | None = None,
        profile_name: str = "embedded",
    ) -> None:
        profile = load_profile(profile_name)
        assert profile.firewall
        super().__init__(pcscd, slot, profile, PIV_EXT_AUTH_KEY=str(folder / "administrator"))
        self.folder = folder
        self.algorithm, key = administrator or ("03", KEY)
        (folder / "administrator").write_bytes(key)
        parameters = tlv.encode(0x9B, bytes.fromhex(self.algorithm) + key) if administrator else b""
        self.install(CAP, AID, *(("--params", parameters.hex()) if parameters else ()))

    def file(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def piv_tool(self, *words: str | Path, refused: str | None = None) -> str:
        return self.run("piv-tool", "--reader", self.reader, *words, refused=refused)

    def administer(self, *words: str | Path, refused: str | None = None) -> str:
        return self.piv_tool("--admin", f"M:9B:{self.algorithm}", *words, refused=refused)

    def write(self, *words: str | Path) -> None:
        """Bring a certificate or an object; piv-tool exits with the low byte of how much it wrote."""
        done = self.call("piv-tool", "--reader", self.reader, "--admin", f"M:9B:{self.algorithm}", *words)
        assert not done.stderr, done.stderr

    def pkcs15_tool(self, *words: str | Path, refused: str | None = None) -> str:
        return self.run("pkcs15-tool", "--reader", self.reader, *words, refused=refused)

    def pkcs11_tool(self, *words: str | Path, pin: str = PIN) -> str:
        return self.run("pkcs11-tool", "--slot-description", self.reader, "--login", "--pin", pin, *words)

    def generate(self, slot: str, algorithm: str) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
        # piv-tool 0.23 with OpenSSL 3 generates, but fails to write the public key: so by a command of ours.
        (answer,) = answers(self.administer("--send-apdu", f"004700{slot}05AC038001{algorithm}00"))
        assert answer[1] == 0x9000
        if algorithm == P_256:
            return public_point(answer[0])
        (template,) = tlv.parse_all(answer[0])
        assert template.tag == 0x7F49
        modulus, exponent = (int.from_bytes(tlv.find(template.children(), tag) or b"", "big") for tag in (0x81, 0x82))
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()

    def equip(self, slot: str, algorithm: str, extra: int = 0) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
        """Generate a key, and bring a certificate for it."""
        key = self.generate(slot, algorithm)
        given = self.file("certificate.pem", certificate(slot, key, extra).public_bytes(Encoding.PEM))
        self.write("--cert", slot, "--in", given)
        return key


@pytest.fixture
def card(pcscd: Pcscd, used_slot: Slot, tmp_path: Path) -> Card:
    return Card(pcscd, used_slot, tmp_path)


@pytest.mark.parametrize(
    ("administrator", "profile_name"),
    [(None, "embedded"), (("0C", AES_256), "uicc")],
    ids=["3DES, T=1", "AES-256, T=0"],
)
def test_piv_tool_personalizes(
    pcscd: Pcscd, used_slot: Slot, tmp_path: Path, administrator: tuple[str, bytes] | None, profile_name: str
) -> None:
    card = Card(pcscd, used_slot, tmp_path, administrator, profile_name)
    assert card.piv_tool("--name").strip() == "Personal Identity Verification Card"
    key = card.equip("9A", RSA_2048, extra=900)
    read = x509.load_pem_x509_certificate(card.pkcs15_tool("--read-certificate", IDS["9A"]).encode())
    assert read.public_bytes(Encoding.PEM) == (tmp_path / "certificate.pem").read_bytes()
    assert len(read.public_bytes(Encoding.DER)) > 1200  # several commands, several answers
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    shown = load_pem_public_key(card.pkcs15_tool("--read-public-key", IDS["9A"]).encode())
    assert shown.public_bytes(*spki) == key.public_bytes(*spki)
    # A second key takes the first one's place.
    assert card.generate("9A", RSA_2048).public_bytes(*spki) != key.public_bytes(*spki)

    chuid = tlv.encode(0x53, tlv.encode(0x34, bytes(range(16))) + tlv.encode(0xFE, b""))
    card.write("--object", "3000", "--in", card.file("chuid", chuid))
    assert chuid.hex() in card.pkcs15_tool("--dump").replace(" ", "").lower()

    # Nobody else does: when the card has lost its power, without the key; with another.
    connect(card.reader)
    (answer,) = answers(card.piv_tool("--send-apdu", "0047009A05AC0380011100"))
    assert answer == (b"", 0x6982)
    (tmp_path / "administrator").write_bytes(bytes((tmp_path / "administrator").stat().st_size))
    failed = card.call("piv-tool", "--reader", card.reader, "--admin", f"M:9B:{card.algorithm}")
    assert failed.returncode != 0
    assert "admin_mode failed" in failed.stderr


def test_pkcs11_tool_signs_deciphers_and_agrees(card: Card) -> None:
    message = card.file("message", MESSAGE)
    out = card.folder / "out"
    keys = {slot: card.equip(slot, algorithm) for slot, algorithm in (("9A", RSA_2048), ("9C", P_256), ("9D", P_256))}

    authentication = keys["9A"]
    assert isinstance(authentication, rsa.RSAPublicKey)
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    for mechanism, scheme in (("SHA256-RSA-PKCS", padding.PKCS1v15()), ("SHA256-RSA-PKCS-PSS", pss)):
        card.pkcs11_tool("--sign", "-m", mechanism, "--id", IDS["9A"], "-i", message, "-o", out)
        authentication.verify(out.read_bytes(), MESSAGE, scheme, hashes.SHA256())
        with pytest.raises(InvalidSignature):
            authentication.verify(out.read_bytes(), MESSAGE + b".", scheme, hashes.SHA256())
    secret = card.file("secret", authentication.encrypt(b"a secret", padding.PKCS1v15()))
    card.pkcs11_tool("--decrypt", "-m", "RSA-PKCS", "--id", IDS["9A"], "-i", secret, "-o", out)
    assert out.read_bytes() == b"a secret"

    # The signature key wants the PIN each time; pkcs11-tool gives it anew.
    signature = keys["9C"]
    assert isinstance(signature, ec.EllipticCurvePublicKey)
    for digest in (hashes.SHA1(), hashes.SHA256(), hashes.SHA384()):  # shorter than the curve, as long, longer  # noqa: S303
        mechanism = f"ECDSA-{digest.name.upper()}"
        card.pkcs11_tool("--sign", "-m", mechanism, "--id", IDS["9C"], "-i", message, "-o", out)
        r, s = (int.from_bytes(out.read_bytes()[part], "big") for part in (slice(32), slice(32, 64)))
        signature.verify(encode_dss_signature(r, s), MESSAGE, ec.ECDSA(digest))

    management = keys["9D"]
    assert isinstance(management, ec.EllipticCurvePublicKey)
    other = ec.generate_private_key(ec.SECP256R1())
    point = card.file("point", other.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    card.pkcs11_tool("--derive", "-m", "ECDH1-COFACTOR-DERIVE", "--id", IDS["9D"], "-i", point, "-o", out)
    assert out.read_bytes() == other.exchange(ec.ECDH(), management)


def test_pkcs11_tool_tests_a_card(card: Card) -> None:
    """Its own test: random numbers, RSA signatures of every kind, verified; deciphering."""
    for slot in ("9A", "9C", "9D"):
        card.equip(slot, RSA_2048)
    told = card.pkcs11_tool("--test")
    assert re.search(r"^No errors$", told, re.MULTILINE), told
    assert len(re.findall(r"SHA256-RSA-PKCS: OK", told)) >= 1
    assert "seems to be OK" in told


def test_wrong_pins_are_counted(card: Card) -> None:
    def verify(pin: str, refused: str | None = None) -> None:
        card.pkcs15_tool("--verify-pin", "--auth-id", "01", "--pin", pin, refused=refused)

    verify(PIN)
    verify("111111", refused="PIN code or key incorrect")
    (answer,) = answers(card.piv_tool("--send-apdu", "00200080"))
    assert answer == (b"", 0x63C2)
    verify(PIN)
    (answer,) = answers(card.piv_tool("--send-apdu", "00200080"))
    assert answer == (b"", 0x9000)  # as long as the card has power, and nothing else is selected
    connect(card.reader)
    (answer,) = answers(card.piv_tool("--send-apdu", "00200080"))
    assert answer == (b"", 0x63C3)
    change = ("--change-pin", "--auth-id", "01", "--pin")
    card.pkcs15_tool(*change, "222222", "--new-pin", "87654321", refused="PIN code incorrect; tries left: 2")
    card.pkcs15_tool(*change, PIN, "--new-pin", "87654321")
    verify("87654321")
    for _ in range(2):
        verify(PIN, refused="PIN code or key incorrect")
    verify(PIN, refused="Authentication method blocked")
    verify("87654321", refused="Authentication method blocked")
    unblock = ("--unblock-pin", "--auth-id", "01", "--new-pin", PIN, "--puk")
    card.pkcs15_tool(*unblock, "00000000", refused="PUK code incorrect; tries left: 2")
    card.pkcs15_tool(*unblock, PUK)
    verify(PIN)


@pytest.fixture
def session(card: Card) -> Iterator[PivSession]:
    connection: SmartCardConnection = ScardSmartCardConnection(connect(card.reader).createConnection())  # type: ignore[no-untyped-call]
    yield PivSession(connection)
    connection.close()


def test_yubikit_uses_the_card(session: PivSession) -> None:
    assert session.version == Version(1, 0, 0)  # the application's own: it is no YubiKey
    with pytest.raises(ApduError, match="6982"):
        session.generate_key(SLOT.AUTHENTICATION, KEY_TYPE.RSA2048)
    session.authenticate(KEY)
    authentication = session.generate_key(SLOT.AUTHENTICATION, KEY_TYPE.RSA2048)
    management = session.generate_key(SLOT.KEY_MANAGEMENT, KEY_TYPE.ECCP256)
    assert isinstance(authentication, rsa.RSAPublicKey)
    assert isinstance(management, ec.EllipticCurvePublicKey)
    given = certificate("someone", authentication, extra=1000)
    session.put_certificate(SLOT.AUTHENTICATION, given)
    assert session.get_certificate(SLOT.AUTHENTICATION) == given
    session.put_object(OBJECT_ID.PRINTED, b"printed")
    with pytest.raises(ApduError, match="6982"):
        session.get_object(OBJECT_ID.PRINTED)
    with pytest.raises(ApduError, match="6982"):
        session.sign(SLOT.AUTHENTICATION, KEY_TYPE.RSA2048, MESSAGE, hashes.SHA256(), padding.PKCS1v15())

    with pytest.raises(InvalidPinError) as refused:
        session.verify_pin("000000")
    assert refused.value.attempts_remaining == 2
    session.verify_pin(PIN)
    assert session.get_object(OBJECT_ID.PRINTED) == b"printed"
    signed = session.sign(SLOT.AUTHENTICATION, KEY_TYPE.RSA2048, MESSAGE, hashes.SHA256(), padding.PKCS1v15())
    authentication.verify(signed, MESSAGE, padding.PKCS1v15(), hashes.SHA256())
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    sealed = authentication.encrypt(b"a secret", oaep)
    assert session.decrypt(SLOT.AUTHENTICATION, sealed, oaep) == b"a secret"
    other = ec.generate_private_key(ec.SECP256R1())
    secret = session.calculate_secret(SLOT.KEY_MANAGEMENT, other.public_key())
    assert secret == other.exchange(ec.ECDH(), management)

    session.delete_certificate(SLOT.AUTHENTICATION)
    with pytest.raises(ApduError, match="6a82"):
        session.get_certificate(SLOT.AUTHENTICATION)
    session.change_pin(PIN, "7654321")
    session.unblock_pin(PUK, "123123")
    session.verify_pin("123123")
