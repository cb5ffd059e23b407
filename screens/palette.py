"""The palette: everything there is, found by typing. What can be done here (a projection of the registry, with the keys
beside it), `:` lines (themes, views, marks' places), and things by id or name, from what the console holds and the engine.

Rules: acts whose word was typed stay above things, so that what comes in from the engine is never what Enter would do
instead of them; a thing only opens, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widgets import Input

from engine.contract.client import EngineUnreachable, Refused
from engine.contract.search import Found, FoundPage
from screens import acts
from screens.acts import EVERYWHERE, Act
from screens.base import QScreen
from screens.model import Model
from screens.places import OF_RECORD
from screens.widgets.clean import clean
from screens.widgets.line import Lines
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.rows import Cells

SILENT = ("console.palette", "console.region", "console.region_back", "console.mark", "console.return", "console.count")
NAMED = 50
"""From this score on the word of an act itself was typed, not one of its help."""
LISTED = {"site": "fleet", "workflow": "workflows"}
"""Kinds without a screen of their own, and the list that shows them."""
KINDS = ("run", "gate", "rollout", "robot", *LISTED, *OF_RECORD)
SETTLE_S = 0.15
"""The engine is asked when typing pauses this long."""
HELD = 2_000
"""Runs of the model that are looked through at a key: the newest; the engine knows the others."""
SHOWN = 40


def score(words: str, act: Act) -> int:
    """How well typed words fit an act: every word must be found; earlier and in the verb counts more. 0 = no."""
    total = 1
    verb, rest = act.verb.casefold(), f"{act.name} {act.help}".casefold()
    for word in words.casefold().split():
        if verb.startswith(word):
            total += 100
        elif word in verb:
            total += 50
        elif word in rest:
            total += 10
        else:
            return 0
    return total


def held(model: Model, words: str) -> list[Found]:
    """Gates, rollouts and runs that the console holds and that have every word."""
    wanted = words.casefold().split()
    if not wanted:
        return []
    found = [
        Found(kind="gate", id=gate.id, title=gate.question, state=gate.state)
        for gate in model.gates.values()
        if _has(wanted, gate.id, gate.question, gate.subject)
    ]
    found += [
        Found(kind="rollout", id=one.id, title=f"{one.artifact} {one.version} to {one.cohort}", state=one.state)
        for one in model.rollouts.values()
        if _has(wanted, one.id, one.artifact, one.version, one.cohort)
    ]
    for place, run in enumerate(reversed(model.runs.values())):
        if place >= HELD or len(found) >= SHOWN:
            break
        if run.id not in model.rollouts and _has(wanted, run.id, run.title, run.workflow):
            found.append(Found(kind="run", id=run.id, title=run.title or run.workflow, state=run.status))
    return found[:SHOWN]


def _has(wanted: Iterable[str], *texts: str) -> bool:
    together = " ".join(texts).casefold()
    return all(word in together for word in wanted)


class PaletteScreen(ModalScreen[None], inherit_bindings=False):
    BINDINGS = [
        Binding("escape,ctrl+g,ctrl+p", "leave", show=False, priority=True),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("pagedown", "move(10)", show=False, priority=True),
        Binding("pageup", "move(-10)", show=False, priority=True),
    ]
    AUTO_FOCUS = "Input"

    def __init__(self, screen: QScreen, lines: Mapping[str, str] | None = None) -> None:
        """`lines`: what may be said after `:`, with what it does."""
        super().__init__()
        self._of = screen
        self._acts = [act for act in acts.acts((*screen.ACTS, *EVERYWHERE)) if act.name not in SILENT]
        self._lines = dict(lines or {})
        self._words = ""
        self._found: list[Found] = []
        self._asked: Timer | None = None
        self._eager = False
        """Enter was pressed before the engine had answered: the first thing found is opened."""

    def compose(self) -> ComposeResult:
        yield Lines(id="overlay-head")
        entry = Input(compact=True, id="palette-entry")
        entry.cursor_blink = False
        yield entry
        yield LineTable(
            [Column("KEY", 10), Column("DO", 18, grow=1), Column("WHAT IT DOES", 20, grow=3)],
            empty=["Nothing here is called that."],
            id="palette-list",
        )

    def on_mount(self) -> None:
        self._head("")
        self._fill()

    def _head(self, more: str) -> None:
        told: list[Part] = [(" Do or find ", "title"), " a key, a screen, an id or a name"]
        self.query_one("#overlay-head", Lines).show((told, [(f"{more} ", "muted")] if more else []))

    def on_input_changed(self, event: Input.Changed) -> None:
        self._words, self._eager = event.value.strip(), False
        self._found = held(self._of.model, self._words)
        self._fill()
        if self._asked is not None:
            self._asked.stop()
        self._head("")
        if self._words:
            self._asked = self.set_timer(SETTLE_S, self._ask)

    def _ask(self) -> None:
        words = self._words
        self._head("looking \u2026")

        async def work() -> Any:
            try:
                page = await self._of.client.read(
                    "/v1/search", FoundPage, text=words, kinds=",".join(KINDS), limit=SHOWN
                )
            except (EngineUnreachable, Refused) as error:
                if words == self._words and self.is_attached:
                    said = (
                        clean(error.problem.reason, 60) if isinstance(error, Refused) else "the engine did not answer"
                    )
                    self._head(said)
                return
            if words == self._words and self.is_attached:
                self._got(page)

        self.run_worker(work, group="search", exclusive=True, exit_on_error=False)

    def _got(self, page: FoundPage) -> None:
        known = {(one.kind, one.id) for one in page.rows}
        self._found = [*page.rows, *(one for one in self._found if (one.kind, one.id) not in known)]
        self._head("there is more: type on" if page.cut else "")
        self._fill(arrived=True)
        if self._eager and self._found:
            self._do(_key(self._found[0]))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        table = self.query_one(LineTable)
        if table.cursor_key:
            self._do(table.cursor_key)
        else:
            self._eager = bool(self._words)

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self._do(message.key)

    def _fill(self, *, arrived: bool = False) -> None:
        ranked = sorted(
            ((points, -place, act) for place, act in enumerate(self._acts) if (points := score(self._words, act))),
            key=lambda one: one[:2],
            reverse=True,
        )
        wanted = self._words.casefold().lstrip(":").split()
        said = [(f":{line}", what) for line, what in self._lines.items() if wanted and _has(wanted, line, what)]
        rows: list[tuple[str, Cells]] = [(a.name, self._row(a)) for points, _, a in ranked if points > NAMED]
        rows += [(_key(one), _thing(one)) for one in self._found]
        rows += [(line, ((":", "key"), line[1:], what)) for line, what in said]
        rows += [(act.name, self._row(act)) for points, _, act in ranked if points <= NAMED]
        table = self.query_one(LineTable)
        if not arrived or not table.cursor:
            table.cursor, table.cursor_key = 0, ""
        table.load(rows)

    def _row(self, act: Act) -> Cells:
        reason = self._of.reason_against(act)
        own = self._of.own_keys() if act.name in EVERYWHERE else ()
        key = (acts.shown_key(acts.moved.get(act.name) or acts.free(act, own)), "key")
        if reason is not None:
            return (key, (act.verb, "muted"), [(f"not now: {reason}", "muted")])
        return (key, act.verb, act.help)

    def _do(self, key: str) -> None:
        self.dismiss(None)
        app: Any = self.app
        kind, found, id = key.partition("\t")
        if key.startswith(":"):
            app.call_later(app.run_line, key[1:])
        elif not found and key:
            app.call_later(self._of.perform, acts.act(key))
        elif kind in LISTED:
            app.call_later(app.go, LISTED[kind], f'site:"{id}"' if kind == "site" else f'"{id}"')
        elif kind:
            app.call_later(app.open, kind, id)

    def action_move(self, by: int) -> None:
        self.query_one(LineTable).action_move(by)

    def action_leave(self) -> None:
        self.dismiss(None)


def _key(one: Found) -> str:
    """A row's key: no act is called so."""
    return f"{one.kind}\t{one.id}"


def _thing(one: Found) -> Cells:
    state = f"  {clean(one.state, 40)}" if one.state else ""
    noun = OF_RECORD.get(one.kind, one.kind)
    return ((noun, "muted"), clean(one.id, 80), [clean(one.title, 200), (state, "muted")])
