"""What lies ahead: windows over days, and below them whatever ends, is due or is waited for, soonest first.

The picture can be moved and zoomed; the list holds what falls into it, overdue first. Enter opens what a line is about.
"""

from __future__ import annotations

from time import monotonic

from textual.app import ComposeResult

from engine.contract.calendar import CalendarView
from engine.contract.oncall import ShiftLine
from screens import acts, figures
from screens.acts import Act, Reason
from screens.base import QScreen, Target
from screens.model import Delta
from screens.pictures import ahead
from screens.pictures.gantt import Window
from screens.places import OF_RECORD, ONE
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.text import Page

AGAIN_S = 20.0
"""Real seconds between looks while the screen is in front; a change of a gate or a record asks at once."""
HASTE_S = 1.0
SPANS = (1, 3, 7, 14, 35)
"""Days that can be looked at."""
DAY = 86_400.0

acts.register(
    Act("calendar.open", "enter", "open", target="row", help="What the line under the cursor is about", cli="qd calendar", order=1),
    Act("calendar.zoom_in", "plus", "fewer days", help="Fewer days, larger", cli="qd calendar --days 1", order=2),
    Act("calendar.zoom_out", "minus", "more days", help="More days: 1, 3, 7, 14, 35", cli="qd calendar --days 35", order=3),
    Act("calendar.earlier", "less_than_sign", "earlier", help="Half of what is shown back; not before now", cli="qd calendar --from TIME", order=4),
    Act("calendar.later", "greater_than_sign", "later", help="Half of what is shown on", cli="qd calendar --from TIME", order=5),
    Act("calendar.now", "t", "now", help="Back to now", cli="qd calendar", order=6),
)  # fmt: skip

COLUMNS = (
    Column("when", 14),
    Column("left", 9, align="right"),
    Column("kind", 15, optional=1),
    Column("id", 10),
    Column("what", 24, grow=3),
    Column("who", 8, grow=1, optional=2),
)


class CalendarScreen(QScreen):
    NAME = "calendar"
    TITLE_WORD = "Calendar"
    ACTS = (
        "calendar.open",
        "calendar.zoom_in",
        "calendar.zoom_out",
        "calendar.earlier",
        "calendar.later",
        "calendar.now",
    )
    ROOT = True
    AUTO_FOCUS = "#deadlines"
    CSS = """
    CalendarScreen #picture { height: auto; max-height: 50%; }
    CalendarScreen #deadlines { height: 1fr; min-height: 5; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.view: CalendarView | None = None
        self.days = 7
        self.ahead_s = 0.0
        """How far after now the picture begins."""
        self._asked_at = 0.0
        self._again = False

    def body(self) -> ComposeResult:
        page = Page(id="picture")
        page.can_focus = False
        yield page
        yield LineTable(COLUMNS, empty=("Loading \u2026",), id="deadlines")

    def on_mount(self) -> None:
        super().on_mount()
        self.refetch()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if self.view is not None:
            self.refetch()

    def refetch(self) -> None:
        self._asked_at, self._again = monotonic(), False
        start = {"from": f"{self.model.now() + self.ahead_s:.0f}"} if self.ahead_s else {}
        self.ask(lambda: self.client.read("/v1/calendar", CalendarView, days=self.days, **start), self._got)

    def _got(self, view: CalendarView) -> None:
        self.view = view
        self._show()

    def model_changed(self, delta: Delta | None) -> None:
        if (
            delta is None
            or delta.gates
            or delta.runs
            or any(delta.of(kind) for kind in ("incident", "case", "grant", "silence"))
        ):
            self._again = True

    def each_second(self) -> None:
        waited = monotonic() - self._asked_at
        if self.online and (waited > AGAIN_S or (self._again and waited > HASTE_S)):
            self.refetch()
        self._show()

    def on_resize(self) -> None:
        super().on_resize()
        self._show()

    def _show(self) -> None:
        view = self.view
        if not self.is_mounted or view is None:
            return
        now = self.model.now()
        lines = ahead.picture(view, Window(view.start, view.end), max(30, self.size.width - 3))
        self.query_one("#picture", Page).show([*lines, [""], *(ahead.state(one, now) for one in view.windows)])
        table = self.query_one("#deadlines", LineTable)
        table.empty = ("Nothing ends and nothing is due in this time.  - shows more days.",)
        table.merge([(key, _cells(one, now)) for key, one in _keyed(view)])

    def verdict(self) -> list[Part]:
        view = self.view
        if view is None:
            return [("Loading \u2026", "muted")]
        now = self.model.now()
        over = [one for one in view.deadlines if one.at < now]
        closed = [one.name for one in view.windows if not one.open]
        said: list[Part] = []
        if over:
            said += [
                (f"{figures.plural(len(over), 'thing')} overdue", "alarm"),
                ", first ",
                (over[0].id, "strong"),
                ". ",
            ]
        coming = next((one for one in view.deadlines if one.at >= now), None)
        if coming is not None:
            said += ["Next ", ahead.left(coming, now), ": ", (coming.id, "strong"), f" {coming.text}. "]
        elif not over:
            said.append(f"Nothing ends in {self._span()}. ")
        said.append((f"Closed: {', '.join(closed)}.", "caution") if closed else ("No window is closed.", "muted"))
        return said

    def _span(self) -> str:
        return figures.plural(self.days, "day")

    # -- keys ---------------------------------------------------------------------------------------------------

    def chosen(self) -> ShiftLine | None:
        key = self.query_one("#deadlines", LineTable).cursor_key
        return next((one for name, one in _keyed(self.view) if name == key), None) if self.view is not None else None

    def target(self) -> Target | None:
        one = self.chosen()
        return Target(one.kind, one.id, one.text) if one is not None else None

    def why_not(self, act: Act) -> Reason | None:
        if act.name == "calendar.open":
            one = self.chosen()
            if one is None:
                return Reason("nothing is under the cursor")
            if OF_RECORD.get(one.kind, one.kind) not in (*ONE, *_LISTED):
                return Reason(f"a {one.kind.replace('_', ' ')} has no screen of its own")
        if act.name == "calendar.earlier" and not self.ahead_s:
            return Reason("it begins now already", "what was is in the history of each thing")
        if act.name == "calendar.now" and not self.ahead_s:
            return Reason("it begins now already")
        return None

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self.perform(acts.act("calendar.open"))

    def act_calendar_open(self) -> None:
        one = self.chosen()
        if one is None:
            return
        noun = OF_RECORD.get(one.kind, one.kind)
        if noun in ONE:
            self.console.open(noun, one.id)
        else:
            self.console.go(_LISTED[noun], one.id)

    def act_calendar_zoom_in(self) -> None:
        self._zoom(-1)

    def act_calendar_zoom_out(self) -> None:
        self._zoom(1)

    def _zoom(self, by: int) -> None:
        self.days = SPANS[max(0, min(SPANS.index(self.days) + by, len(SPANS) - 1))]
        self.refetch()
        self.say(self._span(), seconds=2.0)

    def act_calendar_earlier(self) -> None:
        self._move(-0.5)

    def act_calendar_later(self) -> None:
        self._move(0.5)

    def _move(self, share: float) -> None:
        self.ahead_s = max(0.0, self.ahead_s + share * self.days * DAY)
        self.refetch()

    def act_calendar_now(self) -> None:
        self.ahead_s = 0.0
        self.refetch()


_LISTED = {"grant": "access", "silence": "alerts", "duty": "handover", "collection": "data"}
"""Where a thing without a screen of its own is listed."""


def _keyed(view: CalendarView) -> list[tuple[str, ShiftLine]]:
    """Lines with the keys of their rows: one thing can have several deadlines. What is before the picture's time is left
    to the overdue.
    """
    found: dict[str, ShiftLine] = {}
    for one in view.deadlines:
        if one.at < view.as_of or one.at >= view.start:
            key = f"{one.kind} {one.id} {one.text}"
            found.setdefault(key, one)
    return list(found.items())


def _cells(one: ShiftLine, now: float) -> tuple[Part, ...]:
    word = ahead.KINDS.get(one.kind, one.kind.replace("_", " "))
    tone = ahead.TONES.get(one.level, "")
    return (
        figures.clock(one.at, now),
        ahead.left(one, now),
        (word, "muted"),
        (one.id, "strong"),
        (one.text, tone) if tone else one.text,
        (one.who, "muted"),
    )
