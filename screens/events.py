"""Events told to runs, rules and other systems, and what each of them started; the rules themselves beside them."""

from __future__ import annotations

from time import monotonic
from typing import Any

import msgspec
from textual.app import ComposeResult
from textual.containers import Container

from engine.contract.client import Refused
from engine.contract.common import CommandAnswer, Problem
from engine.contract.events import OutEvent, OutEventPage, TriggerView
from screens import event_views
from screens.acts import Act, Reason, register
from screens.base import Target
from screens.model import Delta, age, coarse
from screens.split import SplitScreen
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.rows import Cells
from screens.widgets.text import Page

LIMIT = 300
SETTLE_S = 1.0

register(
    Act(
        "events.open",
        "enter",
        "thread",
        "event",
        help="The thread it belongs to, both ways",
        cli="qd trace {id}",
        order=10,
    ),
    Act("events.detail", "e", "what it says", "event", help="Its data, and what every rule made of it", order=11),
    Act("events.rules", "o", "rules/events", help="The rules that wait for events; back to the events", order=12),
    Act("events.run", "r", "run", "event", help="Open the run it started", order=13),
    Act("events.emit", "plus", "tell one", help="Tell an event by hand", cli="qd events emit NAME", order=14),
)


class EventsScreen(SplitScreen):
    NAME = "events"
    TITLE_WORD = "Events"
    ROOT = True
    LISTS = ("events", "rules")
    ACTS = ("events.open", "events.detail", "events.rules", "events.run", "events.emit")
    AUTO_FOCUS = "#events"

    def __init__(self) -> None:
        super().__init__()
        self._events: dict[str, OutEvent] = {}
        self._rules: dict[str, TriggerView] = {}
        self._loaded = False
        self._asked_at = 0.0
        self._later: Any = None

    def body(self) -> ComposeResult:
        with Container(classes="split"):
            yield LineTable(
                [
                    Column("EVENT", 6, align="right"),
                    Column("WHAT", 21, grow=2),
                    Column("ABOUT", 13, grow=2),
                    Column("FROM", 9, grow=1, optional=1),
                    Column("BECAME", 18, grow=3),
                    Column("AGE", 4, align="right"),
                ],
                empty=["Loading \u2026"],
                id="events",
            )
            yield LineTable(
                [
                    Column("ON", 25, grow=2),
                    Column("STARTS", 22, grow=1),
                    Column("OPENED", 6, align="right"),
                    Column("GIVEN", 5, align="right"),
                    Column("IGNORED", 7, align="right"),
                    Column("", 5, grow=1),
                ],
                empty=["Loading \u2026"],
                id="rules",
            )
            with Container(id="side", classes="column"):
                yield Page(id="said", indent=4)

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if self._loaded:
            self.refetch()

    # -- data ---------------------------------------------------------------------------------------------------

    def refetch(self) -> None:
        self._asked_at = monotonic()
        self.ask(lambda: self.client.read("/v1/cloudevents", OutEventPage, limit=LIMIT), self._got)
        self.ask(lambda: self.client.read("/v1/triggers", tuple[TriggerView, ...]), self._got_rules, group="rules")

    def model_changed(self, delta: Delta | None) -> None:
        if delta is None or not self._loaded or not (delta.feed or delta.runs or delta.records):
            return
        if self._later is None:  # one question for all that comes in a while
            self._later = self.set_timer(max(0.05, SETTLE_S - (monotonic() - self._asked_at)), self._due)

    def _due(self) -> None:
        self._later = None
        if self.is_active:
            self.refetch()

    def _got(self, page: OutEventPage) -> None:
        self._loaded = True
        self._events = {str(event.seq): event for event in page.rows}
        self._show()

    def _got_rules(self, rules: tuple[TriggerView, ...]) -> None:
        self._rules = {rule.name: rule for rule in rules if rule.kind != "manual"}
        self._show()

    def failed(self, problem: Problem) -> None:
        if not self._loaded:
            self.table.empty = [f"Events can't be shown: {problem.reason}."]
            self.table.refresh()

    def each_second(self) -> None:
        if self._loaded and self._view == "events":
            self._show_events()

    def _show(self) -> None:
        if self._loaded:
            self._show_events()
        rules = self.query_one("#rules", LineTable)
        rules.empty = ["No rule waits for an event: workflows say theirs under `triggers:`."]
        ordered = sorted(self._rules.values(), key=lambda rule: (rule.kind, rule.on, rule.name))
        rules.merge([(rule.name, rule_cells(rule)) for rule in ordered])
        self._look()

    def _show_events(self) -> None:
        table = self.query_one("#events", LineTable)
        table.empty = ["No event was told yet.", " + tells one by hand."]
        now = self.model.now()
        table.merge([(key, cells(event, now)) for key, event in self._events.items()])

    # -- words --------------------------------------------------------------------------------------------------

    def verdict(self) -> list[Part]:
        if not self._loaded:
            return [("Asking for events \u2026", "muted")]
        events = list(self._events.values())
        failed = sum(any(fate.outcome == "failed" for fate in event.fates) for event in events)
        opened = sum(fate.outcome == "opened" for event in events for fate in event.fates)
        said: list[Part] = [
            f"{len(events)}{'+' * (len(events) == LIMIT)} event{'s' * (len(events) != 1)}",
            f", {opened} run{'s' * (opened != 1)} opened",
        ]
        if failed:
            said += [", ", (f"\u2717 {failed} met a failing rule", "alarm")]
        muted = sum(rule.muted for rule in self._rules.values())
        if muted:
            said += [", ", (f"{muted} rules muted", "caution")]
        if events:
            said.append(f", the last {age(max(0.0, self.model.now() - events[0].at))} ago")
        return [*said, "."]

    # -- keys ---------------------------------------------------------------------------------------------------

    def event(self) -> OutEvent | None:
        return self._events.get(self.query_one("#events", LineTable).cursor_key) if self._view == "events" else None

    def rule(self) -> TriggerView | None:
        return self._rules.get(self.query_one("#rules", LineTable).cursor_key)

    def target(self) -> Target | None:
        if self._view == "rules":
            rule = self.rule()
            return Target("rule", rule.name, rule.name) if rule is not None else None
        event = self.event()
        return Target("event", str(event.seq), event.event) if event is not None else None

    def why_not(self, act: Act) -> Reason | None:
        if act.name == "events.emit":
            me = self.model.me
            may = me is None or not me.verbs or "event.emit" in me.verbs
            return None if may else Reason(f"{me.person if me else 'you'} may not tell events")
        if act.name in ("events.open", "events.run") and self._view == "rules":
            return Reason("a rule has no thread; o shows the events")
        if act.name in ("events.open", "events.detail", "events.run") and self.target() is None:
            return Reason("nothing is under the cursor")
        if act.name == "events.run" and not self._run():
            return Reason("it started and moved no run", "e says why")
        return None

    def _run(self) -> str:
        event = self.event()
        fates = event.fates if event is not None else ()
        return next((fate.run for fate in fates if fate.run and fate.outcome in ("opened", "attached")), "")

    def act_console_back(self) -> None:
        if self._detail and not self.wide:
            self.act_events_detail()
        elif self._view == "rules":
            self.act_events_rules()
        else:
            super().act_console_back()

    def filtered(self, text: str) -> None:
        for table in self.query(LineTable):
            table.narrow(text)

    def on_line_table_moved(self, message: LineTable.Moved) -> None:
        super().on_line_table_moved(message)
        self._look()

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        if self._view == "rules":
            self.act_events_detail()
        else:
            self.act_events_open()

    def act_events_open(self) -> None:
        event = self.event()
        if event is not None:
            self.console.open("trace", str(event.seq))

    def act_events_run(self) -> None:
        self.console.open("run", self._run())

    def act_events_detail(self) -> None:
        self._detail = not self._detail
        self._place()
        self._look()
        self.query_one("#said" if self._detail and not self.wide else f"#{self._view}").focus()

    def act_events_rules(self) -> None:
        self._view = "rules" if self._view == "events" else "events"
        self._detail = False
        self._place()
        self.table.focus()
        self._look()

    def act_events_emit(self) -> None:
        from screens.form import FormField, FormScreen
        from screens.form_fields import json_as

        names = sorted({rule.on for rule in self._rules.values() if rule.kind == "event"})

        def fitting(text: str) -> list[str]:
            return [name for name in names if text.lower() in name]

        fields = (
            FormField("event", "Event", required=True, complete=fitting, hint="its name, such as qd.robot.error"),
            FormField("subject", "About", of=("robot", "run", "case", "incident"), hint="a robot, a record, a run"),
            FormField(
                "data",
                "What it says",
                "long",
                check=json_as(dict),
                hint='a JSON object, such as {"robot": "HAM2-amr-0001"}',
            ),
        )
        self.console.ask_form(FormScreen("Tell an event", fields, self._emit, "event.emit", verb="Tell it"))

    async def _emit(self, answers: dict[str, Any]) -> CommandAnswer:
        args = {name: value for name, value in answers.items() if name != "data"}
        if answers.get("data"):
            try:
                args["data"] = msgspec.json.decode(str(answers["data"]), type=dict[str, Any])
            except (msgspec.DecodeError, RecursionError) as error:
                said = Problem(
                    code="bad_input", reason=f"what it says is not a JSON object: {error}", field="args.data"
                )
                raise Refused(said, 422) from error
        return await self.client.command("event.emit", "", args)

    def _got_long(self, event: OutEvent) -> None:
        if event.data is not None:
            self._events[str(event.seq)] = event
            self._look()

    # -- the side -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        if not (self.wide or self._detail):
            return
        page, now = self.query_one("#said", Page), self.model.now()
        event, rule = self.event(), self.rule()
        if self._view == "events" and event is not None:
            page.show(event_views.event_page(event, now))
            if event.data is None:  # too long for a list
                path = event_views.path("/v1/cloudevents", str(event.seq))
                self.ask(lambda: self.client.read(path, OutEvent), self._got_long, group="fetch-one", quiet=True)
        elif self._view == "rules" and rule is not None:
            page.show(event_views.rule_page(rule, now))
        else:
            page.show([[("Nothing is under the cursor.", "muted")]])


def cells(event: OutEvent, now: float) -> Cells:
    """One event: number, name, what it is about, who told it, what became of it, age."""
    told = event.run or event.record or event.actor
    return (
        (str(event.seq), "muted"),
        event.event.removeprefix("qd."),
        event.subject,
        (told, "muted"),
        event_views.became(event),
        (coarse(max(0.0, now - event.at)), "muted"),
    )


def rule_cells(rule: TriggerView) -> Cells:
    """One rule: what it waits for, what it starts, what it did so far."""
    failed = rule.counts.get("failed", 0)
    word: Part = ("muted", "caution") if rule.muted else (f"\u2717 {failed} failed", "alarm") if failed else ""
    if not word and rule.must:
        word = ("must", "muted")
    on = rule.on.removeprefix("qd.") if rule.kind == "event" else f"{rule.kind} {rule.on}"
    return (
        on,
        rule.workflow,
        str(rule.counts.get("opened", 0)),
        str(rule.counts.get("attached", 0)),
        (str(rule.counts.get("ignored", 0)), "muted"),
        word,
    )
