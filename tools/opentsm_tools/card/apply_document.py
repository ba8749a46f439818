"""`card.toml`: what is to be on a card, as a person writes it down.

Read strictly: what is not understood is refused, with the file, the entry and what to do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args, get_type_hints

import msgspec

from opentsm_card.aid import Aid
from opentsm_card.configurations import configuration_names
from opentsm_card.documents import parse_toml
from opentsm_card.errors import ProtocolError, StorageError
from opentsm_card.privileges import Privilege

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "AbsentEntry",
    "ApplicationEntry",
    "CardDocument",
    "CardEntry",
    "DelegationEntry",
    "DomainEntry",
    "IssuerEntry",
    "KeyEntry",
    "PackageEntry",
    "PrivilegeName",
    "privileges_of",
    "read_document",
]

_Hex = Annotated[str, msgspec.Meta(pattern="^([0-9A-Fa-f]{2})*$", max_length=510)]
_MAX_FILE_BYTES: Final = 1 << 20


class PrivilegeName(str):
    """A privilege's name as it stands in a file, such as `global-delete`."""

    __slots__ = ()


_PRIVILEGES: Final = {
    name.lower().replace("_", "-"): bit
    for name, bit in Privilege.__members__.items()
    if bit and not name.startswith("RFU")
}


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all entries: an entry that is not known is an error."""


class KeyEntry(_Entry, frozen=True):
    """A key set, by version, and where its keys come from: one of `file`, `environment` and `keystore`."""

    version: Annotated[int, msgspec.Meta(ge=1, le=127)]
    file: str | None = None
    environment: str | None = None
    keystore: str | None = None
    name: str | None = None
    passphrase_file: str | None = None
    diversification: Literal["none", "emv", "visa2", "kdf3"] | None = None


class CardEntry(_Entry, frozen=True):
    """The card itself; `packages` are on it though the security domain that is asked does not list them."""

    configuration: str = "embedded"
    central_sd: Aid | None = None
    packages: tuple[Aid, ...] = ()
    sd_package: Aid | None = None
    sd_module: Aid | None = None
    state: Literal["INITIALIZED", "SECURED", "CARD_LOCKED", "TERMINATED"] | None = None


class IssuerEntry(_Entry, frozen=True):
    """Key sets of the issuer security domain; with `only` no others."""

    keys: Annotated[tuple[KeyEntry, ...], msgspec.Meta(min_length=1)]
    only: bool = False


class DelegationEntry(_Entry, frozen=True):
    """Keys of the authority under which a security domain manages by delegation: PEM files, or key files."""

    token_key: str
    receipt_key: str | None = None


class PackageEntry(_Entry, frozen=True):
    """A package, from a CAP file."""

    cap: str
    security_domain: Aid | None = None
    replace: bool = False
    hash: Literal["none", "sha1", "sha256", "sha384", "sha512"] | None = None


class DomainEntry(_Entry, frozen=True):
    """A security domain."""

    aid: Aid
    parent: Aid | None = None
    privileges: tuple[PrivilegeName, ...] | None = None
    parameters: _Hex = ""
    install_parameters: _Hex | None = None
    keys: tuple[KeyEntry, ...] = ()
    only: bool = False
    locked: bool | None = None


class ApplicationEntry(_Entry, frozen=True):
    """An instance of an application; its module is named, or is the only one of a CAP file."""

    aid: Aid
    cap: str | None = None
    package: Aid | None = None
    module: Aid | None = None
    parameters: _Hex = ""
    install_parameters: _Hex | None = None
    privileges: tuple[PrivilegeName, ...] = ()
    security_domain: Aid | None = None
    selectable: bool = True
    contactless: Literal["activated", "deactivated"] | None = None
    locked: bool | None = None


class AbsentEntry(_Entry, frozen=True):
    """What is not to be there; with `related` also what is under it or made from it."""

    aid: Aid
    related: bool = False


class CardDocument(_Entry, frozen=True):
    """The whole file."""

    card: CardEntry = CardEntry()
    issuer: IssuerEntry | None = None
    delegation: DelegationEntry | None = None
    package: tuple[PackageEntry, ...] = ()
    security_domain: tuple[DomainEntry, ...] = ()
    application: tuple[ApplicationEntry, ...] = ()
    absent: tuple[AbsentEntry, ...] = ()


def privileges_of(names: tuple[PrivilegeName, ...]) -> Privilege:
    """Return names as bits."""
    bits = Privilege.NONE
    for name in names:
        bits |= _PRIVILEGES[name]
    return bits


def _convert(kind: type, value: Any) -> Any:  # noqa: ANN401 - msgspec's hook
    """Make AIDs and privileges of strings; a ValueError gets the entry's place from msgspec."""
    if not isinstance(value, str):
        raise ValueError(f"want a string, not {value!r}")  # noqa: TRY004 - msgspec adds the place to a ValueError
    if kind is PrivilegeName:
        if value not in _PRIVILEGES:
            raise ValueError(f"no privilege {value!r}; there are {', '.join(_PRIVILEGES)}")
        return PrivilegeName(value)
    try:
        return Aid.from_text(value)
    except ProtocolError as error:
        raise ValueError(f"{value!r} is no AID ({error}); want 5 to 16 bytes in hex") from None


def read_document(path: Path) -> CardDocument:
    """Read a `card.toml`.

    Raises:
        StorageError: it can't be read.
        ProtocolError: it is not what it should be: the message names the file, the entry, and what to do.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    tree = parse_toml(content, dict[str, Any], str(path))
    try:
        document = msgspec.convert(tree, CardDocument, dec_hook=_convert)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"{path}: {_placed(str(error))}") from None
    _check(document, path)
    return document


_PLACE: Final = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<place>[^`]*)`)?$", re.DOTALL)
_CHOICES: Final = {
    name: list(get_args(get_args(get_type_hints(kind)[name])[0]))
    for kind, name in (
        (KeyEntry, "diversification"),
        (CardEntry, "state"),
        (PackageEntry, "hash"),
        (ApplicationEntry, "contactless"),
    )
}
_UNKNOWN: Final = re.compile(r"^Object contains unknown field `(?P<name>.*)`$", re.DOTALL)


def _placed(message: str) -> str:
    """Turn msgspec's words into ours: the entry first, counted from 1 as people count."""
    match = _PLACE.match(message)
    assert match is not None, "the pattern takes everything"
    what, place = match["what"], match["place"]
    unknown = _UNKNOWN.match(what)
    if unknown is not None:
        what = f"there is no entry {unknown['name']!r} here; see the manual, `docs/apply.md`"
    if not place:
        return what
    if what.startswith("Invalid enum value") and (choices := _CHOICES.get(place.rpartition(".")[2])):
        what = f"{what.removeprefix('Invalid enum value ')} is none of {', '.join(choices)}"
    counted = re.sub(r"\[(\d+)\]", lambda number: f" number {int(number[1]) + 1}", place).replace(".", ", ")
    return f"{counted}: {what}"


def _check(document: CardDocument, path: Path) -> None:
    if document.card.configuration not in configuration_names():
        known = ", ".join(configuration_names())
        raise ProtocolError(f"{path}: card, configuration: {document.card.configuration!r}; there are {known}")
    seen: dict[Aid, str] = {}
    for kind in ("security_domain", "application", "absent"):
        for number, entry in enumerate(getattr(document, kind), 1):
            place = f"{kind} number {number}"
            other = seen.setdefault(entry.aid, place)
            if other != place:
                raise ProtocolError(f"{path}: {place}: {entry.aid} is {other} already; name each thing once")
    _check_parameters(document, path)
    for number, application in enumerate(document.application, 1):
        if application.cap is None and application.module is None:
            raise ProtocolError(f"{path}: application number {number}: name its module, or its cap")
    for place, keys in _key_entries(document):
        sources = [name for name in ("file", "environment", "keystore") if getattr(keys, name) is not None]
        if len(sources) != 1:
            raise ProtocolError(f"{path}: {place}: want one of file, environment and keystore for the keys")
        if keys.keystore is not None and keys.name is None:
            raise ProtocolError(f"{path}: {place}: which keys in the key store? Give name")


def _check_parameters(document: CardDocument, path: Path) -> None:
    for kind in ("security_domain", "application"):
        for number, entry in enumerate(getattr(document, kind), 1):
            if entry.parameters and entry.install_parameters is not None:
                place = f"{path}: {kind} number {number}"
                raise ProtocolError(f"{place}: either parameters (the value of C9) or install_parameters (all of them)")


def _key_entries(document: CardDocument) -> list[tuple[str, KeyEntry]]:
    found = []
    if document.issuer is not None:
        found += [(f"issuer, keys number {number}", keys) for number, keys in enumerate(document.issuer.keys, 1)]
    for number, domain in enumerate(document.security_domain, 1):
        place = f"security_domain number {number}, keys number"
        found += [(f"{place} {each}", keys) for each, keys in enumerate(domain.keys, 1)]
    return found
