"""Nights with a bad release in the field: who can go back, who was hurt, whose name looks like whose."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.e2e.installation import Installation
from tests.e2e.stories.conftest import Begin
from tests.e2e.stories.operator import on_call, until

pytestmark = pytest.mark.slow
SPEED = 1000.0


def incident(home: Installation, id: str) -> dict[str, Any]:
    found: dict[str, Any] = home.json("incidents", "show", id)
    return found


def held(home: Installation, robot: str) -> str:
    """The hold a robot is under."""
    hold: str = next(row["hold"] for row in home.json("fleet", "robots")["rows"] if row["id"] == robot)
    return hold


def test_4_a_bootloader_that_refuses_is_named_before_anything_moves(begin: Begin) -> None:
    home = begin("hotfix", SPEED)
    until(lambda: incident(home, "I-1")["incident"]["options"], "the options", 90)
    home.json("incidents", "take", "I-1", "--as", "ivo")
    with on_call(home, "ivo") as me:
        me.sees(r"INCIDENTS\s+! I-1 +SEV-2")
        me.press("Enter")
        seen = me.sees(r"1 rollback 4\.7\.3 +\d+/\d+.* 3 ")
        assert "waiting for a choice" in seen
        found = re.search(r"1 rollback 4\.7\.3 +(\d+)/(\d+)", seen)
        assert found is not None
        back, of = int(found[1]), int(found[2])  # a robot that was offline when the cohort was taken is not among them
        assert back + 3 == of and back >= 9
        me.press("1")
        until(lambda: incident(home, "I-1")["gate"], "the question")
        me.sees("⚑ I-1: rollback")
        me.press("R")
        seen = me.sees(rf"rollback 4\.7\.3: {back} of {of} robots[\s\S]*bootloader refuses")
        assert not incident(home, "I-1")["incident"]["waves"], "nothing has moved"
        me.press("A")
        assert me.types_the_phrase() == f"rollback {back} HAM2"
        me.sees("1 of 2 seats open")
        assert me.pressed == 5
        me.press("A")  # one person fills one seat
        me.sees(r"A approve: ")
    chosen = incident(home, "I-1")["incident"]
    options = {one["kind"]: one for one in chosen["options"]}
    blocked = {name for name, _ in options["rollback"]["blocked"]}
    assert len(options["rollback"]["covered"]) == back and len(blocked) == 3
    assert not blocked & set(options["rollback"]["covered"]), "who goes back and who can't are different robots"


def test_5_a_robot_that_touched_a_person_stays_as_it_is(begin: Begin) -> None:
    home = begin("hotfix", SPEED)
    robot = next(r["id"] for r in home.json("fleet", "robots")["rows"] if r["site"] == "LYO1" and r["online"])
    declared = home.json(
        "incidents", "declare", "a robot touched a person at dock 3", "--sev", "1", "--robot", robot, "--as", "cy"
    )["target"]
    with on_call(home, "ivo") as me:
        me.sees(rf"{declared} +SEV-1")
        me.press("9")
        me.sees(rf"{declared} +SEV-1")  # the gravest stands under the cursor
        me.press("H")
        me.sees(rf"✓ hold {robot}|{robot} is on hold\s+already")
        assert me.pressed == 2
        assert until(lambda: held(home, robot), "the hold")
        me.press("Enter")
        me.sees(r"aware: not recorded")
        me.sees(r"preserved [1-9]", 60)  # nobody asked for the evidence
    home.json("incidents", "clock", declared, "osha-injury", "--reason", "told by the site", "--as", "ivo")
    with on_call(home, "ivo") as me:
        me.press("9", "Enter")
        me.sees("clocks: (?!none)")
    hold = held(home, robot)
    asked = home.json("incidents", "release", hold, "--reason", "the site is safe", "--as", "sia")
    gate = until(
        lambda: next((g for g in home.json("gates", "ls")["rows"] if g["run"] == asked["result"]["run"]), None),
        "the question",
    )
    assert gate["seats_total"] == 2, "one person frees no robot"


def test_6_names_that_look_alike_are_told_apart_by_their_plates(begin: Begin) -> None:
    home = begin("hotfix", SPEED)
    rows = {row["id"]: row for row in home.json("fleet", "robots")["rows"]}
    one = next(name for name, row in rows.items() if row["lookalike"] and row["site"] == "HAM5" and not row["hold"])
    other = rows[one]["lookalike"]
    with on_call(home, "ana") as me:
        me.press(":")
        me.type(f"robot {one}")
        me.press("Enter")
        seen = me.sees(rf"{one} +…?\S*{rows[one]['serial'][-4:]}")
        assert "≈" in seen, "that another is called nearly so is said in its row"
        me.press("H")
        me.sees(rf"✓ hold [^\n]*{rows[one]['serial'][-4:]}")
        assert me.pressed == 4
    until(lambda: held(home, one), "the hold")
    assert not held(home, other)
