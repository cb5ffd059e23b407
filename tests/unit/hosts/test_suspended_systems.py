"""A step whose system is suspended waits for it, says why, and goes on by itself; nothing is spent and nothing sent twice."""

from __future__ import annotations

from typing import Any

import pytest

from engine.capabilities import connections as module
from engine.capabilities.connections import Connections, connect
from engine.capabilities.ports import ActionError
from engine.core.definition import Catch, Retry
from tests.unit.hosts.conftest import World, action_step, workflow


class Tickets:
    def __init__(self) -> None:
        self.opened: list[str] = []


class Kind:
    kind, capabilities, needs = "desk", ("tickets",), ()
    fields: dict[str, Any] = {}

    def build(self, config: Any, secret: Any, clock: Any, ports: Any) -> dict[str, Any]:
        return {"tickets": Tickets()}


class Clock:
    def now(self) -> float:
        return 0.0


@pytest.fixture
def desks(monkeypatch: pytest.MonkeyPatch) -> Connections:
    monkeypatch.setattr(module, "ASK_AGAIN_S", 0.05)
    return connect({"desk": {"kind": "desk"}}, lambda name: "", Clock(), {"desk": Kind})  # type: ignore[arg-type]


@pytest.mark.parametrize("effect", ["idempotent", "once"])
@pytest.mark.parametrize("asked", ["tickets", "tickets@desk"])
async def test_a_step_waits_for_a_suspended_system(world: World, desks: Connections, effect: Any, asked: str) -> None:
    async def work(context: Any, values: dict[str, Any]) -> Any:
        context.port(asked).opened.append(context.key)
        return {"attempt": context.attempt}

    world.act("work", work, effect=effect, reads_back=True)
    host = await world.open(ports=desks.ports)
    step = action_step("work", effect=effect, key="'k1'", reads_back=True, retry=Retry(attempts=1))
    await world.register(host, workflow(step))
    desks.suspend("desk", "suspended by ana: they move the server")
    run = await world.start(host)
    await world.until(run, "StepDeferred")
    assert world.datas(run, "StepDeferred")[0]["reason"] == "desk is suspended by ana: they move the server"
    desks.suspend("desk", "")
    await world.until(run, "RunCompleted")
    assert len(desks.port("tickets").opened) == 1
    assert world.datas(run, "StepCompleted")[0]["output"] == {"attempt": 1}


async def test_one_that_was_never_there_is_an_error_that_says_so(world: World, desks: Connections) -> None:
    async def work(context: Any, values: dict[str, Any]) -> Any:
        try:
            context.port("labels@desk")
        except ActionError as error:
            assert not error.retryable
            raise

    world.act("work", work)
    host = await world.open(ports=desks.ports)
    await world.register(host, workflow(action_step("work", catch=(Catch(error=("*",), goto="fail"),))))
    run = await world.start(host)
    await world.until(run, "StepFailed")
    failure = world.datas(run, "StepFailed")[0]["failure"]
    assert (failure["error"], failure["message"]) == ("NotConfigured", "desk serves tickets, not labels")
