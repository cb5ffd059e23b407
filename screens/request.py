"""One access request: who wants what, the rules one by one, what would intrude less, and what is done with what was granted.

Taking away acts at once; deciding is done at its gate; what was asked can only become less here, or more as a new request.
"""

from __future__ import annotations

from textual.app import ComposeResult

from engine.contract.access import RequestDetail
from engine.contract.common import CommandAnswer
from engine.contract.gates import GateDetail
from engine.contract.records import RecordEvent
from screens import access_forms, access_view, acts
from screens.acts import Act, Level, Reason
from screens.base import QScreen, Target
from screens.model import Delta
from screens.widgets.parts import Part
from screens.widgets.text import Page

KIND = "access_request"

acts.register(
    Act("request.decide", "A,X,n", "decide", target="request", help="Its question: approve, reject or ask there", cli="qd gates show GATE", order=1),
    Act("request.offer", "m", "offer less", target="request", help="Offer the less intrusive option; the requester takes it or not", cli="qd access offer {id} OPTION", order=2),
    Act("request.revoke", "K", "revoke now", target="grant", level=Level.SAFE, command="access.revoke", help="End what was granted at once: no question, no typing", cli="qd access revoke GRANT", order=3),
    Act("request.session", "L", "live session", target="request", help="Grant, lease, link, commands and bytes as they come", cli="qd access show {id}", order=4),
    Act("request.rules", "e", "rules", target="request", help="Every rule with the facts it looked at and its source", cli="qd access show {id} --trace", order=5),
    Act("request.grants", "g", "grants", target="request", help="What this person was granted in 30 days", cli="qd access show {id}", order=6),
    Act("request.ack", "a", "on site", target="request", level=Level.CHANGE, command="access.ack", help="I am on site: the drive may start", cli="qd access ack {id}", order=7),
    Act("request.report", "r", "report", target="request", help="Latency, recording, dead-man, stop test", cli="qd access report {id} --latency-ms N --recording", order=8),
    Act("request.tell", "i", "tell", target="request", help="Add what was asked for", cli="qd access tell {id} --text TEXT", order=9),
    Act("request.answer", "o", "answer offer", target="request", help="Take the less intrusive option, or stay", cli="qd access answer {id} --take", order=10),
    Act("request.relinquish", "b", "give back", target="grant", level=Level.SAFE, command="access.relinquish", help="I am done: end my grant early", cli="qd access relinquish GRANT", order=11),
    Act("request.extend", "plus", "more time", target="request", help="Ask for more time: a new request, decided anew", cli="qd access extend GRANT --for 30m --because TEXT", order=12),
    Act("request.withdraw", "W", "withdraw", target="request", level=Level.SAFE, command="access.withdraw", help="I no longer need it", cli="qd access withdraw {id}", order=13),
    Act("request.history", "t", "timeline", target="request", help="Every change with who and why", cli="qd records history access_request {id}", order=14),
    Act("request.thread", "h", "thread", target="request", help="What led here and what came of it", cli="qd trace {id}", order=16),
    Act("request.run", "u", "its run", target="request", help="The run that works on it", cli="qd runs show RUN", order=15),
)  # fmt: skip

VERB = {
    "request.offer": "access.offer", "request.revoke": "access.revoke", "request.ack": "access.ack", "request.report": "access.report",
    "request.tell": "access.told", "request.answer": "access.answer", "request.relinquish": "access.relinquish",
    "request.extend": "access.extend", "request.withdraw": "access.withdraw",
}  # fmt: skip
VIEWS = {"rules": "Rules", "session": "Session", "grants": "Grants", "history": "Timeline"}


class Facts(Page, inherit_bindings=False):
    """The page, whose `g` is left to the grants (Home goes to the top)."""

    BINDINGS = access_view.without("g", Page.BINDINGS)


class RequestScreen(QScreen):
    NAME = "request"
    TITLE_WORD = "Access"
    ACTS = (
        "request.decide",
        "request.offer",
        "request.revoke",
        "request.session",
        "request.rules",
        "request.grants",
        "request.ack",
        "request.report",
        "request.tell",
        "request.answer",
        "request.relinquish",
        "request.extend",
        "request.withdraw",
        "request.history",
        "request.run",
        "request.thread",
    )
    AUTO_FOCUS = "Page"

    def __init__(self, request: str) -> None:
        super().__init__()
        self.request = request
        self.detail: RequestDetail | None = None
        self.gate: GateDetail | None = None
        self.view = "overview"
        self._history: tuple[RecordEvent, ...] = ()

    # -- showing ------------------------------------------------------------------------------------------------

    def body(self) -> ComposeResult:
        yield Facts(id="facts")

    def on_mount(self) -> None:
        self.refetch()

    def on_screen_resume(self) -> None:
        if self.detail is not None:
            self.refetch()

    def refetch(self) -> None:
        self.ask(lambda: self.client.read(f"/v1/access/requests/{self.request}", RequestDetail), self._got)
        if self.view == "history":
            self.ask(lambda: self.client.record_history(KIND, self.request), self._got_history, group="fetch-history")

    def _got(self, detail: RequestDetail) -> None:
        self.detail = detail
        if not detail.gate:
            self.gate = None
        else:
            gate = detail.gate
            self.ask(lambda: self.client.gate(gate), self._got_gate, group="fetch-gate", quiet=True)
        self._show()

    def _got_gate(self, gate: GateDetail) -> None:
        self.gate = gate
        self._show()

    def _got_history(self, events: tuple[RecordEvent, ...]) -> None:
        self._history = events
        self._show()

    def model_changed(self, delta: Delta | None) -> None:
        detail = self.detail
        if detail is None:
            return
        about = {(KIND, self.request)}
        if detail.grant is not None:
            about |= {("grant", detail.grant.id), ("lease", detail.grant.lease)}
        if delta is None or delta.gates or about & delta.records:
            self.refetch()

    def each_second(self) -> None:
        self._show()

    def on_resize(self) -> None:
        self._show()

    def _show(self) -> None:
        if not self.is_mounted:
            return
        page, detail = self.query_one("#facts", Page), self.detail
        if detail is None:
            page.show([[("Loading \u2026" if self.trouble is None else "Esc goes back to the list.", "muted")]])
            return
        now, cells = self.model.now(), max(40, self.size.width - 3)
        if self.view == "rules":
            page.show(access_view.trace(detail.request, cells))
        elif self.view == "session":
            page.show(access_view.session(detail, now, cells))
        elif self.view == "grants":
            page.show(access_view.grants(detail, now, cells))
        elif self.view == "history":
            page.show(access_view.history(self._history, now))
        else:
            page.show(access_view.facts(detail, self.gate, now, cells, roomy=self.size.height >= 36))

    def verdict(self) -> list[Part]:
        if self.detail is None:
            return [("Loading \u2026", "muted")]
        if self.view != "overview":
            return [(f"{self.request} \u00b7 {VIEWS[self.view]}", "strong"), ("  Esc back to the request", "muted")]
        return [f"{self.request}  ", *access_view.verdict(self.detail, self.gate, self.model.now())]

    # -- acting -------------------------------------------------------------------------------------------------

    def target(self) -> Target | None:
        return Target("request", self.request, self.detail.request.title if self.detail is not None else "")

    def why_not(self, act: Act) -> Reason | None:
        detail = self.detail
        if detail is None:
            return Reason("the request is still loading")
        verb = VERB.get(act.name)
        if verb is not None and (reason := detail.verbs.get(verb, "")):
            return Reason(reason)
        if act.name == "request.decide" and not detail.gate:
            return Reason("no question about it is open")
        if act.name == "request.run" and not detail.request.run:
            return Reason("no run works on it")
        if act.name == "request.offer" and not any(one.changes for one in detail.request.evaluation.alternatives):
            return Reason("nothing less intrusive can be offered from here")
        return None

    async def carry_out(self, act: Act, target: Target) -> None:
        """What ends a grant is sent to the grant."""
        if act.target == "grant" and self.detail is not None and self.detail.grant is not None:
            target = Target("grant", self.detail.grant.id, self.detail.grant.title)
        await super().carry_out(act, target)

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()

    def _again(self, answer: CommandAnswer) -> None:
        self.refetch()

    def act_request_decide(self) -> None:
        if self.detail is not None:
            self.console.open("gate", self.detail.gate)

    def act_request_offer(self) -> None:
        if self.detail is not None:
            self.console.ask_form(access_forms.offering(self.client, self.detail.request, self._again))

    def act_request_report(self) -> None:
        if self.detail is not None:
            self.console.ask_form(access_forms.reporting(self.client, self.detail.request, self._again))

    def act_request_tell(self) -> None:
        if self.detail is not None:
            self.console.ask_form(access_forms.telling(self.client, self.detail.request, self._again))

    def act_request_answer(self) -> None:
        if self.detail is not None:
            self.console.ask_form(access_forms.answering(self.client, self.detail.request, self._again))

    def act_request_extend(self) -> None:
        if self.detail is not None and self.detail.grant is not None:
            self.console.ask_form(access_forms.extending(self.client, self.detail.grant, self._again))

    def act_request_run(self) -> None:
        if self.detail is not None:
            self.console.open("run", self.detail.request.run)

    def act_request_thread(self) -> None:
        self.console.open("trace", self.request)

    def act_request_session(self) -> None:
        self._look("session")

    def act_request_rules(self) -> None:
        self._look("rules")

    def act_request_grants(self) -> None:
        self._look("grants")

    def act_request_history(self) -> None:
        self._look("history")
        if self.view == "history":
            self.ask(lambda: self.client.record_history(KIND, self.request), self._got_history, group="fetch-history")

    def _look(self, view: str) -> None:
        """A view; its key once more, or Esc, goes back to the request."""
        self.view = "overview" if self.view == view else view
        self._show()
        self.query_one("#facts", Page).scroll_to(y=0, animate=False, immediate=True)

    def act_console_back(self) -> None:
        if self.view != "overview":
            self._look(self.view)
        else:
            super().act_console_back()
