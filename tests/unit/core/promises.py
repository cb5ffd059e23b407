"""What must hold of any history, whoever made it. Read from the events alone, not with the core's own rules."""

from __future__ import annotations

from collections import Counter

from engine.core import events as e
from engine.core.definition import Definition
from engine.core.state import path

ENDS = (e.RunCompleted, e.RunFailed, e.RunCancelled, e.RunTerminated, e.RunTimedOut)
AFTER_END = (e.CommandRefused, e.VoteRefused, e.ResultRefused, e.CommentAdded, e.RunRedriven)


def check_history(definition: Definition, events: list[e.Event]) -> None:
    _ends_stay(events)
    _fences_rise(events)
    _votes_count_once(events)
    _undone_once_in_reverse(events)
    _recorded_ahead(definition, events)
    _steps_end(events)


def _ends_stay(events: list[e.Event]) -> None:
    """After an end nothing moves, unless a person redrives."""
    ended = False
    for event in events:
        if isinstance(event, e.RunRedriven):
            ended = False
        assert not ended or isinstance(event, AFTER_END), f"{event} after the end"
        ended = ended or isinstance(event, ENDS)


def _fences_rise(events: list[e.Event]) -> None:
    newest = 0
    for event in events:
        if isinstance(event, (e.StepScheduled, e.GateOpened, e.ObservationStarted, e.MapExpanded, e.ChildStarted)):
            assert event.fence > newest, f"{event} under an old fence"
            newest = event.fence


def _votes_count_once(events: list[e.Event]) -> None:
    """No gate passes by a person twice, by one excluded, by one who had not voted on what stood, or with too few."""
    opened: dict[str, e.GateOpened] = {}
    digest: dict[str, str] = {}
    votes: dict[str, dict[str, e.VoteCast]] = {}
    for event in events:
        if isinstance(event, e.GateOpened):
            opened[event.gate], digest[event.gate], votes[event.gate] = event, event.evidence_digest, {}
        elif isinstance(event, e.EvidenceChanged):
            digest[event.gate], votes[event.gate] = event.evidence_digest, {}
        elif isinstance(event, e.VoteCast):
            votes[event.gate][event.person] = event
        elif isinstance(event, (e.VoteWithdrawn, e.VoteAbstained)):
            votes[event.gate].pop(event.person, None)
        elif isinstance(event, e.GatePassed):
            gate = opened[event.gate]
            assert len(set(event.votes)) == len(event.votes) >= sum(seat["count"] for seat in gate.seats)
            authorities = []
            for person in event.votes:
                vote = votes[event.gate][person]
                assert vote.answer == event.answer and vote.evidence_digest == digest[event.gate]
                assert person not in gate.excluded and vote.on_behalf_of not in gate.excluded
                assert vote.at < gate.expires or any(
                    isinstance(one, e.GateEscalated) and one.gate == event.gate for one in events
                )
                authorities.append(vote.on_behalf_of or person)
            assert len(set(authorities)) == len(authorities)


def _undone_once_in_reverse(events: list[e.Event]) -> None:
    """Each compensation ends once; within one going-down they run newest first, none before the forward work rests."""
    ended: Counter[int] = Counter()
    forward: set[tuple[str, str, int]] = set()
    undoing = False
    last = 10**9
    for event in events:
        if isinstance(event, e.CompensationStarted):
            undoing, last = True, 10**9
            assert not forward, f"undoing while {forward} is in flight"
        elif isinstance(event, (e.CompensationConcluded, e.RunTerminated)):
            undoing = False
        if isinstance(event, e.StepScheduled):
            if event.undo is None:
                assert not undoing, "nothing moves forward while undoing"
                forward.add((event.scope, event.step, event.fence))
            else:
                assert undoing and event.undo <= last and not ended[event.undo]
                last = event.undo
        elif isinstance(event, (e.StepCompleted, e.StepFailed, e.StepInDoubt, e.SampleJudged, e.StepDeferred)):
            forward = {one for one in forward if one[:2] != (event.scope, event.step)}
            if isinstance(event, e.StepCompleted) and event.undo is not None:
                ended[event.undo] += 1
        elif isinstance(event, e.CompensationFailed):
            ended[event.undo] += 1
        elif isinstance(event, (e.RunTerminated, e.RunRedriven)):
            forward = set()
    assert all(count == 1 for count in ended.values())


def _recorded_ahead(definition: Definition, events: list[e.Event]) -> None:
    for event in events:
        if isinstance(event, e.StepScheduled) and event.undo is None and event.attempt == 1 and not event.in_doubt:
            step = definition.steps[event.step]
            if step.compensate is not None and event.compensation is None:
                deferred = any(
                    isinstance(one, e.StepScheduled) and one.key == event.key and one.compensation is not None
                    for one in events
                )
                assert deferred, f"{path(event.scope, event.step)} acts with no way back recorded"


def _steps_end(events: list[e.Event]) -> None:
    """In a run that ended by itself each scheduled attempt was answered."""
    waiting: dict[tuple[str, str], int] = {}
    for event in events:
        if isinstance(event, e.StepScheduled):
            waiting[(event.scope, event.step)] = event.fence
        elif isinstance(event, (e.StepCompleted, e.StepFailed, e.StepInDoubt, e.SampleJudged, e.StepDeferred)):
            waiting.pop((event.scope, event.step), None)
        elif isinstance(event, (e.RunTerminated, e.RunRedriven)):
            waiting = {}
        elif isinstance(event, ENDS):
            assert not waiting, f"ended with {waiting} in flight"
