"""The issuer's side of a UICC: scripts for its issuer security domain, with keys that the central TSM never has.

A script is one SCP03 session computed ahead (`opentsm_tsm.ahead`): SET STATUS of the card, then GET STATUS of the
issuer security domain, so that its answers prove under response MAC what state the card is in. The central TSM relays
it and brings the answers back.

Spec: GP 2.3.1, 11.10 (SET STATUS), 11.4 (GET STATUS), 5.1 (card life cycle).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentsm_card.diversification import diversify
from opentsm_card.errors import CardError, ProtocolError, SecureChannelError
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.lifecycle import CardState, state_name
from opentsm_card.registry import parse_get_status
from opentsm_card.set_status import SetStatus
from opentsm_tsm.ahead import Element, SessionAhead
from opentsm_tsm.messages import Expectation, ScriptEntry
from opentsm_tsm.mno.store import IssuerScript
from opentsm_tsm.wire import Hex

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentsm_card.apdu import CommandApdu, ResponseApdu
    from opentsm_card.keys import KeySet
    from opentsm_tsm.mno.config import Uicc
    from opentsm_tsm.mno.store import MnoStore

__all__ = ["Issuer", "Outcome", "TargetedScript"]

_CHALLENGE_BYTES: Final = 8
_STATES: Final = {
    "lock": CardState.CARD_LOCKED,
    "unlock": CardState.SECURED,
    "terminate": CardState.TERMINATED,
}


@dataclass(frozen=True, slots=True)
class TargetedScript:
    """A script for the application that is to be selected first."""

    target: Hex
    entries: tuple[ScriptEntry, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the answers to an issuer script prove.

    Args:
        verified: the card did what was asked, and said so under response MAC.
        state: the card's life cycle as it said, or "" when it did not.
        retry: nothing was done because the sequence counter was another; it is known now.
    """

    verified: bool
    state: str
    retry: bool = False


class Issuer:
    """The issuer of a network's UICCs.

    State is in the store: counters, and each script's counter and challenge, from which its session is made again.

    Args:
        master: the key from which each UICC's keys are diversified (16, 24 or 32 bytes).
        uiccs: the cards.
        store: the gateway's sqlite file.
    """

    def __init__(self, master: bytes, uiccs: Sequence[Uicc], store: MnoStore) -> None:
        self._master = master
        self._uiccs = {uicc.se: uicc for uicc in uiccs}
        self._store = store

    def __repr__(self) -> str:
        """Show no key."""
        return f"Issuer({len(self._uiccs)} cards)"

    def knows(self, se: str) -> bool:
        """Tell whether an SE is a UICC of this issuer."""
        return se in self._uiccs

    def allows(self, se: str, action: str) -> bool:
        """Tell whether the central TSM may ask for an action."""
        return action in self._uiccs[se].allow

    def _keys(self, uicc: Uicc) -> KeySet:
        data = bytes.fromhex(uicc.diversification_data)
        return diversify(self._master, "kdf3", data, version=uicc.key_version)

    def _session(self, script: IssuerScript) -> SessionAhead:
        uicc = self._uiccs[script.se]
        element = Element(bytes.fromhex(uicc.diversification_data), uicc.i)
        isd = bytes.fromhex(uicc.isd)
        commands = _commands(script.action)
        return SessionAhead(self._keys(uicc), script.host_challenge, script.counter, isd, element, commands)

    def script(self, se: str, action: str, counter: int | None = None) -> TargetedScript:
        """Make a script, and keep what its answers will be verified with.

        Args:
            se: a UICC of this issuer.
            action: lock, unlock, terminate or status.
            counter: the sequence counter that the SE is said to have shown last; believed for this script only.
        """
        last = max(self._store.counter(se), counter or 0)
        kept = IssuerScript(secrets.token_hex(16), se, action, last, secrets.token_bytes(_CHALLENGE_BYTES))
        session = self._session(kept)
        self._store.add_script(kept)
        return TargetedScript(
            Hex(bytes.fromhex(self._uiccs[se].isd)),
            tuple(
                ScriptEntry(
                    apdu=Hex(command.c_apdu),
                    expect=Expectation(data=None if command.expect.data is None else Hex(command.expect.data)),
                )
                for command in session.script
            ),
        )

    def verify(self, se: str, answers: Sequence[bytes]) -> Outcome:
        """Verify the answers to the script last made for an SE, and keep the card's counter.

        Raises:
            ProtocolError: no script was made for it.
        """
        script = self._store.last_script(se)
        if script is None:
            raise ProtocolError(f"no issuer script was made for {se}")
        session = self._session(script)
        try:
            progress = session.read(answers)
        except (CardError, SecureChannelError, ProtocolError) as error:
            self._store.finish_script(script.script_id, f"refused: {error}", se=se, counter=None)
            return Outcome(verified=False, state="")
        if progress.stale:
            self._store.finish_script(script.script_id, "stale counter", se=se, counter=progress.counter)
            return Outcome(verified=False, state="", retry=True)
        done, state = _judge(script.action, progress.answers)
        self._store.finish_script(script.script_id, "done" if done else "not done", se=se, counter=progress.counter)
        return Outcome(verified=done, state=state)


def _commands(action: str) -> tuple[CommandApdu, ...]:
    """Return the commands of an action: the change, then the proof.

    A terminated card answers GET DATA only (GP 2.3.1, 5.1.1.5), so there the answer to SET STATUS is the proof.
    """
    proof = GetStatus(Scope.ISSUER_SECURITY_DOMAIN).apdu()
    if action == "status":
        return (proof,)
    change = SetStatus.card(_STATES[action]).apdu()
    return (change,) if action == "terminate" else (change, proof)


def _judge(action: str, answers: Sequence[ResponseApdu]) -> tuple[bool, str]:
    """Return whether the answers prove that the action was done, and the card's state."""
    if any(answer.sw != 0x9000 for answer in answers) or len(answers) < len(_commands(action)):
        return False, ""
    if action == "terminate":
        return True, CardState.TERMINATED.name
    entries, complete = parse_get_status(Scope.ISSUER_SECURITY_DOMAIN, answers[-1:])
    if not complete or len(entries) != 1:
        return False, ""
    state = entries[0].state
    return action == "status" or state == _STATES[action], state_name(state, CardState)
