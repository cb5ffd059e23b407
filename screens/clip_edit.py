"""Setting the phases of a clip by keys: an edge moves a tenth of a second, a phase begins where the cursor stands. Pure.

Spans are in seconds from the takeover, in order and without gaps; whatever is pressed, they stay so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.contract.corrections import Span

STEP = 0.1
NEAR = 0.051
EPS = 1e-6


@dataclass(frozen=True, slots=True)
class Edits:
    """One person's phases, before they are sent. `base` is what the machine showed, to say how far an edge was moved."""

    spans: tuple[Span, ...]
    base: tuple[Span, ...] = ()
    cursor: float = 0.0

    @property
    def changed(self) -> bool:
        return self.spans != self.base

    @property
    def start(self) -> float:
        return self.spans[0].t0 if self.spans else 0.0

    @property
    def end(self) -> float:
        return self.spans[-1].t1 if self.spans else 0.0

    def at(self, cursor: float) -> Edits:
        """With the cursor there, held inside the clip, on a tenth of a second."""
        held = min(max(cursor, self.start), self.end)
        return Edits(self.spans, self.base, round(round(held / STEP) * STEP, 3))

    def phase(self) -> str:
        """The phase under the cursor."""
        place = self._under()
        return self.spans[place].phase if place is not None else ""

    def begin(self, phase: str) -> Edits:
        """The phase begins at the cursor and lasts to the next edge; at an edge it takes the whole span."""
        place = self._under()
        if place is None:
            return self
        span = self.spans[place]
        fresh = list(self.spans)
        if self.cursor - span.t0 <= NEAR:
            fresh[place] = Span(t0=span.t0, t1=span.t1, phase=phase)
        else:
            fresh[place : place + 1] = [
                Span(t0=span.t0, t1=self.cursor, phase=span.phase),
                Span(t0=self.cursor, t1=span.t1, phase=phase),
            ]
        return Edits(joined(fresh), self.base, self.cursor)

    def edge(self) -> int | None:
        """The edge nearest to the cursor: the place of the span that begins there."""
        places = range(1, len(self.spans))
        return min(places, key=lambda i: abs(self.spans[i].t0 - self.cursor), default=None)

    def move(self, by: float) -> Edits:
        """Moves that edge, as far as its neighbours let it; the cursor goes with it."""
        place = self.edge()
        if place is None:
            return self
        before, after = self.spans[place - 1], self.spans[place]
        to = round(min(max(after.t0 + by, before.t0 + STEP), after.t1 - STEP), 3)
        fresh = list(self.spans)
        fresh[place - 1] = Span(t0=before.t0, t1=to, phase=before.phase)
        fresh[place] = Span(t0=to, t1=after.t1, phase=after.phase)
        return Edits(tuple(fresh), self.base, to)

    def jump(self, way: int) -> Edits:
        """The cursor on the next edge, or the one before."""
        edges = [span.t0 for span in self.spans[1:]]
        if way > 0:
            return self.at(next((edge for edge in edges if edge > self.cursor + EPS), self.end))
        return self.at(next((edge for edge in reversed(edges) if edge < self.cursor - EPS), self.start))

    def moved(self) -> list[tuple[str, float]]:
        """Edges that stand elsewhere than shown: phase and seconds. Phases that are new or gone are not in it."""
        shown = {span.phase: span.t0 for span in reversed(self.base)}
        mine = {span.phase: span.t0 for span in reversed(self.spans)}
        found = [(phase, mine[phase] - shown[phase]) for phase in mine if phase in shown]
        return [(phase, by) for phase, by in found if abs(by) > EPS]

    def _under(self) -> int | None:
        for place, span in enumerate(self.spans):
            if span.t0 - EPS <= self.cursor < span.t1 - EPS:
                return place
        return len(self.spans) - 1 if self.spans else None


def joined(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Neighbours of one phase made one; nothing empty."""
    out: list[Span] = []
    for span in spans:
        if span.t1 - span.t0 <= EPS:
            continue
        if out and out[-1].phase == span.phase:
            out[-1] = Span(t0=out[-1].t0, t1=span.t1, phase=span.phase)
        else:
            out.append(span)
    return tuple(out)
