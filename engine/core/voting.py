"""Commands at gates. A vote that does not count is refused with its reason, and recorded: a refused approval is an
audit fact."""

from __future__ import annotations

from typing import Any

from engine.core import commands as c
from engine.core import events as e
from engine.core.deciding import Deciding
from engine.core.definition import Outcome
from engine.core.entering import closed_window
from engine.core.forms import FormError, checked, fields_of
from engine.core.gates import ABSTAINED, counting, evidence_digest, filled, seat_label, standing
from engine.core.state import Question, Timer, Token

Json = Any


def _find(d: Deciding, gate: str) -> tuple[Token, Question] | None:
    scope = d.state.gates.get(gate)
    token = None if scope is None else d.state.tokens.get(scope)
    if token is None or token.question is None:
        return None
    return token, token.question


def _gone(d: Deciding, gate: str) -> tuple[str, str]:
    """Why there is no such question to answer."""
    how = d.state.gates_ended.get(gate)
    if how is not None:
        word, _, place = how.partition(" ")
        return ("expired" if word == "expired" else "not_open"), f"the gate at {place} is over: {word}"
    if not d.state.open:
        return "closed", f"{d.state.run} is {d.state.status}"
    return "not_found", f"{d.state.run} has no gate {gate}"


def _refuse_vote(d: Deciding, command: c.Vote, token: Token | None, *, code: str, reason: str, field: str = "") -> None:
    d.emit(
        e.VoteRefused(
            scope="" if token is None else token.scope,
            step="" if token is None else token.step,
            gate=command.gate,
            person=command.voter.person,
            answer=command.answer,
            code=code,
            reason=reason,
            at=d.now,
        )
    )
    d.refuse(code, reason, field=field)


def vote(d: Deciding, command: c.Vote) -> None:
    found = _find(d, command.gate)
    if found is None:
        code, reason = _gone(d, command.gate)
        _refuse_vote(d, command, None, code=code, reason=reason)
        return
    token, question = found
    person = command.voter.person
    positive = command.answer != "reject"
    place = standing(question, command.voter, d.now)
    refusal = _problem(d, command, token, question, place)
    if refusal is not None:
        code, reason, field = refusal
        _refuse_vote(d, command, token, code=code, reason=reason, field=field)
        return
    form: dict[str, Json] = {}
    if positive and not question.escalation:
        try:
            defaults = {name: field.get("default") for name, field in question.form.items()}
            form = checked(fields_of(question.form), command.form, defaults)
        except FormError as error:
            _refuse_vote(
                d, command, token, code="bad_form", reason=f"{error.field} {error.message}", field=f"form.{error.field}"
            )
            return
    roles, groups, giver = place if not isinstance(place, str) else ((), (), None)
    mine = next((one for one in question.votes if one.person == person and not one.void), None)
    authority = giver or person
    for other in question.votes:
        if other.person != person and not other.void and (other.on_behalf_of or other.person) == authority:
            d.emit(e.VoteWithdrawn(scope=token.scope, step=token.step, gate=question.id, person=other.person, at=d.now))
    kind = e.VoteCast if mine is None else e.VoteChanged
    d.emit(
        kind(
            scope=token.scope,
            step=token.step,
            gate=question.id,
            person=person,
            roles=roles,
            groups=groups,
            answer=command.answer,
            evidence_digest=command.evidence_digest,
            at=d.now,
            rationale=command.rationale,
            form=form,
            on_behalf_of=giver,
        )
    )
    _resolve(d, token, question, command)


def _problem(
    d: Deciding, command: c.Vote, token: Token, question: Question, place: object
) -> tuple[str, str, str] | None:
    """The first reason why this vote can't count, as (code, reason, field)."""
    person = command.voter.person
    if command.answer not in question.answers:
        return "bad_answer", f"answer one of: {', '.join(question.answers)}", "answer"
    if d.now >= question.expires:
        return "expired", "the time to answer is over", ""
    if place == "excluded":
        return "excluded", f"{person} is excluded here: who asked can't approve", ""
    if place == "wrong_role":
        seats = ", ".join(seat_label(seat) for seat in question.seats)
        return "wrong_role", f"{person} holds none of: {seats}", ""
    if command.evidence_digest != question.digest:
        return "stale_evidence", "the evidence has changed since you saw it: look again", "evidence_digest"
    mine = next((one for one in question.votes if one.person == person and not one.void), None)
    if mine is not None and mine.answer == command.answer and mine.digest == question.digest:
        return "duplicate", f"{person} has already answered {command.answer}", ""
    if isinstance(place, tuple) and place[2] is not None:
        giver = place[2]
        if any(one.person == giver and not one.void for one in question.votes):
            return "duplicate", f"{giver}, for whom {person} would vote, has already answered", ""
    if command.answer == "approve":
        closed = closed_window(d, token, d.step(token))
        if closed is not None:
            name, window = closed
            return "frozen", f"window {name} is closed" + (f": {window.reason}" if window.reason else ""), ""
    return None


def _resolve(d: Deciding, token: Token, question: Question, command: c.Vote) -> None:
    """Whether that vote decides. One rejection rejects; an approval needs every seat."""
    if command.answer == "reject":
        step = d.definition.steps.get(token.step)
        way_out = step.gate.on_reject if step is not None and step.gate is not None else None
        if _escalated(d, token, question, way_out):
            return
        d.disarm_all(token)
        d.emit(
            e.GateRejected(
                scope=token.scope,
                step=token.step,
                gate=question.id,
                fence=token.fence,
                answer=command.answer,
                at=d.now,
                by=command.voter.person,
                rationale=command.rationale,
            )
        )
    elif filled(question, command.answer):
        votes = counting(question, command.answer)
        form: dict[str, Json] = {}
        for one in votes:
            form.update(one.form)
        d.disarm_all(token)
        d.emit(
            e.GatePassed(
                scope=token.scope,
                step=token.step,
                gate=question.id,
                fence=token.fence,
                answer=command.answer,
                form=form,
                at=d.now,
                votes=tuple(one.person for one in votes),
            )
        )
    d.touch(token.scope)


def _escalated(d: Deciding, token: Token, question: Question, outcome: Outcome | None) -> bool:
    """Asks the declared role before the bad outcome is taken, once."""
    if outcome is None or outcome.escalate is None or question.escalated_to is not None or question.escalation:
        return False
    expires = d.now + (outcome.expires or max(0.0, question.expires - question.opened))
    for timer in [one for one in token.timers if one.purpose == "expiry"]:
        d.disarm(token, timer)
    d.emit(
        e.GateEscalated(
            scope=token.scope,
            step=token.step,
            gate=question.id,
            fence=token.fence,
            role=outcome.escalate,
            at=d.now,
            expires=expires,
        )
    )
    d.arm(token, token.step, token.fence, "expiry", expires)
    return True


def expire(d: Deciding, token: Token) -> None:
    """The time to answer is over. Silence never approves: the declared role is asked, or the way out is taken."""
    question = token.question
    if question is None:
        return
    step = d.definition.steps.get(token.step)
    way_out = step.gate.on_timeout if step is not None and step.gate is not None else None
    if token.leave is None and _escalated(d, token, question, way_out):
        return
    d.disarm_all(token)
    d.emit(e.GateExpired(scope=token.scope, step=token.step, gate=question.id, fence=token.fence, at=d.now))


def remind(d: Deciding, token: Token, timer: Timer) -> None:
    question = token.question
    if question is None:
        return
    d.emit(e.ReminderSent(scope=token.scope, step=token.step, gate=question.id, at=d.now))
    if question.reminded < len(question.remind):
        d.arm(token, token.step, timer.fence, "reminder", question.opened + question.remind[question.reminded])


def _person(d: Deciding, verb: str, gate: str, voter: c.Voter) -> tuple[Token, Question] | None:
    """The open gate this person may act at; else the refusal is made and recorded."""
    found = _find(d, gate)
    if found is None:
        code, reason = _gone(d, gate)
        record(d, (verb, voter.person), code, reason)
        return None
    token, question = found
    place = standing(question, voter, d.now)
    if isinstance(place, str):
        record(d, (verb, voter.person), place, f"{voter.person} has no seat at {question.id}")
        return None
    return token, question


def record(d: Deciding, who: tuple[str, str], code: str, reason: str, *, fix: str = "", field: str = "") -> None:
    """Refuses a command and keeps that as a fact. `who` is the verb and the person who asked for it."""
    verb, by = who
    d.emit(e.CommandRefused(verb=verb, by=by, code=code, reason=reason, at=d.now))
    d.refuse(code, reason, fix, field)


def withdraw(d: Deciding, command: c.WithdrawVote) -> None:
    found = _find(d, command.gate)
    person = command.voter.person
    if found is None:
        record(d, ("WithdrawVote", person), *_gone(d, command.gate))
        return
    token, question = found
    if not any(one.person == person and not one.void for one in question.votes):
        record(d, ("WithdrawVote", person), "not_found", f"{person} has no vote at {question.id}")
        return
    d.emit(e.VoteWithdrawn(scope=token.scope, step=token.step, gate=question.id, person=person, at=d.now))


def abstain(d: Deciding, command: c.Abstain) -> None:
    """Fills no seat and decides nothing. A vote of the same person or authority takes its place, and it that of a vote."""
    found = _person(d, "Abstain", command.gate, command.voter)
    if found is None:
        return
    token, question = found
    person = command.voter.person
    place = standing(question, command.voter, d.now)
    giver = place[2] if isinstance(place, tuple) else None
    mine = next((one for one in question.votes if one.person == person and not one.void), None)
    if d.now >= question.expires:
        record(d, ("Abstain", person), "expired", "the time to answer is over")
    elif mine is not None and mine.answer == ABSTAINED:
        record(d, ("Abstain", person), "duplicate", f"{person} has already abstained")
    elif giver is not None and any(one.person == giver and not one.void for one in question.votes):
        record(d, ("Abstain", person), "duplicate", f"{giver}, for whom {person} would abstain, has already answered")
    else:
        d.emit(
            e.VoteAbstained(
                scope=token.scope,
                step=token.step,
                gate=question.id,
                person=person,
                evidence_digest=question.digest,
                at=d.now,
                reason=command.reason,
                on_behalf_of=giver,
            )
        )


def delegate(d: Deciding, command: c.Delegate) -> None:
    found = _person(d, "Delegate", command.gate, command.voter)
    if found is None:
        return
    token, question = found
    giver = command.voter
    place = standing(question, giver, d.now)
    if isinstance(place, tuple) and place[2] is not None:
        record(d, ("Delegate", giver.person), "no_chain", f"{giver.person} votes for {place[2]} and can't pass that on")
    elif command.to in question.excluded:
        record(d, ("Delegate", giver.person), "excluded", f"{command.to} is excluded here", field="to")
    elif command.to == giver.person or not command.to:
        record(d, ("Delegate", giver.person), "bad_input", "delegate to somebody else", field="to")
    elif command.until <= d.now:
        record(d, ("Delegate", giver.person), "bad_input", "the delegation would be over already", field="until")
    else:
        d.emit(
            e.DelegationGranted(
                gate=question.id,
                scope=token.scope,
                step=token.step,
                giver=giver.person,
                to=command.to,
                until=command.until,
                roles=giver.roles,
                groups=giver.groups,
            )
        )


def claim(d: Deciding, command: c.Claim) -> None:
    found = _person(d, "Claim", command.gate, command.voter)
    if found is not None:
        token, question = found
        person = command.voter.person
        if question.claimed_by == person:
            record(d, ("Claim", person), "already", f"{person} has claimed {question.id}")
            return
        d.emit(e.GateClaimed(scope=token.scope, step=token.step, gate=question.id, person=person, at=d.now))


def ask(d: Deciding, command: c.AskInfo) -> None:
    found = _person(d, "AskInfo", command.gate, command.voter)
    if found is not None:
        token, question = found
        d.emit(
            e.InfoRequested(
                scope=token.scope,
                step=token.step,
                gate=question.id,
                person=command.voter.person,
                question=command.question,
                at=d.now,
            )
        )


def update_evidence(d: Deciding, command: c.UpdateEvidence) -> None:
    """New evidence: the same is no change; different evidence voids the votes that did not see it."""
    found = _find(d, command.gate)
    if found is None:
        record(d, ("UpdateEvidence", ""), *_gone(d, command.gate))
        return
    token, question = found
    digest = evidence_digest(question.question, command.evidence)
    if digest != question.digest:
        d.emit(
            e.EvidenceChanged(
                scope=token.scope,
                step=token.step,
                gate=question.id,
                evidence=command.evidence,
                evidence_digest=digest,
                at=d.now,
            )
        )
