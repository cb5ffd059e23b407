"""Models: candidates by what they wait for, and below them what was built, or the packs they are tried on."""

from __future__ import annotations

from time import monotonic
from typing import Any

from textual.app import ComposeResult
from textual.containers import Container

from engine.contract.common import CommandAnswer
from engine.contract.models import ArtifactView, CandidateView, PackView
from screens import acts, candidate_view
from screens.acts import Act, Field, Level, Reason
from screens.base import QScreen, Target
from screens.form import FormField, FormScreen, sending
from screens.model import Delta, coarse
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.rows import Cells

AGAIN_S = 1.0
ORDER = ("compared", "evaluating", "registered", "approved", "built", "eligible", "expired", "revoked", "rejected")
RANK = {state: place for place, state in enumerate(ORDER)}
MOVING = ("registered", "evaluating", "approved", "built")

acts.register(
    Act("models.open", "enter", "open", target="candidate", order=1,
        help="Candidate against baseline, task by task", cli="qd models show {id}"),
    Act("models.register", "plus", "register", order=2, help="Take a checkpoint to its release", cli="qd models register FILE --line LINE"),
    Act("models.packs", "b", "packs", order=3, help="Evaluation packs in place of artifacts, and back", cli="qd models pack ls"),
    Act("models.revoke", "X", "revoke", target="artifact", level=Level.CHANGE, command="artifact.revoke", order=4,
        fields=(Field("reason", "Why? Everybody concerned reads it.", required=True),),
        help="The artifact under the cursor, for good and at once; rollouts of it pause", cli="qd models revoke {id} --reason WHY"),
    Act("models.run", "t", "its run", target="candidate", order=5, help="Timeline of the release", cli="qd runs show RUN"),
)  # fmt: skip

CANDIDATES = (
    Column("candidate", 10),
    Column("line", 6, grow=1, optional=3),
    Column("state", 12),
    Column("verdict", 14),
    Column("against", 12, grow=1, optional=2),
    Column("says", 30, grow=4),
    Column("age", 4, align="right", optional=1),
)
ARTIFACTS = (
    Column("artifact", 10),
    Column("line", 6),
    Column("version", 10, grow=1),
    Column("state", 11),
    Column("of", 10, optional=1),
    Column("expires", 8, align="right"),
    Column("digest", 10, optional=2),
    Column("says", 12, grow=3),
)
PACKS = (
    Column("pack", 10, grow=1),
    Column("line", 6),
    Column("state", 8),
    Column("tasks", 5, align="right"),
    Column("cases", 5, align="right"),
    Column("plan", 22, grow=2),
    Column("used by", 7, align="right"),
    Column("bench", 12, grow=1, optional=1),
)
FORM = (
    FormField(
        "path", "Checkpoint", required=True, hint="a file on the engine's machine, or sha256:\u2026 that is kept"
    ),
    FormField("line", "Model line", required=True, hint="such as pick"),
    FormField("version", "Version", hint="the software version it becomes part of; counted per line when empty"),
    FormField("snapshot", "Snapshot", of=("snapshot",), hint="the dataset it learnt from"),
    FormField("safety_relevant", "Touches safety?", kind="bool", default="no", hint="then two people approve"),
    FormField("notes", "Use and limits", kind="long"),
)


class ModelsScreen(QScreen):
    NAME = "models"
    TITLE_WORD = "Models"
    ACTS = ("models.open", "models.register", "models.packs", "models.revoke", "models.run")
    ROOT = True
    AUTO_FOCUS = "#candidates"
    CSS = """
    ModelsScreen #models { layout: vertical; height: 1fr; }
    ModelsScreen #candidates { height: 2fr; }
    ModelsScreen #artifacts { height: 1fr; min-height: 6; }
    ModelsScreen #packs { height: 1fr; min-height: 6; display: none; }
    ModelsScreen #models.-packs #artifacts { display: none; }
    ModelsScreen #models.-packs #packs { display: block; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.candidates: tuple[CandidateView, ...] | None = None
        self.artifacts: tuple[ArtifactView, ...] = ()
        self.packs: tuple[PackView, ...] = ()
        self.showing_packs = False
        self._asked_at = 0.0
        self._again = False

    def body(self) -> ComposeResult:
        with Container(id="models"):
            yield LineTable(CANDIDATES, empty=("Loading \u2026",), id="candidates")
            yield LineTable(ARTIFACTS, empty=("Nothing was built yet: that follows an approval.",), id="artifacts")
            yield LineTable(PACKS, empty=("No evaluation pack: qd models pack add FILE",), id="packs")

    def on_mount(self) -> None:
        self.refetch()

    def on_screen_resume(self) -> None:
        if self.candidates is not None:
            self.refetch()

    def refetch(self) -> None:
        self._asked_at, self._again = monotonic(), False
        self.ask(self._fetch, self._got)

    async def _fetch(self) -> tuple[tuple[CandidateView, ...], tuple[ArtifactView, ...], tuple[PackView, ...]]:
        candidates = await self.client.records("candidate", CandidateView, limit=1000)
        artifacts = await self.client.records("artifact", ArtifactView, limit=500)
        return candidates, artifacts, await self.client.records("pack", PackView, limit=200)

    def _got(self, found: tuple[tuple[CandidateView, ...], tuple[ArtifactView, ...], tuple[PackView, ...]]) -> None:
        self.candidates, self.artifacts, self.packs = found
        self._show()

    def model_changed(self, delta: Delta | None) -> None:
        if delta is None or delta.of("candidate", "artifact", "pack"):
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
        self.query_one("#models").set_class(self.showing_packs, "-packs")
        table = self.query_one("#candidates", LineTable)
        if self.candidates is not None:
            table.empty = ("No candidate yet. One comes with a finished training;  +  registers a checkpoint.",)
        rows = sorted(self.candidates or (), key=lambda one: (RANK.get(one.state, 99), -one.updated_at))
        table.merge([(one.id, candidate_cells(one, now)) for one in rows])
        self.query_one("#artifacts", LineTable).merge([(one.id, artifact_cells(one, now)) for one in self.artifacts])
        self.query_one("#packs", LineTable).merge([(one.id, pack_cells(one)) for one in self.packs])

    def filtered(self, text: str) -> None:
        for table in self.query(LineTable):
            table.narrow(text)

    def verdict(self) -> list[Part]:
        if self.candidates is None:
            return [("Loading \u2026", "muted")]
        if not self.candidates:
            return ["No candidate yet."]
        asked = [one for one in self.candidates if one.state == "compared"]
        moving = [one for one in self.candidates if one.state in MOVING]
        line: list[Part] = []
        if asked:
            line += [(f"\u2691 {len(asked)} wait for a decision", "strong"), ", "]
        unsure = sum(one.verdict == "inconclusive" for one in asked)
        if unsure:
            line += [(f"? {unsure} of them inconclusive", "caution"), ", "]
        frozen = sorted({one.frozen_by for one in asked if one.frozen_by})
        if frozen:
            line += [(f"\u2016 {', '.join(frozen)} holds approvals", "caution"), ", "]
        ready = [one for one in self.artifacts if one.state == "eligible"]
        soon = min((one.expires_at for one in ready), default=0.0)
        line += [f"{len(moving)} under way, {len(ready)} eligible"]
        if soon:
            line.append(f", the first expires in {coarse(max(0.0, soon - self.model.now()))}")
        return [*line, "."]

    # -- acting -------------------------------------------------------------------------------------------------

    def _focused(self) -> LineTable:
        for name in ("#artifacts", "#packs"):
            table = self.query_one(name, LineTable)
            if table.has_focus:
                return table
        return self.query_one("#candidates", LineTable)

    def target(self) -> Target | None:
        table = self._focused()
        key = table.cursor_key
        if not key:
            return None
        kind = {"artifacts": "artifact", "packs": "pack"}.get(table.id or "", "candidate")
        rows: tuple[CandidateView | ArtifactView | PackView, ...] = (
            *(self.candidates or ()),
            *self.artifacts,
            *self.packs,
        )
        row = next((one for one in rows if one.id == key), None)
        return Target(kind, key, row.title if row is not None else "")

    def why_not(self, act: Act) -> Reason | None:
        target = self.target()
        if act.name == "models.revoke":
            if target is None or target.kind != "artifact":
                return Reason("no artifact is selected", "Tab goes to the artifacts")
            found = next((one for one in self.artifacts if one.id == target.id), None)
            if found is not None and found.state == "revoked":
                return Reason(f"it was revoked already: {found.why}")
        if act.name == "models.run" and (target is None or target.kind != "candidate"):
            return Reason("no candidate is selected")
        return None

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self.act_models_open()

    def act_models_open(self) -> None:
        target = self.target()
        if target is None:
            return
        if target.kind == "pack":
            found = next(one for one in self.packs if one.id == target.id)
            self.say((f"{found.id} ", "strong"), f"{found.plan.test or 'not locked yet'}: ", ", ".join(task.task for task in found.tasks), f"  (qd models pack show {found.id})")  # fmt: skip
            return
        id_ = target.id
        if target.kind == "artifact":
            id_ = next((one.candidate for one in self.artifacts if one.id == target.id), "")
        self.console.open("candidate", id_)

    def act_models_run(self) -> None:
        target = self.target()
        found = next((one for one in self.candidates or () if target is not None and one.id == target.id), None)
        if found is not None and found.run:
            self.console.open("run", found.run)

    def act_models_packs(self) -> None:
        self.showing_packs = not self.showing_packs
        self._show()
        self.query_one("#packs" if self.showing_packs else "#artifacts", LineTable).focus()

    def act_models_register(self) -> None:
        send = sending(self.client, "candidate.register")

        async def as_named(found: dict[str, Any]) -> CommandAnswer:
            path = str(found.pop("path", ""))
            return await send({**found, ("digest" if path.startswith("sha256:") else "path"): path})

        self.console.ask_form(FormScreen("Register a candidate", FORM, as_named, "candidate.register", verb="Register"))


def candidate_cells(one: CandidateView, now: float) -> Cells:
    """Id, line, state, verdict, baseline, sentence or reason, age."""
    says: Part = (one.why, "muted") if one.why else one.sentence
    if one.frozen_by:
        says = (f"\u2016 waits for {one.frozen_by}", "caution")
    return (
        one.id, one.line, candidate_view.state(one.state), candidate_view.VERDICTS.get(one.verdict, one.verdict),
        one.baseline.label or ("\u2014", "muted"), says, (coarse(max(0.0, now - one.updated_at)), "muted"),
    )  # fmt: skip


def artifact_cells(one: ArtifactView, now: float) -> Cells:
    """Id, line, version, state, candidate, time left, digest, what there is to say."""
    left: Part = ""
    if one.state == "eligible":
        seconds = one.expires_at - now
        left = (coarse(max(0.0, seconds)), "caution" if seconds < 3 * 86_400 else "muted")
    smoke = f"{sum(step.ok for step in one.smoke)} of {len(one.smoke)} lab steps" if one.smoke else ""
    return (
        one.id, one.line, one.version, candidate_view.state(one.state), (one.candidate, "muted"), left,
        (one.digest[7:15], "muted"), one.why or (smoke, "muted"),
    )  # fmt: skip


def pack_cells(one: PackView) -> Cells:
    """Id, line, state, tasks, incident cases, plan, candidates tried on it, bench."""
    plan = one.plan
    says = (
        f"{plan.test} \u2264{plan.n_max} pairs, {100 * plan.margin:g}/{100 * plan.task_margin:g} pts"
        if plan.n_max
        else ""
    )
    return (
        one.id, one.line, candidate_view.state(one.state), str(len(one.tasks)), str(len(one.regressions)), says,
        str(one.used_by), (one.simulator, "muted"),
    )  # fmt: skip
