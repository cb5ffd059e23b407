"""One run: the path it took, its timeline, its events, what went in and out, why it waits; and what can be done with it."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult
from textual.containers import Container
from textual.widget import Widget

from engine.contract.common import CommandAnswer, Problem
from engine.contract.runs import EventPage, EventView, RunDetail, StepView
from screens import chrome, past, run_views
from screens.acts import REGISTRY, Act, Reason, act, key_of, shown_key
from screens.base import Target
from screens.model import Delta, age
from screens.past import Travels
from screens.pictures import gantt, graph
from screens.run_acts import VIEWS
from screens.runs import GLYPH
from screens.widgets.drawn import DrawnTable
from screens.widgets.line import Hot, Lines
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.text import Page

EVENTS_PAGE = 500
EVENTS_HELD = 5_000
WIDE = 130
MICROSECOND = 1e-6
BARS = 2
"""The timeline's column of bars; their axis stands above it."""


class RunScreen(Travels):
    NAME = "run"
    TITLE_WORD = "Run"
    ACTS = (
        *(f"run.show_{name}" for name, _, _ in VIEWS),
        "run.next_view",
        "run.previous_view",
        "run.zoom_in",
        "run.zoom_out",
        "run.earlier",
        "run.later",
        "run.follow",
        "run.inspect",
        "run.gate",
        "run.rollout",
        "run.trace",
        "run.then",
        *past.ACTS,
        "run.suspend",
        "run.resume",
        "run.retry",
        "run.skip",
        "run.redrive",
        "run.cancel",
        "run.terminate",
        "run.comment",
        "run.override-window",
    )
    KIND = "run"
    SHAPE = RunDetail
    READING = frozenset(ACTS[: ACTS.index("run.suspend")])
    AUTO_FOCUS = "#path"

    def __init__(self, run: str) -> None:
        super().__init__()
        self.run_id = run
        self.detail: RunDetail | None = None
        self.events: dict[str, EventView] = {}
        self.view = "path"
        self._after = 0
        self._event = ""
        self.zoom = -1
        self.following = True
        self.window: gantt.Window | None = None
        """What the timeline shows; None: the whole run, growing with it."""

    def body(self) -> ComposeResult:
        yield Lines(id="views", classes="tabs")
        with Container(classes="split"):
            yield DrawnTable(
                [
                    Column("STEP", 24, grow=2),
                    Column("KIND", 7, optional=1),
                    Column("BEGAN, TOOK", 18, optional=2),
                    Column("STATE", 16, grow=3),
                ],
                empty=["Loading \u2026"],
                id="path",
            )
            with Container(id="side", classes="column"):
                yield Page(id="why", indent=12)
                yield DrawnTable(
                    [
                        Column("STEP", 24, grow=1),
                        Column("TOOK", 7, align="right"),
                        Column("OVER TIME", 28, grow=4),
                        Column("BEGAN", 8, optional=1),
                    ],
                    empty=["No step has begun."],
                    id="timeline",
                )
                yield LineTable(
                    [
                        Column("N", 5, align="right", optional=1),
                        Column("AT", 12),
                        Column("EVENT", 17),
                        Column("WHAT", 24, grow=1),
                        Column("BY", 8),
                    ],
                    empty=["Loading \u2026"],
                    follow=True,
                    id="events",
                )
                yield Page(id="data")

    def on_mount(self) -> None:
        super().on_mount()
        self._show(self.view, focus=True)
        self.refetch()

    def on_resize(self) -> None:
        super().on_resize()
        if self.is_mounted:
            self._show(self.view)
            self._draw()

    # -- words --------------------------------------------------------------------------------------------------

    def verdict(self) -> list[Part]:
        detail = self.detail
        run = detail.run if detail is not None else self.model.runs.get(self.run_id)
        if run is None:
            return [(f"Asking for {self.run_id} \u2026", "muted")]
        glyph, tone = GLYPH.get(run.status, ("?", ""))
        said: list[Part] = [f"{run.id} ", (f"{glyph} {run.status}", tone) if tone else f"{glyph} {run.status}"]
        said.append(f" \u00b7 {run.title or run.workflow}")
        now = self.clock()
        if detail is not None and detail.error:
            said.append((f" \u00b7 {detail.error}", "alarm"))
        elif detail is not None and detail.waiting:
            first = detail.waiting[0]
            said.append(f" \u00b7 waits for {first.what}")
            if first.who:
                said.append(f" ({', '.join(first.who[:3])})")
            if first.until:
                said.append(f" until {chrome.at(first.until, now)}Z")
            if len(detail.waiting) > 1:
                said.append((f" and {len(detail.waiting) - 1} more", "muted"))
        elif run.waiting_on:
            said.append(f" \u00b7 waits for {run.waiting_on}")
        elif run.ended_at:
            said.append(f" \u00b7 {run.ending or 'ended'} after {age(run.ended_at - run.started_at)}")
        return said

    # -- data ---------------------------------------------------------------------------------------------------

    @property
    def past_id(self) -> str:
        return self.run_id

    def refetch(self) -> None:
        if not self.in_past():
            self.ask(lambda: self.client.run(self.run_id), self._got, group="detail")
        self._more_events()

    def model_changed(self, delta: Delta | None) -> None:
        if delta is not None and self.run_id in delta.runs:
            self.refetch()

    def each_second(self) -> None:
        if self.detail is not None and self.detail.waiting and self._shown("why"):
            self._draw_why()

    def _got(self, detail: RunDetail) -> None:
        if not self.in_past():
            self.show_detail(detail)

    def show_detail(self, detail: RunDetail) -> None:
        self.detail = detail
        self._draw()

    def failed(self, problem: Problem) -> None:
        if self.detail is None:
            path = self.query_one("#path", LineTable)
            path.empty = [f"{self.run_id} can't be shown: {problem.reason}. Esc goes back."]
            path.refresh()

    def _more_events(self) -> None:
        self.ask(self._events, lambda page: self._draw_events(), group="events", quiet=True)

    async def _events(self) -> EventPage:
        """Everything after what is held, page by page."""
        while True:
            page = await self.client.events(self.run_id, after=self._after, limit=EVENTS_PAGE)
            for event in page.rows:
                self._after = max(self._after, event.seq)
                self.events[str(event.seq)] = event
            if not page.rows or page.next is None or len(self.events) >= EVENTS_HELD:
                return page

    # -- drawing ------------------------------------------------------------------------------------------------

    @property
    def wide(self) -> bool:
        return self.size.width >= WIDE

    def _shown(self, view: str) -> bool:
        return (bool(self.query_one(f"#{view}").display) and self.view == view) or (view == "path" and self.wide)

    def _show(self, view: str, *, focus: bool = False) -> None:
        """At 80 columns one view; with room the map stays and the others share the side."""
        if self.wide and view == "path":
            side = self._side
        else:
            side = view
        self.view = view
        if side != "path":
            self._side = side
        self.query_one("#path").display = self.wide or view == "path"
        self.query_one("#side").display = self.wide or view != "path"
        self.query_one("#side").set_class(self.wide, "ruled")
        for name, _, _ in VIEWS:
            if name != "path":
                self.query_one(f"#{name}").display = name == side
        tabs: list[Part] = [" "]
        hits: list[Hot] = []
        x = 1
        for name, _, word in VIEWS:
            key = shown_key(key_of(act(f"run.show_{name}")))
            current = name == view or (self.wide and name == side)
            tabs += [(key, "key"), (f" {word}  ", "strong" if current else "muted")]
            hits.append((0, x, x + len(key) + len(word) + 1, f"run.show_{name}"))
            x += len(key) + len(word) + 3
        self.query_one("#views", Lines).show(
            (tabs, [(run_views.hint("timeline" if self._timed else self.view), "muted")]), hits=hits
        )
        if focus:
            self.query_one(f"#{view}", Widget).focus()
        for table in self.query(LineTable):
            table.wake()
        self._draw_side()

    _side = "why"

    def _draw(self) -> None:
        if self.detail is None:
            return
        path = self.query_one("#path", LineTable)
        path.empty = ["The definition has no steps to show."]
        first = not len(path.rows)
        if self.zoom < 0:  # a large definition opens with what was taken, one that fits with all it may do
            self.zoom = 1 if len(self.detail.graph) <= self.size.height else 0
        rows = graph.rows(self.detail, self.clock(), zoom=self.zoom, room=max(3, min(8, path.cells_wide // 14)))
        if path.rows.shaped_like(rows):
            path.merge(rows)
        else:  # a picture is taken in whole: half of a lane is none
            path.load(rows)
        if first:
            self.call_after_refresh(self._to_active, path)  # it scrolls once it has a height
        elif self.following:
            self._to_active(path)
        self._draw_side()

    def _to_active(self, path: LineTable) -> None:
        """To the step that is under way."""
        if self.detail is None:
            return
        live = graph.under_way(run_views.visits(self.detail))
        if live:
            path.go_to(live)

    def _draw_side(self) -> None:
        if self.detail is None:
            return
        side = self._side if self.wide else self.view
        if side == "why":
            self._draw_why()
        elif side == "timeline":
            self._draw_timeline()
        elif side == "events":
            self._draw_events()
        elif side == "data":
            self._draw_data()

    def _draw_timeline(self) -> None:
        assert self.detail is not None
        table, now = self.query_one("#timeline", DrawnTable), self.clock()
        cells = table.cells_of(BARS) or 28
        window = self.window or gantt.whole(self.detail, now)
        table.show_axis(table.columns[BARS].title, gantt.axis(window, cells))
        table.merge(gantt.rows(self.detail, now, window, cells, gantt.tries(self.events.values())))

    def _draw_why(self) -> None:
        assert self.detail is not None
        self.query_one("#why", Page).show(run_views.why(self.detail, self.clock(), self.model.blocked()))

    def _draw_events(self) -> None:
        table = self.query_one("#events", LineTable)
        now = self.clock()
        table.empty = ["No events."]
        fresh = [run_views.event_row(event, now) for key, event in self.events.items() if table.rows.place(key) is None]
        if not len(table.rows):
            table.load(fresh)
            table.action_edge(1)
        else:
            table.append(fresh)

    def _draw_data(self) -> None:
        assert self.detail is not None
        event = self.events.get(self._event) if self._event else None
        page = run_views.data_page(self.detail, None if event else self.step(), event, self.clock())
        self.query_one("#data", Page).show(page)

    def step(self) -> StepView | None:
        """The newest visit of the step under the cursor (map or timeline)."""
        if self.detail is None:
            return None
        timeline = self.query_one("#timeline", LineTable)
        if self.focused is timeline:
            return next((s for s in self.detail.steps if f"{s.path} {s.fence}" == timeline.cursor_key), None)
        steps = run_views.visits(self.detail).get(self.query_one("#path", LineTable).cursor_key)
        return steps[-1] if steps else None

    # -- keys ---------------------------------------------------------------------------------------------------

    def target(self) -> Target | None:
        title = self.detail.run.title if self.detail is not None else ""
        return Target("run", self.run_id, f"{self.run_id} {title}".strip())

    def why_not(self, act: Act) -> Reason | None:
        detail = self.detail
        if detail is None:
            return (
                Reason("the run is not loaded yet") if act.command or act.name in ("run.gate", "run.rollout") else None
            )
        if act.name == "run.follow" and detail.run.status in run_views.ENDED and self.window is None:
            return Reason("the run is over: no step is under way")
        if act.name in ("run.earlier", "run.later") and not self._timed:
            return Reason(
                "time moves on the timeline alone", f"{shown_key(key_of(REGISTRY['run.show_timeline']))} shows it"
            )
        if act.name == "run.gate" and not self._gate():
            return Reason("this run waits for no gate")
        if act.name == "run.rollout" and not detail.rollout:
            return Reason("this run belongs to no rollout")
        if act.name in ("run.retry", "run.skip") and self.step() is None:
            return Reason("no visited step is under the cursor", "choose one on the map, m")
        if act.command and (reason := detail.verbs.get(act.command)):
            return Reason(reason)
        return None

    def args_for(self, act: Act) -> dict[str, Any]:
        step = self.step()
        if act.name in ("run.retry", "run.skip", "run.override-window") and step is not None:
            return {"path": step.path}
        if act.name == "run.redrive":
            return {"step": self.query_one("#path", LineTable).cursor_key}
        return {}

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()

    def act_run_then(self) -> None:
        """The moment of the event, or of the end of the step, under the cursor."""
        table = self.focused
        if isinstance(table, LineTable) and table.id == "events" and table.cursor_key:
            self.travel_to(int(table.cursor_key))
            return
        step = self.step()
        until = (step.ended_at or step.started_at or 0.0) if step is not None else 0.0
        seqs = [event.seq for event in self.events.values() if event.at <= until + MICROSECOND]
        if seqs:
            self.travel_to(max(seqs))
        else:
            self.say(("no event of it is held: choose one under Events, v", "muted"))

    def _gate(self) -> str:
        if self.detail is None:
            return ""
        return next((one.gate for one in self.detail.waiting if one.gate), "")

    def act_run_gate(self) -> None:
        self.console.open("gate", self._gate())

    def act_run_trace(self) -> None:
        self.console.open("trace", self.run_id)

    def act_run_rollout(self) -> None:
        assert self.detail is not None
        self.console.open("rollout", self.detail.rollout)

    def act_run_inspect(self) -> None:
        self._event = ""
        table = self.focused
        if isinstance(table, LineTable) and table.id == "events":
            self._event = table.cursor_key
        self._show("data", focus=True)

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self.act_run_inspect()

    def on_line_table_moved(self, message: LineTable.Moved) -> None:
        super().on_line_table_moved(message)
        if message.table.id == "path" and self.detail is not None:
            live = graph.under_way(run_views.visits(self.detail))
            self.following = self.following and message.key in ("", live)
        if message.table.id == "path" and self.wide and self._side == "data":
            self._event = ""
            self._draw_side()

    def _turn(self, by: int) -> None:
        names = [name for name, _, _ in VIEWS if not (self.wide and name == "path")]
        current = self._side if self.wide else self.view
        self._show(names[(names.index(current) + by) % len(names)], focus=True)

    def act_run_next_view(self) -> None:
        self._turn(1)

    def act_run_previous_view(self) -> None:
        self._turn(-1)

    def act_console_region(self) -> None:
        if self.wide:
            super().act_console_region()
        else:
            self._turn(1)

    def act_console_region_back(self) -> None:
        if self.wide:
            super().act_console_region_back()
        else:
            self._turn(-1)

    def act_run_zoom_in(self) -> None:
        self._zoom(1)

    def act_run_zoom_out(self) -> None:
        self._zoom(-1)

    def _zoom(self, by: int) -> None:
        """Of the picture in front: the map shows more or fewer steps, the timeline less or more time."""
        if self.detail is None:
            return
        if self._timed:
            now = self.clock()
            step = self.step()
            window = self.window or gantt.whole(self.detail, now)
            middle = window.first + window.seconds / 2
            around = (step.started_at if step is not None and step.started_at else None) or middle
            wider = window.zoomed(0.5 if by > 0 else 2.0, around)
            self.window = None if wider.seconds >= gantt.whole(self.detail, now).seconds else wider
            self._draw_timeline()
        else:
            self.zoom = max(0, min(self.zoom + by, len(graph.ZOOMS) - 1))
            self._draw()
            self.say(f"map: {graph.ZOOMS[self.zoom]}", seconds=2.0)

    @property
    def _timed(self) -> bool:
        """The timeline is the picture that keys are about."""
        timeline = self.query_one("#timeline", LineTable)
        return bool(timeline.display) and (self.focused is timeline or self.view == "timeline")

    def act_run_later(self) -> None:
        self._pan(0.25)

    def act_run_earlier(self) -> None:
        self._pan(-0.25)

    def _pan(self, share: float) -> None:
        if self.detail is not None:
            self.window = (self.window or gantt.whole(self.detail, self.clock())).moved(share)
            self._draw_timeline()

    def act_run_follow(self) -> None:
        """On: the cursor goes with the step that is under way. A move of one's own ends it."""
        self.following = self.window is not None or not self.following
        self.window = None
        self._draw()
        self.say("following the step under way" if self.following else "not following", seconds=2.0)

    def act_run_show_path(self) -> None:
        self._show("path", focus=True)

    def act_run_show_why(self) -> None:
        self._show("why", focus=True)

    def act_run_show_timeline(self) -> None:
        self._show("timeline", focus=True)

    def act_run_show_events(self) -> None:
        self._show("events", focus=True)

    def act_run_show_data(self) -> None:
        self._event = ""
        self._show("data", focus=True)
