"""Connectors: the remote systems, what needs somebody first; add one, read one now, give one a rest."""

from __future__ import annotations

from time import monotonic

from textual.app import ComposeResult
from textual.containers import Container

from engine.contract.common import CommandAnswer
from engine.contract.systems import SystemPage, SystemView
from screens import acts, systems_view
from screens.acts import Act, Level, Reason
from screens.base import QScreen, Target
from screens.model import Delta
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.text import Page

KIND = "system"
PATH = "/v1/connectors"
AGAIN_S = 5.0
"""Real seconds between looks while the screen is in front: health changes without any event of ours."""
PATIENCE_S = 300.0
"""As long as a remote system may take for a full listing that somebody asked for."""
WIDE = 140

acts.register(
    Act("connectors.open", "enter", "open", target="system", help="Health, what is mirrored, rights, what it can't do", cli="qd connectors show {id}", order=1),
    Act("connectors.add", "plus", "add", help="Add a system: choose its kind, answer what it asks for", cli="qd connectors add KIND NAME --url URL", order=2),
    Act("connectors.sync", "s", "sync now", target="system", level=Level.SAFE, command="connector.sync", help="Read it now instead of at its next turn", cli="qd connectors sync {id}", order=3),
    Act("connectors.suspend", "p", "suspend", target="system", level=Level.SAFE, command="connector.suspend", help="Ask nothing of it for now; what needs it waits", cli="qd connectors suspend {id}", order=4),
    Act("connectors.resume", "S", "resume", target="system", level=Level.CHANGE, command="connector.resume", help="Ask it again; it catches up", cli="qd connectors resume {id}", order=5),
)  # fmt: skip

COLUMNS = (
    Column("system", 12, grow=1),
    Column("kind", 12, optional=2),
    Column("health", 11),
    Column("serves", 9, grow=2, optional=1),
    Column("objects", 7, align="right"),
    Column("synced", 7, align="right"),
    Column("what it says", 18, grow=4),
)


class ConnectorsScreen(QScreen):
    NAME = "connectors"
    TITLE_WORD = "Connectors"
    ACTS = ("connectors.open", "connectors.add", "connectors.sync", "connectors.suspend", "connectors.resume")
    ROOT = True
    AUTO_FOCUS = "#systems"
    CSS = """
    ConnectorsScreen #both { layout: vertical; height: 1fr; width: 1fr; }
    ConnectorsScreen #about { display: none; }
    ConnectorsScreen #both.-wide { layout: horizontal; }
    ConnectorsScreen #both.-wide #systems { width: 1fr; }
    ConnectorsScreen #both.-wide #about { display: block; width: 1fr; border-left: solid $qd-cursor-away; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._page: SystemPage | None = None
        self._asked_at = 0.0

    def body(self) -> ComposeResult:
        with Container(id="both"):
            yield LineTable(COLUMNS, empty=("Loading \u2026",), id="systems")
            yield Page(id="about")

    def on_mount(self) -> None:
        super().on_mount()
        self.refetch()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if self._page is not None:
            self.refetch()

    def refetch(self) -> None:
        self._asked_at = monotonic()
        self.ask(lambda: self.client.read(PATH, SystemPage), self._got)

    def _got(self, page: SystemPage) -> None:
        self._page = page
        self._show()

    def model_changed(self, delta: Delta | None) -> None:
        moved = delta is None or any(kind == KIND for kind, _ in delta.records)
        if self._page is not None and moved:
            self.refetch()

    def each_second(self) -> None:
        if self._page is not None and monotonic() - self._asked_at > AGAIN_S and self.online:
            self.refetch()
        self._show()

    def on_line_table_moved(self, message: LineTable.Moved) -> None:
        super().on_line_table_moved(message)
        self._show_about()

    def on_resize(self) -> None:
        super().on_resize()
        self._show()

    # -- showing ------------------------------------------------------------------------------------------------

    def systems(self) -> list[SystemView]:
        return sorted(self._page.systems, key=systems_view.rank) if self._page is not None else []

    def at_cursor(self) -> SystemView | None:
        key = self.query_one("#systems", LineTable).cursor_key if self.is_mounted else ""
        return next((one for one in self.systems() if one.id == key), None)

    def _show(self) -> None:
        if not self.is_mounted or self._page is None:
            return
        rows, now, table = self.systems(), self.model.now(), self.query_one("#systems", LineTable)
        table.empty = (
            "No remote system is connected yet. + adds one: it asks for what it needs, and is read at once.",
        )
        self.query_one("#both").set_class(self.size.width >= WIDE and bool(rows), "-wide")
        table.merge([(one.id, systems_view.cells(one, now)) for one in rows])
        self._show_about()

    def _show_about(self) -> None:
        one = self.at_cursor()
        if not self.query_one("#both").has_class("-wide"):
            return
        page = self.query_one("#about", Page)
        if one is None:
            page.show([])
            return
        now, cells = self.model.now(), max(40, page.size.width - 3)
        page.show([systems_view.summary(one, now), [""], *systems_view.facts(one, now, cells)])

    def verdict(self) -> list[Part]:
        if self._page is None:
            return [("Loading \u2026", "muted")]
        if not self._page.systems:
            return ["No remote system is connected."]
        return systems_view.verdict(self._page.systems, self.model.now())

    # -- acting -------------------------------------------------------------------------------------------------

    def target(self) -> Target | None:
        one = self.at_cursor()
        return Target(KIND, one.id, one.kind_title or one.system_kind) if one is not None else None

    def why_not(self, act: Act) -> Reason | None:
        return why_not(act, self.at_cursor())

    async def carry_out(self, act: Act, target: Target) -> None:
        if act.command == "connector.sync":
            await sync(self, act, target)
        else:
            await super().carry_out(act, target)

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self.console.open(KIND, message.key)

    def act_connectors_open(self) -> None:
        one = self.at_cursor()
        if one is not None:
            self.console.open(KIND, one.id)

    def act_connectors_add(self) -> None:
        from screens.add_connector import KindsScreen

        self.console.push_screen(KindsScreen())


def why_not(act: Act, one: SystemView | None) -> Reason | None:
    """Why an act can't be done to a system now."""
    if one is None or not act.command:
        return None
    if act.command == "connector.suspend" and one.state == "suspended":
        return Reason(f"{one.id} is suspended already")
    if act.command == "connector.resume" and one.state != "suspended":
        return Reason(f"{one.id} is not suspended")
    if act.command == "connector.sync" and one.state == "suspended":
        return Reason(f"{one.id} is suspended", "S asks it again")
    if act.command == "connector.sync" and not one.feeds:
        return Reason(f"nothing of {one.id} is mirrored")
    if act.command in ("connector.remove", "connector.set") and one.origin == "settings":
        return Reason(f"{one.id} stands in quarterdeck.yaml", "change it there and start the engine again")
    return None


async def sync(screen: QScreen, act: Act, target: Target) -> None:
    """A manual sync: it takes as long as the owner does; the list shows it meanwhile."""
    from engine.contract.client import EngineUnreachable, Refused

    screen.say((f"{target.id}: being read \u2026", "muted"), seconds=PATIENCE_S)
    try:
        answer = await screen.client.command("connector.sync", target.id, screen.args_for(act), patience_s=PATIENCE_S)
    except Refused as error:
        screen.say((f"sync refused: {error.problem.reason}", "caution"), f" {error.problem.fix}", seconds=12)
        return
    except EngineUnreachable as error:
        screen.say((f"sync: no answer ({error})", "caution"))
        return
    told = answer.result.get("feeds", []) if isinstance(answer.result, dict) else []
    failed = [feed for feed in told if feed.get("error")]
    if failed:
        screen.say((f"{target.id}: {failed[0].get('kind')}: {failed[0].get('error')}", "alarm"), seconds=12)
    else:
        said = ", ".join(
            f"{feed.get('objects', 0):,} {feed.get('kind')}, {feed.get('changed', 0):,} changed" for feed in told
        )
        screen.say(("\u2713 synced ", "strong"), f"{target.id}: {said or 'nothing to mirror'}")
    screen.done(act, answer)
