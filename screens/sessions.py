"""Recordings that were taken in: what may be used, what was mended, what was set aside and why."""

from __future__ import annotations

from time import monotonic
from typing import Any

from textual.app import ComposeResult

from engine.contract.common import CommandAnswer
from engine.contract.sessions import SessionFunnel, SessionView
from screens import acts, sessions_view
from screens.acts import Act, Reason
from screens.base import QScreen, Target
from screens.form import FormField, FormScreen, sending
from screens.model import Delta
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part

KIND = "session"
AGAIN_S = 1.0
MOST = 1000
VIEWS = ("", "quarantined", "repaired", "valid,labelled,curated", "discovered,ingested")
SHOWN = {
    "": "all", "quarantined": "set aside", "repaired": "repaired", "valid,labelled,curated": "usable as they came",
    "discovered,ingested": "being checked",
}  # fmt: skip
RANK = {"quarantined": 0, "repaired": 1, "ingested": 2, "discovered": 2}
"""What needs eyes stands first, then the newest."""

acts.register(
    Act("sessions.open", "enter", "open", target="session", help="What it is, and everything that was found in it", cli="qd data sessions show {id}", order=1),
    Act("sessions.aside", "z", "set aside/release", target="session", help="Set it aside with a reason; one that is set aside is looked at again", cli="qd data sessions quarantine {id} --reason TEXT", order=2),
    Act("sessions.add", "plus", "take in", help="Take in every recording of a folder: MCAP files and LeRobot v3 datasets", cli="qd data sessions add FOLDER", order=3),
    Act("sessions.view", "f", "which", help="All, set aside, repaired, usable, being checked: one after the other", cli="qd data sessions ls --state STATE", order=4),
    Act("sessions.run", "u", "its run", target="session", help="The run that took it in", cli="qd runs show RUN", order=5),
    Act("sessions.trace", "h", "thread", target="session", help="What led here, and what came of it", cli="qd trace {id}", order=6),
)  # fmt: skip

COLUMNS = (
    Column("id", 6),
    Column("state", 12),
    Column("robot", 11, grow=1),
    Column("task", 14, grow=1, optional=1),
    Column("says", 36, grow=6),
    Column("length", 8, align="right", optional=2),
    Column("site", 5, optional=3),
    Column("interv", 6, align="right", optional=5),
    Column("size", 8, align="right", optional=4),
    Column("age", 4, align="right", optional=6),
)


class SessionsScreen(QScreen):
    NAME = "sessions"
    TITLE_WORD = "Recordings"
    ACTS = ("sessions.open", "sessions.aside", "sessions.add", "sessions.view", "sessions.run", "sessions.trace")

    def __init__(self) -> None:
        super().__init__()
        self.rows: tuple[SessionView, ...] | None = None
        self.funnel: SessionFunnel | None = None
        self.only = ""
        self._asked_at = 0.0
        self._again = False

    def body(self) -> ComposeResult:
        yield LineTable(COLUMNS, empty=("Loading \u2026",), id="sessions")

    def on_mount(self) -> None:
        self.refetch()

    def on_screen_resume(self) -> None:
        if self.rows is not None:
            self.refetch()

    def refetch(self) -> None:
        self._asked_at, self._again = monotonic(), False
        self.ask(self._fetch, self._got)

    async def _fetch(self) -> tuple[tuple[SessionView, ...], SessionFunnel]:
        rows = await self.client.records(KIND, SessionView, state=self.only, limit=MOST)
        return rows, await self.client.read("/v1/session-funnel", SessionFunnel)

    def _got(self, found: tuple[tuple[SessionView, ...], SessionFunnel]) -> None:
        self.rows, self.funnel = found
        self._show()

    def model_changed(self, delta: Delta | None) -> None:
        if delta is None or delta.of(KIND):
            self._again = True
            self._maybe_again()

    def each_second(self) -> None:
        self._maybe_again()
        self._show()

    def _maybe_again(self) -> None:
        if self._again and self.online and monotonic() - self._asked_at >= AGAIN_S:
            self.refetch()

    def _show(self) -> None:
        if not self.is_mounted or self.rows is None:
            return
        table, now = self.query_one("#sessions", LineTable), self.model.now()
        table.empty = (
            ("No recording yet:  +  takes a folder in; it is read on the engine's machine.",)
            if not self.only
            else (f"None {SHOWN[self.only]}:  f  shows others.",)
        )
        ordered = sorted(self.rows, key=lambda one: (RANK.get(one.state, 3), -one.created_at, one.id))
        table.merge([(one.id, sessions_view.cells(one, now)) for one in ordered])

    def verdict(self) -> list[Part]:
        if self.funnel is None:
            return [("Loading \u2026", "muted")]
        line = list(sessions_view.funnel(self.funnel))
        return [(f"{SHOWN[self.only]} \u00b7 ", "strong"), *line] if self.only else line

    # -- acting -------------------------------------------------------------------------------------------------

    def session(self) -> SessionView | None:
        key = self.query_one("#sessions", LineTable).cursor_key
        return next((one for one in self.rows or () if one.id == key), None)

    def target(self) -> Target | None:
        one = self.session()
        return Target(KIND, one.id, one.title) if one is not None else None

    def why_not(self, act: Act) -> Reason | None:
        if act.target and self.session() is None:
            return Reason("no recording is selected")
        return barred(act.name.rpartition(".")[2], self.session())

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self.console.open(KIND, message.key)

    def act_sessions_open(self) -> None:
        one = self.session()
        if one is not None:
            self.console.open(KIND, one.id)

    def act_sessions_view(self) -> None:
        self.only = VIEWS[(VIEWS.index(self.only) + 1) % len(VIEWS)]
        self.refetch()

    def act_sessions_aside(self) -> None:
        one = self.session()
        if one is not None:
            self.console.ask_form(aside(self, one, self._changed))

    def act_sessions_run(self) -> None:
        one = self.session()
        if one is not None:
            self.console.open("run", one.run)

    def act_sessions_trace(self) -> None:
        one = self.session()
        if one is not None:
            self.console.open("trace", one.id)

    def act_sessions_add(self) -> None:
        fields = (
            FormField("folder", "Folder", required=True, hint="its whole path, as the engine sees it"),
            FormField("dataset", "For dataset", hint="its name, such as bins; empty: none yet"),
            FormField("site", "Said to be from", of=("site",), hint="where the header does not say"),
            FormField("robot", "Said to be of", kind="robot", hint="a header that says another robot is set aside"),
        )

        def done(answer: CommandAnswer) -> None:
            run = answer.result.get("run", "") if isinstance(answer.result, dict) else ""
            self.say(("\u2713 taking in ", "strong"), f"as {run}: files stay where they are; z sets one aside")
            self.refetch()

        send = sending(self.client, "session.add")
        self.console.ask_form(FormScreen("Take recordings in", fields, send, "session.add", verb="Take in", done=done))

    def _changed(self, answer: CommandAnswer) -> None:
        self.refetch()


def barred(word: str, one: SessionView | None) -> Reason | None:
    """Why an act can't be done with this recording."""
    if one is None:
        return None
    if word == "run" and not one.run:
        return Reason("no run took it in")
    if word == "aside":
        if one.state in ("withdrawn", "discovered"):
            return Reason(f"it is {one.state}")
        if one.state == "quarantined" and not one.digest:
            return Reason("it was never read", "mend the file where it comes from and take it in again")
    return None


def aside(screen: QScreen, one: SessionView, done: Any) -> FormScreen:
    """The form behind `z`: the reason to set it aside, or why it is looked at again."""
    if one.state == "quarantined":
        fields = (
            FormField("reason", "Why look again", required=True),
            FormField("profile", "By which profile", hint="empty: the policy's; what fails again is set aside again"),
        )
        return FormScreen(
            f"Look at {one.id} again", fields, sending(screen.client, "session.release", one.id), f"session.release {one.id}",
            verb="Look again", done=done,
        )  # fmt: skip
    why = FormField("reason", "Why", required=True, hint="it is recorded, and whoever uses it is told")
    return FormScreen(
        f"Set {one.id} aside", (why,), sending(screen.client, "session.quarantine", one.id), f"session.quarantine {one.id}",
        verb="Set aside", done=done,
    )  # fmt: skip
