"""`opentsm cap sign`: a CAP file as a load file, with its hash, signatures for security domains, and LOAD commands.

Spec: GP Card Specification 2.3.1, 11.6.2.3 (load file), C.2 (hash), C.3 (DAP), table C-3 (which hash).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from opentsm_build.cap_cli import exports_option, read_exports
from opentsm_build.verify import verify
from opentsm_card.aid import Aid
from opentsm_card.dap import load_file_hash, sign_dap
from opentsm_card.errors import CapError, ProtocolError, StorageError
from opentsm_card.load import DapBlock, load_blocks, load_file
from opentsm_card.signatures import MacKey
from opentsm_tools.card.loading import read_cap
from opentsm_tools.card.signing_keys import read_signing_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentsm_card.load import Load
    from opentsm_card.signatures import SigningKey

__all__ = ["cap_sign"]

_HASHES: Final = ("sha1", "sha256", "sha384", "sha512")
_PKCS11: Final = "pkcs11:"
# What secure messaging leaves of a short command's data, with MAC and encryption.
_BLOCK_BYTES: Final = 239
_WEAK_RSA_BITS: Final = 1024


@dataclass(frozen=True, slots=True)
class _Signer:
    """A security domain, and where its key is: a file's content, or a token's URI."""

    domain: Aid
    key: SigningKey | str

    def sign(self, digest: bytes) -> DapBlock:
        if not isinstance(self.key, str):
            return sign_dap(self.key, self.domain, digest)
        from opentsm_tools.card.pkcs11_signing import sign_in_token  # noqa: PLC0415 - needs an extra

        return DapBlock(self.domain, sign_in_token(self.key, digest))


def _signer(text: str) -> _Signer:
    aid, colon, place = text.partition(":")
    if not colon or not place:
        raise ProtocolError(f"--dap {text!r}: want AID:KEYFILE, or AID:pkcs11:token=…;object=…?module-path=…")
    return _Signer(Aid.from_text(aid), place if place.startswith(_PKCS11) else read_signing_key(Path(place)))


def _default_hash(signers: Sequence[_Signer]) -> str:
    """Return the hash that goes with the keys: SHA-1 where all are of scheme 1, else SHA-256 or what a curve wants."""
    weak = [_is_weak(signer.key) for signer in signers]
    if weak and all(weak):
        return "sha1"
    sizes = [signer.key.key_size for signer in signers if isinstance(signer.key, ec.EllipticCurvePrivateKey)]
    largest = max(sizes, default=0)
    return "sha512" if largest > 384 else "sha384" if largest > 256 else "sha256"


def _is_weak(key: SigningKey | str) -> bool:
    if isinstance(key, MacKey):
        return key.des
    return isinstance(key, rsa.RSAPrivateKey) and key.key_size <= _WEAK_RSA_BITS


@click.command("sign")
@click.argument("path", metavar="CAP", type=click.Path(path_type=Path))
@click.option(
    "daps",
    "--dap",
    metavar="AID:KEY",
    multiple=True,
    help="Sign for this security domain with a key: a PEM file (RSA, ECC), a TOML file (AES, 3DES), or a PKCS#11 URI; "
    "may be repeated.",
)
@click.option("--hash", "algorithm", type=click.Choice(_HASHES), help="Hash that is signed.  [default: by the keys]")
@click.option("--with-descriptor", is_flag=True, help="Load the Descriptor component too.")
@click.option(
    "--block-size",
    type=click.IntRange(1, 65535),
    default=_BLOCK_BYTES,
    show_default=True,
    help="Bytes of a LOAD block.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Write the load file (DAP blocks and C4) here.")
@click.option(
    "--signatures", type=click.Path(path_type=Path), help="Write each signature into this folder, as AID.dap: what "
    "`opentsm card load --dap AID:FILE` takes.",
)  # fmt: skip
@click.option("--commands", type=click.Path(path_type=Path), help="Write the LOAD commands here, a line of hex each.")
@click.option("--no-verify", is_flag=True, help="Don't verify the CAP file first.")
@exports_option
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
def cap_sign(path: Path, **options: Any) -> None:  # noqa: ANN401 - click's options
    """Hash a CAP file, sign it for security domains, and cut it into LOAD commands.

    What is signed is the hash of the load file data block: the components in load order. The file is verified before:
    a signature says that it may be loaded.
    """
    cap = read_cap(path)
    if not options["no_verify"]:
        try:
            verify(cap, read_exports(options["exports"]))
        except CapError as error:
            raise CapError(f"{path}: {error}; --no-verify signs all the same") from error
    signers = [_signer(text) for text in options["daps"]]
    algorithm = options["algorithm"] or _default_hash(signers)
    data_block = cap.load_file_data_block(descriptor=options["with_descriptor"])
    digest = load_file_hash(data_block, algorithm)
    daps = tuple(signer.sign(digest) for signer in signers)
    file = load_file(data_block, daps)
    commands = load_blocks(file, options["block_size"])
    _write(options, file, daps, commands)
    result = {
        "package": str(cap.package_aid),
        "load_file_data_block_bytes": len(data_block),
        "hash_algorithm": algorithm,
        "hash": digest.hex().upper(),
        "daps": [
            {"security_domain": str(dap.security_domain), "signature": dap.signature.hex().upper()} for dap in daps
        ],
        "load_file_bytes": len(file),
        "load_commands": len(commands),
    }
    if options["as_json"]:
        click.echo(json.dumps(result))
        return
    click.echo(f"package     {result['package']}, load file data block of {len(data_block)} bytes")
    click.echo(f"{algorithm:<11} {result['hash']}")
    for dap in daps:
        click.echo(f"DAP         {dap.security_domain}: {dap.signature.hex().upper()}")
    click.echo(f"LOAD        {len(commands)} commands of up to {options['block_size']} bytes")


def _write(options: dict[str, Any], file: bytes, daps: tuple[DapBlock, ...], commands: tuple[Load, ...]) -> None:
    """Write what was asked for.

    Raises:
        StorageError: a file can't be written.
    """
    files: dict[Path, bytes] = {}
    if options["out"]:
        files[options["out"]] = file
    if options["commands"]:
        lines = [command.apdu().encode().hex().upper() for command in commands]
        files[options["commands"]] = ("\n".join(lines) + "\n").encode()
    if options["signatures"]:
        files |= {options["signatures"] / f"{dap.security_domain}.dap": dap.signature for dap in daps}
    for path, content in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror or error}") from error
