"""One maintenance case: the fault, who else has it, the clocks, the runbook, and the way of the robot back to work.

A robot goes out of service by one key and comes back by a question to a second person.
"""

from __future__ import annotations

from textual.app import ComposeResult

from engine.contract.cases import CASE_OVER, CaseDetail, ProblemView
from engine.contract.common import CommandAnswer
from engine.contract.records import RecordEvent
from screens import acts, case_forms, case_view, form_fields, past, ticket_view
from screens.acts import Act, Level, Reason
from screens.base import Target
from screens.cases import why_not
from screens.form import FormField
from screens.model import Delta
from screens.past import Travels
from screens.widgets.parts import Part
from screens.widgets.text import Page

KIND = "case"

acts.register(
    Act("case.claim", "a", "claim", target="case", level=Level.SAFE, command="case.claim", help="I have it: the first clock is met", cli="qd cases claim {id}", order=1),
    Act("case.start", "s", "start", target="case", level=Level.SAFE, command="case.start", help="Work begins, or goes on after a hold", cli="qd cases start {id}", order=2),
    Act("case.hold", "o", "on hold", target="case", help="Wait for parts, access, a vendor: the clocks stop as long as the policy allows", cli="qd cases hold {id} --reason parts --ref TEXT", order=3),
    Act("case.step", "m", "step", target="case", help="A step of the runbook is done, with its reading", cli="qd cases step {id} N --value TEXT", order=4),
    Act("case.code", "f", "code/resolve", target="case", help="Code the fault and say what was done; it is resolved by that", cli="qd cases resolve {id} --mode ... --cause ...", order=5),
    Act("case.check", "v", "verify", target="case", help="The checklist before the robot returns", cli="qd cases check {id} ITEM...", order=6),
    Act("case.gate", "A", "its gate", target="case", help="The question that is open about it: return to service, or who has it now", cli="qd gates show GATE", order=7),
    Act("case.takeout", "B", "out/return", target="case", level=Level.SAFE, help="Out of service at once; back by the gate, with the serial's tail typed", cli="qd cases takeout {id}", order=8),
    Act("case.escalate", "E", "escalate", target="case", help="To the next level, with the bundle", cli="qd cases escalate {id} --reason TEXT", order=9),
    Act("case.same", "equals_sign", "same build", target="case", help="Who else runs this build, and who of them has it", cli="qd cases show {id}", order=10),
    Act("case.weigh", "p", "priority", target="case", help="Weigh it anew: impact, urgency, safety", cli="qd cases weigh {id} --impact N --urgency N --reason WHY", order=11),
    Act("case.problem", "K", "link problem", target="case", help="The same fault elsewhere: join them in a problem", cli="qd cases link {id} PROBLEM", order=12),
    Act("case.note", "c", "comment", target="case", help="Note something", cli="qd cases note {id} TEXT", order=13),
    Act("case.bundle", "e", "evidence", target="case", help="The context bundle as it was kept", cli="qd cases show {id} --bundle", order=14),
    Act("case.history", "t", "timeline", target="case", help="Every change with who and why", cli="qd records history case {id}", order=15),
    Act("case.run", "u", "its run", target="case", help="The run that works on it", cli="qd runs show RUN", order=16),
    Act("case.trace", "h", "thread", target="case", help="What led here, and what came of it", cli="qd trace {id}", order=18),
    Act("case.robot", "r", "robot", target="case", help="The robot in the fleet", cli="qd fleet show ROBOT", order=17),
    Act("case.ticket", "J", "ticket", target="case", help="Its ticket elsewhere: both sides of every field", cli="qd tickets show {id}", order=19),
    Act("case.settle", "S", "settle", target="case", help="Choose where case and ticket disagree; nothing is overwritten before", cli="qd tickets resolve LINK --priority ours", order=20),
    Act("case.compare", "G", "compare now", target="case", help="Bring case and ticket together now", cli="qd tickets sync LINK", order=21),
    Act("case.newticket", "N", "open ticket", target="case", level=Level.SAFE, command="ticket.open", help="Open a ticket for it elsewhere", cli="qd tickets open {id}", order=0),
    Act("case.watch", "W", "watch again", target="case", level=Level.SAFE, command="case.watch", help="Its run ended before it: have its clocks and its return looked after again", cli="qd cases watch {id}", order=0),
    Act("case.reopen", "O", "reopen", target="case", help="The repair does not hold", cli="qd cases reopen {id} REASON", order=0),
    Act("case.merge", "M", "duplicate of", target="case", help="It is the same fault of this robot as another case", cli="qd cases merge {id} INTO", order=0),
    Act("case.cancel", "X", "cancel", target="case", help="There is nothing to do, and why", cli="qd cases cancel {id} REASON", order=0),
)  # fmt: skip

acts.register(Act("ticket.sync", "", "compare now", target="ticket", level=Level.SAFE, command="ticket.sync", help="Bring case and ticket together now", cli="qd tickets sync {id}", order=0))  # fmt: skip

ON_OPEN = frozenset(
    ["claim", "start", "hold", "step", "code", "check", "escalate", "takeout", "weigh", "problem", "merge", "cancel"]
)
"""What is only done with a case that is open."""


class CaseScreen(Travels):
    NAME = KIND = "case"
    TITLE_WORD = "Case"
    ACTS = (
        "case.claim",
        "case.start",
        "case.hold",
        "case.step",
        "case.code",
        "case.check",
        "case.gate",
        "case.takeout",
        "case.escalate",
        "case.same",
        "case.weigh",
        "case.problem",
        "case.note",
        "case.bundle",
        "case.history",
        "case.run",
        "case.robot",
        "case.trace",
        "case.ticket",
        "case.settle",
        "case.compare",
        "case.newticket",
        "case.watch",
        "case.reopen",
        "case.merge",
        "case.cancel",
        *past.ACTS,
    )
    SHAPE = CaseDetail
    READING = frozenset(
        {"case.gate", "case.same", "case.bundle", "case.history", "case.run", "case.robot", "case.trace", "case.ticket"}
    )
    AUTO_FOCUS = "Page"

    def __init__(self, case: str) -> None:
        super().__init__()
        self.case = case
        self.detail: CaseDetail | None = None
        self.view = "overview"
        self._history: tuple[RecordEvent, ...] = ()
        self._as_of = 0.0

    # -- showing ------------------------------------------------------------------------------------------------

    def body(self) -> ComposeResult:
        yield Page(id="facts")

    def on_mount(self) -> None:
        self.refetch()

    @property
    def past_id(self) -> str:
        return self.case

    def refetch(self) -> None:
        if not self.in_past():
            self.ask(lambda: self.client.read(f"/v1/cases/{self.case}/view", CaseDetail), self._got)
        if self.view == "history":
            self.ask(lambda: self.client.record_history(KIND, self.case), self._got_history, group="fetch-history")

    def _got(self, detail: CaseDetail) -> None:
        if not self.in_past():
            self.show_detail(detail)

    def show_detail(self, detail: CaseDetail) -> None:
        self.detail, self._as_of = detail, self.clock()
        self._show()

    def _got_history(self, events: tuple[RecordEvent, ...]) -> None:
        self._history = events
        self._show()

    def model_changed(self, delta: Delta | None) -> None:
        if self.detail is None:
            return
        run = self.detail.case.run
        ours = delta is not None and (KIND, self.case) in delta.records
        tickets = delta is not None and any(kind in ("ticket_link", "ticket_page") for kind, _ in delta.records)
        if delta is None or ours or tickets or run in delta.runs or delta.gates:
            self.refetch()

    def each_second(self) -> None:
        self._show()

    def on_resize(self) -> None:
        self._show()

    def _show(self) -> None:
        if not self.is_mounted:
            return
        page = self.query_one("#facts", Page)
        if self.detail is None:
            page.show([[("Loading \u2026" if self.trouble is None else "Esc goes back to the cases.", "muted")]])
            return
        now, cells = self.clock(), max(40, self.size.width - 3)
        if self.view == "same":
            page.show(case_view.comparison(self.detail, now, cells))
        elif self.view == "bundle":
            page.show(case_view.bundle(self.detail, cells))
        elif self.view == "ticket":
            page.show(ticket_view.sides(self.detail, now, cells))
        elif self.view == "history":
            page.show(case_view.history(self._history, now))
        else:
            page.show(case_view.facts(self.detail, now, self._as_of, cells))

    def verdict(self) -> list[Part]:
        """What this case waits for."""
        detail = self.detail
        if detail is None:
            return [("Loading \u2026", "muted")]
        case = detail.case
        if self.view != "overview":
            word = {
                "same": "Same build elsewhere",
                "bundle": "Context bundle",
                "history": "Timeline",
                "ticket": "Ticket",
            }[self.view]
            return [(f"{case.id} \u00b7 {word}", "strong"), ("  Esc back to the case", "muted")]
        if case.state in CASE_OVER:
            return [f"{case.id} is over: {case.state}."]
        if case_view.unwatched(case):
            return [(f"! Nothing watches {case.id} any more: its run ended. W has it watched again.", "alarm")]
        if detail.gate and case.state in ("resolved", "verifying"):
            return [("\u2691 ", "strong"), f"{case.robot} waits for its return to service: A opens the question."]
        if detail.gate:
            return [
                ("\u2691 ", "caution"),
                (f"{case.id} ran out of time: who has it now? A opens the question.", "caution"),
            ]
        words = {
            "new": "is being sorted",
            "triaged": "is being sorted",
            "queued": "waits for somebody: a claims it",
            "assigned": f"is with {case.assignee}: s begins work",
            "in_progress": f"is worked on by {case.assignee}",
            "on_hold": f"waits for {case.holds[-1].ref if case.holds else 'something'}: s resumes it",
            "resolved": "is repaired and goes into verification",
            "verifying": "is verified by what the robot does",
            "reopened": "is open again: the repair did not hold; a claims it",
        }
        where = "out of dispatch" if case.dispatch_hold else "goes on working"
        return [
            f"{case.id} {words.get(case.state, case.state)}. ",
            (f"{case.robot} {where}.", "caution" if case.dispatch_hold else "muted"),
        ]

    # -- acting -------------------------------------------------------------------------------------------------

    def target(self) -> Target | None:
        label = f"{self.detail.case.robot} {self.detail.case.symptom}" if self.detail is not None else ""
        return Target("case", self.case, label)

    def why_not(self, act: Act) -> Reason | None:
        detail = self.detail
        if detail is None:
            return Reason("the case is still loading")
        name, case = act.name.rpartition(".")[2], detail.case
        if name == "gate" and not detail.gate:
            return Reason(
                "no question is open about it",
                "it is asked when the repair has held" if case.state == "verifying" else "",
            )
        if name == "run" and not case.run:
            return Reason("no run works on it")
        if name in ON_OPEN and (reason := why_not(name, case)):
            return reason
        if name == "watch" and not case_view.unwatched(case):
            return Reason("its run looks after it")
        if reason := self._no_ticket(name, detail):
            return reason
        if name == "step" and not detail.runbook:
            return Reason("it has no runbook")
        if name == "code" and case.state in ("resolved", "verifying"):
            return Reason("it is resolved", "O reopens it")
        if name == "check" and case.state not in ("in_progress", "resolved", "verifying"):
            return Reason("the checklist is for what was repaired")
        if name == "reopen" and case.state not in ("resolved", "verifying"):
            return Reason(f"it is {case.state.replace('_', ' ')}: only a repair that does not hold is reopened")
        return None

    def _no_ticket(self, name: str, detail: CaseDetail) -> Reason | None:
        """Why a key about its ticket does nothing now."""
        ticket = ticket_view.first(detail)
        if name == "newticket":
            if ticket is not None:
                return Reason(f"it has {ticket.link.system}/{ticket.link.ticket}", "J shows it")
            if not detail.ticket_system:
                return Reason("no ticket system is connected", "qd connectors add")
            return Reason(f"it is {detail.case.state}") if detail.case.state in CASE_OVER else None
        if name in ("settle", "compare") and ticket is None:
            return Reason("it has no ticket", "N opens one" if detail.ticket_system else "")
        if name == "settle" and ticket is not None and not ticket.link.conflicts:
            return Reason("case and ticket agree")
        return None

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()

    def _again(self, answer: CommandAnswer) -> None:
        self.refetch()

    def act_case_hold(self) -> None:
        if self.detail is not None:
            self.console.ask_form(case_forms.holding(self.client, self.detail.case, self._again))

    def act_case_step(self) -> None:
        if self.detail is not None:
            self.console.ask_form(case_forms.stepping(self.client, self.detail, self._again))

    def act_case_code(self) -> None:
        if self.detail is not None:
            self.console.ask_form(case_forms.coding(self.client, self.detail, self._again))

    def act_case_check(self) -> None:
        if self.detail is not None:
            self.console.ask_form(case_forms.checking(self.client, self.detail, self._again))

    def act_case_escalate(self) -> None:
        if self.detail is not None:
            self.console.ask_form(case_forms.escalating(self.client, self.detail, self._again))

    def act_case_weigh(self) -> None:
        if self.detail is not None:
            self.console.ask_form(case_forms.weighing(self.client, self.detail.case, self._again))

    def act_case_problem(self) -> None:
        hint = "new opens one"
        field = FormField("problem", "Problem", required=True, hint=hint, complete=self._problems)
        self._ask("case.link", "Link {id} to a problem", field, "Link")

    async def _problems(self, text: str) -> list[tuple[str, str]]:
        """Open problems that fit, those of the same fault first."""
        found = await self.client.records("problem", ProblemView, state="open,known_error,fix_in_release")
        mode = self.detail.case.mode if self.detail is not None else ""
        known = [(one.id, f"{one.title}: {one.rule}") for one in sorted(found, key=lambda one: one.mode != mode)]
        return form_fields.matching(text, [*known, ("new", "a problem that nobody has named yet")])

    def act_case_note(self) -> None:
        self._ask("case.note", "Note on {id}", FormField("text", "Note", kind="long", required=True), "Note")

    def act_case_reopen(self) -> None:
        self._ask("case.reopen", "Reopen {id}", FormField("reason", "Why", required=True), "Reopen")

    def act_case_merge(self) -> None:
        self._ask(
            "case.merge",
            "{id} is a duplicate",
            FormField("into", "Of which case", required=True, of=("case",), hint="M-311"),
            "Merge",
        )

    def act_case_cancel(self) -> None:
        self._ask("case.cancel", "Cancel {id}", FormField("reason", "Why", required=True), "Cancel it")

    def _ask(self, verb: str, title: str, field: FormField, word: str) -> None:
        if self.detail is not None:
            case = self.detail.case
            self.console.ask_form(
                case_forms.asking(self.client, verb, case, title.format(id=case.id), field, word=word, done=self._again)
            )

    def act_case_takeout(self) -> None:
        """Out at once; the way back is the gate, which asks for the serial's tail."""
        detail = self.detail
        if detail is None:
            return
        if not detail.case.dispatch_hold:
            act = acts.act("cases.takeout")
            self.run_worker(
                self.carry_out(act, Target("case", self.case, detail.case.robot)), group="command", exit_on_error=False
            )
        elif detail.gate and detail.case.state in ("resolved", "verifying"):
            self.console.open("gate", detail.gate)
        else:
            self.say(
                (f"{detail.case.robot} is out of service. ", "strong"),
                "It returns by the gate, once the repair is resolved and has held.",
            )

    # -- going places -------------------------------------------------------------------------------------------

    def _turn(self, view: str) -> None:
        self.view = "overview" if self.view == view else view
        if self.view == "history":
            self.refetch()
        self._show()
        self.query_one("#facts", Page).scroll_to(y=0, animate=False, immediate=True)
        self.refresh_chrome()

    def act_case_same(self) -> None:
        self._turn("same")

    def act_case_bundle(self) -> None:
        self._turn("bundle")

    def act_case_history(self) -> None:
        self._turn("history")

    def act_case_ticket(self) -> None:
        self._turn("ticket")

    def act_case_settle(self) -> None:
        ticket = ticket_view.first(self.detail) if self.detail is not None else None
        if ticket is not None:
            self.console.ask_form(case_forms.settling(self.client, ticket, self._again))

    def act_case_compare(self) -> None:
        ticket = ticket_view.first(self.detail) if self.detail is not None else None
        if ticket is not None:
            self.run_worker(
                self.carry_out(acts.act("ticket.sync"), Target("ticket", ticket.link.id, ticket.link.ticket)),
                group="command", exit_on_error=False,
            )  # fmt: skip

    def act_case_gate(self) -> None:
        if self.detail is not None:
            self.console.open("gate", self.detail.gate)

    def act_case_run(self) -> None:
        if self.detail is not None:
            self.console.open("run", self.detail.case.run)

    def act_case_robot(self) -> None:
        if self.detail is not None:
            self.console.open("robot", self.detail.case.robot)

    def act_case_trace(self) -> None:
        self.console.open("trace", self.case)

    def act_console_back(self) -> None:
        if self.view != "overview":
            self._turn(self.view)
        else:
            super().act_console_back()
