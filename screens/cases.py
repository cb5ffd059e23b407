"""Maintenance cases by what is due first; the one under the cursor is told beside the list."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Container

from engine.contract.cases import CASE_OVER, CaseDetail, CaseQueue, CaseView
from engine.contract.common import CommandAnswer
from screens import acts, case_forms, case_view
from screens.acts import Act, Level, Reason
from screens.base import QScreen, Target
from screens.model import Delta
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.text import Page

KIND = "case"

acts.register(
    Act("cases.open", "enter", "open", target="case", help="Everything about it", cli="qd cases show {id}", order=1),
    Act("cases.file", "plus", "file", help="File a case: robot and symptom, the rest has an answer", cli="qd cases open ROBOT SYMPTOM", order=2),
    Act("cases.claim", "a", "claim", target="case", level=Level.SAFE, command="case.claim", help="I have it: the first clock is met", cli="qd cases claim {id}", order=3),
    Act("cases.start", "s", "start", target="case", level=Level.SAFE, command="case.start", help="Work begins, or goes on after a hold", cli="qd cases start {id}", order=4),
    Act("cases.hold", "o", "on hold", target="case", help="Wait for parts, access, a vendor: the clocks stop as long as the policy allows", cli="qd cases hold {id} --reason parts --ref TEXT", order=5),
    Act("cases.takeout", "B", "take out", target="case", level=Level.SAFE, command="case.takeout", help="The robot gets no more tasks, at once; it returns by the gate", cli="qd cases takeout {id}", order=6),
    Act("cases.mine", "m", "mine", help="Only cases I have or worked on, or all again", cli="qd cases ls --mine", order=7),
    Act("cases.queue", "w", "next queue", help="One queue after the other, then all", cli="qd cases ls --queue NAME", order=8),
    Act("cases.over", "x", "closed too", help="Closed, merged and cancelled cases as well", cli="qd cases ls --all", order=9),
)  # fmt: skip

COLUMNS = (
    Column("", 1),
    Column("case", 6),
    Column("P", 2),
    Column("robot", 12, grow=1),
    Column("symptom", 18, grow=4),
    Column("clock", 16),
    Column("who", 11, grow=1),
)


class CasesScreen(QScreen):
    NAME = "cases"
    TITLE_WORD = "Cases"
    ACTS = (
        "cases.open",
        "cases.file",
        "cases.claim",
        "cases.start",
        "cases.hold",
        "cases.takeout",
        "cases.mine",
        "cases.queue",
        "cases.over",
    )
    ROOT = True
    AUTO_FOCUS = "#cases"
    CSS = """
    CasesScreen #both { layout: vertical; height: 1fr; width: 1fr; }
    CasesScreen #cases { height: 2fr; }
    CasesScreen #about { height: 3fr; border-top: solid $qd-cursor-away; }
    CasesScreen #both.-alone #about { display: none; }
    CasesScreen #both.-wide { layout: horizontal; }
    CasesScreen #both.-wide #cases { width: 3fr; height: 1fr; }
    CasesScreen #both.-wide #about { width: 2fr; height: 1fr; border-top: none; border-left: solid $qd-cursor-away; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._queue: CaseQueue | None = None
        self._details: dict[str, CaseDetail] = {}
        self._only_mine = self._with_over = False
        self._only_queue = ""
        self._seek = ""

    # -- showing ------------------------------------------------------------------------------------------------

    def body(self) -> ComposeResult:
        with Container(id="both"):
            yield LineTable(COLUMNS, empty=("Loading \u2026",), id="cases")
            yield Page(id="about")

    def on_mount(self) -> None:
        self.refetch()

    def on_screen_resume(self) -> None:
        if self._queue is not None:
            self.refetch()

    def refetch(self) -> None:
        query = {
            "queue": self._only_queue,
            "mine": "1" if self._only_mine else "",
            "all": "1" if self._with_over else "",
        }
        wanted = {name: value for name, value in query.items() if value}
        self.ask(lambda: self.client.read("/v1/cases/queue", CaseQueue, **wanted), self._got)

    def _got(self, queue: CaseQueue) -> None:
        self._queue = queue
        self._show()
        if self._seek and any(line.case.id == self._seek for line in queue.rows):
            self.query_one("#cases", LineTable).go_to(self._seek)
            self._seek = ""
        self._look_closer()

    def model_changed(self, delta: Delta | None) -> None:
        if self._queue is not None and (delta is None or any(kind == KIND for kind, _ in delta.records)):
            if delta is not None:
                for kind, id in delta.records:
                    if kind == KIND:
                        self._details.pop(id, None)
            self.refetch()

    def each_second(self) -> None:
        self._show()

    def on_resize(self) -> None:
        self._show()

    def on_line_table_moved(self, message: LineTable.Moved) -> None:
        super().on_line_table_moved(message)
        self._look_closer()

    def _look_closer(self) -> None:
        """The case under the cursor, unless it is known as it stands."""
        case = self._case()
        if case is None:
            return
        known = self._details.get(case.id)
        if known is None or known.case.rev != case.rev:
            id = case.id
            self.ask(
                lambda: self.client.read(f"/v1/cases/{id}/view", CaseDetail),
                self._got_detail,
                group="fetch-detail",
                quiet=True,
            )
        self._show_about()

    def _got_detail(self, detail: CaseDetail) -> None:
        self._details[detail.case.id] = detail
        if len(self._details) > 50:
            self._details.pop(next(iter(self._details)))
        self._show_about()

    def _case(self) -> CaseView | None:
        key = self.query_one("#cases", LineTable).cursor_key if self.is_mounted else ""
        rows = self._queue.rows if self._queue is not None else ()
        return next((line.case for line in rows if line.case.id == key), None)

    def _show(self) -> None:
        if not self.is_mounted:
            return
        table = self.query_one("#cases", LineTable)
        if self._queue is None:
            return
        shown = "Nothing waits for you. m shows all." if self._only_mine else "No case is open. + files one."
        table.empty = (shown,)
        now = self.model.now()
        table.merge([(line.case.id, case_view.cells(line, now, self._queue.as_of)) for line in self._queue.rows])
        both = self.query_one("#both")
        both.set_class(self.size.width >= 140, "-wide")
        both.set_class(not self._queue.rows, "-alone")
        self._show_about()

    def _show_about(self) -> None:
        case, page = self._case(), self.query_one("#about", Page)
        detail = self._details.get(case.id) if case is not None else None
        if detail is None or case is None:
            page.show([[("\u2026", "muted")]] if case is not None else [])
            return
        as_of = self._queue.as_of if self._queue is not None else self.model.now()
        page.show(
            case_view.facts(detail, self.model.now(), as_of, max(40, page.size.width - 3), whole=self.size.width >= 140)
        )

    def verdict(self) -> list[Part]:
        if self._queue is None:
            return [("Loading \u2026", "muted")]
        line: list[Part] = [(f"{self._only_queue}  ", "strong")] if self._only_queue else []
        if self._only_mine:
            line.append(("mine  ", "strong"))
        for name, count in self._queue.counts.items():
            said = f"{count} {name}" if name.startswith("P") else f"{name} {count}"
            line += [(said, "alarm") if name == "P1" else said, "  "]
        if not self._queue.counts:
            line.append("No case is open.  ")
        if self._queue.breaching:
            line.append((f"due in <{self._queue.soon_s / 60:.0f} min: {self._queue.breaching}", "caution"))
        late = sum(one.clock is not None and one.clock.state == "breached" for one in self._queue.rows)
        if late:
            line.append((f"  late: {late}", "alarm"))
        return line

    # -- acting -------------------------------------------------------------------------------------------------

    def target(self) -> Target | None:
        case = self._case()
        return Target("case", case.id, f"{case.robot} {case.symptom}") if case is not None else None

    def why_not(self, act: Act) -> Reason | None:
        case = self._case()
        if act.target and case is None:
            return Reason("no case is selected")
        if act.name in ("cases.claim", "cases.start", "cases.hold", "cases.takeout") and case is not None:
            return why_not(act.name.rpartition(".")[2], case)
        return None

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self.console.open("case", message.key)

    def act_cases_open(self) -> None:
        target = self.target()
        if target is not None:
            self.console.open("case", target.id)

    def act_cases_file(self) -> None:
        rows = [line.case for line in self._queue.rows] if self._queue is not None else []
        modes = self._queue.modes if self._queue is not None else ()
        self.console.ask_form(case_forms.filing(self.client, rows, modes, self._filed))

    def _filed(self, answer: CommandAnswer) -> None:
        if isinstance(answer.result, dict):
            self._seek = str(answer.result.get("id") or "")
        self.refetch()

    def act_cases_hold(self) -> None:
        case = self._case()
        if case is not None:
            self.console.ask_form(case_forms.holding(self.client, case, lambda answer: self.refetch()))

    def act_cases_mine(self) -> None:
        self._only_mine = not self._only_mine
        self._anew()

    def act_cases_over(self) -> None:
        self._with_over = not self._with_over
        self._anew()

    def act_cases_queue(self) -> None:
        queues = ["", *(self._queue.queues if self._queue is not None else ())]
        at = queues.index(self._only_queue) if self._only_queue in queues else 0
        self._only_queue = queues[(at + 1) % len(queues)]
        self._anew()

    def _anew(self) -> None:
        """Another choice of rows: the order is taken in at once."""
        table = self.query_one("#cases", LineTable)
        table.merge([])
        table.action_take()
        self.refetch()


def why_not(what: str, case: CaseView) -> Reason | None:
    """Why something can't be done with a case as it stands."""
    if case.state in CASE_OVER:
        into = f" of {case.merged_into}" if case.merged_into else ""
        return Reason(f"{case.id} is {case.state}{into}")
    if what in ("claim", "start", "hold", "code", "step", "escalate") and case.state in ("new", "triaged"):
        return Reason(f"{case.id} is still being sorted", "a moment")
    if what in ("claim", "start", "hold", "step") and case.state in ("resolved", "verifying"):
        return Reason(f"{case.id} is {case.state}", "v fills in the checklist")
    if what == "hold" and case.state not in ("assigned", "in_progress"):
        return Reason(
            f"{case.id} is {case.state.replace('_', ' ')}: only what somebody works on can be held", "a claims it"
        )
    if what == "start" and case.state == "in_progress":
        return Reason("work on it has begun")
    return None
