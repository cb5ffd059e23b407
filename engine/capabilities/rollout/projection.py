"""Rollouts, cohorts and robots-in-a-rollout as rows, from the committed events of a rollout's run alone.

What a step means here is told by what it recorded, not by its name: an output with stages is the freeze, a sample with
signals is a look at health. So a pattern of somebody's own that uses the same actions is shown the same way. Nothing is
remembered between two transactions: a batch that is undone leaves nothing wrong behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from engine.capabilities.rollout.document import ENDINGS, Document, Pause, Stage
from engine.contract.fleet import CohortView
from engine.contract.rollouts import Counts, RobotUpdate, Series, SignalRow, Verdict
from engine.core import events as e
from engine.store import statements as sql
from engine.store.records import Cursor, Recorded

Json = Any

WORKFLOWS = frozenset({"staged-rollout"})

_ROLLOUT = sql.ROLLOUT
_COHORT = sql.COHORT
_UPDATE = sql.ROBOT_UPDATE
_UPDATE_COLUMNS = sql.ROBOT_UPDATE_COLUMNS
_UNDER_WAY = ("downloading", "installing", "rebooting", "commit_pending", "healthy")
_decoder = msgspec.json.Decoder(Document)
_update = msgspec.json.Decoder(RobotUpdate)


class RolloutProjector:
    """Passed to the host, which calls it inside the writer's transaction."""

    tables: tuple[str, ...] = ("rollouts", "cohorts", "robot_updates")
    wants: frozenset[str] = frozenset(
        {
            "RunStarted", "StepScheduled", "StepCompleted", "SampleJudged", "ObservationConcluded", "GateOpened", "GatePassed",
            "GateRejected", "GateExpired", "GateWithdrawn", "InterruptTaken", "ItemStarted", "Emitted", "CompensationStarted",
            "RunCompleted", "RunFailed", "RunCancelled", "RunTerminated", "RunTimedOut",
        }
    )  # fmt: skip

    def apply(self, rows: list[Recorded], connection: Cursor) -> None:
        mine: dict[str, list[Recorded]] = {}
        for row in rows:
            if row.workflow in WORKFLOWS and row.event is not None:
                mine.setdefault(row.run, []).append(row)
        for run, records in mine.items():
            _Change(run, connection).take(records)


class _Change:
    """What one batch changes of one rollout."""

    def __init__(self, run: str, connection: Cursor) -> None:
        self.run, self.connection = run, connection
        found = connection.execute("select view from rollouts where id = ?", (run,)).fetchone()
        self.doc = _decoder.decode(found[0]) if found else Document(id=run)
        self.updates: dict[str, RobotUpdate] = {}
        self.seq, self.at = 0, 0.0

    def take(self, records: list[Recorded]) -> None:
        for record in records:
            self.seq, self.at = record.seq, record.at
            handler = _HANDLERS.get(type(record.event))
            if handler is not None:
                handler(self, record.event)
        doc = self.doc
        doc.updated_at = self.at
        stage, newest = doc.stage, doc.verdicts[-1] if doc.verdicts else None
        self.connection.execute(
            _ROLLOUT,
            (
                self.run, doc.release or doc.version, doc.version, doc.previous, doc.cohort, doc.state, stage.name if stage else "",
                max(0, doc.stage_index), newest.word if newest else "", doc.robots, doc.started_at, doc.updated_at, doc.started_by,
                self.seq, msgspec.json.encode(doc),
            ),
        )  # fmt: skip
        if self.updates:
            self.connection.executemany(_UPDATE, [self._row(update) for update in self.updates.values()])
            self.connection.executemany(
                "update robots set rollout = ?, state = ? where id = ?",
                [("" if doc.ended else self.run, update.state, update.robot) for update in self.updates.values()],
            )
        if doc.ended:
            self.connection.execute("update robots set rollout = '', state = '' where rollout = ?", (self.run,))

    def _row(self, update: RobotUpdate) -> tuple[Any, ...]:
        return (
            self.run, update.robot, update.stage, update.state, update.from_version, update.to_version, update.reported, update.at,
            self.seq, msgspec.json.encode(update),
        )  # fmt: skip

    def robot(self, name: str, **changes: Any) -> None:
        """Changes one robot's row; robots that are not of the rollout are left alone."""
        known = self.updates.get(name)
        if known is None:
            found = self.connection.execute(
                "select view from robot_updates where rollout = ? and robot = ?", (self.run, name)
            ).fetchone()
            known = _update.decode(found[0]) if found else None
        if known is not None:
            self.updates[name] = msgspec.structs.replace(known, **changes)

    def on_new(self, stage: str) -> set[str]:
        """Robots of the stage that ran the new version, or were about to, when they were last looked at."""
        found = self.connection.execute(
            "select view from robot_updates where rollout = ? and stage = ?", (self.run, stage)
        ).fetchall()
        rows = {one.robot: one for one in (_update.decode(row[0]) for row in found)}
        rows |= {name: one for name, one in self.updates.items() if one.stage == stage}
        return {one.robot for one in rows.values() if one.reported == one.to_version or one.state in _UNDER_WAY}


def _started(change: _Change, event: e.RunStarted) -> None:
    doc = change.doc
    doc.version = str(event.inputs.get("version", ""))
    doc.selector = str(event.inputs.get("selector", ""))
    doc.incident = str(event.inputs.get("incident", ""))
    if doc.incident:
        doc.selector = f"{doc.incident}: {len(event.inputs.get('only') or ())} robots"
    doc.started_at, doc.started_by = event.at, event.by
    doc.sentence = "Targets are being frozen"


def _scheduled(change: _Change, event: e.StepScheduled) -> None:
    if event.action == "rollout.pause" and change.doc.state != "held":
        change.doc.state = "pause_requested"
        change.doc.pause = Pause()


def _completed(change: _Change, event: e.StepCompleted) -> None:
    output = event.output
    if not isinstance(output, dict):
        return
    if "cohort" in output and "stages" in output:
        _frozen(change, output)
    elif "checked" in output and "blocked" in output:
        _checked(change, output)
    elif "restored" in output and "unreachable" in output:
        _reverted(change, output)
    elif "concerned" in output and "split" in output:
        change.doc.pause = Pause(
            at=float(output["at"]), robots=[*output["stopped"], *output["running"]], worst_s=float(output["worst_s"])
        )
        change.doc.split = list(output["split"])
    elif "on_target" in output.get("counts", {}) and "exceptions" in output:
        change.doc.exceptions = output["exceptions"]
    elif "signals" in output and "verdict" in output:
        _health(change, output, 0)


def _frozen(change: _Change, output: dict[str, Json]) -> None:
    doc, cohort = change.doc, output["cohort"]
    doc.cohort, doc.robots, doc.previous = cohort["digest"], int(output["size"]), cohort["previous"]
    doc.release = str(output["plan"].get("release") or doc.version)
    doc.away_from = str(cohort.get("away_from") or "")
    if not doc.incident:
        doc.selector = str(cohort.get("selector") or doc.selector)
    doc.state, doc.sentence = "preflight", f"{doc.robots} robots are frozen in {output['stage_count']} stages"
    doc.stages = [
        Stage(
            name=s["name"], index=s["index"], robots=s["robots"], targets_digest=s["targets_digest"], sites=s["sites"],
            counts=Counts(planned=s["size"]), next=s["next_summary"],
        )
        for s in output["stages"]
    ]  # fmt: skip
    if output["stages"]:
        first = output["stages"][0]
        rules = first["rules"]
        doc.policy = {
            "soak": first["soak_s"], "settle": first["settle_s"], "e_alarm": rules["e_alarm"], "rho0": rules["rho0"],
            "min_coverage": rules["coverage"], "install_abort": rules["install_limit_rate"], "min_control": rules["min_control"],
            "site_concurrency": rules["site_concurrency"], "robot_timeout": first["robot_timeout_s"],
            "rules_out": {s["name"]: s["ratio_limit"] for s in output["stages"]},
        }  # fmt: skip
    where = {
        name: (site, variant)
        for site, variants in output.get("where", {}).items()
        for variant, names in variants.items()
        for name in names
    }
    for stage in output["stages"]:
        for name in stage["robots"]:
            site, variant = where.get(name, ("", ""))
            change.updates[name] = RobotUpdate(
                robot=name, stage=stage["name"], state="planned", from_version=cohort["origin"].get(name, cohort["previous"]),
                to_version=doc.version, reported=cohort["origin"].get(name, cohort["previous"]), at=change.at,
                site=site, variant=variant,
            )  # fmt: skip
    view = CohortView(
        id=doc.cohort, selector=doc.selector, robots=doc.robots, digest=doc.cohort, frozen_at=change.at,
        strata=output["summary"]["strata"], used_by=change.run, members=tuple(cohort["robots"]),
    )  # fmt: skip
    change.connection.execute(
        _COHORT,
        (
            view.id,
            view.digest,
            view.selector,
            view.robots,
            view.frozen_at,
            view.used_by,
            change.seq,
            msgspec.json.encode(view),
        ),
    )


def _checked(change: _Change, output: dict[str, Json]) -> None:
    doc = change.doc
    doc.preflight = {key: value for key, value in output.items() if key not in ("owner", "server")}
    doc.server = str(output.get("server") or "")
    doc.limits = {str(what): str(why) for what, why in (output.get("owner") or {}).items()}
    doc.blocked = {b["robot"]: b["reason"] for b in output["blocked"]}
    for name, reason in doc.blocked.items():
        change.robot(name, rollback=reason)
    back = output["rollback"]
    doc.sentence = f"{output['checked']} robots checked: {output['ready']} ready, {back['feasible']} could go back to {back['to_version']}, {back['blocked']} could not"


def _item_started(change: _Change, event: e.ItemStarted) -> None:
    if 0 <= event.index < len(change.doc.stages):
        change.doc.stage_index = event.index
        change.doc.stages[event.index].state = "deploying"
        change.doc.state = "running"


def _judged(change: _Change, event: e.SampleJudged) -> None:
    sample, doc = event.sample, change.doc
    if not isinstance(sample, dict) or "verdict" not in sample:
        return
    if doc.state in ("paused", "held"):
        doc.state = "running"
        doc.pause = None
    if "signals" in sample:
        _health(change, sample, event.number)
    elif "changes" in sample:
        _installs(change, sample, event.number)


def _installs(change: _Change, sample: dict[str, Json], number: int) -> None:
    doc = change.doc
    counts = msgspec.convert(sample["counts"], Counts)
    for line in sample["changes"]:
        changes = {"state": line["state"], "reason": line["reason"], "at": line["at"], "reported": line["reported"]}
        if line.get("first_error"):
            changes["first_error"] = line["first_error"]
        change.robot(line["robot"], **changes)
    stage = next((s for s in doc.stages if s.name == sample["stage"]), None)
    if stage is None:
        doc.rest = counts
        doc.sentence = (
            f"stragglers: {counts.ok} of {counts.planned} robots done, {counts.planned - counts.executed} still to come"
        )
        return
    stage.counts = counts
    if stage.state in ("paused", "pending"):
        stage.state = "deploying"
    verdict = _verdict(sample, stage.name, number)
    stage.verdict = verdict
    if verdict.word == "FAIL":
        doc.say(verdict)
    else:
        # PASS of an install is no verdict on the stage: that is given on what the robots do afterwards
        doc.sentence = verdict.sentence


def _health(change: _Change, sample: dict[str, Json], number: int) -> None:
    doc = change.doc
    stage = next((s for s in doc.stages if s.name == sample["stage"]), None)
    doc.signals = msgspec.convert(sample["signals"], list[SignalRow])
    doc.worst, doc.control = sample["worst"], sample["control"]
    doc.dispersion, doc.permutation_p = sample["dispersion"], sample["permutation_p"]
    doc.series = msgspec.convert(sample["series"], list[Series])
    verdict = _verdict(sample, sample["stage"], number)
    doc.say(verdict)
    if stage is not None:
        stage.state, stage.verdict = "observing", verdict
        stage.exposure_h, stage.exposure_needed_h = sample["exposure_h"], sample["exposure_needed_h"]
        stage.soak_until = sample["soak_until"]


def _verdict(sample: dict[str, Json], stage: str, number: int) -> Verdict:
    given = sample["verdict"]
    return Verdict(
        word=given["word"], sentence=given["sentence"], stage=stage, at=sample["at"], reasons=tuple(given.get("reasons", ())),
        inputs_digest=given.get("inputs_digest", ""), revision=number,
    )  # fmt: skip


def _concluded(change: _Change, event: e.ObservationConcluded) -> None:
    stage = change.doc.stage
    if stage is not None and event.verdict == "pass" and isinstance(event.output, dict) and "changes" in event.output:
        stage.state, stage.soak_until = "settling", event.output["settle_until"]


def _gate_opened(change: _Change, event: e.GateOpened) -> None:
    doc = change.doc
    doc.gate = event.gate
    if event.step == "draft":
        doc.sentence = f"{doc.version} is ready: nothing is prepared before somebody says where it goes"
    elif event.kind == "rollout_signoff" and not doc.stages[: doc.stage_index + 1]:
        doc.state = "awaiting_signoff"
    elif event.kind == "emergency_change":
        doc.state = "held"
        if doc.stage is not None:
            doc.stage.state = "paused"


def _gate_closed(change: _Change, event: Any) -> None:
    if change.doc.gate == event.gate:
        change.doc.gate = ""
    if isinstance(event, e.GateRejected):
        change.doc.sentence = f"Rejected by {event.by}" + (f": {event.rationale}" if event.rationale else "")


def _interrupted(change: _Change, event: e.InterruptTaken) -> None:
    if event.event in ("rollout.pause", "rollout.hold"):
        change.doc.state, change.doc.pause = "pause_requested", Pause()


def _emitted(change: _Change, event: e.Emitted) -> None:
    doc, stage = change.doc, change.doc.stage
    what = event.event.removeprefix("qd.rollout.")
    if stage is not None and what in ("stage.passed", "stage.failed", "stage.inconclusive"):
        stage.state = what.removeprefix("stage.")
    elif what == "paused":
        doc.state = "paused"
        by = str(event.data.get("by", ""))
        doc.sentence = f"{doc.sentence.rstrip('.')}. Paused by {by or 'an operator'} {time.strftime('%H:%MZ', time.gmtime(change.at))}."
        if stage is not None and stage.state not in ("failed", "inconclusive"):
            stage.state = "paused"
    elif what == "resumed":
        doc.state, doc.pause = "running", None
    elif what == "started":
        doc.state, doc.sentence = "running", "Signed off; the first stage begins"


def _undoing(change: _Change, event: e.CompensationStarted) -> None:
    change.doc.state, change.doc.pause = "rolling_back", None


def _reverted(change: _Change, output: dict[str, Json]) -> None:
    doc = change.doc
    gone_back = change.on_new(output["stage"]).intersection(output.get("found_back") or ())
    restored = {*output["restored"], *gone_back} - set(output["stopped"])
    for name in sorted(restored):
        change.robot(name, state="rolled_back", at=output["at"], reported=_origin(change, name), reason="")
    for name in output["stopped"]:
        change.robot(name, state="rolled_back", at=output["at"], reason="never began")
    for name, reason in output["blocked"]:
        change.robot(name, rollback=reason, reason=reason, at=output["at"])
    for name, reason in output["unreachable"]:
        change.robot(name, state="rolling_back", reason=reason, at=output["at"])
    for stage in doc.stages:
        if stage.name == output["stage"]:
            stage.state = "rolled_back"
    done, left = len(restored), len(output["blocked"]) + len(output["unreachable"])
    doc.sentence = f"{output['stage']}: {done} robots are back on {doc.previous}" + (
        f", {left} are not" if left else ""
    )


def _origin(change: _Change, name: str) -> str:
    known = change.updates.get(name)
    if known is None:
        change.robot(name)
        known = change.updates.get(name)
    return known.from_version if known else ""


def _ended(change: _Change, event: Any) -> None:
    doc = change.doc
    ending = getattr(event, "ending", "")
    if ending == "rejected" or isinstance(event, e.RunCancelled | e.RunTerminated):
        ending = "rolled_back" if doc.state == "rolling_back" and isinstance(event, e.RunCancelled) else "aborted"
    doc.state = ending if ending in ENDINGS else "failed"
    doc.ended, doc.gate, doc.pause = True, "", None
    if doc.state == "completed":
        doc.sentence = f"All {doc.robots} robots run {doc.version}"
    elif doc.state == "completed_with_exceptions":
        doc.sentence = (
            f"{doc.robots - len(doc.exceptions)} of {doc.robots} robots run {doc.version}; {len(doc.exceptions)} do not"
        )
    elif doc.state == "rolled_back":
        doc.sentence = f"Rolled back: no robot is left on {doc.version}. {_cause(doc)}".strip()
    elif doc.state == "rollback_incomplete":
        named = ", ".join(name for name, _ in doc.exceptions[:3])
        doc.sentence = f"Rolled back except {len(doc.exceptions)} robots ({named}). {_cause(doc)}".strip()


def _cause(doc: Document) -> str:
    """Why it went back: the last FAIL in its own words."""
    return next((v.sentence for v in reversed(doc.verdicts) if v.word == "FAIL"), "")


_HANDLERS: dict[type, Callable[[_Change, Any], None]] = {
    e.RunStarted: _started,
    e.StepScheduled: _scheduled,
    e.StepCompleted: _completed,
    e.ItemStarted: _item_started,
    e.SampleJudged: _judged,
    e.ObservationConcluded: _concluded,
    e.GateOpened: _gate_opened,
    e.GatePassed: _gate_closed,
    e.GateRejected: _gate_closed,
    e.GateExpired: _gate_closed,
    e.GateWithdrawn: _gate_closed,
    e.InterruptTaken: _interrupted,
    e.Emitted: _emitted,
    e.CompensationStarted: _undoing,
    e.RunCompleted: _ended,
    e.RunFailed: _ended,
    e.RunCancelled: _ended,
    e.RunTerminated: _ended,
    e.RunTimedOut: _ended,
}
