"""The names an expression may use. A value is built only when it is asked for: most expressions are one dotted path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from engine.core.state import State, Token, described

Json = Any


class Environment(Mapping[str, Json]):
    """The names an expression may use at one token; each is built only when it is asked for.

    `inputs`, `attributes`, `run`, `steps` (a step of the own scope hides one of an outer scope with the same name),
    the enclosing maps' `as` names and `index`, and, where they exist, `sample`, `event` and `error`.
    """

    __slots__ = ("_extra", "_state", "_token")

    def __init__(self, state: State, token: Token, extra: Mapping[str, Json] | None = None) -> None:
        self._state, self._token, self._extra = state, token, extra

    def __getitem__(self, name: str) -> Json:
        if self._extra is not None and name in self._extra:
            return self._extra[name]
        build = _NAMES.get(name)
        if build is not None:
            return build(self._state, self._token)
        for token in lineage(self._state, self._token):
            if token.as_name == name:
                return token.item
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        names = set(_NAMES)
        names.update(token.as_name for token in lineage(self._state, self._token) if token.as_name)
        names.update(self._extra or ())
        return iter(sorted(names))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return (
            name in _NAMES
            or (self._extra is not None and name in self._extra)
            or any(token.as_name == name for token in lineage(self._state, self._token))
        )


def lineage(state: State, token: Token) -> Iterator[Token]:
    """The token, then the tokens whose maps it stands in, inside out."""
    yield token
    while token.scope:
        token = state.tokens[token.parent]
        yield token


def _steps(state: State, token: Token) -> Json:
    if not token.scope:
        return token.results
    merged: dict[str, Json] = {}
    for one in reversed(list(lineage(state, token))):
        merged.update(one.results)
    return merged


def _run(state: State, token: Token) -> Json:
    return {
        "id": state.run,
        "workflow": state.workflow,
        "version": state.version,
        "digest": state.digest,
        "started_by": state.by,
        "started_at": state.started_at,
        "trigger": state.trigger,
        "parent": state.parent,
        "attributes": state.attributes,
        "cause": described(state.cause),
        "undone": list(state.undone),
        "undo_failed": list(state.undo_failed),
    }


def _error(state: State, token: Token) -> Json:
    """The newest failure that was taken care of on the way here, nearest scope first."""
    return described(next((one.error for one in lineage(state, token) if one.error is not None), None))


def _event(state: State, token: Token) -> Json:
    """The newest event that moved the token, nearest scope first."""
    return next((one.event for one in lineage(state, token) if one.event is not None), None)


_NAMES: dict[str, Callable[[State, Token], Json]] = {
    "inputs": lambda state, token: state.inputs,
    "attributes": lambda state, token: state.attributes,
    "steps": _steps,
    "run": _run,
    "index": lambda state, token: token.index,
    "error": _error,
    "event": _event,
    "sample": lambda state, token: None,
}
