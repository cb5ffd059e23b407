"""Keys are taken one after the other, each by the screen that stands there when its turn comes.

Textual forwards every key to the widget focused at that instant, so what is typed quickly (or pasted, or sent through
tmux) reaches the old screen: `:run 42` would press 4, `C` twice could answer its own question. Here bindings run in the
app's own order; while a screen or the prompt is still being put up, keys wait for it.
"""

from __future__ import annotations

from collections import deque
from typing import Any
from weakref import WeakSet

from textual import events
from textual.app import App
from textual.screen import Screen
from textual.widget import Widget

PATIENCE_S = 1.0
"""Keys never wait longer than this for a screen."""
SUBMIT_S = 0.15
"""After Enter or Esc in a text entry: time for what it starts."""


class OrderedKeys(App[int], inherit_bindings=False):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._typed: deque[events.Key] = deque()
        self._settled_screens: WeakSet[Screen[Any]] = WeakSet()
        self._awaited: Screen[Any] | None = None
        self._held = False

    def hold_keys(self, seconds: float = PATIENCE_S) -> None:
        """Keys wait until `release_keys`, at most `seconds`."""
        self._held = True
        self.set_timer(seconds, self.release_keys)

    def release_keys(self) -> None:
        if self._held:
            self._held = False
            self.call_later(self._take_typed)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key) and not event.is_forwarded:
            self._typed.append(event)
            await self._take_typed()
        else:
            await super().on_event(event)

    async def _take_typed(self) -> None:
        while self._typed and self._may_take():
            await self._take(self._typed.popleft())

    def _may_take(self) -> bool:
        if self._held or not self.screen_stack:
            return False
        screen = self.screen
        if screen in self._settled_screens:
            return True
        if self._awaited is not screen:
            self._awaited = screen
            screen.call_after_refresh(self._settled, screen)
            self.set_timer(PATIENCE_S, lambda: self._settled(screen))
        return False

    def _settled(self, screen: Screen[Any]) -> None:
        """The screen is mounted and has its focus."""
        if screen not in self._settled_screens:
            self._settled_screens.add(screen)
            self.call_later(self._take_typed)

    async def _take(self, event: events.Key) -> None:
        self.before_key()
        if await self._check_bindings(event.key, priority=True):
            return
        focused = self.focused
        if focused is not None and takes_text(focused):
            if event.key in ("enter", "escape", "ctrl+g"):
                self.hold_keys(SUBMIT_S)
            focused._forward_event(event)
        elif not await self.took(event) and not await self._check_bindings(event.key):
            self.unbound(event)
            (focused or self.screen)._forward_event(event)

    async def took(self, event: events.Key) -> bool:
        """Whether a key belonged to the one before it (a count, the letter of a mark), and was used up."""
        return False

    def unbound(self, event: events.Key) -> None:
        """A key that nothing here has a meaning for."""

    def before_key(self) -> None:
        """A key is about to be taken."""


def takes_text(widget: Widget) -> bool:
    """An input: letters are text there, not acts; it gets every key itself, in its own order."""
    return widget.check_consume_key("a", "a")
