"""What differs between two moments of a thing. Both can be moved, event by event; nothing can be changed here."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from textual.app import ComposeResult

from engine.contract.common import Json
from engine.contract.history import Difference, DiffView, Moment
from screens import chrome, evidence, figures
from screens.acts import Act, Reason, register
from screens.base import QScreen, Target
from screens.layout import Line
from screens.model import age
from screens.widgets.parts import Part, plain
from screens.widgets.text import Page

register(
    Act("difference.a_back", "left_square_bracket", "A back", help="The earlier moment one event back", cli="qd history diff {id} A B", order=1),
    Act("difference.a_on", "right_square_bracket", "A on", help="The earlier moment one event on", cli="qd history diff {id} A B", order=2),
    Act("difference.b_back", "left_curly_bracket", "B back", help="The later moment one event back", cli="qd history diff {id} A B", order=3),
    Act("difference.b_on", "right_curly_bracket", "B on", help="The later moment one event on", cli="qd history diff {id} A B", order=4),
    Act("difference.now", "n", "B now", help="The later moment is now again", cli="qd history diff {id} A", order=5),
)  # fmt: skip

SIGN = {"changed": "~", "added": "+", "gone": "-"}


class DifferenceScreen(QScreen):
    NAME = "difference"
    TITLE_WORD = "Difference"
    ACTS = ("difference.a_back", "difference.a_on", "difference.b_back", "difference.b_on", "difference.now")
    AUTO_FOCUS = "Page"

    def __init__(self, kind: str, id: str, a: int, b: int, *, step: int = 0) -> None:
        """`a`, `b`: events, 0 is now; `step` moves the earlier one at once."""
        super().__init__()
        self.kind, self.thing = kind, id
        self._a, self._b = a, b
        self._steps = [step, 0]
        self.found: DiffView | None = None

    def body(self) -> ComposeResult:
        yield Page(id="changes")

    def on_mount(self) -> None:
        self.refetch()

    def refetch(self) -> None:
        path = f"/v1/history/{self.kind}/{quote(self.thing, safe='')}/diff"
        asked = {"a": self._a, "b": self._b, "a_step": self._steps[0], "b_step": self._steps[1]}
        self.ask(lambda: self.client.read(path, DiffView, **asked), self._got)

    def _got(self, found: DiffView) -> None:
        moved = self._steps[1] or self._b
        self.found = found
        self._a, self._steps = found.a.seq, [0, 0]
        self._b = found.b.seq if moved else 0
        self._show()

    def each_second(self) -> None:
        self._show()

    def on_resize(self) -> None:
        self._show()

    def _show(self) -> None:
        if not self.is_mounted:
            return
        page = self.query_one("#changes", Page)
        if self.found is None:
            page.show([[("Comparing \u2026" if self.trouble is None else "Esc goes back.", "muted")]])
        else:
            page.show(lines(self.found, self.model.now(), max(40, self.size.width - 4), self._b == 0))

    def verdict(self) -> list[Part]:
        found = self.found
        if found is None:
            return [(f"Two moments of {self.thing} \u2026", "muted")]
        many = f"{len(found.changes)}{'+' if found.cut else ''}"
        if not found.changes:
            said: Part = (f"Nothing differs on {found.kind} {found.id}", "strong")
        else:
            said = (f"{many} difference{'s' * (len(found.changes) != 1)} on {found.kind} {found.id}", "strong")
        return [said, f" over {figures.plural(found.events, 'event')}, {age(found.b.at - found.a.at)} apart."]

    def target(self) -> Target | None:
        return Target(self.kind, self.thing, self.thing)

    def why_not(self, act: Act) -> Reason | None:
        return Reason("the two moments are still being compared") if self.found is None else None

    def _move(self, which: int, by: int) -> None:
        self._steps[which] += by * max(1, int(getattr(self, "count", 0) or 0))
        if which:
            self._b = self._b or (self.found.b.seq if self.found is not None else 0)
        self.refetch()

    def act_difference_a_back(self) -> None:
        self._move(0, -1)

    def act_difference_a_on(self) -> None:
        self._move(0, 1)

    def act_difference_b_back(self) -> None:
        self._move(1, -1)

    def act_difference_b_on(self) -> None:
        self._move(1, 1)

    def act_difference_now(self) -> None:
        self._b, self._steps[1] = 0, 0
        self.refetch()


def lines(found: DiffView, now: float, cells: int, to_now: bool) -> list[Line]:
    """The two moments, then each difference with what stood there and what stands there. Pure."""
    out: list[Line] = [_stand("A", found.a, now), _stand("B", found.b, now, " (now)" if to_now else ""), [""]]
    if not found.changes:
        out.append([("No difference: what happened between them left this as it was.", "muted")])
    for one in found.changes:
        out += difference(one, now, cells)
    if found.cut:
        out += [
            [""],
            [(f"\u2026 more than {len(found.changes)} differences; qd history diff --json has the whole", "caution")],
        ]
    return out


def difference(one: Difference, now: float, cells: int, *, indent: int = 0) -> list[Line]:
    """`~ path  before → after`; what is too long for one line stands below itself."""
    lead: Line = [
        " " * indent,
        (f"{SIGN.get(one.word, '~')} ", "strong"),
        (one.path, "muted" if one.word == "gone" else ""),
    ]
    if lead[-1] == (one.path, ""):
        lead[-1] = one.path
    name = one.path.rpartition("\u203a")[2].strip().replace(" ", "_")
    before, after = value(name, one.before, now), value(name, one.after, now)
    if one.word == "changed":
        said: Line = ["  ", (before, "muted"), " \u2192 ", (after, "strong")]
    else:
        said = ["  ", (before, "muted") if one.word == "gone" else (after, "strong")]
    if len(plain([*lead, *said])) <= cells:
        return [[*lead, *said]]
    below = " " * (indent + 4)
    rows: list[Line] = [lead]
    if one.word in ("changed", "gone"):
        rows.append([below, (before, "muted")])
    if one.word in ("changed", "added"):
        rows.append([below, ("\u2192 " if one.word == "changed" else "") + after])
    return rows


def value(name: str, given: Json, now: float) -> str:
    """A value as evidence shows one, in one line."""
    if given is None or given == "":
        return "\u2014"
    shown: Any = evidence.scalar(name, given, now)
    return plain(shown)


def _stand(letter: str, here: Moment, now: float, more: str = "") -> Line:
    said: Line = [(f" {letter} ", "chip"), f" {chrome.at(here.at, now)}Z{more}  "]
    said.append((f"event {here.place} of {here.of}  ", "muted"))
    return [*said, f"{here.actor}: {here.text or here.type}"]
