"""The thread of causes: what led here and everything that followed, to be walked both ways."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Container

from engine.contract.common import Problem
from engine.contract.events import OutEvent, Trace, TraceNode
from screens import chrome, event_views
from screens.acts import Act, Reason, register
from screens.base import Target
from screens.model import Delta
from screens.runs import GLYPH
from screens.split import SplitScreen
from screens.thread import EVENT, HOW, MORE, RUN, branches, focused, made, unheard
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.rows import Cells
from screens.widgets.text import Page

SETTLE_S = 2.0

register(
    Act("trace.open", "enter", "open", "trace", help="Open the run; for an event, show what it says", order=10),
    Act("trace.cause", "left,h", "cause", "trace", help="To the line this one follows from", order=11),
    Act("trace.effect", "right,l", "effect", "trace", help="To the first line that follows from this one", order=12),
    Act(
        "trace.detail", "e", "what it says", "trace", help="The event's data, and what every rule made of it", order=13
    ),
    Act("trace.here", "o", "where I came from", "trace", help="Back to what was asked for", order=14),
    Act(
        "trace.whole",
        "w",
        "whole",
        "trace",
        help="Every line of the thread, or only the way here and what follows",
        order=16,
    ),
    Act("trace.root", "t", "first cause", "trace", help="To the beginning of the thread", order=15),
)


class TraceScreen(SplitScreen):
    NAME = "trace"
    TITLE_WORD = "Thread"
    LISTS = ("thread",)
    ACTS = ("trace.open", "trace.cause", "trace.effect", "trace.detail", "trace.here", "trace.root", "trace.whole")
    AUTO_FOCUS = "#thread"

    def __init__(self, id: str) -> None:
        super().__init__()
        self.asked = id
        self.trace: Trace | None = None
        self._event: OutEvent | None = None
        self._whole = False
        self._lines_shown: list[TraceNode] = []

    def body(self) -> ComposeResult:
        with Container(classes="split"):
            yield LineTable(
                [
                    Column("THREAD", 44, grow=3),
                    Column("STATE, ABOUT", 16, grow=2),
                    Column("AT", 12, optional=1),
                ],
                empty=["Loading \u2026"],
                id="thread",
            )
            with Container(id="side", classes="column"):
                yield Page(id="said", indent=4)

    # -- data ---------------------------------------------------------------------------------------------------

    def refetch(self) -> None:
        self.ask(lambda: self.client.read(event_views.path("/v1/trace", self.asked), Trace), self._got)

    def model_changed(self, delta: Delta | None) -> None:
        if delta is None or self.trace is None:
            return
        mine = {node.id for node in self.trace.nodes if node.kind == "run"}
        if mine & delta.runs:
            self.set_timer(SETTLE_S, self.refetch)

    def _got(self, trace: Trace) -> None:
        first = self.trace is None
        self.trace = trace
        table = self.table
        rows = self._rows()
        if first:
            table.load(rows)
            self.act_trace_here()
        else:
            table.merge(rows)
        self._look()

    def failed(self, problem: Problem) -> None:
        if self.trace is None:
            table = self.table
            table.empty = [f"{self.asked} has no thread: {problem.reason}. Esc goes back."]
            table.refresh()

    def _rows(self) -> list[tuple[str, Cells]]:
        trace, now = self.trace, self.model.now()
        if trace is None:
            return []
        self._lines_shown = list(trace.nodes) if self._whole else focused(trace.nodes)
        drawn = zip(self._lines_shown, branches(self._lines_shown), strict=True)
        return [(key(place, node), cells(node, branch, now)) for place, (node, branch) in enumerate(drawn)]

    # -- words --------------------------------------------------------------------------------------------------

    def verdict(self) -> list[Part]:
        trace = self.trace
        if trace is None:
            return [(f"Asking for the thread of {self.asked} \u2026", "muted")]
        events = sum(node.kind == "event" for node in trace.nodes)
        runs = len({node.id for node in trace.nodes if node.kind == "run"})
        first = trace.nodes[0] if trace.nodes else None
        said: list[Part] = [
            (f"event {trace.id}" if trace.kind == "event" else trace.id, "strong"),
            f": {events} event{'s' * (events != 1)}, {runs} run{'s' * (runs != 1)}",
        ]
        if first is not None and not first.here:
            said.append(f", from {first.label}")
        open_ = sum(node.state.startswith(("running", "waiting")) for node in trace.nodes if node.kind == "run")
        if open_:
            said.append(f", {open_} still open")
        if trace.cut:
            said.append((", cut at 1,000 lines", "caution"))
        return [*said, "."]

    # -- keys ---------------------------------------------------------------------------------------------------

    def _at(self) -> int:
        return self.table.cursor

    def node(self) -> TraceNode | None:
        place = self._at()
        return self._lines_shown[place] if 0 <= place < len(self._lines_shown) else None

    def target(self) -> Target | None:
        node = self.node()
        return Target("trace", node.id, node.label) if node is not None else None

    def why_not(self, act: Act) -> Reason | None:
        node = self.node()
        if node is None:
            return Reason("nothing is under the cursor")
        if act.name == "trace.cause" and not node.level:
            return Reason("this is where the thread begins")
        if act.name == "trace.detail" and node.kind != "event":
            return Reason("a run says nothing here; Enter opens it")
        return None

    def act_console_back(self) -> None:
        if self._detail and not self.wide:
            self._detail = False
            self._place()
            self.query_one("#thread").focus()
        else:
            super().act_console_back()

    def on_line_table_moved(self, message: LineTable.Moved) -> None:
        super().on_line_table_moved(message)
        self._look()

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self.act_trace_open()

    def act_trace_open(self) -> None:
        node = self.node()
        if node is not None and node.kind == "run":
            self.console.open("run", node.id)
        elif node is not None and node.kind == MORE:
            self.act_trace_whole()
        elif node is not None:
            self.act_trace_detail()

    def act_trace_detail(self) -> None:
        self._detail = not self._detail
        self._place()
        self._look()
        self.query_one("#said" if self._detail and not self.wide else "#thread").focus()

    def act_trace_cause(self) -> None:
        node, place = self.node(), self._at()
        if node is None:
            return
        self._go(next((at for at in range(place, -1, -1) if self._lines_shown[at].level < node.level), 0))

    def act_trace_effect(self) -> None:
        node, place = self.node(), self._at()
        if node is None:
            return
        below = self._lines_shown[place + 1 : place + 2]
        if below and below[0].level > node.level:
            self._go(place + 1)
        else:
            self.say(("nothing follows from this yet", "muted"))

    def act_trace_here(self) -> None:
        self._go(next((place for place, node in enumerate(self._lines_shown) if node.here), 0))

    def act_trace_root(self) -> None:
        self._go(0)

    def _go(self, place: int) -> None:
        if self._lines_shown:
            self.table.go_to(key(place, self._lines_shown[place]))

    def act_trace_whole(self) -> None:
        node = self.node()
        self._whole = not self._whole
        table = self.table
        table.load(self._rows())
        kept = next(
            (place for place, one in enumerate(self._lines_shown) if node is not None and one.id == node.id), None
        )
        if kept is None:
            self.act_trace_here()
        else:
            self._go(kept)
        self._look()

    # -- the event under the cursor -----------------------------------------------------------------------------

    def _look(self) -> None:
        node = self.node()
        if node is None or not (self.wide or self._detail):
            return
        page = self.query_one("#said", Page)
        if node.kind == "run":
            page.show(event_views.run_page(node))
        elif node.kind == MORE:
            page.show([[(f"{node.label} lines that follow from the same cause; w shows them", "muted")]])
        elif self._event is not None and str(self._event.seq) == node.id:
            page.show(event_views.event_page(self._event, self.model.now()))
        else:
            page.show([[("Loading \u2026", "muted")]])
            path = event_views.path("/v1/cloudevents", node.id)
            self.ask(lambda: self.client.read(path, OutEvent), self._heard, group="detail", quiet=True)

    def _heard(self, event: OutEvent) -> None:
        self._event = event
        self._look()


def key(place: int, node: TraceNode) -> str:
    """A run stands in a thread more than once."""
    return f"{node.kind} {node.id} {node.how} {place if node.how == 'attached' else ''}".strip()


def cells(node: TraceNode, branch: str, now: float) -> Cells:
    """One line: where it hangs, what it is, how it stands."""
    if node.kind == MORE:
        return ([(branch, "muted"), (f"\u2026 {node.label}", "muted")], "", "")
    how = HOW.get(node.how, node.how)
    lead: list[Part] = [(branch, "muted")]
    mark = ("\u2192 ", "key") if node.here else ""
    tone = "strong" if node.here else ""
    if node.kind == "event":
        name = node.label.removeprefix("qd.")
        thing: list[Part] = [*lead, (f"{EVENT} ", "muted"), mark, ((f"{how}: " if how else "") + name, tone)]
        about: list[Part] = [node.subject]
        if left := unheard(node.fates):
            failed = any(fate.outcome == "failed" for fate in node.fates)
            about.append((f" {left}", "caution" if failed else "muted"))
        return (thing, about, (chrome.at(node.at, now), "muted"))
    word = node.state.partition(":")[0]
    glyph, alarm = GLYPH.get(word, ("", ""))
    thing = [
        *lead,
        (f"{RUN} ", "muted"),
        mark,
        ((f"{how}: " if how and how != "opened" else "") + node.id, tone or "key"),
    ]
    thing += [f" {node.label}"]
    things = f"  {made(node.records)}" if node.records else ""
    state: Part = (f"{glyph} {node.state}".strip(), alarm) if alarm else f"{glyph} {node.state}".strip()
    return (thing, [state, (things, "muted")], (chrome.at(node.at, now), "muted"))
