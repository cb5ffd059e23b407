"""Handover: who is on duty, what a shift has to know, and the two keys that hand it over: `o` offers, `A` accepts.

What is read is what is accepted: an offered handover shows the report it was made with, and the acceptance names its
digest. Nothing goes over by waiting; command of an incident goes with the receiver's key alone.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from textual.app import ComposeResult

from engine.contract.common import CommandAnswer
from engine.contract.oncall import HandoverRecord, OnCallView, ShiftReport
from screens import acts, handover_view
from screens.acts import Act, Field, Level, Reason
from screens.base import QScreen, Target
from screens.form import FormField, FormScreen, sending
from screens.model import Delta
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part

AGAIN_S = 10.0
"""Real seconds between looks while the screen is in front: what ends soon gets sooner without an event."""
KINDS = ("duty", "handover", "watch", "incident")

acts.register(
    Act("handover.open", "enter", "open", target="row", help="Open what is under the cursor", order=1),
    Act("handover.accept", "A", "accept", level=Level.SAFE, command="handover.accept", help="You are on duty from now on; command of the named incidents is yours, with both names and the time", cli="qd handover accept {id}", order=2),
    Act("handover.decline", "X", "decline", level=Level.CHANGE, command="handover.decline", fields=(Field("reason", "Why not?", required=True),), help="It stays with who offers it", cli="qd handover decline {id} --reason WHY", order=3),
    Act("handover.offer", "o", "hand over", help="Offer your shift as it stands, with a note; nothing goes over before it is accepted", cli="qd handover offer --to PERSON --note TEXT", order=4),
    Act("handover.withdraw", "W", "withdraw", level=Level.CHANGE, command="handover.withdraw", help="Take back what you offered", cli="qd handover withdraw {id}", order=5),
    Act("duty.take", "a", "take duty", help="You are on duty from now on", cli="qd oncall take", order=6),
    Act("duty.give", "K", "off duty", level=Level.CHANGE, command="duty.give", help="Your shift ends, handed to nobody", cli="qd oncall off", order=7),
    Act("handover.now", "v", "now/offered", help="What was offered, or how things stand now", cli="qd handover", order=8),
    Act("handover.seen", "z", "seen", level=Level.READ, help="You looked at what you watch: only what changes from now on is news", cli="qd oncall seen", order=9),
    Act("handover.bell", "b", "bell", help="What rings here: bell, notification and title, by how grave it is", cli="qd oncall alerting", order=10),
)  # fmt: skip


class HandoverScreen(QScreen):
    NAME = "handover"
    TITLE_WORD = "Handover"
    ROOT = True
    ACTS = (
        "handover.open",
        "handover.accept",
        "handover.decline",
        "handover.offer",
        "handover.withdraw",
        "duty.take",
        "duty.give",
        "handover.now",
        "handover.seen",
        "handover.bell",
    )
    AUTO_FOCUS = "#shift"

    def __init__(self) -> None:
        super().__init__()
        self.view: OnCallView | None = None
        self.report: ShiftReport | None = None
        self.shown: HandoverRecord | None = None
        """The handover whose report stands there; None: how things stand now."""
        self.live = False
        self._asked_at, self._again = 0.0, False

    def body(self) -> ComposeResult:
        columns = (Column("", 1), Column("what", 10), Column("", 30, grow=1), Column("who", 12, optional=1), Column("when", 12, align="right"))  # fmt: skip
        yield LineTable(columns, empty=("Loading \u2026",), head=False, id="shift")

    def on_mount(self) -> None:
        self.refetch()

    def on_screen_resume(self) -> None:
        if self.view is not None:
            self.refetch()

    def refetch(self) -> None:
        self._asked_at, self._again = monotonic(), False
        self.ask(self._read, self._got)

    async def _read(self) -> tuple[OnCallView, ShiftReport, HandoverRecord | None]:
        """What is offered shows the report it was made with; nobody accepts what they were not shown."""
        view = await self.client.read("/v1/oncall", OnCallView)
        light = handover_view.for_me(view) or handover_view.of_mine(view)
        if light is not None and not self.live:
            kept = await self.client.record("handover", light.id, HandoverRecord)
            return view, kept.report, kept
        return view, await self.client.read("/v1/oncall/report", ShiftReport), None

    def _got(self, found: tuple[OnCallView, ShiftReport, HandoverRecord | None]) -> None:
        self.view, self.report, self.shown = found
        self._show()

    def model_changed(self, delta: Delta | None) -> None:
        if delta is None or delta.of(*KINDS) or delta.gates:
            self._again = True

    def each_second(self) -> None:
        waited = monotonic() - self._asked_at
        if self.online and (waited > AGAIN_S or (self._again and waited > 1.0)):
            self.refetch()
        self._show()

    def on_resize(self) -> None:
        super().on_resize()
        self._show()

    def _show(self) -> None:
        if not self.is_mounted or self.view is None:
            return
        self.query_one("#shift", LineTable).merge(
            handover_view.rows(self.view, self.report, self.shown, self.model.now())
        )

    def verdict(self) -> list[Part]:
        if self.view is None:
            return [("Loading \u2026", "muted")]
        return handover_view.verdict(self.view, self.report, self.model.now())

    # -- keys ---------------------------------------------------------------------------------------------------

    @property
    def _offer(self) -> HandoverRecord | None:
        return handover_view.for_me(self.view) if self.view is not None else None

    def target(self) -> Target | None:
        words = self.query_one("#shift", LineTable).cursor_key.split(" ")
        if len(words) < 2 or words[0].startswith("#"):
            return None
        return Target(words[1], words[2]) if len(words) > 2 else Target(words[0], words[1])

    def why_not(self, act: Act) -> Reason | None:
        if self.view is None and act.name != "handover.bell":
            return Reason("still loading")
        if act.name == "handover.open":
            target = self.target()
            if target is None or not handover_view.opens(target.kind) or target.kind == "handover":
                return Reason("nothing to open under the cursor")
        if act.name == "handover.accept" and self._offer is not None and self.shown is None:
            return Reason("you see how things stand now, not what was offered", "v shows it")
        if act.name == "handover.seen" and not (self.view and self.view.watched):
            return Reason("you watch nothing", "w on anything watches it")
        if (
            act.name == "handover.now"
            and self._offer is None
            and (self.view is None or handover_view.of_mine(self.view) is None)
        ):
            return Reason("nothing is offered: this is how things stand now")
        said = self.view.verbs.get(act.name, "") if self.view is not None else ""
        return Reason(said) if said else None

    async def carry_out(self, act: Act, target: Target) -> None:
        """Keys on the handover act on the handover, wherever the cursor stands."""
        held = (self._offer if act.name != "handover.withdraw" else self._mine()) if act.name != "duty.give" else None
        await super().carry_out(act, Target("handover", held.id, held.id) if held is not None else Target("", ""))

    def _mine(self) -> HandoverRecord | None:
        return handover_view.of_mine(self.view) if self.view is not None else None

    def args_for(self, act: Act) -> dict[str, Any]:
        return {"digest": self.shown.digest} if act.name == "handover.accept" and self.shown is not None else {}

    def done(self, act: Act, answer: CommandAnswer) -> None:
        found = answer.result if isinstance(answer.result, dict) else {}
        if act.name == "handover.accept":
            led = ", ".join(str(one) for one in found.get("transferred") or ())
            kept = "; ".join(f"{name}: {why}" for name, why in found.get("kept") or ())
            self.say(
                ("\u2713 you are on duty", "strong"), f", {found.get('giver', '')} no longer",
                (f"; you command {led}" if led else "", "alarm"), (f"; not gone over: {kept}" if kept else "", "caution"),
                seconds=15,
            )  # fmt: skip
        self.live = False
        self.refetch()

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self.perform(acts.act("handover.open"))

    def act_handover_open(self) -> None:
        target = self.target()
        if target is None:
            return
        if self.query_one("#shift", LineTable).cursor_key.startswith("watched "):  # it was looked at
            self._look(target.id)
        self.console.open(target.kind, target.id)

    def _look(self, thing: str = "") -> None:
        def looked(answer: CommandAnswer) -> None:
            self.console.ask_oncall()
            self.refetch()

        self.ask(
            lambda: self.client.command("watch.seen", "", {"thing": thing}), looked, group="fetch-seen", quiet=True
        )

    def act_handover_now(self) -> None:
        self.live = not self.live
        self.refetch()

    def act_handover_seen(self) -> None:
        self._look()

    def act_handover_bell(self) -> None:
        from screens import ringing

        ringing.ask(self)

    def act_duty_take(self) -> None:
        fields = (
            FormField("scope", "What for?", hint="a site, a fleet, a line; empty: everything"),
            FormField(
                "seconds", "How long?", kind="duration", default="8h", hint="as planned; it does not end by itself"
            ),
        )
        self.console.ask_form(
            FormScreen(
                "Take duty", fields, sending(self.client, "duty.take"), "duty", verb="Take duty", done=self._taken
            )
        )

    def _taken(self, answer: CommandAnswer) -> None:
        self.say(("\u2713 you are on duty", "strong"))
        self.refetch()

    def act_handover_offer(self) -> None:
        """The report is made now and kept; the receiver reads that."""
        prepare, client = sending(self.client, "handover.prepare"), self.client
        fields = (
            FormField("to", "To whom?", "person", hint="empty: whoever takes it"),
            FormField("note", "Note", "long", hint="what they would not see from the list"),
        )

        async def offer(answers: dict[str, Any]) -> CommandAnswer:
            made = await prepare({name: value for name, value in answers.items() if value})
            id = str(made.result["id"]) if isinstance(made.result, dict) else made.target
            return await client.command("handover.offer", id, {}, id=f"{made.id}/offer")

        def offered(answer: CommandAnswer) -> None:
            self.say(
                ("\u2713 offered ", "strong"), answer.target, ("  nothing goes over before it is accepted", "muted")
            )
            self.live = False
            self.refetch()

        self.console.ask_form(FormScreen("Hand over", fields, offer, "handover", verb="Offer it", done=offered))
