"""A form: fields one after the other, completion where there are thousands to choose from, one key to send it.

Rules: what was typed is never lost (Esc keeps it as a draft, a refusal keeps the form and points at the field); Enter goes
to the next field that needs an answer and then to the button; ctrl+s sends from anywhere; a value that names one of many
(a robot, a person) is only taken when it is certain which one is meant, with a second mark beside it. What raises risk
is shown first and wants its phrase. Dismissed with the engine's answer, or None.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input, TextArea

from engine.contract.client import Client, EngineUnreachable, Refused
from engine.contract.common import CommandAnswer, Problem
from screens import form_aid, form_completion, form_fields
from screens.acts import Act, Level
from screens.base import Question, Target
from screens.form_aid import AID_LINES
from screens.form_fields import FormField, Match, Wrong
from screens.form_sending import Send, sending
from screens.widgets.ask import Answer, Hidden, Push, Said
from screens.widgets.choosing import Choose, Completed, Filled, Prose, Several
from screens.widgets.clean import clean, safe
from screens.widgets.parts import Part

__all__ = ["FormField", "FormScreen", "sending"]

Line = list[Part]
Notes = Callable[[Mapping[str, Any]], Sequence[Line]]
Field = Answer | Completed | Choose | Several | Prose

TAKERS = "Answer, Choose, Several, Prose, Push"
ROBOTS = 5_000
"""As many robots are offered for completion; a fleet larger than that is searched by the engine."""

drafts: dict[str, dict[str, str]] = {}
"""What was typed into forms that were left without sending, by draft key. Kept while the console runs."""


class FormScreen(ModalScreen["CommandAnswer | None"], inherit_bindings=False):
    BINDINGS = [
        Binding("escape,ctrl+g", "leave", show=False),
        Binding("ctrl+s", "send", show=False, priority=True),
        Binding("ctrl+n", "anew", show=False, priority=True),
        Binding("ctrl+e", "edit", show=False, priority=True),
        Binding("tab,down", "next(1)", show=False),
        Binding("shift+tab,up", "next(-1)", show=False),
        Binding("enter", "on", show=False),
    ]
    AUTO_FOCUS = ""
    CSS = """
    FormScreen { align: center middle; background: $background 60%; }
    FormScreen > Vertical { width: 100; max-width: 98%; height: auto; max-height: 100%; background: $panel; border: round $qd-key; border-title-color: $qd-strong; border-subtitle-color: $qd-muted; padding: 0 1; }
    FormScreen VerticalScroll { height: auto; max-height: 60vh; scrollbar-size: 1 1; background: $panel; }
    FormScreen .row { height: auto; width: 1fr; background: $panel; }
    FormScreen Said { background: $panel; }
    FormScreen .label { width: 22; padding-right: 1; }
    FormScreen #aid { height: 5; margin-top: 1; overflow: hidden; }
    FormScreen #wrong { height: auto; max-height: 3; }
    FormScreen #buttons { height: 1; margin-top: 0; background: $panel; }
    """

    def __init__(
        self,
        title: str,
        fields: tuple[FormField, ...],
        send: Send,
        draft_key: str = "",
        *,
        verb: str = "Send",
        look: Send | None = None,
        notes: Notes | None = None,
        start: Mapping[str, str] | None = None,
        done: Callable[[CommandAnswer], None] | None = None,
    ) -> None:
        """`verb` stands on the button. `look` asks the engine what sending would do (a preview); when it answers with a
        phrase, the phrase is asked for and sent along. `notes` are lines about what is filled in so far. `start` fills
        fields in beforehand (a draft goes first). `done` is called with the answer once it was sent.
        """
        super().__init__()
        self.form_title = title
        self.fields = tuple(fields)
        self.verb = verb
        self.draft_key = draft_key or title
        self._send, self._look, self._notes, self._done = send, look, notes, done
        self._start = dict(start or {})
        self._robots: list[Match] = []
        self._alike: dict[str, str] = {}
        self._whole_fleet = False
        self._busy = False
        self._before: dict[str, str] = {}
        self.refused: Problem | None = None
        """The last refusal of what was sent: F1 opens its page."""

    # -- what stands there --------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        draft = drafts.get(self.draft_key, {})
        with Vertical() as box:
            environment = getattr(getattr(self.app, "model", None), "status", None)
            where = f"{environment.environment.upper()} \u00b7 " if environment and self._production() else ""
            box.border_title = safe(f" {where}{self.form_title} ", 70)
            box.border_subtitle = safe(" Enter on \u00b7 Tab next \u00b7 ^S send \u00b7 ^N anew \u00b7 Esc leave ", 76)
            with VerticalScroll(can_focus=False):
                for place, field in enumerate(self.fields):
                    text = draft.get(field.name, self._start.get(field.name, field.start))
                    with Horizontal(classes="row", id=f"row-{place}"):
                        yield Said([form_aid.label(field, text)]).add_class("label")
                        yield self._widget(field, text, place)
            yield Said(id="aid")
            yield Said(id="wrong")
            with Horizontal(id="buttons"):
                yield Push(self.verb, "^S", id="go")
                yield Push("Leave", "Esc", id="cancel")

    def _production(self) -> bool:
        status = self.app.model.status  # type: ignore[attr-defined]
        return bool(status is not None and status.environment == "production")

    def _widget(self, field: FormField, text: str, place: int) -> Widget:
        id = f"field-{place}"
        if field.kind in ("choice", "bool"):
            return Choose(field.options, text, id=id)
        if field.kind == "multi" and field.options:
            return Several(field.options, text, id=id)
        if field.kind == "long":
            return Prose(text, id=id)
        if field.kind == "secret":
            return Hidden(id=id)
        if field.completes:
            return Completed(text, id=id)
        return Answer(text, id=id)

    def widget(self, name: str) -> Field:
        """The widget of a field. Ids are places: names may be anything."""
        place = next(place for place, field in enumerate(self.fields) if field.name == name)
        return self.query_one(f"#field-{place}")  # type: ignore[return-value]

    def on_mount(self) -> None:
        for widget in self.query("Answer, Choose, Several, Prose"):
            if isinstance(widget, Answer | Prose):
                widget.cursor_blink = False
        self._before = self.texts()
        if drafts.get(self.draft_key):
            self.query_one("#wrong", Said).show([[("what you typed before was kept; ^N starts anew", "muted")]])
        self._show_fields()
        if any(field.kind == "robot" for field in self.fields):
            self.run_worker(self._load_robots(), group="fetch-robots", exit_on_error=False)
        first = self._next_needed(-1) or self._shown()[0] if self._shown() else None
        if first is not None:
            self.widget(first.name).focus()

    # -- reading ------------------------------------------------------------------------------------------------

    def texts(self) -> dict[str, str]:
        return {field.name: self.widget(field.name).value for field in self.fields}

    def answers(self) -> tuple[dict[str, Any], list[Wrong]]:
        """What is filled in, by name, and what is wrong with the rest."""
        found, wrong = form_fields.values(self.fields, self.texts())
        for field in self.fields:
            widget = self.widget(field.name)
            if field.name in found and isinstance(widget, Completed) and (reason := self._uncertain(field, widget)):
                wrong.append(Wrong(field.name, f"{field.label}: {reason}"))
        order = {field.name: place for place, field in enumerate(self.fields)}
        return found, sorted(wrong, key=lambda one: order.get(one.field, 0))

    def _uncertain(self, field: FormField, widget: Completed) -> str:
        strict = field.strict or (field.kind == "robot" and bool(self._robots))
        return form_aid.uncertain(widget) if strict else ""

    def _shown(self) -> list[FormField]:
        return form_fields.shown(self.fields, self.texts())

    def _next_needed(self, place: int) -> FormField | None:
        """The next shown field after `place` that needs an answer and has none; from the top when there is none below."""
        shown = self._shown()
        places = {field.name: i for i, field in enumerate(self.fields)}
        bare = [field for field in shown if field.required and not self.widget(field.name).value.strip()]
        return next((field for field in bare if places[field.name] > place), bare[0] if bare else None)

    # -- showing ------------------------------------------------------------------------------------------------

    def _show_fields(self) -> None:
        shown = {field.name for field in self._shown()}
        for place, field in enumerate(self.fields):
            row = self.query_one(f"#row-{place}")
            if row.display is not (field.name in shown):
                row.display = field.name in shown
            row.query_one(".label", Said).show([form_aid.label(field, self.widget(field.name).value)])

    def _current(self) -> tuple[int, FormField] | None:
        focused = self.focused
        if focused is None or not (focused.id or "").startswith("field-"):
            return None
        place = int(str(focused.id).removeprefix("field-"))
        return place, self.fields[place]

    def _show_aid(self) -> None:
        """Beneath the fields: the values that fit, the choices, or what the field is about; then what is known so far."""
        if not self.is_attached:
            return
        current = self._current()
        lines: list[Line] = []
        if current is not None:
            _, field = current
            widget = self.widget(field.name)
            if isinstance(widget, Completed):
                strict = field.strict or bool(self._robots)
                lines += form_aid.offered(widget, alike=self._alike, strict=strict)
            elif isinstance(widget, Choose) and not widget.roomy:
                lines += form_aid.around(widget)
            if not lines and (wrong := form_aid.amiss(field, widget.value)):
                lines.append([("\u2717 ", "caution"), (wrong, "caution")])
            if not lines and (hint := form_aid.hint(field)):
                lines.append([(hint, "muted")])
        if self._notes is not None and len(lines) < AID_LINES:
            found, _ = form_fields.values(self.fields, self.texts())
            lines += [list(line) for line in self._notes(found)]
        self.query_one("#aid", Said).show(lines[:AID_LINES])

    # -- completion ---------------------------------------------------------------------------------------------

    async def _load_robots(self, text: str = "") -> None:
        client: Client = self.app.client  # type: ignore[attr-defined]
        try:
            page = await client.robots(text=text, limit=ROBOTS)
        except (EngineUnreachable, Refused):
            return  # without the list a name is typed whole; the engine judges it
        if not self.is_attached:
            return
        self._whole_fleet = not page.next
        self._robots = [(robot.id, form_aid.about(robot)) for robot in page.rows]
        self._alike = {robot.id: robot.lookalike for robot in page.rows if robot.lookalike}
        for field in self.fields:
            widget = self.widget(field.name)
            if field.kind == "robot" and isinstance(widget, Completed):
                await self._complete(field, widget)

    async def _complete(self, field: FormField, widget: Completed) -> None:
        typed = widget.value.strip()
        if field.complete is None and not self._sought(field):
            self._match(field, widget)
        else:
            if field.complete is not None:
                found = field.complete(typed)
                given = await found if inspect.isawaitable(found) else found
            else:
                given = await form_completion.fitting(self.app.client, field.of or ("person",), typed)  # type: ignore[attr-defined]
            if not self.is_attached or widget.value.strip() != typed:
                return
            widget.offer([(one, "") if isinstance(one, str) else one for one in given])
        self._show_aid()

    def _sought(self, field: FormField) -> bool:
        """Its values are asked of the engine: things by kind, and people where the console knows none by itself."""
        me = self.app.model.me  # type: ignore[attr-defined]
        return bool(field.of) or (field.kind == "person" and not (me and me.people))

    def _match(self, field: FormField, widget: Completed) -> None:
        """The robots or people that fit, as of now: a key may come before the word that the text has changed."""
        if field.complete is not None or self._sought(field):
            return
        typed = widget.value.strip()
        people = self.app.model.me  # type: ignore[attr-defined]
        known = self._robots if field.kind == "robot" else [(name, "") for name in (people.people if people else ())]
        widget.offer(form_fields.matching(typed, known) if typed else [])

    def _completes(self, widget: Widget) -> None:
        place = int(str(widget.id).removeprefix("field-"))
        field = self.fields[place]
        if not isinstance(widget, Completed):
            return
        if field.kind == "robot" and not self._whole_fleet and self._robots and len(widget.value.strip()) >= 2:
            self.run_worker(
                self._load_robots(widget.value.strip()), group="fetch-robots", exclusive=True, exit_on_error=False
            )
        else:
            self.run_worker(self._complete(field, widget), group=f"fetch-{place}", exclusive=True, exit_on_error=False)

    # -- keys ---------------------------------------------------------------------------------------------------

    def on_descendant_focus(self) -> None:
        self._show_aid()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._completes(event.input)
        self._changed()

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        event.stop()
        self._changed()

    def on_filled(self, message: Filled) -> None:
        message.stop()
        self._changed()

    def _changed(self) -> None:
        self._show_fields()
        self._show_aid()
        texts = self.texts()
        if texts == self._before:  # inputs say that they changed when they are put up, too
            return
        self._before = texts
        self.keep()
        if self.query_one("#wrong", Said).text and not self._busy:
            self.query_one("#wrong", Said).show([])

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_on()

    def action_on(self) -> None:
        """Enter: take the completion, then on to what still needs an answer, and last to the button."""
        current = self._current()
        if current is None:
            return
        place, field = current
        widget = self.widget(field.name)
        if isinstance(widget, Completed) and widget.value.strip():
            if not widget.current:
                self._match(field, widget)
            widget.take()
            if reason := self._uncertain(field, widget):
                self._say_wrong([f"{field.label}: {reason}"])
                return
        following = self._next_needed(place)
        if following is not None and following.name != field.name:
            self.widget(following.name).focus()
        elif following is None:
            self.query_one("#go", Push).focus()
        else:
            self._say_wrong([f"{field.label}: needed"])

    def action_next(self, by: int) -> None:
        if by > 0:
            current = self._current()
            widget = self.widget(current[1].name) if current else None
            if isinstance(widget, Completed) and len(widget.matches) == 1:
                widget.take()
        self.app.action_focus_next() if by > 0 else self.app.action_focus_previous()

    async def action_edit(self) -> None:
        """A long text in the person's own editor; in a line the key goes to its end, as it does everywhere."""
        current = self._current()
        widget = self.widget(current[1].name) if current else None
        if isinstance(widget, Prose) and current is not None:
            text = await self.app.edit_text(widget.value, current[1].name)  # type: ignore[attr-defined]
            if text is not None and self.is_attached:
                widget.value = text
        elif isinstance(widget, Input):
            widget.action_end()

    def action_anew(self) -> None:
        """Everything as it was when the form had never been opened."""
        drafts.pop(self.draft_key, None)
        for field in self.fields:
            self.widget(field.name).value = self._start.get(field.name, field.start)
        self.query_one("#wrong", Said).show([])
        self._show_fields()
        shown = self._shown()
        if shown:
            self.widget((self._next_needed(-1) or shown[0]).name).focus()

    def keep(self) -> bool:
        """What was typed becomes the draft; whether there was anything."""
        typed = {
            field.name: self.widget(field.name).value
            for field in self.fields
            if field.kind != "secret" and self.widget(field.name).value != self._start.get(field.name, field.start)
        }
        if typed:
            drafts[self.draft_key] = typed
        else:
            drafts.pop(self.draft_key, None)
        self._kept()
        return bool(typed)

    def _kept(self) -> None:
        """The drafts changed: whoever writes them down is told."""
        getattr(self.app, "drafts_soon", lambda: None)()

    def action_leave(self) -> None:
        if self._busy:
            return
        if self.keep():
            self._tell((f"{self.form_title}: not sent; what you typed is kept", "muted"))
        self.dismiss(None)

    def on_push_pushed(self, message: Push.Pushed) -> None:
        if message.push.id == "cancel":
            self.action_leave()
        else:
            self.action_send()

    # -- sending ------------------------------------------------------------------------------------------------

    def action_send(self) -> None:
        """Sends once the field has taken in what was typed before: its keys wait in its own line, this one does not."""
        if not self._busy and self.is_active:
            (self.focused or self).call_later(self._send_now)

    def _send_now(self) -> None:
        if self._busy or not self.is_active:
            return
        current = self._current()
        if current is not None:
            widget = self.widget(current[1].name)
            if isinstance(widget, Completed):
                if not widget.current:
                    self._match(current[1], widget)
                widget.take()
        found, wrong = self.answers()
        if wrong:
            self._say_wrong([one.reason for one in wrong])
            self.widget(wrong[0].field).focus()
            return
        blocked = self.app.model.blocked()  # type: ignore[attr-defined]
        if blocked:
            self._say_wrong([blocked])
            return
        self._busy = True
        self.query_one("#wrong", Said).show([[("sending \u2026", "muted")]])
        self.run_worker(self._carry_out(found), group="command", exit_on_error=False)

    async def _carry_out(self, found: dict[str, Any]) -> None:
        try:
            if self._look is not None:
                preview = await self._look(found)
                if preview.phrase:
                    phrase = await self._phrase(preview, found)
                    if phrase is None:
                        self._say_wrong(["not sent; nothing was changed"])
                        return
                    found = {**found, "phrase": phrase}
            answer = await self._send(found)
        except Refused as error:
            self._refused(error.problem)
        except EngineUnreachable as error:
            self._say_wrong([f"no answer ({error}); the form is kept, ^S sends the same again, never twice"])
        else:
            self._sent(answer)
        finally:
            self._busy = False

    async def _phrase(self, preview: CommandAnswer, found: dict[str, Any]) -> str | None:
        from screens.confirm import Confirm

        status = self.app.model.status  # type: ignore[attr-defined]
        act = Act("form.send", "ctrl+s", self.verb.lower(), level=Level.RISK)
        question = Question(
            act, Target("", preview.target), status.environment if status else "", preview, args=dict(found)
        )
        answered = await self.app.push_screen_wait(Confirm(question, items=()))
        return None if answered is None else str(answered.get("phrase") or preview.phrase)

    def _refused(self, problem: Problem) -> None:
        """The form stays; the field the engine names gets the focus."""
        self.refused = problem
        fix = f" {problem.fix}" if problem.fix else ""
        self._say_wrong([f"{problem.reason}{fix}"])
        name = problem.field.removeprefix("args.").split(".")[0]
        if name in {field.name for field in self._shown()}:
            self.widget(name).focus()

    def _sent(self, answer: CommandAnswer) -> None:
        drafts.pop(self.draft_key, None)
        self._kept()
        told = "; ".join(answer.consequences)
        name = answer.target
        if isinstance(answer.result, dict):
            name = str(answer.result.get("id") or name)
        self.dismiss(answer)
        self._tell((f"\u2713 {self.verb} ", "strong"), clean(name, 80), f"  {told}" if told else "")
        if self._done is not None:
            self._done(answer)

    def _say_wrong(self, reasons: Sequence[str]) -> None:
        if self.is_attached:
            self.query_one("#wrong", Said).show(
                [[("\u2717 ", "caution"), (reason, "caution")] for reason in reasons[:3]]
            )

    def _tell(self, *parts: Part) -> None:
        tell = getattr(self.app, "tell", None)
        if tell is not None:
            self.app.call_later(tell, *parts)
