"""Data: snapshots that wait for a decision first, then what is trained, what is asked for, what is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.app import ComposeResult

from engine.contract.common import CommandAnswer
from engine.contract.datasets import CollectionView, LabelTaskView, SnapshotView, TrainingView
from screens import acts, dataset_view, figures
from screens.acts import Act, Reason
from screens.base import QScreen, Target
from screens.model import Delta, coarse
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.rows import Cells, Wide

KINDS = ("snapshot", "training", "collection", "label_task", "session")
OVER = ("superseded", "withdrawn")

acts.register(
    Act("data.open", "enter", "open", target="snapshot", help="What it is made of, what is in the way, what was trained from it", cli="qd data show {id}", order=1),
    Act("data.build", "plus", "build", help="Build the next snapshot of a dataset, from a folder or from what is there", cli="qd data build DATASET --folder FOLDER", order=2),
    Act("data.labels", "l", "labels", help="The label queue", cli="qd data labels ls", order=3),
    Act("data.sessions", "s", "sessions", help="Recordings: what was taken in, mended, set aside", cli="qd data sessions ls", order=4),
    Act("data.run", "t", "its run", target="snapshot", help="Timeline, inputs, outputs", cli="qd runs show RUN", order=5),
    Act("data.over", "x", "over too", help="Superseded and withdrawn ones as well", cli="qd data ls", order=6),
)  # fmt: skip

COLUMNS = (
    Column("", 1),
    Column("id", 11, grow=1),
    Column("state", 12),
    Column("what", 17, grow=1),
    Column("short", 5, align="right", optional=2),
    Column("alpha", 5, align="right", optional=3),
    Column("says", 26, grow=6),
    Column("age", 4, align="right", optional=1),
)


class DataScreen(QScreen):
    NAME = "data"
    TITLE_WORD = "Data"
    ACTS = ("data.open", "data.build", "data.labels", "data.sessions", "data.run", "data.over")
    ROOT = True
    AUTO_FOCUS = "#data"

    def __init__(self) -> None:
        super().__init__()
        self._snapshots: tuple[SnapshotView, ...] | None = None
        self._trainings: tuple[TrainingView, ...] = ()
        self._collections: tuple[CollectionView, ...] = ()
        self._tasks: tuple[LabelTaskView, ...] = ()
        self._over = False
        self._seek = ""

    def body(self) -> ComposeResult:
        yield LineTable(COLUMNS, empty=("Loading \u2026",), id="data")

    def on_mount(self) -> None:
        self.refetch()

    def on_screen_resume(self) -> None:
        if self._snapshots is not None:
            self.refetch()

    def refetch(self) -> None:
        async def everything() -> tuple[Any, ...]:
            return (
                await self.client.records("snapshot", SnapshotView, limit=500),
                await self.client.records("training", TrainingView, limit=100),
                await self.client.records("collection", CollectionView, state="requested"),
                await self.client.records("label_task", LabelTaskView, state="open,claimed", limit=1000),
            )

        self.ask(everything, self._got)

    def _got(self, found: tuple[Any, ...]) -> None:
        self._snapshots, self._trainings, self._collections, self._tasks = found
        self._show()

    def model_changed(self, delta: Delta | None) -> None:
        if self._snapshots is not None:
            if delta is None or any(kind in KINDS for kind, _ in delta.records):
                self.refetch()
            elif delta.gates:
                self._show()

    def each_second(self) -> None:
        self._show()

    def go_to(self, text: str) -> None:
        self.set_filter(text)

    def verdict(self) -> list[Part]:
        if self._snapshots is None:
            return [("Loading \u2026", "muted")]
        if not self._snapshots and not self._trainings:
            return ["No dataset yet."]
        busy = [one for one in self._snapshots if one.state in dataset_view.OPEN]
        line: list[Part] = [f"{figures.plural(len(busy), 'snapshot')} in work"]
        waits = [one for one in busy if self._gate(one.run)]
        if waits:
            line += [", ", (f"\u2691 {len(waits)} wait for a decision", "strong")]
        if self._tasks:
            line += [
                ", ",
                (figures.plural(sum(one.state == "open" for one in self._tasks), "label task") + " open", ""),
            ]
        running = sum(one.state in ("running", "submitted") for one in self._trainings)
        if running:
            line += [", ", f"{figures.plural(running, 'training')} running"]
        stopped = sum(one.state == "preempted" for one in self._trainings)
        if stopped:
            line += [", ", (f"\u2016 {stopped} preempted", "caution")]
        if self._collections:
            line += [", ", (figures.plural(len(self._collections), "request") + " for recordings", "caution")]
        return [*line, "."]

    def _gate(self, run: str) -> str:
        """The kind of the question that is open about a run."""
        return next((one.kind for one in self.model.gates.values() if run and one.run == run), "")

    def _doing(self, s: SnapshotView) -> str:
        """What a snapshot that is built waits for, when that is people's labels."""
        tasks = [one for one in self._tasks if one.snapshot == s.id]
        taken = sum(one.state == "claimed" for one in tasks)
        return f"{figures.plural(len(tasks), 'label task')} open, {taken} taken" if tasks else ""

    def _show(self) -> None:
        if self._snapshots is None or not self.is_mounted:
            return
        table = self.query_one("#data", LineTable)
        table.empty = (
            "No dataset yet.", "", "+ builds one from a folder of recordings (MCAP files, LeRobot data sets), or",
            "qd data build NAME --folder FOLDER",
        )  # fmt: skip
        now = self.model.now()
        rows: list[tuple[str, Cells]] = []
        shown = [one for one in self._snapshots if self._over or one.state not in OVER]
        gates = {one.id: self._gate(one.run) for one in shown}
        shown.sort(key=lambda one: _urgency(one, bool(gates[one.id])))
        rows += [(one.id, snapshot_cells(one, now, gates[one.id], self._doing(one))) for one in shown]
        if self._collections:
            rows.append(_heading("recordings asked for"))
            rows += [(one.id, collection_cells(one, now)) for one in self._collections]
        moving = [one for one in self._trainings if self._over or one.state != "cancelled"]
        if moving:
            rows.append(_heading("trainings"))
            rows += [(one.id, training_cells(one, now)) for one in moving[:50]]
        table.merge(rows)

    # -- acting -------------------------------------------------------------------------------------------------

    def target(self) -> Target | None:
        key = self.query_one("#data", LineTable).cursor_key if self.is_mounted else None
        kind = self._kind(key or "")
        return Target(kind, key or "", key or "") if kind else None

    def _kind(self, key: str) -> str:
        held: tuple[tuple[str, Sequence[Any]], ...] = (
            ("snapshot", self._snapshots or ()), ("training", self._trainings), ("collection", self._collections),
        )  # fmt: skip
        return next((kind for kind, rows in held if any(one.id == key for one in rows)), "")

    def why_not(self, act: Act) -> Reason | None:
        if act.name in ("data.open", "data.run") and self.target() is None:
            return Reason("nothing is selected")
        return None

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self._open(message.key)

    def act_data_open(self) -> None:
        target = self.target()
        if target is not None:
            self._open(target.id)

    def _open(self, key: str) -> None:
        kind = self._kind(key)
        if kind == "collection":
            key, kind = next(one.snapshot for one in self._collections if one.id == key), "snapshot"
        if kind:
            self.console.open(kind, key)

    def act_data_run(self) -> None:
        target = self.target()
        held = [*(self._snapshots or ()), *self._trainings, *self._collections]
        run = next((one.run for one in held if target is not None and one.id == target.id), "")
        if run:
            self.console.open("run", run)
        else:
            self.say(("no run made this", "muted"))

    def act_data_labels(self) -> None:
        from screens.labels import LabelsScreen

        self.app.push_screen(LabelsScreen())

    def act_data_sessions(self) -> None:
        from screens.sessions import SessionsScreen

        self.app.push_screen(SessionsScreen())

    def act_data_over(self) -> None:
        self._over = not self._over
        self._show()

    def act_data_build(self) -> None:
        from screens.form import FormField, FormScreen, sending

        names = sorted({one.dataset for one in self._snapshots or ()})
        fields = (
            FormField(
                "dataset",
                "Dataset",
                required=True,
                complete=lambda text: [one for one in names if text in one],
                hint="its name, such as bins",
            ),
            FormField(
                "folder", "Folder of recordings", hint="on the engine's machine; empty: what was taken in already"
            ),
            FormField("line", "Model line", hint="what is trained, such as pick"),
            FormField("purpose", "What it is for"),
            FormField("train", "Train when it is signed", "bool", default=True),
            FormField("seed", "Seed", "number", default=0, minimum=0),
            FormField("reason", "Why"),
        )

        async def send(found: dict[str, Any]) -> CommandAnswer:
            if "seed" in found:
                found["seed"] = int(found["seed"])
            return await sending(self.client, "dataset.build")(found)

        def done(answer: CommandAnswer) -> None:
            self.console.open("run", answer.target)

        self.console.ask_form(FormScreen("Build a snapshot", fields, send, "dataset.build", verb="Build", done=done))


def snapshot_cells(s: SnapshotView, now: float, gate: str, doing: str = "") -> Cells:
    mark: Part = ("\u2691", "strong") if gate else " "
    short = sum(one.short for one in s.coverage)
    alpha = s.agreement.alpha
    tone = {"accept": "good", "tentative": "caution", "reject": "alarm"}.get(s.agreement.word, "muted")
    content = (
        f"{s.episodes:,} episodes {dataset_view.length(s.hours)}"
        if s.episodes
        else f"{s.funnel.valid} valid, {s.funnel.labelled} labelled"
    )
    says: Any = (
        [(f"{gate.replace('_', ' ')}: ", "strong"), *dataset_view.sentence(s)]
        if gate
        else dataset_view.sentence(s, doing)
    )
    return (
        mark, s.id, dataset_view.state(s.state), content,
        ("\u2014" if not s.coverage else (str(short), "alarm") if short else "0"),
        ("\u2014", "muted") if alpha is None else (f"{alpha:.2f}", tone), says,
        (coarse(max(0.0, now - s.updated_at)), "muted"),
    )  # fmt: skip


def training_cells(t: TrainingView, now: float) -> Cells:
    bad = t.state in ("failed",)
    says: Part = (f"{t.error} {t.message}", "alarm" if bad else "caution") if t.error else (
        f"checkpoint {figures.short(t.checkpoint.digest)}" if t.checkpoint else f"spent {t.spent_s:.0f} of {t.budget_s:.0f} s"
    )  # fmt: skip
    content = f"{t.snapshot} \u2192 {t.line} seed {t.seed}"
    return (
        " ",
        t.id,
        figures.state(t.state),
        content,
        "",
        "",
        [f"{dataset_view.progress(t)}  ".lstrip(), says],
        (coarse(max(0.0, now - t.updated_at)), "muted"),
    )


def collection_cells(c: CollectionView, now: float) -> Cells:
    names = ", ".join(f"{one.key} {one.have}/{one.need}" for one in c.cells[:3])
    return (
        ("!", "caution"),
        c.id,
        figures.state(c.state),
        c.dataset,
        str(len(c.cells)),
        "",
        [figures.until(c.due_at, now), f"  {names}"],
        (coarse(max(0.0, now - c.created_at)), "muted"),
    )


def _heading(text: str) -> tuple[str, Cells]:
    return f"heading/{text}", Wide(parts=[(f" {text}", "strong")])


def _urgency(s: SnapshotView, waits: bool) -> tuple[int, float]:
    rank = 0 if waits else 1 if s.state in dataset_view.OPEN else 2 if s.state == "finalized" else 3
    return rank, -s.updated_at
