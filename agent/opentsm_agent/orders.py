"""Running an order: from the commands of a Remote Agent to the report on them, with the journal in between.

Whatever is wrong with an order is found before anything of it is sent. What a restarted agent finds started and
unreported is reported from the journal alone, and never run again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentsm_agent.relay import check_script, run_script
from opentsm_agent.seram import LocalAgentStatus, Order, SeCommand, Step, encode_report
from opentsm_card.errors import CardRemovedError, OpenTsmError, ProtocolError, ScriptError, TransportError
from opentsm_card.script import ScriptOutcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentsm_agent.events import Events
    from opentsm_agent.journal import Journal
    from opentsm_agent.journal_records import OrderState
    from opentsm_agent.secure_elements import SecureElements, SessionLinks

__all__ = ["OrderRunner", "recovered_report"]

_MAX_ERROR_CHARACTERS: Final = 300
_MAX_ANSWER_BYTES: Final = 256 * 1024
# What the R-APDUs of one order may take together: the journal holds them, and a report must fit one request.


@dataclass(slots=True)
class _Progress:
    """How far an order has come."""

    outcomes: list[tuple[ScriptOutcome, int]]
    status: LocalAgentStatus = LocalAgentStatus.PROCESSED
    error: str | None = None

    def fail(self, status: LocalAgentStatus, error: OpenTsmError) -> None:
        self.status = status
        self.error = str(error)[:_MAX_ERROR_CHARACTERS]


class _JournalRecorder:
    """Tells the journal of the C-APDUs and R-APDUs of one SE RAM command."""

    def __init__(self, journal: Journal, session: str, command: int, room_bytes: int) -> None:
        self._journal = journal
        self._session = session
        self._command = command
        self._room_bytes = room_bytes

    def has_room(self) -> bool:
        return self._room_bytes > 0

    def sent(self, position: int, c_apdu: bytes) -> None:
        self._journal.command_sent(self._session, self._command, position, c_apdu)

    def answered(self, position: int, r_apdu: bytes) -> None:
        self._room_bytes -= len(r_apdu)
        self._journal.command_answered(self._session, self._command, position, r_apdu)


class OrderRunner:
    """Runs the orders of one session.

    Args:
        session: the session's id.
        elements: the device's secure elements.
        journal: the agent's journal.
        events: what the operator sees.
        extended: the peer knows our members.
    """

    def __init__(
        self, session: str, elements: SecureElements, journal: Journal, events: Events, *, extended: bool
    ) -> None:
        self._session = session
        self._elements = elements
        self._links: SessionLinks = elements.session_links()
        self._journal = journal
        self._events = events
        self._extended = extended
        self._chosen: str | None = next(iter(elements.configs)) if len(elements.configs) == 1 else None

    def run(self, order: Order, number: int, document: bytes) -> tuple[bytes, bool]:
        """Run an order that is not in the journal; return its report, and whether every C-APDU was answered.

        Args:
            order: the order.
            number: its number; higher than any before it.
            document: the order as received.
        """
        commands = order.se_commands
        sizes = [len(command.script) for command in commands]
        se_id = self._choose(order)
        self._journal.start_order(self._session, number, document, se_id or "", sizes)
        progress = _Progress([])
        try:
            self._check(order, se_id)
        except ProtocolError as error:
            progress.fail(LocalAgentStatus.UNKNOWN_FAILURE, error)
        except ScriptError as error:
            progress.fail(LocalAgentStatus.UNKNOWN_FAILURE, error)
        except TransportError as error:
            progress.fail(LocalAgentStatus.UNAVAILABLE_SE, error)
        else:
            self._run_all(order, se_id or "", progress)
        progress.outcomes += [(ScriptOutcome((), False, size), size) for size in sizes[len(progress.outcomes) :]]
        self._tell(number, se_id, progress)
        report = encode_report(
            progress.status, progress.outcomes, error=progress.error, order=number, extended=self._extended
        )
        self._journal.report_made(self._session, report)
        return report, all(outcome.complete for outcome, _ in progress.outcomes)

    def refuse(self, number: int, document: bytes, error: ProtocolError) -> bytes:
        """Return the report of an order of which no more than the number could be understood."""
        self._journal.start_order(self._session, number, document, "", ())
        progress = _Progress([])
        progress.fail(LocalAgentStatus.UNKNOWN_FAILURE, error)
        self._tell(number, None, progress)
        report = encode_report(progress.status, [], error=progress.error, order=number, extended=self._extended)
        self._journal.report_made(self._session, report)
        return report

    def refuse_another(self, number: int, sizes: Sequence[int], error: ProtocolError) -> bytes:
        """Return the report of an order that came under the number of one that was run: nothing of it was sent.

        It takes the place of that one's report, which must not be taken for an answer to this.
        """
        outcomes = [(ScriptOutcome((), False, size), size) for size in sizes]
        report = encode_report(
            LocalAgentStatus.UNKNOWN_FAILURE, outcomes, error=str(error), order=number, extended=self._extended
        )
        if self._journal.state.sessions[self._session].current is not None:
            self._journal.report_made(self._session, report)
        return report

    def close(self) -> None:
        """Close the links of the session."""
        self._links.close()

    def _choose(self, order: Order) -> str | None:
        if order.secure_element is not None:
            self._chosen = order.secure_element.se_id
        return self._chosen

    def _check(self, order: Order, se_id: str | None) -> None:
        """Check all of an order before any of it is sent.

        Raises:
            ScriptError: a C-APDU is none, has no place in a service provider's script, or is not allowed here.
            CardRemovedError: the device has no such secure element.
            ProtocolError: the order names none, and there are several.
        """
        if not order.se_commands:
            return
        if se_id is None:
            raise ProtocolError(
                "order: no chosenSecureElement, and the device has several - at `$.chosenSecureElement`"
            )
        if se_id not in self._elements.configs:
            raise CardRemovedError("the device has no such secure element - at `$.chosenSecureElement.seId`")
        for position, command in enumerate(order.commands):
            if isinstance(command, SeCommand):
                try:
                    check_script(command.script, command.opaque_from)
                    self._elements.policy.check(command.script)
                except ScriptError as error:
                    raise ProtocolError(f"order: {error} - at `$.ramCommands[{position}].listOfCAPDU`") from error

    def _run_all(self, order: Order, se_id: str, progress: _Progress) -> None:
        for command in order.commands:
            if command is Step.STOP:
                return
            if isinstance(command, SeCommand):
                if not self._run_script(command, se_id, progress):
                    return
            elif command is not Step.START:
                self._events.emit("notification", text=str(command))

    def _run_script(self, command: SeCommand, se_id: str, progress: _Progress) -> bool:
        """Run one SE RAM command; False when nothing may follow it."""
        try:
            link = self._links.link(se_id, reset=command.reset)
        except (TransportError, ProtocolError) as error:
            progress.fail(LocalAgentStatus.UNAVAILABLE_SE, error)
            return False
        taken = sum(len(answer) for outcome, _ in progress.outcomes for answer in outcome.answers)
        recorder = _JournalRecorder(self._journal, self._session, len(progress.outcomes), _MAX_ANSWER_BYTES - taken)
        result = run_script(link, command.script, recorder)
        progress.outcomes.append((result.outcome, len(command.script)))
        failure = result.failure
        if isinstance(failure, TransportError):
            # What the card still does, or answers, must not meet the next order.
            self._links.drop(se_id)
            progress.fail(LocalAgentStatus.UNAVAILABLE_SE, failure)
        elif failure is not None:
            progress.fail(LocalAgentStatus.UNKNOWN_FAILURE, failure)
        return failure is None and result.expected

    def _tell(self, number: int, se_id: str | None, progress: _Progress) -> None:
        outcomes = [outcome for outcome, _ in progress.outcomes]
        self._events.emit(
            "order",
            order=number,
            se=se_id,
            status=progress.status.value,
            answered=sum(len(outcome.answers) for outcome in outcomes),
            in_doubt=any(outcome.in_doubt for outcome in outcomes),
            not_sent=sum(outcome.not_sent for outcome in outcomes),
            error=progress.error,
        )


def recovered_report(order: OrderState, boot: str, *, extended: bool) -> bytes:
    """Return the report of an order that was started and not reported, from what the journal has of it.

    In the same run of the operating system nothing that was written is lost: a C-APDU with a mark and no answer
    is in doubt, what follows it was not sent. After a power loss marks may be missing: everything behind the
    last answer is in doubt.

    Args:
        order: the order.
        boot: identifies the present run of the operating system, "" when it can't be told.
        extended: the peer knows our members.
    """
    same_boot = boot != "" and order.started.boot == boot
    outcomes: list[tuple[ScriptOutcome, int]] = []
    for size, answers, digests in zip(order.started.sizes, order.answers, order.digests, strict=True):
        rest = size - len(answers)
        if same_boot:
            in_doubt = len(digests) > len(answers)
            outcome = ScriptOutcome(tuple(answers), in_doubt, rest - in_doubt)
        else:
            outcome = ScriptOutcome(tuple(answers), rest > 0, 0)
        outcomes.append((outcome, size))
    if all(outcome.complete for outcome, _ in outcomes):
        return encode_report(LocalAgentStatus.PROCESSED, outcomes, order=order.started.order, extended=extended)
    cause = "the agent was restarted during the order" if same_boot else "the device lost power during the order"
    return encode_report(
        LocalAgentStatus.UNAVAILABLE_SE, outcomes, error=cause, order=order.started.order, extended=extended
    )
