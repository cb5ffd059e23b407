"""The inbox: every question that waits for people, by deadline; those I may answer first, the others with the reason."""

from __future__ import annotations

from textual.app import ComposeResult

from engine.contract.gates import GatePage, GateSummary
from screens import acts, gate_view
from screens.acts import Act, Level, Reason
from screens.base import QScreen, Target
from screens.model import Delta, coarse
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.rows import Cells

acts.register(
    Act(
        "gates.open",
        "enter",
        "open",
        target="gate",
        help="Question, evidence, seats, votes",
        cli="qd gates show {id}",
        order=1,
    ),
    Act(
        "gates.claim",
        "a",
        "claim",
        target="gate",
        level=Level.SAFE,
        command="gate.claim",
        help="Say that I look at it; stops nobody else",
        cli="qd gates claim {id}",
        order=2,
    ),
    Act(
        "gates.closed",
        "o",
        "open/closed",
        help="Show closed questions too, or only open ones",
        cli="qd gates ls --state all",
        order=3,
    ),
)

COLUMNS = (
    Column("", 1),
    Column("expires", 11),
    Column("question", 34, grow=4),
    Column("seats", 5, align="right"),
    Column("may I", 10, grow=2),
    Column("claimed", 8, optional=1),
    Column("kind", 16, optional=3),
    Column("asked", 5, align="right", optional=2),
)


class GatesScreen(QScreen):
    NAME = "gates"
    TITLE_WORD = "Gates"
    ACTS = ("gates.open", "gates.claim", "gates.closed")
    ROOT = True

    def __init__(self) -> None:
        super().__init__()
        self._ended: tuple[GateSummary, ...] | None = None

    def body(self) -> ComposeResult:
        empty = ("Loading \u2026",)
        yield LineTable(COLUMNS, empty=empty, id="gates")

    def model_changed(self, delta: Delta | None) -> None:
        if delta is None or delta.gates or delta.status:
            self._show()

    def each_second(self) -> None:
        self._show()

    def verdict(self) -> list[Part]:
        open_ones = list(self.model.gates.values())
        mine = [gate for gate in open_ones if not gate.mine]
        if not self.model.loaded:
            return [("Loading \u2026", "muted")]
        if not open_ones:
            return ["No question waits for anybody."]
        now = self.model.now()
        line: list[Part] = [
            (f"{len(mine)} of {len(open_ones)} wait for you", "strong")
            if mine
            else f"None of {len(open_ones)} is yours to answer"
        ]
        if mine:
            first = min(mine, key=lambda gate: gate.expires_at)
            line += [
                f", the first expires in {coarse(first.expires_at - now)}"
                if first.expires_at > now
                else ", the first is overdue"
            ]
        if self._ended is not None:
            line.append((f"  closed ones are shown too ({len(self._ended)})", "muted"))
        return [*line, "."]

    def target(self) -> Target | None:
        key = self.query_one("#gates", LineTable).cursor_key
        return Target("gate", key, self._question(key)) if key else None

    def why_not(self, act: Act) -> Reason | None:
        target = self.target()
        if act.target and target is None:
            return Reason("no gate is selected")
        if act.name == "gates.claim" and target is not None:
            gate = self.model.gates.get(target.id)
            if gate is None:
                return Reason("this gate is closed")
            if gate.mine:
                return Reason(f"you can't vote on it: {gate.mine}", "Enter shows who can")
        return None

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self.console.open("gate", message.key)

    def act_gates_open(self) -> None:
        target = self.target()
        if target is not None:
            self.console.open("gate", target.id)

    def act_gates_closed(self) -> None:
        """Closed ones are asked for once, not followed: history does not move."""
        if self._ended is not None:
            self._ended = None
            self._show()
            self.query_one("#gates", LineTable).action_take()
            self.refresh_chrome()
        else:
            self.ask(lambda: self.client.gates(state=""), self._got_closed)

    def _got_closed(self, page: GatePage) -> None:
        self._ended = tuple(gate for gate in page.rows if gate.state != "open")
        self._show()
        self.query_one("#gates", LineTable).action_take()
        if not self._ended:
            self.say(("no gate was ever closed here", "muted"))

    def refetch(self) -> None:
        if self._ended is not None:
            self.ask(lambda: self.client.gates(state=""), self._got_closed)

    def _show(self) -> None:
        table = self.query_one("#gates", LineTable)
        if self.model.loaded:
            table.empty = (
                "No question waits for anybody. Gates open by themselves: a rollout asks for its sign-off here.",
            )
        now = self.model.now()
        gates = sorted(self.model.gates.values(), key=lambda gate: (bool(gate.mine), gate.expires_at, gate.id))
        rows: list[tuple[str, Cells]] = [(gate.id, gate_view.inbox_row(gate, now)) for gate in gates]
        known = set(self.model.gates)
        for gate in sorted(self._ended or (), key=lambda gate: -gate.opened_at):
            if gate.id not in known:
                rows.append((gate.id, gate_view.inbox_row(gate, now)))
        table.merge(rows)

    def _question(self, key: str) -> str:
        gate = self.model.gates.get(key)
        return gate.question if gate else ""
