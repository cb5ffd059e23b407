"""One remote system: how it is, what is mirrored of it, what it may and can't do, what was asked of it."""

from __future__ import annotations

from time import monotonic

import msgspec
from textual.app import ComposeResult

from engine.contract.client import EngineUnreachable, Refused
from engine.contract.common import CommandAnswer
from engine.contract.conformance import CheckReport
from engine.contract.records import RecordEvent
from engine.contract.systems import CallPage, KindPage, KindView, MirrorPage, SystemView, TestView
from screens import acts, systems_view
from screens.acts import Act, Level, Reason
from screens.base import QScreen, Target
from screens.connectors import AGAIN_S, KIND, PATH, PATIENCE_S, sync, why_not
from screens.model import Delta
from screens.widgets.parts import Part
from screens.widgets.text import Page

acts.register(
    Act("system.sync", "s", "sync now", target="system", level=Level.SAFE, command="connector.sync", help="Read it now instead of at its next turn", cli="qd connectors sync {id}", order=1),
    Act("system.full", "f", "list anew", target="system", level=Level.SAFE, command="connector.sync", help="List everything again: notices what was deleted there", cli="qd connectors sync {id} --full", order=5),
    Act("system.test", "i", "test", target="system", help="Ask for a sign of life and what the credentials may do", cli="qd connectors test {id}", order=2),
    Act("system.calls", "l", "calls", target="system", help="What was asked of it, newest first, nothing secret", cli="qd connectors logs {id}", order=3),
    Act("system.objects", "o", "objects", target="system", help="What is mirrored of it", cli="qd connectors objects {id}", order=4),
    Act("system.check", "v", "verify", target="system", help="Try every promise of its ports by reading", cli="qd connectors check {id}", order=6),
    Act("system.suspend", "p", "suspend", target="system", level=Level.SAFE, command="connector.suspend", help="Ask nothing of it for now; what needs it waits", cli="qd connectors suspend {id}", order=7),
    Act("system.resume", "S", "resume", target="system", level=Level.CHANGE, command="connector.resume", help="Ask it again; it catches up", cli="qd connectors resume {id}", order=8),
    Act("system.secret", "K", "new secret", target="system", help="Store another secret for it; the old one is forgotten", cli="qd connectors secret {id}", order=9),
    Act("system.set", "E", "edit", target="system", help="Change its settings; they are tested first", cli="qd connectors set {id} --set NAME=VALUE", order=10),
    Act("system.history", "t", "timeline", target="system", help="Who added and changed it", cli="qd records history system {id}", order=11),
    Act("system.remove", "X", "remove", target="system", level=Level.RISK, command="connector.remove", help="Take it away; nothing changes at the system", cli="qd connectors remove {id}", order=12),
)  # fmt: skip

VIEWS = {"calls": "Calls", "objects": "Objects", "check": "Promises", "history": "Timeline"}
LIMIT = 500


class SystemScreen(QScreen):
    NAME = "system"
    TITLE_WORD = "Connectors"
    ACTS = (
        "system.sync",
        "system.test",
        "system.calls",
        "system.objects",
        "system.full",
        "system.check",
        "system.suspend",
        "system.resume",
        "system.secret",
        "system.set",
        "system.history",
        "system.remove",
    )
    AUTO_FOCUS = "Page"

    def __init__(self, system: str) -> None:
        super().__init__()
        self.system = system
        self.one: SystemView | None = None
        self.view = "overview"
        self._calls: CallPage | None = None
        self._objects: MirrorPage | None = None
        self._report: CheckReport | None = None
        self._history: tuple[RecordEvent, ...] = ()
        self._asked_at = 0.0

    # -- showing ------------------------------------------------------------------------------------------------

    def body(self) -> ComposeResult:
        yield Page(id="facts")

    def on_mount(self) -> None:
        super().on_mount()
        self.refetch()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if self.one is not None:
            self.refetch()

    @property
    def _path(self) -> str:
        from urllib.parse import quote

        return f"{PATH}/{quote(self.system, safe='')}"

    def refetch(self) -> None:
        self._asked_at = monotonic()
        self.ask(lambda: self.client.read(self._path, SystemView), self._got)
        if self.view == "calls":
            self.ask(
                lambda: self.client.read(f"{self._path}/log", CallPage, limit=LIMIT),
                self._got_calls,
                group="fetch-calls",
            )
        elif self.view == "objects":
            self.ask(
                lambda: self.client.read("/v1/mirror", MirrorPage, system=self.system, text=self.filter, limit=LIMIT),
                self._got_objects, group="fetch-objects",
            )  # fmt: skip
        elif self.view == "history":
            self.ask(lambda: self.client.record_history(KIND, self.system), self._got_history, group="fetch-history")

    def _got(self, one: SystemView) -> None:
        self.one = one
        self._show()

    def _got_calls(self, page: CallPage) -> None:
        self._calls = page
        self._show()

    def _got_objects(self, page: MirrorPage) -> None:
        self._objects = page
        self._show()

    def _got_history(self, events: tuple[RecordEvent, ...]) -> None:
        self._history = events
        self._show()

    def model_changed(self, delta: Delta | None) -> None:
        if self.one is not None and (delta is None or (KIND, self.system) in delta.records):
            self.refetch()

    def each_second(self) -> None:
        if self.one is not None and monotonic() - self._asked_at > self._again_s and self.online:
            self.refetch()
        self._show()

    @property
    def _again_s(self) -> float:
        """Closer while its first listing is under way: that is what somebody who just added it waits for."""
        waiting = self.one is not None and any(not feed.synced_at and not feed.failures for feed in self.one.feeds)
        return 1.0 if waiting else AGAIN_S

    def on_resize(self) -> None:
        super().on_resize()
        self._show()

    def filter_wrong(self, text: str) -> None:
        """Words are only words here."""

    def filtered(self, text: str) -> None:
        """A filter is about what is mirrored."""
        if self.view != "objects":
            self.view = "objects"
        self.refetch()
        self._show()

    def _show(self) -> None:
        if not self.is_mounted:
            return
        page, one = self.query_one("#facts", Page), self.one
        if one is None:
            page.show([[("Loading \u2026" if self.trouble is None else "Esc goes back to the list.", "muted")]])
            return
        now, cells = self.model.now(), max(40, self.size.width - 3)
        if self.view == "calls" and self._calls is not None:
            page.show(systems_view.calls(self._calls, now, cells))
        elif self.view == "objects" and self._objects is not None:
            page.show(systems_view.objects(self._objects, now, cells))
        elif self.view == "check":
            page.show(systems_view.promises(self._report, cells))
        elif self.view == "history":
            page.show(systems_view.history(self._history, now))
        else:
            page.show(systems_view.facts(one, now, cells))

    def verdict(self) -> list[Part]:
        if self.one is None:
            return [("Loading \u2026", "muted")]
        if self.view != "overview":
            return [(f"{self.system} \u00b7 {VIEWS[self.view]}", "strong"), ("  Esc back to the system", "muted")]
        return systems_view.summary(self.one, self.model.now())

    # -- acting -------------------------------------------------------------------------------------------------

    def target(self) -> Target | None:
        return Target(KIND, self.system, (self.one.kind_title or self.one.system_kind) if self.one is not None else "")

    def why_not(self, act: Act) -> Reason | None:
        if self.one is None:
            return Reason("the system is still loading")
        if act.name == "system.secret" and not self.one.secrets:
            return Reason(f"{self.system} has no secret")
        if act.name == "system.set" and self.one.origin == "settings":
            return Reason(f"{self.system} stands in quarterdeck.yaml", "change it there and start the engine again")
        return why_not(act, self.one)

    async def carry_out(self, act: Act, target: Target) -> None:
        if act.command == "connector.sync":
            await sync(self, act, target)
        else:
            await super().carry_out(act, target)

    def args_for(self, act: Act) -> dict[str, object]:
        return {"full": True} if act.name == "system.full" else {}

    def done(self, act: Act, answer: CommandAnswer) -> None:
        if act.name == "system.remove":
            self.dismiss_or_pop()
        else:
            self.refetch()

    def act_system_test(self) -> None:
        self.run_worker(self._test(), group="command", exit_on_error=False)

    async def _test(self) -> None:
        self.say((f"{self.system}: asked \u2026", "muted"), seconds=PATIENCE_S)
        answer = await self._asked("connector.test", {})
        if answer is None:
            return
        found = msgspec.convert(answer.result, TestView)
        if found.ok:
            lacks = [one.name for one in found.rights if one.has is False]
            missing: list[Part] = [(f"; lacks {', '.join(lacks)}", "caution")] if lacks else []
            self.say(("\u2713 it answers: ", "strong"), found.says, *missing, seconds=12)
        else:
            self.say((f"\u2717 {found.error}", "alarm"), f" {found.fix}", seconds=15)
        self.refetch()

    def act_system_check(self) -> None:
        """Tries the promises; the key once more goes back."""
        if self.view == "check":
            self._look("check")
            return
        self._report = None
        self._look("check")
        self.run_worker(self._check(), group="command", exit_on_error=False)

    async def _check(self) -> None:
        answer = await self._asked("connector.check", {})
        if answer is not None:
            self._report = msgspec.convert(answer.result, CheckReport)
        elif self.view == "check":
            self.view = "overview"
        self._show()

    async def _asked(self, verb: str, args: dict[str, object]) -> CommandAnswer | None:
        """A command that waits for the remote system."""
        try:
            return await self.client.command(verb, self.system, args, patience_s=PATIENCE_S)
        except Refused as error:
            self.say((f"refused: {error.problem.reason}", "caution"), f" {error.problem.fix}", seconds=12)
        except EngineUnreachable as error:
            self.say((f"no answer ({error})", "caution"))
        return None

    def act_system_calls(self) -> None:
        self._look("calls")

    def act_system_objects(self) -> None:
        self._look("objects")

    def act_system_history(self) -> None:
        self._look("history")

    def act_system_secret(self) -> None:
        from screens.add_connector import secret_form

        if self.one is not None:
            self.console.ask_form(secret_form(self.client, self.one, lambda answer: self.act_system_test()))

    def act_system_set(self) -> None:
        if self.one is not None:
            self.ask(lambda: self.client.read(f"{PATH}/kinds", KindPage), self._edit, group="fetch-kinds")

    def _edit(self, page: KindPage) -> None:
        from screens.add_connector import change_form

        one = self.one
        kind: KindView | None = next(
            (each for each in page.kinds if one is not None and each.kind == one.system_kind), None
        )
        if one is None or kind is None:
            self.say((f"no connector of the kind {one.system_kind if one else ''} is installed", "caution"))
        else:
            self.console.ask_form(change_form(self.client, kind, one, lambda answer: self.refetch()))

    def _look(self, view: str) -> None:
        """A view; its key once more, or Esc, goes back to the system."""
        self.view = "overview" if self.view == view else view
        self.refetch()
        self._show()
        self.query_one("#facts", Page).scroll_to(y=0, animate=False, immediate=True)

    def act_console_back(self) -> None:
        if self.view != "overview":
            if self.filter:
                self.set_filter("")
            self._look(self.view)
        else:
            super().act_console_back()
