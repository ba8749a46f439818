"""What follows the scheme of a link to a serial device: `DEVICE?name=value&name=value`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["split_address"]


def split_address(scheme: str, address: str, names: Sequence[str], want: str) -> tuple[str, dict[str, str]]:
    """Split an address into its device and its parameters.

    Args:
        scheme: of the link, for the errors.
        address: what follows the scheme's colon.
        names: of the parameters that there are.
        want: what to say where no device is named.

    Raises:
        ProtocolError: no device, an unknown parameter, or one given twice.
    """
    device, _, query = address.partition("?")
    if not device:
        raise ProtocolError(f"link '{scheme}:{address}': want a device, such as {want}")
    given: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        if name in given:
            raise ProtocolError(f"link '{scheme}:{address}': {name} is given twice")
        if name not in names:
            raise ProtocolError(f"link '{scheme}:{address}': no parameter {name!r}; there are {', '.join(names)}")
        given[name] = value
    return device, given
