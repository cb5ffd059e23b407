"""Nights with a release on its way to the fleet: is it real, does the pause hold, who can go back, what did the engine lose."""

from __future__ import annotations

import os
import re
import signal
import urllib.request
from collections import Counter
from typing import Any

import msgspec
import pytest

from tests.e2e.installation import Installation
from tests.e2e.stories.conftest import Begin
from tests.e2e.stories.operator import on_call, until

pytestmark = pytest.mark.slow
SPEED = 2000.0
SLOWER = 1000.0
"""Where something has to be done while robots are being updated."""
GOING = ("notified", "downloading", "installing")


def rollout(home: Installation) -> dict[str, Any]:
    found: dict[str, Any] = home.json("rollouts", "show", "run-1")
    return found


def signed_off(home: Installation) -> None:
    """Two people have signed before anybody's night begins."""
    gate = until(
        lambda: next((g for g in home.json("gates", "ls")["rows"] if g["kind"] == "rollout_signoff"), None),
        "the sign-off",
    )
    for person in ("ana", "bo"):
        home.json("gates", "approve", gate["id"], "--as", person, "--yes")


def cut_off(home: Installation, robots: list[str], seconds: float) -> None:
    """These robots lose the network for so many simulated seconds."""
    world = msgspec.json.decode((home.home / "state" / "world.json").read_bytes())
    body = msgspec.json.encode({"token": world["control_token"], "offline": robots, "seconds": seconds})
    request = urllib.request.Request(world["control_url"], body, {"Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=10):
        pass


def truth(home: Installation) -> dict[str, Any]:
    """What really happened on the robots and at the update server."""
    world = msgspec.json.decode((home.home / "state" / "world.json").read_bytes())
    with urllib.request.urlopen(world["control_url"], timeout=10) as answer:
        found: dict[str, Any] = msgspec.json.decode(answer.read())
    return found


def test_14_an_engine_killed_in_the_middle_of_a_wave_goes_on_and_does_nothing_twice(begin: Begin) -> None:
    home = begin("stage-regression", SPEED)
    signed_off(home)
    until(lambda: rollout(home)["rollout"]["counts"]["in_progress"], "the first wave")
    with on_call(home, "ana") as me:
        me.sees(r"run-1 .*running")
        os.kill(home.json("engine", "status")["pid"], signal.SIGKILL)
        seen = me.sees(r"No engine[\s\S]*STALE|STALE[\s\S]*No engine")
        assert "run-1" in seen, "what was known stays"
        home.json("engine", "start")
        me.sees("● live")
        me.sees(r"canary [\s\S]*passed|10 %", 60)
        assert me.pressed == 0
    found = rollout(home)
    assert found["rollout"]["counts"]["unknown"] == 0, "what was sent and not answered was read back"
    canary = {robot["robot"] for robot in found["robots"] if robot["stage"] == "canary"}
    told = Counter(
        name for _, name, what in truth(home)["orders"] if name in canary and what == found["rollout"]["version"]
    )
    assert set(told) == canary and set(told.values()) == {1}, "nobody was told twice"
    assert home.json("history", "verify")["ok"] is True


def test_7_a_pause_holds_for_a_robot_when_that_robot_has_said_so(begin: Begin) -> None:
    home = begin("healthy", SLOWER)
    signed_off(home)

    def on_their_way() -> list[str]:
        stage = [one for one in rollout(home)["robots"] if one["stage"] == "canary"]
        return (
            [one["robot"] for one in stage if one["state"] != "healthy"]
            if any(one["state"] in GOING for one in stage)
            else []
        )

    with on_call(home, "ana") as me:
        cut_off(home, until(on_their_way, "robots of the first stage on their way", 120), 3 * 3600.0)
        me.press("4")
        me.sees("run-1")
        me.press("p")
        me.sees(r"run-1 +‖ paus")
        assert me.pressed == 2
        me.press("Enter")
        seen = me.sees(r"pause ack: owner yes, robots \d+/\d+, worst ~?\d+")
        done, of = map(int, re.search(r"robots (\d+)/(\d+)", seen).groups())  # type: ignore[union-attr]
        assert done < of
        me.sees(r"have not\s+answered")
        me.press("r")
        seen = me.sees("robot +serial[\\s\\S]*has not answered")
        assert not [line for line in seen.splitlines() if "has not answered" in line and "‖ paused" in line]
        assert me.pressed == 4


def test_1_a_regression_is_real_and_its_robots_go_back(begin: Begin) -> None:
    home = begin("stage-regression", SPEED)
    until(lambda: rollout(home)["rollout"]["verdict"] == "FAIL", "the verdict", 150)
    with on_call(home, "ana") as me:
        me.sees(r"stopped or[\s]+failing")
        me.press("4")
        me.sees(r"run-1 .*FAIL")
        me.press("Enter")
        seen = me.sees(r"FAIL: interventions \d+\.\dx control \[\d+\.\d \d+\.\d\], E [\d.]+ >= 20")
        assert re.search(r"executed \d+ ok \d+", seen), "the denominator stands on the screen"
        new = [one for one in rollout(home)["robots"] if one["reported"] == one["to_version"]]
        me.press("R")
        phrase = me.reads_the_phrase()
        assert re.fullmatch(rf"rollback {len(new)} (\d-sites|\S+)", phrase), phrase
        me.types_the_phrase(phrase)
        me.sees(r"(?i)✓ roll back|rolling back|rolled back")
        assert me.pressed == 4
    until(lambda: rollout(home)["rollout"]["state"] in ("rolled_back", "rollback_incomplete"), "back", 90)
    staged = {one["robot"] for one in rollout(home)["robots"] if one["stage"] in ("canary", "10 %")}
    assert set(truth(home)["touched"]) <= staged, "no control robot was touched"


def test_2_an_outage_of_telemetry_is_no_perfect_canary(begin: Begin) -> None:
    home = begin("telemetry-outage", SPEED)
    signed_off(home)
    until(lambda: rollout(home)["rollout"]["verdict"] == "INCONCLUSIVE", "the verdict", 120)
    with on_call(home, "ana") as me:
        me.sees(r"run-1 .* running canary 10/10 ok")
        me.press("Enter")
        seen = me.sees(r"INCONCLUSIVE: coverage of the stage \d+%")
        assert me.pressed == 1
        assert re.search(r"interventions +- 0/0h", seen), "no exposure is said, not taken for no interventions"
        me.press("P")  # refused on the spot, with the reason: nothing is asked of the engine
        me.sees(r"P promote: [\s\S]*no\s+verdict on missing data")
    home.run(
        "rollouts", "promote", "run-1", "--as", "ana", "--yes", "--json"
    )  # past the key: measured once more, then refused
    until(lambda: "PromotionRefused" in home.run("runs", "show", "run-1", "--json").stdout, "the refusal")
    assert rollout(home)["rollout"]["stage"] == "canary" and len(truth(home)["touched"]) == 10


def test_3_offline_canaries_are_no_part_of_the_denominator(begin: Begin) -> None:
    home = begin("offline-canaries", SPEED)
    signed_off(home)
    paused = until(
        lambda: next((r for r in [rollout(home)] if r["rollout"]["state"] == "paused"), None), "the pause", 120
    )
    with on_call(home, "ana") as me:
        seen = me.sees(r"run-1 .* paused canary \d/\d ok")
        ok, executed = map(int, re.search(r"canary (\d)/(\d) ok of 200 (\d) failed", seen).groups()[:2])  # type: ignore[union-attr]
        assert me.pressed == 0
        assert ok == 0 and 2 <= executed <= 4, "judged by those that executed; who is offline counts neither way"
        me.press("4", "Enter")
        me.sees(rf"executed {executed} ok 0 failed {executed}")
    second = sorted(r["at"] for r in paused["robots"] if r["state"] == "failed")[1]
    told = next(v for v in paused["verdicts"] if v["word"] == "FAIL")
    assert told["at"] - second <= 3600, "paused at the evaluation that follows the second failure"
