"""Corrections: clusters by score, and below them each correction by what it waits for."""

from __future__ import annotations

from time import monotonic

from textual.app import ComposeResult
from textual.containers import Container

from engine.contract.corrections import ClusterView, CorrectionCase, CorrectionsBoard
from screens import acts, correction_view, figures
from screens.acts import Act, Field, Level, Reason
from screens.base import QScreen, Target
from screens.model import Delta, coarse
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part, plain
from screens.widgets.rows import Cells

AGAIN_S = 1.0
OVER = ("lost", "closed", "handed_over", "discarded", "safety_case", "effect_confirmed")
CLUSTERS_OVER = ("merged", "dropped", "closed", "confirmed")
ORDER = (
    *("captured", "annotating", "adjudicating", "in_review", "not_fixed", "stale", "detected", "triaged", "clustered"),
    *("prioritised", "routed", "included", "case_added", "awaiting_effect"),
)
RANK = {state: place for place, state in enumerate(ORDER)}

acts.register(
    Act("corrections.open", "enter", "open", target="correction", help="The clip, its phases, its cluster's card",
        cli="qd corrections show {id}", order=1),
    Act("corrections.as_suggested", "a", "as suggested", target="correction", level=Level.SAFE, command="correction.triage",
        help="The cause that the rules suggest; can be changed while it is triaged", cli="qd corrections triage {id}", order=2),
    Act("corrections.new", "plus", "report one", level=Level.CHANGE, command="correction.open",
        fields=(
            Field("robot", "Which robot?", required=True), Field("task", "Which task?"), Field("zone", "Where?"),
            Field("reason", "What happened?"),
        ),
        help="Somebody just took over from a robot: its window is pinned at once", cli="qd corrections open ROBOT", order=3),
    Act("corrections.all", "x", "over, too", help="Also those that are over", cli="qd corrections ls --all", order=4),
)  # fmt: skip

CLUSTERS = (
    Column("id", 5),
    Column("what", 16, grow=3),
    Column("score", 5, align="right"),
    Column("n", 3, align="right"),
    Column("/100 robot-h", 15),
    Column("state", 17),
    Column("alpha", 5, align="right", optional=1),
    Column("sites", 10, grow=1, optional=2),
    Column("age", 4, align="right"),
)
CASES = (
    Column("id", 7),
    Column("state", 17),
    Column("robot", 12, grow=1),
    Column("what", 14, grow=2),
    Column("cause", 9),
    Column("cluster", 7),
    Column("quality", 7, align="right", optional=1),
    Column("goes to", 12, optional=2),
    Column("session", 8, optional=3),
    Column("age", 4, align="right"),
)


class CorrectionsScreen(QScreen):
    NAME = "corrections"
    TITLE_WORD = "Corrections"
    ACTS = ("corrections.open", "corrections.as_suggested", "corrections.new", "corrections.all")
    ROOT = True
    AUTO_FOCUS = "#cases"
    CSS = """
    CorrectionsScreen #corrections { layout: vertical; height: 1fr; }
    CorrectionsScreen #clusters { height: 8; }
    CorrectionsScreen #cases { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.board: CorrectionsBoard | None = None
        self.clusters: tuple[ClusterView, ...] = ()
        self.cases: tuple[CorrectionCase, ...] = ()
        self.everything = False
        self._asked_at = 0.0
        self._again = False

    def body(self) -> ComposeResult:
        with Container(id="corrections"):
            yield LineTable(
                CLUSTERS,
                empty=("No cluster yet: alike corrections, caused by the policy, make one.",),
                id="clusters",
            )
            yield LineTable(CASES, empty=("Loading \u2026",), id="cases")

    def on_mount(self) -> None:
        self.refetch()

    def on_screen_resume(self) -> None:
        if self.board is not None:
            self.refetch()

    def refetch(self) -> None:
        self._asked_at, self._again = monotonic(), False
        self.ask(self._fetch, self._got)

    async def _fetch(self) -> tuple[CorrectionsBoard, tuple[ClusterView, ...], tuple[CorrectionCase, ...]]:
        board = await self.client.read("/v1/corrections/board", CorrectionsBoard)
        clusters = await self.client.records("cluster", ClusterView, sort="-score", limit=200)
        states = "" if self.everything else ",".join(ORDER)
        cases = await self.client.records("correction", CorrectionCase, state=states, limit=1000)
        return board, clusters, cases

    def _got(self, found: tuple[CorrectionsBoard, tuple[ClusterView, ...], tuple[CorrectionCase, ...]]) -> None:
        self.board, self.clusters, self.cases = found
        self._show()

    def model_changed(self, delta: Delta | None) -> None:
        if delta is None or delta.of("correction", "cluster"):
            self._again = True
            self._maybe_again()

    def each_second(self) -> None:
        self._maybe_again()
        self._show()

    def _maybe_again(self) -> None:
        if self._again and self.online and monotonic() - self._asked_at >= AGAIN_S:
            self.refetch()

    def _show(self) -> None:
        if not self.is_mounted:
            return
        now = self.model.now()
        clusters = [one for one in self.clusters if self.everything or one.state not in CLUSTERS_OVER]
        clusters.sort(key=lambda one: (one.state in CLUSTERS_OVER, -one.score, one.id))
        self.query_one("#clusters", LineTable).merge([(one.id, cluster_cells(one, now)) for one in clusters])
        table = self.query_one("#cases", LineTable)
        if self.board is not None:
            table.empty = ("No correction waits. Sessions with interventions bring them;  +  reports one.",)
        rows = sorted(self.cases, key=lambda one: (RANK.get(one.state, 99), -one.t0))
        table.merge([(one.id, case_cells(one, now)) for one in rows])

    def filtered(self, text: str) -> None:
        for table in self.query(LineTable):
            table.narrow(text)

    def verdict(self) -> list[Part]:
        board = self.board
        if board is None:
            return [("Loading \u2026", "muted")]
        line: list[Part] = [f"{board.open} open, {figures.plural(board.clusters, 'cluster')}"]
        if board.open:
            line.append(f", oldest {coarse(max(0.0, self.model.now() - board.oldest_at))}")
        waits = (("triage", board.to_triage), ("annotate", board.to_annotate), ("settle", board.to_adjudicate))
        told = [f"{n} to {word}" for word, n in waits if n]
        if board.in_review:
            told.append(f"{board.in_review} in review")
        if told:
            line += [": ", ("\u2691 " + ", ".join(told), "strong")]
        if board.double_for_me:
            line += [", ", (f"{board.double_for_me} want you as 2nd", "strong")]
        for n, word in ((board.not_fixed, "not fixed"), (board.stale, "stale"), (board.lost, "lost")):
            if n:
                line += [", ", (f"! {n} {word}", "caution")]
        return [*line, "."]

    # -- acting -------------------------------------------------------------------------------------------------

    def _focused(self) -> LineTable:
        clusters = self.query_one("#clusters", LineTable)
        return clusters if clusters.has_focus else self.query_one("#cases", LineTable)

    def target(self) -> Target | None:
        key = self._focused().cursor_key
        if not key:
            return None
        row = next((one for one in (*self.cases, *self.clusters) if one.id == key), None)
        return Target("cluster" if key.startswith("CL-") else "correction", key, row.title if row else "")

    def why_not(self, act: Act) -> Reason | None:
        if act.name == "corrections.as_suggested":
            target = self.target()
            case = next((one for one in self.cases if target is not None and one.id == target.id), None)
            if case is None:
                return Reason("a cluster has no cause to say", "Tab goes to the corrections")
            if case.state not in ("captured", "triaged"):
                return Reason(f"it is {plain(correction_view.state(case.state)).strip()}")
            if not case.suggested.cause:
                return Reason("no cause is suggested", "Enter opens it, C says one")
        return None

    def args_for(self, act: Act) -> dict[str, object]:
        if act.name == "corrections.as_suggested":
            target = self.target()
            case = next((one for one in self.cases if target is not None and one.id == target.id), None)
            return {"cause": case.suggested.cause} if case is not None else {}
        return {}

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self._open(message.key)

    def act_corrections_open(self) -> None:
        target = self.target()
        if target is not None:
            self._open(target.id)

    def _open(self, key: str) -> None:
        self.console.open("cluster" if key.startswith("CL-") else "correction", key)

    def act_corrections_all(self) -> None:
        self.everything = not self.everything
        self.refetch()


def cluster_cells(one: ClusterView, now: float) -> Cells:
    """Id, what, score, events, rate with bounds, state, agreement, sites, age."""
    rate: Part = (
        (f"{figures.number(one.rate)} [{figures.number(one.low)} {figures.number(one.high)}]")
        if one.rate is not None
        else ("-", "muted")
    )
    a = one.agreement.alpha
    doubt = a is not None and a < 0.8
    return (
        one.id,
        one.title,
        figures.number(one.score) if one.score else ("-", "muted"),
        str(one.n_30d),
        rate,
        correction_view.state(one.state),
        (correction_view.fraction(a), "caution") if doubt else correction_view.fraction(a),
        (correction_view.counted(one.sites, 2), "muted"),
        (coarse(max(0.0, now - one.created_at)), "muted"),
    )


def case_cells(one: CorrectionCase, now: float) -> Cells:
    """Id, what it waits for, robot, what, cause (suggested with a question mark), cluster, quality, side, session, age."""
    cause: Part = one.cause or (f"{one.suggested.cause}?", "muted")
    goes = one.snapshot or one.pack or one.route or (f"{one.wanted}?" if one.wanted else "")
    return (
        one.id,
        correction_view.state(one.state),
        one.robot,
        (f"{one.task} {one.zone}".strip() or one.title.removesuffix(f", {one.robot}")),
        cause,
        one.cluster,
        str(one.quality) if one.quality else "",
        goes,
        (one.session, "muted"),
        (coarse(max(0.0, now - one.t0)), "muted"),
    )
