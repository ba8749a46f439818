"""The relay: what it refuses before it begins, and what it says of every way a run can end."""

from __future__ import annotations

import pytest

from opentsm_agent.links.replay import Exchange, ScriptedLink, TraceEvent
from opentsm_agent.relay import ANY_ANSWER, check_script, run_script
from opentsm_card.errors import CardRemovedError, LinkTimeoutError, ScriptError, TransportError
from opentsm_card.script import Expect, Script, ScriptCommand, ScriptOutcome

OK = bytes.fromhex("9000")
COMMANDS = [bytes.fromhex(c_apdu) for c_apdu in ("00A4040007A0000001515350", "8050300000", "84E6020000", "84E8000000")]
SCRIPT: Script = tuple(ScriptCommand(c_apdu) for c_apdu in COMMANDS)


class Tape:
    """A recorder that also checks the order of what it is told."""

    def __init__(self, link: ScriptedLink) -> None:
        self.link = link
        self.marks: list[tuple[str, int, bytes]] = []

    def has_room(self) -> bool:
        return True

    def sent(self, position: int, c_apdu: bytes) -> None:
        assert len(self.link.sent) == position, "the mark must come before the C-APDU is given away"
        self.marks.append(("sent", position, c_apdu))

    def answered(self, position: int, r_apdu: bytes) -> None:
        self.marks.append(("answered", position, r_apdu))


def card(*answers: bytes | str) -> ScriptedLink:
    events: list[TraceEvent] = [Exchange(*pair) for pair in zip(COMMANDS, answers, strict=False)]
    return ScriptedLink(events)


class TestRun:
    def test_every_c_apdu_is_recorded_sent_and_answered_in_order(self) -> None:
        answers = [b"\x01" + OK, OK, OK, OK]
        link = card(*answers)
        tape = Tape(link)
        result = run_script(link, SCRIPT, tape)
        assert result.outcome == ScriptOutcome(tuple(answers))
        assert (result.failure, result.expected) == (None, True)
        expected = []
        for position, (c_apdu, answer) in enumerate(zip(COMMANDS, answers, strict=True)):
            expected += [("sent", position, c_apdu), ("answered", position, answer)]
        assert tape.marks == expected

    @pytest.mark.parametrize("position", range(4))
    @pytest.mark.parametrize(
        ("failure", "error"), [("timeout", LinkTimeoutError), ("removed", CardRemovedError), ("failed", TransportError)]
    )
    def test_a_failing_link_leaves_one_c_apdu_in_doubt_and_sends_nothing_again(
        self, position: int, failure: str, error: type[TransportError]
    ) -> None:
        link = card(*[OK] * position, failure)
        result = run_script(link, SCRIPT, Tape(link))
        assert result.outcome == ScriptOutcome((OK,) * position, in_doubt=True, not_sent=3 - position)
        assert type(result.failure) is error
        assert link.sent == COMMANDS[: position + 1]

    @pytest.mark.parametrize("position", range(4))
    def test_an_unexpected_status_word_ends_the_script_behind_its_answer(self, position: int) -> None:
        refusal = bytes.fromhex("6985")
        link = card(*[OK] * position, refusal)
        result = run_script(link, SCRIPT, Tape(link))
        assert result.outcome == ScriptOutcome((OK,) * position + (refusal,), False, 3 - position)
        assert (result.failure, result.expected) == (None, False)
        assert link.sent == COMMANDS[: position + 1]

    def test_an_unexpected_cryptogram_stops_before_anything_with_an_effect(self) -> None:
        script = (SCRIPT[0], ScriptCommand(COMMANDS[1], Expect(data=b"\xaa" * 29)), *SCRIPT[2:])
        link = card(OK, b"\xbb" * 29 + OK)
        result = run_script(link, script, Tape(link))
        assert not result.expected
        assert result.outcome.not_sent == 2

    def test_a_peer_without_expectations_has_every_c_apdu_sent(self) -> None:
        script = tuple(ScriptCommand(c_apdu, ANY_ANSWER) for c_apdu in COMMANDS)
        link = card(*[bytes.fromhex("6A82")] * 4)
        assert run_script(link, script, Tape(link)).outcome.complete

    def test_what_a_link_cannot_carry_is_not_sent_and_not_in_doubt(self) -> None:
        link = ScriptedLink([])
        result = run_script(link, SCRIPT, Tape(link))
        assert result.outcome == ScriptOutcome((), False, 4)
        assert result.failure is not None


class TestCheck:
    @pytest.mark.parametrize("cla", ["00", "01", "04", "0C", "10", "40", "4F", "60", "7F"])
    @pytest.mark.parametrize(("ins", "name"), [("A4", "SELECT"), ("70", "MANAGE CHANNEL")])
    def test_a_service_providers_script_holds_no_select_and_no_manage_channel(
        self, cla: str, ins: str, name: str
    ) -> None:
        bad = ScriptCommand(bytes.fromhex(f"{cla}{ins}040000"))
        script = (SCRIPT[0], SCRIPT[1], bad)
        with pytest.raises(ScriptError, match=f"C-APDU 2: {name}") as caught:
            check_script(script, opaque_from=1)
        assert caught.value.position == 2

    def test_the_select_before_it_is_the_central_tsms(self) -> None:
        check_script(SCRIPT, opaque_from=1)

    def test_without_an_opaque_part_the_central_tsm_may_select_at_will(self) -> None:
        check_script((SCRIPT[0], SCRIPT[0]))

    def test_a_proprietary_class_selects_nothing(self) -> None:
        check_script((SCRIPT[0], ScriptCommand(bytes.fromhex("84A4040000"))), opaque_from=1)

    @pytest.mark.parametrize("c_apdu", ["", "00A404", "00A4040002AA", "00A404000000"])
    def test_what_is_no_c_apdu_is_refused_by_its_position(self, c_apdu: str) -> None:
        with pytest.raises(ScriptError, match="C-APDU 1: "):
            check_script((SCRIPT[0], ScriptCommand(bytes.fromhex(c_apdu))))
