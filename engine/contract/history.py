"""The past: a thing as it was at one of its events, where that event stands among its others, and what differs between two."""

from __future__ import annotations

from engine.contract.common import Json, View

THINGS = ("run", "rollout", "gate", "case")
"""What has a screen that can be looked at as it was. Every other kind of record can be read so, too."""


class Moment(View, frozen=True, kw_only=True):
    """An event of a thing, as a place to stand. `place` counts from 1 among the events that are steps; `of` is how many."""

    seq: int
    at: float
    type: str = ""
    actor: str = ""
    text: str = ""
    place: int = 0
    of: int = 0


class PastView(View, frozen=True, kw_only=True):
    """A thing as it was after the event `here`: `view` is what its read gives, in the same shape. `last` is its newest event."""

    kind: str
    id: str
    here: Moment
    first: int
    last: int
    view: Json = None


class Difference(View, frozen=True, kw_only=True):
    """One value that differs. `path` is for people (`seats › release-manager › filled by`); `word` is changed, added or gone."""

    path: str
    word: str
    before: Json = None
    after: Json = None


class DiffView(View, frozen=True, kw_only=True):
    """What differs between two moments of a thing. `events` lie between them; `cut`: more differs than is listed."""

    kind: str
    id: str
    a: Moment
    b: Moment
    events: int = 0
    changes: tuple[Difference, ...] = ()
    cut: bool = False


class Looker(View, frozen=True, kw_only=True):
    """Somebody who has it on their screen now: since when and how long ago last, both seconds ago. Never recorded."""

    person: str
    since: float
    seen: float
