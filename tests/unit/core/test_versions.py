"""Golden histories, and how events of other versions are read."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from engine.core import events as e
from engine.core import versions
from engine.core.apply import fold
from engine.core.state import CORE_VERSION, State, StateMismatch, decode, encode
from engine.core.versions import UnknownEvent, decode_event, encode_event

GOLDEN = sorted((Path(__file__).parents[2] / "golden").glob("core-*.json"))


def test_there_are_golden_histories() -> None:
    assert len(GOLDEN) >= 8


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_a_golden_history_folds_to_the_same_state_for_ever(file: Path) -> None:
    saved = json.loads(file.read_text())
    events = [decode_event(row["type"], row["v"], msgspec.json.encode(row["data"])) for row in saved["events"]]
    state = fold(saved["run"], events)
    # `core` says who made the snapshot; everything else is what the history means
    assert json.loads(encode(state)) | {"core": 0} == saved["state"] | {"core": 0}


def test_every_event_type_has_a_name_and_stands_in_the_table() -> None:
    kinds = {kind.__name__ for kind in e.Event.__subclasses__()} | {"VoteChanged"}
    assert set(e.EVENTS) == kinds


def test_an_event_of_an_older_version_is_brought_up_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(versions.VERSIONS, "CommentAdded", 3)
    monkeypatch.setitem(versions.UPCASTERS, ("CommentAdded", 1), lambda old: {**old, "text": old.pop("words")})
    monkeypatch.setitem(versions.UPCASTERS, ("CommentAdded", 2), lambda old: {**old, "by": old["by"].lower()})
    old = b'{"type":"CommentAdded","by":"ANA","words":"hi","at":1.0}'
    assert decode_event("CommentAdded", 1, old) == e.CommentAdded(by="ana", text="hi", at=1.0)
    monkeypatch.delitem(versions.UPCASTERS, ("CommentAdded", 2))
    with pytest.raises(UnknownEvent, match="nothing reads"):
        decode_event("CommentAdded", 1, old)


@pytest.mark.parametrize(
    ("kind", "version", "data"),
    [
        ("Martian", 1, b"{}"),
        ("CommentAdded", 9, b"{}"),
        ("CommentAdded", 1, b"{broken"),
        ("CommentAdded", 1, b'{"type":"CommentAdded"}'),
    ],
)
def test_what_is_not_known_stops_loudly_and_is_never_skipped(kind: str, version: int, data: bytes) -> None:
    with pytest.raises(UnknownEvent):
        decode_event(kind, version, data)


def test_a_snapshot_of_another_core_or_a_damaged_one_is_thrown_away() -> None:
    state = State.new("run-1")
    assert decode(encode(state)) == state
    state.core = CORE_VERSION + 1
    for data in (encode(state), b"{", b"[]"):
        with pytest.raises(StateMismatch):
            decode(data)


def test_events_are_small() -> None:
    event = e.StepCompleted(scope="", step="a", fence=1, output=None, at=1.5)
    assert encode_event(event) == b'{"type":"StepCompleted","scope":"","step":"a","fence":1,"at":1.5}'


@pytest.mark.parametrize("kind", e.EVENTS.values(), ids=lambda kind: kind.__name__)
def test_every_event_type_is_one_documented_frozen_struct(kind: type[e.Event]) -> None:
    base = kind.__mro__[1]
    assert kind.__doc__ and kind.__doc__ != base.__doc__
    assert kind.__struct_config__.frozen and kind.__struct_config__.tag == kind.__name__
