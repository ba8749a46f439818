"""Documents that people write (TOML): one way to read them into types, with errors that name the place."""

from __future__ import annotations

import tomllib
from types import NoneType, UnionType
from typing import Annotated, Any, Final, TypeVar, Union, cast, get_args, get_origin

import msgspec

from opentsm_card.errors import ProtocolError

__all__ = ["check_all", "parse_toml", "parse_whole_toml"]

_MAX_BYTES: Final = 1 << 20

T = TypeVar("T")


def parse_toml(document: bytes, kind: type[T], source: str) -> T:
    """Return the TOML document as an object of a type.

    Args:
        document: UTF-8, up to 1 MiB.
        kind: what it must be; unknown entries are errors where the type forbids them.
        source: the file's path, for the errors.

    Raises:
        ProtocolError: it is no TOML, or an entry is missing, unknown or wrong; the message names source and entry.
    """
    tree = _tree(document, source)
    try:
        return msgspec.convert(tree, kind)
    except RecursionError:
        raise ProtocolError(f"{source}: nested too deeply") from None
    except msgspec.ValidationError as error:
        raise ProtocolError(f"{source}: {error}") from error


def parse_whole_toml(document: bytes, kind: type[T], source: str) -> tuple[T, list[str]]:
    """Return the TOML document as an object of a structure, as far as it is right, and all that is wrong with it.

    Args:
        document: UTF-8, up to 1 MiB.
        kind: a msgspec structure; its members may be structures, or lists or tables of them.
        source: the file's path, for the errors.

    Returns:
        The object, and each problem with its place. Where there are problems, `msgspec.UNSET` stands in the object for
        each value that is missing or wrong. It is false: what else is to be seen of the object can still be looked at.

    Raises:
        ProtocolError: it is no TOML at all.
    """
    problems: list[str] = []
    value = _convert(_tree(document, source), kind, "$", problems)
    return cast("T", value), problems


def check_all(source: str, problems: list[str]) -> None:
    """Raise what is wrong with a document, all at once.

    Raises:
        ProtocolError: there are problems; the message has a line for each.
    """
    if len(problems) == 1:
        raise ProtocolError(f"{source}: {problems[0]}")
    if problems:
        raise ProtocolError(
            f"{source}: {len(problems)} things are wrong:" + "".join(f"\n  {each}" for each in problems)
        )


def _tree(document: bytes, source: str) -> dict[str, Any]:
    if len(document) > _MAX_BYTES:
        raise ProtocolError(f"{source}: {len(document)} bytes, where a configuration has at most {_MAX_BYTES}")
    try:
        tree = tomllib.loads(document.decode())
        if _has_nul(tree):
            raise ProtocolError(f"{source}: a string holds the character U+0000")
    except UnicodeDecodeError as error:
        raise ProtocolError(f"{source}: not UTF-8 at byte {error.start}") from error
    except RecursionError:
        raise ProtocolError(f"{source}: nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        raise ProtocolError(f"{source}: {error}") from error
    return tree


def _convert(value: object, kind: Any, place: str, problems: list[str]) -> Any:  # noqa: ANN401 - types are values here
    """Convert a value, or what is right of it: one wrong member hides no other."""
    try:
        return msgspec.convert(value, kind)
    except RecursionError:
        problem = f"nested too deeply - at `{place}`"
    except msgspec.ValidationError as error:
        reason, at, inside = str(error).partition(" - at `$")
        problem = f"{reason} - at `{place}{inside.rstrip('`') if at else ''}`"
    found = len(problems)
    sound = _convert_parts(value, _plain(kind), place, problems)
    if len(problems) == found:
        problems.append(problem)
    return sound


def _convert_parts(value: object, kind: Any, place: str, problems: list[str]) -> Any:  # noqa: ANN401 - as above
    """Convert each part by itself; what has none is not set."""
    match get_origin(kind), value:
        case None, dict() if _is_struct(kind):
            return _convert_members(value, kind, place, problems)
        case list_, list() if list_ is list:
            (element,) = get_args(kind)
            return [_convert(each, element, f"{place}[{index}]", problems) for index, each in enumerate(value)]
        case dict_, dict() if dict_ is dict:
            _, element = get_args(kind)
            return {name: _convert(each, element, f"{place}.{name}", problems) for name, each in value.items()}
    return _blank(kind)


def _convert_members(value: dict[str, Any], kind: type[msgspec.Struct], place: str, problems: list[str]) -> object:
    members = {}
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    if kind.__struct_config__.forbid_unknown_fields:
        problems.extend(
            f"Object contains unknown field `{name}` - at `{place}`" for name in sorted(value.keys() - fields)
        )
    for name, field in fields.items():
        if name in value:
            members[field.name] = _convert(value[name], field.type, f"{place}.{name}", problems)
        elif field.required:
            problems.append(f"Object missing required field `{name}` - at `{place}`")
            members[field.name] = _blank(_plain(field.type))
    return kind(**members)


def _blank(kind: Any) -> Any:  # noqa: ANN401 - as above
    """Return what stands for a value that is missing or wrong: a structure of such values, or UNSET."""
    return _convert_members({}, kind, "", []) if _is_struct(kind) else msgspec.UNSET


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _plain(kind: Any) -> Any:  # noqa: ANN401 - as above
    """Return the type alone of `Annotated[type, …]` and of `type | None`; every other as it is."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    some = [each for each in get_args(kind) if each is not NoneType]
    return _plain(some[0]) if get_origin(kind) in {Union, UnionType} and len(some) == 1 else kind


def _has_nul(tree: object) -> bool:
    """Tell whether a string holds U+0000, which no path, name or URL may."""
    if isinstance(tree, str):
        return "\0" in tree
    if isinstance(tree, dict):
        return any(_has_nul(part) for pair in tree.items() for part in pair)
    return isinstance(tree, list) and any(_has_nul(part) for part in tree)
