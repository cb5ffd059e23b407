"""The engine is killed between what it does on a real Ray and its record: one job an attempt, one process tree, and the run
ends.

A proxy between the engine and Ray looks at each answer before it is passed on. What a test waits for once true, the engine
dies there and the answer is lost.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.integration.connectors.engine_room import EngineRoom
from tests.integration.connectors.fault_proxy import FaultProxy
from tests.integration.connectors.test_kill_training import FOLLOW, STOP, SUBMIT, World, book, policy
from tests.services.heavy import RayServer

pytestmark = [pytest.mark.service, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]


class Answers:
    """`dies_when` is looked at whenever Ray has answered."""

    def __init__(self) -> None:
        self.room: EngineRoom
        self.dies_when: Callable[[], bool] | None = None
        self.submitted = 0

    def answered(self, method: str, path: str, status: int) -> bool:
        if not self.room.alive:
            return True
        self.submitted += method == "POST" and path.rstrip("/").endswith("/api/jobs") and status < 400
        if self.dies_when is None or not self.dies_when():
            return False
        self.dies_when = None
        self.room.kill()
        return True

    def next_submitted(self) -> Callable[[], bool]:
        """True from the next job on that Ray has taken."""
        before = self.submitted
        return lambda: self.submitted > before


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(ray: RayServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder, answers = tmp_path_factory.mktemp("ray"), Answers()
    shared = folder / "shared"
    shared.mkdir()
    async with FaultProxy(ray.url, answered=answers.answered) as proxy:
        options = {"workspace": str(shared), "python": sys.executable}
        systems = {"trainer": {"kind": "ray", "url": proxy.url, "options": options}}
        room = answers.room = EngineRoom(folder / "engine", systems, {}, policy=policy(shared))
        found = World(shared / "jobs", await book(room.home.state, folder / "recordings"), answers, room)
        await room.start()
        try:
            yield found
        finally:
            answers.dies_when = None
            found.enough.touch()
            await room.close()


async def handed_over(ray: RayServer, job: Path) -> list[str]:
    """The attempts of this job that Ray has taken."""
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        rows = (await http.get(ray.jobs_url)).raise_for_status().json()
    return sorted(one["submission_id"] for one in rows if job.name in str(one["submission_id"]))


async def test_a_job_that_ray_has_taken_is_not_handed_over_again(world: World, ray: RayServer) -> None:
    """training.submit: killed when Ray had answered; training.follow: killed when Ray had taken the next attempt."""
    kills = world.room.kills
    run = await world.begin(world.wire.next_submitted(), submit=SUBMIT, train=FOLLOW)
    await world.killed(kills)
    await world.followed()
    (job,) = world.jobs()
    assert (world.trees(), world.status()["attempts"]) == (1, 1)
    assert await handed_over(ray, job) == [f"qd-{job.name}-1"]
    kills, world.wire.dies_when = world.room.kills, world.wire.next_submitted()
    await world.room.command("training.preempt", (await world.training())["id"])
    await world.killed(kills)
    await world.until(lambda: world.status().get("attempts") == 2, "it does not go on", 60)
    assert (world.trees(), len(world.jobs())) == (1, 1)
    assert await handed_over(ray, job) == [f"qd-{job.name}-1", f"qd-{job.name}-2"]
    await world.completes(run)
    assert world.wire.submitted == 2
    assert (await world.training())["preemptions"] == 1


async def test_a_job_that_is_not_wanted_any_more_is_ended_once(world: World, ray: RayServer) -> None:
    """training.stop: killed when the job had been told to end."""
    before = world.wire.submitted
    run = await world.begin(None, submit=SUBMIT, stop=STOP)
    kills, world.wire.dies_when = world.room.kills, world.told_to_end
    await world.killed(kills)
    ended = await world.room.ended(run)
    assert ended["run"]["status"] == "completed", ended["run"]
    await world.until(lambda: not world.processes(), "it computes on", 60)
    assert (await world.training())["state"] == "cancelled" and world.wire.submitted == before + 1
