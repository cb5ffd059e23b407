"""What every list can do by itself: order, columns, marks, copy, export; and one act for many rows at once.

Rules of an act for many: every row is previewed by the engine before anything is asked, and all are listed in one
question; rows that refuse are named there and left out; where risk is raised one phrase is typed that holds the count;
a row that a filter hides is never acted on; what was done loses its mark, what was refused keeps it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from engine.contract.client import EngineUnreachable, Refused
from engine.contract.common import CommandAnswer, Problem
from screens.acts import Act, Level
from screens.widgets.columns import Shape
from screens.widgets.line_table import LineTable

if TYPE_CHECKING:
    from screens.base import QScreen, Target

MOST = 200
"""Rows in one act: as many as a person can look through in a list."""
AT_ONCE = 4
"""Previews asked for side by side; sending goes one after the other, so that a stop stops."""
TRIES = 3
UNFILLED = ("missing_field", "bad_input", "bad_form")
"""A refusal that what is about to be filled in may cure."""
SETTING = "tables"


@dataclass(slots=True)
class Row:
    """One row of an act for many: what would happen to it, or why nothing will."""

    key: str
    target: Target | None = None
    args: dict[str, Any] = field(default_factory=dict)
    preview: CommandAnswer | None = None
    refused: str = ""

    @property
    def name(self) -> str:
        return self.target.id if self.target is not None else self.key


class TableActs:
    """Mixed into every screen. Acts on the list in focus, or the first one that is shown."""

    def list_here(self) -> LineTable | None:
        screen: Any = self
        if not screen.is_mounted:
            return None
        if isinstance(screen.focused, LineTable):
            return screen.focused
        return next((table for table in screen.query(LineTable) if table.display and table.can_focus), None)

    def on_mount(self) -> None:
        """Lists as this person left them."""
        screen: Any = self
        kept = screen.console.kept(SETTING) if hasattr(screen.console, "kept") else None
        if isinstance(kept, Mapping):
            for table in screen.query(LineTable):
                shape = Shape.read(kept.get(shape_name(screen, table)))
                if not shape.plain:
                    table.take_shape(shape)

    def keep_shape(self, table: LineTable) -> None:
        """Remember how a list is wanted; a list as it came leaves nothing behind."""
        screen: Any = self
        kept = screen.console.kept(SETTING)
        every = dict(kept) if isinstance(kept, Mapping) else {}
        every.pop(shape_name(screen, table), None)
        if not table.shape.plain:
            every[shape_name(screen, table)] = table.shape.kept()
        screen.console.keep(SETTING, every)

    # -- marks ----------------------------------------------------------------------------------------------------

    def act_table_mark(self) -> None:
        table = self._table()
        table.mark([table.cursor_key])
        table.action_move(1)

    def act_table_range(self) -> None:
        table = self._table()
        table.mark_to(table.cursor_key)

    def act_table_all(self) -> None:
        table = self._table()
        keys = table.keys_at(table.source.here())
        table.mark(keys)
        if table.marks and len(keys) < len(table.source):
            screen: Any = self
            screen.say(f"{len(keys):,} rows marked: ", ("those that were loaded", "caution"), ", not the whole list")

    # -- order, columns, copy, export -----------------------------------------------------------------------------

    def act_table_sort(self) -> None:
        from screens.columns import SortScreen

        self._push(SortScreen(self._table(), self.keep_shape))

    def act_table_columns(self) -> None:
        from screens.columns import ColumnsScreen

        self._push(ColumnsScreen(self._table(), self.keep_shape))

    def act_table_right(self) -> None:
        self._sideways(1)

    def act_table_left(self) -> None:
        self._sideways(-1)

    def _sideways(self, by: int) -> None:
        if not self._table().move_columns(by):
            screen: Any = self
            screen.say(("no more columns on that side", "muted"), seconds=2)

    def act_table_copy(self) -> None:
        from screens.export import CopyScreen

        self._push(CopyScreen(self._table(), self))

    def act_table_export(self) -> None:
        from screens.export import ExportScreen

        self._push(ExportScreen(self._table(), self))

    def _table(self) -> LineTable:
        table = self.list_here()
        assert table is not None  # the acts are barred without one
        return table

    def _push(self, overlay: Any) -> None:
        screen: Any = self
        screen.app.push_screen(overlay)

    # -- one act, many rows ---------------------------------------------------------------------------------------

    def on_marks(self, act: Act) -> bool:
        """What an act means while rows are marked; False when it means what it always does."""
        screen: Any = self
        table = self.list_here()
        if table is None or not table.marks:
            return False
        if act.name == "console.back":
            table.unmark()
            return True
        if act.name == "console.copy":
            if screen.console.copy_text("\n".join(table.marks.keys)):
                screen.say(("copied ", "muted"), f"{len(table.marks):,} ids")
            else:
                screen.say(("too much for the terminal's clipboard: ctrl+e writes a file", "caution"))
            return True
        if not act.command or not act.target or act.name not in screen.ACTS:
            return False
        if len(table.marks) > MOST:
            screen.say((f"{len(table.marks):,} rows are marked; at most {MOST} can be acted on at once", "caution"))
        elif blocked := screen.model.blocked():
            screen.say((f"{act.verb}: {blocked}", "caution"))
        else:
            screen.run_worker(_carry_out(screen, table, act), group="command", exit_on_error=False)
        return True


def shape_name(screen: QScreen, table: LineTable) -> str:
    return f"{screen.NAME or type(screen).__name__}.{table.id}"


@contextmanager
def standing_on(table: LineTable, key: str) -> Iterator[bool]:
    """As if the cursor stood on that row: what a screen says of its target holds for it. False: it isn't shown."""
    place = table.source.place(key)
    held = table.cursor, table.cursor_key
    if place is not None:
        table.cursor, table.cursor_key = place, key
    try:
        yield place is not None
    finally:
        table.cursor, table.cursor_key = held


def rows_for(screen: QScreen, table: LineTable, act: Act) -> list[Row]:
    """The marked rows with their targets, or why the screen itself says no. Nothing is asked of the engine yet."""
    rows = []
    for key in table.marks.keys:
        row = Row(key)
        with standing_on(table, key) as shown:
            if not shown:
                row.refused = "not shown here now: a filter hides it, or it is gone"
            elif key in table.rows.gone:
                row.refused = "gone since it was marked"
            else:
                row.target = screen.target()
                reason = screen.reason_against(act)
                row.refused = str(reason) if reason is not None else "" if row.target else "nothing to act on"
                row.args = {} if row.refused else screen.args_for(act)
        rows.append(row)
    return rows


async def _carry_out(screen: QScreen, table: LineTable, act: Act) -> None:
    from screens.base import Question, Target
    from screens.confirm import Confirm

    rows = rows_for(screen, table, act)
    screen.say(f"{act.verb}: asking what it would do to {len(rows)} rows \u2026")
    try:
        await _preview(screen, act, [row for row in rows if not row.refused])
    except EngineUnreachable as error:
        screen.say((f"{act.verb}: not sent, the engine did not answer ({error})", "caution"))
        return
    going = [row for row in rows if not row.refused]
    if not going:
        _say_refused(screen, act, rows, "none of the marked rows")
        return
    kind = act.target if act.target != "row" else "row"
    count = f"{len(going)} {kind}{'s' * (len(going) != 1)}"
    phrase = f"{act.verb.split()[0]} {count}" if _risky(act, going) else ""
    told = CommandAnswer(id="", verb=act.command, preview=True, consequences=tuple(lines(rows)), phrase=phrase)
    environment = screen.model.status.environment if screen.model.status else ""
    screen.unsay()
    question = Question(act, Target(act.target, count), environment, told)
    answered: dict[str, Any] | None = await screen.app.push_screen_wait(Confirm(question))
    if answered is None:
        screen.say((f"{act.verb}: nothing was changed", "muted"))
        return
    answered.pop("phrase", None)
    done: list[Row] = []
    for place, row in enumerate(going):
        screen.say(f"{act.verb}: {place + 1} of {len(going)} \u2026")
        row.refused = await _send(screen, act, row, answered)
        if row.refused.startswith("no answer"):
            break
        if not row.refused:
            done.append(row)
    table.unmark(row.key for row in done)
    refused = [row for row in rows if row.refused]
    if refused:
        _say_refused(screen, act, rows, f"\u2713 {len(done)} done;")
    else:
        screen.say((f"\u2713 {act.verb} ", "strong"), count)
    screen.refetch()


def lines(rows: list[Row]) -> list[str]:
    """The question: how many first, then each row with what would happen, then the refused ones with why."""
    going = [row for row in rows if not row.refused]
    refused = [row for row in rows if row.refused]
    said = [f"{len(going)} of {len(rows)} marked rows" if refused else f"{len(going)} marked rows"]
    for row in going:
        told = "; ".join(row.preview.consequences) if row.preview is not None else ""
        label = f" {row.target.label}" if row.target is not None and row.target.label else ""
        said.append(f"{row.name}{label}{': ' if told else ''}{told}")
    return said + [f"\u2717 {row.name} is left out: {row.refused}" for row in refused]


def _risky(act: Act, going: list[Row]) -> bool:
    return act.level is Level.RISK or any(row.preview is not None and row.preview.phrase for row in going)


async def _preview(screen: QScreen, act: Act, rows: list[Row]) -> None:
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(row: Row) -> None:
        assert row.target is not None
        async with turn:
            try:
                row.preview = await screen.client.command(act.command, row.target.id, row.args, preview=True)
            except Refused as error:
                if not (act.fields and _curable(act, error.problem)):
                    row.refused = _reason(error.problem)

    await asyncio.gather(*(one(row) for row in rows))


def _curable(act: Act, problem: Problem) -> bool:
    return problem.code in UNFILLED or problem.field.split(".")[-1] in {one.name for one in act.fields}


def _reason(problem: Problem) -> str:
    return f"{problem.reason} ({problem.fix})" if problem.fix else problem.reason


async def _send(screen: QScreen, act: Act, row: Row, answered: dict[str, Any]) -> str:
    """Send one; the reason when it was refused or not answered, empty when it was done."""
    assert row.target is not None
    args = {**row.args, **answered}
    id = uuid4().hex
    for attempt in range(TRIES):
        try:
            if row.preview is None:  # it could not be previewed before the fields were filled in
                row.preview = await screen.client.command(act.command, row.target.id, args, preview=True)
                if row.preview.phrase and act.level is not Level.RISK:
                    return f"asks for a phrase of its own ({row.preview.phrase}): do it alone"
            if row.preview.phrase:
                args["phrase"] = row.preview.phrase
            await screen.client.command(act.command, row.target.id, args, id=id)
        except Refused as error:
            return _reason(error.problem)
        except EngineUnreachable as error:
            if attempt + 1 == TRIES:
                return f"no answer ({error}): it may have happened, look at it"
            await asyncio.sleep(0.3 * (attempt + 1))
        else:
            return ""
    return ""


def _say_refused(screen: QScreen, act: Act, rows: list[Row], first: str) -> None:
    refused = [row for row in rows if row.refused]
    named = "; ".join(f"{row.name}: {row.refused}" for row in refused[:3])
    more = f" and {len(refused) - 3} more" if len(refused) > 3 else ""
    screen.say((f"{act.verb}: {first} refused {len(refused)}: ", "caution"), f"{named}{more}", seconds=20)
