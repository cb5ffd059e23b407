"""A list on its way out of the console: to the clipboard, or to a file as CSV or JSON.

Rules: what leaves is what a person sees, cleaned; a list that is read page by page is written page by page, so a million
rows cost no memory; a file that exists is never written over; a cell can't become a formula in a spreadsheet.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import ModalScreen
from textual.widgets import Input

from screens.columns import ListOverlay
from screens.widgets.clean import clean
from screens.widgets.line import Lines
from screens.widgets.line_table import LineTable
from screens.widgets.parts import Part, plain
from screens.widgets.rows import Cells, Wide

if TYPE_CHECKING:
    from screens.marking import TableActs

Record = dict[str, Any]


def record(table: LineTable, key: str, cells: Cells) -> Record:
    """A row by the titles of its columns, the id first."""
    if isinstance(cells, Wide):
        return {"id": key, "text": plain(cells.parts).strip()}
    named = {column.title or f"column {place + 1}": place for place, column in enumerate(table.columns)}
    texts = {title.lower(): plain(cells[place]).strip() for title, place in named.items() if place < len(cells)}
    return {"id": key, **{title: text for title, text in texts.items() if title != "id"}}


def records(table: LineTable, only: Iterable[str] | None = None) -> list[Record]:
    """The rows that are here and can be selected, in the order they stand; or those with these keys."""
    wanted = None if only is None else set(only)
    found = []
    for place in table.source.here():
        key, cells = table.source.key(place), table.source.cells(place)
        if key is None or cells is None or (wanted is not None and key not in wanted):
            continue
        if not isinstance(cells, Wide) or cells.selectable:
            found.append(record(table, key, cells))
    return found


def as_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Tab-separated, titles first: what spreadsheets and chats take from a clipboard."""
    return as_csv(rows, delimiter="\t")


def as_csv(rows: Iterable[Mapping[str, Any]], *, delimiter: str = ",", heads: Sequence[str] = ()) -> str:
    """`heads`: the columns, when the rows are the next ones of a file that has its titles already."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    named = list(heads)
    for row in rows:
        if not named:
            named = list(row)
            writer.writerow(named)
        writer.writerow([_cell(row.get(name)) for name in named])
    return out.getvalue()


def as_json(rows: Iterable[Mapping[str, Any]]) -> str:
    return json.dumps(list(rows), ensure_ascii=False, indent=1)


def _cell(value: Any) -> str:
    """Text for a spreadsheet. One that begins like a formula gets an apostrophe: it may come from a robot."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if text[:1] in ("=", "+", "@", "\t", "\r") or (text[:1] == "-" and not text[1:2].isdigit()):
        return f"'{text}"
    return text


class CopyScreen(ListOverlay):
    """What to copy, chosen from a list; it goes to the clipboard of the terminal."""

    BINDINGS = [Binding("escape,ctrl+g,Y,q", "leave", show=False, priority=True)]
    KEYS = (("Enter", "copies it"), ("Esc", "leaves"))

    def __init__(self, table: LineTable, screen: TableActs) -> None:
        super().__init__()
        self._table, self._of = table, screen

    def head(self) -> list[Part]:
        return [(" Copy ", "title"), f" {self._what()} or the row under the cursor"]

    def _what(self) -> str:
        marked = len(self._table.marks)
        return f"{marked:,} marked row{'s' * (marked != 1)}" if marked else "the whole list"

    def rows(self) -> list[tuple[str, Cells]]:
        what = self._what()
        rows: list[tuple[str, Cells]] = [
            ("row", ("this row, tabs between its cells",)),
            ("row-json", ("this row as JSON",)),
            ("ids", (f"the ids of {what}",)),
            ("text", (f"{what}, tabs between the cells",)),
            ("csv", (f"{what} as CSV",)),
            ("json", (f"{what} as JSON",)),
        ]
        titles = [column.title for column in self._table.columns if column.title]
        return rows + [(f"column {title.lower()}", ([f"column {title} of ", what],)) for title in titles]

    def text(self, choice: str) -> str:
        table = self._table
        rows = records(table, table.marks.keys or None)
        if choice.startswith("row"):
            rows = records(table, [table.cursor_key])
            return as_json(rows) if choice == "row-json" else as_text(rows)
        if choice == "ids":
            return "\n".join(row["id"] for row in rows)
        if choice.startswith("column "):
            return "\n".join(str(row.get(choice.removeprefix("column "), "")) for row in rows)
        return {"text": as_text, "csv": as_csv, "json": as_json}[choice](rows)

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        message.stop()
        screen: Any = self._of
        text = self.text(message.key)
        self.dismiss(None)
        if screen.console.copy_text(text):
            screen.say(("copied ", "muted"), f"{message.key}: {len(text):,} characters")
        else:
            screen.say(
                (
                    f"{len(text):,} characters are more than a terminal's clipboard takes: ctrl+e writes a file",
                    "caution",
                )
            )


class ExportScreen(ModalScreen[None], inherit_bindings=False):
    """Where to write a list to. The ending says how: .csv, .json, .jsonl."""

    BINDINGS = [Binding("escape,ctrl+g", "leave", show=False, priority=True)]
    AUTO_FOCUS = "Input"
    CSS = """
    ExportScreen { align: center middle; background: $background 60%; layout: vertical; }
    ExportScreen Lines { width: 76; max-width: 96%; height: 1; background: $panel; }
    ExportScreen Input { width: 76; max-width: 96%; height: 1; border: none; padding: 0 1; background: $background; color: $foreground; }
    ExportScreen Input:focus { border: none; background-tint: $foreground 0%; }
    """

    def __init__(self, table: LineTable, screen: TableActs) -> None:
        super().__init__()
        self._table, self._of = table, screen

    def compose(self) -> ComposeResult:
        marked = len(self._table.marks)
        what = f"{marked:,} marked row{'s' * (marked != 1)}" if marked else f"all {len(self._table.source):,} rows"
        head = Lines(id="overlay-head")
        head.show(([(" Export ", "title"), f" {what} to a file: .csv, .json or .jsonl"], []))
        yield head
        name = getattr(self._of, "NAME", "") or "list"
        entry = Input(f"~/{name}-{time.strftime('%Y%m%d-%H%M%S')}.csv", compact=True, select_on_focus=False)
        entry.cursor_blink = False
        yield entry
        yield Lines(id="overlay-foot")

    def on_mount(self) -> None:
        self._say("Enter writes it, Esc leaves", "muted")

    def _say(self, words: str, tone: str = "caution") -> None:
        self.query_one("#overlay-foot", Lines).show(([" ", (words, tone)], []))

    def action_leave(self) -> None:
        self.dismiss(None)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        path = Path(event.value.strip()).expanduser()
        wrong = refusal(path)
        if wrong:
            self._say(wrong)
            return
        screen: Any = self._of
        table = self._table
        pages = exported(screen, table)
        self.dismiss(None)
        screen.run_worker(_export(screen, pages, path), group="export", exclusive=True, exit_on_error=False)


def refusal(path: Path) -> str:
    """Why a file can't be written there; empty when it can."""
    if path.suffix not in (".csv", ".json", ".jsonl"):
        return "the name must end in .csv, .json or .jsonl"
    if path.exists():
        return f"{clean(path.name, 60)} exists: give another name"
    if not path.parent.is_dir():
        return f"there is no folder {clean(path.parent, 60)}"
    if not os.access(path.parent, os.W_OK):
        return f"{clean(path.parent, 60)} can't be written to"
    return ""


async def _held(rows: Sequence[Record]) -> AsyncIterator[Sequence[Record]]:
    yield rows


def exported(screen: Any, table: LineTable) -> AsyncIterator[Sequence[Record]]:
    """The rows page by page: the marked ones, or all there are. A screen whose list is not in memory reads on."""
    if table.marks:
        return _held(records(table, table.marks.keys))
    every = getattr(screen, "every_row", None)
    if every is not None and table.source is not table.rows:
        pages: AsyncIterator[Sequence[Record]] = every()
        return pages
    return _held(records(table))


async def _export(screen: Any, pages: AsyncIterator[Sequence[Record]], path: Path) -> None:
    try:
        count = await write(pages, path, lambda rows: screen.say(f"export: {rows:,} rows \u2026"))
    except OSError as error:
        screen.say((f"export: {error.strerror or error}: {clean(path, 200)}", "alarm"))
    except Exception as error:  # noqa: BLE001  a page was refused or not answered: what was written so far is no export
        path.unlink(missing_ok=True)
        screen.say((f"export: broken off ({clean(error, 200)}); nothing was kept", "caution"))
    else:
        screen.say(("\u2713 ", "strong"), f"{count:,} rows in {clean(path, 300)}", seconds=12)


async def write(pages: AsyncIterator[Sequence[Record]], path: Path, told: Any = None) -> int:
    """Write rows as they come; the number of them. The file is the person's own (0600) and is never written over."""
    count, heads = 0, ()  # type: tuple[int, tuple[str, ...]]
    kind = path.suffix
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
        if kind == ".json":
            file.write("[")
        async for page in pages:
            text = ""
            if kind == ".csv":
                text = as_csv(page, heads=heads)
                heads = heads or (tuple(page[0]) if page else ())
            elif page:
                lines = [json.dumps(row, ensure_ascii=False) for row in page]
                between = ",\n" if kind == ".json" else "\n"
                text = (("," if count else "") + "\n" if kind == ".json" else "") + between.join(lines)
                text += "\n" if kind == ".jsonl" else ""
            await asyncio.to_thread(file.write, text)
            count += len(page)
            if told is not None and count >= 5_000:
                told(count)
        if kind == ".json":
            file.write("\n]\n")
    return count
