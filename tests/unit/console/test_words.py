"""The `:` line, durations and clocks: pure words."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from engine.contract.system import Changes, EngineStatus, FeedLine
from screens import chrome, jump
from screens.jump import Jump, Unknown
from screens.model import HISTORY, Link, Model, age, coarse
from tests.fakes import FakeClient


@pytest.mark.parametrize(
    ("line", "wish"),
    [
        ("runs failed", Jump("runs", "failed")),
        (":run 42", Jump("run", "run-42")),
        ("rollout run-9", Jump("rollout", "run-9")),
        ("gate run-42.7", Jump("gate", "run-42.7")),
        ("robot HAM2-amr-1", Jump("robot", "HAM2-amr-1")),
        ("R", Jump("runs")),
        ("exit", Jump("q")),
        ("theme day", Jump("theme", "day")),
    ],
)
def test_commands_that_are_understood(line: str, wish: Jump) -> None:
    assert jump.parse(line) == wish


@pytest.mark.parametrize(
    ("line", "part"), [("rnus", "did you mean :runs"), ("run", "needs an id"), ("", "nothing"), ("zzz", "there are")]
)
def test_commands_that_are_not_say_what_would_be(line: str, part: str) -> None:
    wish = jump.parse(line)
    assert isinstance(wish, Unknown) and part in wish.reason


def test_completion_offers_words_and_ids() -> None:
    assert jump.suggest("ro") == "rollouts"
    assert jump.suggest("theme d", ("night", "day")) == "theme day"
    assert jump.suggest("run run-4", ("run-3", "run-42")) == "run run-42"
    assert jump.suggest("zzz") == ""


@pytest.mark.parametrize(
    ("seconds", "long", "short"),
    [(0, "0s", "<1m"), (42, "42s", "<1m"), (252, "4m12s", "4m"), (11_100, "3h05m", "3h"), (187_200, "2d4h", "2d")],
)
def test_durations(seconds: float, long: str, short: str) -> None:
    assert age(seconds) == long
    assert coarse(seconds) == short


def test_the_clock_shows_utc_and_the_sites_time_with_its_zone() -> None:
    moment = 1_780_000_000.0
    assert chrome.clock(moment, "Europe/Berlin").startswith("20:26:40Z 22:26 CEST")
    assert chrome.clock(moment, "UTC") == "20:26:40Z"
    assert chrome.clock(moment, "No/Where").startswith("20:26:40Z")


async def snapshot() -> Any:
    return await FakeClient().watch()


async def test_the_model_tells_what_changed_since() -> None:
    model = Model()
    model.load(await snapshot())
    seen = model.version
    line = FeedLine(seq=10_000_000, at=1, run="run-1", type="x", actor="a", text="t")
    run = next(iter(model.runs.values()))
    model.apply(Changes(seq=10_000_000, at=1, sent=1, runs=(replace(run, version=99),), lines=(line, line)))
    delta = model.since(seen)
    assert delta is not None and delta.runs == {run.id} and delta.feed == 1
    assert model.since(model.version) is not None
    assert model.since(seen - 1) is None
    for _ in range(HISTORY + 1):
        model.apply(Changes(seq=1, at=1, sent=1))
    assert model.since(seen) is None, "too long ago: look at everything"


async def test_older_news_of_a_run_never_wins() -> None:
    model = Model()
    model.load(await snapshot())
    run = next(iter(model.runs.values()))
    model.apply(Changes(seq=1, at=1, sent=1, runs=(replace(run, version=9, title="new"),)))
    model.apply(Changes(seq=2, at=1, sent=1, runs=(replace(run, version=8, title="old"),)))
    assert model.runs[run.id].title == "new"


async def test_losing_the_link_blanks_nothing_and_stops_the_clock() -> None:
    model = Model()
    found = await snapshot()
    model.load(found)
    gates = dict(model.gates)
    model.set_link(Link.LOST, "connection refused")
    assert model.gates == gates and model.blocked()
    assert model.now() == model.now()
    model.load(found)
    assert model.blocked() == ""


async def test_a_read_only_engine_blocks_commands_with_its_reason() -> None:
    model = Model()
    found = await snapshot()
    status = replace(found.status, state="read_only", message="the disk is full: free 200 MB on /var")
    model.load(replace(found, status=status))
    assert "disk is full" in model.blocked()
    assert "read_only" in "".join(part if isinstance(part, str) else part[0] for part in chrome.link_sentence(model))


def test_the_environment_stands_in_the_header_production_in_capitals() -> None:
    model = Model()
    model.link = Link.LIVE
    model.status = EngineStatus(
        pid=1, socket="", version="", database="", uptime_s=0, state="ok", environment="production", now=0
    )
    left, _ = chrome.header(model, 80)
    assert "PRODUCTION" in "".join(part if isinstance(part, str) else part[0] for part in left)
