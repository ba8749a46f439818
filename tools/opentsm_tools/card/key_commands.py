"""`opentsm card keys`: list, check, put, rotate and delete the keys of a security domain."""

from __future__ import annotations

import hmac
from dataclasses import replace as with_changes
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from opentsm_card.delete import DeleteKey
from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_card.keys import KeySet, key_check_value
from opentsm_card.put_key import KeyData, KeyType, PutKey, PutKeyAnswer, put_key_set
from opentsm_tools.card import single_keys
from opentsm_tools.card.desk import Desk
from opentsm_tools.card.info_words import key_words
from opentsm_tools.card.new_keys import check_new, new_key_options, new_material
from opentsm_tools.card.options import CardCommand, CardGroup, number
from opentsm_tools.card.words import hexed

if TYPE_CHECKING:
    from opentsm_tools.card.channels import Offer
    from opentsm_tools.card.key_sources import Material
    from opentsm_tools.card.manager import CardManager

__all__ = ["check", "delete_keys", "keys", "list_keys", "put", "rotate", "send_keys"]

_HERE: Final = "opentsm_tools.card.key_commands"
_COMMANDS: Final = {
    "list": (f"{_HERE}:list_keys", "Show which keys the security domain holds."),
    "check": (f"{_HERE}:check", "Prove that the card holds the keys given: one authentication."),
    "put": (f"{_HERE}:put", "Add a key set, or replace one."),
    "rotate": (f"{_HERE}:rotate", "Add new keys, prove them, then delete the old ones."),
    "delete": (f"{_HERE}:delete_keys", "Delete the keys of a version."),
}


@click.group(cls=CardGroup, lazy=_COMMANDS)
def keys() -> None:
    """List, check, put, rotate and delete the keys of a security domain (--sd).

    Changing the issuer security domain's keys, or deleting the last ones, needs the card's identifier: typed, or given
    with --yes-card.

    \b
    opentsm card keys list
    opentsm card keys rotate --generate --save bank-31.toml --new-version 0x31 --sd F06F70656E74736D0A0001
    """  # noqa: D301 - click's mark for text that is not to be wrapped


@click.command("list", cls=CardCommand)
@click.pass_context
def list_keys(ctx: click.Context) -> None:
    """Show which keys the security domain holds: version, identifier, type and length. No key is needed.

    \b
    opentsm card keys list
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    desk = Desk.of(ctx)
    with desk.card(secure=False) as card:
        known = card.key_information()
    if known is None:
        raise ProtocolError("the security domain does not say which keys it holds (GET DATA E0)")
    document = [
        {
            "version": key.version,
            "id": key.key_id,
            "types": [part.name for part in key.components],
            "length_bytes": [part.length_bytes for part in key.components],
        }
        for key in known
    ]
    lines = [
        f"version {key.version:#04x} id {key.key_id:#04x}: "
        + " + ".join(f"{part.name}, {part.length_bytes} bytes" for part in key.components)
        + (f" ({words})" if (words := key_words(key)) else "")
        for key in known
    ]
    desk.emit({"keys": document}, "\n".join(lines) or "no keys")


@click.command(cls=CardCommand)
@click.pass_context
def check(ctx: click.Context) -> None:
    """Prove that the card holds the keys given, by opening a secure channel with them.

    It costs one authentication, and, when the keys are wrong, one of the card's tries.

    \b
    opentsm card keys check --key-file card.toml
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    desk = Desk.of(ctx)
    with desk.card() as card:
        assert card.offer is not None
        if card.keys is None:
            _agreed(desk, card.offer)
            return
        values = [hexed(value) for value in card.keys.check_values]
        document = {
            "key_version": card.offer.key_version,
            "scp": card.offer.scp,
            "i": card.offer.i,
            "algorithm": card.keys.algorithm,
            "check_values": dict(zip(("enc", "mac", "dek"), values, strict=True)),
        }
        desk.emit(
            document,
            f"the card holds them: version {card.offer.key_version:#04x}, {card.offer.name}, {card.keys.algorithm}, "
            f"check values ENC {values[0]}, MAC {values[1]}, DEK {values[2]} (DEK is not proved by a session)",
        )


def _agreed(desk: Desk, offer: Offer) -> None:
    """Say that the card holds the private key that an agreement took (SCP11)."""
    desk.emit(
        {"key_version": offer.key_version, "scp": offer.scp, "i": offer.i, "algorithm": "ECC", "check_values": None},
        f"the card holds the private key: {offer.name}, ECC on P-256; and it took the host's where one was shown",
    )


def send_keys(card: CardManager, material: Material, replaces: int) -> KeySet:
    """Send PUT KEY for a whole set and check what the card answers.

    Raises:
        RefusedError: the card refused.
        SecureChannelError: it answers other check values than the new keys have.
    """
    assert card.offer is not None
    derived = material.key_set(card.offer)
    new = KeySet(material.version, derived.enc, derived.mac, derived.dek, derived.des)
    command = _put_command(card, new, replaces)
    answer = PutKeyAnswer.parse(card.require(command, f"PUT KEY, version {new.version:#04x}"))
    wanted = b"".join(new.check_values)
    if answer.check_values and not hmac.compare_digest(b"".join(answer.check_values), wanted):
        raise SecureChannelError(
            f"PUT KEY: the card answers check values {hexed(b''.join(answer.check_values))}, the new keys have "
            f"{hexed(wanted)}: don't count on version {new.version:#04x} before `opentsm card keys check` says so"
        )
    return new


def _put_command(card: CardManager, new: KeySet, replaces: int) -> PutKey:
    """Return the PUT KEY of a whole set: keys under the static DEK (SCP03), or under the session's (SCP02, SCP11).

    Spec: GP Amendment D 1.2, 7.2; Amendment F 1.3, 3.1.2; GP Card Specification 2.3.1, E.4.7, 11.8.2.3.
    """
    if card.keys is not None and not new.des and isinstance(card.keys.dek, bytes):
        return put_key_set(new, card.keys.dek, replaces=replaces)
    encrypt = single_keys.encryptor(card)  # in the session, or in the token that holds the DEK
    keys = []
    for key in (new.enc, new.mac, new.dek):
        value = key_check_value(key, des=new.des)
        if new.des:
            keys.append(KeyData(KeyType.DES, encrypt(key), value))
        else:
            padded = key.ljust(-(-len(key) // 16) * 16, b"\0")
            keys.append(KeyData(KeyType.AES, bytes((len(key),)) + encrypt(padded), value))
    return PutKey(replaces, new.version, 1, tuple(keys))


def _is_issuer(card: CardManager) -> bool:
    """Tell whether the selected security domain is the issuer's: it lists itself as such (GET STATUS, P1 80)."""
    isd = card.registry().isd
    return isd is not None and (card.selected is None or isd.aid == card.selected)


@click.command(cls=CardCommand)
@new_key_options
@click.option("--public-key", type=click.Path(path_type=Path), help="One RSA or ECC public key: PEM or a certificate.")
@click.option("--private-key", type=click.Path(path_type=Path), help="One private ECC key (PEM), for SCP11.")
@click.option("--single-key", type=click.Path(path_type=Path), help="One AES or 3DES key: TOML with key and type.")
@click.option("--new-id", metavar="N", help="Key identifier of one key.  [default: 1]")
@click.option("--replace", metavar="N", help="Replace the keys of this version.  [default: add]")
@click.pass_context
def put(
    ctx: click.Context,
    /,
    *,
    public_key: Path | None,
    private_key: Path | None,
    single_key: Path | None,
    new_id: str | None,
    replace: str | None,
    **options: Any,  # noqa: ANN401 - see new_key_options
) -> None:
    """Add a key set to the security domain, or one key of any kind, or replace one; check values are compared.

    GP reserves versions for what one key does: 0x70 verifies tokens, 0x71 makes receipts, 0x73 verifies DAPs.

    \b
    opentsm card keys put --new-version 0x31 --new-key-file new.toml --sd F06F70656E74736D0A0001
    opentsm card keys put --new-version 0x70 --public-key token.pem
    opentsm card keys put --new-version 3 --new-id 0x11 --private-key domain.pem
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    desk = Desk.of(ctx)
    replaces = 0 if replace is None else number(replace, "--replace")
    files = {"--public-key": public_key, "--private-key": private_key, "--single-key": single_key}
    named = [(name, path) for name, path in files.items() if path is not None]
    if named:
        if len(named) > 1 or any(options[name] for name in ("new_key", "new_key_file", "generate")):
            raise click.UsageError(f"which new keys? {named[0][0]} is one key, and goes with no others")
        version, key_id = _one(options["new_version"], new_id)
        _put_one(desk, *named[0], PutKey(replaces, version, key_id, ()))
        return
    if new_id is not None:
        raise click.UsageError("--new-id goes with one key; a set has identifiers 1 to 3")
    check_new(options)
    with desk.card() as card:
        if _is_issuer(card):
            desk.confirm(card, "change the keys of the issuer security domain")
        new = send_keys(card, new_material(**options), replaces)
    values = [hexed(value) for value in new.check_values]
    desk.emit(
        {"key_version": new.version, "replaces": replaces, "algorithm": new.algorithm, "check_values": values},
        f"key version {new.version:#04x} is on the card: {new.algorithm}, check values {' '.join(values)}",
    )


def _one(version_text: str, id_text: str | None) -> tuple[int, int]:
    version, key_id = number(version_text, "--new-version"), 1 if id_text is None else number(id_text, "--new-id")
    if not version or not key_id:
        raise click.BadParameter("--new-version and --new-id: want 1 to 127")
    return version, key_id


def _put_one(desk: Desk, name: str, path: Path, command: PutKey) -> None:
    """Put one key of any kind and check what the card answers.

    Raises:
        ProtocolError, RefusedError, SecureChannelError: as `send_keys`.
    """
    public = single_keys.public_key(path) if name == "--public-key" else None
    with desk.card() as card:
        if _is_issuer(card):
            desk.confirm(card, "change the keys of the issuer security domain")
        if public is not None:
            key, words = public
        else:
            make = single_keys.private_key if name == "--private-key" else single_keys.symmetric_key
            key, words = make(path, card)
        what = f"PUT KEY, version {command.key_version:#04x}, identifier {command.key_id:#04x}"
        answer = PutKeyAnswer.parse(card.require(with_changes(command, keys=(key,)), what))
    value = key.check_value
    if value and answer.check_values and not hmac.compare_digest(answer.check_values[0], value):
        raise SecureChannelError(
            f"{what}: the card answers check value {hexed(answer.check_values[0])}, the key has {hexed(value)}"
        )
    document = {
        "key_version": command.key_version,
        "id": command.key_id,
        "replaces": command.replaces,
        "algorithm": words,
        "check_values": [hexed(value)] if value else [],
    }
    told = f", check value {hexed(value)}" if value else ""
    desk.emit(
        document, f"key {command.key_id:#04x} of version {command.key_version:#04x} is on the card: {words}{told}"
    )


@click.command(cls=CardCommand)
@new_key_options
@click.pass_context
def rotate(ctx: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - see new_key_options
    """Replace the keys that are in use: add the new ones, prove them by a session, then delete the old ones.

    Should it break off, nothing is lost: both sets are on the card, and each can be tried.

    \b
    opentsm card keys rotate --generate --save bank-31.toml --new-version 0x31 --sd F06F70656E74736D0A0001
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    check_new(options)
    desk = Desk.of(ctx)
    with desk.card() as card:
        assert card.offer is not None
        if card.keys is None:
            raise click.UsageError("rotate replaces the static keys in use, and SCP11 uses none: see keys put")
        old = card.offer.key_version
        if number(options["new_version"], "--new-version") == old:
            raise click.BadParameter(f"--new-version: {old:#04x} is the version in use; rotate to another")
        if _is_issuer(card):
            desk.confirm(card, "change the keys of the issuer security domain")
        material = new_material(**options)
        new = send_keys(card, material, 0)
        if card.selected is not None:
            card.select(card.selected)
        card.authenticate(Known(new, material.origin))
        if old == 0xFF:
            desk.note("the initial keys (FF) went away with the first PUT KEY")
        else:
            card.require(DeleteKey(old), f"DELETE keys of version {old:#04x}")
    desk.emit(
        {"old_version": old, "new_version": new.version, "check_values": [hexed(v) for v in new.check_values]},
        f"version {new.version:#04x} is proved, version {old:#04x} is gone",
    )


class Known:
    """Keys that need no derivation any more: a `KeySource`.

    Args:
        keys: the card's own.
        origin: where they come from.
    """

    public = False

    def __init__(self, keys: KeySet, origin: str) -> None:
        self._keys = keys
        self.version = keys.version
        self.origin = origin

    def __repr__(self) -> str:
        """Show no key."""
        return f"Known({self._keys!r})"

    def key_set(self, offer: Offer) -> KeySet:
        """Return them, whatever the card says of itself."""
        del offer
        return self._keys


@click.command("delete", cls=CardCommand)
@click.option("--version", "version_text", metavar="N", required=True, help="Key version.")
@click.option("--id", "id_text", metavar="N", help="Key identifier.  [default: all of the version]")
@click.pass_context
def delete_keys(ctx: click.Context, version_text: str, id_text: str | None) -> None:
    """Delete the keys of a version from the security domain.

    \b
    opentsm card keys delete --version 0x30 --sd F06F70656E74736D0A0001
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    desk = Desk.of(ctx)
    version = number(version_text, "--version", 0xFF)
    key_id = None if id_text is None else number(id_text, "--id")
    with desk.card() as card:
        known = card.key_information()
        others = {key.version for key in known or ()} - {version}
        if known is not None and not others:
            desk.confirm(card, "delete the last keys of the security domain: nobody can open it afterwards")
        elif known is None or _is_issuer(card):
            desk.confirm(card, "delete keys of the issuer security domain")
        card.require(DeleteKey(version, key_id), f"DELETE keys of version {version:#04x}")
    desk.emit({"deleted_version": version, "id": key_id}, f"keys of version {version:#04x} are gone")
