"""Alerts as the alert managers have them, and silences: who silenced what, why, until when. Silencing asks for a phrase.

The upper list is a mirror (it says how old it is); the lower one is our own record of silences.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from textual.app import ComposeResult

from engine.contract.alerts import SILENCE_OVER, SilenceRecord
from engine.contract.common import CommandAnswer
from engine.contract.systems import MirrorObject, MirrorPage, SystemPage
from screens import acts, alerts_view
from screens.acts import Act, Level, Reason
from screens.base import QScreen, Target
from screens.form import FormField, FormScreen, sending
from screens.model import Delta
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.text import Page

AGAIN_S = 5.0
"""Real seconds between looks at the mirror while the screen is in front."""
MOST = 500

acts.register(
    Act("alerts.silence", "s", "silence", target="alert", level=Level.RISK, help="Nobody is told of it until an end; you answer for it", cli="qd alerts silence robot=ROBOT --for 2h --comment WHY", order=1),
    Act("alerts.end", "K", "end silence", target="silence", level=Level.SAFE, command="silence.end", help="End a silence, at once", cli="qd alerts end {id}", order=2),
    Act("alerts.case", "c", "its cases", target="alert", help="Cases of its robot", cli="qd cases ls", order=3),
    Act("alerts.robot", "r", "its robot", target="alert", help="The robot in the fleet", cli="qd fleet show ROBOT", order=4),
)  # fmt: skip

ALERTS = (
    Column("state", 10),
    Column("alert", 12, grow=1),
    Column("robot", 12, grow=1),
    Column("severity", 8, optional=2),
    Column("says", 26, grow=4),
    Column("system", 8, optional=3),
    Column("since", 5, align="right"),
)
SILENCES = (
    Column("silence", 7),
    Column("state", 7),
    Column("what", 16, grow=2),
    Column("by", 8),
    Column("left", 8, align="right"),
    Column("case", 6, optional=2),
    Column("why", 12, grow=3),
)


class AlertsScreen(QScreen):
    NAME = "alerts"
    TITLE_WORD = "Alerts"
    ACTS = ("alerts.silence", "alerts.end", "alerts.case", "alerts.robot")
    ROOT = True
    AUTO_FOCUS = "#alerts"
    CSS = """
    AlertsScreen #alerts { height: 3fr; min-height: 5; }
    AlertsScreen #about { height: auto; max-height: 5; }
    AlertsScreen #silences { height: 2fr; min-height: 4; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows: tuple[MirrorObject, ...] | None = None
        self.held: tuple[SilenceRecord, ...] = ()
        self.systems: SystemPage | None = None
        self._asked_at = 0.0
        self._again = False

    def body(self) -> ComposeResult:
        yield LineTable(ALERTS, empty=("Loading \u2026",), id="alerts")
        about = Page(id="about")
        about.can_focus = False
        yield about
        yield LineTable(SILENCES, empty=("Nothing is silenced from here: s on an alert does it.",), id="silences")

    def on_mount(self) -> None:
        self.refetch()

    def on_screen_resume(self) -> None:
        if self.rows is not None:
            self.refetch()

    def refetch(self) -> None:
        self._asked_at, self._again = monotonic(), False
        self.ask(self._read, self._got)

    async def _read(self) -> tuple[MirrorPage, tuple[SilenceRecord, ...], SystemPage]:
        found = await self.client.read("/v1/mirror", MirrorPage, kind=alerts_view.FEED, limit=MOST)
        held = await self.client.records("silence", SilenceRecord, limit=200)
        return found, held, await self.client.read("/v1/connectors", SystemPage)

    def _got(self, found: tuple[MirrorPage, tuple[SilenceRecord, ...], SystemPage]) -> None:
        self.rows, self.held, self.systems = found[0].objects, found[1], found[2]
        self._show()

    def model_changed(self, delta: Delta | None) -> None:
        if delta is None or delta.of("silence"):
            self._again = True

    def each_second(self) -> None:
        waited = monotonic() - self._asked_at
        if self.online and (waited > AGAIN_S or (self._again and waited > 0.5)):
            self.refetch()
        self._show()

    def on_resize(self) -> None:
        super().on_resize()
        self._show()

    def _show(self) -> None:
        if not self.is_mounted or self.rows is None:
            return
        now, table = self.model.now(), self.query_one("#alerts", LineTable)
        table.empty = ("Nothing fires, as far as is mirrored.",)
        table.merge([(_key(one), alerts_view.cells(one, now)) for one in alerts_view.ordered(self.rows)])
        self.query_one("#silences", LineTable).merge(
            [(one.id, alerts_view.silence_cells(one, now)) for one in alerts_view.silences(self.held)]
        )
        on = self._on_silences
        lines = alerts_view.about(None if on else self.alert(), self.silence() if on else None, now)
        self.query_one("#about", Page).show(lines)

    def verdict(self) -> list[Part]:
        if self.rows is None:
            return [("Loading \u2026", "muted")]
        return alerts_view.verdict(self.rows, self.held, self.systems, self.model.now())

    # -- keys ---------------------------------------------------------------------------------------------------

    @property
    def _on_silences(self) -> bool:
        return self.focused is not None and self.focused.id == "silences"

    def alert(self) -> MirrorObject | None:
        key = self.query_one("#alerts", LineTable).cursor_key
        return next((one for one in self.rows or () if _key(one) == key), None)

    def silence(self) -> SilenceRecord | None:
        """Under the cursor below; on an alert, the one from here that silences it."""
        if self._on_silences:
            key = self.query_one("#silences", LineTable).cursor_key
            return next((one for one in self.held if one.id == key), None)
        one = self.alert()
        by = one.data.get("silenced_by") if one is not None else None
        held = [each for each in self.held if isinstance(by, list) and each.remote in by]
        return held[0] if len(held) == 1 else None

    def target(self) -> Target | None:
        held = self.silence()
        if held is not None:
            return Target("silence", held.id, held.title)
        one = None if self._on_silences else self.alert()
        return Target("alert", one.name, alerts_view.said(one, "robot")) if one is not None else None

    def why_not(self, act: Act) -> Reason | None:
        held, one = self.silence(), None if self._on_silences else self.alert()
        if act.name == "alerts.end" and (held is None or held.state in SILENCE_OVER):
            return Reason(
                "no silence that runs is selected" if held is None else f"{held.id} is over", "Tab goes to them"
            )
        if act.name == "alerts.silence" and one is None:
            return Reason("no alert is selected", "Tab goes to the alerts")
        if act.name == "alerts.silence" and one is not None and one.state == "suppressed":
            return Reason("it is silenced already")
        if act.name in ("alerts.case", "alerts.robot") and (one is None or not alerts_view.said(one, "robot")):
            return Reason("the alert names no robot" if one is not None else "no alert is selected")
        return None

    def args_for(self, act: Act) -> dict[str, Any]:
        return {}

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()

    def on_line_table_moved(self, message: LineTable.Moved) -> None:
        super().on_line_table_moved(message)
        self._show()

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        if not self._on_silences:
            self.perform(acts.act("alerts.case"))

    def act_alerts_silence(self) -> None:
        one = self.alert()
        if one is None:
            return
        robot, name = alerts_view.said(one, "robot"), one.name
        what = (
            *((("robot", f"everything about {robot}"),) if robot else ()),
            ("both", f"only {name} of it"),
            ("alertname", f"{name}, of every robot"),
        )
        choices = what if robot else (("alertname", name),)

        def asked(answers: dict[str, Any]) -> dict[str, Any]:
            kind = answers.get("what", choices[0][0])
            labels = {"robot": robot} if kind in ("robot", "both") else {}
            labels |= {"alertname": name} if kind in ("both", "alertname") else {}
            more = {key: answers[key] for key in ("comment", "case", "phrase") if answers.get(key)}
            return {"matchers": labels, "seconds": float(answers["seconds"]), "system": one.system, **more}

        send = sending(self.client, "silence.start")

        async def sent(answers: dict[str, Any]) -> CommandAnswer:
            return await send(asked(answers))

        async def look(answers: dict[str, Any]) -> CommandAnswer:
            return await self.client.command("silence.start", "", asked(answers), preview=True)

        fields = (
            FormField("what", "What", kind="choice", required=True, choices=choices, default=choices[0][0]),
            FormField("seconds", "How long", kind="duration", required=True, default="2h", hint="it ends by itself"),
            FormField("comment", "Because", required=True, hint="why nobody needs to be told; it is recorded"),
            FormField("case", "Case", of=("case",), hint="what it is for, M-\u2026"),
        )
        self.console.ask_form(
            FormScreen(
                f"Silence {name}",
                fields,
                sent,
                "silence",
                verb="Silence",
                look=look,
                done=lambda answer: self.refetch(),
            )
        )

    def act_alerts_case(self) -> None:
        one = self.alert()
        if one is not None:
            self.console.go("cases", alerts_view.said(one, "robot"))

    def act_alerts_robot(self) -> None:
        one = self.alert()
        if one is not None:
            self.console.open("robot", alerts_view.said(one, "robot"))

    def filtered(self, text: str) -> None:
        self.query_one("#silences" if self._on_silences else "#alerts", LineTable).narrow(text)


def _key(one: MirrorObject) -> str:
    return f"{one.system}/{one.id}"
