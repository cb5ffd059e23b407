"""Looking back by keyboard: what is shown says that it is the past, follows nothing, and lets nothing be changed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from app.remembered import key
from engine.contract.gates import GateDetail
from engine.contract.history import Difference, DiffView, Looker, Moment, PastView
from screens.difference import DifferenceScreen, lines
from screens.gate import GateScreen
from screens.widgets.parts import plain
from tests.fakes import BASE, FakeClient
from tests.unit.decision_screens.conftest import At

GATE = "run-195.7"
MOMENTS = (
    Moment(seq=10, at=BASE - 7200, type="GateOpened", actor="engine", text="asks: start it?", place=1, of=3),
    Moment(seq=20, at=BASE - 3600, type="EvidenceChanged", actor="engine", text="the evidence changed", place=2, of=3),
    Moment(seq=30, at=BASE - 60, type="VoteCast", actor="dana", text="dana voted approve", place=3, of=3),
)


class Remembering(FakeClient):
    """An engine that knows how the gate was at each of its three events."""

    asked: list[dict[str, Any]]

    def __post_init__(self) -> None:
        super().__post_init__()
        self.asked = []
        self.others: tuple[Looker, ...] = ()

    def then(self, here: Moment) -> GateDetail:
        detail = self.gate_rows[GATE]
        gate = replace(detail.gate, question=f"As asked at event {here.seq}?", mine="you look at the past")
        return replace(detail, gate=gate)

    async def read(self, path: str, shape: Any, **query: Any) -> Any:
        await self._answer()
        if path.endswith("/lookers"):
            return self.others
        if not path.startswith("/v1/history/"):
            return await super().read(path, shape, **query)
        self.asked.append({"path": path, **query})
        seqs = [one.seq for one in MOMENTS]
        if path.endswith("/diff"):
            a, b = (
                MOMENTS[self.place(query[name], query.get(f"{name}_step", 0))]
                if query.get(name, 0) or query.get(f"{name}_step", 0)
                else MOMENTS[-1]
                for name in ("a", "b")
            ) if "b" in query else (MOMENTS[self.place(query["a"], 0)], MOMENTS[-1])  # fmt: skip
            changes = (Difference(path="gate \u203a seats open", word="changed", before=2, after=1),) if a != b else ()
            return DiffView(kind="gate", id=GATE, a=a, b=b, events=b.place - a.place, changes=changes)
        if query.get("type"):
            here = next(one for one in reversed(MOMENTS) if one.type == query["type"])
        else:
            here = MOMENTS[self.place(query.get("at", 0), query.get("step", 0))]
        view = msgspec.to_builtins(self.then(here))
        return PastView(kind="gate", id=GATE, here=here, first=seqs[0], last=seqs[-1], view=view)

    def place(self, at: int, step: int) -> int:
        known = [one.seq for one in MOMENTS if one.seq <= (at or 1 << 60)]
        return max(0, min(len(MOMENTS) - 1, len(known) - 1 + step))


@pytest.fixture
def client() -> Remembering:
    return Remembering()


async def test_a_step_back_says_then_and_a_step_on_from_the_newest_is_now(at: At, client: Remembering) -> None:
    async with at(f":gate {GATE}", client=client) as desk:
        await desk.press("left_square_bracket")
        assert "THEN" in desk.text and "As asked at event 20?" in desk.text and "1h00m ago" in desk.text
        await desk.press("right_square_bracket")
        assert "THEN" in desk.text and "As asked at event 30?" in desk.text
        await desk.press("right_square_bracket")
        assert "THEN" not in desk.text and "As asked at event" not in desk.text


async def test_keys_pressed_faster_than_the_line_add_up(at: At, client: Remembering) -> None:
    async with at(f":gate {GATE}", client=client) as desk:
        client.latency = 0.2
        for _ in range(2):
            await desk.pilot.press("left_square_bracket")
        for _ in range(60):
            await desk.settle()
            if "THEN" in desk.text:
                break
        assert "As asked at event 10?" in desk.text, "no key was lost"


async def test_nothing_can_be_changed_in_the_past_and_escape_is_now(at: At, client: Remembering) -> None:
    async with at(f":gate {GATE}", client=client) as desk:
        await desk.press("left_square_bracket")
        for key in ("A", "X", "a", "n", "D", "b", "u", "z"):
            await desk.press(key)
            assert not desk.asking and "nothing can be changed in the past" in " ".join(desk.text.split()), key
        assert not desk.sent()
        await desk.press("escape")
        assert isinstance(desk.console.screen, GateScreen) and "THEN" not in desk.text
        await desk.press("A")
        assert (await desk.armed()) is not None


async def test_what_happens_now_does_not_reach_into_the_past(at: At, client: Remembering) -> None:
    async with at(f":gate {GATE}", client=client) as desk:
        await desk.press("left_square_bracket")
        desk.console.screen.refetch()  # as when the feed says that the gate changed
        await desk.settle()
        assert "As asked at event 20?" in desk.text
        client.lost = True
        await desk.press("left_square_bracket")
        assert "As asked at event 20?" in desk.text, "a step that is not answered leaves one where one was"


async def test_what_they_knew_is_the_gate_at_the_newest_vote(at: At, client: Remembering) -> None:
    detail = client.gate_rows["run-198.44"]
    client.gate_rows[GATE] = replace(client.gate_rows[GATE], votes=detail.votes or client.gate_rows[GATE].votes)
    async with at(f":gate {GATE}", client=client) as desk:
        await desk.press("K")
        if client.gate_rows[GATE].votes:
            assert "As asked at event 30?" in desk.text and "dana voted approve" in desk.text
        else:
            assert "nobody has voted on it" in desk.text


async def test_two_moments_are_compared_and_both_can_be_moved(at: At, client: Remembering) -> None:
    async with at(f":gate {GATE}", client=client) as desk:
        await desk.press("left_square_bracket", "d")
        assert isinstance(desk.console.screen, DifferenceScreen)
        assert "seats open" in desk.text and "2 \u2192 1" in desk.text and "(now)" in desk.text
        await desk.press("left_square_bracket")
        assert client.asked[-1]["a_step"] == -1 and "asks: start it?" in desk.text
        await desk.press("left_curly_bracket")
        assert client.asked[-1]["b_step"] == -1 and "(now)" not in desk.text
        await desk.press("n")
        assert "(now)" in desk.text
        await desk.press("escape")
        assert "THEN" in desk.text, "back where one looked from"


async def test_a_gate_says_who_looks_and_what_changed_since_one_looked(at: At, client: Remembering) -> None:
    client.others = (Looker(person="bo", since=12.0, seen=1.0),)
    async with at(f":gate {GATE}", client=client) as desk:
        desk.console.screen.each_second()
        await desk.settle()
        assert "also looking now: bo" in desk.text
        assert "Changed since you looked last" not in desk.text, "the first look has nothing to compare with"
        await desk.press("escape")
        desk.console.open("gate", GATE)
        await desk.settle()
        assert "Changed since you looked last" not in desk.text, "nothing happened to it"
        await desk.press("escape")
        gate = client.gate_rows[GATE].gate
        desk.console.remembered._people = {client.person: {"seen": {key(gate): 15}}}
        desk.console.open("gate", GATE)
        await desk.settle()
        assert "Changed since you looked last" in desk.text and "seats open" in desk.text


def test_differences_say_what_stood_and_what_stands() -> None:
    found = DiffView(
        kind="gate",
        id=GATE,
        a=MOMENTS[0],
        b=MOMENTS[2],
        events=2,
        cut=True,
        changes=(
            Difference(path="evidence \u203a robots", word="changed", before=10, after=12),
            Difference(path="votes \u203a bo", word="added", after={"person": "bo", "answer": "approve"}),
            Difference(path="comments", word="gone", before=["[/] \x1b]0;x\x07"]),
        ),
    )
    text = "\n".join(plain(line) for line in lines(found, BASE, 80, to_now=False))
    assert "~ evidence \u203a robots  10 \u2192 12" in text
    assert "+ votes \u203a bo" in text and "- comments" in text and "more than 3 differences" in text
    assert "\x1b" not in text and "\x07" not in text
