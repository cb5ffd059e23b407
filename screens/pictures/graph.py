"""A run as the graph of its definition: what was taken, what can still come, what can't, and where it stands now.

Steps stand in one column in the definition's order. Rows without a gap between them follow one another; every other way
is a lane at the left (`screens.pictures.lanes`), or, where it ends the run, words. Pure: a `RunDetail`, a time and a zoom
in; rows out, keyed by step, so that a table can hold them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.contract.runs import GraphNode, RunDetail, StepView
from screens import run_views
from screens.pictures import lanes
from screens.pictures.lanes import GONE, OPEN, TAKEN, Lanes, Way, joined, stroke
from screens.widgets.parts import Part, fit, width
from screens.widgets.rows import Cells, Wide

ZOOMS = ("taken", "main ways", "everything")
"""What is shown: the steps taken and what comes next; what the plain ways reach; every step and every way."""
LANES = 8
MARGIN = " "
"""A table begins its columns one cell in; a row over all columns does not."""
ONWARD = {"gate": "approve", "observe": "pass"}
"""What the plain way on is called where "then" would say too little."""


@dataclass(frozen=True, slots=True)
class Edge:
    label: str
    target: str
    weight: int

    @property
    def ends(self) -> bool:
        """It leads out of the graph: an error raised, the end."""
        return self.target in ("done", "fail") or self.target.startswith("raise ")

    @property
    def plain(self) -> bool:
        return not self.label.startswith(("error ", "on ", "timeout")) and self.label != "reject" and not self.ends


@dataclass(slots=True)
class _Row:
    """A step, or one way out of it. `stem`: whether the line from the step goes on below this row."""

    node: GraphNode
    key: str
    edge: Edge | None = None
    words: list[Part] = field(default_factory=list)
    stem: bool = False
    gap: bool = False


class Picture:
    """Everything worked out once for a run: which edges were taken, what is still ahead."""

    def __init__(self, detail: RunDetail, now: float) -> None:
        self.detail, self.now = detail, now
        self.nodes = {node.id: node for node in detail.graph}
        self.seen = run_views.visits(detail)
        self.ahead = run_views.reachable(detail, self.seen)
        self.active = [id for id, steps in self.seen.items() if any(step.ended_at is None for step in steps)]
        self.edges: dict[str, list[Edge]] = {
            node.id: [Edge(label, target, self._weight(node, label, target)) for label, target in node.edges]
            for node in detail.graph
        }

    def _weight(self, node: GraphNode, label: str, target: str) -> int:
        steps = self.seen.get(node.id, [])
        if target in run_views.taken(node, steps, self.seen, self.detail):
            return TAKEN
        if label == "each" and steps and self.seen.get(target):
            return TAKEN
        return OPEN if node.id in self.ahead or not self.detail.steps else GONE

    def depth(self, node: GraphNode) -> int:
        depth, parent = 0, node.parent
        while parent and parent in self.nodes and depth < 6:
            depth, parent = depth + 1, self.nodes[parent].parent
        return depth + (1 if node.parent and node.parent not in self.nodes else 0)

    def shown(self, zoom: int) -> list[GraphNode]:
        """The steps of a zoom, in the definition's order."""
        if zoom >= 2 or not self.detail.graph:
            return list(self.detail.graph)
        wanted = {id for id in self.seen if id in self.nodes}
        if zoom == 0 and wanted:
            for id in self.active:
                wanted |= {edge.target for edge in self.edges.get(id, ()) if edge.plain and edge.target in self.nodes}
            return [node for node in self.detail.graph if node.id in wanted]
        todo = [self.detail.graph[0].id, *wanted]
        found: set[str] = set()
        while todo:
            id = todo.pop()
            if id not in found and id in self.nodes:
                found.add(id)
                todo += [edge.target for edge in self.edges[id] if edge.plain]
        return [node for node in self.detail.graph if node.id in found]


def rows(
    detail: RunDetail, now: float, *, zoom: int = 1, room: int = LANES, picture: Picture | None = None
) -> list[tuple[str, Cells]]:
    """The graph as rows of a table: (step, kind, began and took, state). `room`: lanes there is room for.

    A step's row has the step's id as its key; ways and gaps can't be selected.
    """
    one = picture or Picture(detail, now)
    plan = _plan(one, zoom)
    places = {row.node.id: n for n, row in enumerate(plan) if row.edge is None and not row.gap}
    ways = [
        Way(n, places[row.edge.target], row.edge.weight)
        for n, row in enumerate(plan)
        if row.edge is not None and not row.words and row.edge.target in places
    ]
    drawn = Lanes(ways, room)
    for way in drawn.left:
        row = plan[way.source]
        row.words = _in_words(one, row.edge) if row.edge is not None else []
    out: list[tuple[str, Cells]] = []
    for n, row in enumerate(plan):
        lead = _lead(one, drawn, n, row)
        if row.gap or row.edge is not None:
            out.append((row.key, Wide([MARGIN, *lead, *_way_words(row)])))
        else:
            out.append((row.node.id, _step_cells(one, row.node, lead)))
    return out


def lines(detail: RunDetail, now: float, cells: int, *, zoom: int = 1) -> list[list[Part]]:
    """The same as text of at most `cells`: for the command line and for pages."""
    table = rows(detail, now, zoom=zoom, room=max(2, min(LANES, cells // 10)))
    names = [row for _, row in table if not isinstance(row, Wide)]
    first = min(max((width(row[0]) for row in names), default=8), max(20, cells // 2))
    kind = max((width(row[1]) for row in names), default=6)
    began = max((width(row[2]) for row in names), default=0)
    out: list[list[Part]] = []
    for _, row in table:
        line: list[Part] = []
        if isinstance(row, Wide):
            line = list(fit(list(row.parts)[1:], cells))
        else:
            rest = max(0, cells - first - kind - began - 6)
            for cell, size in ((row[0], first), (row[1], kind), (row[2], began), (row[3], rest)):
                line += [*fit(cell, size), "  "]
        out.append(_trimmed(line))
    return out


def _plan(one: Picture, zoom: int) -> list[_Row]:
    """Rows from top to bottom: each step, its ways that are worth a row, and a gap where nothing leads straight on."""
    order = one.shown(zoom)
    here = {node.id for node in order}
    plan: list[_Row] = []
    for n, node in enumerate(order):
        below = order[n + 1].id if n + 1 < len(order) else ""
        plan.append(_Row(node, node.id))
        straight = any(
            edge.target == below and (edge.weight == TAKEN or not edge.label or len(one.edges[node.id]) == 1)
            for edge in one.edges[node.id]
        )
        found = _ways(one, node, here, below, zoom)
        for place, row in enumerate(found):
            row.stem = place + 1 < len(found) or straight
        plan[-1].stem = bool(found) or straight
        plan += found
        if below and not straight:
            parent = order[n + 1].parent
            apart = parent != node.parent and parent not in one.nodes  # what the definition does when it fails
            plan.append(
                _Row(node, f"{node.id} gap", words=[(parent.replace("_", " "), "muted")] if apart else [], gap=True)
            )
    return plan


def _ways(one: Picture, node: GraphNode, here: set[str], below: str, zoom: int) -> list[_Row]:
    """The ways out of a step that get a row of their own; those that only end the run share one."""
    out: list[_Row] = []
    ends: list[str] = []
    steps = one.seen.get(node.id, [])
    live = node.id in one.active
    single = len([edge for edge in one.edges[node.id] if not edge.ends]) == 1
    for place, edge in enumerate(one.edges[node.id]):
        key = f"{node.id} {place} way"
        if edge.target == below and (not edge.label or (single and edge.weight == TAKEN)):
            continue  # straight on: the rows stand together
        if edge.target == below:
            out.append(_Row(node, key, edge, _said(edge)))
        elif edge.target in here:
            if zoom == 0 and edge.weight != TAKEN and not live:
                continue
            out.append(_Row(node, key, edge))
        elif edge.ends:
            if edge.weight == TAKEN and edge.target != "done":
                out.append(_Row(node, key, edge, _in_words(one, edge)))
            elif (zoom >= 2 or live) and edge.target != "done":
                ends.append(edge.label.removeprefix("error ") or edge.target)
        elif edge.weight == TAKEN:
            out.append(_Row(node, key, edge, _in_words(one, edge)))
    if ends:
        dead = bool(steps) and not live
        word = "did not end it: " if dead else "can end it: "
        gone = Edge("", "fail", GONE if dead else OPEN)
        out.append(_Row(node, f"{node.id} ends", gone, [(word + ", ".join(dict.fromkeys(ends)), "muted")]))
    return out


def _fate(edge: Edge) -> Part:
    return (" taken", "strong") if edge.weight == TAKEN else (" not taken", "muted") if edge.weight == GONE else ""


def _in_words(one: Picture, edge: Edge) -> list[Part]:
    """A way without a lane: `─▷ reject: raise Rejected`."""
    name = one.nodes[edge.target].name if edge.target in one.nodes else edge.target
    said = f"{edge.label} {lanes.HEADS[edge.weight]} {name}".strip()
    return [(said, "muted") if edge.weight == GONE else said, _fate(edge)]


def _lead(one: Picture, drawn: Lanes, n: int, row: _Row) -> list[Part]:
    """Everything left of a row's words: lanes, indentation, what joins them to the step, and the stem."""
    pad = 2 * one.depth(row.node)
    cells = drawn.line(n) if drawn.count else []
    arrives, leaves = drawn.arrives(n), drawn.leaves(n)
    if row.gap:
        return joined([*cells, (" " * (pad + 1), "")])
    if row.edge is None:
        if arrives:
            tone = lanes.TONES[arrives]
            run = stroke(lanes.LEFT | lanes.RIGHT, arrives) * pad
            return joined([*cells, (run + lanes.HEADS[arrives], tone)])
        return joined([*cells, (" " * (pad + 1), "")])
    weight = row.edge.weight
    if leaves and not row.words:
        run = stroke(lanes.LEFT | lanes.RIGHT, leaves) * (pad + 1)
        bits = lanes.UP | lanes.LEFT | (lanes.DOWN if row.stem else 0)
        return joined([*cells, (run + stroke(bits, leaves), lanes.TONES[leaves]), (" ", "")])
    bits = lanes.UP | lanes.RIGHT | (lanes.DOWN if row.stem else 0)
    return joined([*cells, (" " * (pad + 1), ""), (stroke(bits, weight), lanes.TONES[weight]), (" ", "")])


def _way_words(row: _Row) -> list[Part]:
    if row.edge is None or row.words:
        return row.words
    return _said(row.edge, ONWARD.get(row.node.kind, "then"))


def _said(edge: Edge, onward: str = "") -> list[Part]:
    """A way's label, and whether it was taken. A way for when things go wrong has a colour once it was taken."""
    if edge.weight == GONE:
        return [(edge.label or onward, "muted"), _fate(edge)]
    bad = edge.weight == TAKEN and not edge.plain
    return [(edge.label or onward, "caution") if bad else edge.label or onward, _fate(edge)]


def _step_cells(one: Picture, node: GraphNode, lead: list[Part]) -> Cells:
    """A step's row: glyph and name behind the lanes, then what `run_views` says of it."""
    name, kind, began, notes = run_views.node_cells(node, one.seen.get(node.id, []), _ahead(one, node), one.now)
    return ([*lead, *_parts(name)], kind, began, notes)


def _ahead(one: Picture, node: GraphNode) -> bool:
    return node.id in one.ahead or not one.detail.steps


def _parts(cell: object) -> list[Part]:
    return list(cell) if isinstance(cell, list) else [cell]  # type: ignore[list-item]


def _trimmed(line: list[Part]) -> list[Part]:
    while line and not (line[-1] if isinstance(line[-1], str) else line[-1][0]).strip():
        line.pop()
    return line


def counts(picture: Picture, zoom: int) -> str:
    """`12 of 57 steps`: what the zoom leaves out is said."""
    shown, every = len(picture.shown(zoom)), len(picture.detail.graph)
    return f"{shown} of {every} steps" if shown < every else f"{every} steps"


def under_way(steps: dict[str, list[StepView]]) -> str:
    """The step that began last and has not ended; empty when none is under way."""
    live = [
        (step.started_at or 0.0, step.path.count("."), step.fence, id)
        for id, visits in steps.items()
        for step in visits
        if step.ended_at is None
    ]  # of those that began together the innermost: a map begins with its first step
    return max(live)[3] if live else ""
