"""The command line of incidents: what it is about is the first word, everywhere."""

from __future__ import annotations

import click
import pytest

from app.cli.incidents import incidents
from engine.capabilities import subjects

ABOUT = ("incident", "follow-up", "follow_up", "hold", "robot", "title")


@pytest.mark.parametrize("name", sorted(incidents.commands))
def test_the_target_is_the_first_word(name: str) -> None:
    words = [one.name for one in incidents.commands[name].params if isinstance(one, click.Argument)]
    assert not words or words[0] in ABOUT, f"qd incidents {name} {' '.join(map(str, words))}"


def test_every_verb_of_the_desk_has_its_command() -> None:
    told = {one for one in subjects.verbs() if one.startswith(("incident.", "hold.", "followup."))}
    twins = {
        "hold.place": "hold", "hold.release": "release", "followup.file": "file", "followup.waive": "waive", "incident.breakglass": "break-glass",
    }  # fmt: skip
    lacking = {verb for verb in told if twins.get(verb, verb.partition(".")[2]) not in incidents.commands}
    assert lacking <= {"followup.done"}
