"""Key rotation: a new key set in, proved, and the old one out, in one script.

The script is two secure channels of the SP's own: with the old keys PUT KEY (the new version, beside the old); then
INITIALIZE UPDATE with the new version, whose card cryptogram is expected exactly, so that the script stops where the
card has not got the right keys; then DELETE KEY (the old version). After a doubt the security domain's key
information (E0) is read under response MAC, and what is missing is planned again.

Spec: GP 2.3.1, 11.2 (DELETE [key]), 11.3 (GET DATA, key information template), 11.8 (PUT KEY).
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from opentsm_card import tlv
from opentsm_card.delete import DeleteKey
from opentsm_card.errors import OpenTsmError, ProtocolError
from opentsm_card.get_data import DataTag, GetData
from opentsm_card.put_key import put_key_set
from opentsm_tsm.messages import ActionReceipt, HandleActionDoneOnServiceNotification
from opentsm_tsm.sp.kinds import RotatedResult
from opentsm_tsm.sp.session import (
    Doubt,
    KeysAbsentError,
    Part,
    read_part,
    run_parts,
    send_script,
    session_keys,
)
from opentsm_tsm.wire import Hex

if TYPE_CHECKING:
    from opentsm_tsm.sp.durable import Run

__all__ = ["key_versions", "parse_key_information", "rotate"]

_ATTEMPTS: Final = 4
_MAX_VERSION: Final = 0x7F
_TAG_KEY_INFORMATION: Final = 0xE0
_TAG_KEY: Final = 0xC0


def rotate(run: Run, sd: bytes, first_version: int, key_bytes: int, conversation: str | None) -> RotatedResult:
    """Replace the keys of a security domain by new random ones.

    Args:
        run: the operation.
        sd: AID of the security domain.
        first_version: the version of the SP's first own key set; later ones count up.
        key_bytes: length of each key.
        conversation: the conversation to use, or None.

    Raises:
        OpenTsmError: no keys are held for the domain.
        CardError, SecureChannelError, RefusedError: it did not go through; the message says how far it came.
    """
    old, new, temporary, resumed = _choose(run, sd, first_version)
    run.once("keys", lambda: b"kept" if resumed else _make_keys(run, sd, new, key_bytes))
    present = frozenset({old})
    if resumed:
        present = key_versions(run, sd, (new, old), probe=None, conversation=conversation)
    for _ in range(_ATTEMPTS):
        parts = _missing(run, sd, old, new, present)
        if not parts:
            break
        try:
            run_parts(run, sd, parts, send=send_script(run, sd, conversation))
            present = frozenset({new})
        except Doubt as doubt:
            present = key_versions(run, sd, (new, old), probe=doubt.operation, conversation=conversation)
            run.settle(doubt.operation, done=new in present and old not in present)
    if present != {new}:
        raise OpenTsmError(f"after {_ATTEMPTS} attempts the domain holds key versions {sorted(present)}")
    destroyed = False
    if temporary:
        notice = HandleActionDoneOnServiceNotification(se_id=run.se, sd=Hex(sd), action="key-rotation", key_version=new)
        destroyed = run.client.query(notice, ActionReceipt).destroyed
    run.at_end(lambda: run.store.forget_key_set(run.se, sd, old))
    return RotatedResult(sd=Hex(sd), old_version=old, new_version=new, temporary_keys_destroyed=destroyed)


def _choose(run: Run, sd: bytes, first_version: int) -> tuple[int, int, bool, bool]:
    """Return the old version and the new, whether the old is temporary, and whether a former rotation broke off there.

    The choice is made once.
    """

    def choose() -> bytes:
        held = run.store.versions(run.se, sd)
        if not held:
            raise OpenTsmError(f"no keys are held for {sd.hex().upper()} on {run.se}: deploy first")
        (old, temporary) = held[0]
        if len(held) > 1:
            return bytes((old, held[-1][0], temporary, True))
        new = first_version if temporary and old != first_version else old % _MAX_VERSION + 1
        return bytes((old, new, temporary, False))

    old, new, temporary, resumed = run.once("versions", choose)
    return old, new, bool(temporary), bool(resumed)


def _make_keys(run: Run, sd: bytes, version: int, key_bytes: int) -> bytes:
    """Make the new keys and keep them, before anything is sent."""
    run.store.keep_key_set(run.se, sd, version, secrets.token_bytes(3 * key_bytes), temporary=False)
    return b"kept"


def _missing(run: Run, sd: bytes, old: int, new: int, present: frozenset[int]) -> tuple[Part, ...]:
    """Return what is left to do where the domain holds these versions."""
    parts: list[Part] = []
    if new not in present:
        command = put_key_set(session_keys(run, sd, new), session_keys(run, sd, old).dek)
        parts.append(Part(old, (command.apdu(),)))
    if old in present:
        parts.append(Part(new, (DeleteKey(old).apdu(),)))
    return tuple(parts)


def key_versions(
    run: Run, sd: bytes, candidates: tuple[int, ...], *, probe: str | None, conversation: str | None
) -> frozenset[int]:
    """Return the key versions that a security domain holds, read under response MAC.

    Args:
        run: the operation.
        sd: the security domain.
        candidates: versions to open it with, in the order to try.
        probe: the operation in doubt that this settles, or None.
        conversation: the conversation to use, or None.

    Raises:
        OpenTsmError: it opens with none of them.
    """
    command = GetData(DataTag.KEY_INFORMATION).apdu()
    for version in candidates:
        part = Part(version, (command,))
        try:
            answers = read_part(run, sd, part, sd, conversation=conversation, probe=probe)
        except KeysAbsentError:
            continue
        return parse_key_information(answers[0].data)
    raise OpenTsmError(f"{sd.hex().upper()} on {run.se} opens with none of the key versions {candidates}")


def parse_key_information(data: bytes) -> frozenset[int]:
    """Return the key versions in a GET DATA E0 answer.

    Spec: GP 2.3.1, 11.3.3.1, tables 11-28 to 11-30 (key identifier, version, then type and length of each component).

    Raises:
        ProtocolError: it is no key information template.
    """
    template = tlv.parse_one(data)
    keys = tlv.find_all(template.children(), _TAG_KEY) if template.tag == _TAG_KEY_INFORMATION else ()
    if any(len(key) < 4 for key in keys) or template.tag != _TAG_KEY_INFORMATION:
        raise ProtocolError("GET DATA E0: no key information template")
    return frozenset(key[1] for key in keys)
