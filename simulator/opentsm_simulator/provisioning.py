"""Makes cards as their profiles say, or as their images do: packages, first instances with their keys, identity.

A card is the card runtime's `CardRuntime`, which Python has no type for; `opentsm_simulator.virtual_se` runs it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import jpype

from opentsm_card import tlv
from opentsm_card.atr import Atr
from opentsm_card.errors import OpenTsmError, ProtocolError
from opentsm_simulator.runtime import CardMaker, built_in_packages, card_maker, package

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentsm_card.keys import KeySet
    from opentsm_simulator.profile import Instance, KeyTable, Profile
    from opentsm_simulator.trace.recorder import Trace

__all__ = ["diversification_data", "make_card", "maker_of", "restored_card"]

_TAG_IIN: Final = 0x42
_TAG_CIN: Final = 0x45
_TAG_DIVERSIFICATION: Final = 0xCF
_TAG_CPLC: Final = 0x9F7F

# Card production life cycle data: fabricator to IC fabrication date, then serial number and batch, then the rest.
_CPLC_HEAD: Final = bytes.fromhex("4F540001 4F54 6285 0100 6285".replace(" ", ""))
_CPLC_BYTES: Final = 42


def diversification_data(se_id: str) -> bytes:
    """Return the 10 bytes by which an SE names itself in its answer to INITIALIZE UPDATE."""
    return hashlib.sha256(se_id.encode()).digest()[:10]


def maker_of(profile: Profile, *, counted: bool = False) -> CardMaker:
    """Return the maker of cards with a profile's packages.

    Args:
        profile: the profile.
        counted: have executed instructions counted.

    Raises:
        ProtocolError: a package that it names is not there, or its project file is wrong.
        CapError: a package is no CAP file, or can't be made one.
        TransportError: an archive is not in the cache and can't be fetched.
    """
    packages = tuple(package(entry) for entry in profile.packages) if profile.packages else built_in_packages()
    return card_maker(packages, counted=counted)


def make_card(profile: Profile, se_id: str, key_sets: Mapping[str, KeySet], trace: Trace | None = None) -> Any:  # noqa: ANN401 - Java objects have no Python types
    """Return a new card as its profile says.

    Args:
        profile: what it is.
        se_id: its identity, which its data objects derive from.
        key_sets: its key sets by the names that the profile's instances have for them.
        trace: is told what the card executes and writes; None for none.

    Raises:
        OpenTsmError: a package or an instance is refused.
    """
    provisioner = maker_of(profile, counted=trace is not None).begin(
        firewall=profile.firewall,
        transactions=profile.transactions,
        trace=None if trace is None else trace.java,
    )
    provisioner.setMostSteps(jpype.JLong(profile.most_steps))
    provisioner.setCommitCapacity(profile.commit_bytes)
    memory = profile.memory
    provisioner.setMemory(memory.non_volatile, memory.reset, memory.deselect)
    provisioner.setMemoryModel(memory.object_header, memory.array_header, memory.boundary)
    provisioner.setKind(profile.secure_element_value, Atr.parse(profile.atr_bytes).historical)
    for tag, value in _identity(profile, se_id).items():
        provisioner.setData(tag, value)
    for instance in profile.instances:
        _install(provisioner, profile, instance, key_sets)
    return provisioner.finish(profile.card_state_value)


def restored_card(profile: Profile, state: bytes, before: Any = None) -> Any:  # noqa: ANN401 - Java objects
    """Return the card that an image's state says.

    Args:
        profile: what it is.
        state: what it keeps without power (`opentsm_simulator.image`).
        before: a card that is used no longer, whose classes may be used again; None for none.

    Raises:
        ProtocolError: this release can't take it.
    """
    maker = maker_of(profile)
    try:
        return maker.empty(firewall=profile.firewall, transactions=profile.transactions).restore(state, before)
    except maker.error as error:
        raise ProtocolError(f"this card image can't be taken: {error.getMessage()}") from None


def _identity(profile: Profile, se_id: str) -> dict[int, bytes]:
    digest = hashlib.sha256(se_id.encode()).digest()
    identity = {
        _TAG_DIVERSIFICATION: diversification_data(se_id),
        _TAG_CIN: digest[:8],
        _TAG_CPLC: (_CPLC_HEAD + digest[10:16]).ljust(_CPLC_BYTES, b"\0"),
    }
    if profile.iin:
        identity[_TAG_IIN] = bytes.fromhex(profile.iin)
    return identity


def _domain_parameters(instance: Instance, key_sets: Mapping[str, KeySet], delivered: Mapping[str, KeyTable]) -> bytes:
    # GP Card 2.3.1, 11.5.2.3.7: tag 81 names a secure channel protocol. D9 (ours) is its limit of failures; D8 and D7
    # (ours) bring key sets of AES and DES, which a security domain takes while the card is being made only.
    parameters = b"".join(tlv.encode(0x81, pair) for pair in instance.protocols)
    parameters += tlv.encode(0xD9, bytes((instance.failure_limit, instance.initial_keys_exempt)))
    for name in instance.key_names:
        keys = key_sets[name]
        material = bytes((keys.version, len(keys.enc))) + keys.enc + keys.mac + keys.dek
        material += delivered[name].counter.to_bytes(3, "big") if delivered[name].counter else b""
        parameters += tlv.encode(0xD7 if keys.des else 0xD8, material)
    return parameters


def _install(
    provisioner: Any,  # noqa: ANN401 - Java objects have no Python types
    profile: Profile,
    instance: Instance,
    key_sets: Mapping[str, KeySet],
) -> None:
    parameters = bytes.fromhex(instance.parameters)
    system = bytes.fromhex(instance.system_parameters)
    if instance.is_security_domain:
        parameters += _domain_parameters(instance, key_sets, profile.keys)
    try:
        provisioner.addInstance(
            bytes.fromhex(instance.domain or ""),
            bytes.fromhex(instance.load_file),
            bytes.fromhex(instance.module),
            bytes.fromhex(instance.aid),
            bytes.fromhex(instance.privileges),
            tlv.encode(0xC9, parameters) + (tlv.encode(0xEF, system) if system else b""),
            instance.state_value,
            instance.contactless_value,
        )
    except jpype.JException as error:
        sw = int(jpype.JClass(provisioner.getClass()).statusWordOf(error))
        detail = f"refused with {sw:04X}" if sw else str(error.toString())
        raise OpenTsmError(f"the card could not be made: instance {instance.aid}: {detail}") from None
