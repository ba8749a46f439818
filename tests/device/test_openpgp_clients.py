"""OpenSC's tools, GnuPG and yubikit in front of the OpenPGP application, on a virtual SE behind pcscd and vpcd."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key
from ykman.pcsc import ScardSmartCardConnection
from yubikit.core import InvalidPinError, Version
from yubikit.core.smartcard import ApduError, SmartCardConnection
from yubikit.openpgp import CRT, KEY_REF, KEY_STATUS, OID, PIN_POLICY, RSA_SIZE, EcAttributes, OpenPgpSession

from openpgp_card import AID, CAP, PW1, PW3
from opentsm_simulator.profile import load_profile
from pcsc_bench import Bench, connect
from piv_card import certificate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pcsc_rig import Pcscd, Slot

MESSAGE: Final = b"a message of someone's"
SIGNING, OTHERS = "OpenPGP card (User PIN (sig))", "OpenPGP card (User PIN)"


class Card(Bench):
    """An OpenPGP card in a reader, and OpenSC's tools."""

    def __init__(self, pcscd: Pcscd, slot: Slot, folder: Path, profile_name: str) -> None:
        profile = load_profile(profile_name)
        assert profile.firewall
        super().__init__(pcscd, slot, profile)
        self.folder = folder
        self.install(CAP, AID)

    def file(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def openpgp_tool(self, *words: str, refused: str | None = None) -> str:
        return self.run("openpgp-tool", "--reader", self.reader, *words, refused=refused)

    def pkcs15_tool(self, *words: str | Path, refused: str | None = None) -> str:
        return self.run("pkcs15-tool", "--reader", self.reader, *words, refused=refused)

    def pkcs11_tool(self, token: str, *words: str | Path) -> str:
        return self.run("pkcs11-tool", "--token-label", token, "--login", "--pin", PW1, *words)

    def generate(self, number: int) -> str:
        """Generate an RSA key; return the fingerprint that the tool made and stored."""
        told = self.openpgp_tool("--verify", "CHV3", "--pin", PW3, "--gen-key", str(number))
        return re.sub(r"\s", "", told.split("Fingerprint:")[1]).lower()

    def public_key(self, number: int) -> rsa.RSAPublicKey:
        key = load_pem_public_key(self.pkcs15_tool("--read-public-key", str(number)).encode())
        assert isinstance(key, rsa.RSAPublicKey)
        return key

    def tries(self) -> list[str]:
        """Return how many tries the user's password has left, in both its uses, and the administrator's."""
        return re.findall(r"Tries left *: (\d)", self.pkcs15_tool("--list-pins"))


@pytest.fixture
def card(request: pytest.FixtureRequest, pcscd: Pcscd, used_slot: Slot, tmp_path: Path) -> Card:
    return Card(pcscd, used_slot, tmp_path, getattr(request, "param", "embedded"))


def test_openpgp_tool_generates_keys_and_erases(card: Card) -> None:
    assert card.run("opensc-tool", "--reader", card.reader, "--name").strip() == "OpenPGP card v3.4 (0000 00002026)"
    made = [card.generate(number) for number in (1, 2, 3)]
    shown = card.openpgp_tool("--key-info").replace(":", "")
    listed = dict(re.findall(r"(Sig|Dec|Aut) Fingerprint +([0-9a-f]{40})", shown))
    assert [listed[use] for use in ("Sig", "Dec", "Aut")] == made
    keys = [card.public_key(number).public_numbers().n for number in (1, 2, 3)]
    assert len(set(keys)) == 3
    assert card.generate(1) not in made
    assert card.public_key(1).public_numbers().n not in keys
    refused = card.call("openpgp-tool", "--reader", card.reader, "--verify", "CHV3", "--pin", "87654321", "-G", "1")
    assert refused.returncode != 0
    assert card.tries() == ["3", "3", "2"]

    card.openpgp_tool("--erase")
    assert set(re.findall(r"Fingerprint:((?: ?[0:])+)$", card.openpgp_tool("--key-info"), re.MULTILINE)) != set()
    assert not re.search(r"Fingerprint:.*[1-9a-f]", card.openpgp_tool("--key-info"))
    card.pkcs15_tool("--read-public-key", "1", refused="Public key with ID '1' not found.")
    assert card.tries() == ["3", "3", "3"]


@pytest.mark.parametrize("card", ["embedded", "uicc"], indirect=True, ids=["T=1", "T=0"])
def test_opensc_signs_and_deciphers(card: Card) -> None:
    for number in (1, 2, 3):
        card.generate(number)
    message, out = card.file("message", MESSAGE), card.folder / "out"
    for token, number in ((SIGNING, 1), (OTHERS, 3)):
        card.pkcs11_tool(token, "--sign", "-m", "SHA256-RSA-PKCS", "--id", f"0{number}", "-i", message, "-o", out)
        key = card.public_key(number)
        key.verify(out.read_bytes(), MESSAGE, padding.PKCS1v15(), hashes.SHA256())
        with pytest.raises(InvalidSignature):
            key.verify(out.read_bytes(), MESSAGE + b".", padding.PKCS1v15(), hashes.SHA256())
    secret = card.file("secret", card.public_key(2).encrypt(b"a secret", padding.PKCS1v15()))
    card.pkcs11_tool(OTHERS, "--decrypt", "-m", "RSA-PKCS", "--id", "02", "-i", secret, "-o", out)
    assert out.read_bytes() == b"a secret"
    out.unlink()
    given = ("--key", "2", "--pin", PW1, "--pkcs1", "--input", secret, "--output", out, "--raw")
    card.run("pkcs15-crypt", "--reader", card.reader, "--decipher", *given)
    assert out.read_bytes() == b"a secret"


def test_pkcs11_tool_tests_a_card(card: Card) -> None:
    """Its own test: random numbers, signatures, verified; deciphering, by the authentication key also."""
    for number in (1, 2, 3):
        card.generate(number)
    told = card.pkcs11_tool(OTHERS, "--test")
    assert re.search(r"^No errors$", told, re.MULTILINE), told
    assert len(re.findall(r"RSA-PKCS: OK", told)) > 5


def test_pkcs15_init_brings_a_certificate(card: Card) -> None:
    card.generate(3)
    given = certificate("someone", card.public_key(3), extra=900)
    path = card.file("certificate.pem", given.public_bytes(Encoding.PEM))
    words = ("--id", "3", "--auth-id", "3", "--pin", PW3, "--verify-pin")
    card.run("pkcs15-init", "--reader", card.reader, "--store-certificate", path, *words)
    connect(card.reader)
    read = card.pkcs15_tool("--read-certificate", "3")
    assert x509.load_pem_x509_certificate(read.encode()) == given
    assert len(given.public_bytes(Encoding.DER)) > 1200


def test_wrong_passwords_are_counted(card: Card) -> None:
    def verify(which: str, password: str, refused: str | None = None) -> None:
        card.pkcs15_tool("--verify-pin", "--auth-id", which, "--pin", password, refused=refused)

    wrong, blocked = "Security status not satisfied", "Authentication method blocked"
    verify("02", "000000", wrong)
    assert card.tries() == ["2", "2", "3"]
    verify("01", PW1)
    assert card.tries() == ["3", "3", "3"]
    card.pkcs15_tool("--change-pin", "--auth-id", "02", "--pin", PW1, "--new-pin", "a phrase of someone")
    verify("02", "a phrase of someone")
    verify("02", PW1, wrong)
    card.pkcs15_tool("--change-pin", "--auth-id", "03", "--pin", PW3, "--new-pin", "another phrase")
    for _ in range(2):
        verify("02", PW1, wrong)
    verify("02", "a phrase of someone", blocked)
    assert card.tries() == ["0", "0", "3"]


@pytest.fixture
def session(card: Card) -> Iterator[Any]:  # much of it has no types
    connection: SmartCardConnection = ScardSmartCardConnection(connect(card.reader).createConnection())  # type: ignore[no-untyped-call]
    yield OpenPgpSession(connection)
    connection.close()


def test_yubikit_generates_and_uses_keys(session: Any) -> None:
    assert session.version == Version(1, 0, 0)  # the application's own: it is no YubiKey
    assert (session.aid.version, session.aid.manufacturer, session.aid.serial) == ((3, 4), 0, 2026)
    assert len({session.get_challenge(64) for _ in range(4)}) == 4
    with pytest.raises(ApduError, match="6982"):
        session.generate_rsa_key(KEY_REF.SIG, RSA_SIZE.RSA2048)
    with pytest.raises(InvalidPinError) as refused:
        session.verify_admin("87654321")
    assert refused.value.attempts_remaining == 2
    session.verify_admin(PW3)
    keys = {ref: session.generate_rsa_key(ref, RSA_SIZE.RSA2048) for ref in (KEY_REF.SIG, KEY_REF.DEC, KEY_REF.AUT)}
    assert session.get_key_information() == dict.fromkeys(keys, KEY_STATUS.GENERATED)
    session.set_fingerprint(KEY_REF.DEC, bytes(range(20)))
    session.set_generation_time(KEY_REF.DEC, 1_900_000_000)
    assert session.get_fingerprints()[KEY_REF.DEC] == bytes(range(20))
    assert session.get_generation_times()[KEY_REF.DEC] == 1_900_000_000

    session.verify_pin(PW1)
    signed = session.sign(MESSAGE, hashes.SHA256())
    keys[KEY_REF.SIG].verify(signed, MESSAGE, padding.PKCS1v15(), hashes.SHA256())
    with pytest.raises(ApduError, match="6982"):  # the password counted for one
        session.sign(MESSAGE, hashes.SHA256())
    session.set_signature_pin_policy(PIN_POLICY.ONCE)
    session.verify_pin(PW1)
    assert session.sign(MESSAGE, hashes.SHA256()) == session.sign(MESSAGE, hashes.SHA256())
    assert session.get_signature_counter() == 3
    with pytest.raises(ApduError, match="6982"):
        session.authenticate(MESSAGE, hashes.SHA256())
    session.verify_pin(PW1, extended=True)
    keys[KEY_REF.AUT].verify(
        session.authenticate(MESSAGE, hashes.SHA512()), MESSAGE, padding.PKCS1v15(), hashes.SHA512()
    )
    assert session.decrypt(keys[KEY_REF.DEC].encrypt(b"a secret", padding.PKCS1v15())) == b"a secret"
    assert session.get_public_key(KEY_REF.DEC).public_numbers() == keys[KEY_REF.DEC].public_numbers()

    given = certificate("someone", keys[KEY_REF.AUT], extra=1000)
    session.put_certificate(KEY_REF.AUT, given)
    assert session.get_certificate(KEY_REF.AUT) == given


def test_yubikit_uses_elliptic_keys(session: Any) -> None:
    session.verify_admin(PW3)
    session.set_signature_pin_policy(PIN_POLICY.ONCE)
    # yubikit generates none on what is not a later YubiKey, but uses them.
    for ref in (KEY_REF.SIG, KEY_REF.DEC):
        session.put_data(ref.algorithm_attributes_do, EcAttributes.create(ref, OID.SECP256R1))
        session.protocol.send_apdu(0, 0x47, 0x80, 0, CRT[ref.name])
    signer, receiver = (session.get_public_key(ref) for ref in (KEY_REF.SIG, KEY_REF.DEC))
    assert isinstance(signer, ec.EllipticCurvePublicKey)
    assert isinstance(receiver, ec.EllipticCurvePublicKey)
    session.verify_pin(PW1)
    session.verify_pin(PW1, extended=True)
    signer.verify(session.sign(MESSAGE, hashes.SHA256()), MESSAGE, ec.ECDSA(hashes.SHA256()))
    other = ec.generate_private_key(ec.SECP256R1())
    assert session.decrypt(other.public_key()) == other.exchange(ec.ECDH(), receiver)


def test_yubikit_changes_and_resets_passwords(session: Any) -> None:
    session.verify_admin(PW3)
    session.set_reset_code("a code to reset")
    for attempts in (2, 1, 0):
        with pytest.raises(InvalidPinError) as refused:
            session.verify_pin("wrong pin")
        assert refused.value.attempts_remaining == attempts
    with pytest.raises(InvalidPinError) as refused:
        session.reset_pin("654321", "a code that is wrong")
    assert refused.value.attempts_remaining == 2
    session.reset_pin("654321", "a code to reset")
    session.verify_pin("654321")
    session.change_pin("654321", "a new phrase")
    session.change_admin(PW3, "a new phrase of the administrator's")
    session.verify_admin("a new phrase of the administrator's")


class Gpg:
    """GnuPG with a home of its own, for one reader."""

    def __init__(self, card: Card) -> None:
        self.reader = card.reader
        self.home = Path(tempfile.mkdtemp(prefix="gpg-"))  # a socket's path has at most 107 bytes
        (self.home / "scdaemon.conf").write_text(f"disable-ccid\nreader-port {card.reader}\n")
        (self.home / "gpg-agent.conf").write_text("allow-loopback-pinentry\n")
        self.environment = os.environ | card.environment | {"GNUPGHOME": str(self.home)}

    def forget(self) -> None:
        """End what gpg has started, and has the card verified."""
        subprocess.run(["gpgconf", "--kill", "all"], env=self.environment, check=True, capture_output=True, timeout=30)
        connect(self.reader)

    def close(self) -> None:
        self.forget()
        shutil.rmtree(self.home)

    def run(self, *words: str | Path, password: str = PW1) -> str:
        given = ("--batch", "--pinentry-mode", "loopback", "--passphrase-fd", "0", "--trust-model", "always")
        done = subprocess.run(
            ["gpg", *given, *words],
            input=password,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def edit(self, commands: list[str], passwords: list[str], **answers: str) -> str:
        """Run `gpg --card-edit`, which asks; each question has its name."""
        words = ["gpg", "--no-tty", "--expert", "--status-fd", "1", "--command-fd", "0", "--pinentry-mode", "loopback"]
        with subprocess.Popen(
            [*words, "--card-edit"],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            told = ""
            for line in process.stdout:
                told += line
                _, asks, question = re.match(r"(\[GNUPG:\] GET_(LINE|BOOL|HIDDEN) )?(.*)", line).groups()  # type: ignore[union-attr]
                if asks is None:
                    continue
                if asks == "HIDDEN":
                    answer = passwords.pop(0)
                elif question == "cardedit.prompt":
                    answer = commands.pop(0)
                else:
                    answer = answers[question.rpartition(".")[2]]
                process.stdin.write(f"{answer}\n")
                process.stdin.flush()
        assert process.returncode == 0, told
        return told


@pytest.fixture
def gpg(card: Card) -> Iterator[Gpg]:
    home = Gpg(card)
    yield home
    home.close()


@pytest.mark.parametrize(("algorithm", "name"), [("1", "rsa2048"), ("2", "nistp256")])
def test_gpg_generates_signs_and_deciphers(gpg: Gpg, tmp_path: Path, algorithm: str, name: str) -> None:
    curve = {"curve": "3"} if algorithm == "2" else {"size": "2048"}
    gpg.edit(["admin", "key-attr", "quit"], [PW3] * 3, algo=algorithm, **curve)
    # The administrator lets the password count for more than one signature; the user signs the key itself.
    person = {"valid": "0", "name": "Someone", "email": "someone@example.org", "comment": ""}
    told = gpg.edit(["admin", "generate", "quit"], [PW3, *[PW1] * 8], **person)
    assert "KEY_CREATED" in told, told
    status = gpg.run("--card-status")
    assert re.search(rf"^Key attributes \.\.\.: {name} {name} {name}$", status, re.MULTILINE), status
    assert "Someone <someone@example.org>" in status

    message, signed, sealed = (tmp_path / name for name in ("message", "signed", "sealed"))
    message.write_bytes(MESSAGE)
    gpg.run("--output", signed, "--detach-sign", message)
    gpg.run("--verify", signed, message)
    message.write_bytes(MESSAGE + b".")
    with pytest.raises(AssertionError, match="BAD signature"):
        gpg.run("--verify", signed, message)
    message.write_bytes(MESSAGE)
    gpg.run("--output", sealed, "--recipient", "someone@example.org", "--encrypt", message)
    assert MESSAGE not in sealed.read_bytes()
    assert gpg.run("--decrypt", sealed).encode() == MESSAGE
    gpg.forget()
    with pytest.raises(AssertionError, match="decryption failed"):
        gpg.run("--decrypt", sealed, password="000000")
