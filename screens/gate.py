"""One question to people: read what it rests on, then claim, approve, reject, ask for more, or hand over.

Rules: a vote names the digest of the evidence that stands on this screen, nothing newer; when the evidence changes, what
changed is marked and votes start anew; a refusal is shown with its reason and what to do. What changed since this person
saw it last stands on top; so does who else has it on their screen.
"""

from __future__ import annotations

from time import monotonic
from typing import Any
from urllib.parse import quote

from textual.app import ComposeResult
from textual.containers import Container

from engine.contract.client import EngineUnreachable, Refused
from engine.contract.common import CommandAnswer, Problem
from engine.contract.gates import GateDetail
from engine.contract.history import DiffView, Looker
from screens import evidence, fields, figures, gate_acts, gate_view, inbox, past
from screens.acts import Act, Reason
from screens.base import Question, Target
from screens.confirm import UNFILLED, Confirm
from screens.layout import Line
from screens.model import Delta
from screens.past import Travels
from screens.widgets.parts import Part
from screens.widgets.text import Page

DELEGATE_H = 8.0
LOOK_S = 5.0
"""How often the engine is told that somebody has it on their screen; it forgets after three of these."""


class GateScreen(Travels):
    NAME = KIND = "gate"
    TITLE_WORD = "Gate"
    ACTS = (*gate_acts.ACTS, *past.ACTS)
    READING = gate_acts.READING
    SHAPE = GateDetail
    AUTO_FOCUS = "Page"
    CSS = """
    GateScreen #gate { layout: vertical; height: 1fr; width: 1fr; }
    GateScreen #grounds { display: none; }
    GateScreen #gate.-wide { layout: horizontal; }
    GateScreen #gate.-wide #facts { width: 2fr; }
    GateScreen #gate.-wide #grounds { display: block; width: 3fr; border-left: solid $qd-cursor-away; }
    """

    def __init__(self, gate: str) -> None:
        super().__init__()
        self.gate = gate
        self.detail: GateDetail | None = None
        self._before: list[Line] = []
        self._looked_at = 0.0
        self._others: tuple[Looker, ...] = ()
        self._since: DiffView | None = None
        self._saw = 0

    # -- showing ------------------------------------------------------------------------------------------------

    def body(self) -> ComposeResult:
        with Container(id="gate"):
            yield Page(id="facts")
            yield Page(id="grounds")

    def on_mount(self) -> None:
        self.refetch()

    @property
    def past_id(self) -> str:
        return self.gate

    def refetch(self) -> None:
        if not self.in_past():
            self.ask(lambda: self.client.gate(self.gate), self._got)

    def _got(self, detail: GateDetail) -> None:
        if self.in_past():
            return
        if self.detail is None:
            self._compare_with_last_look(detail)
        inbox.see(self, detail.gate)
        self.show_detail(detail)

    def show_detail(self, detail: GateDetail) -> None:
        old = None if self.in_past() else self.detail
        if old is not None and old.evidence_digest != detail.evidence_digest:
            self._before = evidence.lines(old.evidence, self.model.now(), self._evidence_cells())
            if detail.gate.state == "open":
                self.say(("The evidence has changed: read what is marked ~, then vote.", "caution"), seconds=12)
        self.detail = detail
        self._show()

    def model_changed(self, delta: Delta | None) -> None:
        if self.detail is not None and (delta is None or self.gate in delta.gates):
            self.refetch()

    def each_second(self) -> None:
        if monotonic() - self._looked_at >= LOOK_S:
            self._look()
        self._show()

    def _look(self) -> None:
        """Say that we look, hear who else does. What can't be had now is of no account."""
        self._looked_at = monotonic()
        path = f"/v1/gates/{quote(self.gate, safe='')}/lookers"

        async def work() -> Any:
            try:
                self._others = await self.client.read(path, tuple[Looker, ...], mine="look")
            except (Refused, EngineUnreachable):
                self._others = ()
            self._show()

        self.run_worker(work, group="look", exclusive=True, exit_on_error=False)

    def _compare_with_last_look(self, detail: GateDetail) -> None:
        self._saw = inbox.seen(self, detail.gate)
        if not self._saw:
            return
        path = f"/v1/history/gate/{quote(self.gate, safe='')}/diff"

        async def work() -> Any:
            try:
                self._since = await self.client.read(path, DiffView, a=self._saw)
            except (Refused, EngineUnreachable):
                return
            self._show()

        self.run_worker(work, group="since", exclusive=True, exit_on_error=False)

    def last_look(self) -> int:
        return self._saw

    def on_resize(self) -> None:
        self._show()

    @property
    def wide(self) -> bool:
        return self.size.width >= 120

    def _evidence_cells(self) -> int:
        return (self.size.width * 3 // 5 if self.wide else self.size.width) - 8

    def _show(self) -> None:
        if not self.is_mounted:
            return
        facts = self.query_one("#facts", Page)
        self.query_one("#gate").set_class(self.wide, "-wide")
        if self.detail is None:
            facts.show(
                [[("Loading the question \u2026" if self.trouble is None else "Esc goes back to the inbox.", "muted")]]
            )
            return
        now = self.clock()
        cells = self.size.width * 2 // 5 - 3 if self.wide else self.size.width - 3
        top = [] if self.in_past() else gate_view.since(self._since, self._others, self.model.now(), cells)
        if self.wide:
            facts.show([*top, *gate_view.facts(self.detail, now, cells, grounded=False)])
            self.query_one("#grounds", Page).show(
                gate_view.grounds(self.detail, now, self._evidence_cells() + 4, self._before)
            )
        else:
            facts.show([*top, *gate_view.facts(self.detail, now, cells, self._before)])

    def verdict(self) -> list[Part]:
        if self.detail is None:
            return [("Loading the question \u2026", "muted")]
        return gate_view.sentence(self.detail, self.clock())

    # -- acting -------------------------------------------------------------------------------------------------

    def target(self) -> Target | None:
        return Target("gate", self.gate, self.detail.gate.question if self.detail is not None else "")

    def why_not(self, act: Act) -> Reason | None:
        detail = self.detail
        if detail is None:
            return Reason("the question is still loading")
        if act.name == "gate.rollout" and not detail.gate.rollout:
            return Reason("this question is about no rollout")
        if act.name == "gate.knew" and not any(not vote.refused for vote in detail.votes):
            return Reason("nobody has voted on it")
        if act.name == "gate.next" and inbox.after(self, detail.gate) is None:
            return Reason("no other question waits for you", "Esc goes back")
        if not act.command:
            return None
        if detail.gate.state != "open":
            return Reason(f"this question is closed ({detail.gate.state})")
        if act.name == "gate.withdraw":
            me = self.model.me.person if self.model.me else ""
            voted = any(vote.person == me and not vote.void and not vote.refused for vote in detail.votes)
            return None if voted else Reason("you have no vote here that counts")
        if act.name in ("gate.approve", "gate.reject", "gate.claim", "gate.abstain") and detail.gate.mine:
            who = ", ".join(detail.who_can[:4])
            return Reason(detail.gate.mine, f"who can: {who}" if who else "")
        return None

    async def carry_out(self, act: Act, target: Target) -> None:
        """Votes and delegations ask more than the act's own fields; the digest is that of the evidence on screen."""
        detail = self.detail
        if detail is None or act.name not in ("gate.approve", "gate.reject", "gate.delegate"):
            await super().carry_out(act, target)
            return
        answer = _answer(act, detail.answers)
        base: dict[str, Any] = {}
        if act.name != "gate.delegate":
            base = {"answer": answer or detail.answers[0], "evidence_digest": detail.evidence_digest}
        question = await self._question_for(act, target, base, previewed=act.name != "gate.delegate")
        if question is None:
            return
        answered: dict[str, Any] | None = await self.app.push_screen_wait(
            Confirm(question, items=self._items(act, detail, answer), notes=self._notes(act, detail))
        )
        if answered is None:
            self.say((f"{act.verb}: nothing was changed", "muted"))
            return
        if act.name == "gate.delegate":
            until = self.model.now() + float(answered.get("hours", DELEGATE_H)) * 3600
            await self.send(act, target, {"to": answered["to"], "until": until})
        else:
            await self.send(act, target, {**base, **answered})

    async def _question_for(
        self, act: Act, target: Target, args: dict[str, Any], *, previewed: bool
    ) -> Question | None:
        """What the engine says it would do; a refusal that no answer could change is said at once."""
        preview: CommandAnswer | None = None
        problem: Problem | None = None
        if previewed:
            try:
                preview = await self.client.command(act.command, target.id, args, preview=True)
            except Refused as error:
                problem = error.problem
                if problem.code not in UNFILLED:
                    self._refused(act, problem)
                    return None
            except EngineUnreachable as error:
                self.say((f"{act.verb}: not sent, the engine did not answer ({error})", "caution"))
                return None
        environment = self.model.status.environment if self.model.status else ""
        if preview is None and problem is not None and self.detail is not None and act.name == "gate.approve":
            preview = CommandAnswer(
                id="",
                verb=act.command,
                target=target.id,
                preview=True,
                consequences=self.detail.consequences,
                phrase=self.detail.phrase,
            )
            problem = None  # the form was empty in the preview; it is about to be filled in
        return Question(act, target, environment, preview, problem, args)

    def _refused(self, act: Act, problem: Problem) -> None:
        fix = f" {problem.fix}" if problem.fix else ""
        self.say((f"{act.verb} refused: {problem.reason}", "caution"), fix, seconds=12)
        if problem.code in ("stale_evidence", "closed", "not_open", "expired", "stale"):
            self.refetch()

    async def send(self, act: Act, target: Target, args: dict[str, Any]) -> CommandAnswer | None:
        answer = await super().send(act, target, args)
        if answer is None:
            self.refetch()  # refused for a reason that may stand in the detail by now: stale, closed, voted
        return answer

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()
        if act.name in gate_acts.DECISIONS and self.detail is not None:
            following = inbox.after(self, self.detail.gate)
            said: list[Any] = [(f"\u2713 {act.verb} ", "strong"), self.gate]
            if following is None:
                said.append("  nothing else waits for you")
            else:
                left = len(inbox.waiting(self, without=self.gate))
                said += [f"  {left} left; ", ("Enter", "key"), " next: ", following.question]
            self.say(*said, seconds=10.0)

    def _items(self, act: Act, detail: GateDetail, answer: str) -> list[fields.Item]:
        if act.name == "gate.delegate":
            me = self.model.me
            people = tuple(name for name in (me.people if me else ()) if me is None or name != me.person)
            return [
                fields.Item(name="to", label="Who may vote in your place?", required=True, choices=people),
                fields.Item(
                    name="hours",
                    label="For how many hours?",
                    kind="number",
                    required=True,
                    default=DELEGATE_H,
                    minimum=0.1,
                    maximum=168,
                ),
            ]
        items = []
        if not answer:
            items.append(fields.Item(name="answer", label="Answer", required=True, choices=detail.answers))
        if act.name == "gate.approve":
            items += fields.of_form(detail.form)
        items.append(fields.Item(name="rationale", label="Why?", required=act.name == "gate.reject", hint="^E editor"))
        return items

    def _notes(self, act: Act, detail: GateDetail) -> list[Line]:
        if act.name == "gate.delegate":
            return [[("They vote with your roles until then; nobody excluded gets a seat by it.", "muted")]]
        age = figures.aged(detail.evidence_at, self.model.now(), gate_view.STALE_S / 2)
        lines: list[Line] = [
            [("on the evidence you saw, digest ", "muted"), figures.short(detail.evidence_digest), ", ", age]
        ]
        if act.name == "gate.approve" and not detail.consequences:
            lines[:0] = [["\u00b7 ", text] for text in gate_view.implied(detail)]
        return lines

    # -- going places -------------------------------------------------------------------------------------------

    def act_gate_knew(self) -> None:
        """Votes name the evidence they saw: as it stood at the newest of them."""
        self.travel_to_last("VoteCast")

    def act_gate_next(self) -> None:
        following = inbox.after(self, self.detail.gate) if self.detail is not None else None
        if following is not None:
            self.dismiss_or_pop()
            self.console.open("gate", following.id)

    def act_gate_later(self) -> None:
        if self.detail is not None:
            inbox.put_off(self, self.detail.gate)

    def act_gate_others(self) -> None:
        if self.detail is not None:
            inbox.leave_to_others(self, self.detail.gate)

    def act_gate_evidence(self) -> None:
        if self.wide:
            self.query_one("#grounds", Page).focus()
            return
        page = self.query_one("#facts", Page)
        for y, line in enumerate(page.text.splitlines()):
            if line.strip().startswith("Evidence"):
                page.scroll_to(y=y, animate=False, immediate=True)
                return

    def act_gate_run(self) -> None:
        if self.detail is not None:
            self.console.open("run", self.detail.gate.run)

    def act_gate_rollout(self) -> None:
        if self.detail is not None:
            self.console.open("rollout", self.detail.gate.rollout)


def _answer(act: Act, answers: tuple[str, ...]) -> str:
    """The answer a key stands for; empty when the gate's answers are its own words and one must be chosen."""
    word = "approve" if act.name == "gate.approve" else "reject"
    return word if word in answers else ""
