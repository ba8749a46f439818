"""Changes one SE of a running demo behind the central TSM's back.

    opentsm demo --before-check "python demo_meddler.py SE AID"

It reaches the SE as anyone with its issuer's keys could: over the contactless interface, in a secure channel, and locks
one application. Where SE and keys are, the demo tells in the file that OPENTSM_DEMO_SES names.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from opentsm_agent.links import open_link
from opentsm_card.aid import Aid
from opentsm_card.apdu import ResponseApdu
from opentsm_card.keys import KeySet
from opentsm_card.scp03 import Scp03Session, SecurityLevel
from opentsm_card.select import Select
from opentsm_card.set_status import SetStatus

if TYPE_CHECKING:
    from opentsm_card.apdu import CommandApdu

ISSUER = Aid(bytes.fromhex("A000000151000000"))


def lock_application(se: str, aid: Aid) -> None:
    """Lock one application of one SE of the demo."""
    told = json.loads(Path(os.environ["OPENTSM_DEMO_SES"]).read_text())
    entry = next(found for found in told["ses"] if found["id"] == se)
    table = tomllib.loads(Path(entry["keys"]).read_text())["isd"]
    enc, mac, dek = (bytes.fromhex(table[name]) for name in ("enc", "mac", "dek"))
    keys = KeySet(table["version"], enc, mac, dek)
    challenge = secrets.token_bytes(8)
    with open_link(entry["contactless"]) as link:

        def send(command: CommandApdu) -> ResponseApdu:
            return ResponseApdu.parse(link.transmit(command.encode()))

        send(Select(ISSUER).apdu()).require("SELECT")
        answer = send(Scp03Session.initialize_update(keys.version, challenge)).require("INITIALIZE UPDATE")
        session = Scp03Session.open(keys, challenge, answer)
        send(session.external_authenticate(SecurityLevel.ALL)).require("EXTERNAL AUTHENTICATE")
        session.unwrap(send(session.wrap(SetStatus.lock(aid).apdu()))).require("SET STATUS")


if __name__ == "__main__":
    lock_application(sys.argv[1], Aid.from_text(sys.argv[2]))
