"""Rollouts, one rollout, and the fleet, by keyboard."""

from __future__ import annotations

import pytest

from screens.fleet import FleetScreen
from screens.rollout import RolloutScreen
from tests.fakes import FakeClient
from tests.unit.decision_screens.conftest import At


async def test_decisions_stand_first_in_the_list(at: At) -> None:
    async with at(":rollouts", size=(160, 30)) as desk:
        text = desk.text
        assert "8 of 11 not finished" in text and "4 FAIL" in text and "1 inconclusive" in text
        assert text.index("run-192") < text.index("run-195") < text.index("run-193") < text.index("run-191")
        await desk.press("enter")
        assert isinstance(desk.console.screen, RolloutScreen)


async def test_pause_from_the_list_acts_at_once(at: At) -> None:
    async with at(":rollouts", client=FakeClient()) as desk:
        await desk.write("/run-194")
        await desk.press("enter", "p")
        assert [(one.verb, one.target) for one in desk.sent()] == [("rollout.pause", "run-194")]


async def test_a_finished_rollout_cannot_be_paused(at: At) -> None:
    async with at(":rollouts") as desk:
        await desk.press("G", "p")
        assert not desk.sent() and "this rollout is" in desk.text


async def test_pause_and_hold_are_one_key(at: At) -> None:
    for key, verb in (("p", "rollout.pause"), ("H", "rollout.hold")):
        async with at(":rollout 194") as desk:
            await desk.press(key)
            assert not desk.asking
            assert [(one.verb, one.target) for one in desk.sent()] == [(verb, "run-194")]


@pytest.mark.parametrize(
    ("rollout", "reason"),
    [
        ("193", "verdict is INCONCLUSIVE: coverage 12 %, 90 % needed"),
        ("192", "verdict is FAIL"),
        ("191", "rollout is completed"),
    ],
)
async def test_promote_is_closed_with_its_reason(at: At, rollout: str, reason: str) -> None:
    async with at(f":rollout {rollout}") as desk:
        await desk.press("P")
        assert not desk.asking and not desk.client.commands
        assert reason in " ".join(desk.text.split())


async def test_promote_wants_its_phrase(at: At) -> None:
    async with at(":rollout 194") as desk:
        await desk.press("P")
        await desk.armed()
        assert "+12 robots" in desk.text
        await desk.write("promote 12 EU-AMR")
        await desk.press("enter")
        assert [one.args["phrase"] for one in desk.sent("rollout.promote")] == ["promote 12 EU-AMR"]


async def test_blocked_robots_are_named_before_the_phrase(at: At) -> None:
    async with at(":rollout 198") as desk:
        assert "11 feasible, 3 blocked" in desk.text
        await desk.press("R")
        await desk.armed()
        assert desk.text.count("bootloader refuses") == 3


async def test_soak_longer_asks_for_hours(at: At) -> None:
    async with at(":rollout 194") as desk:
        await desk.press("plus")
        dialog = await desk.armed()
        dialog.field("hours").value = "12"
        await desk.press("tab", "tab", "tab", "enter")
        assert desk.sent("rollout.extend")[0].args["hours"] == 12


async def test_views_and_the_way_back(at: At) -> None:
    async with at(":rollout 192") as desk:
        for key, words in (
            ("r", "first error"),
            ("W", "Why ✗ FAIL"),
            ("v", "failed/executed"),
            ("i", "can go back"),
            ("m", "per 100 robot-h"),
        ):
            await desk.press(key)
            assert words in desk.text, key
            await desk.press(key)
            assert "executed 9" in desk.text, key
        await desk.press("W", "escape")
        assert "executed 9" in desk.text
        await desk.press("left_parenthesis")
        assert "[lab 3]" in desk.text
        await desk.press("escape")
        assert "[lab 3]" not in desk.text
        await desk.press("escape")
        assert not isinstance(desk.console.screen, RolloutScreen)


async def test_its_gate_and_its_run_are_a_key_away(at: At) -> None:
    async with at(":rollout 194") as desk:
        await desk.press("e")
        assert "STAGE PROMOTION" in desk.text
        await desk.press("escape", "t")
        assert desk.console.screen.NAME == "run"
    async with at(":rollout 192") as desk:
        await desk.press("e")
        assert "no question about this rollout is open" in desk.text


async def test_robots_can_be_filtered_and_opened(at: At) -> None:
    async with at(":rollout 192") as desk:
        await desk.press("r")
        await desk.press("enter")
        assert isinstance(desk.console.screen, FleetScreen)


async def test_a_moving_rollout_is_followed(at: At) -> None:
    async with at(":rollout 194") as desk:
        assert "running" in desk.text
        await desk.press("p")
        await desk.settle(1.3)
        assert "pause requested" in desk.text


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
@pytest.mark.parametrize("number", [192, 193, 195, 197, 198, 199, 190])
async def test_every_state_fits(at: At, size: tuple[int, int], number: int) -> None:
    async with at(f":rollout {number}", size=size, client=FakeClient(hostile=number == 193)) as desk:
        lines = desk.text.splitlines()
        assert len(lines) == size[1] and f"run-{number}" in desk.text
        assert all(character.isprintable() for line in lines for character in line)


async def test_a_wide_screen_shows_plots_beside(at: At) -> None:
    async with at(":rollout 192", size=(160, 45)) as desk:
        for words in ("interventions per 100 robot-h", "alarm at 20", "Why ✗ FAIL", "1 robot failed"):
            assert words in desk.text


async def test_without_rollouts_it_says_how_to_start(at: At) -> None:
    async with at(":rollouts", client=FakeClient(empty=True)) as desk:
        assert "qd rollouts start" in desk.text


async def test_an_unknown_rollout_says_so(at: At) -> None:
    async with at(":rollout 7") as desk:
        assert "no rollout run-7" in desk.text
        await desk.press("R")
        assert not desk.asking


async def test_the_fleet_lists_details_and_cohorts(at: At) -> None:
    async with at(":fleet") as desk:
        assert "200 robots: 190 on nav 4.8.0" in desk.text and "6 drift" in desk.text
        await desk.press("enter")
        assert "ROBOT " in desk.text and "serial" in desk.text
        await desk.press("escape", "o")
        assert "EU-AMR" in desk.text
        await desk.press("enter")
        assert "Strata" in desk.text and "robots that join later are not in it" in desk.text
        await desk.press("escape", "escape")
        assert "200 robots" in desk.text


async def test_only_odd_robots(at: At) -> None:
    async with at(":fleet", size=(160, 45)) as desk:
        await desk.press("x")
        table = desk.console.screen.query_one("#robots")
        assert 0 < len(table.rows) < 200  # type: ignore[attr-defined]
        await desk.press("x")
        assert len(table.rows) == 200  # type: ignore[attr-defined]


async def test_a_filter_narrows_the_fleet(at: At) -> None:
    async with at(":fleet SERVICE") as desk:
        lines = [line for line in desk.text.splitlines() if "-AMR-" in line]
        assert lines and all("SERVICE" in line for line in lines)


async def test_the_rollout_of_a_robot(at: At) -> None:
    async with at(":fleet") as desk:
        await desk.press("r")
        assert "ROLLOUT run-192" in desk.text


async def test_no_robots_says_where_they_come_from(at: At) -> None:
    async with at(":fleet", client=FakeClient(empty=True)) as desk:
        assert "qd doctor" in desk.text


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_hostile_robots_are_inert(at: At, size: tuple[int, int]) -> None:
    async with at(":fleet", size=size, client=FakeClient(hostile=True)) as desk:
        await desk.press("enter")
        assert all(character.isprintable() for line in desk.text.splitlines() for character in line)


async def test_slow_answers_show_that_they_are_awaited(at: At) -> None:
    client = FakeClient()
    async with at(":gates", client=client) as desk:
        client.latency = 5
        desk.console.open("rollout", "run-192")
        await desk.pilot.pause(0.2)
        assert "Loading the rollout" in desk.text
        await desk.press("P")
        assert "still loading" in desk.text
        client.latency = 0


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_what_the_update_server_can_not_do_is_there_before_a_key_is_pressed(
    at: At, size: tuple[int, int]
) -> None:
    async with at(":rollout 194", size=size) as desk:
        text = " ".join(desk.text.split())
        assert "if paused: its own pause downgrades robots" in text
        assert "gooseBit has limits: stop, failure rule, health W says which" in text
        await desk.press("W")
        text = " ".join(desk.text.split())
        assert "What gooseBit can't do" in text and "an install that has begun can't be stopped" in text
