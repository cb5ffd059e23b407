"""A run as one line: what lists show, computed from the state that a commit leads to. Cost: the active tokens."""

from __future__ import annotations

from itertools import islice
from typing import Any

import msgspec

from engine.core import state as s
from engine.core.definition import Definition
from engine.core.explain import trouble
from engine.core.state import State, Token
from engine.store.records import RunLine

TOKENS = 64
"""How many tokens of a wide map are looked at for the words of a line; the status looks at all."""

_RANK = {s.GATE: 0, s.HELD: 1, s.EVENT: 2, s.CHILD: 3, s.OBSERVE: 4, s.WAIT: 5, s.RETRY: 6, s.DEFERRED: 7, s.CALL: 8}
"""What is worth saying first: a person before a timer, a timer before a machine."""


def status_of(state: State) -> str:
    """The contract's RUN_STATUS word for a state."""
    if not state.open:
        return {"new": "waiting", "timed_out": "failed"}.get(state.status, state.status)
    if state.suspended:
        return "suspended"
    if state.closing == "cancelled" or (state.cancelled_by and state.status != "running"):
        return "cancelling"
    if state.status in ("compensating", "concluding"):
        return "compensating"
    return "running" if state.in_flight else "waiting"


def _token_words(token: Token, definition: Definition) -> str:
    phase = token.phase
    if phase == s.GATE and token.question is not None:
        return token.question.question[:200]
    step = definition.steps.get(token.step)
    name = (step.title or step.name) if step is not None else token.step
    if phase == s.CALL:
        failed = trouble(token)
        return f"{name}: tried again after {failed}" if failed else name
    if phase == s.WAIT:
        return f"{name}: time"
    if phase == s.EVENT:
        return f"{name}: event {token.awaited}"
    if phase == s.OBSERVE:
        failed = trouble(token)
        return f"{name}: observing, the newest sample could not be had: {failed}" if failed else f"{name}: observing"
    if phase == s.RETRY:
        return f"{name}: next attempt after {trouble(token) or 'an error'}"
    if phase == s.DEFERRED:
        return f"{name}: {token.reason[: s.SAID] or 'target busy or offline'}"
    if phase == s.CHILD:
        return f"{name}: run {token.child.id if token.child else ''}"
    return f"{name}: window {token.held}" if phase == s.HELD else ""


def waiting_words(state: State, definition: Definition) -> str:
    """What is waited for, in a few words."""
    if state.lock_wanted and state.lock:
        return f"lock {state.lock}"
    tokens = state.tokens
    if len(tokens) == 1:
        return _token_words(tokens[""], definition) if "" in tokens else ""
    best, rank = None, 9
    for token in islice(tokens.values(), TOKENS):
        here = _RANK.get(token.phase, 9)
        if here < rank:
            best, rank = token, here
    return _token_words(best, definition) if best is not None else ""


def current_step(state: State) -> str:
    """The step the root token stands at, or the last map's."""
    root = state.tokens.get("")
    return root.step if root is not None else ""


def attention(state: State) -> str:
    """Why a person should look: empty, `gate`, `escalation`, `failed`."""
    if state.status in ("failed", "timed_out"):
        return "failed"
    if not state.gates:
        return ""
    for scope in state.gates.values():
        token = state.tokens.get(scope)
        if token is not None and token.question is not None and token.question.escalation:
            return "escalation"
    return "gate"


def attributes_text(values: dict[str, Any]) -> str:
    """Attributes as searched and shown: `site=HAM2 risk=high`."""
    words = []
    for name, value in values.items():
        shown = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        words.append(f"{name}={shown}")
    return " ".join(words)[:2000]


def run_line(number: int, state: State, definition: Definition, now: float, attributes: str) -> RunLine:
    """The row of `runs` for this state."""
    open_ = state.open
    return RunLine(
        number,
        state.workflow,
        state.digest,
        definition.title or state.workflow,
        status_of(state),
        state.started_at,
        now,
        state.ended_at,
        state.ending or ("timed_out" if state.status == "timed_out" else ""),
        waiting_words(state, definition) if open_ else "",
        current_step(state) if open_ else "",
        state.by,
        len(state.gates),
        attention(state),
        state.parent,
        attributes,
    )


def awaited(state: State, definition: Definition) -> list[tuple[str, str, str]]:
    """The events this run would take now, as (path, event, correlate): how a published event finds it."""
    found = []
    for token in state.tokens.values():
        if token.phase == s.EVENT and token.awaited:
            key = token.correlate
            text = "" if key is None else key if isinstance(key, str) else msgspec.json.encode(key).decode()
            found.append((token.path, token.awaited, text))
        step = definition.steps.get(token.step)
        if step is not None:
            found.extend((token.path, interrupt.event, "") for interrupt in step.interrupt)
    return found
