"""The tables of all records: every state pair is allowed or refused as its table says, and the tables fit their shapes."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from engine.capabilities import subjects
from engine.capabilities.entities import Entity
from engine.capabilities.records import RecordError
from engine.contract.records import RecordView
from engine.hosts.embedded import Host
from engine.hosts.settings import Config
from engine.language import Expressions
from engine.store.reading import Reading
from engine.store.record_projection import columns_of
from engine.store.records import Actor

ANA = Actor(kind="person", id="ana")
KINDS = [entity.kind for entity in subjects.entities()]
BASE = {*RecordView.__struct_fields__, "seq", "data"}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from engine.store import schema

    path = tmp_path_factory.mktemp("records") / "quarterdeck.db"
    schema.create_private(path)
    schema.migrate(path)
    return path


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    host = await Host.open(
        Config(
            database=tmp_path / "quarterdeck.db",
            actions={},
            evaluator=Expressions(),
            catalogue=subjects.catalogue(),
        )
    )
    yield host
    await host.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_has_its_columns_and_no_column_the_shape_knows_nothing_of(kind: str, database: Path) -> None:
    entity = subjects.catalogue()[kind]
    columns = columns_of(Reading(database).connection.cursor(), entity.table)
    assert {"id", "rev", "state", "seq", "data"} <= set(columns), f"{entity.table} is missing"
    assert set(columns) - BASE <= set(entity.shape.__struct_fields__)


@pytest.mark.parametrize("kind", KINDS)
def test_a_shape_can_be_made_of_nothing_and_read_again(kind: str) -> None:
    shape = subjects.catalogue()[kind].shape
    assert issubclass(shape, RecordView)
    assert msgspec.json.decode(msgspec.json.encode(shape(id="x")), type=shape).id == "x"


@pytest.mark.parametrize("kind", KINDS)
def test_every_state_is_reached_from_a_start(kind: str) -> None:
    entity = subjects.catalogue()[kind]
    reached, new = set(entity.start), set(entity.start)
    while new:
        new = {to for state in new for to in entity.moves.get(state, ())} - reached
        reached |= new
    assert reached == set(entity.states)


@pytest.mark.parametrize("kind", KINDS)
async def test_every_pair_of_states_is_as_the_table_says(kind: str, host: Host) -> None:
    """Through the book itself: a pair outside the table is refused, one inside it is made unless its guard says no."""
    entity: Entity = subjects.catalogue()[kind]
    book = host.book.bound(actor=ANA, cause="table", scope="table")
    for from_, to in itertools.permutations(entity.states, 2):
        made = await _in_state(host, entity, from_)
        if entity.may(from_, to):
            guarded = any(guard.binds(from_, to) for guard in entity.guards)
            try:
                moved = await book.change(kind, made.id, to=to)
                assert moved.state == to
            except RecordError as error:
                assert guarded and error.error == "NotYet", f"{kind} {from_} -> {to}: {error}"
        else:
            with pytest.raises(RecordError) as refused:
                await book.change(kind, made.id, to=to)
            assert refused.value.error == "IllegalMove"
            assert host.book.reads.get(kind, made.id).state == from_


async def _in_state(host: Host, entity: Entity, state: str) -> RecordView:
    """A record in that state, put there as history would: by its event, past the guards."""
    name = f"{entity.prefix}-{state}-{host.journal.seq}"
    await host.system.record(
        "RecordChanged",
        {"kind": entity.kind, "id": name, "rev": 1, "from": "", "to": state, "set": {}, "reason": ""},
        actor=ANA,
        cause="table",
    )
    found: RecordView = host.book.reads.get(entity.kind, name)
    return found
