"""Read the token tables: each package in the version of a Java Card release, or in one that is named.

One table serves every release: tokens never change from Java Card 2.1.1 to 3.2.0, so each entry says since when it is
there.
"""

from __future__ import annotations

import functools
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import msgspec

from opentsm_build.api.model import ApiClass, ApiField, ApiMethod, ApiPackage
from opentsm_card.aid import Aid
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT_RELEASE", "RELEASES", "forget", "java_card", "names", "package", "versions"]

# Java Card releases, oldest first.
RELEASES: Final = ("2.1.1", "2.1.2", "2.2.1", "2.2.2", "3.0.1", "3.0.4", "3.0.5", "3.1.0", "3.2.0")
DEFAULT_RELEASE: Final = "3.0.4"

# Tables of packages that have versions of their own; the last is that of the virtual SE's own packages.
_FIXED_TABLES: Final = ("globalplatform", "uicc", "opentsm")

# From 2.2.1 on, these methods of AID are final. Spec: Java Card API 2.2.1, javacard.framework.AID.
_FINAL_SINCE: Final = "2.2.1"
_AID_CLASS: Final = "javacard/framework/AID"
_FINAL_IN_AID: Final = frozenset(
    {
        "RIDEquals(Ljavacard/framework/AID;)Z",
        "equals(Ljava/lang/Object;)Z",
        "equals([BSB)Z",
        "getBytes([BS)B",
        "getPartialBytes(S[BSB)B",
        "partialEquals([BSB)Z",
    }
)
_FINAL: Final = 0x0010


@functools.cache
def _table(name: str) -> dict[str, Any]:
    data = (resources.files("opentsm_build.api") / f"{name}.json").read_bytes()
    table: dict[str, Any] = msgspec.json.decode(data)
    return table


def _rank(release: str) -> int:
    try:
        return RELEASES.index(release)
    except ValueError:
        raise CapError(f"there is no Java Card release {release!r}; there are {', '.join(RELEASES)}") from None


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


@functools.cache
def java_card(release: str = DEFAULT_RELEASE) -> Mapping[str, ApiPackage]:
    """Return the packages of a Java Card release, by name in internal form.

    Raises:
        CapError: there is no such release.
    """
    rank = _rank(release)
    return {
        name: ApiPackage(
            name, Aid(bytes.fromhex(entry["aid"])), _version(entry["versions"][release]), _classes(name, entry, rank)
        )
        for name, entry in _table("javacard").items()
        if release in entry["versions"]
    }


def _classes(package_name: str, entry: dict[str, Any], rank: int) -> dict[str, ApiClass]:
    classes = {}
    for short, of in entry["classes"].items():
        if RELEASES.index(of["since"]) > rank:
            continue
        name = f"{package_name}/{short}"
        methods = {}
        for key, (token, access, since) in of["methods"].items():
            if RELEASES.index(since) <= rank:
                final = name == _AID_CLASS and key in _FINAL_IN_AID and rank >= RELEASES.index(_FINAL_SINCE)
                method, paren, rest = key.partition("(")
                methods[key] = ApiMethod(token, access | _FINAL if final else access, method, paren + rest)
        fields = {}
        for key, (token, access, since, *constant) in of["fields"].items():
            if RELEASES.index(since) <= rank:
                field, _, descriptor = key.partition(":")
                fields[field + descriptor] = ApiField(
                    token, access, field, descriptor, constant[0] if constant else None
                )
        classes[name] = ApiClass(
            of["token"], of["flags"], name, tuple(of["supers"]), tuple(of["interfaces"]), methods, fields
        )
    return classes


def _fixed(name: str) -> dict[str, dict[str, Any]]:
    """Return a package's entries by version; a `#` marks a second table under one version, which is not used."""
    found = {}
    for table in _FIXED_TABLES:
        for key, entry in _table(table).items():
            package_name, _, version = key.partition("@")
            if package_name == name and "#" not in version:
                found[version] = entry
    return found


def names() -> tuple[str, ...]:
    """Return the names (internal form) of all packages that are not Java Card's."""
    return tuple(sorted({key.partition("@")[0] for table in _FIXED_TABLES for key in _table(table)}))


def forget() -> None:
    """Forget what was read: the next question reads the tables anew."""
    for cached in (_table, java_card, versions, package):
        cached.cache_clear()


@functools.cache
def versions(name: str) -> tuple[str, ...]:
    """Return the versions of a package that is not Java Card's, oldest first; none when it is unknown."""
    return tuple(sorted(_fixed(name), key=_version))


@functools.cache
def package(name: str, version: str) -> ApiPackage:
    """Return a package that is not Java Card's in one version.

    Args:
        name: in internal form.
        version: "major.minor".

    Raises:
        CapError: there is no such package, or not in this version.
    """
    entry = _fixed(name).get(version)
    if entry is None:
        known = ", ".join(versions(name))
        dotted = name.replace("/", ".")
        reason = f"there is no {dotted} {version}; there are {known}" if known else f"there is no table of {dotted}"
        raise CapError(reason)
    classes = {}
    for short, of in entry["classes"].items():
        methods = {row[2] + row[3]: ApiMethod(*row) for row in of["methods"]}
        fields = {row[2] + row[3]: ApiField(*row) for row in of["fields"]}
        full = f"{name}/{short}"
        classes[full] = ApiClass(
            of["token"], of["flags"], full, tuple(of["supers"]), tuple(of["interfaces"]), methods, fields
        )
    return ApiPackage(name, Aid(bytes.fromhex(entry["aid"])), _version(version), classes)
