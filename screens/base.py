"""The grammar of every screen: header, verdict line, body, action bar; and how a key becomes a command.

Rules: a screen reads the model and never waits for the network; what it must fetch, it fetches in a worker (`ask`).
A key that can't be used says why. Nothing blanks when the engine is lost: the verdict line says so, with the data's age.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from textual.app import ComposeResult
from textual.message import Message
from textual.screen import Screen

from engine.contract.client import EngineUnreachable, Refused
from engine.contract.common import CommandAnswer, Problem
from screens import acts, chrome
from screens.acts import EVERYWHERE, REGISTRY, Act, Reason
from screens.filtering import Filtering
from screens.marking import TableActs
from screens.model import Delta, Link, Model
from screens.sending import Question, Sending, Target
from screens.widgets.line import Lines
from screens.widgets.line_table import LineTable
from screens.widgets.parts import Part, fit, width, wrap

if TYPE_CHECKING:
    from engine.contract.client import Client
    from screens.widgets.prompt import Prompt

T = TypeVar("T")
__all__ = ["ModelChanged", "QScreen", "Question", "Target"]
ASK_AGAIN_S = 2.0


class ModelChanged(Message, bubble=False):
    """Look at the model. Carries nothing, so the newest stands for all."""

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, ModelChanged)


class QScreen(TableActs, Filtering, Sending, Screen[Any], inherit_bindings=False):
    """Base of all screens. Subclasses set `NAME`, `TITLE_WORD`, `ACTS`, and override what they need of the hooks below."""

    NAME: ClassVar[str] = ""
    TITLE_WORD: ClassVar[str] = ""
    ACTS: ClassVar[tuple[str, ...]] = ()
    ROOT: ClassVar[bool] = False
    OWN_DIGITS: ClassVar[bool] = False
    """The digits mean something of this screen's own, not the root screens (which `:noun` still reaches)."""
    AUTO_FOCUS = "LineTable"

    def __init_subclass__(cls, **options: Any) -> None:
        cls.BINDINGS = [*acts.bindings(cls.ACTS), *acts.bindings(cls.everywhere(), cls.own_keys())]
        super().__init_subclass__(**options)

    def __init__(self) -> None:
        super().__init__()
        self._troubles: dict[str, Problem] = {}
        self.refused: Problem | None = None
        """The last refusal of this screen: F1 opens its page."""
        self.filter = ""
        self._seen = -1
        self._notice: list[Part] | None = None
        self._notice_timer: Any = None
        self._prompt: Prompt | None = None
        self.place: tuple[str, str] = (self.NAME, "") if self.ROOT else ("", "")
        """Noun and id, as `:noun id` has them; empty for a view of something else."""
        self.count = 0
        """The count typed before the key that is being carried out; 0: none."""
        self._sought = ""

    @classmethod
    def everywhere(cls) -> tuple[str, ...]:
        """The acts of the console that have their keys here. A key the screen gives a meaning of its own has that alone;
        what it would do elsewhere is still in the palette, and a root screen or a theme is a `:` word.
        """
        own = cls.own_keys()
        digits = {name for name in acts.ROOTS if acts.act(name).key.isdigit()} if cls.OWN_DIGITS else set()
        return tuple(
            name
            for name in EVERYWHERE
            if name not in digits and (acts.free(acts.act(name), own) or not acts.act(name).key)
        )

    @classmethod
    def own_keys(cls) -> frozenset[str]:
        """The keys that this screen gives a meaning of its own."""
        return frozenset(key for name in cls.ACTS for key in acts.act(name).key.split(","))

    # -- what a screen overrides --------------------------------------------------------------------------------

    def body(self) -> ComposeResult:
        """The widgets between verdict line and action bar."""
        yield from ()

    def verdict(self) -> list[Part]:
        """One sentence: what matters here now."""
        return []

    def model_changed(self, delta: Delta | None) -> None:
        """The model moved on; None = everything may have. Called only while the screen is in front, at most 5 Hz."""

    def each_second(self) -> None:
        """Ages and countdowns. Rows whose text did not change cost nothing."""

    def target(self) -> Target | None:
        """What keys act on now."""
        return None

    def why_not(self, act: Act) -> Reason | None:
        """This screen's own reasons against an act (for instance the `verbs` the engine sent with a detail)."""
        return None

    def args_for(self, act: Act) -> dict[str, Any]:
        """Arguments known before anything is asked (evidence digest, step under the cursor)."""
        return {}

    def done(self, act: Act, answer: CommandAnswer) -> None:
        """A command of this screen was accepted."""

    def refetch(self) -> None:
        """Ask the engine again for what this screen fetched. Called when the link is back, and by ctrl+r."""

    def failed(self, problem: Problem) -> None:
        """Something this screen asked for was refused or not answered."""

    # -- shared machinery ---------------------------------------------------------------------------------------

    @property
    def console(self) -> Any:
        """The app that holds this screen (`app.console.Console`)."""
        return self.app

    @property
    def model(self) -> Model:
        model: Model = self.app.model  # type: ignore[attr-defined]
        return model

    @property
    def trouble(self) -> Problem | None:
        """Why something could not be fetched; shown on the verdict line until it can."""
        return next(iter(self._troubles.values()), None)

    @property
    def client(self) -> Client:
        client: Client = self.app.client  # type: ignore[attr-defined]
        return client

    def compose(self) -> ComposeResult:
        yield Lines(id="header")
        yield Lines(id="verdict")
        yield from self.body()
        yield Lines(id="bar")

    def on_mount(self) -> None:
        self.set_interval(1.0, self._second)
        self.refresh_model(everything=True)

    @property
    def crumb(self) -> str:
        """What this screen is called in the header."""
        return self.place[1] or self.TITLE_WORD

    @property
    def row(self) -> str:
        """The key under the cursor, if there is a list."""
        return next((table.cursor_key for table in self.query(LineTable) if table.display), "")

    def seek(self, row: str) -> None:
        """Put the cursor on a row as soon as it is there."""
        self._sought = "" if any(table.go_to(row) for table in self.query(LineTable)) else row

    def on_screen_resume(self) -> None:
        self.console.arrived(self)
        for table in self.query(LineTable):
            table.wake()
        self.refresh_model()

    def on_resize(self) -> None:
        self.refresh_chrome()

    def on_model_changed(self, message: ModelChanged) -> None:
        if self.is_active:
            self.refresh_model()

    def on_line_table_moved(self, message: LineTable.Moved) -> None:
        self.refresh_chrome()

    def on_lines_hit(self, message: Lines.Hit) -> None:
        self.perform(REGISTRY[message.act])

    def refresh_model(self, *, everything: bool = False) -> None:
        """Catch up with the model."""
        if not self.is_mounted:
            return
        delta = None if everything or self._seen < 0 else self.model.since(self._seen)
        if delta is None or delta != Delta() or self.model.version != self._seen:
            self._seen = self.model.version
            self.model_changed(delta)
        self.refresh_chrome()

    def refresh_chrome(self) -> None:
        """Header, verdict line, action bar. Only cells that differ are painted."""
        if not self.is_mounted or not self.is_active:
            return
        self.query_one("#header", Lines).show(chrome.header(self.model, self.size.width, self.console.crumbs()))
        verdict = self.query_one("#verdict", Lines)
        said = self._verdict()
        lines: list[list[Part]] = [said]
        if width(said) > self.size.width:
            room = max(20, self.size.width - 1)
            lines = [list(line) for line in wrap(said, room, 1)]
            if len(lines) > 2:  # what is cut says so
                lines[1:] = [list(fit([part for line in lines[1:] for part in line], room))]
        if verdict.styles.height is None or verdict.styles.height.value != len(lines):
            verdict.styles.height = len(lines)
        verdict.show(*((list(line), []) for line in lines))
        if self._prompt is None:
            bar = self.query_one("#bar", Lines)
            if self._notice is not None:
                bar.show(*chrome.notice(self._notice, self.size.width))
            else:
                shown, hits = chrome.bar(self, self.size.width)
                bar.show(*shown, hits=hits)

    def _verdict(self) -> list[Part]:
        link = chrome.link_sentence(self.model)
        if link:
            return link
        if self.trouble is not None:
            fix = f" \u2014 {self.trouble.fix}" if self.trouble.fix else ""
            return [(" \u2717 ", "alarm"), (f"{self.trouble.reason}{fix}", "alarm")]
        return [" ", *self.verdict()]

    def _second(self) -> None:
        if self.is_active:
            self.each_second()
            self.refresh_chrome()

    def say(self, *parts: Part, seconds: float = 6.0) -> None:
        """A notice on the action bar; it leaves by itself or with the next key. Kept under `N`."""
        self._notice = [" ", *parts]
        keep = getattr(self.app, "keep_notice", None)
        if keep is not None:
            keep(list(parts))
        if self._notice_timer is not None:
            self._notice_timer.stop()
        self._notice_timer = self.set_timer(seconds, self.unsay)
        self.refresh_chrome()

    def hint(self, *parts: Part) -> None:
        """What the next key is for, on the action bar, until it comes."""
        self._notice = [" ", *parts]
        if self._notice_timer is not None:
            self._notice_timer.stop()
        self.refresh_chrome()

    def unsay(self) -> None:
        if self._notice is not None:
            self._notice = None
            self.refresh_chrome()

    def ask(
        self, what: Callable[[], Awaitable[T]], got: Callable[[T], None], *, group: str = "fetch", quiet: bool = False
    ) -> None:
        """Fetch in a worker; a newer question of the same group cancels the older one. Failures become `trouble`."""

        async def work() -> Any:
            try:
                answer = await what()
            except EngineUnreachable as error:
                if not quiet:
                    again = Problem(code="unreachable", reason=f"not answered: {error}", fix="asked again by itself")
                    self._trouble(group, again)
                    self.set_timer(ASK_AGAIN_S, self.refetch)
            except Refused as error:
                self._trouble(group, error.problem)
            else:
                self._troubles.pop(group, None)
                if self.is_attached:
                    got(answer)
                    if self._sought:
                        self.seek(self._sought)
            if self.is_attached:
                self.refresh_chrome()

        self.run_worker(work, group=group, exclusive=True, exit_on_error=False)

    def _trouble(self, group: str, problem: Problem) -> None:
        self._troubles[group] = problem
        if self.is_attached:
            self.failed(problem)

    # -- acts ---------------------------------------------------------------------------------------------------

    def reason_against(self, act: Act) -> Reason | None:
        """Why `act` can't be used now, or None."""
        if act.command:
            blocked = self.model.blocked()
            if blocked:
                return Reason(blocked)
            if act.target and self.target() is None:
                return Reason(f"no {act.target} is selected")
        reason = act.enabled(self) if act.enabled is not None else None
        if reason is not None or act.name in EVERYWHERE:  # the way back and out is never a screen's to bar
            return reason
        return self.why_not(act)

    def action_act(self, name: str) -> None:
        self.perform(REGISTRY[name])

    def perform(self, act: Act) -> None:
        """What a key, the palette or a click does."""
        if self.on_marks(act):
            return
        reason = self.reason_against(act)
        if reason is not None:
            self.say((f"{acts.shown_key(acts.key_of(act))} {act.verb}: ", "strong"), (str(reason), "caution"))
        elif act.command:
            target = self.target() or Target("", "")
            self.run_worker(self.carry_out(act, target), group="command", exit_on_error=False)
        elif act.do is not None:
            act.do(self)
        else:
            handler = getattr(self, "act_" + act.name.replace(".", "_"), None)
            if handler is not None:
                handler()
            else:
                self.console.perform(act)

    # -- acts of the console that belong to a screen ------------------------------------------------------------

    def act_console_back(self) -> None:
        if self.filter:
            self.set_filter("")
        elif not self.ROOT:
            self.dismiss_or_pop()

    def act_console_quit(self) -> None:
        if self.ROOT:
            self.app.exit(0)
        else:
            self.dismiss_or_pop()

    def dismiss_or_pop(self) -> None:
        if len(self.app.screen_stack) > 1:
            self.app.pop_screen()

    def act_console_refresh(self) -> None:
        self.refetch()
        self.console.ask_again()

    def act_console_copy(self) -> None:
        target = self.target()
        if target is None or not target.id:
            self.say(("nothing under the cursor to copy", "muted"))
        else:
            self.console.copy_text(target.id)
            self.say(("copied ", "muted"), target.id)

    def act_console_region(self) -> None:
        self.focus_next("LineTable, Page")

    def act_console_region_back(self) -> None:
        self.focus_previous("LineTable, Page")

    def act_console_filter(self) -> None:
        self.open_prompt("/", self.filter)

    def act_console_as(self) -> None:
        people = self.model.me.people if self.model.me is not None else ()
        self.say(("people here: ", "muted"), ", ".join(people))
        self.open_prompt(":", "as ")

    def act_console_command(self) -> None:
        self.open_prompt(":")

    # -- the prompt ---------------------------------------------------------------------------------------------

    def open_prompt(self, kind: str, text: str = "") -> None:
        from screens.widgets.prompt import Prompt

        if self._prompt is None:
            self.console.hold_keys()  # what is typed now is meant for the prompt
            self._prompt = Prompt(
                kind, text, suggest=self.console.suggest, past=self.console.past(kind), hints=self.console.hints
            )
            self.mount(self._prompt, before="#bar")
            self.query_one("#bar").display = False

    @property
    def prompt_kind(self) -> str:
        """`/` or `:` while the prompt is open."""
        return str(getattr(self._prompt, "kind", ""))

    def close_prompt(self) -> None:
        if self._prompt is not None:
            self._prompt.remove()
            self._prompt = None
            self.query_one("#bar").display = True
            self.refresh_chrome()
            self.focus_body()

    def focus_body(self) -> None:
        for table in self.query("LineTable, Page"):
            if table.display and table.focusable:
                table.focus()
                return

    def prompt_says(self, wrong: str) -> None:
        """What is wrong with what stands in the prompt."""
        if self._prompt is not None:
            self._prompt.says(wrong)

    def bar_acts(self) -> Iterable[Act]:
        """Acts for the action bar, in order."""
        return sorted((one for one in acts.acts(self.ACTS) if one.order), key=lambda one: one.order)

    @property
    def online(self) -> bool:
        return self.model.link is Link.LIVE
