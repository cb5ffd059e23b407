"""One incident: what is wrong, on which robots, the six ways out, who commands, what runs against time.

Rules: containing and holding act at once; choosing freezes and asks, nothing is done before the gate; breaking the glass
shows what it touches and wants its phrase. A key that can't be used now says why, in the engine's words.
"""

from __future__ import annotations

from time import monotonic

from textual.app import ComposeResult

from engine.contract.common import CommandAnswer
from engine.contract.incidents import IncidentDetail
from screens import incident_acts, incident_view
from screens.acts import Act, Reason
from screens.base import QScreen, Target
from screens.layout import Line
from screens.model import Delta
from screens.widgets.parts import Part
from screens.widgets.text import Page

AGAIN_S = 1.0
VIEWS = ("robots", "timeline", "evidence")


class IncidentScreen(QScreen):
    NAME = "incident"
    TITLE_WORD = "Incident"
    OWN_DIGITS = True
    ACTS = incident_acts.ON_ONE
    AUTO_FOCUS = "#facts"

    def __init__(self, incident: str) -> None:
        super().__init__()
        self.incident = incident
        self.detail: IncidentDetail | None = None
        self.view = "overview"
        self._asked_at, self._again = 0.0, False

    def body(self) -> ComposeResult:
        yield Page(id="facts")

    def on_mount(self) -> None:
        self.refetch()

    def on_screen_resume(self) -> None:
        if self.detail is not None:
            self.refetch()

    def refetch(self) -> None:
        self._asked_at, self._again = monotonic(), False
        self.ask(lambda: self.client.read(f"/v1/incidents/{self.incident}", IncidentDetail), self._got)

    def _got(self, detail: IncidentDetail) -> None:
        self.detail = detail
        self._show()
        self.refresh_chrome()

    def model_changed(self, delta: Delta | None) -> None:
        if (
            delta is None
            or delta.gates
            or any(kind in ("incident", "hold", "followup", "standing_rule") for kind, _ in delta.records)
        ):
            self._again = True
            self._maybe_again()

    def each_second(self) -> None:
        self._maybe_again()
        self._show()

    def on_resize(self) -> None:
        super().on_resize()
        self._show()

    def _maybe_again(self) -> None:
        if self._again and self.online and monotonic() - self._asked_at >= AGAIN_S:
            self.refetch()

    def verdict(self) -> list[Part]:
        if self.detail is None:
            return [("Loading \u2026", "muted")]
        return incident_view.verdict(self.detail, self.model.now())

    def _show(self) -> None:
        if not self.is_mounted:
            return
        page, detail = self.query_one("#facts", Page), self.detail
        if detail is None:
            page.show(
                [[("Loading the incident \u2026" if self.trouble is None else "Esc goes back to the list.", "muted")]]
            )
            return
        me = self.model.me.person if self.model.me is not None else ""
        now, cells = self.model.now(), self.size.width - 3
        lines: list[Line] = [incident_view.title(detail, me, now), [""]]
        if self.view == "robots":
            lines += incident_view.robots(detail, cells)
        elif self.view == "timeline":
            lines += incident_view.timeline(detail, cells)
        elif self.view == "evidence":
            lines += incident_view.evidence(detail, cells)
        else:
            lines += incident_view.facts(detail, now, cells, roomy=self.size.height >= 36)
        page.show(lines)

    # -- acts ------------------------------------------------------------------------------------------------------------

    def target(self) -> Target | None:
        title = self.detail.incident.title if self.detail is not None else ""
        return Target("incident", self.incident, title)

    def why_not(self, act: Act) -> Reason | None:
        detail = self.detail
        if detail is None:
            return Reason("it is still being loaded") if act.command else None
        if act.command:
            why = detail.verbs.get(act.command, "")
            return Reason(why) if why else None
        if act.name in ("incident.execute", "incident.gate") and not detail.gate:
            return Reason("no question is open", "choose a way out first: 1 to 6")
        if act.name == "incident.rollout" and not any(wave.rollout for wave in detail.incident.waves):
            return Reason("nothing was executed as a rollout yet")
        if act.name == "incident.file" and not self._owed():
            return Reason("no follow-up is open")
        return None

    def args_for(self, act: Act) -> dict[str, object]:
        number = act.name.removeprefix("incident.choose_")
        return {"option": incident_acts.OPTION_WORDS[int(number) - 1]} if number.isdigit() else {}

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()

    def _owed(self) -> tuple[tuple[str, str], ...]:
        if self.detail is None:
            return ()
        return tuple(
            (one.id, f"{one.id} {one.what} {one.robot}".strip())
            for one in self.detail.follow_ups
            if one.state == "open"
        )

    def act_incident_execute(self) -> None:
        self.act_incident_gate()

    def act_incident_gate(self) -> None:
        if self.detail is not None and self.detail.gate:
            self.console.open("gate", self.detail.gate)

    def act_incident_hold(self) -> None:
        if self.detail is not None:
            incident_acts.hold(self, self.detail.incident)

    def act_incident_file(self) -> None:
        if owed := self._owed():
            self.console.ask_form(incident_acts.filing(self, owed))

    def act_incident_robots(self) -> None:
        self._look("robots")

    def act_incident_timeline(self) -> None:
        self._look("timeline")

    def act_incident_evidence(self) -> None:
        self._look("evidence")

    def act_incident_run(self) -> None:
        if self.detail is not None and self.detail.incident.run:
            self.console.open("run", self.detail.incident.run)

    def act_incident_trace(self) -> None:
        self.console.open("trace", self.incident)

    def act_incident_rollout(self) -> None:
        if self.detail is not None:
            last = next((wave.rollout for wave in reversed(self.detail.incident.waves) if wave.rollout), "")
            self.console.open("rollout", last)

    def act_console_back(self) -> None:
        if self.view != "overview":
            self._look(self.view)
        else:
            super().act_console_back()

    def _look(self, view: str) -> None:
        """The same key again goes back to the overview."""
        self.view = "overview" if self.view == view else view
        self._show()
