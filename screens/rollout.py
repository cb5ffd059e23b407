"""One staged rollout: denominators, canary against control, the verdict and why, what each key would touch.

Rules: safety keys act at once; what raises risk is previewed by the engine and wants its phrase; a verb the engine rules
out keeps its key and says why. The screen follows the rollout: what was fetched is asked for again when it changes.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from textual.app import ComposeResult
from textual.containers import Container

from engine.contract.common import CommandAnswer
from engine.contract.rollouts import RobotUpdate, RolloutDetail
from screens import acts, fields, figures, past, rollout_plots, rollout_view
from screens.acts import Act, Field, Level, Reason
from screens.base import Question, Target
from screens.confirm import Confirm
from screens.layout import Line
from screens.model import Delta, coarse
from screens.past import Travels
from screens.pictures import sites
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part, width
from screens.widgets.rows import Cells
from screens.widgets.text import Page
from themes import glyphs

AGAIN_S = 1.0
"""A changing rollout is asked for again at most this often."""
REASON = Field("reason", "Why?")

acts.register(
    Act(
        "rollout.pause",
        "p",
        "pause",
        target="rollout",
        level=Level.SAFE,
        command="rollout.pause",
        help="No further robot is dispatched; asked for at once, shown per robot when it holds",
        cli="qd rollouts pause {id}",
        order=1,
    ),
    Act(
        "rollout.promote",
        "P",
        "promote",
        target="rollout",
        level=Level.RISK,
        command="rollout.promote",
        help="On to the next stage: more robots get the new version",
        fields=(REASON,),
        cli="qd rollouts promote {id} --phrase PHRASE",
        order=2,
    ),
    Act(
        "rollout.rollback",
        "R",
        "roll back",
        target="rollout",
        level=Level.RISK,
        command="rollout.rollback",
        help="Robots on the new version go back to the one before; blocked ones are named first",
        fields=(REASON,),
        cli="qd rollouts rollback {id} --phrase PHRASE",
        order=3,
    ),
    Act(
        "rollout.hold",
        "H",
        "hold",
        target="rollout",
        level=Level.SAFE,
        command="rollout.hold",
        help="Nothing of this rollout moves, neither on nor back, until someone resumes it",
        cli="qd rollouts hold {id}",
        order=4,
    ),
    Act(
        "rollout.extend",
        "plus",
        "soak longer",
        target="rollout",
        level=Level.CHANGE,
        command="rollout.extend",
        help="More time before the verdict",
        fields=(Field("hours", "How many more hours?", required=True, default="6"), REASON),
        cli="qd rollouts extend {id} --hours N",
        order=5,
    ),
    Act(
        "rollout.resume",
        "S",
        "resume",
        target="rollout",
        level=Level.RISK,
        command="rollout.resume",
        help="Dispatch goes on where it was paused",
        fields=(REASON,),
        cli="qd rollouts resume {id} --phrase PHRASE",
        order=6,
    ),
    Act(
        "rollout.robots",
        "r",
        "robots",
        target="rollout",
        help="Each robot: state, versions, first error, can it go back",
        cli="qd rollouts show {id}",
        order=7,
    ),
    Act(
        "rollout.why",
        "W",
        "why",
        target="rollout",
        help="Why this verdict, rule by rule",
        cli="qd rollouts show {id}",
        order=8,
    ),
    Act(
        "rollout.plots",
        "m",
        "plots",
        target="rollout",
        help="Signals over time: canary, control and its bounds, E, verdicts",
        cli="qd rollouts plot {id}",
        order=9,
    ),
    Act(
        "rollout.variants",
        "v",
        "variants",
        target="rollout",
        help="Map and split by hardware variant",
        cli="qd rollouts map {id} --by variant",
        order=9,
    ),
    Act(
        "rollout.sites",
        "i",
        "sites",
        target="rollout",
        help="Map: sites by stage, a sign for each robot; split by site",
        cli="qd rollouts map {id}",
        order=10,
    ),
    Act(
        "rollout.gate",
        "e",
        "its gate",
        target="rollout",
        help="The question that is open about it",
        cli="qd gates show GATE",
        order=11,
    ),
    Act(
        "rollout.run",
        "t",
        "its run",
        target="rollout",
        help="Timeline, graph, inputs and outputs",
        cli="qd runs show {id}",
        order=12,
    ),
    Act(
        "rollout.next_stage", "right_parenthesis", "stage on", target="rollout", help="Look at the next stage", order=0
    ),
    Act("rollout.last_stage", "left_parenthesis", "stage back", target="rollout", help="The stage before", order=0),
)

ORDER = (
    *("failed", "rejected", "timed_out", "unknown", "rolling_back", "on_hold"),
    *("rebooting", "installing", "downloading", "commit_pending", "notified"),
    *("rolled_back", "healthy", "deferred", "offline", "planned"),
)
"""What needs a look first, what moves, what is done, what has not begun."""
RANK = {state: place for place, state in enumerate(ORDER)}

ROBOT_COLUMNS = (
    Column("robot", 12, grow=1),
    Column("serial", 9),
    Column("state", 16),
    Column("reports", 9, optional=1),
    Column("site", 5, optional=3),
    Column("variant", 7, optional=4),
    Column("stage", 7, optional=5),
    Column("go back", 8, grow=1, optional=2),
    Column("first error or reason", 20, grow=4),
    Column("age", 4, align="right", optional=6),
)


class RolloutScreen(Travels):
    NAME = "rollout"
    TITLE_WORD = "Rollout"
    ACTS = (
        "rollout.pause",
        "rollout.promote",
        "rollout.rollback",
        "rollout.hold",
        "rollout.extend",
        "rollout.resume",
        "rollout.robots",
        "rollout.why",
        "rollout.plots",
        "rollout.variants",
        "rollout.sites",
        "rollout.gate",
        "rollout.run",
        "rollout.next_stage",
        "rollout.last_stage",
        *past.ACTS,
    )
    KIND = "rollout"
    SHAPE = RolloutDetail
    READING = frozenset(ACTS[ACTS.index("rollout.robots") :])
    AUTO_FOCUS = "#facts"
    CSS = """
    RolloutScreen #rollout { layout: vertical; height: 1fr; width: 1fr; }
    RolloutScreen #plots { display: none; }
    RolloutScreen #robots { display: none; }
    RolloutScreen #rollout.-wide { layout: horizontal; }
    RolloutScreen #rollout.-wide #facts { width: 84; }
    RolloutScreen #rollout.-wide #plots { display: block; width: 1fr; border-left: solid $qd-cursor-away; }
    RolloutScreen #rollout.-robots #facts { display: none; }
    RolloutScreen #rollout.-robots #plots { display: none; }
    RolloutScreen #rollout.-robots #robots { display: block; }
    """

    def __init__(self, rollout: str) -> None:
        super().__init__()
        self.rollout = rollout
        self.detail: RolloutDetail | None = None
        self.view = "overview"
        self.stage: int | None = None
        self._asked_at = 0.0
        self._again = False
        self.plain = not glyphs.braille()

    # -- showing ------------------------------------------------------------------------------------------------

    def body(self) -> ComposeResult:
        with Container(id="rollout"):
            yield Page(id="facts")
            yield Page(id="plots")
            yield LineTable(
                ROBOT_COLUMNS,
                empty=("No robot of this rollout is known yet: its targets are not frozen.",),
                id="robots",
            )

    def on_mount(self) -> None:
        self.refetch()

    @property
    def past_id(self) -> str:
        return self.rollout

    def refetch(self) -> None:
        self._asked_at, self._again = monotonic(), False
        if not self.in_past():
            self.ask(lambda: self.client.rollout(self.rollout), self._got)

    def _got(self, detail: RolloutDetail) -> None:
        if not self.in_past():
            self.show_detail(detail)

    def show_detail(self, detail: RolloutDetail) -> None:
        self.detail = detail
        self._show()

    def model_changed(self, delta: Delta | None) -> None:
        if delta is None or self.rollout in delta.rollouts or delta.gates:
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

    @property
    def wide(self) -> bool:
        return self.size.width >= 130

    def _show(self) -> None:
        if not self.is_mounted:
            return
        box, page = self.query_one("#rollout"), self.query_one("#facts", Page)
        robots = self.view == "robots"
        wide = self.wide and self.view == "overview"
        box.set_class(wide, "-wide")
        box.set_class(robots, "-robots")
        detail = self.detail
        if detail is None:
            page.show(
                [[("Loading the rollout \u2026" if self.trouble is None else "Esc goes back to the list.", "muted")]]
            )
            return
        now = self.clock()
        cells = 80 if wide else self.size.width - 3
        if robots:
            self.query_one("#robots", LineTable).merge(_robot_rows(detail, now))
        elif self.view == "why":
            page.show([rollout_view.title(detail, now, cells), [""], *rollout_view.why(detail, now, cells)])
        elif self.view in ("site", "variant"):
            drawn = sites.lines(detail, cells, by=self.view, chosen=self.stage)
            table = rollout_view.split(detail, self.view, cells)
            page.show([rollout_view.title(detail, now, cells), [""], *drawn, [""], *table])
        elif self.view == "plots":
            head = [rollout_view.title(detail, now, cells)]
            room = max(30, self.size.height - 5)
            page.show(head + rollout_plots.plot_lines(detail, now, cells, room, ascii=self.plain))
        else:
            lines = self._long_sentence(detail, now) + rollout_view.facts(
                detail, now, cells, chosen=self.stage, roomy=self.size.height >= 36
            )
            if wide:
                self.query_one("#plots", Page).show(
                    rollout_plots.plot_lines(
                        detail, now, self.size.width - 84 - 5, self.size.height - 4, ascii=self.plain
                    )
                    or [[("No signal has been measured yet.", "muted")]]
                )
            elif self.stage is None:
                lines += rollout_plots.trend(detail, cells, ascii=self.plain)
                failed = rollout_view.failures(detail, cells, most=3)
                if self.size.height < 36 and len(lines) + len(failed) < self.size.height - 5:
                    lines += [[""], *failed]
            page.show(lines)

    def _long_sentence(self, detail: RolloutDetail, now: float) -> list[Line]:
        """A verdict that the two lines above can't hold is said here in full."""
        line = rollout_view.sentence(detail, now)
        return [line] if width(line) > 2 * (self.size.width - 2) - 8 else []

    def verdict(self) -> list[Part]:
        if self.detail is None:
            return [("Loading the rollout \u2026", "muted")]
        return rollout_view.sentence(self.detail, self.clock())

    # -- acting -------------------------------------------------------------------------------------------------

    def target(self) -> Target:
        if self.detail is None:
            return Target("rollout", self.rollout)
        head = self.detail.rollout
        return Target(
            "rollout", self.rollout, f"{head.artifact} {head.version} \u2192 {head.cohort} ({head.robots} robots)"
        )

    def why_not(self, act: Act) -> Reason | None:
        detail = self.detail
        if detail is None:
            return Reason("the rollout is still loading")
        if act.name == "rollout.gate" and not detail.rollout.gate:
            return Reason("no question about this rollout is open")
        if act.command:
            reason = detail.verbs.get(act.command, "")
            if reason:
                return Reason(
                    reason, "W says why, rule by rule" if act.name == "rollout.promote" and detail.verdicts else ""
                )
        return None

    async def carry_out(self, act: Act, target: Target) -> None:
        """A longer soak is asked for in hours, a number; everything else goes the common way."""
        if act.name != "rollout.extend":
            await super().carry_out(act, target)
            return
        status = self.model.status
        question = Question(act, target, status.environment if status else "")
        items = [
            fields.Item(
                name="hours",
                label="How many more hours?",
                kind="number",
                required=True,
                default=6,
                minimum=0.1,
                maximum=720,
            ),
            *fields.of_act([REASON]),
        ]
        answered: dict[str, Any] | None = await self.app.push_screen_wait(Confirm(question, items=items))
        if answered is None:
            self.say((f"{act.verb}: nothing was changed", "muted"))
        else:
            await self.send(act, target, answered)

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()

    def act_rollout_robots(self) -> None:
        self._look("robots")
        self.query_one("#robots" if self.view == "robots" else "#facts").focus()

    def act_rollout_why(self) -> None:
        self._look("why")

    def act_rollout_plots(self) -> None:
        self._look("plots")

    def act_rollout_variants(self) -> None:
        self._look("variant")

    def act_rollout_sites(self) -> None:
        self._look("site")

    def _look(self, view: str) -> None:
        """A view; its key once more, or Esc, goes back to the overview."""
        self.view = "overview" if self.view == view else view
        self._show()
        self.query_one("#robots" if self.view == "robots" else "#facts").focus()
        self.query_one("#facts", Page).scroll_to(y=0, animate=False, immediate=True)

    def act_rollout_next_stage(self) -> None:
        self._step(1)

    def act_rollout_last_stage(self) -> None:
        self._step(-1)

    def _step(self, by: int) -> None:
        if self.detail is None or not self.detail.stages:
            return
        current = self.detail.rollout.stage_index
        at = (current if self.stage is None else self.stage) + by
        at = max(0, min(at, len(self.detail.stages) - 1))
        self.view, self.stage = "overview", None if at == current else at
        self._show()

    def act_rollout_gate(self) -> None:
        if self.detail is not None:
            self.console.open("gate", self.detail.rollout.gate)

    def act_rollout_run(self) -> None:
        self.console.open("run", self.rollout)

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self.console.open("robot", message.key)

    def act_console_back(self) -> None:
        if self.filter:
            self.set_filter("")
        elif self.view != "overview" or self.stage is not None:
            self.view, self.stage = "overview", None
            self._show()
            self.query_one("#facts").focus()
        else:
            super().act_console_back()


def _robot_rows(detail: RolloutDetail, now: float) -> list[tuple[str, Cells]]:
    robots = sorted(detail.robots, key=lambda robot: (_rank(robot), robot.robot))
    return [(robot.robot, robot_cells(robot, now)) for robot in robots]


def _rank(robot: RobotUpdate) -> int:
    """A robot on the new version that can't go back needs a look as much as one that failed."""
    stuck = robot.rollback != "feasible" and robot.reported == robot.to_version
    return RANK["on_hold"] if stuck else RANK.get(robot.state, len(ORDER))


def robot_cells(robot: RobotUpdate, now: float) -> Cells:
    """Two identifiers, so that look-alike names are not mixed up; what it reports beside what it should run."""
    away: Part = robot.reported or "\u2014"
    if robot.reported and robot.reported != robot.to_version and robot.state == "healthy":
        away = (robot.reported, "caution")
    back: Part = "yes" if robot.rollback == "feasible" else (robot.rollback, "caution")
    serial = f"\u2026{robot.serial[-6:]}" if len(robot.serial) > 8 else robot.serial
    return (
        robot.robot,
        (serial, "muted"),
        figures.state(robot.state),
        away,
        robot.site,
        robot.variant,
        robot.stage,
        back,
        robot.first_error or (robot.reason, "muted"),
        (coarse(max(0.0, now - robot.at)) if robot.at else "", "muted"),
    )
