"""Trainings from a finalized snapshot: real processes, records that say what became of them, nothing twice."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.capabilities.data import train_actions
from engine.capabilities.data.launcher import LocalTraining
from engine.capabilities.data.training import Spec
from engine.capabilities.ports import ActionError
from tests.unit.data.conftest import Table
from tests.unit.data.training_program import PROGRAM


@pytest.fixture
def trains(table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    """The stand-in program is allowed; recordings lie where their sessions say."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    table.policy["training"]["programs"] = {
        mode: {"argv": [sys.executable, str(program), "{out}", mode, "{seed}"], "resume": ["--resume"]}
        for mode in ("good", "raise", "deaf")
    }
    table.policy["training"] |= {"program": "good", "poll": 0.05, "budget": 60.0, "grace": 0.3}
    monkeypatch.setattr(train_actions, "RESUME_S", 0.05)
    monkeypatch.setattr(
        "engine.capabilities.data.formats.locate", lambda vault, session, verify=False: tmp_path / session.id
    )
    return table


async def submitted(table: Table, seed: int = 6, **more: Any) -> Any:
    snapshot = await table.finalized()
    return await table.act("training.submit", snapshot=snapshot.id, seed=seed, **more)


async def running(table: Table, training: str, at: int = 3) -> Any:
    """The training's follower as a task, once its program is so far."""
    job = (await table.get("training", training)).job
    task = asyncio.create_task(table.act("training.follow", training=training))
    while (await table.ports["training"].status(job)).done < at:  # noqa: ASYNC110  # a process says so in a file
        await asyncio.sleep(0.02)
    return task


async def events(table: Table, name: str) -> list[Any]:
    rows = table.host.loader.rows("select data from events where type = 'EventPublished'", ())
    import msgspec

    found = [msgspec.json.decode(row[0]) for row in rows if row[0] is not None]
    return [one for one in found if one["event"] == name]


async def test_it_ends_with_a_checkpoint_in_the_vault_and_tells_what_the_next_needs(trains: Table) -> None:
    given = await submitted(trains, recipe={"version": "4.8.2", "rate": 0.1})
    done = await trains.act("training.follow", training=given["training"])
    training = await trains.get("training", given["training"])
    assert training.state == "succeeded" and trains.context.vault.verify(training.checkpoint.digest)
    assert training.recipe == {"epochs": 12, "checkpoint_every": 3, "pace_s": 0.1, "rate": 0.1, "line": "pick"}
    assert done["checkpoint"]["digest"] == training.checkpoint.digest and training.log
    told = (await events(trains, "qd.training.completed"))[0]["data"]
    snapshot = await trains.get("snapshot", training.snapshot)
    assert told["checkpoint"] == {"digest": training.checkpoint.digest, "size": training.checkpoint.size}
    assert (
        told["version"] == "4.8.2"
        and told["root_digest"] == snapshot.root_digest
        and told["seed"] == 6
        and told["line"] == "pick"
    )
    assert len(told["sessions"]) == snapshot.splits["train"]
    assert {"done": 6, "of": 6}.items() <= trains.context.progress[-1].items()


async def test_preempted_it_goes_on_and_the_record_says_so(trains: Table) -> None:
    given = await submitted(trains, seed=40)
    follower = await running(trains, given["training"])
    await trains.do("lea", "training.preempt", given["training"])
    assert (await follower)["preemptions"] == 1
    states = [one.to for one in await trains.records.history("training", given["training"]) if one.to != one.from_]
    assert states == ["submitted", "running", "preempted", "running", "succeeded"]


async def test_preempted_too_often_it_fails(trains: Table) -> None:
    trains.policy["training"]["preemptions"] = 0
    given = await submitted(trains, seed=60)
    follower = await running(trains, given["training"])
    await trains.do("lea", "training.preempt", given["training"])
    with pytest.raises(ActionError) as failed:
        await follower
    assert failed.value.error == "TrainingFailed" and "preempted 1 times" in failed.value.message


async def test_a_follower_that_is_begun_anew_finds_the_job_where_it_is(trains: Table) -> None:
    given = await submitted(trains, seed=20)
    follower = await running(trains, given["training"])
    follower.cancel()
    done = await trains.act("training.follow", training=given["training"])
    assert done["state"] == "succeeded" and (await trains.get("training", given["training"])).tries == 1


async def test_cancelled_by_a_person_it_is_over(trains: Table) -> None:
    given = await submitted(trains, seed=400)
    follower = await running(trains, given["training"])
    await trains.do("lea", "training.cancel", given["training"], reason="wrong recipe")
    with pytest.raises(ActionError) as stopped:
        await follower
    assert stopped.value.error == "TrainingCancelled"
    assert (await trains.get("training", given["training"])).state == "cancelled"


async def test_the_run_that_ends_takes_its_trainings_along(trains: Table) -> None:
    given = await submitted(trains, seed=400)
    follower = await running(trains, given["training"])
    follower.cancel()
    assert (await trains.act("training.stop", reason="the run ended"))["stopped"] == [given["training"]]
    assert (await trains.get("training", given["training"])).state == "cancelled"


async def test_a_job_of_which_nobody_heard_does_not_compute_on(trains: Table) -> None:
    """It was handed over and not answered, and then the run ended."""
    launcher, handed = trains.ports["training"], []

    class Deaf(LocalTraining):
        async def submit(self, spec: Spec, *, key: str) -> str:
            handed.append((await super().submit(spec, key=key), key))
            raise ActionError("Unreachable", "no answer", kind="communication")

    trains.ports["training"] = Deaf(launcher._folder)
    with pytest.raises(ActionError):
        await submitted(trains, seed=400)
    (job, key), training = handed[0], (await trains.find("training"))[0]
    assert (training.state, training.job) == ("submitted", "") and key == f"here/run-1/{training.id}"
    assert (await trains.act("training.stop", reason="the run ended"))["stopped"] == [training.id]
    while (await launcher.status(job)).state == "running":  # noqa: ASYNC110  # a process says so in a file
        await asyncio.sleep(0.02)
    assert (await launcher.status(job)).state == "cancelled"


async def test_what_was_never_handed_over_is_closed_all_the_same(trains: Table) -> None:
    class Away(LocalTraining):
        async def submit(self, spec: Spec, *, key: str) -> str:
            raise ActionError("Unreachable", "nobody there", kind="communication")

    trains.ports["training"] = Away(trains.ports["training"]._folder)
    with pytest.raises(ActionError):
        await submitted(trains)
    assert len((await trains.act("training.stop"))["stopped"]) == 1
    assert (await trains.find("training"))[0].state == "cancelled"


async def test_a_program_that_fails_says_why_and_keeps_its_log(trains: Table) -> None:
    given = await submitted(trains, recipe={"program": "raise"})
    with pytest.raises(ActionError) as failed:
        await trains.act("training.follow", training=given["training"])
    training = await trains.get("training", given["training"])
    assert failed.value.error == "TrainingFailed" and training.error == "NoEpisodes" and not failed.value.retryable
    assert b"nothing to learn from" in trains.context.vault.read(training.log)
    assert (await events(trains, "qd.training.failed"))[0]["data"]["error"] == "NoEpisodes"


async def test_only_programs_of_the_policy_run_and_only_on_finalized_snapshots(trains: Table) -> None:
    snapshot = await trains.finalized()
    with pytest.raises(ActionError, match="no training program 'rm -rf'"):
        await trains.act("training.submit", snapshot=snapshot.id, recipe={"program": "rm -rf"})
    await trains.records.change("snapshot", snapshot.id, to="withdrawn", set={"withdrawn_for": "consent"})
    with pytest.raises(ActionError, match="only a finalized snapshot"):
        await trains.act("training.submit", snapshot=snapshot.id)


async def test_content_that_changed_since_the_signature_is_not_trained_on(
    trains: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(vault: Any, session: Any, verify: bool = False) -> Path:
        raise ActionError("ContentChanged", f"{session.id} is not what was ingested", kind="conflict", retryable=False)

    monkeypatch.setattr("engine.capabilities.data.formats.locate", changed)
    with pytest.raises(ActionError) as refused:
        await submitted(trains)
    training = (await trains.find("training"))[0]
    assert refused.value.error == training.error == "ContentChanged" and training.state == "failed"


async def test_the_same_content_recipe_and_seed_are_not_trained_twice(trains: Table) -> None:
    given = await submitted(trains)
    await trains.act("training.follow", training=given["training"])
    snapshot = (await trains.find("snapshot"))[0]
    again = await trains.act("training.submit", snapshot=snapshot.id, seed=6)
    assert again["training"] == given["training"] and again["checkpoint"]["digest"]
    other = await trains.act("training.submit", snapshot=snapshot.id, seed=5)
    assert other["training"] != given["training"]
    await trains.act("training.follow", training=other["training"])


@pytest.mark.parametrize(
    ("told", "asked_after"),
    [
        ({"state": "succeeded", "attempts": 1}, "0"),
        ({"state": "cancelled"}, None),
        ({"state": "preempted", "attempts": 2}, "1"),
    ],
)
def test_a_supervisor_that_comes_late_begins_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: dict[str, Any], asked_after: str | None
) -> None:
    """It was asked for when there was no other; meanwhile one came and went, or the job was cancelled."""
    from engine.capabilities.data import supervise

    (tmp_path / "spec.json").write_text('{"argv": ["false"], "seed": 1, "budget_s": 5}')
    (tmp_path / "status.json").write_text(json.dumps(told))
    monkeypatch.setattr("sys.argv", ["supervise.py", str(tmp_path), *([asked_after] if asked_after else [])])
    assert supervise.main() == 0
    assert json.loads((tmp_path / "status.json").read_text()) == told and not (tmp_path / "log").exists()
