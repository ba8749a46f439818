"""A reader that dies under the `pcsc:` link, and takes pcscd with it.

It has a pcscd of its own, and stands before the modules that share one: where mount namespaces can't be made, only one
can run at a time.
"""

from __future__ import annotations

import os
import subprocess
import sys

from agent_peers import CountingCard
from pcsc_rig import Pcscd

CUT_OFF = """\
import sys
from opentsm_agent.links import open_link
from opentsm_card.errors import TransportError
link = open_link(sys.argv[1])
for _ in range(2):
    try:
        link.transmit(bytes.fromhex("80CA000000"))
    except TransportError as error:
        print(type(error).__name__)
link.close()
"""


def test_a_reader_that_dies_is_a_transport_error_not_a_hang() -> None:
    # A card that hangs up takes vpcd 3.3, and pcscd with it, down: the worst that can happen to a link.
    def leave(_number: int, _c_apdu: bytes) -> bytes | None:
        raise ConnectionAbortedError

    with Pcscd(entries=1) as dying:
        card = CountingCard()
        card.hook = leave
        dying.slots[0].card = card
        ask = [sys.executable, "-c", CUT_OFF, f"pcsc:{dying.slots[0].reader}"]
        environment = os.environ | dying.environment
        done = subprocess.run(ask, capture_output=True, text=True, env=environment, check=False, timeout=60)
    assert done.stderr == ""
    assert done.stdout.split()[0] in {"TransportError", "CardRemovedError"}
    assert len(done.stdout.split()) == 2
    assert card.run == []
