"""The tour: each step is noticed when it was done, it is left and resumed, and it stands in nobody's way."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli.demo import demo
from app.tour import STEPS, Seen
from screens.tour_strip import TourStrip
from tests.fakes import FakeClient
from tests.unit.console.conftest import Open, opened, screen_text, settled

__all__ = ["opened"]


def test_the_steps_go_through_all_seven_patterns() -> None:
    told = " ".join(step.title for step in STEPS)
    for pattern in (
        "Staged Rollout",
        "Candidate to Release",
        "Data to Training",
        "Correction Loop",
        "Maintenance",
        "Access Review",
        "Fleet Hotfix",
    ):
        assert pattern in told
    assert len({step.name for step in STEPS}) == len(STEPS)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_no_step_is_done_before_anything_happened(step: object) -> None:
    assert not step.done(Seen(screens={"watch"}, now="watch"))  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [(80, 24), (160, 45), (60, 20)])
async def test_a_tour_is_begun_followed_skipped_left_and_resumed(
    opened: Open, size: tuple[int, int], tmp_path: Path
) -> None:
    settings = tmp_path / "console.json"
    async with opened(size, settings=settings) as (console, pilot):
        console.run_line(":tour")
        await settled(pilot)
        assert "Tour 1 of" in screen_text(console)
        assert all(len(line) <= size[0] for line in screen_text(console).splitlines())
        await pilot.press("2")
        await settled(pilot)
        console._tour_look()
        await settled(pilot)
        assert "Tour 1 of" in screen_text(console)  # the strip goes along
        await pilot.press("1")
        await settled(pilot)
        console._tour_look()
        await settled(pilot)
        assert "Tour 2 of" in screen_text(console)
        await pilot.press("ctrl+t")
        await settled(pilot)
        assert "Tour 3 of" in screen_text(console)
        console.run_line(":tour off")
        await settled(pilot)
        assert "Tour " not in screen_text(console) and not console.screen.query(TourStrip)
    assert json.loads(settings.read_text())["tour"] == STEPS[2].name
    async with opened(size, settings=settings, start=":tour") as (console, pilot):
        await settled(pilot)
        assert "Tour 3 of" in screen_text(console)
        console.run_line(":tour back")
        await settled(pilot)
        assert "Tour 2 of" in screen_text(console)


async def test_a_command_that_was_taken_is_noticed_and_a_preview_is_not(opened: Open, tmp_path: Path) -> None:
    async with opened(settings=tmp_path / "console.json") as (console, pilot):
        console._tour_to(next(place for place, step in enumerate(STEPS) if step.name == "pause"))
        place = console._tour_at
        rollout = next(
            row.id for row in console.client.rollout_rows.values() if row.state not in ("paused", "completed")
        )
        await console.client.command("rollout.pause", rollout, {}, preview=True)
        console._tour_look()
        assert console._tour_at == place
        await console.client.command("rollout.pause", rollout, {})
        console._tour_look()
        assert console._tour_at == place + 1
        await settled(pilot)


async def test_the_end_is_said_and_production_has_no_tour(opened: Open, tmp_path: Path) -> None:
    async with opened(settings=tmp_path / "console.json") as (console, pilot):
        console._tour_to(len(STEPS) - 1)
        console.run_line(":tour skip")
        await settled(pilot)
        assert "all seven patterns" in screen_text(console)
        console.run_line(":tour")
        await settled(pilot)
        assert "Tour 1 of" in screen_text(console)
    async with opened(client=FakeClient(environment="production")) as (console, pilot):
        console.run_line(":tour")
        await settled(pilot)
        assert "qd demo --tour" in screen_text(console) and "Tour 1 of" not in screen_text(console)


def test_a_tour_needs_a_console() -> None:
    done = CliRunner().invoke(demo, ["--tour", "--headless"])
    assert done.exit_code == 2 and re.search(r"taken in the\s+console", done.output)
