"""The question before a dangerous act: how many robots first, then what happens, then a phrase made from it.

Rules: the key that asked can't confirm; nothing counts in the first 300 ms (held keys, type-ahead, a late click); focus
starts on an empty field or on Cancel, never on the act; what raises risk wants its phrase typed whole; Esc changes
nothing. Returns the arguments to send, or None.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input

from engine.contract.common import Problem
from screens import fields
from screens.acts import Level
from screens.base import Question
from screens.fields import Item
from screens.widgets.ask import Answer, Pick, Push, Said
from screens.widgets.clean import safe
from screens.widgets.parts import Part

ARM_S = 0.3
"""Key repeat starts after some 250 ms: a key held a moment too long must not answer the question it opened."""
YES_KEYS = ("y", "o")
TAKERS = "Answer, Pick, Push"
UNFILLED = ("missing_field", "bad_input", "bad_form")
"""Codes of a refusal that filling in the fields may cure."""

Line = list[Part]


class Confirm(ModalScreen["dict[str, Any] | None"], inherit_bindings=False):
    BINDINGS = [
        Binding("escape,ctrl+g", "cancel", show=False),
        Binding("tab,down", "next(1)", show=False),
        Binding("shift+tab,up", "next(-1)", show=False),
        Binding("ctrl+e", "edit", show=False, priority=True),
        *[Binding(key, f"yes('{key}')", show=False) for key in YES_KEYS],
    ]
    AUTO_FOCUS = ""
    CSS = """
    Confirm { align: center middle; background: $background 60%; }
    Confirm > Vertical { width: 76; max-width: 96%; height: auto; max-height: 96%; background: $panel; border: round $qd-caution; border-title-color: $qd-strong; padding: 0 1; }
    Confirm > Vertical.-risk { border: heavy $qd-alarm; }
    Confirm VerticalScroll { height: auto; max-height: 80vh; scrollbar-size: 1 1; background: $panel; }
    Confirm Horizontal { height: auto; width: 1fr; background: $panel; }
    Confirm #said { margin-bottom: 1; }
    Confirm Said { background: $panel; }
    Confirm .label { width: 30; padding-right: 1; }
    Confirm #buttons { height: 1; margin-top: 1; }
    """

    def __init__(self, question: Question, items: Sequence[Item] | None = None, notes: Sequence[Line] = ()) -> None:
        """`items`: what to fill in (default: the act's own fields); `notes`: lines shown above the consequences."""
        super().__init__()
        self.question = question
        self.items = list(fields.of_act(question.act.fields) if items is None else items)
        self.notes = list(notes)
        self.armed = False
        self._written: dict[str, tuple[str, str]] = {}
        """Fields written in an editor: what the line shows of them, and the whole text."""
        act = question.act
        own = f"{act.verb.split()[0]} {question.target.id}" if act.level is Level.RISK else ""
        self.phrase = question.phrase or own
        self._phrase_asked = bool(question.phrase)
        self.yes_key = next(key for key in YES_KEYS if key != act.key)

    # -- what stands there --------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        risk = bool(self.phrase)
        with Vertical(classes="-risk" if risk else "") as box:
            box.border_title = safe(f" {self._title()} ", 70)
            with VerticalScroll(can_focus=False):
                yield Said(self._said(), id="said")
                for place, item in enumerate(self.items):
                    with Horizontal():
                        yield Said([[(item.label, ""), *self._needs(item)]]).add_class("label")
                        if item.options:
                            yield Pick(item.options, item.start, id=f"field-{place}")
                        else:
                            yield Answer(item.start, id=f"field-{place}")
                if risk:
                    with Horizontal():
                        yield Said([["type ", (self.phrase, "strong")]]).add_class("label")
                        yield Answer(id="phrase")
                yield Said(id="wrong")
            with Horizontal(id="buttons"):
                yield Push("Cancel", "Esc", id="cancel")
                yield Push(self.question.act.verb.capitalize(), "" if risk or self.items else self.yes_key, id="go")

    def _title(self) -> str:
        where = self.question.environment
        where = where.upper() if where == "production" else where
        return " \u00b7 ".join(part for part in (where, self.question.act.verb, self.question.target.id) if part)

    def _said(self) -> list[Line]:
        """The count comes first: consequences start with it."""
        preview, problem = self.question.preview, self.question.problem
        lines: list[Line] = []
        told = list(preview.consequences) if preview is not None else []
        for place, text in enumerate(told):
            lines.append([(text, "strong")] if not place else ["\u00b7 ", text])
        target = self.question.target
        if target.label:
            lines.append([(target.label, "")])
        lines += self.notes
        if not told and self.question.act.help:
            lines.append([(self.question.act.help, "muted")])
        if problem is not None and not self._about_a_field(problem):
            lines.append(
                [("as it stands: ", "muted"), (problem.reason, "caution"), f" {problem.fix}" if problem.fix else ""]
            )
        return lines

    def _about_a_field(self, problem: Problem) -> bool:
        """The preview lacked what is about to be filled in here."""
        return problem.code in UNFILLED or problem.field.split(".")[-1] in {item.name for item in self.items}

    def _needs(self, item: Item) -> Line:
        words = [] if item.required else ["optional"]
        if item.minimum is not None and item.maximum is not None:
            words.append(f"{item.minimum:g} to {item.maximum:g}")
        if item.hint:
            words.append(item.hint)
        return [(f" {', '.join(words)}", "muted")] if words else []

    def field(self, name: str) -> Answer | Pick:
        """The widget of a field. Ids are places: names come from workflows and may be anything."""
        place = next(place for place, item in enumerate(self.items) if item.name == name)
        return self.query_one(f"#field-{place}")  # type: ignore[return-value]

    # -- arming -------------------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        for widget in self.query(TAKERS):
            widget.can_focus = False  # neither Tab nor a click reaches them before their time
        self.set_timer(ARM_S, self._arm)

    def _arm(self) -> None:
        self.armed = True
        for widget in self.query(TAKERS):
            widget.can_focus = True
        self._first_empty().focus()

    def _first_empty(self) -> Any:
        """The first field that needs an answer, the phrase, or Cancel; never the act itself."""
        for item in self.items:
            if item.required and not self.field(item.name).value:
                return self.field(item.name)
        if self.phrase and not any(item.required for item in self.items):
            return self.query_one("#phrase")
        if self.items:
            return self.field(self.items[0].name)
        return self.query_one("#cancel")

    def action_next(self, by: int) -> None:
        if self.armed:
            self.app.action_focus_next() if by > 0 else self.app.action_focus_previous()

    async def action_edit(self) -> None:
        """A reason of several lines in the person's own editor; the line then shows how it begins."""
        for item in self.items:
            widget = self.field(item.name)
            if not (self.armed and widget.has_focus and isinstance(widget, Answer) and item.kind == "string"):
                continue
            text = await self.app.edit_text(self._text(item), item.name)  # type: ignore[attr-defined]
            if text is not None and self.is_attached:
                whole = text.strip()
                first, *more = whole.splitlines() or [""]
                shown = f"{first} \u2026 +{len(more)} lines" if more else first
                self._written[item.name] = (shown, whole)
                widget.value = shown
            return

    def _text(self, item: Item) -> str:
        """What stands in a field: the whole of it, unless the line was changed after the editor."""
        typed = self.field(item.name).value
        shown, whole = self._written.get(item.name, ("", ""))
        return whole if whole and typed == shown else typed

    # -- answering ----------------------------------------------------------------------------------------------

    def action_cancel(self) -> None:
        if self.armed:
            self.dismiss(None)

    def action_yes(self, key: str) -> None:
        """A quick yes exists only where nothing is typed and nothing raises risk, and never on the key that asked."""
        if self.armed and key == self.yes_key and not self.phrase and not self.items:
            self._go()

    def on_push_pushed(self, message: Push.Pushed) -> None:
        if not self.armed:
            return
        if message.push.id == "cancel":
            self.dismiss(None)
        else:
            self._go()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.armed and self.query_one("#wrong", Said).text:
            self._say_wrong(self._problems())

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter goes to the next field; in the phrase, whole and right, it does the act."""
        event.stop()
        if not self.armed:
            return
        if event.input.id == "phrase":
            self._go()
        else:
            self.app.action_focus_next()

    def _texts(self) -> dict[str, str]:
        return {fields.key(item): self._text(item) for item in self.items}

    def _problems(self) -> list[str]:
        _, wrong = fields.values(self.items, self._texts())
        reasons = [one.reason for one in wrong]
        if self.phrase:
            typed = self.query_one("#phrase", Answer).value
            if not typed.strip():
                reasons.append("the phrase is not typed yet")
            elif typed.split() != self.phrase.split():
                reasons.append(f"the phrase is not {self.phrase}")
        return reasons

    def _say_wrong(self, reasons: Sequence[str]) -> None:
        self.query_one("#wrong", Said).show([[("\u2717 ", "caution"), (reason, "caution")] for reason in reasons])

    def _go(self) -> None:
        reasons = self._problems()
        if reasons:
            self._say_wrong(reasons)
            return
        answered, _ = fields.values(self.items, self._texts())
        if self._phrase_asked:
            answered["phrase"] = self.phrase
        self.dismiss(answered)
