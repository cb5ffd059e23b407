"""One question to people: read what it rests on, then claim, approve, reject, ask for more, or hand over.

Rules: a vote names the digest of the evidence that stands on this screen, nothing newer; when the evidence changes, what
changed is marked and votes start anew; a refusal is shown with its reason and what to do.
"""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult
from textual.containers import Container

from engine.contract.client import EngineUnreachable, Refused
from engine.contract.common import CommandAnswer, Problem
from engine.contract.gates import GateDetail
from screens import acts, evidence, fields, figures, gate_view
from screens.acts import Act, Field, Level, Reason
from screens.base import QScreen, Question, Target
from screens.confirm import UNFILLED, Confirm
from screens.layout import Line
from screens.model import Delta
from screens.widgets.parts import Part
from screens.widgets.text import Page

DELEGATE_H = 8.0

acts.register(
    Act(
        "gate.approve",
        "A",
        "approve",
        target="gate",
        level=Level.RISK,
        command="gate.vote",
        help="Vote for it, on exactly the evidence shown",
        cli="qd gates approve {id}",
        order=1,
    ),
    Act(
        "gate.reject",
        "X",
        "reject",
        target="gate",
        level=Level.CHANGE,
        command="gate.vote",
        help="Vote against it, with a reason",
        cli="qd gates reject {id} --rationale TEXT",
        order=2,
    ),
    Act(
        "gate.claim",
        "a",
        "claim",
        target="gate",
        level=Level.SAFE,
        command="gate.claim",
        help="Say that I look at it; stops nobody else",
        cli="qd gates claim {id}",
        order=3,
    ),
    Act(
        "gate.ask",
        "n",
        "ask for more",
        target="gate",
        level=Level.CHANGE,
        command="gate.ask",
        help="Ask who started it for what is missing; the clock goes on",
        fields=(Field("question", "What do you need to know?", required=True),),
        cli="qd gates ask {id} QUESTION",
        order=4,
    ),
    Act(
        "gate.delegate",
        "d",
        "delegate",
        target="gate",
        level=Level.CHANGE,
        command="gate.delegate",
        help="Let another person vote with my roles for some hours; they can't pass it on",
        cli="qd gates delegate {id} NAME",
        order=5,
    ),
    Act(
        "gate.withdraw",
        "w",
        "take back my vote",
        target="gate",
        level=Level.CHANGE,
        command="gate.withdraw",
        help="My vote no longer counts; the seat is open again",
        cli="qd gates withdraw {id}",
        order=0,
    ),
    Act("gate.evidence", "e", "evidence", target="gate", help="Go to the evidence", cli="qd gates show {id}", order=6),
    Act(
        "gate.run",
        "t",
        "its run",
        target="gate",
        help="The run that asks: graph, timeline, why it waits",
        cli="qd runs show {id}",
        order=7,
    ),
    Act(
        "gate.rollout",
        "r",
        "its rollout",
        target="gate",
        help="The rollout it is about",
        cli="qd rollouts show {id}",
        order=8,
    ),
)


class GateScreen(QScreen):
    NAME = "gate"
    TITLE_WORD = "Gate"
    ACTS = (
        "gate.approve",
        "gate.reject",
        "gate.claim",
        "gate.ask",
        "gate.delegate",
        "gate.withdraw",
        "gate.evidence",
        "gate.run",
        "gate.rollout",
    )
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
        self._asked_digest = ""

    # -- showing ------------------------------------------------------------------------------------------------

    def body(self) -> ComposeResult:
        with Container(id="gate"):
            yield Page(id="facts")
            yield Page(id="grounds")

    def on_mount(self) -> None:
        self.refetch()

    def refetch(self) -> None:
        self.ask(lambda: self.client.gate(self.gate), self._got)

    def _got(self, detail: GateDetail) -> None:
        old = self.detail
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
        self._show()

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
        now = self.model.now()
        if self.wide:
            facts.show(gate_view.facts(self.detail, now, self.size.width * 2 // 5 - 3, grounded=False))
            self.query_one("#grounds", Page).show(
                gate_view.grounds(self.detail, now, self._evidence_cells() + 4, self._before)
            )
        else:
            facts.show(gate_view.facts(self.detail, now, self.size.width - 3, self._before))

    def verdict(self) -> list[Part]:
        if self.detail is None:
            return [("Loading the question \u2026", "muted")]
        return gate_view.sentence(self.detail, self.model.now())

    # -- acting -------------------------------------------------------------------------------------------------

    def target(self) -> Target | None:
        return Target("gate", self.gate, self.detail.gate.question if self.detail is not None else "")

    def why_not(self, act: Act) -> Reason | None:
        detail = self.detail
        if detail is None:
            return Reason("the question is still loading")
        if act.name == "gate.rollout" and not detail.gate.rollout:
            return Reason("this question is about no rollout")
        if not act.command:
            return None
        if detail.gate.state != "open":
            return Reason(f"this question is closed ({detail.gate.state})")
        if act.name == "gate.withdraw":
            me = self.model.me.person if self.model.me else ""
            voted = any(vote.person == me and not vote.void and not vote.refused for vote in detail.votes)
            return None if voted else Reason("you have no vote here that counts")
        if act.name in ("gate.approve", "gate.reject", "gate.claim") and detail.gate.mine:
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
        items.append(fields.Item(name="rationale", label="Why?", required=act.name == "gate.reject"))
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
