"""Rollouts and the fleet as the door shows them. Read-only, one connection per thread, safe beside the writer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from engine.capabilities.rollout.document import Document
from engine.capabilities.rollout.undo import phrase
from engine.contract.fleet import CohortView, RobotPage, RobotRow
from engine.contract.rollouts import (
    Counts,
    OwnerView,
    RobotUpdate,
    RollbackPlan,
    RolloutDetail,
    RolloutPage,
    RolloutSummary,
    StageView,
)
from engine.store.reading import Reading

Json = Any

VERBS = ("rollout.pause", "rollout.resume", "rollout.promote", "rollout.rollback", "rollout.hold", "rollout.extend")
_IN_PROGRESS = ("notified", "downloading", "installing", "rebooting", "commit_pending")
_ON_NEW = ("healthy", "rolling_back")
_INSTALL_S = 900.0
"""Download, install and reboot of one robot, when the way back is estimated; the poll interval comes on top."""

_HELD = (
    "coalesce((select h.id from holds h where h.robot = robots.id and h.state = 'active' order by h.id limit 1), hold)"
)
"""The hold a robot is under, if any."""

_document = msgspec.json.Decoder(Document)
_update = msgspec.json.Decoder(RobotUpdate)
_robot = msgspec.json.Decoder(RobotRow)
_cohort = msgspec.json.Decoder(CohortView)


class RolloutReads:
    """`database` is the journal's file, or what is read instead of it; `now` the engine's clock."""

    def __init__(self, database: Path | Reading, *, now: Callable[[], float] = time.time) -> None:
        self._reading = database if isinstance(database, Reading) else Reading(database)
        self._now = now

    # -- rollouts -----------------------------------------------------------------------------------------------------

    def rollout_page(self, *, limit: int = 50) -> RolloutPage:
        """Newest first."""
        rows = self._reading.all("select view from rollouts order by started_at desc, id desc limit ?", (limit,))
        total = self._reading.one("select count(*) from rollouts")[0]
        return RolloutPage(
            rows=tuple(self._summary(_document.decode(row[0])) for row in rows), total=total, as_of=self._now()
        )

    def rollout_rows(self, ids: Sequence[str]) -> tuple[RolloutSummary, ...]:
        """Of these runs, those that are rollouts."""
        if not ids:
            return ()
        marks = ",".join("?" * len(ids))
        rows = self._reading.all(f"select view from rollouts where id in ({marks})", tuple(ids))
        return tuple(self._summary(_document.decode(row[0])) for row in rows)

    def rollout_detail(self, rollout: str) -> RolloutDetail | None:
        found = self._reading.one("select view from rollouts where id = ?", (rollout,))
        if found is None:
            return None
        doc = _document.decode(found[0])
        updates = [
            _update.decode(row[0])
            for row in self._reading.all("select view from robot_updates where rollout = ? order by robot", (rollout,))
        ]
        fleet = {row.id: row for row in self._fleet([update.robot for update in updates])}
        silent = set(_silent(doc, fleet))
        joined = tuple(_joined(update, fleet.get(update.robot), update.robot in silent) for update in updates)
        awaited = {row[0] for row in self._reading.all("select distinct event from waits where run = ?", (rollout,))}
        summary = self._summary(doc)
        return RolloutDetail(
            rollout=summary, targets_digest=doc.cohort, stages=tuple(_stage(stage) for stage in doc.stages), signals=tuple(doc.signals),
            verdicts=tuple(doc.verdicts), robots=joined, rollback=_plan(doc, joined, fleet), blast=_blast(doc, fleet), worst=doc.worst,
            dispersion=doc.dispersion, permutation_p=doc.permutation_p, control=doc.control, pause_ack=_acknowledged(doc, fleet),
            split=_split(joined), series=tuple(doc.series), policy=doc.policy, preflight=doc.preflight, verbs=_verbs(doc, awaited),
            owner=OwnerView(server=doc.server, limits=tuple(doc.limits.items())) if doc.limits else None,
        )  # fmt: skip

    def _summary(self, doc: Document) -> RolloutSummary:
        run = self._reading.one("select waiting_on, number from runs where id = ?", (doc.id,))
        newest = doc.verdicts[-1].word if doc.verdicts else ""
        stage = doc.stage
        return RolloutSummary(
            id=doc.id, run=doc.id, artifact=doc.release or doc.version, version=doc.version, previous=doc.previous,
            cohort=doc.selector or doc.cohort, robots=doc.robots, state=doc.state, stage=stage.name if stage else "",
            stage_index=max(0, doc.stage_index), stages=tuple(s.name for s in doc.stages), verdict=newest, sentence=doc.sentence,
            counts=_total(doc), started_at=doc.started_at, updated_at=doc.updated_at, started_by=doc.started_by, gate=doc.gate,
            waiting_on=run[0] if run else "", row=run[1] if run else 0,
        )  # fmt: skip

    # -- fleet --------------------------------------------------------------------------------------------------------

    def robot_page(self, *, text: str = "", cursor: str = "", limit: int = 1000) -> RobotPage:
        """By name. `text` is looked for in name, site, variant, mode, versions and serial; `cursor` is the last name seen."""
        rows, wanted = [], [word.lower() for word in text.split()]
        for row in self._reading.all(
            f"select view, rollout, state, {_HELD} from robots where id > ? order by id", (cursor,)
        ):
            robot = _with_rollout(row)
            searched = f"{robot.id} {robot.serial} {robot.site} {robot.region} {robot.customer} {robot.variant} {robot.mode} {robot.desired} {robot.reported} {robot.state} {'drift' if robot.drift else ''} {'offline' if not robot.online else ''}".lower()
            if all(word in searched for word in wanted):
                rows.append(robot)
        page = rows[:limit]
        return RobotPage(
            rows=tuple(page), total=len(rows), next=page[-1].id if len(rows) > limit else None,
            as_of=max((robot.as_of for robot in page), default=0.0),
        )  # fmt: skip

    def robot(self, robot: str) -> RobotRow | None:
        row = self._reading.one(f"select view, rollout, state, {_HELD} from robots where id = ?", (robot,))
        return _with_rollout(row) if row else None

    def cohorts(self) -> tuple[CohortView, ...]:
        rows = self._reading.all("select view from cohorts order by frozen_at desc limit 200")
        return tuple(_cohort.decode(row[0]) for row in rows)

    def _fleet(self, names: Sequence[str]) -> list[RobotRow]:
        found: list[RobotRow] = []
        for start in range(0, len(names), 500):
            part = names[start : start + 500]
            marks = ",".join("?" * len(part))
            rows = self._reading.all(
                f"select view, rollout, state, {_HELD} from robots where id in ({marks})", tuple(part)
            )
            found += [_with_rollout(row) for row in rows]
        return found


def _with_rollout(row: Sequence[Any]) -> RobotRow:
    return msgspec.structs.replace(_robot.decode(row[0]), rollout=row[1], state=row[2], hold=row[3])


def _joined(update: RobotUpdate, robot: RobotRow | None, silent: bool = False) -> RobotUpdate:
    """Who the robot is comes from the mirror; a robot under a hold is shown as such, and one that has not answered a
    pause is not taken for paused."""
    if silent:
        update = msgspec.structs.replace(update, reason="has not answered the pause")
    if robot is None:
        return update
    state = "on_hold" if robot.hold else update.state
    return msgspec.structs.replace(update, site=robot.site, variant=robot.variant, serial=robot.serial, state=state)


def _stage(stage: Any) -> StageView:
    return StageView(
        name=stage.name, index=stage.index, size=len(stage.robots), state=stage.state, targets_digest=stage.targets_digest,
        counts=stage.counts, exposure_h=stage.exposure_h, exposure_needed_h=stage.exposure_needed_h, soak_until=stage.soak_until,
        verdict=stage.verdict, sites=tuple(stage.sites),
    )  # fmt: skip


def _total(doc: Document) -> Counts:
    """Over all stages; once the stragglers are looked at, theirs is the newest count of everybody."""
    if doc.rest is not None:
        return doc.rest
    summed: Counter[str] = Counter()
    for stage in doc.stages:
        summed.update(msgspec.structs.asdict(stage.counts))
    return Counts(**summed)


def _plan(doc: Document, robots: Sequence[RobotUpdate], fleet: Mapping[str, RobotRow]) -> RollbackPlan | None:
    """What a rollback would do now: known before the key is pressed, and computed anew when it is."""
    if not doc.stages or doc.ended:
        return None
    touched = [
        r
        for r in robots
        if r.state in _ON_NEW or r.state in _IN_PROGRESS or (r.state == "on_hold" and r.reported == doc.version)
    ]
    if doc.away_from:
        touched = [
            msgspec.structs.replace(r, rollback=f"stays: it came from {doc.away_from}, which an incident is about")
            if r.from_version == doc.away_from
            else r
            for r in touched
        ]
    blocked = [(r.robot, r.rollback) for r in touched if r.rollback != "feasible"]
    held = tuple(r.robot for r in touched if r.state == "on_hold")
    back = [r for r in touched if r.rollback == "feasible" and r.state != "on_hold"]
    polls = [fleet[r.robot].poll_s for r in back if r.robot in fleet]
    sites = sorted({r.site for r in back if r.site})
    return RollbackPlan(
        robots=len(touched), feasible=len(back), blocked=tuple(blocked), on_hold=held, to_version=doc.previous,
        estimate_s=(max(polls, default=0.0) + _INSTALL_S) if back else 0.0, phrase=phrase(len(back), sites) if back else "rollback 0",
    )  # fmt: skip


def _blast(doc: Document, fleet: Mapping[str, RobotRow]) -> dict[str, Json]:
    """What going on would touch next."""
    stage = doc.stage
    if doc.ended or not doc.stages:
        return {}
    if stage is None:
        first = doc.stages[0]
        customers = sorted({fleet[n].customer for n in first.robots if n in fleet})
        return {"stage": first.name, "robots": len(first.robots), "sites": first.sites, "customers": customers}
    following = stage.next
    if not isinstance(following, dict):
        return {}
    return {key: following[key] for key in ("stage", "robots", "sites", "customers") if key in following}


def _acknowledged(doc: Document, fleet: Mapping[str, RobotRow]) -> tuple[bool, int, int, float] | None:
    """(owner, robots that were heard of since, robots concerned, longest wait): asked for is not the same as done."""
    if doc.pause is None or doc.ended:
        return None
    concerned = len(doc.pause.robots)
    return doc.pause.at > 0, concerned - len(_silent(doc, fleet)), concerned, doc.pause.worst_s


def _silent(doc: Document, fleet: Mapping[str, RobotRow]) -> list[str]:
    """Robots that a pause concerns and that were not heard of since the owner took it."""
    if doc.pause is None or doc.ended:
        return []
    at = doc.pause.at
    return [name for name in doc.pause.robots if not (name in fleet and fleet[name].last_seen_at >= at > 0)]


def _split(robots: Sequence[RobotUpdate]) -> tuple[int, int, int] | None:
    if not robots:
        return None
    done = sum(1 for r in robots if r.state in _ON_NEW or r.reported == r.to_version)
    busy = sum(1 for r in robots if r.state in _IN_PROGRESS and r.reported != r.to_version)
    return done, busy, len(robots) - done - busy


def _verbs(doc: Document, awaited: set[str]) -> dict[str, str]:
    """Verb -> why it can't be used now; empty when the run listens for it at this moment."""
    found: dict[str, str] = {}
    for verb in VERBS:
        if doc.ended:
            found[verb] = f"the rollout has ended: {doc.state.replace('_', ' ')}"
        elif verb in awaited:
            found[verb] = ""
        elif doc.state in ("draft", "preflight", "awaiting_signoff"):
            found[verb] = "not signed off yet: nothing has been installed"
        elif doc.state == "rolling_back":
            found[verb] = "it is being rolled back"
        elif verb == "rollout.resume":
            found[verb] = "a question to people is open: answer the gate" if doc.gate else "it is not paused"
        elif verb in ("rollout.promote", "rollout.extend"):
            found[verb] = (
                "a question to people is open: answer the gate" if doc.gate else "only while robots are observed"
            )
        else:
            found[verb] = (
                "it stands still already"
                if doc.state in ("paused", "held", "pause_requested")
                else "the step under way can't be interrupted"
            )
    if not found.get("rollout.promote") and (refusal := _no_promotion(doc)):
        found["rollout.promote"] = refusal
    return found


def _no_promotion(doc: Document) -> str:
    """Missing data and a failure that was seen can't be decided away: the engine would refuse it too."""
    newest = doc.verdicts[-1] if doc.verdicts else None
    if newest is None or not doc.signals:
        return "nothing has been observed yet"
    if newest.word == "FAIL":
        return f"the verdict is FAIL: {newest.sentence}"
    if newest.word == "INCONCLUSIVE" and "missing data" in newest.sentence:
        return newest.sentence
    return ""
