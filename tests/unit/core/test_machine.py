"""A Hypothesis state machine over the pure core: whatever happens, in whatever order, the promises hold.

Each rule is something the world or a person can do: answer, fail, lose an answer, answer late or twice, let time pass,
vote, signal, operate, crash. The rig checks after every command that replay equals live and that closed runs stand
still; here stand the promises about votes, undoing and endings.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.core import commands as c
from engine.core import events as e
from engine.core import state as s
from engine.core.apply import fold
from engine.core.deciding import WindowState
from engine.core.effects import RunAction
from engine.core.state import Token, decode, encode
from tests.unit.core.kitchen import PEOPLE, operator_verbs
from tests.unit.core.promises import check_history
from tests.unit.core.rig import check_batches
from tests.unit.core.situations import SITUATIONS

pick = st.integers(0, 1_000_000)


class CoreMachine(RuleBasedStateMachine):
    @initialize(where=st.sampled_from(sorted(set(SITUATIONS) - {"new", "completed", "cancelled", "terminated"})))
    def begin(self, where: str) -> None:
        self.rig = SITUATIONS[where]()
        self.past: list[c.Command] = []

    def do(self, command: c.Command) -> None:
        self.past.append(command)
        self.rig.do(command)

    def flying(self) -> list[Token]:
        state = self.rig.state
        if state.undoing is not None:
            return [state.undoing] if state.undoing.phase == s.CALL else []
        return [token for token in state.tokens.values() if token.phase == s.CALL]

    def at(self, token: Token) -> dict[str, Any]:
        return {"scope": token.scope, "step": token.step, "fence": token.fence}

    @precondition(lambda self: self.flying())
    @rule(n=pick, good=st.sampled_from([True, True, True, False]))
    def answer(self, n: int, good: bool) -> None:
        token = self.flying()[n % len(self.flying())]
        self.do(c.Complete(**self.at(token), output={"ok": good, "bad": not good and n % 3 == 0}))

    @precondition(lambda self: self.flying())
    @rule(n=pick, doubt=st.booleans(), kind=st.sampled_from(["domain", "timeout", "authorization", "unknown"]))
    def fail(self, n: int, doubt: bool, kind: Any) -> None:
        token = self.flying()[n % len(self.flying())]
        self.do(c.Fail(**self.at(token), failure=e.Failure(error="Boom", kind=kind), in_doubt=doubt))

    @precondition(lambda self: self.flying())
    @rule(n=pick)
    def defer(self, n: int) -> None:
        token = self.flying()[n % len(self.flying())]
        self.do(c.Defer(**self.at(token), seconds=float(n % 60), reason="busy"))

    @precondition(lambda self: self.flying())
    @rule(n=pick)
    def mark(self, n: int) -> None:
        token = self.flying()[n % len(self.flying())]
        self.do(c.MarkStarted(**self.at(token), owner="host"))

    @precondition(lambda self: self.rig.timers())
    @rule(n=st.integers(0, 2))
    def time_passes(self, n: int) -> None:
        timers = self.rig.timers()
        due, token, timer = timers[min(n, len(timers) - 1)]
        self.rig.now = max(self.rig.now, due)
        self.do(c.FireTimer(scope=token.scope, step=token.step, fence=timer.fence, purpose=timer.purpose))

    @precondition(lambda self: self.rig.state.deadline is not None)
    @rule(n=st.integers(0, 99))
    def deadline(self, n: int) -> None:
        deadline = self.rig.state.deadline
        if n == 77 and deadline is not None:
            self.rig.now = max(self.rig.now, deadline.due)
            self.do(c.FireTimer(scope="", step="", fence=deadline.fence, purpose="deadline"))

    @precondition(lambda self: self.past)
    @rule(n=pick)
    def again(self, n: int) -> None:
        """A duplicate, or something long stale."""
        self.rig.do(self.past[n % len(self.past)])

    @precondition(lambda self: self.rig.state.gates)
    @rule(
        n=pick,
        who=st.sampled_from(PEOPLE),
        answer=st.sampled_from(["approve", "approve", "approve", "retry", "skip", "reject", "abort"]),
        stale=st.integers(0, 9),
    )
    def vote(self, n: int, who: c.Voter, answer: str, stale: int) -> None:
        gates = list(self.rig.state.gates)
        gate = gates[n % len(gates)]
        question = self.rig.state.tokens[self.rig.state.gates[gate]].question
        assert question is not None
        digest = "sha256:old" if stale == 9 else question.digest
        if answer not in question.answers:
            answer = question.answers[n % len(question.answers)]
        self.do(c.Vote(gate=gate, voter=who, answer=answer, evidence_digest=digest))

    @precondition(lambda self: self.rig.state.gates)
    @rule(
        who=st.sampled_from(PEOPLE),
        what=st.sampled_from(["withdraw", "abstain", "delegate", "claim", "ask", "evidence"]),
        n=pick,
    )
    def at_gate(self, who: c.Voter, what: str, n: int) -> None:
        gate = self.rig.gate()
        to = PEOPLE[n % len(PEOPLE)].person
        self.do(
            {
                "withdraw": c.WithdrawVote(gate=gate, voter=who),
                "abstain": c.Abstain(gate=gate, voter=who),
                "delegate": c.Delegate(gate=gate, voter=who, to=to, until=self.rig.now + n % 500),
                "claim": c.Claim(gate=gate, voter=who),
                "ask": c.AskInfo(gate=gate, voter=who, question="?"),
                "evidence": c.UpdateEvidence(gate=gate, evidence={"n": n % 3}),
            }[what]
        )

    @rule(n=pick, name=st.sampled_from(["promote", "promote", "odd", "pause", "abort"]))
    def signal(self, n: int, name: str) -> None:
        self.do(c.ReceiveEvent(event=name, id=f"e{n % 50}", data={"ok": n % 2 == 0}, by="x"))

    @rule(n=pick, verb=pick)
    def operate(self, n: int, verb: int) -> None:
        tokens = list(self.rig.state.tokens.values())
        path = tokens[n % len(tokens)].path if tokens else "prepare"
        drastic = (c.Terminate, c.Cancel, c.Redrive, c.Suspend)
        verbs = [one for one in operator_verbs(path) if verb % 7 == 3 or not isinstance(one, drastic)]
        self.do(verbs[verb % len(verbs)])

    @rule(grant=st.booleans())
    def lock(self, grant: bool) -> None:
        if self.rig.state.lock_wanted:
            self.do(c.GrantLock(key="fleet") if grant else c.DenyLock(key="fleet"))

    @rule(open_=st.booleans())
    def window(self, open_: bool) -> None:
        self.rig.windows = {"freeze": WindowState(open=open_, until=self.rig.now + 50)}

    @precondition(lambda self: any(one.phase == s.CHILD for one in self.rig.state.tokens.values()))
    @rule(status=st.sampled_from(["completed", "failed", "cancelled"]))
    def child(self, status: str) -> None:
        token = next(one for one in self.rig.state.tokens.values() if one.phase == s.CHILD)
        self.do(c.EndChild(**self.at(token), child="k", status=status))

    @rule(cut=st.floats(0, 1))
    def crash(self, cut: float) -> None:
        """The host comes back from a snapshot and the events since; it owes what the old one owed."""
        events = self.rig.events
        at = int(len(events) * cut)
        snapshot = decode(encode(fold(self.rig.run, events[:at])))
        owed = self.rig.owed()
        self.rig.state = fold(self.rig.run, events[at:], snapshot)
        assert self.rig.owed() == owed
        running = {(one.scope, one.step, one.fence) for one in owed if isinstance(one, RunAction)}
        assert running == {(one.scope, one.step, one.fence) for one in self.flying()}

    @invariant()
    def an_open_run_always_waits_for_something(self) -> None:
        if not hasattr(self, "rig"):
            return
        state = self.rig.state
        if state.open and not state.suspended:
            assert self.rig.owed() or state.gates or any(one.phase == s.EVENT for one in state.tokens.values())

    def teardown(self) -> None:
        if hasattr(self, "rig"):
            check_history(self.rig.definition, self.rig.events)
            size = len(self.rig.events)
            check_batches(self.rig.run, self.rig.events, lambda n: (0, size // 3, size // 2, size))


TestCoreMachine = CoreMachine.TestCase
TestCoreMachine.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
