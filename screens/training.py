"""One training: how far it is, what it spent of its budget, and its log as it is written."""

from __future__ import annotations

import json

from msgspec.structs import replace
from textual.app import ComposeResult

from engine.contract.common import CommandAnswer
from engine.contract.datasets import TrainingLog, TrainingView
from screens import acts, dataset_view, figures, layout
from screens.acts import Act, Field, Level, Reason
from screens.base import QScreen, Target
from screens.layout import Line
from screens.model import Delta, age
from screens.widgets.clean import clean
from screens.widgets.parts import Part
from screens.widgets.text import Page

OVER = ("succeeded", "failed", "cancelled")
KEPT = 2_000
"""Lines of the log that are held; the whole of it stands in the vault."""
LONG = 4_000
"""A line longer than this is shown as it is, not read."""
TAIL = -32_768

acts.register(
    Act("training.cancel", "X", "cancel", target="training", level=Level.CHANGE, command="training.cancel", help="End it; what it wrote so far stays with its record", fields=(Field("reason", "Why?", required=True),), cli="qd data trainings cancel {id} --reason TEXT", order=1),
    Act("training.preempt", "p", "give machine back", target="training", level=Level.SAFE, command="training.preempt", help="It saves, stops, and goes on from there", cli="qd data trainings preempt {id}", order=2),
    Act("training.snapshot", "d", "its data", target="training", help="The snapshot it learns from", cli="qd data show SNAPSHOT", order=3),
    Act("training.run", "t", "its run", target="training", help="Timeline, inputs, outputs", cli="qd runs show RUN", order=4),
)  # fmt: skip


class TrainingScreen(QScreen):
    NAME = "training"
    TITLE_WORD = "Training"
    ACTS = ("training.cancel", "training.preempt", "training.snapshot", "training.run")
    AUTO_FOCUS = "#log"
    CSS = """
    TrainingScreen #facts { height: auto; max-height: 12; }
    TrainingScreen #log { height: 1fr; border-top: solid $qd-cursor-away; }
    """

    def __init__(self, training: str) -> None:
        super().__init__()
        self.id_ = training
        self.training: TrainingView | None = None
        self._next = TAIL
        self._lines: list[str] = []
        self._rest = ""
        self._ended = False

    def body(self) -> ComposeResult:
        yield Page(id="facts")
        yield Page(id="log", indent=0)

    def on_mount(self) -> None:
        self.refetch()

    def refetch(self) -> None:
        self.ask(lambda: self.client.record("training", self.id_, TrainingView), self._got)
        self._read_on()

    def _got(self, training: TrainingView) -> None:
        self.training = training
        self._show()

    def _read_on(self) -> None:
        path, at = f"/v1/trainings/{self.id_}/log", self._next
        self.ask(lambda: self.client.read(path, TrainingLog, offset=at), self._got_log, group="fetch-log", quiet=True)

    def _got_log(self, piece: TrainingLog) -> None:
        if piece.text:
            *whole, self._rest = (self._rest + piece.text).split("\n")
            self._lines = [*self._lines, *whole][-KEPT:]
        if piece.live and self.training is not None and self.training.state not in OVER:
            self.training = replace(
                self.training,
                done=piece.done,
                of=piece.of,
                unit=piece.unit,
                spent_s=piece.spent_s,
                metrics=piece.metrics or self.training.metrics,
            )
            self._show()
        self._next = piece.next or (0 if self._next == TAIL else self._next)
        self._ended = piece.ended
        page = self.query_one("#log", Page)
        at_end = page.scroll_offset.y >= page.max_scroll_y
        page.show(log_lines(self._lines))
        if at_end:  # who scrolled up reads; the log goes on below
            page.scroll_to(y=page.max_scroll_y, animate=False, immediate=True)

    def model_changed(self, delta: Delta | None) -> None:
        if self.training is not None and (delta is None or ("training", self.id_) in delta.records):
            self.refetch()

    def each_second(self) -> None:
        if self.online and not self._ended:
            self._read_on()
        self._show()

    def _show(self) -> None:
        if self.is_mounted and self.training is not None:
            self.query_one("#facts", Page).show(facts(self.training, self.model.now(), self.size.width - 3))

    def verdict(self) -> list[Part]:
        t = self.training
        if t is None:
            return [("Loading the training \u2026", "muted")]
        if t.state == "succeeded" and t.checkpoint is not None:
            return [
                ("\u2713 Succeeded: ", "good"),
                f"checkpoint {figures.short(t.checkpoint.digest)}, {t.checkpoint.size:,} bytes",
            ]
        if t.state in ("failed", "cancelled"):
            return [
                (f"\u2717 {t.state.capitalize()}: ", "alarm" if t.state == "failed" else "caution"),
                f"{t.error} {t.message}",
            ]
        if t.state == "preempted":
            return [
                ("\u2016 Preempted: ", "caution"),
                f"{t.message or 'its machine was taken back'}; it goes on by itself",
            ]
        return [figures.state(t.state), f"  {dataset_view.progress(t)}  spent {t.spent_s:.0f} of {t.budget_s:.0f} s"]

    def target(self) -> Target:
        t = self.training
        return Target("training", self.id_, f"{t.snapshot} seed {t.seed}" if t else "")

    def why_not(self, act: Act) -> Reason | None:
        t = self.training
        if t is None:
            return Reason("the training is still loading")
        if act.command and t.state in OVER:
            return Reason(f"it is {t.state}")
        if act.name == "training.preempt" and t.state != "running":
            return Reason(f"it is {t.state}: it has no machine")
        return None

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()

    def act_training_snapshot(self) -> None:
        if self.training is not None:
            self.console.open("snapshot", self.training.snapshot)

    def act_training_run(self) -> None:
        if self.training is not None and self.training.run:
            self.console.open("run", self.training.run)


def facts(t: TrainingView, now: float, cells: int) -> list[Line]:
    head: Line = [("TRAINING ", "muted"), (t.id, "strong"), f"  {t.snapshot}  ", figures.state(t.state)]
    head = layout.if_room(head, [f"  line {t.line}  seed {t.seed}"], cells)
    head = layout.if_room(head, [(f"  {age(max(0.0, now - t.updated_at))} ago", "muted")], cells)
    measured = ", ".join(f"{name} {value:.4g}" for name, value in t.metrics.items() if isinstance(value, int | float))
    tries = f"try {t.tries}" + (f", preempted {figures.plural(t.preemptions, 'time')}" if t.preemptions else "")
    rows: list[tuple[str, Part]] = [
        ("progress", dataset_view.progress(t) or ("not begun", "muted")),
        ("computing", f"{t.spent_s:.1f} of {t.budget_s:.0f} s on {t.pool}; {tries}"),
        (
            "recipe",
            f"{t.program} {figures.short(t.recipe_digest)}"
            + (f", from {figures.short(t.base_digest)}" if t.base_digest else ""),
        ),
        ("data", figures.short(t.root_digest)),
        ("measured", measured or ("nothing yet", "muted")),
    ]
    marks = [f"{one.step}: {figures.short(one.digest)}" for one in t.checkpoints[-4:]]
    rows.append(("checkpoints", ", ".join(marks) if marks else ("none yet", "muted")))
    return [head, *layout.pairs(rows, cells)]


def log_lines(lines: list[str]) -> list[Line]:
    """What a program writes is not trusted: each line said in words where it is a report, cleaned and cut."""
    return [[clean(spoken(line), 400)] for line in lines] or [[("Nothing was said yet.", "muted")]]


def spoken(line: str) -> str:
    """A report (`{"event": "progress", "done": 3, "of": 24, ...}`) as `progress 3/24 epochs  loss 0.007`; else the line itself."""
    try:
        said = json.loads(line) if line.startswith("{") and len(line) < LONG else None
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("event"), str):
        return line
    words = [said.pop("event")]
    if "done" in said and "of" in said:
        words[0] += f" {said.pop('done')}/{said.pop('of')} {said.pop('unit', '')}".rstrip()
    for name, value in said.items():
        words.append(
            f"{name.replace('_', ' ')} {value:.4g}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value}"
        )
    return "  ".join(words)
