"""Actions: whatever they do becomes an answer the run can be decided on."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from engine.capabilities.ports import ActionError, Deferred, InDoubt, Param
from engine.core import commands as c
from engine.core.definition import Catch, Retry, Step
from engine.hosts.running import clean
from tests.unit.hosts.conftest import World, action_step, workflow

STEP = {"retry": Retry(attempts=1), "catch": (Catch(error=("*",), goto="fail"),)}


async def fails(world: World, work: Any, *, effect: Any = "idempotent", **more: Any) -> dict[str, Any]:
    """Runs a step whose action does that, and gives the failure that was recorded."""
    world.act("work", work, effect=effect)
    host = await world.open()
    await world.register(host, workflow(action_step("work", effect=effect, **{**STEP, **more})))
    run = await world.start(host)
    for _ in range(500):
        found = world.datas(run, "StepFailed") or world.datas(run, "StepInDoubt")
        if found:
            return {**found[0], "run": run}
        await asyncio.sleep(0.01)
    raise AssertionError(world.events(run))


async def test_a_named_error_keeps_name_kind_and_words(world: World) -> None:
    async def work(context: Any, values: dict[str, Any]) -> None:
        raise ActionError(
            "BadSignature", "the robot's \x1b[31mkey\x1b]52;c;eA==\x07 is wrong", kind="validation", retryable=False
        )

    found = await fails(world, work)
    assert found["failure"]["error"] == "BadSignature"
    assert found["failure"]["kind"] == "validation"
    assert "\x1b" not in found["failure"]["message"]
    assert found["retryable"] is False


async def test_an_unknown_exception_is_a_failure_of_that_attempt_alone(world: World) -> None:
    async def work(context: Any, values: dict[str, Any]) -> None:
        raise ZeroDivisionError("x" * 100_000)

    found = await fails(world, work)
    assert found["failure"]["error"] == "ZeroDivisionError"
    assert found["failure"]["kind"] == "unknown"
    assert len(found["failure"]["message"]) <= 2000


async def test_an_output_that_is_no_json_is_refused(world: World) -> None:
    async def work(context: Any, values: dict[str, Any]) -> Any:
        return {"socket": object()}

    assert (await fails(world, work))["failure"]["error"] == "BadOutput"


async def test_an_action_that_is_not_installed_fails_its_step(world: World) -> None:
    host = await world.open()
    await world.register(host, workflow(action_step("gone", **STEP)))
    run = await world.start(host)
    await world.until(run, "StepFailed")
    assert world.datas(run, "StepFailed")[0]["failure"]["error"] == "NoSuchAction"


async def test_time_up_is_in_doubt_unless_it_only_reads(world: World) -> None:
    async def work(context: Any, values: dict[str, Any]) -> None:
        await asyncio.sleep(30)

    found = await fails(world, work, effect="read", timeout=0.2)
    assert found["type"] == "StepFailed"
    assert found["failure"]["kind"] == "timeout"
    assert "0.2 s" in found["failure"]["message"]


async def test_a_sent_and_unanswered_effect_is_in_doubt_after_its_time(world: World) -> None:
    async def work(context: Any, values: dict[str, Any]) -> None:
        await asyncio.sleep(30)

    assert (await fails(world, work, timeout=0.2))["type"] == "StepInDoubt"


async def test_silence_between_heartbeats_ends_the_attempt(world: World) -> None:
    beats = 0

    async def work(context: Any, values: dict[str, Any]) -> None:
        nonlocal beats
        for _ in range(4):
            context.heartbeat({"done": beats})
            beats += 1
            await asyncio.sleep(0.1)
        await asyncio.sleep(30)

    found = await fails(world, work, effect="read", heartbeat=0.3, timeout=20.0)
    assert beats == 4
    assert "heartbeat" in found["failure"]["message"]


async def test_a_busy_target_is_asked_again_without_spending_an_attempt(world: World) -> None:
    async def work(context: Any, values: dict[str, Any]) -> Any:
        if len(world.calls) < 4:
            raise Deferred("the robot charges", 0.05)
        return {"attempt": context.attempt}

    world.act("work", work)
    host = await world.open()
    await world.register(host, workflow(action_step("work")))
    run = await world.start(host)
    await world.until(run, "RunCompleted")
    assert world.events(run).count("StepDeferred") == 3
    assert world.datas(run, "StepCompleted")[0]["output"] == {"attempt": 1}


async def test_in_doubt_is_read_back_and_never_sent_again(world: World) -> None:
    sent, asked = [], []

    async def work(context: Any, values: dict[str, Any]) -> Any:
        if context.in_doubt:
            asked.append(context.key)
            return {"found": True}
        sent.append(context.key)
        raise InDoubt("NoAnswer", "the server hung up", kind="communication")

    world.act("work", work, effect="once", reads_back=True)
    host = await world.open()
    await world.register(
        host,
        workflow(action_step("work", effect="once", key="'k1'", reads_back=True, retry=Retry(attempts=3, first=0.01))),
    )
    run = await world.start(host)
    await world.until(run, "RunCompleted")
    assert len(sent) == 1
    assert len(asked) == 1
    assert world.events(run).count("StepStarted") >= 1


async def test_once_is_recorded_before_the_first_byte_and_not_sent_again_after_a_crash(world: World) -> None:
    seen: list[bool] = []

    async def work(context: Any, values: dict[str, Any]) -> Any:
        rows = world.query("select count(*) from events where type = 'StepStarted'")[0]
        seen.append(context.in_doubt)
        assert rows[0] >= 1
        if not context.in_doubt:
            await asyncio.sleep(30)
        return {"read": "back"}

    world.act("work", work, effect="once", reads_back=True)
    first = await world.open()
    await world.register(first, workflow(action_step("work", effect="once", key="'k1'", reads_back=True)))
    run = await world.start(first)
    await world.when(lambda: seen)
    await first.close()
    await world.open()
    await world.until(run, "RunCompleted")
    assert seen == [False, True]


async def test_a_cancelled_run_waits_for_what_is_in_flight(world: World) -> None:
    told = asyncio.Event()

    async def work(context: Any, values: dict[str, Any]) -> Any:
        await world.when(context.cancelled)
        told.set()
        await asyncio.sleep(0.3)
        return {"acted": True}

    world.act("work", work)
    host = await world.open()
    await world.register(host, workflow(action_step("work")))
    run = await world.start(host)
    await world.when(lambda: world.calls)
    await world.ask(host, run, c.Cancel(by="ana"))
    await told.wait()
    assert world.state(run).open
    await world.until(run, "RunCancelled")
    assert "StepCompleted" in world.events(run)
    assert world.events(run).index("StepCompleted") < world.events(run).index("RunCancelled")


async def test_an_attempt_cancelled_by_someone_else_does_not_hang_the_run(world: World) -> None:
    async def work(context: Any, values: dict[str, Any]) -> None:
        await asyncio.sleep(30)

    world.act("work", work)
    host = await world.open()
    await world.register(host, workflow(action_step("work", effect="read", **STEP)))
    run = await world.start(host)
    await world.when(lambda: len(host.running) > 0)
    for task, _, _ in list(host.running._tasks.values()):
        task.cancel()
    await world.until(run, "StepFailed")
    assert world.datas(run, "StepFailed")[0]["failure"]["error"] == "Abandoned"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\x1b[2Jb", "a?[2Jb"),
        ("x\u202ey", "x?y"),
        ("line\nline\ttab", "line\nline\ttab"),
        ("\x9b1m", "?1m"),
    ],
)
def test_error_texts_are_cleaned(text: str, shown: str) -> None:
    assert clean(text) == shown
    assert len(clean(text * 5000)) <= 2000


def test_a_step_of_a_map_has_the_path_people_read() -> None:
    from engine.core.effects import RunAction
    from engine.hosts.running import ActionContext

    effect = RunAction(
        scope="stages#0",
        step="stages.dispatch",
        fence=3,
        attempt=1,
        action="a",
        input={},
        key="k",
        effect="read",
        timeout=None,
        heartbeat=None,
    )
    context = ActionContext(SimpleNamespace(installation="here"), "run-1", effect)  # type: ignore[arg-type]
    assert context.path == "stages#0.dispatch" and context.key == "here/k"
    assert Step(id="stages.dispatch", kind="action").name == "dispatch"


async def test_declared_numbers_are_floats_for_the_steps_after(world: World) -> None:
    """A rate that happens to be 0 must not make `2.0 * steps.work.output.rate` an error."""

    async def work(context: Any, values: dict[str, Any]) -> Any:
        return {"rate": 0, "count": 3}

    world.act("work", work)
    outputs = {"rate": Param(type="number"), "count": Param(type="integer")}
    world.actions["work"] = msgspec.structs.replace(world.actions["work"], outputs=outputs)
    world.act("after")
    host = await world.open()
    asked = {"twice": "${2.0 * steps.work.output.rate}", "more": "${steps.work.output.count + 1}"}
    await world.register(host, workflow(action_step("work", next="after"), action_step("after", with_=asked)))
    run = await world.start(host)
    await world.until(run, "RunCompleted")
    assert world.datas(run, "StepCompleted")[0]["output"] == {"rate": 0.0, "count": 3}
