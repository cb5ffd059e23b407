"""One snapshot of a dataset: what it is made of, what is in the way of its signature, what was trained from it.

Decisions are taken at the gates of its run; the keys of this screen open them, and say why they can't be had.
"""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Container

from engine.contract.common import CommandAnswer
from engine.contract.datasets import EpisodePage, EpisodeRow, SnapshotDiff, SnapshotView, TrainingView
from engine.contract.gates import GateSummary
from screens import acts, dataset_view, figures
from screens.acts import Act, Field, Level, Reason
from screens.base import QScreen, Target
from screens.layout import Line
from screens.model import Delta
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.rows import Cells
from screens.widgets.text import Page

KINDS = ("snapshot", "training", "label_task", "collection")
SIGN, WAIVE, REVIEW = ("dataset_signoff",), ("waive_coverage",), ("label_review",)

acts.register(
    Act("snapshot.signoff", "A", "sign off", target="snapshot", help="The question that decides it; barred while something is in the way", cli="qd gates ls", order=1),
    Act("snapshot.waive", "w", "waive", target="snapshot", help="Go on without what is missing, with a reason and a time: its gate", cli="qd gates ls", order=2),
    Act("snapshot.findings", "f", "findings", target="snapshot", help="What was set aside or left out, by reason", cli="qd data episodes {id} --left-out", order=3),
    Act("snapshot.matrix", "m", "matrix", target="snapshot", help="The overview with the coverage matrix", cli="qd data show {id}", order=4),
    Act("snapshot.episodes", "s", "sessions", target="snapshot", help="Every session with its split, score and the cheap baseline", cli="qd data episodes {id}", order=5),
    Act("snapshot.diff", "d", "diff", target="snapshot", help="What changed since the snapshot before", cli="qd data diff {id}", order=6),
    Act("snapshot.labels", "l", "labels", target="snapshot", help="Its label tasks", cli="qd data labels ls --snapshot {id}", order=7),
    Act("snapshot.open", "o", "open clip", target="snapshot", help="The session under the cursor, at its findings", cli="qd data sessions show SESSION", order=8),
    Act("snapshot.exclude", "z", "leave out", target="snapshot", help="Leave the session under the cursor out of the next freeze, or take it back", cli="qd records show session SESSION", order=9),
    Act("snapshot.training", "x", "training", target="snapshot", help="What is trained from it: progress, log", cli="qd data trainings ls", order=10),
    Act("snapshot.run", "t", "its run", target="snapshot", help="Timeline, inputs, outputs", cli="qd runs show RUN", order=11),
    Act("snapshot.enough", "E", "enough labels", target="snapshot", level=Level.CHANGE, command="snapshot.enough", help="End the labelling: what has no labels stays out, and is counted", fields=(Field("reason", "Why?", required=True),), cli="qd data enough {id} --reason TEXT", order=12),
    Act("snapshot.withdraw", "exclamation_mark", "withdraw", target="snapshot", level=Level.RISK, command="snapshot.withdraw", help="Never to be trained on again; what was made from it is named first", fields=(Field("reason", "Why?", required=True),), cli="qd data withdraw {id} --reason TEXT", order=13),
)  # fmt: skip

COLUMNS = (
    Column("", 1),
    Column("session", 7),
    Column("split", 6),
    Column("why", 16, grow=3),
    Column("score", 5, align="right"),
    Column("length", 6, align="right"),
    Column("weight", 6, align="right", optional=3),
    Column("site", 5, optional=1),
    Column("task", 12, grow=1, optional=2),
)


class SnapshotScreen(QScreen):
    NAME = "snapshot"
    TITLE_WORD = "Snapshot"
    ACTS = (
        *(
            "snapshot.signoff",
            "snapshot.waive",
            "snapshot.findings",
            "snapshot.matrix",
            "snapshot.episodes",
            "snapshot.diff",
        ),
        *(
            "snapshot.labels",
            "snapshot.open",
            "snapshot.exclude",
            "snapshot.training",
            "snapshot.run",
            "snapshot.enough",
        ),
        "snapshot.withdraw",
    )
    AUTO_FOCUS = "#facts"
    CSS = """
    SnapshotScreen #snapshot { layout: vertical; height: 1fr; width: 1fr; }
    SnapshotScreen #beside { display: none; }
    SnapshotScreen #episodes { display: none; }
    SnapshotScreen #snapshot.-wide { layout: horizontal; }
    SnapshotScreen #snapshot.-wide #facts { width: 88; }
    SnapshotScreen #snapshot.-wide #beside { display: block; width: 1fr; border-left: solid $qd-cursor-away; }
    SnapshotScreen #snapshot.-episodes #facts { display: none; }
    SnapshotScreen #snapshot.-episodes #beside { display: none; }
    SnapshotScreen #snapshot.-episodes #episodes { display: block; }
    """

    def __init__(self, snapshot: str) -> None:
        super().__init__()
        self.id_ = snapshot
        self.snapshot: SnapshotView | None = None
        self.view = "overview"
        self._trainings: tuple[TrainingView, ...] = ()
        self._diff: SnapshotDiff | None = None
        self._left_out: EpisodePage | None = None
        self._episodes: EpisodePage | None = None

    # -- showing ------------------------------------------------------------------------------------------------

    def body(self) -> ComposeResult:
        with Container(id="snapshot"):
            yield Page(id="facts")
            yield Page(id="beside")
            yield LineTable(
                COLUMNS,
                empty=("Nothing was decided yet: sessions are kept or left out after the labels.",),
                id="episodes",
            )

    def on_mount(self) -> None:
        self.refetch()

    def refetch(self) -> None:
        name = self.id_
        self.ask(lambda: self.client.record("snapshot", name, SnapshotView), self._got)
        self.ask(
            lambda: self.client.records("training", TrainingView, where={"snapshot": name}),
            self._got_trainings,
            group="fetch-trainings",
            quiet=True,
        )
        self._look_deeper()

    def _look_deeper(self) -> None:
        """What the chosen view needs beside the record."""
        path = f"/v1/snapshots/{self.id_}"
        if self.view == "findings" or self.wide:
            self.ask(
                lambda: self.client.read(f"{path}/episodes", EpisodePage, decision="left-out", limit=500),
                self._got_left_out,
                group="fetch-left",
                quiet=True,
            )
        if self.view == "episodes":
            self.ask(
                lambda: self.client.read(f"{path}/episodes", EpisodePage, limit=1000),
                self._got_episodes,
                group="fetch-episodes",
                quiet=True,
            )
        if self.view == "diff":
            self.ask(
                lambda: self.client.read(f"{path}/diff", SnapshotDiff), self._got_diff, group="fetch-diff", quiet=True
            )

    def _got(self, snapshot: SnapshotView) -> None:
        self.snapshot = snapshot
        self._show()

    def _got_trainings(self, rows: tuple[TrainingView, ...]) -> None:
        self._trainings = rows
        self._show()

    def _got_left_out(self, page: EpisodePage) -> None:
        self._left_out = page
        self._show()

    def _got_episodes(self, page: EpisodePage) -> None:
        self._episodes = page
        self._show()

    def _got_diff(self, found: SnapshotDiff) -> None:
        self._diff = found
        self._show()

    def model_changed(self, delta: Delta | None) -> None:
        if self.snapshot is not None and (delta is None or any(kind in KINDS for kind, _ in delta.records)):
            self.refetch()

    def each_second(self) -> None:
        self._show()

    def on_resize(self) -> None:
        super().on_resize()
        self._look_deeper()
        self._show()

    @property
    def wide(self) -> bool:
        return self.size.width >= 130

    def _show(self) -> None:
        if not self.is_mounted:
            return
        box, page = self.query_one("#snapshot"), self.query_one("#facts", Page)
        wide = self.wide and self.view == "overview"
        box.set_class(wide, "-wide")
        box.set_class(self.view == "episodes", "-episodes")
        s = self.snapshot
        if s is None:
            page.show(
                [[("Loading the snapshot \u2026" if self.trouble is None else "Esc goes back to the list.", "muted")]]
            )
            return
        cells = 85 if wide else self.size.width - 3
        head: Line = dataset_view.title(s, self.model.now(), cells)
        if self.view == "episodes":
            rows = self._episodes.rows if self._episodes else ()
            self.query_one("#episodes", LineTable).merge([(row.session, episode(row)) for row in rows])
        elif self.view == "findings":
            page.show([head, [""], *dataset_view.findings(s, self._left_out, cells)])
        elif self.view == "diff":
            page.show([head, [""], *dataset_view.difference(self._diff, cells)])
        else:
            room = self.size.height - 5
            lines = [head, *dataset_view.facts(s, cells, room=room)]
            more = dataset_view.trained(self._trainings, cells)
            page.show([*lines, *([[""], *more] if more and (wide or len(lines) + len(more) < room) else more)])
            if wide:
                beside = self.size.width - 88 - 4
                self.query_one("#beside", Page).show(dataset_view.findings(s, self._left_out, beside))

    def verdict(self) -> list[Part]:
        if self.snapshot is None:
            return [("Loading the snapshot \u2026", "muted")]
        run = self.model.runs.get(self.snapshot.run)
        return dataset_view.sentence(self.snapshot, run.waiting_on or run.step if run else "")

    # -- acting -------------------------------------------------------------------------------------------------

    def target(self) -> Target:
        s = self.snapshot
        return Target("snapshot", self.id_, f"{s.dataset} v{s.version} ({s.episodes} episodes)" if s else "")

    def why_not(self, act: Act) -> Reason | None:
        s = self.snapshot
        if s is None:
            return Reason("the snapshot is still loading")
        if act.name == "snapshot.signoff":
            if s.state in ("finalized", "superseded", "withdrawn"):
                return Reason(f"it is {s.state}")
            waits = dataset_view.waiting(s)
            if waits and self.gate(SIGN) is None:
                return Reason(f"not ready: {', '.join(waits)}")
            return None if self.gate(SIGN) else Reason("its sign-off is not open yet", "t shows what its run waits for")
        if act.name == "snapshot.waive" and self.gate(WAIVE) is None:
            return Reason("nobody asks to waive anything of it now")
        if act.name in ("snapshot.open", "snapshot.exclude") and self.episode() is None:
            return Reason("no session is under the cursor", "s shows them")
        if act.name == "snapshot.training" and not self._trainings:
            return Reason("nothing was trained from it yet")
        if act.name == "snapshot.enough" and s.state != "building":
            return Reason(f"it is {s.state}: nobody waits for its labels")
        if act.name == "snapshot.withdraw" and s.state not in ("finalized", "superseded"):
            return Reason(f"it is {s.state}", "reject its gate" if s.state in dataset_view.OPEN else "")
        return None

    def gate(self, kinds: tuple[str, ...]) -> GateSummary | None:
        """The open question of its run, of one of these kinds."""
        run = self.snapshot.run if self.snapshot else ""
        return next((one for one in self.model.gates.values() if one.run == run and one.kind in kinds), None)

    def episode(self) -> EpisodeRow | None:
        """The session under the cursor, when sessions are shown."""
        if self.view != "episodes" or self._episodes is None:
            return None
        key = self.query_one("#episodes", LineTable).cursor_key
        return next((row for row in self._episodes.rows if row.session == key), None)

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()

    def act_snapshot_signoff(self) -> None:
        self._open_gate(SIGN)

    def act_snapshot_waive(self) -> None:
        self._open_gate(WAIVE)

    def _open_gate(self, kinds: tuple[str, ...]) -> None:
        gate = self.gate(kinds)
        if gate is not None:
            self.console.open("gate", gate.id)

    def act_snapshot_findings(self) -> None:
        self._look("findings")

    def act_snapshot_matrix(self) -> None:
        self._look("overview")

    def act_snapshot_episodes(self) -> None:
        self._look("episodes")

    def act_snapshot_diff(self) -> None:
        self._look("diff")

    def _look(self, view: str) -> None:
        """A view; its key once more goes back to the overview."""
        self.view = "overview" if self.view == view else view
        self._look_deeper()
        self._show()
        self.query_one("#episodes" if self.view == "episodes" else "#facts").focus()
        self.query_one("#facts", Page).scroll_to(y=0, animate=False, immediate=True)

    def act_snapshot_open(self) -> None:
        row = self.episode()
        if row is not None:
            self.console.open("session", row.session)

    def act_snapshot_exclude(self) -> None:
        """Out of the next freeze, or back in: both with a reason, through the session's own verbs."""
        row = self.episode()
        if row is not None:
            back = row.code == "by_hand"
            act = acts.act("session.include" if back else "session.exclude")
            self.run_worker(
                self.carry_out(act, Target("session", row.session, f"{row.session} {row.task}")),
                group="command",
                exit_on_error=False,
            )

    def act_snapshot_labels(self) -> None:
        from screens.labels import LabelsScreen

        self.app.push_screen(LabelsScreen(self.id_))

    def act_snapshot_training(self) -> None:
        if self._trainings:
            self.console.open("training", self._trainings[0].id)

    def act_snapshot_run(self) -> None:
        if self.snapshot is not None and self.snapshot.run:
            self.console.open("run", self.snapshot.run)

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self.console.open("session", message.key)

    def act_console_back(self) -> None:
        if self.view != "overview" and not self.filter:
            self._look("overview")
        else:
            super().act_console_back()


acts.register(
    Act("session.exclude", "z", "leave out", target="session", level=Level.CHANGE, command="session.exclude", cli="qd data sessions exclude {id} --reason TEXT", help="Leave it out of the next freeze", fields=(Field("reason", "Why?", required=True),), order=0),
    Act("session.include", "z", "take back", target="session", level=Level.CHANGE, command="session.include", cli="qd data sessions include {id} --reason TEXT", help="Take it back; the rule decides again", fields=(Field("reason", "Why?"),), order=0),
)  # fmt: skip


def episode(row: EpisodeRow) -> Cells:
    kept = row.decision == "kept"
    return (
        " " if kept else ("\u2717", "muted"),
        row.session,
        row.split or ("\u2014", "muted"),
        ("kept", "muted") if row.code == "kept" else row.why if kept else (row.why, "caution"),
        f"{row.score:.2f}",
        (f"{row.baseline:.2f}", "muted"),
        figures.number(row.weight),
        row.site,
        (row.task, "muted"),
    )
