"""One candidate against what runs today: the table people decide on, and every trial behind it.

Rules: a vote is given on the gate's own screen, where its evidence is bound to it; a trial is left out only with a reason
and stays visible; the screen follows the candidate and is asked for again when it changes.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from textual.app import ComposeResult
from textual.containers import Container

from engine.contract.common import CommandAnswer
from engine.contract.models import Scoreboard, TrialView
from screens import acts, candidate_view
from screens.acts import Act, Field, Level, Reason
from screens.base import QScreen, Target
from screens.layout import Line
from screens.model import Delta
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.rows import Cells
from screens.widgets.text import Page
from themes import glyphs

AGAIN_S = 1.0
WIDE = 130
"""Columns from which the sequential trace stands beside the table."""
WHY = Field("reason", "Why?", required=True)
SORTS = ("operator", "environment", "hardware", "protocol")

acts.register(
    Act("candidate.approve", "A", "approve", target="candidate", order=1,
        help="To the question that is open about it: the evidence is bound to the vote there", cli="qd gates approve GATE"),
    Act("candidate.reject", "X", "reject", target="candidate", order=2,
        help="To the question that is open about it", cli="qd gates reject GATE --rationale WHY"),
    Act("candidate.more", "plus", "more trials", target="candidate", level=Level.CHANGE, command="candidate.more", order=3,
        fields=(Field("reason", "Why?"),), help="More trials for what is undecided; at most as often as the policy says",
        cli="qd models more {id}"),
    Act("candidate.exclude", "x", "exclude", target="candidate", order=4,
        help="Leave the trial under the cursor out, with a reason; it stays visible", cli="qd models exclude TRIAL --reason WHY"),
    Act("candidate.trials", "r", "trials", target="candidate", order=5, help="Every trial, worst first", cli="qd models trials {id}"),
    Act("candidate.trace", "q", "sequential", target="candidate", order=6,
        help="The evidence after each pair of trials, against what decides (Esc goes back)", cli="qd models show {id} --json"),
    Act("candidate.worst", "v", "worst", target="candidate", order=7, help="The worst trials and the replayed sessions"),
    Act("candidate.baseline", "b", "baseline", target="candidate", order=8, help="What it is compared with, and what it is made of"),
    Act("candidate.artifact", "o", "artifact", target="candidate", order=9,
        help="What was built: digest, signature, materials, lab robots", cli="qd models artifacts"),
    Act("candidate.why", "W", "ready?", target="candidate", order=10, help="Every check in full"),
    Act("candidate.run", "t", "its run", target="candidate", order=11, help="Timeline of the release", cli="qd runs show RUN"),
    Act("candidate.thread", "h", "thread", target="candidate", order=12,
        help="From what caused it to what came of it, in both directions", cli="qd trace {id}"),
    Act("candidate.gate", "e", "its gate", target="candidate", order=0, help="The question that is open about it"),
)  # fmt: skip

TRIALS = (
    Column("trial", 9),
    Column("arm", 9),
    Column("task", 14, grow=2),
    Column("seed", 6, align="right"),
    Column("outcome", 9),
    Column("rubric", 6, align="right"),
    Column("took", 6, align="right", optional=1),
    Column("says", 14, grow=3),
)
VIEWS = {
    "trials": "every trial",
    "trace": "sequential trace",
    "worst": "worst",
    "baseline": "baseline",
    "artifact": "artifact",
    "why": "checks",
}


class CandidateScreen(QScreen):
    NAME = "candidate"
    TITLE_WORD = "Candidate"
    ACTS = (
        "candidate.approve", "candidate.reject", "candidate.more", "candidate.exclude", "candidate.trials",
        "candidate.trace", "candidate.worst", "candidate.baseline", "candidate.artifact", "candidate.why",
        "candidate.run", "candidate.thread", "candidate.gate",
    )  # fmt: skip
    AUTO_FOCUS = "#board"
    CSS = """
    CandidateScreen #candidate { layout: vertical; height: 1fr; width: 1fr; }
    CandidateScreen #trials { display: none; }
    CandidateScreen #side { display: none; }
    CandidateScreen #candidate.-wide { layout: horizontal; }
    CandidateScreen #candidate.-wide #board { width: 84; }
    CandidateScreen #candidate.-wide #side { display: block; width: 1fr; border-left: solid $qd-cursor-away; }
    CandidateScreen #candidate.-trials #board { display: none; }
    CandidateScreen #candidate.-trials #trials { display: block; }
    """

    def __init__(self, candidate: str) -> None:
        super().__init__()
        self.candidate = candidate
        self.board: Scoreboard | None = None
        self.trials: tuple[TrialView, ...] = ()
        self.view = "overview"
        self._asked_at = 0.0
        self._again = False
        self.plain = not glyphs.braille()

    # -- showing ------------------------------------------------------------------------------------------------

    def body(self) -> ComposeResult:
        with Container(id="candidate"):
            yield Page(id="board")
            yield Page(id="side")
            yield LineTable(TRIALS, empty=("Loading the trials \u2026",), id="trials")

    def on_mount(self) -> None:
        self.refetch()

    def refetch(self) -> None:
        self._asked_at, self._again = monotonic(), False
        path = f"/v1/candidates/{self.candidate}/scoreboard"
        self.ask(lambda: self.client.read(path, Scoreboard), self._got)
        if self.view == "trials":
            self._fetch_trials()

    def _fetch_trials(self) -> None:
        where = {"candidate": self.candidate}
        self.ask(
            lambda: self.client.records("trial", TrialView, where=where, sort="outcome", limit=1000),
            self._got_trials, group="fetch-trials",
        )  # fmt: skip

    def _got(self, board: Scoreboard) -> None:
        self.board = board
        self._show()

    def _got_trials(self, trials: tuple[TrialView, ...]) -> None:
        self.trials = trials
        self._show()

    def model_changed(self, delta: Delta | None) -> None:
        if delta is None or delta.gates or ("candidate", self.candidate) in delta.records or delta.of("artifact"):
            self._again = True
            self._maybe_again()

    def each_second(self) -> None:
        self._maybe_again()
        self._show()

    def _maybe_again(self) -> None:
        if self._again and self.online and monotonic() - self._asked_at >= AGAIN_S:
            self.refetch()

    def on_resize(self) -> None:
        self._show()

    def _show(self) -> None:
        if not self.is_mounted:
            return
        page, table = self.query_one("#board", Page), self.query_one("#trials", LineTable)
        board = self.board
        wide = (
            self.size.width >= WIDE and self.view == "overview" and board is not None and board.comparison is not None
        )
        box = self.query_one("#candidate")
        box.set_class(self.view == "trials", "-trials")
        box.set_class(wide, "-wide")
        if board is None:
            said = "Loading the candidate \u2026" if self.trouble is None else "Esc goes back to the list."
            page.show([[(said, "muted")]])
            return
        now, cells, room = self.model.now(), (80 if wide else self.size.width - 3), self.size.height - 5
        if self.view == "trials":
            table.empty = ("No trial yet.",)
            table.merge([(one.id, trial_cells(one)) for one in sorted(self.trials, key=_worst_first)])
            return
        head: list[Line] = [candidate_view.title(board, cells), [""]]
        if self.view == "trace":
            found = board.comparison
            lines = candidate_view.trace(found, cells, room - 2, ascii=self.plain) if found is not None else []
            page.show([*head, *(lines or [[("Nothing was compared yet.", "muted")]])])
        elif self.view == "worst":
            lines = candidate_view.worst(board.worst, cells) or [[("No trial of it failed.", "muted")]]
            page.show([*head, *lines, [""], *candidate_view.sessions(board.candidate, cells)])
        elif self.view == "baseline":
            page.show([*head, *candidate_view.baseline(board, cells)])
        elif self.view == "artifact":
            page.show([*head, *candidate_view.artifact(board.artifact, cells, now)])
        elif self.view == "why":
            lines = candidate_view.checks(board.candidate, cells) or [[("Nothing was checked yet.", "muted")]]
            page.show(
                [*head, [("checks", "strong")], *lines, [""], *candidate_view.decisions(board.candidate, cells, now)]
            )
        else:
            page.show(candidate_view.overview(board, cells, now, room=room))
            if wide and board.comparison is not None:
                beside = candidate_view.trace(board.comparison, self.size.width - 84 - 5, room, ascii=self.plain)
                self.query_one("#side", Page).show(beside)

    def verdict(self) -> list[Part]:
        return (
            candidate_view.verdict(self.board)
            if self.board is not None
            else [("Loading the candidate \u2026", "muted")]
        )

    # -- acting -------------------------------------------------------------------------------------------------

    def target(self) -> Target:
        if self.view == "trials":
            key = self.query_one("#trials", LineTable).cursor_key
            if key:
                return Target("trial", key, key)
        title = self.board.candidate.title if self.board is not None else ""
        return Target("candidate", self.candidate, title)

    def why_not(self, act: Act) -> Reason | None:
        board = self.board
        if board is None:
            return Reason("the candidate is still loading")
        c = board.candidate
        if act.name in ("candidate.approve", "candidate.reject", "candidate.gate") and not board.open_gate:
            if c.frozen_by:
                return Reason(f"approvals of {c.line} wait for {c.frozen_by}", "its commander releases them")
            return Reason("no question about this candidate is open", f"it is {c.state}")
        if act.name == "candidate.more" and c.state != "compared":
            return Reason(f"it is {c.state}", "more trials can be added while it is compared")
        if act.name == "candidate.exclude" and c.state not in ("evaluating", "compared", "approved"):
            return Reason(f"it is {c.state}", "what was decided on no longer changes")
        if act.name == "candidate.run" and not c.run:
            return Reason("no run works on it")
        return None

    def act_candidate_approve(self) -> None:
        self.act_candidate_gate()

    def act_candidate_reject(self) -> None:
        self.act_candidate_gate()

    def act_candidate_gate(self) -> None:
        if self.board is not None:
            self.console.open("gate", self.board.open_gate)

    def act_candidate_run(self) -> None:
        if self.board is not None:
            self.console.open("run", self.board.candidate.run)

    def act_candidate_thread(self) -> None:
        self.console.open("trace", self.candidate)

    def act_candidate_trials(self) -> None:
        self._look("trials")

    def act_candidate_trace(self) -> None:
        self._look("trace")

    def act_candidate_worst(self) -> None:
        self._look("worst")

    def act_candidate_baseline(self) -> None:
        self._look("baseline")

    def act_candidate_artifact(self) -> None:
        self._look("artifact")

    def act_candidate_why(self) -> None:
        self._look("why")

    def act_candidate_exclude(self) -> None:
        """The trial under the cursor; without one, to the trials first."""
        if self.view != "trials":
            self._look("trials")
            self.say(("choose the trial, then x again", "muted"))
            return
        key = self.query_one("#trials", LineTable).cursor_key
        trial = next((one for one in self.trials if one.id == key), None)
        if trial is None:
            self.say(("no trial is selected", "caution"))
        elif trial.state == "excluded":
            self.say((f"{trial.id} is left out already: {trial.excluded}", "caution"))
        else:
            act = Act(
                "candidate.exclude", "x", "exclude", target="trial", level=Level.CHANGE, command="candidate.exclude",
                fields=(WHY, Field("sort", "What went wrong?", choices=SORTS, default=SORTS[0])),
            )  # fmt: skip
            target = Target("trial", trial.id, f"{trial.arm} on {trial.task}, seed {trial.seed} ({trial.outcome})")
            self.run_worker(self.carry_out(act, target), group="command", exit_on_error=False)

    async def carry_out(self, act: Act, target: Target) -> None:
        """More trials are for the candidate, whatever row the cursor is on."""
        if act.name == "candidate.more":
            target = Target("candidate", self.candidate, self.board.candidate.title if self.board is not None else "")
        await super().carry_out(act, target)

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()

    def _look(self, view: str) -> None:
        """A view; its key once more, or Esc, goes back to the table."""
        self.view = "overview" if self.view == view else view
        if self.view == "trials":
            self._fetch_trials()
        self._show()
        self.query_one("#trials" if self.view == "trials" else "#board").focus()
        self.query_one("#board", Page).scroll_to(y=0, animate=False, immediate=True)
        self.refresh_chrome()

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        trial = next((one for one in self.trials if one.id == message.key), None)
        if trial is not None:
            events = "; ".join(event.what for event in trial.safety_events) or "no safety event"
            self.say(
                (f"{trial.id} ", "strong"),
                f"{trial.purpose}, {trial.attempts} tries, by {trial.by}: {events}  {trial.note}",
            )

    def act_console_back(self) -> None:
        if self.filter:
            self.set_filter("")
        elif self.view != "overview":
            self._look(self.view)
        else:
            super().act_console_back()

    def act_console_quit(self) -> None:
        self.act_console_back()

    def filtered(self, text: str) -> None:
        self.query_one("#trials", LineTable).narrow(text)


def _worst_first(one: TrialView) -> tuple[Any, ...]:
    """Left out ones first (they want a look), then the candidate's failures, by how far they came."""
    return (one.state != "excluded", one.outcome == "success", one.arm != "candidate", one.rubric, one.task, one.seed)


def trial_cells(one: TrialView) -> Cells:
    """Id, arm, task, seed, outcome, rubric, time, and what there is to say."""
    outcome: Part = one.outcome if one.outcome == "success" else (one.outcome, "caution")
    says: Part = one.mode
    if one.state == "excluded":
        outcome, says = ("excluded", "caution"), f"{one.excluded} ({one.excluded_by})"
    elif any(event.causal for event in one.safety_events):
        says = (f"\u2717 {one.safety_events[0].what}", "alarm")
    return (
        one.id, one.arm, one.task if one.purpose == "sim" else f"{one.task} ({one.purpose})", str(one.seed), outcome,
        f"{one.rubric:.2f}", f"{one.duration_s:.1f}s", says,
    )  # fmt: skip
