"""What is wanted of a secure element: a state, not a way to it.

Everything not named is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentsm_card.plan.refusal import PlanError, Refusal
from opentsm_card.privileges import Privilege

if TYPE_CHECKING:
    from opentsm_card.aid import Aid
    from opentsm_card.lifecycle import CardState

__all__ = [
    "Absent",
    "ApplicationPresent",
    "CardIn",
    "KeySetsPresent",
    "Locked",
    "PackagePresent",
    "SecurityDomainPresent",
    "Unlocked",
    "Wanted",
    "WantedItem",
    "renewal",
]


@dataclass(frozen=True, slots=True)
class SecurityDomainPresent:
    """A security domain is there, under its parent, with keys of its own.

    Args:
        aid: its AID.
        privileges: None for what the configuration's table gives a service provider's security domain.
        parameters: install parameters, as INSTALL [for install] carries them.
        parent: the security domain that it is associated with; None for the central security domain.
        key_version: while it has no keys of its own, put a key set of this version (1..127) into it; None to leave it
            without. A security domain that has keys keeps them: whose they are can't be read from the card.
    """

    aid: Aid
    privileges: Privilege | None = None
    parameters: bytes = b"\xc9\x00"
    parent: Aid | None = None
    key_version: int | None = None


@dataclass(frozen=True, slots=True)
class KeySetsPresent:
    """A security domain has these key sets. Which keys a version stands for can't be read, so what is there is kept.

    Args:
        aid: the security domain's, the issuer's too.
        versions: of the key sets, 1..127, in the order in which they are put; the last one opens it from then on.
        only: other key sets are deleted, after the last of `versions` has opened a secure channel.
    """

    aid: Aid
    versions: tuple[int, ...]
    only: bool = False


@dataclass(frozen=True, slots=True)
class PackagePresent:
    """A package is on the card, loaded from a file that the caller has.

    Args:
        aid: the load file's AID.
        version: as the registry gives it (major, minor); empty to take any that is there.
        modules: AIDs of its modules; empty when not known, which ends a plan behind the loading.
        size_bytes: of the load file data block, for the estimate of room.
        hash: of the load file data block; empty for none.
        security_domain: which one it belongs to; None for the central security domain.
        imports: AIDs of the packages that have to be there before.
        replace: another version that is there goes, with its instances; those that are wanted are installed anew.
    """

    aid: Aid
    version: bytes = b""
    modules: tuple[Aid, ...] = ()
    size_bytes: int = 0
    hash: bytes = b""
    security_domain: Aid | None = None
    imports: frozenset[Aid] = frozenset()
    replace: bool = False


@dataclass(frozen=True, slots=True)
class ApplicationPresent:
    """An instance of an application is there.

    Args:
        package: the load file it is made from.
        module: the executable module in it.
        aid: the instance's AID.
        privileges: of the instance.
        parameters: install parameters, as INSTALL [for install] carries them.
        associated_sd: the security domain that it belongs to; None for the central security domain.
        selectable: at least SELECTABLE. (From SELECTABLE there is no way back, so False asks for nothing.)
        contactless: True for activated, False for not, on the contactless interface; None to leave it.
    """

    package: Aid
    module: Aid
    aid: Aid
    privileges: Privilege = Privilege.NONE
    parameters: bytes = b"\xc9\x00"
    associated_sd: Aid | None = None
    selectable: bool = True
    contactless: bool | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """An application, security domain or load file is not there.

    Args:
        aid: its AID.
        related: with a security domain all that is under it too, with a load file all its instances. Without it, what
            is in use is refused.
    """

    aid: Aid
    related: bool = False


@dataclass(frozen=True, slots=True)
class Locked:
    """An application is LOCKED, or a security domain with everything under it.

    Args:
        aid: its AID.
        everything: it is a security domain.
    """

    aid: Aid
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Unlocked:
    """An application is not LOCKED, or a security domain with what was locked with it.

    Args:
        aid: its AID.
        everything: it is a security domain; what was locked one by one under it stays locked.
    """

    aid: Aid
    everything: bool = False


@dataclass(frozen=True, slots=True)
class CardIn:
    """The card has a life cycle: CARD_LOCKED, SECURED again, or TERMINATED."""

    state: CardState


WantedItem = (
    SecurityDomainPresent | KeySetsPresent | PackagePresent | ApplicationPresent | Absent | Locked | Unlocked | CardIn
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A wanted state: the sum of its items, in no order.

    Raises:
        PlanError: two items contradict each other.
    """

    items: tuple[WantedItem, ...]

    def __post_init__(self) -> None:
        """Find items that contradict each other."""
        present: dict[Aid, WantedItem] = {}
        absent: set[Aid] = set()
        locks: dict[Aid, type[Locked | Unlocked]] = {}
        keys: dict[Aid, KeySetsPresent] = {}
        card: set[CardState] = set()
        for item in self.items:
            match item:
                case SecurityDomainPresent() | PackagePresent() | ApplicationPresent():
                    if present.setdefault(item.aid, item) != item:
                        raise _contradiction(item.aid, "it is wanted in two ways")
                case KeySetsPresent():
                    if keys.setdefault(item.aid, item) != item or not item.versions:
                        raise _contradiction(item.aid, "its key sets are wanted in two ways, or none is")
                case Absent():
                    absent.add(item.aid)
                case Locked() | Unlocked():
                    if locks.setdefault(item.aid, type(item)) is not type(item):
                        raise _contradiction(item.aid, "it is wanted both locked and unlocked")
                case CardIn():
                    card.add(item.state)
        for aid in absent & (present.keys() | locks.keys() | keys.keys()):
            raise _contradiction(aid, "it is wanted absent, and otherwise too")
        if len(card) > 1:
            raise PlanError(Refusal.CONTRADICTION, "the card is wanted in more than one life cycle")


def renewal(application: ApplicationPresent) -> tuple[Wanted, Wanted]:
    """Return the two phases of a renewal: the instance gone, then the instance anew.

    They are planned, sent and confirmed one after the other: the old and the new instance look alike in the registry,
    so only a phase of its own says which of them is there.
    """
    return Wanted((Absent(application.aid),)), Wanted((application,))


def _contradiction(aid: Aid, why: str) -> PlanError:
    return PlanError(Refusal.CONTRADICTION, why, aid=aid)
