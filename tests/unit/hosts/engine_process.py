"""An engine as a process of its own, to be killed: `python engine_process.py FOLDER COMMANDS`.

It works through an owner of effects that outlives it: a folder with one file per idempotency key, made with O_EXCL, so
that an effect done twice under one key is the owner's no-op and one done under two keys shows. It says each
acknowledged run on its standard output.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path
from typing import Any

from engine.capabilities.ports import Action
from engine.core.definition import Definition, Map, Retry, Step, Wait
from engine.hosts.embedded import Host
from engine.hosts.settings import Config
from engine.language import Expressions
from engine.store.records import Actor

ACTOR = Actor(kind="person", id="ana", via="script")


def definition() -> Definition:
    retry = Retry(attempts=50, first=0.01, cap=0.02)
    steps = (
        Step(
            id="first",
            kind="action",
            action="write",
            effect="once",
            key="run.id + '/first'",
            reads_back=True,
            retry=retry,
            next="all",
        ),
        Step(id="all", kind="map", map=Map(over=[1, 2, 3], start="all.each", parallel=2, as_="n"), next="rest"),
        Step(id="all.each", kind="action", action="write", retry=retry),
        Step(id="rest", kind="wait", wait=Wait(for_=0.05), next="last"),
        Step(id="last", kind="action", action="write", retry=retry),
    )
    return Definition(workflow="work", version=1, steps={step.id: step for step in steps}, start="first")


def owner(folder: Path) -> Action:
    async def write(context: Any, values: dict[str, Any]) -> Any:
        target = folder / "effects" / context.key.replace("/", "_")
        if context.in_doubt and target.exists():
            return {"read": "back"}
        try:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            if not (context.recovered or context.in_doubt or context.attempt > 1):
                (folder / "doubled").write_text(context.key)
        await asyncio.sleep(random.random() * 0.02)
        return {"key": context.key}

    return Action(name="write", run=write, reads_back=True)


async def serve(folder: Path, start: int) -> None:
    host = await Host.open(
        Config(
            database=folder / "quarterdeck.db", actions={"write": owner(folder)}, evaluator=Expressions(), horizon_s=0.5
        )
    )
    print("open", flush=True)
    await host.register_definition(definition(), id="register", actor=ACTOR)
    number = 0
    while number < start:
        answer = await host.start_run("work", {}, id=f"{os.getpid()}-{number}", actor=ACTOR)
        print(f"run {answer.run} {answer.seq}", flush=True)
        number += 1
        await asyncio.sleep(0.004)
    print("started", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
