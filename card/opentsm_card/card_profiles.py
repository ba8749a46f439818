"""What is publicly known of real cards: a TOML file a family, each fact with its source.

Nothing here is needed to talk to a card: a profile spares questions (where the issuer security domain is, which i its
secure channel has) and tells people what they may run into. What is not known is left out.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from opentsm_card.aid import Aid
from opentsm_card.documents import parse_toml
from opentsm_card.errors import ProtocolError

__all__ = ["CardProfile", "load_card_profile", "parse_card_profile", "profile_names", "recognize"]

_FOLDER = "profiles"
_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Byte = Annotated[int, msgspec.Meta(ge=0, le=0xFF)]
_HexAid = Annotated[str, msgspec.Meta(pattern="^([0-9A-F]{2}){5,16}$")]
_Pattern = Annotated[str, msgspec.Meta(pattern="^3[BF]([0-9A-FX]{2}){1,32}$")]
_Source = Annotated[str, msgspec.Meta(pattern="^https://")]


class AtrFact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An answer to reset of one card of the family; X stands for any digit."""

    pattern: _Pattern
    card: _Text
    source: str

    def fits(self, atr: bytes) -> bool:
        """Tell whether an answer to reset is this one."""
        text = atr.hex().upper()
        if len(text) != len(self.pattern):
            return False
        return all(wanted in {"X", digit} for wanted, digit in zip(self.pattern, text, strict=True))


class IssuerFact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the issuer security domain is."""

    aid: _HexAid
    source: str


class VersionFact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which GlobalPlatform the card says it implements."""

    version: Annotated[str, msgspec.Meta(pattern=r"^\d+(\.\d+){1,3}$")]
    source: str


class DomainFact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What supplementary security domains are installed from."""

    package: _HexAid
    source: str
    module: _HexAid | None = None


class ChannelFact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A secure channel protocol that such cards have been seen with."""

    scp: _Byte
    source: str
    i: _Byte | None = None
    key_version: _Byte | None = None


class DiversificationFact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the keys of cards as delivered derive from the vendor's."""

    method: Literal["emv", "visa2", "kdf3"]
    source: str


class Quirk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What differs from the specification, or from what one expects."""

    text: _Text
    source: str


class CardProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of a family of cards.

    A file of one's own can also declare that its cards are test cards (`test_card`), so that published test keys may be
    used with them; no family's profile does.
    """

    title: _Text
    vendor: _Text
    sources: dict[str, _Source]
    atr: tuple[AtrFact, ...] = ()
    issuer: IssuerFact | None = None
    globalplatform: VersionFact | None = None
    security_domain: DomainFact | None = None
    secure_channel: tuple[ChannelFact, ...] = ()
    diversification: DiversificationFact | None = None
    quirk: tuple[Quirk, ...] = ()
    test_card: bool = False
    name: str = ""

    @property
    def issuer_aid(self) -> Aid | None:
        """AID of the issuer security domain, or None."""
        return None if self.issuer is None else Aid.from_text(self.issuer.aid)

    def parameters(self) -> dict[int, int]:
        """Return i by secure channel protocol, where it is known."""
        return {fact.scp: fact.i for fact in self.secure_channel if fact.i is not None}

    def card_of(self, atr: bytes) -> str | None:
        """Return which card of the family has this answer to reset, or None."""
        return next((fact.card for fact in self.atr if fact.fits(atr)), None)

    def facts(self) -> tuple[object, ...]:
        """Return everything that has a source."""
        single = (self.issuer, self.globalplatform, self.security_domain, self.diversification)
        return (*self.atr, *(fact for fact in single if fact is not None), *self.secure_channel, *self.quirk)


def parse_card_profile(document: bytes, source: str, name: str = "") -> CardProfile:
    """Parse a profile.

    Args:
        document: TOML.
        source: the file's path, for errors.
        name: of the profile.

    Raises:
        ProtocolError: malformed, or a fact names a source that is not listed, or a source has no fact.
    """
    profile = msgspec.structs.replace(parse_toml(document, CardProfile, source), name=name)
    used = {str(getattr(fact, "source", "")) for fact in profile.facts()}
    if missing := used - set(profile.sources):
        raise ProtocolError(f"{source}: a fact names the source {min(missing)!r}, which is not in [sources]")
    if idle := set(profile.sources) - used:
        raise ProtocolError(f"{source}: no fact comes from the source {min(idle)!r}")
    patterns = [fact.pattern for fact in profile.atr]
    if len(set(patterns)) != len(patterns):
        raise ProtocolError(f"{source}: an answer to reset is there twice")
    return profile


def profile_names() -> tuple[str, ...]:
    """Name the profiles that come with the package."""
    folder = resources.files("opentsm_card") / _FOLDER
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_card_profile(name: str) -> CardProfile:
    """Load a profile by its name, or by the path of a TOML file of one's own.

    Raises:
        ProtocolError: there is none of this name, or the file can't be read or is malformed.
    """
    if name.endswith(".toml"):
        try:
            return parse_card_profile(Path(name).read_bytes(), name, Path(name).stem)
        except OSError as error:
            raise ProtocolError(f"{name}: {error.strerror}") from error
    if name not in profile_names():
        raise ProtocolError(f"no card profile {name!r}; there are {', '.join(profile_names())}, or name a .toml file")
    entry = resources.files("opentsm_card") / _FOLDER / f"{name}.toml"
    return parse_card_profile(entry.read_bytes(), f"{_FOLDER}/{name}.toml", name)


def recognize(atr: bytes) -> tuple[tuple[CardProfile, str], ...]:
    """Return the profiles that know this answer to reset, each with the card of the family that has it."""
    found = []
    for name in profile_names():
        profile = load_card_profile(name)
        card = profile.card_of(atr)
        if card is not None:
            found.append((profile, card))
    return tuple(found)
