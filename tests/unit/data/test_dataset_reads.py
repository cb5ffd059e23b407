"""Computed views of snapshots and trainings, read as the door reads them: in a thread, without a run."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from engine.capabilities.data import reads, signing
from tests.unit.data.conftest import Table
from tests.unit.data.test_dataset_maths import session
from tests.unit.data.test_training import running, submitted, trains

__all__ = ["trains"]


def look(table: Table) -> Any:
    held = table.host.book.reads
    return SimpleNamespace(
        person="lea", vault=table.host.vault, get=held.get, find=held.find, now=table.clock.now, ports=table.ports
    )


async def test_episodes_say_why_each_is_in_or_out_and_are_paged(table: Table) -> None:
    for number in range(1, 11):
        await table.session(f"S-{number}", group=f"g{number % 3}")
    await table.session("S-11", content="sha256:" + f"{1:064x}")
    snapshot = await table.campaign(sessions=11)
    await table.act("data.freeze", snapshot=snapshot)
    at = {"snapshot": snapshot}
    page = reads.episodes(look(table), at, {})
    assert page.total == 11 and page.rows[0].code == "duplicate" and "same content as S-1" in page.rows[0].why
    assert {row.split for row in page.rows if row.decision == "kept"} >= {"train"}
    first = reads.episodes(look(table), at, {"limit": "4"})
    second = reads.episodes(look(table), at, {"limit": "4", "cursor": first.next})
    assert len(first.rows) == 4 and not {row.session for row in first.rows} & {row.session for row in second.rows}
    assert reads.episodes(look(table), at, {"decision": "left-out"}).total == 1
    assert reads.episodes(look(table), at, {"split": "train", "text": "HAM2"}).total >= 1
    assert reads.episodes(look(table), {"snapshot": "none"}, {}) is None
    assert reads.episodes(look(table), at, {"limit": "-1", "cursor": "x"}).total == 11


async def test_a_difference_names_what_came_went_and_moved(table: Table) -> None:
    await table.finalized()
    for number in range(13, 16):
        await table.session(f"S-{number}", site="HAM2", group="HAM2-d9|r|o")
    await table.records.change("session", "S-1", to="withdrawn")
    table.run = "run-2"
    second = await table.finalized(sessions=15)
    found = reads.diff(look(table), {"snapshot": second.id}, {})
    assert found.before == "bins-v1" and set(found.added) == {"S-13", "S-14", "S-15"} and found.removed == ("S-1",)
    assert not found.moved and any(now > old for _, old, now in found.cells)


async def test_a_snapshot_whose_bytes_were_touched_does_not_hold(table: Table) -> None:
    snapshot = await table.finalized()
    assert reads.proof(look(table), {"snapshot": snapshot.id}, {}).ok
    path = table.host.vault.path(snapshot.episodes_digest)
    data = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(data.replace(b'"train"', b'"val"', 1))
    found = reads.proof(look(table), {"snapshot": snapshot.id}, {})
    assert not found.ok and found.problem and found.found != found.root_digest
    path.write_bytes(b"{broken")
    assert not reads.proof(look(table), {"snapshot": snapshot.id}, {}).ok


async def test_a_log_is_read_live_and_then_from_what_was_kept(trains: Table) -> None:
    given = await submitted(trains, seed=20)
    follower = await running(trains, given["training"])
    at = {"training": given["training"]}
    live = await asyncio.to_thread(reads.log, look(trains), at, {"offset": "0"})
    assert live.live and live.done >= 3 and live.of == 20 and '"progress"' in live.text and not live.ended
    tail = await asyncio.to_thread(reads.log, look(trains), at, {"offset": "-10"})
    assert tail.offset > 0 and tail.next > tail.offset
    await follower
    kept = await asyncio.to_thread(reads.log, look(trains), at, {"offset": "0"})
    assert kept.ended and kept.text.startswith(live.text) and '"completed"' in kept.text
    rest = await asyncio.to_thread(reads.log, look(trains), at, {"offset": str(kept.next)})
    assert rest.ended and rest.text == ""


def test_lerobot_sets_with_other_columns_are_told() -> None:
    plain = session(1, format="lerobot-v3", container="a", columns=("action float32 [2]",))
    helped = session(2, format="lerobot-v3", container="b", columns=("action float32 [2]", "intervention bool [1]"))
    assert signing.unlike([plain, session(3)]) == []
    assert "intervention" in signing.unlike([plain, helped])[0]
