"""Webhooks in, messages out: what could not be read and waits for somebody, who may tell, what people were told."""

from __future__ import annotations

from time import monotonic
from typing import Any

from textual.app import ComposeResult
from textual.containers import Container

from engine.contract.common import CommandAnswer, Problem
from engine.contract.hooks import DeliveryView, HooksView
from engine.contract.notices import NoticeView
from engine.contract.records import EvidenceText
from screens import hooks_view
from screens.acts import Act, Field, Level, Reason, register
from screens.base import Target
from screens.model import Delta
from screens.split import SplitScreen
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.text import Page

KINDS = ("delivery", "notice")
VIEWS = ("aside", "sources", "messages")
AGAIN_S = 5.0
"""Real seconds between looks while the screen is in front: counts change without an event of ours."""
LIMIT = 200

register(
    Act("hooks.detail", "enter", "what it says", help="All about the line under the cursor; back to the list", order=10),
    Act("hooks.other", "o", "next list", help="Deliveries kept aside, who may tell, messages to people", order=11),
    Act("hooks.retry", "r", "read again", target="delivery", level=Level.CHANGE, command="delivery.retry", help="Read it as it would be read now, and tell what it says", cli="qd hooks retry {id}", order=12),
    Act("hooks.discard", "D", "discard", target="delivery", level=Level.CHANGE, command="delivery.discard", help="It is never read; its bytes stay in the vault", cli="qd hooks discard {id} --reason WHY", fields=(Field("reason", "why it is not needed", required=True),), order=13),
    Act("hooks.gate", "A", "its gate", help="The gate a message is about", cli="qd gates show {id}", order=14),
)  # fmt: skip


class HooksScreen(SplitScreen):
    NAME = "hooks"
    TITLE_WORD = "Webhooks"
    ROOT = True
    LISTS = VIEWS
    ACTS = ("hooks.detail", "hooks.other", "hooks.retry", "hooks.discard", "hooks.gate")
    AUTO_FOCUS = "#aside"

    def __init__(self) -> None:
        super().__init__()
        self._hooks = HooksView()
        self._aside: dict[str, DeliveryView] = {}
        self._messages: dict[str, NoticeView] = {}
        self._texts: dict[str, EvidenceText] = {}
        self._got: set[str] = set()
        self._asked_at = 0.0

    def body(self) -> ComposeResult:
        with Container(classes="split"):
            yield LineTable(
                [
                    Column("ID", 6),
                    Column("FROM", 12, grow=1),
                    Column("STATE", 11),
                    Column("WHY", 20, grow=4),
                    Column("", 4, optional=1),
                    Column("AGE", 4, align="right"),
                ],
                empty=["Loading \u2026"],
                id="aside",
            )
            yield LineTable(
                [
                    Column("SOURCE", 14, grow=1),
                    Column("LAST", 6, align="right"),
                    Column("TAKEN", 7, align="right"),
                    Column("ASIDE", 5, align="right"),
                    Column("UNPROVEN", 8, align="right"),
                    Column("PROOF", 16, grow=4),
                ],
                empty=["Loading \u2026"],
                id="sources",
            )
            yield LineTable(
                [
                    Column("STATE", 10),
                    Column("TO", 10, grow=1),
                    Column("WHAT", 24, grow=5),
                    Column("GATE", 10, optional=1),
                    Column("AGE", 4, align="right"),
                ],
                empty=["Loading \u2026"],
                id="messages",
            )
            with Container(id="side", classes="column"):
                yield Page(id="said", indent=9)

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if self._got:
            self.refetch()

    # -- data ---------------------------------------------------------------------------------------------------

    def refetch(self) -> None:
        self._asked_at = monotonic()
        self.ask(lambda: self.client.read("/v1/hooks", HooksView), self._got_hooks)
        self.ask(lambda: self.client.records("delivery", DeliveryView, limit=LIMIT), self._got_aside, group="aside")
        self.ask(lambda: self.client.records("notice", NoticeView, limit=LIMIT), self._got_messages, group="messages")

    def model_changed(self, delta: Delta | None) -> None:
        if self._got and (delta is None or any(kind in KINDS for kind, _ in delta.records)):
            self.refetch()

    def each_second(self) -> None:
        if self._got and monotonic() - self._asked_at > AGAIN_S and self.online:
            self.refetch()
        self._show()

    def _got_hooks(self, found: HooksView) -> None:
        self._hooks = found
        self._got.add("sources")
        self._show()

    def _got_aside(self, rows: tuple[DeliveryView, ...]) -> None:
        self._aside = {one.id: one for one in sorted(rows, key=lambda one: one.state != "quarantined")}
        self._got.add("aside")
        self._show()

    def _got_messages(self, rows: tuple[NoticeView, ...]) -> None:
        self._messages = {one.id: one for one in rows}
        self._got.add("messages")
        self._show()

    def _got_text(self, text: EvidenceText) -> None:
        self._texts[text.digest] = text
        self._look()

    def failed(self, problem: Problem) -> None:
        if not self._got:
            self.table.empty = [f"Webhooks can't be shown: {problem.reason}."]
            self.table.refresh()

    def _show(self) -> None:
        if not self.is_mounted or not self._got:
            return
        now = self.model.now()
        aside, sources, messages = (self.query_one(f"#{name}", LineTable) for name in VIEWS)
        aside.empty = ["Everything that came could be read.", " o shows who may tell, and what people were told."]
        sources.empty = [
            "Nobody may tell.",
            " A system that sends webhooks is added with + on the connectors' screen (F5).",
        ]
        messages.empty = [
            "Nobody was told anything.",
            " A system that tells people (Slack, e-mail \u2026) is added on the connectors' screen (F5).",
        ]
        aside.merge([(key, hooks_view.delivery_cells(one, now)) for key, one in self._aside.items()])
        sources.merge([(one.name, hooks_view.source_cells(one, now)) for one in self._hooks.sources])
        messages.merge([(key, hooks_view.message_cells(one, now)) for key, one in self._messages.items()])
        self._look()

    # -- words --------------------------------------------------------------------------------------------------

    def verdict(self) -> list[Part]:
        if "sources" not in self._got:
            return [("Asking for webhooks \u2026", "muted")]
        return hooks_view.verdict(self._hooks, list(self._aside.values()), list(self._messages.values()))

    # -- keys ---------------------------------------------------------------------------------------------------

    def delivery(self) -> DeliveryView | None:
        return self._aside.get(self.table.cursor_key) if self._view == "aside" else None

    def message(self) -> NoticeView | None:
        return self._messages.get(self.table.cursor_key) if self._view == "messages" else None

    def target(self) -> Target | None:
        if (one := self.delivery()) is not None:
            return Target("delivery", one.id, f"{one.source}: {one.reason}")
        if (told := self.message()) is not None:
            return Target("notice", told.id, told.title)
        key = self.table.cursor_key
        return Target("source", key, key) if key else None

    def why_not(self, act: Act) -> Reason | None:
        if act.command:
            one = self.delivery()
            if one is None:
                return Reason("that is for a delivery that was kept aside", "o shows them")
            return None if one.state == "quarantined" else Reason(f"{one.id} is {one.state} already")
        if act.name == "hooks.gate":
            told = self.message()
            return None if told is not None and told.gate else Reason("no gate is under the cursor")
        if act.name == "hooks.detail" and self.target() is None:
            return Reason("nothing is under the cursor")
        return None

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()

    def act_console_back(self) -> None:
        if self._detail and not self.wide:
            self.act_hooks_detail()
        else:
            super().act_console_back()

    def filtered(self, text: str) -> None:
        for table in self.query(LineTable):
            table.narrow(text)

    def on_line_table_moved(self, message: LineTable.Moved) -> None:
        super().on_line_table_moved(message)
        self._look()

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self.act_hooks_detail()

    def act_hooks_detail(self) -> None:
        self._detail = not self._detail
        self._place()
        self._look()
        self.query_one("#said" if self._detail and not self.wide else f"#{self._view}").focus()

    def act_hooks_other(self) -> None:
        self._view = VIEWS[(VIEWS.index(self._view) + 1) % len(VIEWS)]
        self._detail = False
        self._place()
        self.table.focus()
        self._look()

    def act_hooks_gate(self) -> None:
        told = self.message()
        if told is not None:
            self.console.open("gate", told.gate)

    # -- the side -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        if not self.is_mounted or not (self.wide or self._detail):
            return
        page, now = self.query_one("#said", Page), self.model.now()
        page.show(self._page(now))

    def _page(self, now: float) -> list[Any]:
        if (one := self.delivery()) is not None:
            text = self._texts.get(one.digest)
            if text is None:
                self.ask(lambda: self.client.evidence(one.digest), self._got_text, group="text", quiet=True)
            return hooks_view.delivery_page(one, text, now)
        if (told := self.message()) is not None:
            return hooks_view.message_page(told, now)
        source = next((one for one in self._hooks.sources if one.name == self.table.cursor_key), None)
        if self._view == "sources" and source is not None:
            return hooks_view.source_page(source, self._hooks.address, now)
        return [[("Nothing is under the cursor.", "muted")]]
