"""Being told of changes: `w` on anything with an id puts it on one's watch list, `w` again takes it off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.contract.client import EngineUnreachable, Refused
from screens.places import ONE

if TYPE_CHECKING:
    from screens.base import QScreen, Target

KINDS = ("run", "rollout", "gate", "robot")
"""Nouns that are no kind of record."""


def kind_of(noun: str) -> str:
    """What the engine calls this kind of thing; empty where the id alone tells."""
    if noun in KINDS:
        return noun
    thing = ONE.get(noun)
    return thing.record if thing is not None else noun if noun in {one.record for one in ONE.values()} else ""


def toggle(screen: QScreen) -> None:
    """Watch what keys act on now, or watch it no longer."""
    target, blocked = screen.target(), screen.model.blocked()
    if target is None or not target.id:
        screen.say(("nothing under the cursor to watch", "muted"))
    elif blocked:
        screen.say(("w watch: ", "strong"), (blocked, "caution"))
    else:
        screen.run_worker(_turn(screen, target), group="watching", exclusive=True, exit_on_error=False)


async def _turn(screen: QScreen, target: Target) -> None:
    asked = {"thing": target.id, "kind": kind_of(target.kind)}
    try:
        try:
            await screen.client.command("watch.add", "", asked)
            screen.say(
                ("\u2713 watched ", "strong"),
                target.id,
                ("  you are told when it changes; w again: no longer", "muted"),
            )
        except Refused as refused:
            if refused.problem.code != "already":
                raise
            await screen.client.command("watch.remove", "", {"thing": target.id})
            screen.say(("\u2713 watched no longer ", "strong"), target.id)
    except Refused as refused:
        screen.say(("watch refused: ", "caution"), refused.problem.reason, seconds=12)
    except EngineUnreachable as error:
        screen.say((f"watch: no answer ({error})", "caution"))
