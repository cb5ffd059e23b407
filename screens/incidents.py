"""All incidents: what is open and how grave first, then what is being watched, then what is over."""

from __future__ import annotations

from time import monotonic

from textual.app import ComposeResult

from engine.contract.incidents import IncidentView
from screens import acts, figures, incident_acts, incident_view
from screens.acts import Act, Reason
from screens.base import QScreen, Target
from screens.model import Delta, coarse
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.rows import Cells

AGAIN_S = 1.0

acts.register(
    Act("incidents.open", "enter", "open", target="incident", help="Options, suspects, clocks, robots", cli="qd incidents show {id}", order=1),
    Act("incidents.declare", "i", "declare", help="Something is wrong: one form, three answers", cli="qd incidents declare TITLE", order=2),
)  # fmt: skip

COLUMNS = (
    Column("", 1),
    Column("incident", 8),
    Column("sev", 5),
    Column("doing", 20, grow=1),
    Column("what", 22, grow=4),
    Column("version", 8, optional=2),
    Column("IC", 6),
    Column("robots", 6, align="right"),
    Column("clocks", 8, optional=1),
    Column("since", 5, align="right", optional=3),
)


class IncidentsScreen(QScreen):
    NAME = "incidents"
    TITLE_WORD = "Incidents"
    ACTS = ("incidents.open", "incidents.declare", *incident_acts.ON_LIST)
    ROOT = True

    def __init__(self) -> None:
        super().__init__()
        self._rows: tuple[IncidentView, ...] | None = None
        self._asked_at, self._again = 0.0, False

    def body(self) -> ComposeResult:
        yield LineTable(COLUMNS, empty=("Loading \u2026",), id="incidents")

    def on_mount(self) -> None:
        self.refetch()

    def on_screen_resume(self) -> None:
        if self._rows is not None:
            self.refetch()

    def refetch(self) -> None:
        self._asked_at, self._again = monotonic(), False
        self.ask(lambda: self.client.records("incident", IncidentView, limit=200), self._got)

    def _got(self, rows: tuple[IncidentView, ...]) -> None:
        self._rows = rows
        self._show()

    def model_changed(self, delta: Delta | None) -> None:
        if delta is None or any(kind == "incident" for kind, _ in delta.records):
            self._again = True
            self._maybe_again()

    def each_second(self) -> None:
        self._maybe_again()
        self._show()

    def _maybe_again(self) -> None:
        if self._again and self.online and monotonic() - self._asked_at >= AGAIN_S:
            self.refetch()

    def rows(self) -> list[IncidentView]:
        return sorted(self._rows or (), key=_urgency)

    def verdict(self) -> list[Part]:
        if self._rows is None:
            return [("Loading \u2026", "muted")]
        still = [row for row in self._rows if row.state not in incident_view.OVER]
        if not still:
            return ["No incident is open."] if self._rows else ["No incident yet."]
        grave = [row for row in still if row.sev in (1, 2)]
        alone = [row for row in still if not row.ic and row.state not in ("resolved", "reviewed")]
        now = self.model.now()
        due = sorted(clock.due for row in still for clock in row.clocks if not clock.filed_at)
        line: list[Part] = [f"{len(still)} open"]
        if grave:
            line += [", ", (f"\u2717 {len(grave)} SEV-1/2", "alarm")]
        if alone:
            line += [", ", (f"! {len(alone)} without a commander", "alarm")]
        if due:
            line += [", next clock ", figures.until(due[0], now)]
        return [*line, "."]

    def target(self) -> Target | None:
        key = self.query_one("#incidents", LineTable).cursor_key
        row = next((row for row in self._rows or () if row.id == key), None)
        return Target("incident", row.id, row.title) if row is not None else None

    def why_not(self, act: Act) -> Reason | None:
        if act.name == "incidents.declare":
            blocked = self.model.blocked()
            return Reason(blocked) if blocked else None
        target = self.target()
        if target is None:
            return Reason("no incident is selected")
        row = next((row for row in self._rows or () if row.id == target.id), None)
        if (act.command or act.name == "incident.hold") and row is not None and row.state in incident_view.OVER:
            return Reason(f"{row.id} is {row.state.replace('_', ' ')}")
        return None

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self.console.open("incident", message.key)

    def act_incidents_open(self) -> None:
        target = self.target()
        if target is not None:
            self.console.open("incident", target.id)

    def act_incident_hold(self) -> None:
        target = self.target()
        row = next((row for row in self._rows or () if target is not None and row.id == target.id), None)
        if row is not None:
            incident_acts.hold(self, row)

    def act_incidents_declare(self) -> None:
        self.console.ask_form(incident_acts.declaration(self))

    def _show(self) -> None:
        table = self.query_one("#incidents", LineTable)
        if self._rows is not None:
            table.empty = ("No incident. Something is wrong?  i declares one: what, where, how grave.",)
        now = self.model.now()
        table.merge([(row.id, cells(row, now)) for row in self.rows()])


def cells(row: IncidentView, now: float) -> Cells:
    """One row: mark, id, severity, state with what is being done, what it is, version, who commands, robots, clocks, age."""
    over = row.state in incident_view.OVER
    waits = row.phase in ("waiting for a choice", "waiting for the decision")
    mark: Part = ("\u2691", "strong") if waits and not over else " "
    state = row.state.replace("_", " ")
    doing = row.phase if row.phase and not over else state
    running = [clock for clock in row.clocks if not clock.filed_at]
    robots = str(len(row.affected)) + (f"+{len(row.unsure)}?" if row.unsure else "")
    tone = "muted" if over else ""
    return (
        mark,
        row.id,
        incident_view.sev(row),
        (doing, tone or ("info" if state == "monitoring" else "")) if tone or state == "monitoring" else doing,
        (row.title, tone) if tone else row.title,
        row.version,
        row.ic or (("nobody", "alarm") if not over else "-"),
        robots,
        figures.until(min(clock.due for clock in running), now) if running else ("-", "muted"),
        (coarse(max(0.0, now - (row.first_seen or row.created_at))), "muted"),
    )


def _urgency(row: IncidentView) -> tuple[int, int, float]:
    """What is open first, the graver the higher; then what is watched; then what is over, newest first."""
    rank = 2 if row.state in incident_view.OVER else 1 if row.state in ("monitoring", "resolved", "reviewed") else 0
    return rank, (row.sev or 2) if rank < 2 else 0, -row.updated_at
