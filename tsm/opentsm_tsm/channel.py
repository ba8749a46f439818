"""Secure channels of the central TSM: scripts computed ahead, and what their answers prove.

A script is SELECT, INITIALIZE UPDATE with the exact answer that is expected (the card's challenge is pseudo-random),
then EXTERNAL AUTHENTICATE and the commands at level 33. An SE whose sequence counter is another stops the script at
INITIALIZE UPDATE, before anything that can fail or has an effect; its true counter is in the answer, whose cryptogram
is verified.

Nothing secret is kept between order and report: the context holds challenges, counters and MAC chaining values, and the
session keys are derived again.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.diversification import diversify
from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_card.initialize_update import InitializeUpdate, InitializeUpdateAnswer
from opentsm_card.keys import KeySet
from opentsm_card.scp03 import ChainLink, Scp03Session, Scp03State, SecurityLevel, next_sequence_counter, predict
from opentsm_card.script import Expect, ScriptCommand
from opentsm_card.select import Select
from opentsm_tsm import inventory
from opentsm_tsm.centre import Send

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentsm_card.script import ScriptOutcome
    from opentsm_tsm.centre import Centre
    from opentsm_tsm.inventory import SeRecord

__all__ = [
    "SELECTED",
    "WITHOUT_CHANNEL",
    "Ending",
    "Exchange",
    "Secured",
    "central_keys",
    "go_on",
    "learn",
    "learnt",
    "open_channel",
    "prove",
    "take",
]

_OK: Final = frozenset({0x9000})
# A locked card's issuer security domain answers SELECT with a warning (GP 2.3.1, 11.9.3.1).
SELECTED: Final = frozenset({0x9000, 0x6283})
_CRYPTOGRAM_REFUSED: Final = 0x6300  # GP Amendment D, 7.1.2.2: authentication of host cryptogram failed
WITHOUT_CHANNEL: Final = frozenset({0x6982, 0x6985, 0x6E00})
"""What cards answer to a command in a secure channel that they don't have (ISO/IEC 7816-4, 5.6): security status or
conditions of use not satisfied, class not supported."""
_LEVEL: Final = SecurityLevel.ALL
_CHALLENGE_BYTES: Final = 8
# What tells one channel from another, for as long as it is open.
_CHANNEL: Final = ("target", "holder", "challenge", "answer")
# SELECT, INITIALIZE UPDATE, EXTERNAL AUTHENTICATE come before the commands.
_SELECT, _INITIALIZE_UPDATE, _EXTERNAL_AUTHENTICATE, _COMMANDS = range(4)


@dataclass(frozen=True, slots=True)
class Secured:
    """A command to be sent in a secure channel, and the status words with which the script goes on."""

    command: CommandApdu
    sws: frozenset[int] = _OK


class Ending(Enum):
    """How a script in a secure channel ended.

    CHANNEL_LOST: the card refused a command as it does without a secure channel, with no response MAC: somebody else
    may have reset it or selected another application. OTHER_KEYS: its answer to INITIALIZE UPDATE came under other
    keys, or from another application than the one selected; nothing was tried on it that counts as a failure.
    WRONG_KEYS: it refused our cryptogram, which counts.
    """

    COMPLETE = "complete"
    STOPPED = "stopped"
    NOT_BEGUN = "not begun"
    DOUBT = "doubt"
    STALE_COUNTER = "stale counter"
    CHANNEL_LOST = "channel lost"
    OTHER_KEYS = "other keys"
    WRONG_KEYS = "wrong keys"
    UNSELECTABLE = "unselectable"
    UNBELIEVABLE = "unbelievable"


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came of a script in a secure channel.

    Args:
        ending: how it ended.
        responses: the answers to the commands, their response MACs verified (an error status has none).
        detail: for people, where it did not complete.
        state: of the session behind the last answer, to go on from.
    """

    ending: Ending
    responses: tuple[ResponseApdu, ...] = ()
    detail: str = ""
    state: dict[str, Any] | None = None


def central_keys(centre: Centre, se: SeRecord) -> KeySet:
    """Return the keys of an SE's central security domain.

    Raises:
        ProtocolError: the diversification data is not known yet, or the master key is none.
    """
    section = centre.config.central_keys
    master = centre.keystore.get(section.master)
    third = len(master) // 3
    keys: KeySet | bytes = master
    if len(master) > 32:
        keys = KeySet(se.key_version, master[:third], master[third : 2 * third], master[2 * third :])
    if section.method == "none":
        return keys if isinstance(keys, KeySet) else KeySet(se.key_version, keys, keys, keys)
    if se.diversification is None:
        raise ProtocolError(f"se {se.id}: its diversification data is not known")
    return diversify(keys, section.method, se.diversification, version=se.key_version)


def learn(se: SeRecord) -> Send:
    """Return the script that asks an SE for its diversification data and SCP03 parameter; it has no effect."""
    challenge = secrets.token_bytes(_CHALLENGE_BYTES)
    script = (
        ScriptCommand(Select(se.central).apdu().encode(), Expect(SELECTED)),
        ScriptCommand(InitializeUpdate(se.key_version, challenge).apdu().encode()),
    )
    return Send(script, {"kind": "learn", "challenge": challenge.hex()})


def learnt(centre: Centre, se: SeRecord, context: dict[str, Any], outcome: ScriptOutcome) -> Exchange:
    """Take the answer to `learn`: it is believed when its cryptogram verifies under the keys that follow from it."""
    early = _before_answer(outcome, 0)
    if early is not None:
        return early
    data = outcome.answers[_INITIALIZE_UPDATE][:-2]
    try:
        answer = InitializeUpdateAnswer.parse(data)
        inventory.update(centre.store, se.id, diversification=answer.diversification_data, scp03_i=answer.i)
        known = centre.se(se.id)
        Scp03Session.open(central_keys(centre, known), bytes.fromhex(context["challenge"]), data)
    except (SecureChannelError, ProtocolError) as error:
        inventory.update(centre.store, se.id, diversification=se.diversification, scp03_i=se.scp03_i)
        return Exchange(Ending.OTHER_KEYS, detail=str(error))
    if answer.sequence_counter is not None:
        inventory.set_counter(centre.store, se.id, se.central, answer.key_version, answer.sequence_counter)
    return Exchange(Ending.COMPLETE)


def open_channel(
    centre: Centre,
    se: SeRecord,
    keys: KeySet,
    target: bytes,
    commands: Sequence[Secured],
    context: dict[str, Any],
    *,
    via: bytes | None = None,
) -> Send:
    """Return a script that opens a secure channel and runs commands in it.

    Args:
        centre: for the sequence counter.
        se: the SE, its diversification data known.
        keys: static keys that open the channel.
        target: AID of the security domain to select.
        commands: what to run, plain.
        context: what the caller needs to take the report.
        via: AID of the security domain whose keys these are, where the target is served by its parent.
    """
    assert se.diversification is not None
    holder = target if via is None else via
    challenge = secrets.token_bytes(_CHALLENGE_BYTES)
    last = inventory.counter(centre.store, se.id, holder, keys.version)
    answer, session = predict(
        keys,
        challenge,
        sequence_counter=next_sequence_counter(last),
        aid=target,
        diversification_data=se.diversification,
        i=se.scp03_i,
    )
    script = [
        ScriptCommand(Select(target).apdu().encode(), Expect(SELECTED)),
        ScriptCommand(InitializeUpdate(keys.version, challenge).apdu().encode(), Expect(_OK, answer.encode())),
        ScriptCommand(session.external_authenticate(_LEVEL).encode()),
    ]
    begun = {
        **context,
        "target": target.hex(),
        "holder": holder.hex(),
        "challenge": challenge.hex(),
        "answer": answer.encode().hex(),
        "first": _COMMANDS,
    }
    return _wrapped(session, script, commands, begun)


def go_on(keys: KeySet, state: dict[str, Any], commands: Sequence[Secured], context: dict[str, Any]) -> Send:
    """Return a script that goes on in a channel that is open still, from the state of an `Exchange`."""
    session = _resume(keys, state)
    return _wrapped(session, [], commands, {**state, **context, "first": 0})


def prove(centre: Centre, se: SeRecord, keys: KeySet, target: bytes, context: dict[str, Any]) -> Send:
    """Return a script that proves, without an effect, that a security domain holds a key set."""
    sent = open_channel(centre, se, keys, target, (), context)
    return Send(sent.script[:_EXTERNAL_AUTHENTICATE], {**sent.context, "proof": True})


def _wrapped(
    session: Scp03Session, script: list[ScriptCommand], commands: Sequence[Secured], context: dict[str, Any]
) -> Send:
    begun = session.state()
    links = []
    for secured in commands:
        script.append(ScriptCommand(session.wrap(secured.command).encode(), Expect(secured.sws)))
        links.append([session.link.chaining_value.hex(), session.link.counter])
    goes_on = [sorted(secured.sws) for secured in commands]
    start = {"chaining": begun.chaining_value.hex(), "counter": begun.counter}
    return Send(tuple(script), {**context, "links": links, "goes_on": goes_on, **start})


def _resume(keys: KeySet, state: dict[str, Any]) -> Scp03Session:
    return Scp03Session.resume(
        keys,
        Scp03State(
            bytes.fromhex(state["challenge"]),
            bytes.fromhex(state["answer"]),
            _LEVEL,
            bytes.fromhex(state["chaining"]),
            state["counter"],
        ),
    )


def _cut_off(outcome: ScriptOutcome, commands: int, name: str) -> Exchange:
    """Return how a script ended that was cut off before its commands: they may have run, or surely have not."""
    begun = outcome.in_doubt and outcome.not_sent < commands
    return Exchange(Ending.DOUBT if begun else Ending.NOT_BEGUN, detail=f"no answer to {name}")


def _before_answer(outcome: ScriptOutcome, commands: int) -> Exchange | None:
    """Return how a script ended that did not get as far as an answer to INITIALIZE UPDATE with 9000."""
    steps = ((_SELECT, "SELECT", SELECTED), (_INITIALIZE_UPDATE, "INITIALIZE UPDATE", _OK))
    for position, name, sws in steps:
        if len(outcome.answers) <= position:
            return _cut_off(outcome, commands, name)
        sw = int.from_bytes(outcome.answers[position][-2:], "big")
        if sw not in sws:
            return Exchange(Ending.UNSELECTABLE, detail=f"{name}: card answered {sw:04X}")
    return None


def _verified(se: SeRecord, keys: KeySet, context: dict[str, Any], data: bytes) -> int:
    """Verify an answer to INITIALIZE UPDATE, whatever its counter, and return that.

    Raises:
        SecureChannelError: it is not that of a card with these keys.
        ProtocolError: malformed.
    """
    assert se.diversification is not None
    answer = InitializeUpdateAnswer.parse(data)
    if answer.sequence_counter is None or answer.diversification_data != se.diversification:
        raise SecureChannelError("another card's diversification data, or random challenges")
    expected, _session = predict(
        keys,
        bytes.fromhex(context["challenge"]),
        sequence_counter=answer.sequence_counter,
        aid=bytes.fromhex(context["target"]),
        diversification_data=se.diversification,
        i=se.scp03_i,
    )
    if not hmac.compare_digest(expected.encode(), data):
        raise SecureChannelError(f"the card's cryptogram is not that of key version {keys.version:#04x}")
    return answer.sequence_counter


def _authenticated(
    centre: Centre, se: SeRecord, keys: KeySet, context: dict[str, Any], outcome: ScriptOutcome
) -> Exchange | None:
    """Check the start of a channel; None when the commands' answers are worth looking at."""
    commands = len(context["links"])
    ended = _before_answer(outcome, commands)
    if ended is not None:
        return ended
    data = outcome.answers[_INITIALIZE_UPDATE][:-2]
    try:
        counter = _verified(se, keys, context, data)
    except (SecureChannelError, ProtocolError) as error:
        return Exchange(Ending.OTHER_KEYS, detail=str(error))
    inventory.set_counter(centre.store, se.id, bytes.fromhex(context["holder"]), keys.version, counter)
    if data != bytes.fromhex(context["answer"]):
        ended = Exchange(Ending.STALE_COUNTER, detail=f"the card's counter is {counter}")
    elif context.get("proof"):
        ended = Exchange(Ending.COMPLETE)
    elif len(outcome.answers) <= _EXTERNAL_AUTHENTICATE:
        ended = _cut_off(outcome, commands, "EXTERNAL AUTHENTICATE")
    elif outcome.answers[_EXTERNAL_AUTHENTICATE][-2:] != b"\x90\x00":
        # The card has shown the keys before: it refuses the cryptogram, or has been reset in between.
        sw = int.from_bytes(outcome.answers[_EXTERNAL_AUTHENTICATE][-2:], "big")
        ending = Ending.WRONG_KEYS if sw == _CRYPTOGRAM_REFUSED else Ending.CHANNEL_LOST
        ended = Exchange(ending, detail=f"EXTERNAL AUTHENTICATE: card answered {sw:04X}")
    return ended


def take(centre: Centre, se: SeRecord, keys: KeySet, context: dict[str, Any], outcome: ScriptOutcome) -> Exchange:
    """Take what came of a script in a secure channel: verify, and keep the sequence counter."""
    if context["first"]:
        ended = _authenticated(centre, se, keys, context, outcome)
        if ended is not None:
            return ended
    session = _resume(keys, context)
    responses: list[ResponseApdu] = []
    links = [ChainLink(bytes.fromhex(chaining), counter) for chaining, counter in context["links"]]
    for encoded, link in zip(outcome.answers[context["first"] :], links, strict=False):
        try:
            responses.append(session.unwrap(ResponseApdu.parse(encoded), link))
        except (SecureChannelError, ProtocolError) as error:
            return Exchange(Ending.UNBELIEVABLE, tuple(responses), f"command {len(responses) + 1}: {error}")
    if not responses and not outcome.in_doubt:
        return Exchange(Ending.NOT_BEGUN, detail="no command was run")
    return _ended(context, outcome, tuple(responses))


def _ended(context: dict[str, Any], outcome: ScriptOutcome, responses: tuple[ResponseApdu, ...]) -> Exchange:
    """Return how a script ended whose answers, as far as they go, are verified."""
    if outcome.in_doubt:
        return Exchange(Ending.DOUBT, responses, f"no answer to command {len(responses) + 1}")
    # The MAC chain goes on from the last command that was sent, whatever its answer.
    chaining, counter = context["links"][len(responses) - 1]
    state = {**{name: context[name] for name in _CHANNEL}, "chaining": chaining, "counter": counter}
    if responses[-1].sw not in context["goes_on"][len(responses) - 1]:
        detail = f"command {len(responses)}: card answered {responses[-1].sw:04X}"
        lost = responses[-1].sw in WITHOUT_CHANNEL
        return Exchange(Ending.CHANNEL_LOST if lost else Ending.STOPPED, responses, detail, state)
    if not outcome.complete:
        # The card was content and the script was cut off all the same: what ran, the registry will tell.
        return Exchange(Ending.DOUBT, responses, f"cut off behind command {len(responses)}")
    return Exchange(Ending.COMPLETE, responses, state=state)
