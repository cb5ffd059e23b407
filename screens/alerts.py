"""Alerts as the alert managers have them, and silences: who silenced what, why, until when. Silencing asks for a phrase.

The upper list is a mirror (it says how old it is); the lower one is our own record of silences. A flood is shown as
clusters. Taking an alert on says who has it; it goes on firing.
"""

from __future__ import annotations

from typing import Any

from engine.contract.alerts import SILENCE_OVER, SilenceRecord
from engine.contract.client import EngineUnreachable, Refused
from engine.contract.common import CommandAnswer
from engine.contract.oncall import Acknowledgement
from engine.contract.systems import MirrorObject, MirrorPage, SystemPage
from screens import acts, alert_groups, alerts_view
from screens.acts import Act, Level, Reason
from screens.base import Target
from screens.form import FormField, FormScreen, sending
from screens.layout import Line
from screens.mirrored import MirroredScreen
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.rows import Cells

MOST = 500

acts.register(
    Act("alerts.silence", "s", "silence", target="alert", level=Level.RISK, help="Nobody is told of it until an end; you answer for it", cli="qd alerts silence robot=ROBOT --for 2h --comment WHY", order=1),
    Act("alerts.ack", "a", "take/let go", target="alert", level=Level.SAFE, help="You have it; on what is yours: not any more. On a cluster: all of it that is nobody's", cli="qd alerts ack ALERT", order=2),
    Act("alerts.group", "o", "group", help="Each alert, or in clusters by alert, robot, site; a flood is clusters anyway", cli="qd alerts ls --by alert", order=5),
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


class AlertsScreen(MirroredScreen):
    NAME = "alerts"
    TITLE_WORD = "Alerts"
    ACTS = ("alerts.silence", "alerts.ack", "alerts.end", "alerts.case", "alerts.robot", "alerts.group")
    ROOT = True
    AUTO_FOCUS = "#alerts"
    UPPER = ("alerts", ALERTS, "Nothing fires, as far as is mirrored.")
    LOWER = ("silences", SILENCES, "Nothing is silenced from here: s on an alert does it.")
    KINDS = ("silence", "acknowledgement")
    CSS = """
    AlertsScreen #alerts { height: 3fr; min-height: 5; }
    AlertsScreen #about { height: auto; max-height: 5; }
    AlertsScreen #silences { height: 2fr; min-height: 4; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows: tuple[MirrorObject, ...] | None = None
        self.silenced: tuple[SilenceRecord, ...] = ()
        self.held: dict[tuple[str, str], Acknowledgement] = {}
        self.systems: SystemPage | None = None
        self._by = ""
        """How the reader wants it grouped; empty: as it comes, clusters in a flood."""
        self._unfolded: set[str] = set()
        self._flood = False

    async def read_all(self) -> tuple[MirrorPage, tuple[SilenceRecord, ...], tuple[Acknowledgement, ...], SystemPage]:
        found = await self.client.read("/v1/mirror", MirrorPage, kind=alerts_view.FEED, limit=MOST)
        silenced = await self.client.records("silence", SilenceRecord, limit=200)
        held = await self.client.records("acknowledgement", Acknowledgement, state="held", limit=MOST)
        return found, silenced, held, await self.client.read("/v1/connectors", SystemPage)

    def take(
        self, found: tuple[MirrorPage, tuple[SilenceRecord, ...], tuple[Acknowledgement, ...], SystemPage]
    ) -> None:
        self.rows, self.silenced, self.systems = found[0].objects, found[1], found[3]
        self.held = alert_groups.held_by(found[2])
        flood = alert_groups.flooded(self.rows, self.model.now())
        if flood and not self._flood and not self._by:
            self.console.tell(
                ("a flood of alerts: shown in clusters", "caution"), "  Enter unfolds one, o groups otherwise"
            )
        self._flood = flood

    @property
    def loaded(self) -> bool:
        return self.rows is not None

    @property
    def by(self) -> str:
        return self._by or ("alert" if self._flood else "each")

    def fill(self, upper: LineTable, lower: LineTable, now: float) -> list[Line]:
        upper.merge(self._upper_rows(now))
        lower.merge([(one.id, alerts_view.silence_cells(one, now)) for one in alerts_view.silences(self.silenced)])
        on = self.on_lower
        if (cluster := self.cluster()) is not None:
            return alerts_view.about_cluster(cluster, now, self.held)
        return alerts_view.about(None if on else self.alert(), self.silence() if on else None, now, self.held)

    def _upper_rows(self, now: float) -> list[tuple[str, Cells]]:
        return alerts_view.rows_of(self.rows or (), self.held, self.by, self._unfolded, now)

    def _reshape(self) -> None:
        """The reader asked for another shape: taken in at once, the cursor stays where it was if that is still there."""
        self.upper.load(self._upper_rows(self.model.now()))
        self.show_all()
        self.refresh_chrome()

    def summary(self, now: float) -> list[Part]:
        return alerts_view.verdict(self.rows or (), self.silenced, self.systems, now, held=self.held, by=self.by)

    # -- keys ---------------------------------------------------------------------------------------------------

    def cluster(self) -> alert_groups.Cluster | None:
        """The cluster under the cursor."""
        key = self.upper.cursor_key
        if self.by == "each" or self.on_lower:
            return None
        there = alerts_view.ordered(self.rows or (), self.held)
        return next((one for one in alert_groups.clusters(there, self.by) if one.key == key), None)

    def alert(self) -> MirrorObject | None:
        """Under the cursor; of a cluster its gravest."""
        if (cluster := self.cluster()) is not None:
            return cluster.rows[0]
        key = self.upper.cursor_key
        return next((one for one in self.rows or () if alerts_view.key_of(one) == key), None)

    def silence(self) -> SilenceRecord | None:
        """Under the cursor below; on an alert, the one from here that silences it."""
        if self.on_lower:
            key = self.lower.cursor_key
            return next((one for one in self.silenced if one.id == key), None)
        one = self.alert()
        by = one.data.get("silenced_by") if one is not None else None
        held = [each for each in self.silenced if isinstance(by, list) and each.remote in by]
        return held[0] if len(held) == 1 else None

    def target(self) -> Target | None:
        held = self.silence()
        if held is not None:
            return Target("silence", held.id, held.title)
        one = None if self.on_lower else self.alert()
        return Target("alert", one.name, alert_groups.said(one, "robot")) if one is not None else None

    def why_not(self, act: Act) -> Reason | None:
        held, one = self.silence(), None if self.on_lower else self.alert()
        if act.name == "alerts.end" and (held is None or held.state in SILENCE_OVER):
            return Reason(
                "no silence that runs is selected" if held is None else f"{held.id} is over", "Tab goes to them"
            )
        if act.name in ("alerts.silence", "alerts.ack") and one is None:
            return Reason("no alert is selected", "Tab goes to the alerts")
        if act.name == "alerts.silence" and one is not None and one.state == "suppressed":
            return Reason("it is silenced already")
        if act.name in ("alerts.case", "alerts.robot") and (one is None or not alert_groups.said(one, "robot")):
            return Reason("the alert names no robot" if one is not None else "no alert is selected")
        return None

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        if (cluster := self.cluster()) is not None:
            self._unfolded ^= {cluster.key}
            self._reshape()
        elif not self.on_lower:
            self.perform(acts.act("alerts.case"))

    def act_alerts_group(self) -> None:
        self._by = alert_groups.BY[(alert_groups.BY.index(self.by) + 1) % len(alert_groups.BY)]
        self._reshape()
        self.say(("each alert", "strong") if self._by == "each" else (f"by {self._by}", "strong"), seconds=3.0)

    def act_alerts_ack(self) -> None:
        """What is under the cursor, of a cluster all that is nobody's. What is mine already is let go."""
        cluster, one = self.cluster(), self.alert()
        me = self.model.me.person if self.model.me is not None else ""
        rows = cluster.rows if cluster is not None else (one,) if one is not None else ()
        free = [row for row in rows if alert_groups.holder(row, self.held) is None and not alert_groups.quiet(row)]
        mine = [has for row in rows if (has := alert_groups.holder(row, self.held)) is not None and has.person == me]
        if free:
            self.run_worker(self._take_on(free), group="command", exit_on_error=False)
        elif mine:
            self.run_worker(self._let_go(mine), group="command", exit_on_error=False)
        else:
            theirs = sorted({has.person for row in rows if (has := alert_groups.holder(row, self.held)) is not None})
            self.say((f"{', '.join(theirs)} has it" if theirs else "nothing there to take on", "caution"))

    async def _take_on(self, rows: list[MirrorObject]) -> None:
        await self._each(
            "alert.acknowledge", [("", {"system": one.system, "alert": one.id}) for one in rows], "taken on"
        )

    async def _let_go(self, held: list[Acknowledgement]) -> None:
        await self._each("alert.release", [(one.id, {}) for one in held], "let go")

    async def _each(self, verb: str, what: list[tuple[str, dict[str, Any]]], words: str) -> None:
        """One command for each; the first refusal is said, the others go on."""
        done, refused = 0, ""
        for target, args in what:
            try:
                await self.client.command(verb, target, args)
                done += 1
            except Refused as error:
                refused = refused or error.problem.reason
            except EngineUnreachable as error:
                refused = str(error) or "the engine did not answer"
                break
        self.say(
            (f"\u2713 {done} {words}" if done else f"nothing was {words}", "strong"),
            (f"  {refused}" if refused else "", "caution"),
        )
        self.refetch()

    def act_alerts_silence(self) -> None:
        one = self.alert()
        if one is None:
            return
        robot, name = alert_groups.said(one, "robot"), one.name
        what = (
            *((("robot", f"everything about {robot}"),) if robot else ()),
            ("both", f"only {name} of it"),
            ("alertname", f"{name}, of every robot"),
        )
        if self.cluster() is not None:
            what = (what[-1], *what[:-1])
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
            self.console.go("cases", alert_groups.said(one, "robot"))

    def act_alerts_robot(self) -> None:
        one = self.alert()
        if one is not None:
            self.console.open("robot", alert_groups.said(one, "robot"))
