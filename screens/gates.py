"""The inbox: every question that waits for people, by deadline; those I may answer first, the others with the reason."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult

from engine.contract.gates import GatePage, GateSummary
from screens import acts, gate_view, inbox
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
        "gates.later",
        "z",
        "later",
        target="gate",
        help="Out of my inbox for an hour (^U 4 z: four); it goes on waiting and expiring. Again brings it back",
        cli="qd gates later {id} --hours N",
        order=3,
    ),
    Act(
        "gates.others",
        "x",
        "not mine",
        target="gate",
        help="Out of my inbox: others answer it; again brings it back",
        cli="qd gates later {id} --others",
        order=4,
    ),
    Act(
        "gates.hidden",
        "Z",
        "put off",
        help="Show what I put off or left to others, or hide it",
        cli="qd gates ls --hidden",
        order=5,
    ),
    Act(
        "gates.closed",
        "o",
        "open/closed",
        help="Show closed questions too, or only open ones",
        cli="qd gates ls --state all",
        order=6,
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
    ACTS = ("gates.open", "gates.claim", "gates.later", "gates.others", "gates.hidden", "gates.closed")
    ROOT = True

    def __init__(self) -> None:
        super().__init__()
        self._ended: tuple[GateSummary, ...] | None = None
        self._with_hidden = False

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
        mine = inbox.waiting(self)
        away = sum(inbox.hidden(self, gate) for gate in open_ones)
        if not self.model.loaded:
            return [("Loading \u2026", "muted")]
        if not open_ones:
            return ["No question waits for anybody."]
        now = self.model.now()
        line: list[Part] = [
            (f"{len(mine)} of {len(open_ones)} wait for you", "strong")
            if mine
            else "Nothing waits for you now"
            if away
            else f"None of {len(open_ones)} is yours to answer"
        ]
        if mine:
            first = min(mine, key=lambda gate: gate.expires_at)
            line += [
                f", the first expires in {coarse(first.expires_at - now)}"
                if first.expires_at > now
                else ", the first is overdue"
            ]
        if away:
            line.append((f", {away} put off (Z {'hides' if self._with_hidden else 'shows'} them)", "muted"))
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
        if act.name in ("gates.later", "gates.others") and target is not None and target.id not in self.model.gates:
            return Reason("this gate is closed")
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

    def act_gates_later(self) -> None:
        self._away(inbox.put_off)

    def act_gates_others(self) -> None:
        self._away(inbox.leave_to_others)

    def _away(self, how: Callable[[QScreen, GateSummary], None]) -> None:
        """The row leaves the list at once and the cursor stays where it was: the next question stands under it."""
        target = self.target()
        gate = self.model.gates.get(target.id) if target is not None else None
        if gate is not None:
            how(self, gate)
            self._again()

    def act_gates_hidden(self) -> None:
        self._with_hidden = not self._with_hidden
        self._again()

    def _again(self) -> None:
        self._show()
        self.query_one("#gates", LineTable).action_take()
        self.refresh_chrome()

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
        gates = inbox.order(self.model.gates.values())
        away = {gate.id: word for gate in gates if (word := inbox.hidden_word(self, gate))}
        rows: list[tuple[str, Cells]] = [
            (gate.id, gate_view.inbox_row(gate, now, away.get(gate.id, "")))
            for gate in gates
            if self._with_hidden or gate.id not in away
        ]
        if away and not rows:
            table.empty = (f"Your inbox is empty: {len(away)} put off or left to others, Z shows them.",)
        known = set(self.model.gates)
        for gate in sorted(self._ended or (), key=lambda gate: -gate.opened_at):
            if gate.id not in known:
                rows.append((gate.id, gate_view.inbox_row(gate, now)))
        table.merge(rows)

    def _question(self, key: str) -> str:
        gate = self.model.gates.get(key)
        return gate.question if gate else ""
