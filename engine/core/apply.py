"""How a fact changes what is known of a run. Facts are copied, never weighed: that is the work of `decide`.

Two rules:
1. Everything that changes a `State` is in the `*_apply` modules. Nothing there reads a definition, a clock or an
   expression.
2. One function per event type, found in a table; a type without a row changes nothing but the count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from engine.core.event import Event
from engine.core.gate_apply import GATE_TABLE
from engine.core.run_apply import RUN_TABLE
from engine.core.state import State
from engine.core.step_apply import STEP_TABLE

_TABLE: dict[type[Event], Callable[[State, Any], None]] = {**RUN_TABLE, **STEP_TABLE, **GATE_TABLE}


def apply(state: State, event: Event) -> None:
    """Folds one event in. Raises KeyError for an event of a scope that isn't there: then the history is damaged."""
    change = _TABLE.get(type(event))
    if change is not None:
        change(state, event)
    state.n += 1


def fold(run: str, events: Iterable[Event], state: State | None = None) -> State:
    """The state after these events, from the start or on top of a snapshot."""
    state = State.new(run) if state is None else state
    for event in events:
        apply(state, event)
    return state
