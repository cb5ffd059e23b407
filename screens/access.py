"""Access: requests by what has to be decided first, grants that run, and who has a hand on which robot."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Container

from engine.contract.access import AccessPage, AccessRequest, Grant, RequestDetail
from engine.contract.common import CommandAnswer
from screens import access_forms, access_view, acts, figures
from screens.acts import Act, Level, Reason
from screens.base import QScreen, Target
from screens.model import Delta
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.text import Page

KINDS = ("access_request", "grant", "lease")

acts.register(
    Act("access.open", "enter", "open", target="request", help="Everything about it: the rules, the data, what was done", cli="qd access show {id}", order=1),
    Act("access.file", "plus", "ask", help="Ask for access: what and why, the rest has an answer", cli="qd access request ACTION --because TEXT", order=2),
    Act("access.revoke", "K", "revoke", target="grant", level=Level.SAFE, command="access.revoke", help="End a grant at once: no question, no typing", cli="qd access revoke {id}", order=3),
    Act("access.view", "g", "grants", help="Grants that run, by end; once more the requests", cli="qd access ls", order=4),
    Act("access.over", "x", "over too", help="Closed, denied and withdrawn requests as well", cli="qd access ls --all", order=5),
    Act("access.offer", "m", "offer less", target="request", help="Offer the less intrusive option the rules found; the requester takes it or not", cli="qd access offer {id} OPTION", order=7),
    Act("access.glass", "exclamation_mark", "break glass", level=Level.READ, help="Take access now, without approval: phrase, page to compliance, review", cli="qd access breakglass ACTION --reason TEXT", order=6),
)  # fmt: skip

WIDE = 140
COLUMNS = (
    Column("", 1),
    Column("id", 5),
    Column("state", 13),
    Column("wants", 12),
    Column("who", 6, grow=1),
    Column("from", 14, optional=2),
    Column("what", 12, grow=1),
    Column("until", 8),
    Column("why", 12, grow=4, optional=1),
)


class Requests(LineTable, inherit_bindings=False):
    """The list, whose `g` is left to the grants (Home goes to the top)."""

    BINDINGS = access_view.without("g", LineTable.BINDINGS)


class AccessScreen(QScreen):
    NAME = "access"
    TITLE_WORD = "Access"
    ACTS = ("access.open", "access.file", "access.revoke", "access.view", "access.over", "access.offer", "access.glass")
    ROOT = True
    AUTO_FOCUS = "#access"
    CSS = """
    AccessScreen #both { layout: vertical; height: 1fr; width: 1fr; }
    AccessScreen #about { display: none; }
    AccessScreen #both.-wide { layout: horizontal; }
    AccessScreen #both.-wide #access { width: 1fr; }
    AccessScreen #both.-wide #about { display: block; width: 1fr; border-left: solid $qd-cursor-away; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._page: AccessPage | None = None
        self._grants = self._over = False
        self._details: dict[str, RequestDetail] = {}

    def body(self) -> ComposeResult:
        with Container(id="both"):
            yield Requests(COLUMNS, empty=("Loading \u2026",), id="access")
            yield Page(id="about")

    def on_mount(self) -> None:
        self.refetch()

    def on_screen_resume(self) -> None:
        if self._page is not None:
            self.refetch()

    def refetch(self) -> None:
        self.ask(lambda: self.client.read("/v1/access", AccessPage), self._got)

    def _got(self, page: AccessPage) -> None:
        self._page = page
        self._show()
        self._look_closer()

    def on_line_table_moved(self, message: LineTable.Moved) -> None:
        super().on_line_table_moved(message)
        self._look_closer()

    def on_resize(self) -> None:
        self._show()
        self._look_closer()

    def _at(self) -> str:
        """The request under the cursor; of a grant, its request."""
        target = self.target() if self.is_mounted else None
        if target is None:
            return ""
        grant = next((one for one in self.grants() if one.id == target.id), None) if self._grants else None
        return grant.request if grant is not None else target.id

    def _look_closer(self) -> None:
        """The request under the cursor, where there is room to tell of it."""
        name = self._at()
        if not name or not self.query_one("#both").has_class("-wide"):
            return
        row = next((one for one in self._page.requests if one.id == name), None) if self._page is not None else None
        known = self._details.get(name)
        if known is None or row is None or known.request.rev != row.rev:
            self.ask(
                lambda: self.client.read(f"/v1/access/requests/{name}", RequestDetail), self._got_detail,
                group="fetch-detail", quiet=True,
            )  # fmt: skip
        self._show_about()

    def _got_detail(self, detail: RequestDetail) -> None:
        self._details[detail.request.id] = detail
        if len(self._details) > 50:
            self._details.pop(next(iter(self._details)))
        self._show_about()

    def _show_about(self) -> None:
        detail, page = self._details.get(self._at()), self.query_one("#about", Page)
        if detail is None:
            page.show([])
            return
        now, cells = self.model.now(), max(40, page.size.width - 3)
        page.show([access_view.verdict(detail, None, now), [""], *access_view.facts(detail, None, now, cells)])

    def model_changed(self, delta: Delta | None) -> None:
        if self._page is not None and (delta is None or delta.gates or any(kind in KINDS for kind, _ in delta.records)):
            self.refetch()

    def each_second(self) -> None:
        self._show()

    def rows(self) -> list[AccessRequest]:
        page = self._page
        if page is None:
            return []
        shown = [one for one in page.requests if self._over or one.state not in access_view.OVER]
        return sorted(shown, key=lambda one: _urgency(one, page.gates.get(one.id)))

    def grants(self) -> list[Grant]:
        return sorted(self._page.grants, key=lambda one: one.expires_at) if self._page is not None else []

    def _show(self) -> None:
        if not self.is_mounted or self._page is None:
            return
        table, now, page = self.query_one("#access", LineTable), self.model.now(), self._page
        rows = self.grants() if self._grants else self.rows()
        self.query_one("#both").set_class(self.size.width >= WIDE and bool(rows), "-wide")
        if self._grants:
            table.empty = ("Nobody has access to anything now.",)
            leases = {one.id: one for one in page.leases}
            table.merge([(one.id, access_view.grant_cells(one, leases.get(one.lease), now)) for one in self.grants()])
            return
        table.empty = ("No request is open. + asks for access.",)
        table.merge([(one.id, access_view.request_cells(one, self._due(one), now)) for one in self.rows()])

    def _due(self, row: AccessRequest) -> float | None:
        """When its question denies by silence, or its grant ends."""
        page = self._page
        if page is None:
            return None
        grant = next((one for one in page.grants if one.id == row.grant), None)
        return page.gates.get(row.id) or (grant.expires_at if grant is not None else None)

    def verdict(self) -> list[Part]:
        page = self._page
        if page is None:
            return [("Loading \u2026", "muted")]
        decide = [one for one in page.requests if one.state == "evaluated" and one.id in page.gates]
        review = [one for one in page.requests if one.state == "in_review"]
        held = [one for one in page.requests if one.state == "held"]
        hands = [one for one in page.leases if one.mode in ("assist", "direct")]
        glass = [one for one in page.grants if one.breakglass]
        line: list[Part] = [(f"\u2691 {len(decide)} to decide", "strong") if decide else "Nothing to decide"]
        line += [", ", (f"\u2016 {len(held)} held", "caution")] if held else []
        line += [", ", (f"\u2691 {figures.plural(len(review), 'review')}", "strong")] if review else []
        line += [f", {figures.plural(len(page.grants), 'grant')} running"]
        line += [", ", (f"{len(hands)} with a hand on a robot", "strong")] if hands else []
        line += [", ", (f"! {len(glass)} by break-glass", "alarm")] if glass else []
        return [*line, "."]

    def target(self) -> Target | None:
        key = self.query_one("#access", LineTable).cursor_key
        if not key:
            return None
        if self._grants:
            grant = next((one for one in self.grants() if one.id == key), None)
            return Target("grant", key, grant.title if grant else "")
        row = next((one for one in self.rows() if one.id == key), None)
        return Target("request", key, row.title if row else "")

    def why_not(self, act: Act) -> Reason | None:
        if act.name == "access.revoke" and self._revocable() is None:
            return Reason("nothing is granted under the cursor", "g lists the grants")
        if act.name == "access.offer":
            row = self._asked()
            if row is None or row.state != "evaluated":
                return Reason("no request that waits to be decided is under the cursor")
        return None

    def _asked(self) -> AccessRequest | None:
        target = self.target()
        return next((one for one in self.rows() if target is not None and one.id == target.id), None)

    def _revocable(self) -> Target | None:
        """The grant under the cursor, or of the request under it."""
        target = self.target()
        if target is None or self._grants:
            return target
        row = next((one for one in self.rows() if one.id == target.id), None)
        running = {one.id for one in self.grants()}
        return Target("grant", row.grant, row.title) if row is not None and row.grant in running else None

    async def carry_out(self, act: Act, target: Target) -> None:
        if act.name == "access.revoke":
            target = self._revocable() or target
        await super().carry_out(act, target)

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self._open(message.key)

    def act_access_open(self) -> None:
        target = self.target()
        if target is not None:
            self._open(target.id)

    def _open(self, key: str) -> None:
        grant = next((one for one in self.grants() if one.id == key), None) if self._grants else None
        self.console.open("request", grant.request if grant is not None else key)

    def act_access_file(self) -> None:
        self.console.ask_form(
            access_forms.asking(self.client, self._filed, self._page.limits if self._page is not None else {})
        )

    def act_access_glass(self) -> None:
        self.console.ask_form(access_forms.breaking(self.client, self._filed))

    def act_access_offer(self) -> None:
        row = self._asked()
        if row is not None:
            self.ask(
                lambda: self.client.read(f"/v1/access/requests/{row.id}", RequestDetail), self._offer, group="offer"
            )

    def _offer(self, detail: RequestDetail) -> None:
        asked = detail.request
        if why := detail.verbs.get("access.offer", ""):
            self.say(("offer less: ", "strong"), (why, "caution"))
        elif not any(one.changes for one in asked.evaluation.alternatives):
            self.say((f"nothing less than {asked.action} would do: the rules found no other way", "caution"))
        else:
            self.console.ask_form(access_forms.offering(self.client, asked, lambda answer: self.refetch()))

    def _filed(self, answer: CommandAnswer) -> None:
        self._grants = False
        self.refetch()
        if answer.target:
            self.console.open("request", answer.target)

    def act_access_view(self) -> None:
        self._grants = not self._grants
        self._show()
        self._look_closer()
        self.query_one("#access", LineTable).refresh()  # an empty list says something else now

    def act_access_over(self) -> None:
        self._over = not self._over
        self._show()


def _urgency(row: AccessRequest, due: float | None) -> tuple[int, float]:
    """What has to be decided first, then what waits, then what runs, then what is over."""
    if row.breakglass and row.state == "granted":
        return 0, 0.0
    rank = {"evaluated": 1, "in_review": 2, "held": 3, "needs_info": 3, "approved": 4, "granted": 4}.get(row.state, 5)
    if row.state in access_view.OVER:
        return 9, -row.updated_at
    return rank, due if due is not None else 9e18 - row.updated_at
