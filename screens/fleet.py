"""The fleet: robots with what they should run and what they say they run, and the frozen cohorts rollouts were made for.

The list is a copy of what its owners last said: each row has an age, and so has the list.
"""

from __future__ import annotations

from time import monotonic

from textual.app import ComposeResult
from textual.containers import Container

from engine.contract.cases import CaseQueue
from engine.contract.client import Refused
from engine.contract.common import CommandAnswer
from engine.contract.fleet import CohortView, RobotPage, RobotRow
from engine.contract.gateways import GatewayPage
from engine.contract.robots import RobotRecord
from screens import acts, figures, fleet_view, gateways_view
from screens.acts import Act, Level, Reason
from screens.base import QScreen, Target
from screens.model import Delta
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.text import Page

AGAIN_S = 10.0
"""Real seconds between looks at the fleet while the screen is in front."""
LIMIT = 5_000

acts.register(
    Act(
        "fleet.open",
        "enter",
        "open",
        target="robot",
        help="Everything known about it",
        cli="qd fleet show {id}",
        order=1,
    ),
    Act(
        "fleet.cohorts",
        "o",
        "cohorts",
        help="Frozen lists of robots, or back to the robots",
        cli="qd fleet cohorts",
        order=2,
    ),
    Act(
        "fleet.rollout",
        "r",
        "its rollout",
        target="robot",
        help="The rollout this robot is in",
        cli="qd rollouts show ID",
        order=3,
    ),
    Act(
        "fleet.hold",
        "H",
        "hold",
        target="robot",
        level=Level.SAFE,
        command="hold.place",
        help="At once: it stays exactly as it is, out of dispatch and of every rollout, until two people release it",
        cli="qd incidents hold {id} --reason WHY",
        order=3,
    ),
    Act(
        "fleet.file",
        "plus",
        "file a case",
        target="robot",
        help="Something is wrong with it: a case, with this robot filled in",
        cli="qd cases open {id} SYMPTOM",
        order=5,
    ),
    Act(
        "fleet.gateways",
        "W",
        "gateways",
        help="The hosts behind which robots stand: reachable, host keys, sessions; open one",
        cli="qd fleet gateways",
        order=6,
    ),
    Act(
        "fleet.odd",
        "x",
        "only odd",
        help="Only robots that drift, are stale, held or look like another",
        cli="qd fleet robots",
        order=4,
    ),
)

ROBOTS = (
    Column("robot", 12, grow=1),
    Column("serial", 8),
    Column("mode", 10, grow=1),
    Column("runs \u2192 should run", 21),
    Column("odd", 10, grow=2),
    Column("site", 5, optional=1),
    Column("variant", 7, optional=3),
    Column("customer", 10, optional=5),
    Column("batt", 4, align="right", optional=4),
    Column("rollout", 16, optional=2),
    Column("heard", 9, align="right"),
)
COHORTS = (
    Column("cohort", 12),
    Column("robots", 6, align="right"),
    Column("digest", 12),
    Column("frozen", 13),
    Column("used by", 8),
    Column("chosen by", 16, grow=2, optional=1),
    Column("strata", 16, grow=2, optional=2),
)


class FleetScreen(QScreen):
    NAME = "fleet"
    TITLE_WORD = "Fleet"
    ACTS = ("fleet.open", "fleet.cohorts", "fleet.rollout", "fleet.hold", "fleet.odd", "fleet.file", "fleet.gateways")
    ROOT = True
    AUTO_FOCUS = "#robots"
    CSS = """
    FleetScreen #fleet { layout: vertical; height: 1fr; width: 1fr; }
    FleetScreen #cohorts, FleetScreen #one { display: none; }
    FleetScreen #fleet.-cohorts #robots { display: none; }
    FleetScreen #fleet.-cohorts #cohorts { display: block; }
    FleetScreen #fleet.-one #one { display: block; }
    FleetScreen #fleet.-one #robots, FleetScreen #fleet.-one #cohorts { display: none; }
    FleetScreen #fleet.-wide.-one { layout: horizontal; }
    FleetScreen #fleet.-wide.-one #one { width: 60; border-left: solid $qd-cursor-away; }
    FleetScreen #fleet.-wide.-one #robots { display: block; }
    FleetScreen #fleet.-wide.-one.-cohorts #robots { display: none; }
    FleetScreen #fleet.-wide.-one.-cohorts #cohorts { display: block; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._robots: dict[str, RobotRow] = {}
        self._page: RobotPage | None = None
        self._cohorts: dict[str, CohortView] = {}
        self._records: dict[str, RobotRecord] = {}
        self._gateways = GatewayPage()
        self._view = "robots"
        self._opened = ""
        self._only_odd = False
        self._asked_at = 0.0

    # -- showing ------------------------------------------------------------------------------------------------

    def body(self) -> ComposeResult:
        with Container(id="fleet"):
            yield LineTable(ROBOTS, empty=("Loading \u2026",), id="robots")
            yield LineTable(
                COHORTS,
                empty=("No cohort was frozen yet: a rollout freezes its targets before it asks for sign-off.",),
                id="cohorts",
            )
            yield Page(id="one")

    def on_mount(self) -> None:
        self.refetch()

    def refetch(self) -> None:
        self._asked_at = monotonic()
        self.ask(lambda: self.client.robots(limit=LIMIT), self._got)
        self.ask(
            lambda: self.client.records("robot", RobotRecord, limit=LIMIT),
            self._got_records,
            group="fetch-life",
            quiet=True,
        )
        self.ask(self._look_at_gateways, self._got_gateways, group="fetch-gateways", quiet=True)
        if self._view == "cohorts":
            self.ask(self.client.cohorts, self._got_cohorts, group="cohorts")

    def _got(self, page: RobotPage) -> None:
        self._page = page
        self._robots = {robot.id: robot for robot in page.rows}
        self._show()

    def _got_records(self, records: tuple[RobotRecord, ...]) -> None:
        self._records = {record.id: record for record in records}
        self._show()

    async def _look_at_gateways(self) -> GatewayPage:
        try:
            return await self.client.read("/v1/gateways", GatewayPage)
        except Refused:  # the robots matter here; F6 says what is wrong with the gateways
            return GatewayPage()

    def _got_gateways(self, page: GatewayPage) -> None:
        self._gateways = page

    def _got_cohorts(self, cohorts: tuple[CohortView, ...]) -> None:
        self._cohorts = {cohort.id: cohort for cohort in cohorts}
        self._show()

    def model_changed(self, delta: Delta | None) -> None:
        moved = delta is None or delta.rollouts or any(kind == "robot" for kind, _ in delta.records)
        if self._page is not None and moved and monotonic() - self._asked_at > 2:
            self.refetch()

    def each_second(self) -> None:
        if monotonic() - self._asked_at > AGAIN_S and self.online:
            self.refetch()
        self._show()

    def on_resize(self) -> None:
        self._show()

    @property
    def _expected_s(self) -> float:
        """How often the fleet is looked at, on the engine's clock: time runs faster in a sandbox, looking does not."""
        status = self.model.status
        return max(300.0, 2 * AGAIN_S * (status.speed if status else 1.0))

    @property
    def table(self) -> LineTable:
        return self.query_one("#cohorts" if self._view == "cohorts" else "#robots", LineTable)

    def _show(self) -> None:
        if not self.is_mounted:
            return
        box = self.query_one("#fleet")
        wide = self.size.width >= 150
        box.set_class(self._view == "cohorts", "-cohorts")
        box.set_class(bool(self._opened), "-one")
        box.set_class(wide, "-wide")
        now = self.model.now()
        robots = [robot for robot in self._robots.values() if not self._only_odd or self._is_odd(robot, now)]
        table = self.query_one("#robots", LineTable)
        if self._page is not None:
            table.empty = (
                ("No robot is odd: none drifts, is stale, held or looks like another. x shows all.",)
                if self._only_odd
                else ("No robot is known yet. The engine asks the update server by itself: qd doctor says if it can.",)
            )
        table.merge(
            [
                (robot.id, fleet_view.cells(robot, now, self._records.get(robot.id)))
                for robot in sorted(robots, key=lambda robot: robot.id)
            ]
        )
        self.query_one("#cohorts", LineTable).merge(
            [(cohort.id, fleet_view.cohort_cells(cohort, now)) for cohort in self._cohorts.values()]
        )
        if self._opened:
            cells = 56 if wide else self.size.width - 3
            self.query_one("#one", Page).show(self._detail(now, cells))

    def _detail(self, now: float, cells: int) -> list[list[Part]]:
        if self._view == "cohorts" and self._opened in self._cohorts:
            return fleet_view.cohort_detail(self._cohorts[self._opened], now, cells)
        if self._opened in self._robots:
            return fleet_view.detail(
                self._robots[self._opened], now, cells, self._expected_s, self._records.get(self._opened)
            )
        return [[(f"{self._opened} is not known any more. Esc goes back.", "muted")]]

    def _is_odd(self, robot: RobotRow, now: float) -> bool:
        record = self._records.get(robot.id)
        out = record is not None and not record.dispatchable
        return bool(
            out or robot.drift or robot.hold or robot.lookalike or (robot.online and fleet_view.stale(robot, now))
        )

    def verdict(self) -> list[Part]:
        if self._page is None:
            return [("Loading \u2026", "muted")]
        now = self.model.now()
        if self._view == "cohorts":
            return [
                (figures.plural(len(self._cohorts), "frozen cohort"), "strong"),
                ". A cohort never changes: robots that join later are not in it.",
            ]
        line = fleet_view.summary(self._page.rows, now, self._page.total)
        if self._page.next:
            line.append((f" The first {len(self._page.rows):,} are shown.", "caution"))
        return [
            *line,
            *gateways_view.brief(self._gateways),
            "  as of ",
            figures.aged(self._page.as_of, now, self._expected_s),
        ]

    # -- keys ---------------------------------------------------------------------------------------------------

    def target(self) -> Target | None:
        key = self._opened or self.table.cursor_key
        if not key:
            return None
        robot = self._robots.get(key)
        return Target("cohort" if self._view == "cohorts" else "robot", key, f"serial {robot.serial}" if robot else "")

    def why_not(self, act: Act) -> Reason | None:
        if act.name in ("fleet.open", "fleet.rollout") and self.target() is None:
            return Reason("nothing is selected")
        if act.name == "fleet.rollout" and not self._rollout_of():
            return Reason("it is in no rollout")
        if act.name == "fleet.hold":
            return self._why_no_hold()
        return None

    def _why_no_hold(self) -> Reason | None:
        target = self.target()
        if target is None or target.kind != "robot":
            return Reason("a hold is about one robot", "o goes back to the robots")
        held = self._robots[target.id].hold if target.id in self._robots else ""
        return Reason(f"it is on hold already: {held}", "two people release it") if held else None

    def args_for(self, act: Act) -> dict[str, object]:
        target = self.target()
        if act.name != "fleet.hold" or target is None:
            return {}
        return {"robot": target.id, "reason": "held by key from the fleet screen"}

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()

    def _rollout_of(self) -> str:
        target = self.target()
        if target is None:
            return ""
        if self._view == "cohorts":
            return self._cohorts[target.id].used_by if target.id in self._cohorts else ""
        return self._robots[target.id].rollout if target.id in self._robots else ""

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self._look_at(message.key)

    def on_line_table_moved(self, message: LineTable.Moved) -> None:
        """Beside the list there is room: the detail follows the cursor."""
        if self._opened and self.size.width >= 150:
            self._opened = message.key
            self._show()

    def act_fleet_open(self) -> None:
        target = self.target()
        if target is not None:
            self._look_at(target.id)

    def _look_at(self, key: str) -> None:
        self._opened = key
        self._show()
        if self.size.width < 150:
            self.query_one("#one", Page).focus()

    def act_fleet_rollout(self) -> None:
        self.console.open("rollout", self._rollout_of())

    def act_fleet_gateways(self) -> None:
        self.console.go("gateways")

    def act_fleet_file(self) -> None:
        target = self.target()
        if target is None or target.kind != "robot":
            self.say(("a case is about a robot: o goes back to the robots", "caution"))
            return
        self.ask(
            lambda: self.client.read("/v1/cases/queue", CaseQueue),
            lambda queue: self._file(queue, target.id),
            group="fetch-cases",
        )

    def _file(self, queue: CaseQueue, robot: str) -> None:
        from screens import case_forms

        open_cases = [line.case for line in queue.rows]
        self.console.ask_form(
            case_forms.filing(self.client, open_cases, queue.modes, lambda answer: self.refetch(), robot)
        )

    def act_fleet_odd(self) -> None:
        self._only_odd = not self._only_odd
        table = self.query_one("#robots", LineTable)
        self._show()
        table.action_take()

    def act_fleet_cohorts(self) -> None:
        self._view = "robots" if self._view == "cohorts" else "cohorts"
        self._opened = ""
        self.refetch()
        self._show()
        self.table.focus()

    def filtered(self, text: str) -> None:
        self._opened = ""
        self.table.narrow(text)
        self._show()
        if not self.prompt_kind:
            self.table.focus()

    def act_console_back(self) -> None:
        if self._opened:
            self._opened = ""
            self._show()
            self.table.focus()
        elif self._view == "cohorts" and not self.filter:
            self.act_fleet_cohorts()
        else:
            super().act_console_back()
