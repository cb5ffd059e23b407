"""One correction and its cluster: the card people decide on, and the clip whose phases they set.

Rules: what others said about a clip is shown only after one's own word, so that two people are two. Edits live here until
they are sent; leaving with unsent edits is said. The clip is what was kept, checked against its digest by the engine.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from textual.app import ComposeResult
from textual.binding import Binding

from engine.contract.common import CommandAnswer
from engine.contract.corrections import CAUSES, PHASES, ClipView, ClusterView, CorrectionCase
from screens import acts, correction_view, figures
from screens.acts import Act, Field, Level, Reason
from screens.base import QScreen, Target
from screens.clip_edit import STEP, Edits
from screens.correction_view import SHORT
from screens.layout import Line
from screens.model import Delta
from screens.widgets.parts import Part
from screens.widgets.text import Page
from themes import glyphs

AGAIN_S = 1.0
WHY = Field("reason", "Why?", required=True)
MAYBE_WHY = Field("reason", "Why?")
OPEN = ("captured", "triaged", "clustered", "annotating", "adjudicating", "in_review")

acts.register(
    *(
        Act(
            f"correction.phase_{n}", str(n), SHORT[phase], target="correction", order=0,
            help=f"{phase.replace('_', ' ')} begins at the cursor (at an edge: the whole phase)",
        )
        for n, phase in enumerate(PHASES, 1)
    ),
    Act("correction.edge_back", "left_square_bracket", "edge \u2212", target="correction", order=2,
        help="The edge nearest to the cursor a tenth of a second earlier"),
    Act("correction.edge_on", "right_square_bracket", "edge +", target="correction", order=3,
        help="The edge nearest to the cursor a tenth of a second later"),
    Act("correction.left", "left,h", "cursor back", target="correction", order=0, help="Cursor half a second back"),
    Act("correction.right", "right,l", "cursor on", target="correction", order=0, help="Cursor half a second on"),
    Act("correction.edge_before", "shift+left", "last edge", target="correction", order=0, help="Cursor to the edge before"),
    Act("correction.edge_after", "shift+right", "next edge", target="correction", order=0, help="Cursor to the next edge"),
    Act("correction.better", "plus", "quality +", target="correction", order=0, help="Quality up, 1 to 5"),
    Act("correction.worse", "minus", "quality \u2212", target="correction", order=0, help="Quality down; below 3 is not imitated"),
    Act("correction.success", "x", "success", target="correction", order=0, help="Whether the task went well afterwards: yes or no"),
    Act("correction.send", "S", "send", target="correction", order=4, help="Send your phases; where two people differ: settle it",
        cli="qd corrections annotate {id} --quality 4 --spans FILE"),
    Act("correction.reset", "u", "as shown", target="correction", order=0, help="Your edits away: phases as they were shown"),
    Act("correction.next", "space", "next clip", target="correction", order=1, help="The next clip of this cluster"),
    Act("correction.zoom", "z", "whole clip", target="correction", order=0, help="The whole clip, or what the person did"),
    Act("correction.play", "o", "play", target="correction", order=5, help="Play on from the cursor; again stops"),
    Act("correction.as_suggested", "a", "as suggested", target="correction", level=Level.SAFE, command="correction.triage", order=6,
        help="The cause that the rules suggest; can be changed while it is triaged", cli="qd corrections triage {id}"),
    Act("correction.triage", "C", "cause", target="correction", level=Level.CHANGE, command="correction.triage", order=7,
        fields=(Field("cause", "Cause?", required=True, choices=CAUSES), MAYBE_WHY),
        help="Say what caused it", cli="qd corrections triage {id} --cause CAUSE --reason WHY"),
    Act("correction.train", "T", "to train", target="correction", level=Level.SAFE, command="correction.train", order=8,
        help="Ask for the training side, with its whole group; decided after the review", cli="qd corrections train {id}"),
    Act("correction.eval", "V", "to eval", target="correction", level=Level.SAFE, command="correction.eval", order=9,
        help="Ask for the evaluation side, with its whole group; decided after the review", cli="qd corrections eval {id}"),
    Act("correction.discard", "D", "discard", target="correction", level=Level.CHANGE, command="correction.discard", order=10,
        fields=(WHY,), help="Not to be learnt from, with the reason", cli="qd corrections discard {id} --reason WHY"),
    Act("correction.maintenance", "M", "maintenance", target="correction", level=Level.CHANGE, command="correction.maintenance",
        order=11, fields=(WHY,), help="The hardware's fault: hand it to maintenance",
        cli="qd corrections maintenance {id} --reason WHY"),
    Act("cluster.merge", "m", "merge", target="cluster", level=Level.RISK, command="cluster.merge", order=12,
        fields=(Field("into", "Into which cluster?", required=True), MAYBE_WHY),
        help="This cluster is the same as another: its corrections go there", cli="qd corrections merge {id} --into CL-N"),
    Act("cluster.gathered", "f", "gather no more", target="cluster", level=Level.SAFE, command="cluster.gathered", order=13,
        help="No more of its like is waited for: labels are reviewed once its clips are annotated",
        cli="qd corrections gathered CL-N"),
    Act("correction.gate", "e", "its gate", target="correction", order=13, help="The label review, when it is open",
        cli="qd gates ls"),
    Act("correction.run", "t", "its run", target="correction", order=14, help="Timeline, inputs and outputs", cli="qd runs show RUN"),
)  # fmt: skip


class ClipPage(Page, inherit_bindings=False):
    """A page that leaves Space and the arrows to the screen."""

    BINDINGS = [
        Binding("down,j", "scroll_by(1)", show=False),
        Binding("up,k", "scroll_by(-1)", show=False),
        Binding("pagedown,ctrl+f", "scroll_pages(1)", show=False),
        Binding("pageup,ctrl+b", "scroll_pages(-1)", show=False),
        Binding("g,home", "scroll_edge(-1)", show=False),
        Binding("G,end", "scroll_edge(1)", show=False),
    ]


class CorrectionScreen(QScreen):
    NAME = "correction"
    TITLE_WORD = "Correction"
    OWN_DIGITS = True
    ACTS = (
        *(f"correction.phase_{n}" for n in range(1, 8)),
        "correction.edge_back", "correction.edge_on", "correction.left", "correction.right", "correction.edge_before",
        "correction.edge_after", "correction.better", "correction.worse", "correction.success", "correction.send",
        "correction.reset", "correction.next", "correction.zoom", "correction.play", "correction.as_suggested",
        "correction.triage", "correction.train", "correction.eval", "correction.discard", "correction.maintenance",
        "cluster.merge", "cluster.gathered", "correction.gate", "correction.run",
    )  # fmt: skip
    AUTO_FOCUS = "#clip"

    def __init__(self, record: str) -> None:
        """`record` is a correction's id, or a cluster's: then its first clip that waits for somebody."""
        super().__init__()
        self.cluster_id = record if record.startswith("CL-") else ""
        self.correction = "" if self.cluster_id else record
        self.case: CorrectionCase | None = None
        self.cluster: ClusterView | None = None
        self.clips: tuple[CorrectionCase, ...] = ()
        self.clip: ClipView | None = None
        self.edits = Edits(())
        self.quality = 4
        self.success = True
        self.whole = False
        self._loaded = ""
        self._asked_at = 0.0
        self._again = False
        self._player: Any = None
        self.plain = not glyphs.braille()

    def body(self) -> ComposeResult:
        yield ClipPage(id="clip")

    # -- fetching -----------------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        self.refetch()

    def refetch(self) -> None:
        self._asked_at, self._again = monotonic(), False
        self.ask(self._fetch, self._got)

    async def _fetch(self) -> tuple[CorrectionCase | None, ClusterView | None, tuple[CorrectionCase, ...]]:
        cluster: ClusterView | None = None
        case: CorrectionCase | None = None
        if self.correction:
            case = await self.client.record("correction", self.correction, CorrectionCase)
        name = case.cluster if case is not None else self.cluster_id
        clips: tuple[CorrectionCase, ...] = ()
        if name:
            cluster = await self.client.record("cluster", name, ClusterView)
            clips = await self.client.records(
                "correction", CorrectionCase, where={"cluster": name}, sort="t0", limit=500
            )
        if case is None and clips:
            case = next((one for one in clips if self._mine(one)), clips[0])
        return case, cluster, clips

    def _mine(self, case: CorrectionCase) -> bool:
        """Whether this clip waits for the person here."""
        said = {one.author for one in case.annotations}
        if case.state == "annotating":
            return self.me not in said
        return case.state == "adjudicating" and not case.final and self.me not in said

    def _got(self, found: tuple[CorrectionCase | None, ClusterView | None, tuple[CorrectionCase, ...]]) -> None:
        case, self.cluster, self.clips = found
        before = self.case
        self.case = case
        if case is not None:
            self.correction = case.id
            if self._loaded != case.id or (
                before is not None and before.state != case.state and not self.edits.changed
            ):
                self._begin(case)
        self._show()

    def _begin(self, case: CorrectionCase) -> None:
        """A clip comes up: what this person said before, else as shown."""
        mine = next((one for one in case.annotations if one.author == self.me), None)
        shown = case.shown or case.auto
        spans = mine.spans if mine is not None else case.final or shown
        self.edits = Edits(spans, shown).at(0.0)
        self.quality = mine.quality if mine is not None else case.quality or 4
        self.success = mine.success_after if mine is not None else True
        if self._loaded != case.id:
            self.clip = None
            self._stop()
            if case.window is not None and case.window.digest:
                path = f"/v1/corrections/{case.id}/clip"
                self.ask(lambda: self.client.read(path, ClipView), self._got_clip, group="fetch-clip", quiet=True)
        self._loaded = case.id

    def _got_clip(self, clip: ClipView) -> None:
        if clip.correction == self._loaded:
            self.clip = clip
            self._show()

    def model_changed(self, delta: Delta | None) -> None:
        if delta is None or delta.of("correction", "cluster") or delta.gates:
            self._again = True
            self._maybe_again()

    def each_second(self) -> None:
        self._maybe_again()
        self._show()

    def _maybe_again(self) -> None:
        if self._again and self.online and monotonic() - self._asked_at >= AGAIN_S:
            self.refetch()

    def on_resize(self) -> None:
        self._show()

    # -- showing ------------------------------------------------------------------------------------------------

    @property
    def me(self) -> str:
        return self.model.me.person if self.model.me is not None else ""

    def _show(self) -> None:
        if not self.is_mounted:
            return
        page = self.query_one("#clip", ClipPage)
        if self.case is None and self.cluster is None:
            said = "Loading the correction \u2026" if self.trouble is None else "Esc goes back to the list."
            page.show([[(said, "muted")]])
            return
        now, cells = self.model.now(), self.size.width - 3
        lines: list[Line] = []
        if self.cluster is not None:
            lines += correction_view.card(self.cluster, now, cells, roomy=self.size.height >= 32)
            if self.size.height >= 28:
                lines.append([""])
        if self.case is None:
            lines.append([("This cluster has no clip.", "muted")])
        else:
            lines += self._clip_lines(self.case, cells)
            if self.size.height >= 32 and len(self.clips) > 1:
                lines += [[""], *correction_view.clips(self.clips, self.case.id, cells)]
        page.show(lines)

    def _clip_lines(self, case: CorrectionCase, cells: int) -> list[Line]:
        place = next((i for i, one in enumerate(self.clips, 1) if one.id == case.id), 0)
        lines = [correction_view.clip_head(case, (place, len(self.clips)))]
        if self.edits.spans:
            lines += self._strips(case, cells - 11)
        elif case.state not in ("lost", "detected"):
            lines.append([(" no phases could be derived from this window", "muted")])
        if self.clip is not None and not self.clip.sound and case.window is not None:
            lines.append([(" ! the kept window can't be read, or is not what was kept", "alarm")])
        return lines + correction_view.facts(case, self.me)

    def _strips(self, case: CorrectionCase, cells: int) -> list[Line]:
        spans = self.edits.spans
        whole = self.whole or (not any(s.phase in correction_view.PEOPLE for s in spans))
        reach = correction_view.reach(self.edits.base or spans, self.edits.start, self.edits.end, whole=whole)
        low, high = reach
        if not low <= self.edits.cursor <= high:
            reach = correction_view.reach(spans, self.edits.start, self.edits.end, whole=True)
        rows: list[tuple[str, Line]] = []
        rows += correction_view.signals(self.clip, reach, cells, ascii=self.plain)
        shown = case.shown or case.auto
        rows.append(("shown", correction_view.strip(shown, reach, cells, ascii=self.plain)))
        editing = self._no_edit(case) is None
        if editing:
            rows.append(("yours", correction_view.strip(spans, reach, cells, ascii=self.plain)))
        if any(one.author == self.me for one in case.annotations) or case.state not in ("annotating",):
            for one in case.annotations:  # the others' word, after one's own
                if one.author != self.me:
                    rows.append((one.author[:8], correction_view.strip(one.spans, reach, cells, ascii=self.plain)))
            if case.final:
                rows.append(("final", correction_view.strip(case.final, reach, cells, ascii=self.plain)))
        rows.append(("", correction_view.pointer(reach, cells, self.edits.cursor, ascii=self.plain)))
        rows.append(("time", correction_view.ruler(reach, cells, spans)))
        rows.append(("cursor", correction_view.under(self.edits, self.clip)))
        if editing:
            after = "yes" if self.success else "no"
            told = f"   quality {self.quality} of 5   success after: {after}"
            rows.append(("yours", [*correction_view.moved(self.edits), told]))
        return [[(f" {label:<9}", "muted"), *line] for label, line in rows]

    def verdict(self) -> list[Part]:
        case, cluster = self.case, self.cluster
        if case is None:
            if cluster is None:
                return [("Loading the correction \u2026", "muted")]
            return [(cluster.id, "strong"), " ", correction_view.state(cluster.state)]
        line: list[Part] = [(case.id, "strong"), " ", correction_view.state(case.state)]
        if cluster is not None:
            left = sum(self._mine(one) for one in self.clips)
            line += [f"  in {cluster.id}, {figures.plural(len(self.clips), 'clip')}"]
            if left:
                line += [", ", (f"{left} wait for you", "strong")]
        return [*line, "."]

    # -- keys ---------------------------------------------------------------------------------------------------

    def target(self) -> Target | None:
        if self.case is None:
            return None
        return Target("correction", self.case.id, self.case.title)

    async def carry_out(self, act: Act, target: Target) -> None:
        if act.name.startswith("cluster.") and self.cluster is not None:
            target = Target("cluster", self.cluster.id, self.cluster.title)
        await super().carry_out(act, target)

    def args_for(self, act: Act) -> dict[str, Any]:
        if act.name == "correction.as_suggested" and self.case is not None:
            return {"cause": self.case.suggested.cause}
        return {}

    def why_not(self, act: Act) -> Reason | None:
        case = self.case
        if case is None:
            return Reason("no clip is open")
        edits = act.name.startswith(
            ("correction.phase", "correction.edge_back", "correction.edge_on", "correction.send")
        )
        if edits or act.name in ("correction.better", "correction.worse", "correction.success", "correction.reset"):
            return self._no_edit(case)
        if act.command == "correction.triage":
            if case.state not in ("captured", "triaged"):
                return Reason(f"it is {case.state.replace('_', ' ')}: its cause is decided")
            if act.name == "correction.as_suggested" and not case.suggested.cause:
                return Reason("no cause is suggested", "C lets you say one")
        if act.name in ("correction.train", "correction.eval") and case.state not in OPEN:
            return Reason(f"it is {case.state.replace('_', ' ')}: its side is decided")
        if act.name.startswith("cluster.") and self.cluster is None:
            return Reason("it is in no cluster yet")
        if act.name == "correction.run" and not (case.run or (self.cluster and self.cluster.run)):
            return Reason("no run works on it")
        if act.name == "correction.gate" and self._gate() is None:
            return Reason("no question about this cluster is open")
        if act.name == "correction.next" and len(self.clips) < 2:
            return Reason("this cluster has no other clip" if self.cluster else "it is in no cluster yet")
        return None

    def _no_edit(self, case: CorrectionCase) -> Reason | None:
        said = {one.author for one in case.annotations}
        if case.state == "annotating":
            return None
        if case.state == "adjudicating" and not case.final:
            return Reason("you annotated it: a third person settles it") if self.me in said else None
        waits = "say the cause first" if case.state == "captured" else ""
        return Reason(f"it is {case.state.replace('_', ' ')}: phases are set while it is annotating", waits)

    def _edit(self, edits: Edits) -> None:
        self.edits = edits
        self._show()

    def action_act(self, name: str) -> None:
        if name.startswith("correction.phase_"):
            act = acts.act(name)
            reason = self.reason_against(act)
            if reason is not None:
                self.say((f"{act.verb}: ", "strong"), (str(reason), "caution"))
            else:
                self._edit(self.edits.begin(PHASES[int(name[-1]) - 1]))
            return
        super().action_act(name)

    def act_correction_edge_back(self) -> None:
        self._edit(self.edits.move(-STEP))

    def act_correction_edge_on(self) -> None:
        self._edit(self.edits.move(STEP))

    def act_correction_left(self) -> None:
        self._edit(self.edits.at(self.edits.cursor - 5 * STEP))

    def act_correction_right(self) -> None:
        self._edit(self.edits.at(self.edits.cursor + 5 * STEP))

    def act_correction_edge_before(self) -> None:
        self._edit(self.edits.jump(-1))

    def act_correction_edge_after(self) -> None:
        self._edit(self.edits.jump(1))

    def act_correction_better(self) -> None:
        self.quality = min(5, self.quality + 1)
        self._show()

    def act_correction_worse(self) -> None:
        self.quality = max(1, self.quality - 1)
        self._show()

    def act_correction_success(self) -> None:
        self.success = not self.success
        self._show()

    def act_correction_reset(self) -> None:
        self._edit(Edits(self.edits.base, self.edits.base, self.edits.cursor))

    def act_correction_zoom(self) -> None:
        self.whole = not self.whole
        self._show()

    def act_correction_next(self) -> None:
        """The next clip that waits for this person, else the next one."""
        if self.edits.changed and self.case is not None and self._no_edit(self.case) is None and not self._sent():
            self.say(("unsent phases of ", "caution"), self._loaded, ("  S sends them, u drops them", "muted"))
            return
        ids = [one.id for one in self.clips]
        at = ids.index(self.correction) if self.correction in ids else -1
        order = [*self.clips[at + 1 :], *self.clips[: at + 1]]
        following = next((one for one in order if self._mine(one) and one.id != self.correction), order[0])
        self.correction, self.case = following.id, following
        self._begin(following)
        self._show()

    def _sent(self) -> bool:
        case = self.case
        mine = next((one for one in case.annotations if one.author == self.me), None) if case is not None else None
        return mine is not None and mine.spans == self.edits.spans

    def act_correction_send(self) -> None:
        case = self.case
        if case is None:
            return
        spans = [{"t0": s.t0, "t1": s.t1, "phase": s.phase} for s in self.edits.spans]
        args: dict[str, Any] = {"spans": spans, "quality": self.quality}
        verb = "correction.adjudicate"
        if case.state == "annotating":
            verb, args = "correction.annotate", {**args, "success_after": self.success}
        act = Act("correction.send", "S", "send", target="correction", command=verb)
        self.run_worker(
            self.send(act, Target("correction", case.id, case.title), args), group="command", exit_on_error=False
        )

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()

    def act_correction_play(self) -> None:
        if self._player is not None:
            self._stop()
        else:
            self._player = self.set_interval(STEP, self._play)

    def _play(self) -> None:
        if self.edits.cursor >= self.edits.end - STEP:
            self._stop()
        else:
            self._edit(self.edits.at(self.edits.cursor + STEP))

    def _stop(self) -> None:
        if self._player is not None:
            self._player.stop()
            self._player = None

    def _gate(self) -> str | None:
        run = self.cluster.run if self.cluster is not None else ""
        for gate in self.model.gates.values():
            if gate.run == run and self.cluster is not None and self.cluster.id in gate.question:
                return gate.id
        return None

    def act_correction_gate(self) -> None:
        if (gate := self._gate()) is not None:
            self.console.open("gate", gate)

    def act_correction_run(self) -> None:
        run = (self.cluster.run if self.cluster is not None else "") or (self.case.run if self.case is not None else "")
        if run:
            self.console.open("run", run)
