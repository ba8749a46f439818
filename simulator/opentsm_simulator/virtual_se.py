"""Virtual secure elements, in process.

A `VirtualSe` is a card of one profile, with an identity of its own. It has two interfaces, contact and contactless; a
link to one of them is as good as a reader's.
"""

from __future__ import annotations

import functools
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import jpype

from opentsm_card.atr import Atr
from opentsm_card.errors import ProtocolError, StorageError
from opentsm_simulator.faults import Fault, read_fault
from opentsm_simulator.image import CardImage, ImageFile, parsed
from opentsm_simulator.profile import Profile, load_profile
from opentsm_simulator.provisioning import make_card, maker_of, restored_card
from opentsm_simulator.trace.recorder import Trace
from opentsm_simulator.virtual_link import Interface, VirtualLink

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from opentsm_card.keys import KeySet

__all__ = ["HotSpot", "Interface", "VirtualLink", "VirtualSe"]


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
        self._rig = self._card.rig()
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
        told = Trace(maker_of(chosen, counted=True)) if trace else None
        return cls(se_id, chosen, functools.partial(make_card, chosen, se_id, key_sets, told), told)

    def __repr__(self) -> str:
        """Show identity and profile."""
        return f"VirtualSe({self.se_id!r}, {self.profile.name!r})"

    @property
    def atr(self) -> bytes:
        """Answer to reset; its historical bytes are those that an application with Card Reset set last."""
        return Atr.parse(self.profile.atr_bytes).with_historical(bytes(self._rig.historicalBytes())).raw

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
        se = cls(image.se_id, image.profile, functools.partial(restored_card, image.profile, image.state))
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
            self._rig.keepIn(None)
            self._file.close()
            self._file = None

    def image(self) -> CardImage:
        """Return what it keeps without power."""
        if self._delivered is None:
            self._delivered = bytes(self._make().rig().snapshot())
        return CardImage(self.se_id, self.profile, self._delivered, bytes(self._rig.snapshot()))

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
        card = restored_card(wanted.profile, wanted.state, self._card)
        self.profile = wanted.profile
        self._delivered_as(wanted)
        self._go_on(card)

    def _delivered_as(self, image: CardImage) -> None:
        self._delivered = image.delivered
        self._make = functools.partial(restored_card, image.profile, image.delivered)

    def keep_in(self, file: ImageFile) -> None:
        """Have the card's state kept in a file, now and whenever it changes."""
        self._file = file
        if file.image.delivered != self._delivered or file.image.profile != self.profile:
            file.change(CardImage(self.se_id, self.profile, self._delivered or b"", b""))
        keeper = jpype.JProxy(maker_of(self.profile).keeper, inst=_Keeper(file))
        try:
            self._rig.keepIn(keeper)
        except jpype.JException as error:
            raise StorageError(f"{file.path}: {error.getMessage()}") from error

    def _go_on(self, card: Any) -> None:  # noqa: ANN401 - Java objects have no Python types
        """Be another card from now on."""
        self._card = card
        self._rig = card.rig()
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
        self._rig.cutPower(jpype.JLong(at_write))

    @property
    def is_cut(self) -> bool:
        """True when the power was cut and no reset has brought it back."""
        return bool(self._rig.isCut())

    def count_writes(self) -> None:
        """Count persistent writes from now on, in all and for each address; commands take longer."""
        self._rig.countWrites()
        self._counts = True

    @property
    def writes(self) -> int:
        """Persistent writes so far, of commands that ran while writes were counted, or a power cut was set up."""
        return int(self._rig.writes())

    def hottest(self, most: int = 10) -> list[HotSpot]:
        """Return the addresses of persistent memory that were written most, the hottest first, as far as counted.

        Args:
            most: how many at most.
        """
        return [HotSpot.parse(str(line)) for line in self._rig.hottest(most)]

    def contents(self) -> dict[str, str]:
        """Return a digest of what each instance, and the static fields of each package, hold in persistent memory.

        Two cards with the same digests hold the same; what is in transient memory does not count.

        Returns:
            Digests in hex by AID in hex.
        """
        lines = (str(line).split("\t") for line in self._rig.fingerprint())
        return {aid: digest for aid, digest in lines}  # noqa: C416 - lines are lists, not pairs

    def fault(self) -> Fault | None:
        """Return the exception that ended an applet in the last command; None when none did."""
        lines = [str(line) for line in self._rig.fault()]
        if not lines:
            return None
        return read_fault(lines, maker_of(self.profile, counted=self.trace is not None).reader)

    def registry_lines(self) -> list[str]:
        """Return what the OPEN's registry holds, a line an entry, fields separated by tabs (Inspection.java)."""
        return [str(line) for line in self._rig.registry()]

    def parameter_lines(self) -> list[str]:
        """Return the parameters of registry entries, a line an entry, fields separated by tabs (Inspection.java)."""
        return [str(line) for line in self._rig.parameters()]

    def figures(self) -> tuple[int, ...]:
        """Return card state, whether the contactless interface is on, and bytes of memory.

        Of non-volatile memory all and what is free, then the same of volatile memory.
        """
        return tuple(int(figure) for figure in self._rig.figures())

    def ask(self, aid: bytes, command: bytes) -> bytes:
        """Have an application answer a command beside all interfaces; empty when it can't be selected now.

        Nothing that is selected, and no session, is disturbed. For what anyone may read, such as key information.
        """
        return bytes(self._rig.ask(aid, command))

    def effects(self) -> list[str]:
        """List what commands left behind on the card since it was made, in order.

        Such as `install F06F…`, `put-key F06F… 31`, `store-data F06F… <operation id>`; never data.
        """
        return [str(line) for line in self._rig.effects()]

    def log_effects(self, path: str) -> None:
        """Append later effects to a file also, one line each, as they happen.

        Raises:
            ProtocolError: the file can't be written.
        """
        try:
            self._rig.logEffectsTo(path)
            self._log = path
        except jpype.JException as error:
            raise ProtocolError(f"{path}: {error.getMessage()}") from error


class _Keeper:
    """The Python side of the card runtime's interface of this name."""

    def __init__(self, file: ImageFile) -> None:
        self._file = file

    def keep(self, state: Any) -> bool:  # noqa: ANN401 - a Java byte array
        """Keep a state; tell whether it could be done."""
        return self._file.keep_or_log(bytes(state))
