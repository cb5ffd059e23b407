"""The label queue: what waits for labels and for a second look, who has it.

Who labelled a session neither labels it twice nor audits it; the engine says so when one tries.
"""

from __future__ import annotations

from textual.app import ComposeResult

from engine.contract.common import CommandAnswer
from engine.contract.datasets import LabelTaskView
from screens import acts, figures
from screens.acts import Act, Level, Reason
from screens.base import QScreen, Target
from screens.model import Delta, coarse
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.rows import Cells

KINDS = ("label_task", "annotation")
PURPOSES = {"label": "label", "overlap": "second look", "audit": "audit"}
RANK = {"claimed": 0, "open": 1, "submitted": 2, "accepted": 3, "dropped": 4}
acts.register(
    Act("labels.open", "enter", "open", target="label_task", help="What is asked, and the labels so far", cli="qd data labels show {id}", order=1),
    Act("labels.claim", "a", "take", target="label_task", level=Level.SAFE, command="label.claim", help="Take this task: nobody else works on it meanwhile", cli="qd data labels claim {id}", order=2),
    Act("labels.release", "u", "give back", target="label_task", level=Level.SAFE, command="label.release", help="Give it back to the queue", cli="qd data labels release {id}", order=3),
    Act("labels.all", "x", "done too", target="", help="Tasks that are done as well, or only those that wait", cli="qd data labels ls --state submitted", order=4),
)  # fmt: skip

COLUMNS = (
    Column("", 1),
    Column("task", 6),
    Column("state", 11),
    Column("what", 11),
    Column("session", 7),
    Column("about", 16, grow=2),
    Column("length", 7, align="right"),
    Column("with", 8, grow=1),
    Column("age", 4, align="right", optional=1),
)


class LabelsScreen(QScreen):
    NAME = "labels"
    TITLE_WORD = "Labels"
    ACTS = ("labels.open", "labels.claim", "labels.release", "labels.all")
    AUTO_FOCUS = "#tasks"

    def __init__(self, snapshot: str = "") -> None:
        super().__init__()
        self.snapshot = snapshot
        self._rows: tuple[LabelTaskView, ...] | None = None
        self._all = False

    def body(self) -> ComposeResult:
        yield LineTable(COLUMNS, empty=("Loading \u2026",), id="tasks")

    def on_mount(self) -> None:
        self.refetch()

    def on_screen_resume(self) -> None:
        if self._rows is not None:
            self.refetch()

    def refetch(self) -> None:
        state = "" if self._all else "open,claimed"
        where = {"snapshot": self.snapshot} if self.snapshot else {}
        self.ask(
            lambda: self.client.records("label_task", LabelTaskView, state=state, where=where, limit=1000), self._got
        )

    def _got(self, rows: tuple[LabelTaskView, ...]) -> None:
        self._rows = rows
        self._show()

    def model_changed(self, delta: Delta | None) -> None:
        if self._rows is not None and (delta is None or any(kind in KINDS for kind, _ in delta.records)):
            self.refetch()

    def each_second(self) -> None:
        self._show()

    def _show(self) -> None:
        table = self.query_one("#tasks", LineTable)
        if self._rows is None:
            return
        table.empty = (
            "Nothing waits for labels. ",
            "Tasks come when a dataset is built:  qd data build DATASET --folder FOLDER",
        )
        now = self.model.now()
        ordered = sorted(self._rows, key=lambda one: (RANK.get(one.state, 9), one.created_at, one.id))
        table.merge([(one.id, task_cells(one, now)) for one in ordered])

    def verdict(self) -> list[Part]:
        if self._rows is None:
            return [("Loading \u2026", "muted")]
        waits = [one for one in self._rows if one.state == "open"]
        taken = [one for one in self._rows if one.state == "claimed"]
        if not waits and not taken:
            return ["Nothing waits for labels."]
        audits = sum(one.purpose == "audit" for one in waits)
        mine = sum(one.assignee == self.me for one in taken)
        return [
            (figures.plural(len(waits), "task"), "strong"), f" wait ({figures.plural(audits, 'audit')}), ",
            f"{len(taken)} taken, {mine} by you.",
        ]  # fmt: skip

    @property
    def me(self) -> str:
        return self.model.me.person if self.model.me is not None else ""

    def target(self) -> Target | None:
        task = self._row()
        return Target("label_task", task.id, f"{task.purpose} of {task.session}") if task else None

    def _row(self) -> LabelTaskView | None:
        key = self.query_one("#tasks", LineTable).cursor_key if self.is_mounted else None
        return next((one for one in self._rows or () if one.id == key), None)

    def why_not(self, act: Act) -> Reason | None:
        task = self._row()
        if act.name == "labels.claim" and task is not None and task.state != "open":
            return Reason(f"it is {task.state}" + (f" by {task.assignee}" if task.assignee else ""))
        if act.name == "labels.release" and task is not None and task.state != "claimed":
            return Reason(f"it is {task.state}: nobody has it")
        return None

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()
        if act.name == "labels.claim":
            self.console.open("label_task", answer.target)

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self.console.open("label_task", message.key)

    def act_labels_open(self) -> None:
        task = self._row()
        if task is not None:
            self.console.open("label_task", task.id)

    def act_labels_all(self) -> None:
        self._all = not self._all
        self.refetch()


def task_cells(task: LabelTaskView, now: float) -> Cells:
    mark: Part = ("!", "caution") if task.rounds and task.state in ("open", "claimed") else " "
    about = f"{task.task} {task.site}".strip()
    return (
        mark, task.id, figures.state(task.state), PURPOSES.get(task.purpose, task.purpose), task.session,
        [about, (f"  again: {task.why}", "caution")] if task.why else about, f"{task.duration_s:.1f} s",
        task.assignee or ("\u2014", "muted"), (coarse(max(0.0, now - task.updated_at)), "muted"),
    )  # fmt: skip
