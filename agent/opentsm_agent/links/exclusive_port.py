"""Opening a serial port for us alone (pyserial, the extra `serial`)."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import serial

__all__ = ["TAKEN", "open_alone"]

TAKEN: Final = frozenset({errno.EAGAIN, errno.EBUSY})
_WAIT_S: Final = 0.5
_LOOK_S: Final = 0.01


def open_alone(port: serial.Serial) -> None:
    """Open a port that is set up, and lock it; one that is taken is tried again for half a second.

    A lock stays with a port that was just closed while a program is being started: until that runs, it has a copy of
    everything that is open here.

    Raises:
        OSError: as pyserial has it; with an errno of `TAKEN`, another program has the port.
    """
    port.exclusive = True
    until = time.monotonic() + _WAIT_S
    while True:
        try:
            port.open()
        except OSError as error:
            if error.errno not in TAKEN or time.monotonic() > until:
                raise
            time.sleep(_LOOK_S)
        else:
            return
