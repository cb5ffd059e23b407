"""One label task: what is asked about a session, what was said so far, one key to hand it in.

A draft stays with the console until it is handed in; the engine judges again, and a refusal keeps the draft.
"""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult

from engine.contract.common import CommandAnswer
from engine.contract.datasets import AnnotationView, Label, LabelField, LabelTaskView
from screens import acts, figures, labels, layout
from screens.acts import Act, Level, Reason
from screens.base import QScreen, Target
from screens.layout import Line
from screens.model import Delta
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.rows import Cells
from screens.widgets.text import Page

drafts: dict[str, list[Label]] = {}
"""Labels that were set and not handed in, by task. Kept while the console runs."""

acts.register(
    Act("label.add", "n", "add label", target="label_task", help="One more label; a span begins where the last one ended", order=1),
    Act("label.remove", "x", "remove/wrong", target="label_task", help="Take the label under the cursor away; in an audit: say that it is wrong", order=3),
    Act("label.submit", "S", "hand in", target="label_task", help="Hand the labels (or the audit) in", cli="qd data labels submit {id} --label phase=grasp@0-2", order=2),
    Act("label.hint", "h", "take hints", target="label_task", help="Begin with what the recording says by itself", order=4),
    Act("label.clip", "o", "open session", target="label_task", help="The session: topics, marks, findings", order=5),
)  # fmt: skip

LABEL_COLUMNS = (
    Column("", 1),
    Column("label", 10, grow=1),
    Column("value", 12, grow=2),
    Column("from", 7, align="right"),
    Column("to", 7, align="right"),
    Column("sure", 4, align="right"),
)


class LabelTaskScreen(QScreen):
    NAME = "label"
    TITLE_WORD = "Label"
    ACTS = ("label.add", "label.remove", "label.submit", "labels.claim", "labels.release", "label.hint", "label.clip")
    AUTO_FOCUS = "#labels"
    CSS = """
    LabelTaskScreen #asked { height: auto; max-height: 10; }
    LabelTaskScreen #labels { height: 1fr; border-top: solid $qd-cursor-away; }
    """

    def __init__(self, task: str) -> None:
        super().__init__()
        self.id_ = task
        self.wanted: LabelTaskView | None = None
        self._said: AnnotationView | None = None
        self.wrong: set[int] = set()

    def body(self) -> ComposeResult:
        yield Page(id="asked")
        yield LineTable(
            LABEL_COLUMNS, empty=("No label yet: n adds one, h begins with what the recording says.",), id="labels"
        )

    def on_mount(self) -> None:
        self.refetch()

    def refetch(self) -> None:
        self.ask(lambda: self.client.record("label_task", self.id_, LabelTaskView), self._got)

    def _got(self, task: LabelTaskView) -> None:
        self.wanted = task
        note = task.audits or task.annotation
        if note:
            self.ask(
                lambda: self.client.record("annotation", note, AnnotationView),
                self._got_said,
                group="fetch-note",
                quiet=True,
            )
        self._show()

    def _got_said(self, said: AnnotationView) -> None:
        self._said = said
        self._show()

    def model_changed(self, delta: Delta | None) -> None:
        if self.wanted is not None and (delta is None or ("label_task", self.id_) in delta.records):
            self.refetch()

    @property
    def audits(self) -> bool:
        return self.wanted is not None and self.wanted.purpose == "audit"

    @property
    def labels(self) -> list[Label]:
        """What stands in the table: the draft, else what was handed in or is to be audited."""
        if self.wanted is not None and self.wanted.state == "claimed" and not self.audits:
            return drafts.setdefault(self.id_, [])
        return list(self._said.labels) if self._said is not None else []

    def _show(self) -> None:
        if not self.is_mounted or self.wanted is None:
            return
        self.query_one("#asked", Page).show(asked(self.wanted, self.size.width - 3))
        table = self.query_one("#labels", LineTable)
        wrong = self.wrong if self.wanted.state == "claimed" else set(self._said.wrong if self._said else ())
        table.load([(str(place), label_cells(one, place in wrong)) for place, one in enumerate(self.labels)])
        self.refresh_chrome()

    def verdict(self) -> list[Part]:
        task = self.wanted
        if task is None:
            return [("Loading \u2026", "muted")]
        if task.state != "claimed":
            who = f" by {task.assignee}" if task.assignee else ""
            return [
                f"{task.state.replace('_', ' ').capitalize()}{who}. ",
                "a takes it." if task.state == "open" else "",
            ]
        if self.audits:
            return [
                f"{len(self.wrong)} of {len(self.labels)} labels are wrong, you say. ",
                ("S hands the audit in.", "muted"),
            ]
        missing = lacking(task, self.labels)
        if missing:
            return [("Still needed: ", "caution"), "; ".join(missing), "."]
        return [("Complete: ", "good"), "S hands it in."]

    def target(self) -> Target:
        task = self.wanted
        return Target("label_task", self.id_, f"{task.purpose} of {task.session}" if task else "")

    def why_not(self, act: Act) -> Reason | None:
        task = self.wanted
        if task is None:
            return Reason("the task is still loading")
        me = self.model.me.person if self.model.me is not None else ""
        if act.name == "labels.claim":
            return (
                None
                if task.state == "open"
                else Reason(f"it is {task.state}" + (f" by {task.assignee}" if task.assignee else ""))
            )
        if act.name in ("label.add", "label.remove", "label.submit", "label.hint"):
            if task.state != "claimed":
                return Reason(f"it is {task.state}", "a takes it" if task.state == "open" else "")
            if task.assignee != me:
                return Reason(f"{task.assignee} has it")
            if self.audits and act.name in ("label.add", "label.hint"):
                return Reason("an audit says which labels are wrong; it sets none")
            if act.name == "label.submit" and not self.audits and (missing := lacking(task, self.labels)):
                return Reason(f"not complete: {missing[0]}")
        if act.name == "label.hint" and not task.hints:
            return Reason("the recording says nothing by itself")
        if act.name == "labels.release" and task.state != "claimed":
            return Reason(f"it is {task.state}: nobody has it")
        return None

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()

    # -- labels -------------------------------------------------------------------------------------------------

    def act_label_add(self) -> None:
        from screens.form import FormField, FormScreen

        task = self.wanted
        if task is None:
            return
        fields = {one.name: one for one in task.schema.fields}
        spans = [one for one in self.labels if one.t0 >= 0]
        begins = max((one.t1 for one in spans), default=0.0)
        open_ones = [name for name in fields if any(name in said for said in lacking(task, self.labels))]
        first = open_ones[0] if open_ones else next(iter(fields))
        values = {name: [(value, value) for value in one.values] for name, one in fields.items()}
        asks: list[FormField] = []
        if len(fields) > 1:
            asks.append(FormField("name", "Label", "choice", required=True, choices=tuple(fields), default=first))
        for name, one in fields.items():
            chosen = _chosen(name, len(fields) > 1, first)
            if one.kind == "number":
                asks.append(
                    FormField(
                        f"value_{name}",
                        one.title or name,
                        "number",
                        required=True,
                        when=chosen,
                        minimum=one.minimum,
                        maximum=one.maximum,
                    )
                )
            else:
                asks.append(
                    FormField(
                        f"value_{name}",
                        one.title or name,
                        "choice",
                        required=True,
                        choices=tuple(values[name]),
                        when=chosen,
                    )
                )
        spanning = frozenset(name for name, one in fields.items() if one.kind == "span")
        if spanning:
            when = _any_of(spanning, len(fields) > 1, first)
            asks.append(
                FormField(
                    "t0",
                    "From",
                    "number",
                    default=round(begins, 2),
                    when=when,
                    unit="s",
                    minimum=0.0,
                    maximum=task.duration_s,
                )
            )
            asks.append(
                FormField(
                    "t1",
                    "To",
                    "number",
                    default=round(task.duration_s, 2),
                    when=when,
                    unit="s",
                    minimum=0.0,
                    maximum=task.duration_s + 1.0,
                )
            )
        asks.append(FormField("confidence", "How sure (0 to 1)", "number", default=1.0, minimum=0.0, maximum=1.0))

        async def take(found: dict[str, Any]) -> CommandAnswer:
            name = str(found.get("name") or first)
            span = fields[name].kind == "span"
            label = Label(
                name=name, value=str(found.get(f"value_{name}", "")), t0=float(found.get("t0", begins)) if span else -1.0,
                t1=float(found.get("t1", task.duration_s)) if span else -1.0, confidence=float(found.get("confidence", 1.0)),
            )  # fmt: skip
            held = drafts.setdefault(self.id_, [])
            held.append(label)
            held.sort(key=lambda one: (one.t0 < 0, one.t0, one.name))
            self._show()
            return CommandAnswer(id="", verb="label.add", target=self.id_)

        self.console.ask_form(FormScreen(f"One more label of {task.session}", tuple(asks), take, verb="Add"))

    def act_label_remove(self) -> None:
        place = self._place()
        if place is None:
            self.say(("no label is under the cursor", "muted"))
        elif self.audits:
            self.wrong ^= {place}
            self._show()
        else:
            del drafts[self.id_][place]
            self._show()

    def act_label_hint(self) -> None:
        if self.wanted is not None:
            drafts[self.id_] = list(self.wanted.hints)
            self._show()

    def act_label_submit(self) -> None:
        """One key: labels are checked by the engine again, and a refusal keeps the draft."""
        verb = "label.audit" if self.audits else "label.submit"
        args: dict[str, Any] = (
            {"wrong": sorted(self.wrong)} if self.audits else {"labels": [_plain(one) for one in self.labels]}
        )
        act = Act("label.sent", "S", "hand in", target="label_task", level=Level.SAFE, command=verb)

        async def go() -> None:
            if await self.send(act, self.target(), args) is not None:
                drafts.pop(self.id_, None)
                self.wrong.clear()

        self.run_worker(go(), group="command", exit_on_error=False)

    def act_label_clip(self) -> None:
        if self.wanted is not None:
            self.console.open("session", self.wanted.session)

    def _place(self) -> int | None:
        key = self.query_one("#labels", LineTable).cursor_key
        return int(key) if key is not None and key.isdigit() and int(key) < len(self.labels) else None


def asked(task: LabelTaskView, cells: int) -> list[Line]:
    head: Line = [
        ("LABEL TASK ", "muted"),
        (task.id, "strong"),
        f"  {labels.PURPOSES.get(task.purpose, task.purpose)}  ",
        figures.state(task.state),
    ]
    head = layout.if_room(head, [f"  {task.assignee or 'nobody has it'}"], cells)
    lines: list[Line] = [
        head,
        [f"{task.session}  {task.task}  {task.site}  {task.robot}  ", (f"{task.duration_s:.1f} s", "strong")],
    ]
    if task.why:
        lines.append([("again because ", "caution"), task.why])
    for one in task.schema.fields:
        kind = {"span": "spans that cover all of it" if one.covers else "spans", "value": "once", "number": "a number"}[
            one.kind
        ]
        what = ", ".join(one.values) if one.values else f"{one.minimum} to {one.maximum}"
        lines.append(
            [
                (f"{one.title or one.name} ", "strong"),
                (f"({kind}{', required' if one.required else ''}) ", "muted"),
                what,
            ]
        )
    return lines


def lacking(task: LabelTaskView, labels: list[Label]) -> list[str]:
    """What is still needed, in words; the engine checks more."""
    found = []
    for one in task.schema.fields:
        mine = sorted((label for label in labels if label.name == one.name), key=lambda label: label.t0)
        if one.required and not mine:
            found.append(one.name)
        elif one.kind == "span" and one.covers and mine and (gap := _gap(one, mine, task.duration_s)):
            found.append(gap)
    return found


def _gap(field: LabelField, spans: list[Label], length: float) -> str:
    at = 0.0
    for one in spans:
        if one.t0 > at + 0.5:
            return f"{field.name} from {at:.1f} to {one.t0:.1f} s"
        at = max(at, one.t1)
    return f"{field.name} from {at:.1f} to {length:.1f} s" if at < length - 0.5 else ""


def label_cells(label: Label, wrong: bool) -> Cells:
    span = label.t0 >= 0
    return (
        ("\u2717", "alarm") if wrong else " ",
        label.name,
        (label.value, "alarm") if wrong else label.value,
        f"{label.t0:.2f}" if span else ("whole", "muted"),
        f"{label.t1:.2f}" if span else ("\u2014", "muted"),
        figures.number(label.confidence),
    )


def _plain(label: Label) -> dict[str, Any]:
    return {"name": label.name, "value": label.value, "t0": label.t0, "t1": label.t1, "confidence": label.confidence}


def _chosen(name: str, several: bool, first: str) -> Any:
    return (lambda found: (found.get("name") or first) == name) if several else None


def _any_of(names: frozenset[str], several: bool, first: str) -> Any:
    return (lambda found: (found.get("name") or first) in names) if several else None
