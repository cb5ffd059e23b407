"""Makes the journal's statements: SQLAlchemy Core on the SQLModel tables, compiled to text.

`python -m engine.store.compiled` writes them to `statements.py`; a test holds that file equal to what is made here.
They are kept as text because importing SQLModel costs a third of a second that no start of the engine should pay; it
is imported only to make or migrate the tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Table, bindparam, delete, update
from sqlalchemy.dialects.sqlite import dialect, insert

from engine.store.tables import (
    AnchorRow,
    BlobRow,
    CohortRow,
    CommandRow,
    DefinitionRow,
    EventRow,
    GateRow,
    InboxRow,
    LockRow,
    OutboxRow,
    RobotRecord,
    RobotUpdateRow,
    RolloutRow,
    RunRow,
    SnapshotRow,
    StepRow,
    TimerRow,
    WaitRow,
)

_DIALECT = dialect(paramstyle="qmark")


def table(model: Any) -> Table:
    """The Core table behind a SQLModel class."""
    found: Table = model.__table__
    return found


def columns(model: Any) -> tuple[str, ...]:
    """The order in which the rows of `insert_all` and `upsert` give their values."""
    return tuple(column.name for column in table(model).columns)


def _text(statement: Any, order: Sequence[str]) -> str:
    compiled = statement.compile(dialect=_DIALECT)
    if list(compiled.positiontup) != list(order):
        raise AssertionError(f"parameters come in another order: {compiled.positiontup} instead of {order}")
    return str(compiled)


def insert_all(model: Any, *, ignore: bool = False) -> str:
    """An insert of every column, in the table's order."""
    names = columns(model)
    statement: Any = insert(table(model)).values({name: bindparam(name) for name in names})
    if ignore:
        statement = statement.on_conflict_do_nothing()
    return _text(statement, names)


def upsert(model: Any) -> str:
    """An insert of every column that replaces the row with the same key."""
    names = columns(model)
    keys = [column.name for column in table(model).primary_key.columns]
    statement = insert(table(model)).values({name: bindparam(name) for name in names})
    changed = {name: statement.excluded[name] for name in names if name not in keys}
    return _text(statement.on_conflict_do_update(index_elements=keys, set_=changed), names)


def change(model: Any, values: Sequence[str], where: Sequence[str]) -> str:
    """An update of `values` where all of `where` are equal; parameters in that order."""
    target = table(model)
    statement = update(target).values({name: bindparam(name) for name in values})
    for name in where:
        statement = statement.where(target.c[name] == bindparam(f"key_{name}"))
    order = [name for name in columns(model) if name in values] + [f"key_{name}" for name in where]
    if list(values) != order[: len(values)]:
        raise AssertionError(f"{model.__tablename__}: name the values in the table's order")
    return _text(statement, order)


def remove(model: Any, where: Sequence[str]) -> str:
    """A delete where all of `where` are equal."""
    target = table(model)
    statement = delete(target)
    for name in where:
        statement = statement.where(target.c[name] == bindparam(name))
    return _text(statement, where)


_MOVED = (
    "status",
    "n",
    "seq",
    "updated_at",
    "ended_at",
    "ending",
    "waiting_on",
    "step",
    "gates",
    "attention",
)
"""What changes of a run with a commit."""


def made() -> dict[str, str]:
    """Every statement by its name."""
    return {
        "EVENT": insert_all(EventRow),
        "BLOB": insert_all(BlobRow, ignore=True),
        "REDACT": change(EventRow, ("data", "digest"), ("seq",)),
        "BLOB_OFF": remove(BlobRow, ("digest",)),
        "COMMAND": insert_all(CommandRow),
        "COMMAND_ONCE": insert_all(CommandRow, ignore=True),
        "SNAPSHOT": upsert(SnapshotRow),
        "SNAPSHOT_OFF": remove(SnapshotRow, ("run",)),
        "DEFINITION": insert_all(DefinitionRow, ignore=True),
        "INBOX": insert_all(InboxRow),
        "INBOX_SEEN": insert_all(InboxRow, ignore=True),
        "OUTBOX": insert_all(OutboxRow, ignore=True),
        "OUTBOX_DONE": change(OutboxRow, ("delivered",), ("seq",)),
        "ANCHOR": insert_all(AnchorRow),
        "RUN": insert_all(RunRow),
        "RUN_CHANGE": change(RunRow, _MOVED, ("number",)),
        "RUN_MIGRATED": change(RunRow, ("digest",), ("id",)),
        "STEP": upsert(StepRow),
        "STEP_END": change(StepRow, ("status", "ended_at", "last", "error", "detail"), ("run", "path", "fence")),
        "STEP_WAIT": change(StepRow, ("status", "due", "last", "error", "detail"), ("run", "path", "fence")),
        "STEP_CLOSE": change(StepRow, ("status", "ended_at", "last", "detail"), ("run", "path"))
        + " AND ended_at IS NULL AND first < ?",
        "TIMER": upsert(TimerRow),
        "TIMER_OFF": remove(TimerRow, ("run", "scope", "step", "fence", "purpose")),
        "TIMERS_OFF": remove(TimerRow, ("run",)),
        "WAIT": insert_all(WaitRow, ignore=True),
        "WAITS_OFF": remove(WaitRow, ("run",)),
        "LOCK": insert_all(LockRow, ignore=True),
        "LOCK_HELD": change(LockRow, ("held",), ("key", "run")),
        "LOCK_OFF": remove(LockRow, ("key", "run")),
        "LOCKS_OFF": remove(LockRow, ("run",)),
        "GATE": upsert(GateRow),
        "ROBOT_NEW": insert_all(RobotRecord, ignore=True),
        "ROLLOUT": upsert(RolloutRow),
        "COHORT": upsert(CohortRow),
        "ROBOT_UPDATE": upsert(RobotUpdateRow),
    }


COLUMNS = {"GATE": GateRow, "ROBOT_UPDATE": RobotUpdateRow}
"""Tables of which the order of columns is needed beside the statement."""


def rendered() -> str:
    """The module `statements.py`."""
    parts = [
        '"""The journal\'s statements as text, run through `executemany` on the raw cursor. (Measured: SQLAlchemy\'s own',
        "execution costs twice the CPU of a step, the ORM twenty times.) Made by `compiled.py` from the tables: change those,",
        "then `python -m engine.store.compiled`; a test holds the two equal.",
        '"""',
        "",
    ]
    for name, text in made().items():
        whole = " ".join(text.split())
        if len(f"{name} = {_quoted(whole)}") <= 120:
            parts.append(f"{name} = {_quoted(whole)}")
            continue
        parts.append(f"{name} = (")
        words, line = whole.split(" "), ""
        for word in words:
            if len(line) + len(word) > 100:
                parts.append(f"    {_quoted(line)}")
                line = ""
            line += word + " "
        parts += [f"    {_quoted(line.rstrip())}", ")"]
    for name, model in COLUMNS.items():
        parts += [f"{name}_COLUMNS = ("] + [f'    "{column}",' for column in columns(model)] + [")"]
    return "\n".join(parts) + "\n"


def _quoted(text: str) -> str:
    return "'" + text + "'" if '"' in text else '"' + text + '"'


if __name__ == "__main__":
    Path(__file__).with_name("statements.py").write_text(rendered(), encoding="utf-8")
