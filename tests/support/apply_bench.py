"""A folder with a `card.toml` and what it names, and a link that is cut at any APDU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from opentsm_build.cap import CapFile
from opentsm_card.errors import CardRemovedError
from sd_host import BANK, CARD_1, CARD_2, OWN, PAYMENT_MODULE, PAYMENT_PACKAGE, TRANSIT
from small_cap import JAVA_LANG, JAVACARD_FRAMEWORK, small_cap

if TYPE_CHECKING:
    from pathlib import Path

    from opentsm_card.keys import KeySet
    from opentsm_card.link import Link

__all__ = ["LIBRARY", "WALLET", "WALLET_MODULE", "CutLink", "bench_folder", "write_cap", "write_keys"]

LIBRARY: Final = OWN + b"\x01\x20"
WALLET: Final = OWN + b"\x01\x21"
WALLET_MODULE: Final = WALLET + b"\x01"

DOCUMENT: Final = f"""\
[card]
configuration = "embedded"
state = "SECURED"

[[package]]
cap = "wallet.cap"
hash = "sha256"
security_domain = "{BANK}"

[[package]]
cap = "library.cap"

[[security_domain]]
aid = "{BANK}"
keys = [{{ version = 0x31, file = "bank.toml" }}]

[[security_domain]]
aid = "{TRANSIT}"
keys = [{{ version = 0x31, file = "transit.toml" }}]
locked = true

[[application]]
aid = "{CARD_1}"
package = "{PAYMENT_PACKAGE}"
module = "{PAYMENT_MODULE}"
parameters = "500442616E6B870101C20104"
security_domain = "{BANK}"
contactless = "activated"

[[application]]
aid = "{CARD_2}"
package = "{PAYMENT_PACKAGE}"
module = "{PAYMENT_MODULE}"
privileges = ["global-service"]
selectable = false
locked = true

[[absent]]
aid = "{OWN.hex()}0B000301"
"""


def write_cap(path: Path, block: bytes) -> None:
    """Write a load file data block as the CAP file that it comes from."""
    path.write_bytes(CapFile.parse_load_file(block).encode())


def write_keys(path: Path, keys: KeySet) -> None:
    """Write a key file."""
    path.write_text("".join(f'{name} = "{getattr(keys, name).hex()}"\n' for name in ("enc", "mac", "dek")))
    path.chmod(0o600)


def bench_folder(folder: Path, bank: KeySet, transit: KeySet, *, version: tuple[int, int] = (1, 0)) -> Path:
    """Write `card.toml`, its CAP files and key files; return its path."""
    wallet = small_cap(
        WALLET,
        version=version,
        modules=(WALLET_MODULE,),
        imports=(JAVACARD_FRAMEWORK, JAVA_LANG, (LIBRARY, 1, 0)),
        padding_bytes=500,
    )
    write_cap(folder / "wallet.cap", wallet)
    write_cap(folder / "library.cap", small_cap(LIBRARY, modules=()))
    write_keys(folder / "bank.toml", bank)
    write_keys(folder / "transit.toml", transit)
    document = folder / "card.toml"
    document.write_text(DOCUMENT)
    return document


class CutLink:
    """A link that breaks at one APDU: before it reaches the card, or before the answer comes back.

    Args:
        link: the card.
        at: which APDU, from 0; None for none.
        lost: the card has run it, and the answer is lost.
    """

    def __init__(self, link: Link, at: int | None = None, *, lost: bool = False) -> None:
        self.link = link
        self.at = at
        self.lost = lost
        self.sent = 0

    def transmit(self, command: bytes) -> bytes:
        """Pass an APDU on, unless the link is cut."""
        position, self.sent = self.sent, self.sent + 1
        if self.at is None or position < self.at:
            return self.link.transmit(command)
        if position == self.at and self.lost:
            self.link.transmit(command)
        raise CardRemovedError("the link is cut")

    def reset(self) -> bytes:
        """Reset the card."""
        return self.link.reset()

    def close(self) -> None:
        """Close the link."""
        self.link.close()

    def __enter__(self) -> Self:
        """Return the link itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the link."""
        self.close()
