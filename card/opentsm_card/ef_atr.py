"""EF.ATR/INFO: what a card says of itself that does not fit into its answer to reset.

A file of data objects directly under the master file, with the identifier 2F01. The answer to reset says that it is
there: in the card service data, or by the bit that promises the extended length information.

Spec: ISO/IEC 7816-4:2013, 12.2.2 (EF.ATR/INFO), 12.1.1.5 (card service data), 12.1.1.9 (card capabilities), 12.7.1
(extended length information, 7F66).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from opentsm_card import tlv
from opentsm_card.atr import HistoricalObject
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from opentsm_card.atr import Atr

__all__ = ["EXTENDED_LENGTH_IN_EF_ATR", "EfAtr", "is_announced"]

EXTENDED_LENGTH_IN_EF_ATR: Final = "extended length information in EF.ATR"
"""What card capabilities say of 7F66."""

_TAG_SERVICE: Final = 0x3
_TAG_CAPABILITIES: Final = 0x47
_TAG_EXTENDED_LENGTH: Final = 0x7F66
_TAG_INTEGER: Final = 0x02
# Card service data: objects in EF.ATR; read by READ BINARY; no MF.
_IN_EF_ATR: Final = 0x10
_ACCESS: Final = 0x0E
_BY_READ_BINARY: Final = 0x08
_WITHOUT_MF: Final = 0x01
_LEAST_BYTES: Final = 7


@dataclass(frozen=True, slots=True)
class EfAtr:
    """What the file says of long commands.

    Args:
        capabilities: card capabilities in words; None where it has none.
        most_command_bytes: how long a C-APDU may be, all of it; None where it does not say.
        most_response_bytes: how long an R-APDU may become; None where it does not say.
    """

    capabilities: tuple[str, ...] | None = None
    most_command_bytes: int | None = None
    most_response_bytes: int | None = None

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Parse the file's content; what fills it up behind its objects is 00 or FF.

        Raises:
            ProtocolError: malformed.
        """
        objects = tlv.parse_padded(content)
        said = tlv.find(objects, _TAG_CAPABILITIES)
        sizes = tlv.find(objects, _TAG_EXTENDED_LENGTH)
        return cls(
            None if said is None else HistoricalObject(_TAG_CAPABILITIES & 0x0F, said).capabilities,
            *((None, None) if sizes is None else _extended_length(sizes)),
        )


def _extended_length(encoded: bytes) -> tuple[int, int]:
    numbers = [int.from_bytes(number, "big") for number in tlv.find_all(tlv.parse_all(encoded), _TAG_INTEGER)]
    if len(numbers) != 2 or min(numbers) < _LEAST_BYTES:
        raise ProtocolError("EF.ATR: extended length information (7F66) is not two sizes (02) of APDUs")
    return numbers[0], numbers[1]


def is_announced(atr: Atr) -> bool:
    """Tell whether an answer to reset says that more about long commands is to be read in EF.ATR, by READ BINARY."""
    objects = atr.objects() or ()
    said = [item.capabilities for item in objects if item.capabilities]
    if said:
        return any(EXTENDED_LENGTH_IN_EF_ATR in names for names in said)
    service = next((item.value[0] for item in objects if item.tag == _TAG_SERVICE and item.value), 0)
    return bool(service & _IN_EF_ATR) and service & _ACCESS == _BY_READ_BINARY and not service & _WITHOUT_MF
