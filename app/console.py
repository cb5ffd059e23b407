"""The console: one Textual app that holds the model, one task that listens to the engine, and the screens.

Rules: nothing here waits for the engine on the way to a keypress; the engine may come and go, the console stays, keeps
what it knows and says how old it is; whatever ends us, the terminal is given back.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import select
import signal
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import crash, terminal
from app import settings as stored

terminal.prepare()

from textual._compositor import ChopsUpdate  # noqa: E402  Textual reads its settings when it is imported
from textual.app import ScreenStackError  # noqa: E402
from textual.binding import Binding  # noqa: E402
from textual.screen import Screen  # noqa: E402

import themes  # noqa: E402
from app.alerting import Alerted  # noqa: E402
from app.drafts import Drafting  # noqa: E402
from app.frames import CroppedUpdate  # noqa: E402
from app.lending import Lending  # noqa: E402
from app.looks import Looks  # noqa: E402
from app.manual import Reading  # noqa: E402
from app.prompting import Prompting  # noqa: E402
from app.remembered import Remembered  # noqa: E402
from app.tour import Touring  # noqa: E402
from engine.contract.client import EngineUnreachable, Refused  # noqa: E402
from screens import acts, keymap  # noqa: E402
from screens.acts import Act  # noqa: E402
from screens.base import ModelChanged, QScreen  # noqa: E402
from screens.model import Link, Model  # noqa: E402
from screens.widgets.clean import clean  # noqa: E402
from screens.widgets.parts import Part  # noqa: E402

if TYPE_CHECKING:
    from engine.contract.client import Client
    from engine.contract.system import Changes, WatchSnapshot

TICK_S = 0.2
"""Changes are applied at most five times a second: faster than people read, cheap over a thin line."""
RETRY_FIRST_S, RETRY_CAP_S = 0.25, 5.0
LAG_S = 3.0
"""Behind by more than this, the feed is joined again at its head (an SSH channel hides megabytes of old news)."""


class Console(Alerted, Drafting, Touring, Reading, Lending, Looks, Prompting, inherit_bindings=False):
    CSS_PATH = [Path(sheet) for sheet in themes.SHEETS]
    ENABLE_COMMAND_PALETTE = False
    TITLE = "Quarterdeck"
    BINDINGS = [Binding("ctrl+c", "interrupt", show=False, priority=True), *Reading.KEYS, *Touring.TOUR_KEYS]

    def __init__(
        self,
        client: Client,
        *,
        first: WatchSnapshot | None = None,
        settings: Path | None = None,
        crashes: Path | None = None,
        start: str = "",
    ) -> None:
        from app.driver import ConsoleDriver

        super().__init__(driver_class=ConsoleDriver)
        self.client = client
        self.model = Model(only_looks=bool(getattr(client, "only_looks", False)))
        if first is not None:
            self.model.load(first)
        self._first = first
        self._settings_path = settings
        self._settings = stored.read(settings)
        self.remembered = Remembered(settings)
        self._crashes = crashes
        self._start = start
        self._pending: list[Changes] = []
        self._applying = False
        self._asked_again = asyncio.Event()
        self._interrupted_at = 0.0
        self._offset: float | None = None
        self.exit_code = 0
        self.notices: deque[tuple[float, list[Part]]] = deque(maxlen=200)
        self.dress(self._settings.get("theme"), settings.parent / "themes" if settings else None)

    # -- life ---------------------------------------------------------------------------------------------------

    def get_default_screen(self) -> Screen[Any]:
        from screens.watch import WatchScreen

        self._roots["watch"] = WatchScreen()
        return self._roots["watch"]

    def on_mount(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not the main thread: tests
            loop.add_signal_handler(signal.SIGTERM, self._bye, signal.SIGTERM)
            loop.add_signal_handler(signal.SIGHUP, self._bye, signal.SIGHUP)
        good, problems = keymap.accepted(self._settings.get("keys", {}))
        acts.moved.update(good)
        self.set_keymap(good)
        for problem in problems:
            self.keep_notice([(problem, "caution")])
        self.watch_looks()
        if not self.is_headless:
            self.set_interval(1.0, self._check_terminal)
        self.call_after_refresh(_collect_seldom)
        self.call_after_refresh(self.ask_oncall)
        self._listener = asyncio.create_task(self._listen(), name="listener")
        if self._start:
            self.call_after_refresh(self.run_line, self._start)

    async def on_unmount(self) -> None:
        self.hush()
        self._keep_drafts()
        self._listener.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await asyncio.wait_for(self._listener, 0.5)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self.client.close(), 0.5)

    def _bye(self, number: signal.Signals) -> None:
        """SIGTERM, SIGHUP: give the terminal back and go, at once; nothing here needs saving by then."""
        self.exit_code = 128 + number
        if number == signal.SIGHUP:
            self._leave_now(129)
        self.exit(self.exit_code, return_code=self.exit_code)

    def _leave_now(self, code: int) -> None:
        """There is no terminal any more, or it must be left without waiting for anybody."""
        self._keep_drafts()
        restore = getattr(self._driver, "restore", None)
        if restore is not None:
            restore()
        os._exit(code)

    def _check_terminal(self) -> None:
        """A closed pty whose SIGHUP was ignored would otherwise spin at full load for ever."""
        poller = select.poll()
        try:
            poller.register(0, select.POLLIN)
            gone = any(mask & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, mask in poller.poll(0))
        except (OSError, ValueError):
            gone = True
        if gone:
            self._leave_now(129)

    def _handle_exception(self, error: Exception) -> None:
        """Our own end: report without values, terminal restored by Textual's way out, exit code 1."""
        self.exit_code = self._return_code = 1
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        where = ""
        with contextlib.suppress(ScreenStackError):
            where = type(self.screen).__name__
        path = crash.report(error, self._crashes, doing=where)
        self._keep_drafts()
        note = f"a report is in {path}" if path else "no report could be written"
        from rich.text import Text

        self.panic(
            Text(f"The console broke ({type(error).__name__} in {where or 'start'}); the engine goes on. {note}.")
        )

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        if type(renderable) is ChopsUpdate:
            renderable = CroppedUpdate.of(renderable)
        super()._display(screen, renderable)

    # -- listening ----------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Connect, load, follow; on loss say so and try again, for ever."""
        wait = RETRY_FIRST_S
        while True:
            reason = "the feed ended"
            try:
                if self._first is not None:
                    self._first = None
                    self._shout()
                else:
                    snapshot = await self.client.watch()
                    self.model.load(snapshot)
                    self._offset = None
                    self._shout(relinked=True)
                wait = RETRY_FIRST_S
                async for changes in self.client.changes(after=self.model.seq):
                    if self._behind(changes):
                        reason = ""
                        break
                    self._pending.append(changes)
                    self._apply_soon()
                    if changes.dropped:
                        reason = ""
                        break
            except asyncio.CancelledError:
                raise
            except EngineUnreachable as error:
                reason = str(error) or "no answer"
            except Refused as error:
                reason = error.problem.reason
                wait = RETRY_CAP_S
            except Exception as error:  # noqa: BLE001  a console that dies of a bad answer shows nothing at all
                reason = f"an answer could not be read ({type(error).__name__})"
                crash.report(error, self._crashes, doing="listening")
            self._apply()
            if reason:
                self.model.set_link(Link.LOST, clean(reason, 160), time.monotonic() + wait)
                self._shout()
                self._asked_again.clear()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._asked_again.wait(), wait)
                wait = min(wait * 2, RETRY_CAP_S)

    def _behind(self, changes: Changes) -> bool:
        """Old news: measured against the quickest delivery seen, so that two machines' clocks may differ."""
        delay = time.time() - changes.sent
        self._offset = delay if self._offset is None else min(self._offset, delay)
        self.model.lag_s = max(0.0, delay - self._offset)
        return self.model.lag_s > LAG_S

    def _apply_soon(self) -> None:
        if not self._applying:
            self._applying = True
            self.set_timer(TICK_S, self._apply)

    def _apply(self) -> None:
        self._applying = False
        if self._pending:
            pending, self._pending = self._pending, []
            for changes in pending:
                self.model.apply(changes)
            self.hear(pending)
            self._shout()

    def _shout(self, *, relinked: bool = False) -> None:
        """Tell the screen in front; covered ones catch up when they come back."""
        with contextlib.suppress(ScreenStackError):
            screen = self.screen
            screen.post_message(ModelChanged())
            if relinked and isinstance(screen, QScreen):
                screen.call_later(screen.refetch)

    def ask_again(self) -> None:
        """Try at once instead of waiting for the next try."""
        self._asked_again.set()

    # -- acts of the console ------------------------------------------------------------------------------------

    def act_as(self, person: str) -> None:
        """Be another person of the sandbox: every screen is asked for again, since what may be done differs."""
        me = self.model.me
        if me is None or not me.people:
            self.tell(("only the sandbox has people to be; elsewhere log in as yourself", "caution"))
        elif person not in me.people:
            self.tell((f"nobody is called {clean(person, 40)!r}; there are {', '.join(me.people)}", "caution"))
        else:
            self.client.act_as(person)
            self.tell("you are now ", (person, "strong"), seconds=3.0)
            self._listener.cancel()
            self._listener = asyncio.create_task(self._listen(), name="listener")

    def perform(self, act: Act) -> None:
        """Acts of the console itself, and those a screen has no method for."""
        name = act.name.removeprefix("console.")
        if act.name in acts.ROOTS:
            self.go(name)
        elif name == "theme":
            self.use_theme("")
        elif name == "help":
            from screens.help import HelpScreen

            self.push_screen(HelpScreen(self.front()))
        elif name == "palette":
            from screens.palette import PaletteScreen

            self.push_screen(PaletteScreen(self.front(), self.lines()))
        elif name == "notices":
            from screens.help import NoticesScreen

            self.push_screen(NoticesScreen())
        elif name == "refresh":
            self.ask_again()
        elif name in ("mark", "return", "count"):
            self.await_operand(name)
        elif name in ("previous", "next"):
            self.step(-1 if name == "previous" else 1)
        else:
            self.tell((f"{act.verb} can't be done on this screen", "caution"))

    def action_interrupt(self) -> None:
        """ctrl+c twice within two seconds leaves."""
        now = time.monotonic()
        if now - self._interrupted_at < 2.0:
            self.exit(0)
        else:
            self._interrupted_at = now
            self.tell("^C once more leaves; the engine goes on either way", seconds=2.0)

    def before_key(self) -> None:
        """A notice has been seen when the next key comes."""
        self.looked()
        if isinstance(self.screen, QScreen):
            self.screen.unsay()

    # -- telling, copying, themes -------------------------------------------------------------------------------

    def tell(self, *parts: Part, seconds: float = 6.0) -> None:
        """A notice on the screen in front."""
        with contextlib.suppress(StopIteration):
            self.front().say(*parts, seconds=seconds)

    def keep_notice(self, parts: list[Part]) -> None:
        self.notices.append((time.time(), parts))

    def copy_text(self, text: str) -> bool:
        """To the clipboard of the terminal the person sits at. False when there is none, or the text is too long."""
        from app import copying

        return copying.copy(self._driver, text, os.environ)

    def kept(self, name: str) -> Any:
        """A setting of this person, or None."""
        return self._settings.get(name)

    def keep(self, name: str, value: Any) -> None:
        self._settings[name] = value
        stored.write(self._settings_path, self._settings)


def _collect_seldom() -> None:
    """What stands after the first frame stays: a full collection that walks it costs a visible pause."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    gc.enable()
