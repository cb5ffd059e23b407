"""Gates: who may answer, when seats are filled, and every way an answer does not count."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core import commands as c
from engine.core import effects as f
from engine.core import events as e
from engine.core.deciding import WindowState
from engine.core.definition import Definition, FormField, Gate, Outcome, Seat, Step, Windows
from engine.core.gates import ABSTAINED, evidence_digest, filled, seating, why_not
from engine.core.state import Ballot, Question
from tests.unit.core.rig import Rig, action, flow, voter


def gate(*seats: Seat, **rest: object) -> Definition:
    spec = {
        "question": "Release ${inputs.v}?",
        "seats": seats or (Seat(role="manager"),),
        "expires": "1h",
        "on_timeout": Outcome(goto="late"),
        "on_reject": Outcome(goto="no"),
        "evidence": {"v": "${inputs.v}"},
        **rest,
    }
    windows = spec.pop("windows", None)
    return flow(
        Step(id="ask", kind="gate", gate=Gate(**spec), next="yes"),  # type: ignore[arg-type]
        action("yes", with_={"form": "${steps.ask.form}", "by": "${steps.ask.by}"}),
        action("no", with_={"why": "${steps.ask.rationale}"}),
        action("late"),
        inputs={"v": FormField(type="string", default="1.0", required=False)},
        windows=windows,
    )


MANAGER, SAFETY = voter("max", "manager"), voter("sue", "safety")


def test_a_gate_asks_and_goes_on_once_every_seat_is_filled() -> None:
    rig = Rig(gate(Seat(role="manager"), Seat(role="safety", count=2))).start()
    opened = rig.of(e.GateOpened)[0]
    assert (opened.gate, opened.question, opened.expires) == ("run-1.1", "Release 1.0?", 4600.0)
    assert opened.evidence_digest == evidence_digest("Release 1.0?", {"v": "1.0"})
    assert f.Notify(what="gate_opened", gate="run-1.1") in rig.effects
    rig.vote(MANAGER)
    rig.vote(SAFETY)
    assert rig.phase("ask") == "gate"
    rig.vote(voter("sam", "safety"))
    assert rig.of(e.StepScheduled)[0].input["by"] == ["max", "sue", "sam"]
    assert rig.of(e.TimerCancelled)[0].purpose == "expiry"


def test_one_person_fills_one_seat() -> None:
    rig = Rig(gate(Seat(role="manager"), Seat(role="safety"))).start()
    rig.vote(voter("max", "manager", "safety"))
    assert rig.phase("ask") == "gate"
    rig.vote(voter("max", "manager", "safety"))
    assert rig.code == "duplicate" and rig.of(e.VoteRefused)[0].code == "duplicate"


def test_seats_are_filled_by_matching_not_by_who_came_first() -> None:
    """First-fit gives the manager's seat to whoever comes first and waits for ever for the second manager."""
    for order in permutations(
        [voter("both", "manager", "safety"), voter("only", "manager"), voter("third", "qa", "safety")]
    ):
        rig = Rig(gate(Seat(role="safety"), Seat(role="manager"), Seat(role="qa"))).start()
        for who in order:
            rig.vote(who)
        assert rig.phase("yes") == "call", [who.person for who in order]


roles = st.sampled_from(["a", "b", "c"])


@settings(max_examples=300, deadline=None)
@given(
    seats=st.lists(st.tuples(roles, st.integers(1, 2)), min_size=1, max_size=3),
    people=st.lists(st.sets(roles, max_size=3), max_size=6),
)
def test_the_matching_is_as_large_as_the_best_by_brute_force(
    seats: list[tuple[str, int]], people: list[set[str]]
) -> None:
    question = Question(
        id="g",
        kind="",
        question="",
        seats=tuple({"role": role, "count": n} for role, n in seats),
        excluded=(),
        evidence={},
        digest="d",
        opened=0,
        expires=9,
        votes=[
            Ballot(person=f"p{i}", answer="approve", digest="d", at=0, roles=tuple(r)) for i, r in enumerate(people)
        ],
    )
    places = [role for role, n in seats for _ in range(n)]
    best = 0
    padded = [*range(len(people)), *[None] * len(places)]
    if len(people) <= 4 and len(places) <= 4:
        for order in set(permutations(padded, len(places))):
            best = max(
                best, sum(who is not None and role in people[who] for role, who in zip(places, order, strict=True))
            )
        assert sum(person is not None for _, person in seating(question)) == best
        assert filled(question) == (best == len(places))
    sitting = [person for _, person in seating(question) if person is not None]
    assert len(sitting) == len(set(sitting))


@pytest.mark.parametrize(
    ("who", "answer", "digest", "code"),
    [
        (voter("eve", "dev"), "approve", None, "wrong_role"),
        (voter("ana", "manager"), "approve", None, "excluded"),
        (MANAGER, "maybe", None, "bad_answer"),
        (MANAGER, "approve", "sha256:other", "stale_evidence"),
    ],
)
def test_votes_that_do_not_count_are_refused_and_recorded(
    who: c.Voter, answer: str, digest: str | None, code: str
) -> None:
    rig = Rig(gate(exclude=("run.started_by",))).start(by="ana")
    rig.vote(who, answer, digest=digest)
    assert rig.code == code and rig.of(e.VoteRefused)[0].code == code
    assert rig.phase("ask") == "gate" and not rig.token("ask").question.votes  # type: ignore[union-attr]


def test_a_vote_after_the_end_is_refused_whether_the_timer_has_fired_or_not() -> None:
    rig = Rig(gate()).start()
    gate_id = rig.gate()
    rig.now = 4600.0
    rig.vote(MANAGER)
    assert rig.code == "expired"
    rig.fire("ask", "expiry")
    assert rig.phase("late") == "call", "silence never approves"
    rig.vote(MANAGER, gate=gate_id)
    assert rig.code == "expired" and len(rig.of(e.VoteRefused)) == 2
    rig.vote(MANAGER, gate="run-1.99")
    assert rig.code == "not_found"


def test_one_rejection_rejects_with_its_reason() -> None:
    rig = Rig(gate(Seat(role="manager", count=3))).start()
    rig.vote(MANAGER, "reject", rationale="too early")
    assert rig.of(e.StepScheduled)[0].input == {"why": "too early"}
    rig.vote(voter("other", "manager"), gate="run-1.1", digest="x")
    assert rig.code == "not_open"


def test_people_may_think_again_and_take_back_a_vote() -> None:
    rig = Rig(gate(Seat(role="manager", count=2))).start()
    rig.vote(MANAGER)
    rig.do(c.WithdrawVote(gate=rig.gate(), voter=MANAGER))
    assert not rig.token("ask").question.votes  # type: ignore[union-attr]
    rig.do(c.WithdrawVote(gate=rig.gate(), voter=MANAGER))
    assert rig.code == "not_found"
    rig.vote(MANAGER)
    rig.vote(MANAGER, "reject")
    assert rig.of(e.VoteChanged) and rig.phase("no") == "call"


def test_an_abstention_fills_no_seat_and_decides_nothing() -> None:
    rig = Rig(gate(Seat(role="manager", count=1))).start()
    rig.do(c.Abstain(gate=rig.gate(), voter=MANAGER, reason="I built it"))
    question = rig.token("ask").question
    assert question is not None and not filled(question), "the seat is as open as before"
    assert [(one.person, one.answer) for one in question.votes] == [(MANAGER.person, ABSTAINED)]
    rig.do(c.Abstain(gate=rig.gate(), voter=MANAGER))
    assert rig.code == "duplicate"
    rig.vote(voter("other", "manager"))
    assert rig.of(e.GatePassed)[0].votes == ("other",), "nobody who abstained is among those who decided"


def test_who_abstained_may_still_vote_and_who_voted_abstain() -> None:
    rig = Rig(gate(Seat(role="manager", count=2))).start()
    rig.vote(MANAGER)
    rig.do(c.Abstain(gate=rig.gate(), voter=MANAGER))
    question = rig.token("ask").question
    assert question is not None and len(question.votes) == 1, "the vote is gone"
    rig.vote(MANAGER)
    rig.vote(voter("other", "manager"))
    assert sorted(rig.of(e.GatePassed)[0].votes) == sorted((MANAGER.person, "other"))


def test_only_who_may_answer_may_abstain() -> None:
    rig = Rig(gate(Seat(role="manager"), exclude=("'eve'",))).start()
    rig.do(c.Abstain(gate=rig.gate(), voter=voter("eve", "manager")))
    assert rig.code == "excluded"
    rig.do(c.Abstain(gate=rig.gate(), voter=voter("lou", "driver")))
    assert rig.code == "wrong_role"


def test_new_evidence_voids_the_votes_that_did_not_see_it() -> None:
    rig = Rig(gate(Seat(role="manager", count=2))).start()
    old = rig.token("ask").question.digest  # type: ignore[union-attr]
    rig.vote(MANAGER)
    rig.do(c.UpdateEvidence(gate=rig.gate(), evidence={"v": "1.0"}))
    assert not rig.of(e.EvidenceChanged), "the same evidence is no change"
    rig.do(c.UpdateEvidence(gate=rig.gate(), evidence={"v": "1.0", "late": 1}))
    assert [vote.void for vote in rig.token("ask").question.votes] == [True]  # type: ignore[union-attr]
    rig.vote(voter("mia", "manager"))
    assert rig.phase("ask") == "gate", "only one vote saw what stands"
    rig.vote(MANAGER, digest=old)
    assert rig.code == "stale_evidence"
    rig.vote(MANAGER)
    assert rig.phase("yes") == "call"


def test_a_delegate_votes_for_the_giver_until_then_and_cannot_pass_it_on() -> None:
    rig = Rig(gate(Seat(role="manager", count=2), exclude=("run.started_by",))).start(by="ana")
    give = c.Delegate(gate=rig.gate(), voter=MANAGER, to="del", until=2000.0)
    rig.do(give)
    rig.do(c.Delegate(gate=rig.gate(), voter=voter("del"), to="third", until=1900.0))
    assert rig.code == "no_chain"
    rig.do(c.Delegate(gate=rig.gate(), voter=MANAGER, to="ana", until=2000.0))
    assert rig.code == "excluded"
    rig.do(c.Delegate(gate=rig.gate(), voter=voter("eve"), to="x", until=2000.0))
    assert rig.code == "wrong_role"
    rig.do(c.Delegate(gate=rig.gate(), voter=MANAGER, to="x", until=999.0))
    assert rig.code == "bad_input"
    rig.vote(voter("del"))
    assert rig.of(e.VoteCast)[0].on_behalf_of == "max"
    rig.vote(MANAGER)
    assert [vote.person for vote in rig.token("ask").question.votes] == ["max"], "the giver's own vote replaces it"  # type: ignore[union-attr]
    rig.vote(voter("del"))
    assert rig.code == "duplicate"
    rig.now = 2000.0
    rig.vote(voter("del"))
    assert rig.code == "wrong_role", "the delegation is over"


def test_a_seat_for_a_person_can_be_delegated() -> None:
    rig = Rig(gate(Seat(person="boss"))).start()
    rig.vote(voter("ceo", "manager"))
    assert rig.code == "wrong_role"
    rig.do(c.Delegate(gate=rig.gate(), voter=voter("boss"), to="deputy", until=2000.0))
    rig.vote(voter("deputy"))
    assert rig.phase("yes") == "call"


def test_a_silent_gate_asks_the_next_role_once_and_keeps_its_quorum() -> None:
    rig = Rig(
        gate(Seat(role="manager", count=2), on_timeout=Outcome(escalate="boss", expires=60.0, goto="late"))
    ).start()
    rig.vote(MANAGER)
    rig.fire("ask", "expiry")
    assert rig.of(e.GateEscalated)[0].role == "boss" and rig.token("ask").question.expires == 4660.0  # type: ignore[union-attr]
    rig.vote(voter("bob", "boss"))
    assert rig.phase("yes") == "call", "the deputy fills the open seat"
    rig = Rig(
        gate(Seat(role="manager", count=2), on_timeout=Outcome(escalate="boss", expires=60.0, goto="late"))
    ).start()
    rig.fire("ask", "expiry")
    rig.vote(voter("bob", "boss"))
    assert rig.phase("ask") == "gate", "one deputy is not two people"
    rig.fire("ask", "expiry")
    assert rig.phase("late") == "call"


def test_a_rejection_may_be_put_before_a_higher_role() -> None:
    rig = Rig(gate(on_reject=Outcome(escalate="boss", goto="no"))).start()
    rig.vote(MANAGER, "reject")
    assert rig.phase("ask") == "gate" and rig.token("ask").question.votes[0].void  # type: ignore[union-attr]
    rig.vote(voter("bob", "boss"))
    assert rig.phase("yes") == "call"


def test_reminders_come_one_after_the_other() -> None:
    rig = Rig(gate(remind=(60.0, 120.0))).start()
    rig.fire("ask", "reminder")
    assert rig.now == 1060.0
    rig.fire("ask", "reminder")
    assert rig.now == 1120.0 and len(rig.of(e.ReminderSent)) == 2
    assert [timer.purpose for timer in rig.token("ask").timers] == ["expiry"]


def test_the_form_is_checked_and_its_defaults_are_filled_in() -> None:
    form = {
        "rate": FormField(type="number", maximum=0.05, default="${0.02}", required=False),
        "note": FormField(type="string", pattern="^[a-z]+$"),
    }
    rig = Rig(gate(form=form)).start()
    for given_, field in [
        ({}, "form.note"),
        ({"note": "X"}, "form.note"),
        ({"note": "x", "rate": 1}, "form.rate"),
        ({"z": 1, "note": "x"}, "form.z"),
    ]:
        rig.vote(MANAGER, form=given_)
        assert rig.code == "bad_form" and rig.last.refusal and rig.last.refusal.field == field
    rig.vote(MANAGER, form={"note": "x"})
    assert rig.of(e.StepScheduled)[0].input["form"] == {"rate": 0.02, "note": "x"}


def test_a_rejection_needs_no_form() -> None:
    rig = Rig(gate(form={"note": FormField(type="string")})).start()
    rig.vote(MANAGER, "reject")
    assert rig.phase("no") == "call"


def test_a_frozen_window_refuses_approvals_not_rejections_until_it_is_overridden() -> None:
    definition = gate(windows=Windows(honour=("freeze",), override="breaker", exempt=("yes", "no")))
    rig = Rig(definition)
    rig.windows = {"freeze": WindowState(open=False, reason="year end")}
    rig.start().vote(MANAGER)
    assert rig.code == "frozen" and "year end" in rig.of(e.VoteRefused)[0].reason
    rig.do(c.OverrideWindow(voter=voter("bo", "breaker"), path="ask", reason="safety fix"))
    rig.vote(MANAGER)
    assert rig.phase("yes") == "call"
    rig = Rig(definition)
    rig.windows = {"freeze": WindowState(open=False)}
    rig.start().vote(MANAGER, "reject")
    assert rig.phase("no") == "call"


def test_only_the_seats_that_are_needed_are_opened_and_none_at_all_closes() -> None:
    rig = Rig(gate(Seat(role="manager"), Seat(role="safety", when="inputs.v == '2.0'"))).start()
    assert [seat["role"] for seat in rig.token("ask").question.seats] == ["manager"]  # type: ignore[union-attr]
    for broken in (Seat(role="manager", when="False"), Seat(role="manager", when="nonsense")):
        rig = Rig(gate(broken)).start()
        assert rig.phase("ask") == "gate" and rig.token("ask").question.escalation, "nobody is let through"  # type: ignore[union-attr]


@pytest.mark.parametrize("exclude", ["inputs.nobody", "None", "3"])
def test_an_exclusion_that_names_nobody_closes_the_gate(exclude: str) -> None:
    rig = Rig(gate(exclude=(exclude,))).start()
    assert rig.of(e.StepFailed) and rig.token("ask").question.escalation  # type: ignore[union-attr]


def test_claim_and_ask_are_for_those_who_may_answer() -> None:
    rig = Rig(gate()).start()
    rig.do(c.Claim(gate=rig.gate(), voter=voter("eve")))
    assert rig.code == "wrong_role" and rig.of(e.CommandRefused)[0].verb == "Claim"
    rig.do(c.Claim(gate=rig.gate(), voter=MANAGER))
    rig.do(c.Claim(gate=rig.gate(), voter=MANAGER))
    assert rig.code == "already" and rig.token("ask").question.claimed_by == "max"  # type: ignore[union-attr]
    rig.do(c.AskInfo(gate=rig.gate(), voter=MANAGER, question="why now?"))
    assert rig.of(e.InfoRequested)[0].question == "why now?"


def test_lists_can_say_beforehand_why_a_person_may_not_answer() -> None:
    rig = Rig(gate(exclude=("run.started_by",))).start(by="ana")
    question = rig.token("ask").question
    assert question is not None
    assert why_not(question, MANAGER, rig.now) == ""
    assert "excluded" in why_not(question, voter("ana", "manager"), rig.now)
    assert "role manager" in why_not(question, voter("eve"), rig.now)
    assert "over" in why_not(question, MANAGER, 9e9)


def test_a_ballot_of_an_excluded_person_does_not_count_however_it_got_there() -> None:
    def question(*votes: Ballot) -> Question:
        seat = {"role": "m", "count": 1}
        return Question(
            id="g",
            kind="",
            question="",
            seats=(seat,),
            excluded=("ana",),
            evidence={},
            digest="d",
            opened=0,
            expires=9,
            votes=list(votes),
        )

    def ballot(person: str, giver: str | None = None) -> Ballot:
        return Ballot(person=person, answer="approve", digest="d", at=0, roles=("m",), on_behalf_of=giver)

    assert filled(question(ballot("max")))
    assert not filled(question(ballot("ana")))
    assert not filled(question(ballot("max", "ana")))


def test_only_the_newest_vote_of_a_person_is_kept() -> None:
    rig = Rig(gate(Seat(role="manager", count=2))).start()
    for evidence in ({"v": 1}, {"v": 2}, {"v": 3}):
        rig.vote(MANAGER)
        rig.do(c.UpdateEvidence(gate=rig.gate(), evidence=evidence))
    rig.vote(MANAGER)
    assert len(rig.token("ask").question.votes) == 1  # type: ignore[union-attr]
    assert rig.phase("ask") == "gate"
