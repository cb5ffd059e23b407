"""Nights with somebody abroad who wants to look, or to have a hand on a robot."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.installation import Installation
from tests.e2e.stories.conftest import Begin
from tests.e2e.stories.operator import on_call, until

pytestmark = pytest.mark.slow
SPEED = 60.0


def request(home: Installation, id: str) -> dict[str, Any]:
    found: dict[str, Any] = home.json("access", "show", id)["request"]
    return found


def gate_of(home: Installation, run: str) -> dict[str, Any]:
    found: dict[str, Any] = until(
        lambda: next((one for one in home.json("gates", "ls")["rows"] if one["run"] == run), None),
        f"the question of {run}",
    )
    return found


def test_12_a_vendor_abroad_is_offered_what_intrudes_less(begin: Begin) -> None:
    home = begin("access-review", SPEED)
    until(lambda: request(home, "Q-1")["state"] == "evaluated", "the rules")
    with on_call(home, "dirk") as me:
        me.press("F2")
        me.sees(r"Q-1 +▸ evaluated +DIRECT DRIVE olga")
        me.press("m")
        me.sees(r"Offer less for Q-1[\s\S]*ASSIST mode[\s\S]*OBSERVE")
        me.press("C-s")
        me.sees("Offer less for Q-1", gone=True)
        assert me.pressed == 3
        until(lambda: request(home, "Q-1")["offered"] == "assist", "the offer")
        me.press("Enter")
        me.sees("Q-1 ")
        me.press("e")
        me.sees("Rules, in the order they are asked")
    rules = {rule["rule"]: rule for rule in request(home, "Q-1")["evaluation"]["trace"]}
    assert "viewing from us is a transfer" in rules["TRF-02"]["says"]
    assert not home.json("access", "ls")["grants"], "nothing was granted"


def test_13_who_wants_a_hand_on_the_robot_is_not_who_stands_beside_it(begin: Begin) -> None:
    home = begin("access-review", SPEED)
    if request(home, "Q-1")["offered"]:
        home.json("access", "answer", "Q-1", "--decline", "--as", "olga")
    run = request(home, "Q-1")["run"]
    for person in ("dirk", "sia", "pia"):
        home.json("gates", "approve", gate_of(home, run)["id"], "--as", person, "--yes")
    until(lambda: request(home, "Q-1")["state"] == "held", "approved, and held")
    with on_call(home, "olga") as me:
        me.press("F2", "j", "Enter")
        me.sees(r"(?i)Q-1 [\s\S]*held")
        me.sees(r"TEL-07 +[\s\S]*on-site acknowledgement: MISSING")
        before = me.pressed
        me.press("a")
        me.sees(r"a on site: ")
        assert me.pressed - before == 1
    assert request(home, "Q-1")["state"] == "held"
    found = home.json("access", "show", "Q-1")
    assert not found.get("grant"), "without somebody on site nothing starts"
