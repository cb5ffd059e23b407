"""All staged rollouts: which need a decision first, then what moves, then what is over."""

from __future__ import annotations

from textual.app import ComposeResult

from engine.contract.rollouts import RolloutPage, RolloutSummary
from screens import acts, figures
from screens.acts import Act, Level, Reason
from screens.base import QScreen, Target
from screens.model import Delta, coarse
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.rows import Cells

FINAL = ("completed", "completed_with_exceptions", "rolled_back", "aborted", "failed")

acts.register(
    Act(
        "rollouts.open",
        "enter",
        "open",
        target="rollout",
        help="Canary against control, verdict, blast radius",
        cli="qd rollouts show {id}",
        order=1,
    ),
    Act(
        "rollouts.pause",
        "p",
        "pause",
        target="rollout",
        level=Level.SAFE,
        command="rollout.pause",
        help="No further robot is dispatched; asked for at once, shown per robot when it holds",
        cli="qd rollouts pause {id}",
        order=2,
    ),
)

COLUMNS = (
    Column("", 1),
    Column("rollout", 8),
    Column("state", 18),
    Column("what", 18, grow=2),
    Column("stage", 8, optional=1),
    Column("ok/exec", 8, align="right"),
    Column("verdict", 14),
    Column("waits for", 10, grow=3, optional=2),
    Column("age", 4, align="right", optional=3),
)


class RolloutsScreen(QScreen):
    NAME = "rollouts"
    TITLE_WORD = "Rollouts"
    ACTS = ("rollouts.open", "rollouts.pause")
    ROOT = True

    def __init__(self) -> None:
        super().__init__()
        self._page: RolloutPage | None = None

    def body(self) -> ComposeResult:
        yield LineTable(COLUMNS, empty=("Loading \u2026",), id="rollouts")

    def on_mount(self) -> None:
        self.refetch()

    def on_screen_resume(self) -> None:
        if self._page is not None:
            self.refetch()

    def refetch(self) -> None:
        """The model holds the moving ones; those that ended come from the engine, once."""
        self.ask(lambda: self.client.rollouts(limit=200), self._got)

    def _got(self, page: RolloutPage) -> None:
        self._page = page
        self._show()

    def model_changed(self, delta: Delta | None) -> None:
        if delta is None or delta.rollouts:
            self._show()

    def each_second(self) -> None:
        self._show()

    def rows(self) -> list[RolloutSummary]:
        """What the engine listed, each as the feed last told it."""
        held = {row.id: row for row in (self._page.rows if self._page else ())}
        for id, row in self.model.rollouts.items():
            if id not in held or held[id].row <= row.row:
                held[id] = row
        return sorted(held.values(), key=_urgency)

    def verdict(self) -> list[Part]:
        rows = self.rows()
        if not rows:
            return [("Loading \u2026", "muted")] if self._page is None else ["No rollout yet."]
        moving = [row for row in rows if row.state not in FINAL]
        failing = [row for row in moving if row.verdict == "FAIL"]
        unsure = [row for row in moving if row.verdict == "INCONCLUSIVE"]
        line: list[Part] = [f"{len(moving)} of {len(rows)} not finished"]
        if failing:
            line += [", ", (f"\u2717 {len(failing)} FAIL", "alarm")]
        if unsure:
            line += [", ", (f"? {len(unsure)} inconclusive", "caution")]
        waiting = sum(bool(row.gate) for row in moving)
        if waiting:
            line += [", ", (f"\u2691 {waiting} wait for a vote", "strong")]
        return [*line, "."]

    def target(self) -> Target | None:
        key = self.query_one("#rollouts", LineTable).cursor_key
        row = next((row for row in self.rows() if row.id == key), None)
        return (
            Target("rollout", key, f"{row.artifact} {row.version} \u2192 {row.cohort}" if row else "") if key else None
        )

    def why_not(self, act: Act) -> Reason | None:
        target = self.target()
        if target is None:
            return Reason("no rollout is selected")
        row = next((row for row in self.rows() if row.id == target.id), None)
        if act.command and row is not None and row.state in FINAL:
            return Reason(f"this rollout is {row.state.replace('_', ' ')}")
        return None

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self.console.open("rollout", message.key)

    def act_rollouts_open(self) -> None:
        target = self.target()
        if target is not None:
            self.console.open("rollout", target.id)

    def _show(self) -> None:
        table = self.query_one("#rollouts", LineTable)
        if self._page is not None:
            table.empty = ("No rollout yet. Start one:  qd rollouts start --help",)
        now = self.model.now()
        table.merge([(row.id, cells(row, now)) for row in self.rows()])


def cells(row: RolloutSummary, now: float) -> Cells:
    """One row: mark, id, state, what goes where, stage, k of n, verdict, what it waits for, age."""
    final = row.state in FINAL
    mark: Part = ("\u2691", "strong") if row.gate and not final else " "
    bad = row.counts.failed + row.counts.timed_out + row.counts.rejected
    done = f"{row.counts.ok}/{row.counts.executed}"
    verdict = figures.verdict(row.verdict) if row.verdict and not final else (row.verdict or "\u2014", "muted")
    return (
        mark,
        row.id,
        figures.state(row.state),
        f"{row.artifact} {row.version} \u2192 {row.cohort} {row.robots}",
        row.stage,
        (done, "alarm") if bad and not final else done,
        verdict,
        (row.waiting_on or row.sentence, "muted"),
        (coarse(max(0.0, now - row.updated_at)), "muted"),
    )


def _urgency(row: RolloutSummary) -> tuple[int, float]:
    """Decisions first, then trouble, then what moves, then what is over; newest first in each."""
    if row.state in FINAL:
        rank = 4
    elif row.verdict == "FAIL":
        rank = 0
    elif row.gate:
        rank = 1
    elif row.verdict == "INCONCLUSIVE" or row.state in ("paused", "pause_requested", "held"):
        rank = 2
    else:
        rank = 3
    return rank, -row.started_at
