"""Which keys were declared: one source, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from opentsm_tools.card import links
from opentsm_tools.card.key_sources import Material, combine, from_environment
from opentsm_tools.card.options import number

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_tools.card.key_sources import KeySource
    from opentsm_tools.card.options import Given
    from opentsm_tools.card.scp11_entry import Scp11Entry

__all__ = ["declared_keys", "declared_scp11"]

_FLAGS = {"key": "--key", "enc": "--key-enc", "mac": "--key-mac", "dek": "--key-dek"}


def declared_keys(options: Given, note: Callable[[str], None]) -> KeySource:
    """Return the keys that were declared; a virtual SE's are its profile's when nothing is.

    Args:
        options: what the shared options said.
        note: told what a person should know.

    Raises:
        ProtocolError, StorageError: they can't be had.
        click.UsageError: none, or several sources are named.
    """
    version = None if options.key_version is None else number(options.key_version, "--key-version", 0xFF)
    flags = {"key": options.key, "enc": options.key_enc, "mac": options.key_mac, "dek": options.key_dek}
    named = {
        "--key": any(flags.values()),
        "--key-file": options.key_file,
        "--keystore": options.keystore,
        "--pkcs11": options.pkcs11,
        "--scp11": options.scp11,
    }
    chosen = [name for name, value in named.items() if value]
    if len(chosen) > 1:
        raise click.UsageError(f"keys come from one place: {' or '.join(chosen)}?")
    if options.scp11 is not None:
        raise click.UsageError("--scp11: this works with the card's static keys, and takes a source of those")
    stored = _stored(options, version)
    if stored is not None:
        return stored
    how = options.diversification
    if chosen:
        found = combine(flags, _FLAGS, version=version, diversification=how)
        note("warning: keys on a command line can be seen by others on this machine; prefer --key-file")
    else:
        found = from_environment(version=version, diversification=how) or _virtual(options, version)
    if found is None:
        raise click.UsageError(
            "which keys? Give --key-file, --keystore, --pkcs11, --key, or OPENTSM_CARD_KEY in the environment; none "
            "are tried unasked"
        )
    return found


def declared_scp11(options: Given) -> Scp11Entry | None:
    """Return keys and certificates for SCP11; None when --scp11 is not given.

    Raises:
        ProtocolError: they can't be had.
        click.UsageError: other keys are named too.
    """
    if options.scp11 is None:
        return None
    others = {
        "--key": options.key or options.key_enc or options.key_mac or options.key_dek,
        "--key-file": options.key_file,
        "--keystore": options.keystore,
        "--pkcs11": options.pkcs11,
        "--diversification": options.diversification,
    }
    if chosen := [name for name, value in others.items() if value]:
        raise click.UsageError(f"keys come from one place: --scp11 or {chosen[0]}?")
    from opentsm_tools.card.scp11_entry import read_scp11  # noqa: PLC0415 - needed for this source only

    version = None if options.key_version is None else number(options.key_version, "--key-version")
    return read_scp11(options.scp11, version)


def _stored(options: Given, version: int | None) -> KeySource | None:
    """Return keys from a file, a key store or a token; None when none of these is named."""
    how = options.diversification
    if options.key_file is not None:
        from opentsm_tools.card.key_files import from_file  # noqa: PLC0415 - needed for this source only

        return from_file(options.key_file, version=version, diversification=how)
    if options.pkcs11 is not None:
        from opentsm_tools.card.pkcs11_keys import from_pkcs11  # noqa: PLC0415 - needed for this source only

        return from_pkcs11(options.pkcs11, version=version, diversification=how)
    if options.keystore is None:
        return None
    from opentsm_tools.card.key_files import from_keystore  # noqa: PLC0415 - needed for this source only

    if options.key_name is None:
        raise click.UsageError("which keys in the key store? Give --key-name")
    return from_keystore(
        options.keystore, options.key_name, options.passphrase_file, version=version, diversification=how
    )


def _virtual(options: Given, version: int | None) -> Material | None:
    keys = links.virtual_keys(options.link or "")
    if keys is None:
        return None
    return Material(keys.enc, keys.mac, keys.dek, version or 0, "none", "the virtual SE's profile")
