"""`opentsm cap sign`: hashes, signatures by every kind of key, and LOAD commands."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from cap_craft import craft
from opentsm_build.api import ApiPackage
from opentsm_build.api.export_file import ExportFile
from opentsm_build.cap import CapFile, ComponentTag
from opentsm_build.cap.header import ImportComponent, PackageInfo
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu
from opentsm_card.dap import check_dap
from opentsm_card.errors import CapError, ProtocolError, SecureChannelError, StorageError
from opentsm_card.load import DapBlock, Load, parse_load_file
from opentsm_card.signatures import MacKey
from opentsm_tools.cap_sign import cap_sign
from verify_tables import WRONG

if TYPE_CHECKING:
    from opentsm_card.signatures import VerificationKey

DOMAIN = Aid.from_text("F000000002")
BLOCK = craft().load_file_data_block()
LIBRARIES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so")
PIN = "no-hex-digits"

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def pem(key: Private) -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption())


def keep(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def keys() -> dict[str, tuple[bytes, VerificationKey, str]]:
    """Return key files with what verifies their signatures and the hash that goes with them."""
    made: dict[str, tuple[bytes, VerificationKey, str]] = {}
    small, large = rsa.generate_private_key(65537, 1024), rsa.generate_private_key(65537, 2048)  # noqa: S505 - scheme 1
    curves: list[tuple[ec.EllipticCurve, str]] = [
        (ec.SECP256R1(), "sha256"), (ec.SECP384R1(), "sha384"), (ec.SECP521R1(), "sha512"),
    ]  # fmt: skip
    made["rsa1024"] = pem(small), small.public_key(), "sha1"
    made["rsa2048"] = pem(large), large.public_key(), "sha256"
    for curve, algorithm in curves:
        key = ec.generate_private_key(curve)
        made[curve.name] = pem(key), key.public_key(), algorithm
    made["aes"] = f'key = "{bytes(range(16)).hex()}"'.encode(), MacKey(bytes(range(16))), "sha256"
    made["3des"] = (
        f'key = "{bytes(range(16)).hex()}"\ntype = "3des"'.encode(),
        MacKey(bytes(range(16)), des=True),
        "sha1",
    )
    return made


KEYS = keys()


@pytest.fixture(name="cap")
def _cap(tmp_path: Path) -> Path:
    return keep(tmp_path / "craft.cap", craft().encode())


def sign(*arguments: object) -> Any:
    result = CliRunner().invoke(cap_sign, [*map(str, arguments), "--json"])
    if result.exception is not None:
        raise result.exception
    return json.loads(result.output)


@pytest.mark.parametrize("name", KEYS)
def test_every_kind_of_key(cap: Path, tmp_path: Path, name: str) -> None:
    content, verification, algorithm = KEYS[name]
    key = keep(tmp_path / "key", content)
    result = sign(cap, "--dap", f"{DOMAIN}:{key}", "--out", tmp_path / "load")
    digest = hashlib.new(algorithm, BLOCK).digest()
    assert (result["hash_algorithm"], result["hash"]) == (algorithm, digest.hex().upper())
    block, (dap,) = parse_load_file((tmp_path / "load").read_bytes())
    assert block == BLOCK
    check_dap(verification, dap, digest)
    with pytest.raises(SecureChannelError):
        check_dap(verification, dap, digest[:-1] + bytes((digest[-1] ^ 1,)))


@pytest.mark.parametrize("size", [1, 77, 239, 255, 2000])
def test_load_commands_of_any_size(cap: Path, tmp_path: Path, size: int) -> None:
    commands = tmp_path / "commands"
    if len(BLOCK) // size > 255:
        with pytest.raises(ProtocolError, match="256 at most"):
            sign(cap, "--block-size", size)
        return
    result = sign(cap, "--commands", commands, "--block-size", size)
    loads = [Load.parse(CommandApdu.parse(bytes.fromhex(line))) for line in commands.read_text().splitlines()]
    assert result["load_commands"] == len(loads)
    assert [load.block_number for load in loads] == list(range(len(loads)))
    assert [load.last for load in loads] == [False] * (len(loads) - 1) + [True]
    assert parse_load_file(b"".join(load.data for load in loads)) == (BLOCK, ())


def test_what_is_no_cap_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.cap"
    path.write_bytes(b"PK nothing")
    with pytest.raises(CapError, match=f"^{re.escape(str(path))}: not a readable ZIP"):
        sign(path)


def test_several_signatures_and_a_chosen_hash(cap: Path, tmp_path: Path) -> None:
    one, other = keep(tmp_path / "1", KEYS["aes"][0]), keep(tmp_path / "2", KEYS["3des"][0])
    second = Aid.from_text("F000000003")
    arguments = ("--dap", f"{DOMAIN}:{one}", "--dap", f"{second}:{other}", "--hash", "sha384")
    sign(cap, *arguments, "--signatures", tmp_path / "signatures")
    digest = hashlib.sha384(BLOCK).digest()
    for domain, name in ((DOMAIN, "aes"), (second, "3des")):
        signature = (tmp_path / "signatures" / f"{domain}.dap").read_bytes()
        check_dap(KEYS[name][1], DapBlock(domain, signature), digest)


def test_the_descriptor_is_hashed_when_it_is_loaded(cap: Path) -> None:
    digest = hashlib.sha256(craft().load_file_data_block(descriptor=True)).hexdigest().upper()
    assert sign(cap, "--with-descriptor")["hash"] == digest


def test_nothing_that_does_not_verify_is_signed_unasked(tmp_path: Path) -> None:
    wrong = keep(tmp_path / "wrong.cap", craft(WRONG["underflow"][0]).encode())
    with pytest.raises(CapError, match="the stack is empty; --no-verify signs all the same"):
        sign(wrong)
    assert sign(wrong, "--no-verify")["package"] == "F00000010203"


def test_keys_and_places_that_are_no_good(cap: Path, tmp_path: Path) -> None:
    for dap in ("F000000002", "F000000002:", ":key"):
        with pytest.raises(ProtocolError):
            sign(cap, "--dap", dap)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        sign(cap, "--out", tmp_path / "file" / "load")


@pytest.mark.parametrize("name", ["rsa1024", "rsa2048", "secp256r1", "secp384r1"])
def test_keys_in_a_pkcs11_token(cap: Path, tmp_path: Path, name: str) -> None:
    library = next((path for path in LIBRARIES if Path(path).exists()), None)
    program = shutil.which("softhsm2-util")
    assert library, "needs SoftHSM: apt-get install softhsm2"
    assert program
    (tmp_path / "tokens").mkdir()
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nobjectstore.backend = file\n")
    environment = os.environ | {"SOFTHSM2_CONF": str(configuration), "OPENTSM_PKCS11_PIN": PIN}
    content, verification, algorithm = KEYS[name]
    key = keep(tmp_path / "key.pem", content)
    for arguments in (
        ("--init-token", "--free", "--label", "opentsm", "--so-pin", PIN, "--pin", PIN),
        ("--import", str(key), "--token", "opentsm", "--label", "dap", "--id", "01", "--pin", PIN),
    ):
        subprocess.run([program, *arguments], check=True, capture_output=True, env=environment)
    # SoftHSM reads its configuration once in a process: this one stays free of it.
    uri = f"pkcs11:token=opentsm;object=dap?module-path={library}"
    command = [
        sys.executable,
        "-m",
        "opentsm_tools.main",
        "cap",
        "sign",
        str(cap),
        "--dap",
        f"{DOMAIN}:{uri}",
        "--json",
    ]
    command += ["--hash", algorithm]
    done = subprocess.run(command, check=False, capture_output=True, env=environment, text=True)
    assert done.returncode == 0, done.stderr
    (dap,) = json.loads(done.stdout)["daps"]
    block = DapBlock(DOMAIN, bytes.fromhex(dap["signature"]))
    check_dap(verification, block, hashlib.new(algorithm, BLOCK).digest())
    assert PIN not in done.stdout + done.stderr
    other = [word.replace("object=dap", "object=none") for word in command]
    missing = subprocess.run(other, check=False, capture_output=True, env=environment)
    assert missing.returncode == 4
    assert b"no private keys are labelled none" in missing.stderr


def test_imported_packages_of_no_known_api(tmp_path: Path) -> None:
    library = ApiPackage("other", Aid.from_text("F0000000EE"), (1, 0), {})
    cap = craft()
    imports = ImportComponent((*cap.imports, PackageInfo(library.aid, (1, 0)))).encode()
    sizes = dict(cap.directory.component_sizes) | {ComponentTag.IMPORT: len(imports) - 3}
    directory = dataclasses.replace(cap.directory, component_sizes=sizes, import_count=3).encode((2, 1))
    components = {**cap.components, ComponentTag.IMPORT: imports, ComponentTag.DIRECTORY: directory}
    path = keep(tmp_path / "user.cap", CapFile(components).encode())
    with pytest.raises(CapError, match="give its export file"):
        sign(path)
    exports = keep(tmp_path / "other.exp", ExportFile.of(library, library=True).encode())
    assert sign(path, "--exp", exports)["package"] == "F00000010203"
