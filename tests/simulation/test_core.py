"""Hundreds of seeded lives of one workflow on a host that crashes, with answers that get lost, come late or twice."""

from __future__ import annotations

from collections import Counter

import pytest

from engine.core import events as e
from engine.core.apply import fold
from tests.simulation.shell import Mood, Shell
from tests.unit.core.kitchen import INPUTS, PEOPLE, kitchen
from tests.unit.core.promises import check_history

MOODS = {
    "kind": Mood(fail=0.02, lose=0.0, twice=0.05, busy=0.02, crash=0.0, signal=0.0, operate=0.0, bad_sample=0.0),
    "ordinary": Mood(),
    "harsh": Mood(fail=0.25, lose=0.2, twice=0.3, busy=0.1, crash=0.12, signal=0.05, operate=0.05, bad_sample=0.3),
}


def live(seed: int, mood: str) -> Shell:
    shell = Shell(kitchen(lock=seed % 3 == 0, freeze=seed % 4 == 0), seed, MOODS[mood], PEOPLE)
    shell.play(INPUTS if seed % 2 else {**INPUTS, "loop": False})
    return shell


def check_world(shell: Shell) -> None:
    """What really happened outside, against what the record says."""
    for key, times in shell.world.sent.items():
        assert times == 1 or key in shell.resent_by_people, f"once was sent {times} times under {key}"
    scheduled = [event for event in shell.journal if isinstance(event, e.StepScheduled)]
    undo_of = {event.key: event.compensation["number"] for event in scheduled if event.compensation is not None}
    undo_key = {event.undo: event.key for event in scheduled if event.undo is not None}
    failed = {event.undo for event in shell.journal if isinstance(event, e.CompensationFailed)}
    void = {
        event.compensation["key"]
        for event in scheduled
        if event.compensation is not None and event.compensation["number"] not in undo_key
    }
    order = {key: at for at, (key, _, _) in enumerate(shell.world.order)}
    down = [event for event in shell.journal if isinstance(event, (e.CompensationStarted, e.RunRedriven))]
    if (
        shell.state.status in ("failed", "cancelled", "timed_out")
        and down
        and isinstance(down[-1], e.CompensationStarted)
    ):
        redriven_after_undo = any(isinstance(event, e.RunRedriven) for event in shell.journal)
        for key, number in undo_of.items():
            if key not in order or number in failed or redriven_after_undo:
                continue
            assert number in undo_key, f"{key} acted and was never undone ({void})"
            assert undo_key[number] in order, f"the undo of {key} never acted"
            assert order[undo_key[number]] > order[key], f"{key} acted after its own undo"


@pytest.mark.parametrize("mood", MOODS)
@pytest.mark.parametrize("block", range(5))
def test_every_life_ends_and_keeps_the_promises(mood: str, block: int) -> None:
    for seed in range(block * 40, block * 40 + 40):
        shell = live(seed, mood)
        try:
            assert not shell.state.open, f"still {shell.state.status} after {len(shell.journal)} events"
            assert fold(shell.run, shell.journal) == shell.state
            check_history(shell.definition, shell.journal)
            check_world(shell)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, mood {mood}: {error}") from error


def test_the_same_seed_lives_the_same_life() -> None:
    assert live(11, "harsh").journal == live(11, "harsh").journal


def test_the_lives_are_eventful() -> None:
    """The simulator is only as good as what it reaches."""
    ends: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    crashes = 0
    for seed in range(120):
        shell = live(seed, "harsh" if seed % 2 else "ordinary")
        ends[shell.state.status] += 1
        seen.update({type(event).__name__ for event in shell.journal})
        crashes += shell.crashes
    assert crashes > 120 and {"completed", "failed", "cancelled"} <= set(ends), ends
    needed = (
        "StepInDoubt CompensationFailed CompensationConcluded ItemFailed ObservationConcluded ResultRefused WindowHeld"
    )
    assert all(seen[name] for name in needed.split()), seen
