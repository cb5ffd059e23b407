"""The failures that data-to-training is known for and that no other test names: what is said, what is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from connectors.sandbox import lerobot_files
from connectors.sandbox.recordings import plans
from engine.capabilities.desk import Refusal
from tests.unit.data.conftest import Table, labels
from tests.unit.data.test_intake import taking

__all__ = ["taking"]


@pytest.mark.parametrize("kept", ["parquet", "jsonl", "none"])
async def test_tasks_are_those_of_the_episodes_whatever_the_list_of_tasks_is_called(
    taking: Table, tmp_path: Path, kept: str
) -> None:
    """The format's description says tasks.jsonl, its code writes tasks.parquet: neither is believed over the episodes."""
    plan = plans(seed=7, count=1)[0]
    folder = lerobot_files.write(tmp_path / "set", plan, episodes=2)
    if kept != "parquet":
        (folder / "meta/tasks.parquet").unlink()
    if kept == "jsonl":
        (folder / "meta/tasks.jsonl").write_text(json.dumps({"task_index": 0, "task": "something else"}) + "\n")
    done = await taking.act("data.intake", folder=str(tmp_path))
    assert done["counts"]["valid"] == 2
    assert {one.task for one in await taking.find("session")} == {plan.task}


async def test_sets_that_will_not_merge_are_flagged_where_people_sign(table: Table) -> None:
    """What was recorded with a person helping has one column more than plain demonstrations."""
    plain, helped = ["action float32 [2]"], ["action float32 [2]", "intervention bool [1]"]
    for number in range(1, 13):
        await table.session(
            f"S-{number}", format="lerobot-v3", container="b" if number > 6 else "a", columns=helped if number > 6 else plain,
            group=f"g{number % 4}",
        )  # fmt: skip
    snapshot = await table.campaign()
    frozen = await table.act("data.freeze", snapshot=snapshot)
    flags = frozen["evidence"]["flags"]
    assert "2 LeRobot data sets differ in intervention bool [1]" in str(flags) and "before it is filled in" in str(
        flags
    )
    assert list((await table.get("snapshot", snapshot)).flags)


async def test_a_label_schema_that_changes_while_people_label_waits_for_the_next_version(table: Table) -> None:
    """Whoever took a task hands in what was asked then; what a snapshot was labelled by is one schema."""
    for number in range(1, 4):
        await table.session(f"S-{number}")
    snapshot = (await table.act("data.open", dataset="bins"))["snapshot"]
    await table.act("data.queue", snapshot=snapshot)
    task = next(one for one in await table.find("label_task", snapshot=snapshot) if one.purpose == "label")
    await table.do("ann", "label.claim", task.id)
    table.policy["label_schema"] = {
        "name": "grasps", "version": 2, "fields": [{"name": "quality", "kind": "number", "minimum": 0, "maximum": 5}],
    }  # fmt: skip
    with pytest.raises(Refusal):
        await table.do("ann", "label.submit", task.id, labels=[{"name": "quality", "value": "4"}])
    await table.do("ann", "label.submit", task.id, labels=labels(task.duration_s))
    await table.act("data.queue", snapshot=snapshot)
    schemas = {(one.schema.name, one.schema.version) for one in await table.find("label_task", snapshot=snapshot)}
    assert schemas == {("phases-and-outcome", 1)}


async def test_the_next_version_supersedes_the_last_and_keeps_it_whole(table: Table) -> None:
    first = await table.finalized()
    table.run = "run-2"
    await table.session("S-13", group="g-new")
    second = await table.finalized(sessions=13)
    old = await table.get("snapshot", first.id)
    assert (old.state, second.state) == ("superseded", "finalized")
    assert old.root_digest == first.root_digest and table.host.vault.verify(old.episodes_digest)


async def test_recordings_a_year_long_file_claims_are_refused_before_they_are_read(
    taking: Table, tmp_path: Path
) -> None:
    """Larger than may be read: on record with its size and reason, its bytes untouched."""
    taking.policy["ingest"]["max_file_bytes"] = 10_000
    (tmp_path / "huge.mcap").write_bytes(bytes(20_000))
    done = await taking.act("data.intake", folder=str(tmp_path))
    (session,) = await taking.find("session")
    assert session.state == "quarantined" and done["counts"]["quarantined"] == 1 and session.bytes == 20_000
