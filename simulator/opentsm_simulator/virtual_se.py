"""Virtual secure elements, in process.

A `VirtualSe` is a card of one profile, with an identity of its own. It has two interfaces, contact and contactless; a
link to one of them is as good as a reader's.
"""

from __future__ import annotations

import functools
import hashlib
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import jpype

from opentsm_card import tlv
from opentsm_card.atr import Atr
from opentsm_card.errors import OpenTsmError, ProtocolError, StorageError
from opentsm_simulator.faults import Fault, read_fault
from opentsm_simulator.image import CardImage, ImageFile, parsed
from opentsm_simulator.profile import Instance, Profile, load_profile
from opentsm_simulator.runtime import CardPackage, built_in_packages, card_maker, package
from opentsm_simulator.trace.recorder import Trace
from opentsm_simulator.virtual_link import Interface, VirtualLink

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from opentsm_card.keys import KeySet
    from opentsm_simulator.profile import KeyTable

__all__ = ["HotSpot", "Interface", "VirtualLink", "VirtualSe", "diversification_data"]

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


@dataclass(frozen=True, slots=True)
class HotSpot:
    """An address of a card's persistent memory, and how often it was written.

    Args:
        writes: how often.
        owner: AID in hex of the instance, or else of the package, that the object belongs to.
        number: of the object: the card counts them from 1 as they are made.
        what: the object, such as `byte[16]`, `static fields` or a class's name.
        offset: of the element, or the field, in it.
    """

    writes: int
    owner: str
    number: int
    what: str
    offset: int

    @classmethod
    def parse(cls, line: str) -> HotSpot:
        """Read a line of `Wear.hottest`."""
        writes, owner, number, what, offset = line.split("\t")
        return cls(int(writes), owner, int(number), what, int(offset))


class VirtualSe:
    """A virtual SE in this process; make it with `create`."""

    def __init__(self, se_id: str, profile: Profile, make: Callable[[], Any], trace: Trace | None = None) -> None:
        self.se_id = se_id
        self.profile = profile
        self.trace = trace
        self._make = make
        self._card = make()
        self._delivered: bytes | None = None
        self._file: ImageFile | None = None
        self._log: str | None = None
        self._counts = False
        self._links: weakref.WeakSet[VirtualLink] = weakref.WeakSet()

    @classmethod
    def create(
        cls,
        profile: str | Profile,
        *,
        se_id: str = "virtual",
        keys: Mapping[str, KeySet] | None = None,
        trace: bool = False,
    ) -> Self:
        """Make a card as its profile says.

        Args:
            profile: its name, the path of a TOML file, or the profile itself.
            se_id: the SE's identity: its diversification data, CIN and serial number derive from it.
            keys: key sets by name (`isd`, `central`) in place of the profile's.
            trace: have `trace` tell what code executes and writes; it is slower then. A state that is restored is not
                traced.

        Raises:
            ProtocolError: the profile is not valid, or keys are named that it has no use for.
            OpenTsmError: an instance refused to be installed.
            TransportError: an archive is not in the cache and can't be fetched.
        """
        chosen = load_profile(profile) if isinstance(profile, str) else profile
        key_sets = chosen.key_sets()
        if unknown := set(keys or ()) - set(key_sets):
            raise ProtocolError(f"profile {chosen.name} has no keys named {', '.join(sorted(unknown))}")
        key_sets.update(keys or {})
        told = Trace(card_maker(_packages(chosen), counted=True)) if trace else None
        return cls(se_id, chosen, functools.partial(_make, chosen, se_id, key_sets, told), told)

    def __repr__(self) -> str:
        """Show identity and profile."""
        return f"VirtualSe({self.se_id!r}, {self.profile.name!r})"

    @property
    def atr(self) -> bytes:
        """Answer to reset; its historical bytes are those that an application with Card Reset set last."""
        return Atr.parse(self.profile.atr_bytes).with_historical(bytes(self._card.historicalBytes())).raw

    def link(self, interface: Interface = "contact") -> VirtualLink:
        """Return a fresh link to one interface, which is reset."""
        side = self._side(interface)
        side.reset()
        link = VirtualLink(side, lambda: self.atr, interface, self.fault)
        self._links.add(link)
        return link

    def _side(self, interface: Interface) -> Any:  # noqa: ANN401 - Java objects have no Python types
        return self._card.contact() if interface == "contact" else self._card.contactless()

    def reset(self) -> None:
        """Reset the SE as a whole, both interfaces: what is selected and every session end, the links stay."""
        for side in (self._card.contactless(), self._card.contact()):
            side.reset()

    def renew(self) -> None:
        """Make the SE anew, as it was delivered; open links go on with the new one.

        Raises:
            ProtocolError: the file that effects are logged to can't be written any more.
        """
        self._go_on(self._make())

    # What it keeps without power.

    @classmethod
    def from_image(cls, image: bytes) -> Self:
        """Make the card that an image says, without power.

        Raises:
            ProtocolError: it is no card image, is damaged, or is another release's; the message says which.
        """
        return cls._made_of(CardImage.parse(image))

    @classmethod
    def _made_of(cls, image: CardImage) -> Self:
        se = cls(image.se_id, image.profile, functools.partial(_restored, image.profile, image.state))
        se._delivered_as(image)
        return se

    @classmethod
    def open(cls, path: Path, *, synced: bool = False) -> Self:
        """Run the card of an image file, which is kept up to date from then on, until `close`.

        Args:
            path: the file.
            synced: whether each write waits for the disk (`opentsm_simulator.image`).

        Raises:
            StorageError: the file can't be read or written, or another process runs it.
            ProtocolError: it is no card image, is damaged, or is another release's.
        """
        file = ImageFile(path, synced=synced)
        try:
            se = cls._made_of(file.image)
            se.keep_in(file)
        except ProtocolError as error:
            file.close()
            raise ProtocolError(f"{path}: {error}") from error
        except BaseException:
            file.close()
            raise
        return se

    @property
    def image_path(self) -> Path | None:
        """Where its image is kept up to date; None where it is not."""
        return self._file.path if self._file is not None else None

    def close(self) -> None:
        """Keep the image file up to date no longer, and let others run it; safe to call twice."""
        if self._file is not None:
            self._card.keepIn(None)
            self._file.close()
            self._file = None

    def image(self) -> CardImage:
        """Return what it keeps without power."""
        if self._delivered is None:
            self._delivered = bytes(self._make().snapshot())
        return CardImage(self.se_id, self.profile, self._delivered, bytes(self._card.snapshot()))

    def snapshot(self) -> bytes:
        """Return a card image: what it keeps without power, keys included (`opentsm_simulator.image`).

        Not in the middle of a command. Sessions and transient memory are not in it.
        """
        return self.image().encode()

    def restore(self, image: bytes) -> None:
        """Become the card that an image says, without power; open links go on with it, its own identity stays.

        It takes some milliseconds where the load files are those that are on the card already.

        Raises:
            ProtocolError: it is no card image, is damaged, or is another release's; then nothing has changed.
        """
        wanted = parsed(image)
        card = _restored(wanted.profile, wanted.state, self._card)
        self.profile = wanted.profile
        self._delivered_as(wanted)
        self._go_on(card)

    def _delivered_as(self, image: CardImage) -> None:
        self._delivered = image.delivered
        self._make = functools.partial(_restored, image.profile, image.delivered)

    def keep_in(self, file: ImageFile) -> None:
        """Have the card's state kept in a file, now and whenever it changes."""
        self._file = file
        if file.image.delivered != self._delivered or file.image.profile != self.profile:
            file.change(CardImage(self.se_id, self.profile, self._delivered or b"", b""))
        keeper = jpype.JProxy(card_maker(_packages(self.profile)).keeper, inst=_Keeper(file))
        try:
            self._card.keepIn(keeper)
        except jpype.JException as error:
            raise StorageError(f"{file.path}: {error.getMessage()}") from error

    def _go_on(self, card: Any) -> None:  # noqa: ANN401 - Java objects have no Python types
        """Be another card from now on."""
        self._card = card
        if self._file is not None:
            self.keep_in(self._file)
        for link in list(self._links):
            link.rebind(self._side(link.interface))
        if self._log is not None:
            self.log_effects(self._log)
        if self._counts:
            self.count_writes()

    def cut_power(self, *, at_write: int) -> None:
        """Cut the power at the n-th persistent write from now: that write and all later ones do not happen.

        From then on the card answers nothing (LinkTimeoutError) until any of its interfaces is reset. Then it is as a
        card is: an unfinished transaction is undone, transient memory is cleared, logical channels are closed.

        Args:
            at_write: 1 for the next write; 0 takes back what was set up before.

        Raises:
            ProtocolError: the number is negative.

        Spec: Java Card RE 3.0.5, 3.6, 7.5.
        """
        if at_write < 0:
            raise ProtocolError(f"there is no write {at_write}")
        self._card.cutPower(jpype.JLong(at_write))

    @property
    def is_cut(self) -> bool:
        """True when the power was cut and no reset has brought it back."""
        return bool(self._card.isCut())

    def count_writes(self) -> None:
        """Count persistent writes from now on, in all and for each address; commands take longer."""
        self._card.countWrites()
        self._counts = True

    @property
    def writes(self) -> int:
        """Persistent writes so far, of commands that ran while writes were counted, or a power cut was set up."""
        return int(self._card.writes())

    def hottest(self, most: int = 10) -> list[HotSpot]:
        """Return the addresses of persistent memory that were written most, the hottest first, as far as counted.

        Args:
            most: how many at most.
        """
        return [HotSpot.parse(str(line)) for line in self._card.hottest(most)]

    def contents(self) -> dict[str, str]:
        """Return a digest of what each instance, and the static fields of each package, hold in persistent memory.

        Two cards with the same digests hold the same; what is in transient memory does not count.

        Returns:
            Digests in hex by AID in hex.
        """
        lines = (str(line).split("\t") for line in self._card.fingerprint())
        return {aid: digest for aid, digest in lines}  # noqa: C416 - lines are lists, not pairs

    def fault(self) -> Fault | None:
        """Return the exception that ended an applet in the last command; None when none did."""
        lines = [str(line) for line in self._card.fault()]
        if not lines:
            return None
        return read_fault(lines, card_maker(_packages(self.profile), counted=self.trace is not None).reader)

    def registry_lines(self) -> list[str]:
        """Return what the OPEN's registry holds, a line an entry, fields separated by tabs (Inspection.java)."""
        return [str(line) for line in self._card.inspect()]

    def parameter_lines(self) -> list[str]:
        """Return the parameters of registry entries, a line an entry, fields separated by tabs (Inspection.java)."""
        return [str(line) for line in self._card.parameters()]

    def figures(self) -> tuple[int, ...]:
        """Return card state, whether the contactless interface is on, and bytes of memory.

        Of non-volatile memory all and what is free, then the same of volatile memory.
        """
        return tuple(int(figure) for figure in self._card.figures())

    def ask(self, aid: bytes, command: bytes) -> bytes:
        """Have an application answer a command beside all interfaces; empty when it can't be selected now.

        Nothing that is selected, and no session, is disturbed. For what anyone may read, such as key information.
        """
        return bytes(self._card.ask(aid, command))

    def effects(self) -> list[str]:
        """List what commands left behind on the card since it was made, in order.

        Such as `install F06F…`, `put-key F06F… 31`, `store-data F06F… <operation id>`; never data.
        """
        return [str(line) for line in self._card.effects()]

    def log_effects(self, path: str) -> None:
        """Append later effects to a file also, one line each, as they happen.

        Raises:
            ProtocolError: the file can't be written.
        """
        try:
            self._card.logEffectsTo(path)
            self._log = path
        except jpype.JException as error:
            raise ProtocolError(f"{path}: {error.getMessage()}") from error


def _make(profile: Profile, se_id: str, key_sets: Mapping[str, KeySet], trace: Trace | None) -> Any:  # noqa: ANN401 - Java
    provisioner = card_maker(_packages(profile), counted=trace is not None).begin(
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


class _Keeper:
    """The Python side of the card runtime's interface of this name."""

    def __init__(self, file: ImageFile) -> None:
        self._file = file

    def keep(self, state: Any) -> bool:  # noqa: ANN401 - a Java byte array
        """Keep a state; tell whether it could be done."""
        return self._file.keep_or_log(bytes(state))


def _restored(profile: Profile, state: bytes, before: Any = None) -> Any:  # noqa: ANN401 - Java objects
    maker = card_maker(_packages(profile))
    try:
        return maker.empty(firewall=profile.firewall, transactions=profile.transactions).restore(state, before)
    except maker.error as error:
        raise ProtocolError(f"this card image can't be taken: {error.getMessage()}") from None


def _packages(profile: Profile) -> tuple[CardPackage, ...]:
    if not profile.packages:
        return built_in_packages()
    return tuple(package(entry) for entry in profile.packages)


def _identity(profile: Profile, se_id: str) -> dict[int, bytes]:
    digest = hashlib.sha256(se_id.encode()).digest()
    identity = {
        _TAG_DIVERSIFICATION: digest[:10],
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
