"""One recording: whose it is, what was found in it and where, its topics, and every change of it."""

from __future__ import annotations

from textual.app import ComposeResult

from engine.contract.common import CommandAnswer
from engine.contract.records import RecordEvent
from engine.contract.sessions import SessionReport, SessionView
from screens import acts, figures, layout, sessions_view
from screens.acts import Act, Reason
from screens.base import QScreen, Target
from screens.layout import Line
from screens.model import Delta
from screens.sessions import KIND, aside, barred
from screens.widgets.parts import Part
from screens.widgets.text import Page

acts.register(
    Act("session.aside", "z", "set aside/release", target="session", help="Set it aside with a reason; one that is set aside is looked at again", cli="qd data sessions quarantine {id} --reason TEXT", order=1),
    Act("session.findings", "f", "findings", target="session", help="Everything that was found, and nothing else", cli="qd data sessions show {id}", order=2),
    Act("session.same", "o", "original", target="session", help="The recording it is a copy of", cli="qd data sessions show OTHER", order=3),
    Act("session.history", "t", "timeline", target="session", help="Every change with who and why", cli="qd records history session {id}", order=4),
    Act("session.run", "u", "its run", target="session", help="The run that took it in", cli="qd runs show RUN", order=5),
    Act("session.trace", "h", "thread", target="session", help="What led here, and what came of it", cli="qd trace {id}", order=6),
)  # fmt: skip


class SessionScreen(QScreen):
    NAME = "session"
    TITLE_WORD = "Recording"
    ACTS = ("session.aside", "session.findings", "session.same", "session.history", "session.run", "session.trace")
    AUTO_FOCUS = "Page"

    def __init__(self, session: str) -> None:
        super().__init__()
        self.id_ = session
        self.session: SessionView | None = None
        self.report: SessionReport | None = None
        self.view = "overview"
        self._history: tuple[RecordEvent, ...] = ()

    def body(self) -> ComposeResult:
        yield Page(id="facts")

    def on_mount(self) -> None:
        self.refetch()

    def refetch(self) -> None:
        self.ask(lambda: self.client.record(KIND, self.id_, SessionView), self._got)
        self.ask(
            lambda: self.client.read(f"/v1/sessions/{self.id_}/report", SessionReport),
            self._got_report,
            group="fetch-report",
        )
        if self.view == "history":
            self.ask(lambda: self.client.record_history(KIND, self.id_), self._got_history, group="fetch-history")

    def _got(self, session: SessionView) -> None:
        self.session = session
        self._show()

    def _got_report(self, report: SessionReport) -> None:
        self.report = report
        self._show()

    def _got_history(self, events: tuple[RecordEvent, ...]) -> None:
        self._history = events
        self._show()

    def model_changed(self, delta: Delta | None) -> None:
        if self.session is not None and (delta is None or (KIND, self.id_) in delta.records):
            self.refetch()

    def on_resize(self) -> None:
        super().on_resize()
        self._show()

    def _show(self) -> None:
        if not self.is_mounted:
            return
        page = self.query_one("#facts", Page)
        one = self.session
        if one is None:
            page.show([[("Loading \u2026" if self.trouble is None else "Esc goes back to the recordings.", "muted")]])
            return
        room, now = max(40, self.size.width - 3), self.model.now()
        if self.view == "history":
            page.show(history(self._history, now, room))
        elif self.view == "findings":
            findings = self.report.findings if self.report is not None else one.findings
            mended: list[Line] = [[("\u2692 ", "caution"), said] for said in one.mended]
            page.show([*sessions_view.findings_table(findings, room), [], *mended])
        else:
            page.show(sessions_view.page(one, self.report, now, room))

    def verdict(self) -> list[Part]:
        if self.session is None:
            return [("Loading \u2026", "muted")]
        if self.view != "overview":
            word = {"history": "Timeline", "findings": "Findings"}[self.view]
            return [(f"{self.id_} \u00b7 {word}", "strong"), ("  Esc back to the recording", "muted")]
        return [(f"{self.id_}  ", "strong"), *sessions_view.sentence(self.session)]

    # -- acting -------------------------------------------------------------------------------------------------

    def target(self) -> Target | None:
        return Target(KIND, self.id_, self.session.title if self.session is not None else "")

    def why_not(self, act: Act) -> Reason | None:
        if self.session is None:
            return Reason("the recording is still loading")
        word = act.name.rpartition(".")[2]
        if word == "same" and not self.session.duplicate_of:
            return Reason("it is a copy of none that is known")
        return barred(word, self.session)

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()

    def act_session_aside(self) -> None:
        if self.session is not None:
            self.console.ask_form(aside(self, self.session, self._changed))

    def _changed(self, answer: CommandAnswer) -> None:
        self.refetch()

    def act_session_findings(self) -> None:
        self._turn("findings")

    def act_session_history(self) -> None:
        self._turn("history")

    def act_session_same(self) -> None:
        if self.session is not None:
            self.console.open(KIND, self.session.duplicate_of)

    def act_session_run(self) -> None:
        if self.session is not None:
            self.console.open("run", self.session.run)

    def act_session_trace(self) -> None:
        self.console.open("trace", self.id_)

    def _turn(self, view: str) -> None:
        """A view; its key once more goes back to the overview."""
        self.view = "overview" if self.view == view else view
        if self.view == "history":
            self.refetch()
        self._show()
        self.query_one("#facts", Page).scroll_to(y=0, animate=False, immediate=True)
        self.refresh_chrome()

    def act_console_back(self) -> None:
        if self.view != "overview":
            self._turn(self.view)
        else:
            super().act_console_back()


def history(events: tuple[RecordEvent, ...], now: float, room: int) -> list[Line]:
    """Every change, newest first: when, who, from where to where, why."""
    if not events:
        return [[("Loading \u2026", "muted")]]
    rows = [
        (
            figures.clock(event.at, now), (f"{event.actor.kind} {event.actor.id}", "muted"),
            (f"{event.from_} \u2192 {event.to}" if event.from_ and event.from_ != event.to else event.to, "strong"),
            event.reason or (", ".join(sorted(event.set)[:5]), "muted"),
        )
        for event in sorted(events, key=lambda one: -one.seq)
    ]  # fmt: skip
    return layout.table(rows, room)
