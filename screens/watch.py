"""Watch: what needs me, first; then rollouts, runs that fail, and what happens. One list to walk through, one feed to read."""

from __future__ import annotations

import time

from textual.app import ComposeResult
from textual.containers import Container

from engine.contract.cases import CaseView
from engine.contract.gates import GateSummary
from engine.contract.incidents import IncidentView
from engine.contract.oncall import HandoverRecord, OnCallView, Watched
from engine.contract.rollouts import RolloutSummary
from engine.contract.runs import RunSummary
from engine.contract.system import FeedLine
from screens import chrome, handover_view
from screens.acts import Act, Reason, register
from screens.base import QScreen, Target
from screens.model import Delta, coarse
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.rows import Cells, Wide

SHOWN = 30
"""Rows per section; beyond that the section says how many more there are and where."""
URGENT_S = 3600.0
ROLLOUT_DONE = ("completed", "aborted", "rolled_back", "draft")
INCIDENT_OPEN = "detected,triaged,contained,mitigating,monitoring"
CASE_OPEN = "new,triaged,queued,assigned,in_progress,on_hold,resolved,verifying,reopened"
PRESSING = 2
"""Cases of this priority and above stand on Watch; the others are found under Cases."""
FEED_S = 1.9
"""Between two changes of the feed, while much happens; seconds. Faster nobody reads, and each paints all its lines."""
TROUBLE = {"failed": "alarm", "compensating": "caution", "cancelling": "caution", "suspended": "caution"}

register(
    Act("watch.open", "enter", "open", target="row", help="Open what is under the cursor", order=10),
    Act("watch.feed", "l", "feed", help="To the feed and back", order=20),
)


class WatchScreen(QScreen):
    NAME = "watch"
    TITLE_WORD = "Watch"
    ROOT = True
    ACTS = ("watch.open", "watch.feed")
    AUTO_FOCUS = "#needs"

    def __init__(self) -> None:
        super().__init__()
        self._incidents: tuple[IncidentView, ...] = ()
        self._cases: tuple[CaseView, ...] = ()
        self._oncall: OnCallView | None = None
        """As last shown."""
        self._told, self._told_at = 0, 0.0
        """The feed's last line that is shown (its sequence), and since when (monotonic s)."""

    def refetch(self) -> None:
        """Incidents and pressing cases; the rest comes with the first picture and the feed."""
        self.ask(
            lambda: self.client.records("incident", IncidentView, state=INCIDENT_OPEN),
            self._got_incidents,
            group="incidents",
        )
        self.ask(lambda: self.client.records("case", CaseView, state=CASE_OPEN), self._got_cases, group="cases")

    def _got_incidents(self, found: tuple[IncidentView, ...]) -> None:
        self._incidents = tuple(sorted(found, key=lambda one: (one.sev or 9, one.created_at)))
        self._fill()

    def _got_cases(self, found: tuple[CaseView, ...]) -> None:
        pressing = [one for one in found if 0 < one.priority <= PRESSING or one.safety_related]
        self._cases = tuple(sorted(pressing, key=lambda one: (one.priority, one.created_at)))
        self._fill()

    def body(self) -> ComposeResult:
        with Container(id="watch"):
            yield LineTable(
                [Column("WHAT NEEDS ME", 30, grow=1)],
                empty=["Connecting \u2026"],
                id="needs",
            )
            yield LineTable(
                [Column("AT", 8), Column("FEED", 30, grow=1), Column("RUN", 9, optional=1)],
                empty=["Nothing has happened yet."],
                follow=True,
                id="feed",
            )

    def verdict(self) -> list[Part]:
        model = self.model
        mine = [gate for gate in model.gates.values() if not gate.mine]
        failing = self._failing()
        stopped = [
            r for r in model.rollouts.values() if r.verdict == "FAIL" or r.state in ("paused", "held", "rolling_back")
        ]
        said: list[Part] = []
        offer = handover_view.for_me(model.oncall) if model.oncall is not None else None
        if offer is not None:
            said.append((f"{offer.giver} hands over to you", "strong"))
        if mine:
            said += ["; "] if said else []
            first = min(mine, key=lambda gate: gate.expires_at)
            left = first.expires_at - model.now()
            said += [
                (f"{len(mine)} decision{'s' * (len(mine) != 1)} wait{'s' * (len(mine) == 1)} for you", "strong"),
                (f", the first is overdue by {coarse(-left)}", "caution")
                if left <= 0
                else f", first until {chrome.at(first.expires_at, model.now())}Z",
                (f" ({coarse(left)} left)", "caution" if left < URGENT_S else "") if left > 0 else "",
            ]
        elif model.gates:
            said += ["; "] if said else []
            said.append(f"{len(model.gates)} gate{'s' * (len(model.gates) != 1)} open, none for you")
        if stopped:
            said += [
                "; " if said else "",
                (f"{len(stopped)} rollout{'s' * (len(stopped) != 1)} stopped or failing", "alarm"),
            ]
        if self._incidents:
            worst = self._incidents[0]
            count = len(self._incidents)
            said += [
                "; " if said else "",
                (
                    f"{count} incident{'s' * (count != 1)} open" + (f", worst SEV-{worst.sev}" if worst.sev else ""),
                    "alarm",
                ),
            ]
        if failing:
            said += ["; " if said else "", (f"{len(failing)} run{'s' * (len(failing) != 1)} in trouble", "caution")]
        if not said:
            open_runs = model.status.runs_open if model.status else 0
            return [f"All quiet: nothing waits for you, {open_runs:,} run{'s' * (open_runs != 1)} under way."]
        return [*said, "."]

    # -- content ------------------------------------------------------------------------------------------------

    def model_changed(self, delta: Delta | None) -> None:
        if not self.model.loaded:
            return
        if delta is None or delta.of("incident", "case"):
            self.refetch()
        if delta is None or delta.gates or delta.rollouts or delta.runs or self.model.oncall is not self._oncall:
            self._fill()
        if delta is None:
            self._told = 0
            self.query_one("#feed", LineTable).load([])
            self._tell()
        elif delta.feed:
            self._tell()

    def each_second(self) -> None:
        if self.model.loaded:
            self._fill()
            self._tell()

    def _tell(self) -> None:
        """What was told since the last time. A line more moves all of them: on a busy night not at every change."""
        fresh = [line for line in self.model.feed if line.seq > self._told]
        if not fresh or (self._told and time.monotonic() - self._told_at < FEED_S):
            return
        feed = self.query_one("#feed", LineTable)
        lines = [(f"line {line.seq}", _feed_cells(line)) for line in fresh]
        if self._told:
            feed.append(lines, keep=400)
        else:
            feed.load(lines)
            feed.action_edge(1)
        self._told, self._told_at = fresh[-1].seq, time.monotonic()

    def on_resize(self) -> None:
        super().on_resize()
        if self.is_mounted:
            self._share_room()

    def _fill(self) -> None:
        table = self.query_one("#needs", LineTable)
        table.empty = ["Nothing here yet. Start a rollout:  qd rollouts start \u2026   or  qd workflows ls"]
        table.merge(self._rows())
        self._share_room()

    def _share_room(self) -> None:
        """Side by side when there is room; else the list takes what it needs, and the feed never less than a third."""
        box = self.query_one("#watch", Container)
        table = self.query_one("#needs", LineTable)
        wide = self.size.width >= 130
        box.set_class(wide, "-wide")
        if not wide:
            room = max(6, self.size.height - 4)
            table.styles.height = min(len(table.rows) + 1, room * 2 // 3)
        else:
            table.styles.height = "1fr"

    def _rows(self) -> list[tuple[str, Cells]]:
        model = self.model
        now = model.now()
        rows = self._oncall_rows(now)
        gates = sorted(model.gates.values(), key=lambda gate: (bool(gate.mine), gate.expires_at))
        mine = [gate for gate in gates if not gate.mine]
        others = [gate for gate in gates if gate.mine]
        if not mine and not others:
            rows.append(("#quiet", Wide([("  No decision waits for anybody.", "muted")])))
        rows += [(f"gate {gate.id}", _gate_row(gate, now)) for gate in (mine + others)[:SHOWN]]
        rows += _more("gates", len(gates))
        if self._incidents:
            rows.append(("#incidents", Wide([(" INCIDENTS", "muted")])))
            rows += [(f"incident {one.id}", _incident_row(one)) for one in self._incidents[:SHOWN]]
        if self._cases:
            rows.append(("#cases", Wide([(" PRESSING CASES", "muted")])))
            rows += [(f"case {one.id}", _case_row(one)) for one in self._cases[:SHOWN]]
            rows += _more("cases", len(self._cases))
        rollouts = sorted(
            model.rollouts.values(), key=lambda r: (r.state in ROLLOUT_DONE, r.verdict != "FAIL", -r.started_at)
        )
        rows.append(("#rollouts", Wide([(" ROLLOUTS", "muted")])))
        if not rollouts:
            rows.append(("#no rollouts", Wide([("  None. Start one:  qd rollouts start \u2026", "muted")])))
        rows += [(f"rollout {rollout.id}", _rollout_row(rollout)) for rollout in rollouts[:SHOWN]]
        rows += _more("rollouts", len(rollouts))
        failing = self._failing()
        if failing:
            rows.append(("#failing", Wide([(" RUNS IN TROUBLE", "muted")])))
            rows += [(f"run {run.id}", _run_row(run)) for run in failing[:SHOWN]]
            rows += _more("runs", len(failing))
        return rows

    def _oncall_rows(self, now: float) -> list[tuple[str, Cells]]:
        """A handover that waits for my key, and what I watch that changed since I looked: nobody else will tell me."""
        view = self._oncall = self.model.oncall
        if view is None:
            return []
        offer = handover_view.for_me(view)
        rows = [(f"handover {offer.id}", _handover_row(offer, now))] if offer is not None else []
        news = [one for one in view.watched if one.news]
        if news:
            rows.append(("#watched", Wide([(" CHANGED, AND WATCHED BY YOU", "muted")])))
            rows += [(f"{one.kind} {one.id} watched", _watched_row(one, now)) for one in news[:SHOWN]]
            rows += _more("handover", len(news))
            rows.append(("#rest", Wide([(" WAITS", "muted")])))
        return rows

    def _failing(self) -> list[RunSummary]:
        held = self.model.runs.values()
        return sorted((run for run in held if in_trouble(run)), key=lambda run: run.updated_at, reverse=True)

    # -- keys ---------------------------------------------------------------------------------------------------

    def target(self) -> Target | None:
        kind, id, *_ = (*self.focused_key().split(" "), "")
        return Target(kind, id) if id and handover_view.opens(kind) else None

    def focused_key(self) -> str:
        focused = self.focused
        table = focused if isinstance(focused, LineTable) else self.query_one("#needs", LineTable)
        if table.id == "feed":
            line = next((one for one in self.model.feed if f"line {one.seq}" == table.cursor_key), None)
            return f"run {line.run}" if line is not None and line.run else ""
        return table.cursor_key

    def why_not(self, act: Act) -> Reason | None:
        if act.name == "watch.open" and self.target() is None:
            return Reason("nothing to open under the cursor")
        return None

    def act_watch_open(self) -> None:
        target = self.target()
        if target is None:
            return
        if self.focused_key().endswith(" watched"):  # it was looked at
            self.ask(
                lambda: self.client.command("watch.seen", "", {"thing": target.id}),
                self._was_seen,
                group="seen",
                quiet=True,
            )
        if target.kind == "handover":
            self.console.go("handover")
        else:
            self.console.open(target.kind, target.id)

    def _was_seen(self, answer: object) -> None:
        self.console.ask_oncall()

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self.act_watch_open()

    def act_watch_feed(self) -> None:
        feed = self.query_one("#feed", LineTable)
        (self.query_one("#needs", LineTable) if feed.has_focus else feed).focus()


def in_trouble(run: RunSummary) -> bool:
    """Failed, undone, held up, or in need of attention; a run that waits at a gate stands under what needs me already."""
    return run.status in TROUBLE or (bool(run.attention) and not (run.status == "waiting" and run.gates))


def _more(noun: str, count: int) -> list[tuple[str, Cells]]:
    if count <= SHOWN:
        return []
    return [(f"#more {noun}", Wide([(f"  and {count - SHOWN:,} more: :{noun}", "muted")]))]


def _gate_row(gate: GateSummary, now: float) -> Cells:
    left = gate.expires_at - now
    urgent = left < URGENT_S
    mark: Part = ("\u2691 ", "strong") if not gate.mine else ("\u2691 ", "muted")
    due: Part = (f"{coarse(left):>4} left " if left > 0 else "overdue   ", "caution" if urgent else "muted")
    seats: Part = (f"{gate.seats_total - gate.seats_open}/{gate.seats_total} ", "muted")
    why: list[Part] = [(f" \u2014 not you: {gate.mine}", "muted")] if gate.mine else []
    claimed: list[Part] = [(f" claimed by {gate.claimed_by}", "muted")] if gate.claimed_by else []
    escalated: list[Part] = [(" escalated", "caution")] if gate.escalated else []
    return Wide([" ", mark, due, seats, gate.question, *escalated, *claimed, *why], selectable=True)


def _handover_row(one: HandoverRecord, now: float) -> Cells:
    led: list[Part] = [(f" with command of {', '.join(one.incidents)}", "alarm")] if one.incidents else []
    when = f"  {coarse(now - one.offered_at)} ago" if one.offered_at else ""
    said: list[Part] = [
        (f"{one.giver} hands over to you", "strong"),
        f" ({one.id})",
        *led,
        (when, "muted"),
        ("  Enter, then A accepts", "muted"),
    ]
    return Wide([" ", ("\u21c4 ", "strong"), *said], selectable=True)


def _watched_row(one: Watched, now: float) -> Cells:
    when = f"{coarse(max(0.0, now - one.at)):>4} ago "
    return Wide(
        [
            " ",
            ("\u25c6 ", "strong"),
            (when, "muted"),
            f"{one.id:<6} ",
            (one.text, "strong"),
            (f"  {one.title}", "muted"),
        ],
        selectable=True,
    )


def _incident_row(one: IncidentView) -> Cells:
    sev: Part = (f"SEV-{one.sev} " if one.sev else "SEV-? ", "alarm" if one.sev in (0, 1, 2) else "caution")
    leader = f" \u2014 {one.ic}" if one.ic else " \u2014 nobody leads it"
    said = one.sentence or one.title
    return Wide([" ", ("! ", "alarm"), f"{one.id:<6} ", sev, f"{one.state} ", said, (leader, "muted")], selectable=True)


def _case_row(one: CaseView) -> Cells:
    tone = "alarm" if one.priority == 1 or one.safety_related else "caution"
    who = one.assignee or "unclaimed"
    return Wide(
        [
            " ",
            ("! ", tone),
            f"{one.id:<6} ",
            (f"P{one.priority or '?'} ", tone),
            f"{one.state.replace('_', ' ')} ",
            one.title,
            (f" \u2014 {who}", "muted"),
        ],
        selectable=True,
    )


VERDICT_MARK = {
    "PASS": ("\u2713", ""),
    "FAIL": ("\u2717", "alarm"),
    "INCONCLUSIVE": ("?", "caution"),
    "PENDING": ("\u25cb", ""),
}
STATE_TONE = {"paused": "caution", "held": "caution", "pause_requested": "caution", "rolling_back": "alarm", "failed": "alarm", "rollback_incomplete": "alarm"}  # fmt: skip


def _rollout_row(rollout: RolloutSummary) -> Cells:
    glyph, tone = VERDICT_MARK.get(rollout.verdict, ("\u25cb", ""))
    counts = rollout.counts
    state = rollout.state.replace("_", " ")
    return Wide(
        [
            " ",
            (f"{glyph} ", tone) if tone else f"{glyph} ",
            f"{rollout.id:<8} {rollout.artifact} {rollout.version} ",
            (state, STATE_TONE.get(rollout.state, "strong")),
            f" {rollout.stage} " if rollout.stage else " ",
            (f"{counts.ok}/{counts.executed} ok of {counts.planned} ", "muted"),
            *([(f"{counts.failed} failed ", "alarm")] if counts.failed else []),
            (f"\u2014 {rollout.waiting_on or rollout.sentence}", "muted")
            if rollout.waiting_on or rollout.sentence
            else "",
        ],
        selectable=True,
    )


def _run_row(run: RunSummary) -> Cells:
    tone = TROUBLE.get(run.status, "caution")
    why = run.attention or run.waiting_on or run.ending
    return Wide(
        [
            " ",
            ("\u2717 " if run.status == "failed" else "! ", tone),
            f"{run.id:<8} ",
            (run.status, tone),
            f" {run.title or run.workflow}",
            (f" \u2014 {why}" if why else "", "muted"),
        ],
        selectable=True,
    )


LEVEL = {"alarm": ("\u2717 ", "alarm"), "warning": ("! ", "caution"), "notice": ("\u2022 ", "strong")}


def _feed_cells(line: FeedLine) -> Cells:
    """Who is said where a person acted; the engine and its rules are said by the sentence, or are nobody's news."""
    mark: list[Part] = [LEVEL[line.level]] if line.level in LEVEL else ["  "]
    unsaid = line.actor not in ("", "engine") and ":" not in line.actor and line.actor not in line.text
    who: list[Part] = [(f" \u00b7 {line.actor}", "muted")] if unsaid else []
    return ([(chrome.clock(line.at)[:8], "muted")], [*mark, line.text, *who], [(line.run, "muted")])
