"""The book: one place where records change, each change an event, a row and what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.capabilities.entities import Catalogue, Entity, Guard
from engine.capabilities.records import Change, Emit, RecordError
from engine.contract.records import EvidenceView
from engine.hosts.embedded import Host
from engine.hosts.settings import Config
from engine.language import Expressions
from engine.store.records import Actor

ANA = Actor(kind="person", id="ana")
EVIDENCE = Entity(
    kind="evidence",
    table="evidence",
    prefix="EV",
    shape=EvidenceView,
    start=("kept",),
    moves={"kept": ("held", "deleted"), "held": ("kept",)},
    guards=(Guard("held", "kept", lambda record, facts: None if facts.get("second") else "two people release a hold"),),
    immutable_in={"held": ("media",)},
)


def config(folder: Path) -> Config:
    return Config(
        database=folder / "quarterdeck.db", actions={}, evaluator=Expressions(), catalogue=Catalogue((EVIDENCE,))
    )


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    host = await Host.open(config(tmp_path))
    yield host
    await host.close()


def book(host: Host, scope: str = "test"):
    return host.book.bound(actor=ANA, cause="test", scope=scope)


async def test_a_record_is_made_once_per_key(host: Host) -> None:
    first = await book(host).create("evidence", {"media": "text/plain"}, key="a")
    again = await book(host).create("evidence", {"media": "text/html"}, key="a")
    other = await book(host).create("evidence", {}, key="b")
    assert (first.id, again.id, other.id) == ("EV-1", "EV-1", "EV-2")
    assert again.media == "text/plain" and again.rev == 1 and again.created_by == "ana"


async def test_two_creates_of_one_key_at_once_make_one(host: Host) -> None:
    made = await asyncio.gather(*(book(host).create("evidence", {}, key="a") for _ in range(5)))
    assert {one.id for one in made} == {made[0].id}
    assert len(await book(host).find("evidence")) == 1


async def test_a_move_the_table_does_not_have_changes_nothing(host: Host) -> None:
    made = await book(host).create("evidence", {}, key="a")
    await book(host).change("evidence", made.id, to="deleted")
    with pytest.raises(RecordError, match="deleted is final") as refused:
        await book(host).change("evidence", made.id, to="kept")
    assert refused.value.error == "IllegalMove"
    assert [one.to for one in await book(host).history("evidence", made.id)] == ["kept", "deleted"]


async def test_a_guard_holds_a_move_until_it_is_satisfied(host: Host) -> None:
    made = await book(host).create("evidence", {}, key="a")
    await book(host).change("evidence", made.id, to="held", reason="inquiry")
    with pytest.raises(RecordError, match="two people"):
        await book(host).change("evidence", made.id, to="kept")
    freed = await book(host).change("evidence", made.id, to="kept", facts={"second": "bo"})
    assert freed.state == "kept" and freed.rev == 3


async def test_setting_what_stands_there_is_no_change(host: Host) -> None:
    made = await book(host).create("evidence", {"media": "text/plain"}, key="a")
    before = host.journal.seq
    same = await book(host).change("evidence", made.id, to="kept", set={"media": "text/plain"})
    assert same.rev == 1 and host.journal.seq == before


async def test_fields_are_checked_by_name(host: Host) -> None:
    for fields, field in (({"colour": "red"}, "colour"), ({"size_b": "big"}, "size_b"), ({"rev": 3}, "rev")):
        with pytest.raises(RecordError) as refused:
            await book(host).create("evidence", fields, key=field)
        assert refused.value.error == "BadField" and refused.value.field == field
    made = await book(host).create("evidence", {"media": "text/plain"}, key="a")
    await book(host).change("evidence", made.id, to="held")
    with pytest.raises(RecordError, match="no longer changes"):
        await book(host).change("evidence", made.id, set={"media": "text/html"})


async def test_a_stale_revision_is_a_conflict(host: Host) -> None:
    made = await book(host).create("evidence", {}, key="a")
    await book(host).change("evidence", made.id, set={"name": "x"}, expect=1)
    with pytest.raises(RecordError, match="changed meanwhile"):
        await book(host).change("evidence", made.id, set={"name": "y"}, expect=1)


async def test_many_changes_are_one_commit_or_none(host: Host) -> None:
    many = [Change(kind="evidence", key=str(n), set={"name": f"n{n}"}) for n in range(200)]
    made = await book(host).change_many(many)
    assert [one.id for one in made] == [f"EV-{n + 1}" for n in range(200)]
    with pytest.raises(RecordError):
        await book(host).change_many(
            [Change(kind="evidence", id="EV-1", to="deleted"), Change(kind="evidence", id="nobody", to="deleted")]
        )
    assert (await book(host).get("evidence", "EV-1")).state == "kept"
    assert host.book.reads.states("evidence") == {"kept": 200}


async def test_what_a_change_tells_stands_in_the_outbox_with_the_record_as_its_subject(host: Host) -> None:
    made = await book(host).create("evidence", {}, key="a", emit=[Emit("qd.evidence.kept", {"by": "ana"})])
    await asyncio.sleep(0.05)
    rows = host.loader.rows("select event, body from outbox")
    assert rows[0][0] == "qd.evidence.kept" and made.id.encode() in rows[0][1]


async def test_records_survive_a_restart_and_numbers_go_on(tmp_path: Path) -> None:
    host = await Host.open(config(tmp_path))
    await book(host).create("evidence", {}, key="a")
    await host.close()
    host = await Host.open(config(tmp_path))
    try:
        assert (await book(host).create("evidence", {}, key="a")).id == "EV-1"
        assert (await book(host).create("evidence", {}, key="b")).id == "EV-2"
    finally:
        await host.close()


async def test_what_is_kept_in_the_vault_gets_its_record(host: Host) -> None:
    bound, vault = host.keeper.for_asker(ANA, "test")
    kept = await asyncio.to_thread(vault.put_bytes, b"hello", media="text/plain", name="note", source="robot 7")
    await asyncio.sleep(0.02)
    await host.keeper.settle()
    record = await bound.get("evidence", kept.digest)
    assert record is not None and record.size_b == 5 and record.name == "note"
    assert vault.read(kept.digest) == b"hello" and vault.verify(kept.digest)
    vault.path(kept.digest).chmod(0o600)
    vault.path(kept.digest).write_bytes(b"hellO")
    assert not vault.verify(kept.digest)
