"""Named pause points for race tests. In production nothing is registered and `reach` is one dictionary test.

A test registers a callable under a name (`at("commit.before", hook)`); it runs in the thread that reaches the point
and may block, raise, or kill the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

HOOKS: dict[str, Callable[[], None]] = {}


def reach(name: str) -> None:
    """Called at the point."""
    hook = HOOKS.get(name)
    if hook is not None:
        hook()


@contextmanager
def at(name: str, hook: Callable[[], None]) -> Iterator[None]:
    """Runs `hook` whenever the point is reached inside the block."""
    HOOKS[name] = hook
    try:
        yield
    finally:
        HOOKS.pop(name, None)
