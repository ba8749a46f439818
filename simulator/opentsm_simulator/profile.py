"""Card profiles: what a virtual SE is when it is delivered. They are TOML files; two come with the package.

A profile names the instances the card is born with, in order, the issuer security domain first, their privileges, and
the key sets of its security domains. Keys of a `keys_file` take the place of the profile's public test keys.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from opentsm_card.aid import Aid
from opentsm_card.documents import parse_toml
from opentsm_card.errors import ProtocolError
from opentsm_card.keys import KeySet
from opentsm_card.privileges import Privilege

__all__ = ["Instance", "Profile", "load_keys", "load_profile", "profile_names"]

_Hex = Annotated[str, msgspec.Meta(pattern="^([0-9A-Fa-f]{2})*$")]
_HexAid = Annotated[str, msgspec.Meta(pattern="^([0-9A-Fa-f]{2}){5,16}$")]

_CARD_STATES: Final = {"OP_READY": 0x01, "INITIALIZED": 0x07, "SECURED": 0x0F, "CARD_LOCKED": 0x7F}
_STATES: Final = {"INSTALLED": 0x03, "SELECTABLE": 0x07, "PERSONALIZED": 0x0F}
# org.globalplatform.contactless.GPCLRegistryEntry.STATE_CL_*
_CONTACTLESS: Final = {"deactivated": 0x00, "activated": 0x01, "non-activatable": 0x80}
# org.globalplatform.contactless.GPCLSystem.SECURE_ELEMENT_*
_SE_TYPES: Final = {"uicc": 1, "embedded": 2, "sd-card": 3}


class KeyTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key set, keys in hex."""

    version: Annotated[int, msgspec.Meta(ge=1, le=0xFF)]  # 1..127, or 255 for initial keys
    enc: _Hex
    mac: _Hex
    dek: _Hex
    type: Literal["aes", "des"] = "aes"
    # Its sequence counter (of 3 bytes), where it was used before the card is delivered.
    counter: Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFF)] = 0

    def __repr__(self) -> str:
        """Show the version only."""
        return f"KeyTable(version={self.version})"

    def key_set(self) -> KeySet:
        """Return it as keys."""
        enc, mac, dek = bytes.fromhex(self.enc), bytes.fromhex(self.mac), bytes.fromhex(self.dek)
        return KeySet(self.version, enc, mac, dek, self.type == "des")


class Instance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An application or security domain that the card is born with."""

    aid: _HexAid
    load_file: _HexAid
    module: _HexAid
    privileges: Annotated[str, msgspec.Meta(pattern="^([0-9A-Fa-f]{2}){3}$")] = "000000"
    domain: _HexAid | None = None
    state: Literal["INSTALLED", "SELECTABLE", "PERSONALIZED"] = "SELECTABLE"
    contactless: Literal["deactivated", "activated", "non-activatable"] | None = None
    # One key set, or several, by name.
    keys: str | tuple[str, ...] | None = None
    # SCP03's i; or, in `scp`, each secure channel protocol with its i, such as "0370", "0255", "1113".
    scp_i: Annotated[int, msgspec.Meta(ge=0, le=0xFF)] = 0x70
    scp: tuple[Annotated[str, msgspec.Meta(pattern="^([0-9A-Fa-f]{2}){2}$")], ...] = ()
    # Failed authentications in a row that block a key set, 0 for none; whether initial keys (255) are exempt.
    failure_limit: Annotated[int, msgspec.Meta(ge=0, le=0x7F)] = 10
    initial_keys_exempt: bool = False
    parameters: _Hex = ""
    # Value of EF of the install parameters: implicit selection, contactless parameters.
    system_parameters: _Hex = ""

    @property
    def key_names(self) -> tuple[str, ...]:
        """Names of its key sets."""
        return (self.keys,) if isinstance(self.keys, str) else self.keys or ()

    @property
    def protocols(self) -> tuple[bytes, ...]:
        """Its secure channel protocols: identifier and i, 2 bytes each."""
        return tuple(bytes.fromhex(pair) for pair in self.scp) or (bytes((0x03, self.scp_i)),)

    @property
    def is_security_domain(self) -> bool:
        """True when it has the Security Domain privilege."""
        return bool(Privilege.parse(bytes.fromhex(self.privileges)) & Privilege.SECURITY_DOMAIN)

    @property
    def state_value(self) -> int:
        """Life cycle state, one byte."""
        return _STATES[self.state]

    @property
    def contactless_value(self) -> int:
        """Contactless activation state, one byte; security domains can't be activated."""
        default = "non-activatable" if self.is_security_domain else "deactivated"
        return _CONTACTLESS[self.contactless or default]


class MemoryTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much memory the card has, and what objects take of it; in bytes.

    Args:
        non_volatile: for code, objects and arrays.
        reset: for transient arrays that a reset clears.
        deselect: for transient arrays that are cleared when their application is deselected.
        object_header: what an object takes beside its fields: 2 each, an int 4.
        array_header: what an array takes beside its elements: 1 a byte or boolean, 2 a short or reference, 4 an int.
        boundary: objects and arrays are rounded up to a multiple of it.
    """

    non_volatile: Annotated[int, msgspec.Meta(ge=1024, le=1 << 30)] = 1 << 20
    reset: Annotated[int, msgspec.Meta(ge=0, le=1 << 24)] = 1 << 16
    deselect: Annotated[int, msgspec.Meta(ge=0, le=1 << 24)] = 1 << 16
    object_header: Annotated[int, msgspec.Meta(ge=0, le=64)] = 8
    array_header: Annotated[int, msgspec.Meta(ge=0, le=64)] = 8
    boundary: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a card is when it is delivered."""

    summary: str
    secure_element_type: Literal["uicc", "embedded", "sd-card"]
    instances: Annotated[tuple[Instance, ...], msgspec.Meta(min_length=1)]
    keys: dict[str, KeyTable]
    card_state: Literal["OP_READY", "INITIALIZED", "SECURED", "CARD_LOCKED"] = "SECURED"
    atr: _Hex = "3B80800101"
    iin: _Hex = ""
    name: str = ""
    # Calls, and 4096 turns of a loop each, of loaded code that one command may take; then the card is mute until reset.
    # Loops that only count up to something are not counted.
    most_steps: Annotated[int, msgspec.Meta(ge=1)] = 100_000_000
    # Bytes that a transaction may take in the commit buffer: for each field or element 4 and its old value.
    commit_bytes: Annotated[int, msgspec.Meta(ge=0, le=0x7FFF)] = 4096
    memory: MemoryTable = MemoryTable()
    # Whether loaded code meets the applet firewall (JCRE 3.0.5, 6).
    firewall: bool = True
    # Whether loaded code tells of its writes. Without, neither an aborted transaction nor a power cut takes them back.
    transactions: bool = True
    # Packages on the card, in the order in which they are loaded: CAP files, or folders of projects, which are built;
    # relative to the profile's file. `built-in:ppse` is one of the simulator's own; by default there are all of those
    # but what an issuer or a person brings.
    packages: tuple[str, ...] = ()

    @property
    def atr_bytes(self) -> bytes:
        """Answer to reset."""
        return bytes.fromhex(self.atr)

    @property
    def card_state_value(self) -> int:
        """Card life cycle state, one byte."""
        return _CARD_STATES[self.card_state]

    @property
    def secure_element_value(self) -> int:
        """The kind of SE, as org.globalplatform.contactless.GPCLSystem counts them."""
        return _SE_TYPES[self.secure_element_type]

    def key_sets(self) -> dict[str, KeySet]:
        """Return the profile's own key sets by name."""
        return {name: table.key_set() for name, table in self.keys.items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(path.read_bytes(), dict[str, Any], str(path))
    except FileNotFoundError as error:
        raise ProtocolError(f"{path}: there is no such file") from error
    except OSError as error:
        raise ProtocolError(f"{path}: {error.strerror}") from error


def profile_names() -> tuple[str, ...]:
    """Name the profiles that come with the package."""
    folder = resources.files("opentsm_simulator") / "profiles"
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_profile(name: str) -> Profile:
    """Load a profile by its name, or by the path of a TOML file of one's own.

    Raises:
        ProtocolError: there is none of that name, or it is not a valid profile; the message names the place.
    """
    if name in profile_names():
        path = Path(str(resources.files("opentsm_simulator") / "profiles" / f"{name}.toml"))
    elif name.endswith(".toml"):
        path = Path(name)
    else:
        raise ProtocolError(f"no card profile {name!r}; there are {', '.join(profile_names())}, or name a .toml file")
    try:
        profile = msgspec.convert(_read(path), Profile)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"{path}: {error}") from error
    packages = tuple(each if each.startswith("built-in:") else str(path.parent / each) for each in profile.packages)
    profile = msgspec.structs.replace(profile, name=profile.name or path.stem, packages=packages)
    _check(profile, path)
    return profile


def _check(profile: Profile, path: Path) -> None:
    known: set[Aid] = set()
    for index, instance in enumerate(profile.instances):
        place = f"{path}: instances[{index}]"
        if (instance.domain is None) != (index == 0):
            raise ProtocolError(f"{place}: the issuer security domain is the first instance, and alone has no domain")
        if instance.domain is not None and Aid.from_text(instance.domain) not in known:
            raise ProtocolError(f"{place}: its domain {instance.domain} comes later, or not at all")
        for name in instance.key_names:
            if name not in profile.keys:
                raise ProtocolError(f"{place}: there are no keys.{name}")
        known.add(Aid.from_text(instance.aid))
    if not profile.instances[0].is_security_domain:
        raise ProtocolError(f"{path}: instances[0]: the issuer security domain has the Security Domain privilege")
    for key_name, table in profile.keys.items():
        try:
            table.key_set()
        except ProtocolError as error:
            raise ProtocolError(f"{path}: keys.{key_name}: {error}") from error


def load_keys(path: Path) -> dict[str, KeySet]:
    """Load a `keys_file`: tables `[isd]`, and `[central]` where the profile has one.

    Raises:
        ProtocolError: it is not a valid keys file; the message names the place and no key.
    """
    keys: dict[str, KeySet] = {}
    for name, table in _read(path).items():
        try:
            keys[name] = msgspec.convert(table, KeyTable).key_set()
        except (msgspec.ValidationError, ProtocolError) as error:
            raise ProtocolError(f"{path}: [{name}]: {error}") from None
    return keys
