"""How facts about gates change what is known of a run; the other half of `apply`, under the same two rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.core import gate_events as e
from engine.core import state as s
from engine.core.event import Event
from engine.core.gates import ABSTAINED
from engine.core.state import Ballot, Grant, Question, State

GATES_REMEMBERED = 32


def _opened(state: State, event: e.GateOpened) -> None:
    token = state.tokens[event.scope]
    token.step, token.fence, token.phase = event.step, event.fence, s.GATE
    state.fence = max(state.fence, event.fence)
    state.gates[event.gate] = event.scope
    token.question = Question(
        id=event.gate,
        kind=event.kind,
        question=event.question,
        seats=event.seats,
        excluded=event.excluded,
        evidence=event.evidence,
        digest=event.evidence_digest,
        opened=event.at,
        expires=event.expires,
        form=event.form,
        answers=event.answers,
        escalation=event.escalation,
        remind=event.remind,
    )


def _question(state: State, event: Any) -> Question:
    question = state.tokens[event.scope].question
    if question is None or question.id != event.gate:
        raise KeyError(f"gate {event.gate} is not open")
    return question


def _close(state: State, gate: str, how: str, scope: str, step: str) -> Question:
    """The question leaves the state; how it ended is remembered for a while, to tell a late voter."""
    state.gates.pop(gate, None)
    state.gates_ended[gate] = f"{how} {s.path(scope, step)}"
    if len(state.gates_ended) > GATES_REMEMBERED:
        del state.gates_ended[next(iter(state.gates_ended))]
    token = state.tokens[scope]
    question = token.question
    token.question = None
    if question is None:
        raise KeyError(f"gate {gate} is not open")
    return question


def _evidence_changed(state: State, event: e.EvidenceChanged) -> None:
    question = _question(state, event)
    question.evidence, question.digest = event.evidence, event.evidence_digest
    for vote in question.votes:
        vote.void = True


def _vote_cast(state: State, event: e.VoteCast) -> None:
    question = _question(state, event)
    question.votes = [vote for vote in question.votes if vote.person != event.person]
    question.votes.append(
        Ballot(
            person=event.person,
            answer=event.answer,
            digest=event.evidence_digest,
            at=event.at,
            roles=event.roles,
            groups=event.groups,
            on_behalf_of=event.on_behalf_of,
            form=event.form,
            rationale=event.rationale,
        )
    )


def _abstained(state: State, event: e.VoteAbstained) -> None:
    question = _question(state, event)
    question.votes = [vote for vote in question.votes if vote.person != event.person]
    question.votes.append(
        Ballot(
            person=event.person,
            answer=ABSTAINED,
            digest=event.evidence_digest,
            at=event.at,
            on_behalf_of=event.on_behalf_of,
            rationale=event.reason,
        )
    )


def _vote_withdrawn(state: State, event: e.VoteWithdrawn) -> None:
    question = _question(state, event)
    question.votes = [vote for vote in question.votes if vote.person != event.person]


def _delegated(state: State, event: e.DelegationGranted) -> None:
    question = _question(state, event)
    question.grants = [grant for grant in question.grants if grant.giver != event.giver]
    question.grants.append(
        Grant(giver=event.giver, to=event.to, until=event.until, roles=event.roles, groups=event.groups)
    )


def _claimed(state: State, event: e.GateClaimed) -> None:
    _question(state, event).claimed_by = event.person


def _info_requested(state: State, event: e.InfoRequested) -> None:
    _question(state, event).asked += 1


def _reminded(state: State, event: e.ReminderSent) -> None:
    _question(state, event).reminded += 1


def _escalated(state: State, event: e.GateEscalated) -> None:
    question = _question(state, event)
    question.escalated_to, question.expires = event.role, event.expires
    for vote in question.votes:
        if vote.answer == "reject":
            vote.void = True


def _passed(state: State, event: e.GatePassed) -> None:
    question = _close(state, event.gate, "passed", event.scope, event.step)
    token = state.tokens[event.scope]
    if question.escalation:
        token.phase, token.answer, token.reason = s.ANSWERED, event.answer, ", ".join(event.votes)
        if event.answer == "retry":
            token.round, token.doubts = token.attempt, 0
        return
    output = {"answer": event.answer, "form": event.form, "by": list(event.votes)}
    rationale = "; ".join(
        vote.rationale for vote in question.votes if vote.rationale and not vote.void and vote.answer != ABSTAINED
    )
    token.results[event.step.rpartition(".")[2]] = {"output": output, "rationale": rationale, **output}
    token.output, token.phase, token.overridden = output, s.DONE, ""


def _rejected(state: State, event: e.GateRejected) -> None:
    _close(state, event.gate, "rejected", event.scope, event.step)
    token = state.tokens[event.scope]
    output = {"answer": event.answer, "form": {}, "by": [event.by]}
    token.results[event.step.rpartition(".")[2]] = {"output": output, "rationale": event.rationale, **output}
    token.output, token.phase = output, s.REJECTED
    token.reason = f"{event.by}: {event.rationale}" if event.rationale else event.by


def _expired(state: State, event: e.GateExpired) -> None:
    question = _close(state, event.gate, "expired", event.scope, event.step)
    token = state.tokens[event.scope]
    if question.escalation:
        token.phase, token.answer, token.reason = s.ANSWERED, "abort", "nobody answered in time"
        return
    output: dict[str, Any] = {"answer": "expired", "form": {}, "by": []}
    token.results[event.step.rpartition(".")[2]] = {"output": output, "rationale": "", **output}
    token.output, token.phase = output, s.EXPIRED


def _withdrawn(state: State, event: e.GateWithdrawn) -> None:
    _close(state, event.gate, "withdrawn", event.scope, event.step)


GATE_TABLE: dict[type[Event], Callable[[State, Any], None]] = {
    e.GateOpened: _opened,
    e.EvidenceChanged: _evidence_changed,
    e.VoteCast: _vote_cast,
    e.VoteChanged: _vote_cast,
    e.VoteAbstained: _abstained,
    e.VoteWithdrawn: _vote_withdrawn,
    e.DelegationGranted: _delegated,
    e.GateClaimed: _claimed,
    e.InfoRequested: _info_requested,
    e.ReminderSent: _reminded,
    e.GateEscalated: _escalated,
    e.GatePassed: _passed,
    e.GateRejected: _rejected,
    e.GateExpired: _expired,
    e.GateWithdrawn: _withdrawn,
}
