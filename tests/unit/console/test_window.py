"""The window on 100,000 runs: pages from both ends, places that hold, news counted."""

from __future__ import annotations

import pytest

from engine.contract.runs import RunPage, RunSummary
from screens import run_filter
from screens.query import Wrong
from screens.run_window import HELD, Query, RunWindow, parse_filter


def run(number: int, version: int = 1, status: str = "running") -> RunSummary:
    return RunSummary(
        id=f"run-{number}",
        workflow="w",
        title=f"t{number}",
        status=status,
        started_at=0,
        updated_at=number,
        version=version,
    )


class World:
    """100 runs, newest first; `fetch` answers at once."""

    def __init__(self, count: int = 1000, page: int = 20) -> None:
        self.all = [run(n) for n in range(count, 0, -1)]
        self.page = page
        self.asked: list[str] = []
        self.window = RunWindow(lambda one: (one.id, one.status), self.asked.append)

    def serve(self, end: str) -> None:
        window = self.window
        order = self.all if end == "head" else self.all[::-1]
        cursor = window.head_cursor if end == "head" else window.tail_cursor
        assert cursor is not None
        start = int(cursor or 0)
        following = str(start + self.page) if start + self.page < len(order) else None
        window.take(RunPage(rows=tuple(order[start : start + self.page]), next=following, total=len(order)), end)

    def look(self, first: int, last: int) -> None:
        for _ in range(200):
            self.asked.clear()
            self.window.want(first, last)
            if not self.asked:
                return
            self.serve(self.asked[0])


def test_only_what_is_looked_at_is_loaded() -> None:
    world = World()
    world.serve("head")
    world.look(0, 20)
    assert len(world.window) == 1000
    assert len(world.window.runs) <= 120
    assert world.window.cells(500) is None


def test_the_end_is_reached_without_reading_the_middle() -> None:
    world = World()
    world.serve("head")
    world.look(980, 1000)
    assert world.window.key(999) == "run-1"
    assert world.window.key(980) == "run-20"
    assert world.window.key(500) is None
    assert world.window.place("run-1") == 999


def test_a_list_far_longer_than_what_is_held_is_read_to_its_end_and_back() -> None:
    world = World(count=30_000, page=200)
    world.serve("head")
    window = world.window
    for top in (*range(0, 30_000, 150), *range(29_900, -1, -150)):
        for _ in range(20):
            world.asked.clear()
            window.want(top, top + 40)
            if not world.asked:
                break
            end = world.asked[0]
            name = end.split(" ")[0]
            order = world.all if name == "head" else world.all[::-1]
            start = int(window.cursor(end) or 0)
            limit = window.size(end)
            following = str(start + limit) if start + limit < len(order) else None
            window.take(RunPage(rows=tuple(order[start : start + limit]), next=following, total=len(order)), end)
        assert window.key(top + 10) == f"run-{30_000 - top - 10}" or top + 10 >= 30_000
        assert len(window.runs) <= HELD + 1_000
    assert len(window) == 30_000


def test_a_list_whose_length_is_not_known_is_read_beyond_what_was_counted() -> None:
    world = World(count=1_000, page=100)
    window = world.window
    for start in range(0, 1_000, 100):
        following = str(start + 100) if start < 900 else None
        rows = tuple(world.all[start : start + 100])
        window.take(RunPage(rows=rows, next=following, total=200, total_exact=False), "head")
        assert window.joined == (following is None)
    assert len(window) == 1_000
    assert window.exact


def test_a_page_read_again_leaves_the_places_of_what_moved_on_empty() -> None:
    world = World(count=20_000, page=200)
    window = world.window
    for _ in range(40):
        window.want(len(window.runs), len(window.runs) + 40)
        world.serve("head")
        window.want(7_900, 7_940)
    assert window.key(10) is None
    world.asked.clear()
    window.want(0, 40)
    assert world.asked == ["head 0"]
    left = [one for one in world.all[:200] if one.id != "run-19995"]
    window.take(RunPage(rows=tuple(left), next="200", total=20_000), "head 0")
    assert window.key(0) == "run-20000"
    assert len({window.key(place) for place in range(200)} - {None}) == 199
    assert window.key(199) is None
    assert window.cells(199) is not None, "its place says so"


def test_both_ends_meet_without_a_gap_or_a_double() -> None:
    world = World(count=101)
    world.serve("head")
    world.look(80, 101)
    world.look(30, 70)
    assert world.window.joined
    assert [world.window.key(i) for i in range(len(world.window))] == [one.id for one in world.all]


def test_a_shown_run_changes_in_its_place_and_others_are_counted() -> None:
    world = World()
    world.serve("head")
    assert world.window.heard(run(995, 2, "failed")) == 5
    assert world.window.cells(5) == ("run-995", "failed")
    assert world.window.heard(run(2000)) is None
    assert world.window.fresh == {"run-2000"}
    assert world.window.heard(run(995, 1)) is None, "older news must not win"


def test_news_that_does_not_fit_the_filter_is_not_counted() -> None:
    world = World()
    world.window.reset(Query(status="failed"))
    world.window.heard(run(2000))
    assert not world.window.fresh


def test_a_run_that_moved_between_pages_is_listed_once() -> None:
    world = World(count=60)
    world.serve("head")
    world.all.insert(0, world.all.pop(25))
    world.look(0, 60)
    keys = [world.window.key(i) for i in range(len(world.window))]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("words", "query"),
    [
        ("failed", Query(status="failed")),
        ("open nav", Query(status="running,waiting,suspended,compensating,cancelling", text="nav")),
        ("w:staged-rollout HAM2 4.8", Query(workflow="staged-rollout", text="HAM2 4.8")),
        ("-ended", Query(status="running,waiting,suspended,compensating,cancelling")),
        ("status:fail,cancelled,cancelling -s:cancelling", Query(status="failed,cancelled")),
        ('"failed"', Query(text="failed")),
        ('"nav 4.8" waiting', Query(status="waiting", text="nav 4.8")),
        ("", Query()),
    ],
)
def test_filter_words(words: str, query: Query) -> None:
    assert parse_filter(words, "-updated") == query


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("status:wiating", "did you mean waiting?"),
        ("-nav", "can't leave them out"),
        ("-workflow:x", "by its name"),
        ("age>2h", "status:, workflow: and words"),
        ("failed -stuck", "no status is left"),
        ('"a', 'no closing "'),
    ],
)
def test_what_the_engine_cannot_look_for_is_told(words: str, reason: str) -> None:
    found = run_filter.parse(words)
    assert isinstance(found, Wrong)
    assert reason in found.reason


def test_the_other_way_round() -> None:
    assert Query(sort="-updated").reversed == "updated"
    assert Query(sort="workflow").reversed == "-workflow"
