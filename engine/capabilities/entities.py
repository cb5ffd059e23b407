"""What a record may become: its states, the moves between them, and what must hold for a move.

The book (`engine.hosts.book`) is the one place that enforces this; nobody else writes a record's row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct, field

from engine.contract.records import RecordView

Json = Any
Facts = Mapping[str, Json]
ANY = "*"


class Guard(Struct, frozen=True):
    """A condition on a move. `check` gets the record as it would be and what the caller says about the move (the gate that
    decided, the person); it returns why not, or None. `needs` is the same for people who read the table.
    """

    from_: str
    to: str
    check: Callable[[Any, Facts], str | None]
    needs: str = ""

    def binds(self, from_: str, to: str) -> bool:
        return self.from_ in (ANY, from_) and self.to in (ANY, to)


class Entity(Struct, frozen=True, kw_only=True):
    """One kind of record.

    `start` are the states it may be created in, the first by default. `moves` maps a state to those it may change to; a
    state that is missing, or has none, is final. `immutable_in` names fields that no longer change in a state.
    """

    kind: str
    table: str
    prefix: str
    shape: type[RecordView]
    start: tuple[str, ...]
    moves: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    guards: tuple[Guard, ...] = ()
    immutable_in: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    title: str = ""
    quiet: bool = False
    """There are so many of it that its changes are no news (they stand in the history all the same)."""

    @property
    def states(self) -> tuple[str, ...]:
        """Every state, in the order of the table."""
        seen = dict.fromkeys(self.start)
        for state, following in self.moves.items():
            seen.setdefault(state)
            seen.update(dict.fromkeys(following))
        return tuple(seen)

    def final(self, state: str) -> bool:
        return not self.moves.get(state)

    def may(self, from_: str, to: str) -> bool:
        """Whether the table has this move; staying where one is is no move and always allowed."""
        return from_ == to or to in self.moves.get(from_, ())

    def why_not(self, from_: str, to: str, record: Any, facts: Facts) -> tuple[str, str] | None:
        """Why a move is not made: (code, reason)."""
        if not self.may(from_, to):
            following = self.moves.get(from_, ())
            way = f"from {from_} it goes to {', '.join(following)}" if following else f"{from_} is final"
            return "IllegalMove", f"a {self.title or self.kind} can't go from {from_} to {to}: {way}"
        if from_ != to:
            for guard in self.guards:
                if guard.binds(from_, to) and (reason := guard.check(record, facts)):
                    return "NotYet", reason
        return None


class Catalogue:
    """All kinds of records this engine knows. Frozen after it was made; two of one kind or table: ValueError."""

    def __init__(self, entities: tuple[Entity, ...]) -> None:
        self.by_kind: dict[str, Entity] = {}
        tables: set[str] = set()
        for entity in entities:
            if entity.kind in self.by_kind or entity.table in tables:
                raise ValueError(f"the record kind {entity.kind} ({entity.table}) is declared twice")
            unknown = {one for following in entity.moves.values() for one in following} - set(entity.states)
            if unknown or not entity.start:
                raise ValueError(f"{entity.kind}: states nobody declared: {sorted(unknown)}")
            self.by_kind[entity.kind] = entity
            tables.add(entity.table)

    def __getitem__(self, kind: str) -> Entity:
        return self.by_kind[kind]

    def get(self, kind: str) -> Entity | None:
        return self.by_kind.get(kind)

    def __iter__(self) -> Any:
        return iter(self.by_kind.values())
