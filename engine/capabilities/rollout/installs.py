"""One look at a stage that installs: where each robot stands, who may begin now, and the verdict so far. Pure.

The memory travels from sample to sample in the journal, so that an engine that restarts knows since when each robot
has been at it. What a robot says about itself outranks the update server's record. A robot told before it was seen
offline is *offline*, never failed; one that began and did not end in time has timed out, wherever it is now.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from engine.capabilities.ports import InstallReport, Robot
from engine.capabilities.rollout.eligibility import install_refusal, offline, steady
from engine.core.verdicts import Tally, install_verdict

Json = Any

EXECUTED = frozenset({"healthy", "failed", "timed_out", "rejected", "rolled_back"})
IN_PROGRESS = frozenset({"notified", "downloading", "installing", "rebooting", "commit_pending"})
_BEGUN = {"downloading": "downloading", "installing": "installing"}


class Memory(Struct, array_like=True):
    """What is remembered of a robot: its state, when it was told, began and ended, and whether its failure is an old one."""

    state: str = "planned"
    sent: float = 0.0
    begun: float = 0.0
    ended: float = 0.0
    stale_failure: bool = False
    reason: str = ""
    tries: int = 0


class Look(Struct, kw_only=True):
    """The outcome: robots to tell now, those to try again, those to tell off again, and the sample to record."""

    send: list[str]
    again: list[str]
    told_off: list[str]
    newly_failed: list[str]
    memory: dict[str, Memory]
    sample: dict[str, Json]


def look(
    *, stage: Mapping[str, Json], before: Mapping[str, Json] | None, retried: Mapping[str, Json] | None,
    reports: Mapping[str, InstallReport], robots: Mapping[str, Robot], now: float, restrained: Mapping[str, str] | None = None,
    barred: str = "",
) -> Look:  # fmt: skip
    """Never raises on odd reports: a robot its owner doesn't know is `unknown`.

    `restrained` are robots nobody may touch (a hold, a control lease) with the reason, `barred` why the version may go to
    nobody now. Whoever was told and has not begun is told off again.
    """
    rules = stage["rules"]
    past = msgspec.convert((before or {}).get("robots") or {}, dict[str, Memory])
    started = float((before or {}).get("started") or now)
    memory: dict[str, Memory] = {}
    changes: list[dict[str, Json]] = []
    newly_failed: list[str] = []
    candidates: list[Robot] = []
    again: list[str] = []
    told_off: list[str] = []
    for name in stage["robots"]:
        old = past.get(name, Memory())
        if (
            retried
            and name in retried["robots"]
            and old.state in ("failed", "timed_out", "rolled_back")
            and old.ended <= retried["at"]
        ):
            old = Memory(state="notified", sent=retried["at"], stale_failure=True)
        found = _state(name, old, reports.get(name), robots.get(name), stage=stage, now=now)
        why = barred or (restrained or {}).get(name, "")
        if why and found.state in ("eligible", "deferred", "notified"):
            report = reports.get(name)
            if found.state == "notified" and report is not None and report.desired == stage["version"]:
                told_off.append(name)
            found = Memory(state="deferred", reason=why)
        if found.state == "eligible":
            candidates.append(robots[name])
        found.tries = old.tries
        if (
            stage.get("second_try")
            and found.state == "failed"
            and not found.tries
            and reports[name].desired == stage["version"]
        ):
            found = Memory(state="notified", sent=now, stale_failure=True, reason="second try", tries=1)
            again.append(name)
        memory[name] = found
        if found.state == "failed" and old.state != "failed":
            newly_failed.append(name)
    send = _admitted(candidates, memory, robots, rules=rules, poll_s=stage["poll_s"])
    for name in send:
        standing = reports[name]
        memory[name] = Memory(state="notified", sent=now, stale_failure=standing.state == "failed")
    for name in stage["robots"]:
        if name not in past or past[name].state != memory[name].state or past[name].reason != memory[name].reason:
            robot, report = robots.get(name), reports.get(name)
            changes.append(
                {
                    "robot": name,
                    "state": memory[name].state,
                    "reason": memory[name].reason,
                    "at": now,
                    "reported": (robot.version if robot and robot.version else report.reported if report else ""),
                }
            )
    tally = tallied(memory)
    finished = _finished(tally, stage, now - started)
    verdict = install_verdict(
        tally, limit=rules["install_limit_rate"], min_failures=int(rules["min_failures"]), finished=finished
    )
    waits = Counter(m.reason for m in memory.values() if m.state == "deferred")
    ended = [m.ended for m in memory.values() if m.state == "healthy"]
    sample = {
        "stage": stage["name"], "at": now, "started": started, "finished": finished,
        "verdict": msgspec.to_builtins(verdict), "counts": counts(tally), "changes": changes,
        "robots": msgspec.to_builtins(memory), "settle_until": (max(ended) if ended else now) + stage["settle_s"],
        "failed": [[n, m.reason] for n, m in memory.items() if m.state in ("failed", "rejected", "rolled_back")][:50],
        "timed_out": [[n, m.reason] for n, m in memory.items() if m.state == "timed_out"][:50],
        "waits": [[reason, n] for reason, n in waits.most_common(5)],
    }  # fmt: skip
    return Look(send=send, again=again, told_off=told_off, newly_failed=newly_failed, memory=memory, sample=sample)


def tallied(memory: Mapping[str, Memory]) -> Tally:
    states = Counter(m.state for m in memory.values())
    return Tally(
        planned=len(memory), eligible=len(memory) - states["offline"] - states["deferred"] - states["unknown"],
        deferred=states["deferred"], offline=states["offline"], ok=states["healthy"], failed=states["failed"] + states["rolled_back"],
        timed_out=states["timed_out"], rejected=states["rejected"], in_progress=sum(states[s] for s in IN_PROGRESS), unknown=states["unknown"],
    )  # fmt: skip


def counts(tally: Tally) -> dict[str, int]:
    return {**msgspec.to_builtins(tally), "executed": tally.executed}


def _state(
    name: str, old: Memory, report: InstallReport | None, robot: Robot | None, *, stage: Mapping[str, Json], now: float
) -> Memory:
    version, timeout = stage["version"], stage["robot_timeout_s"]
    if report is None:
        return Memory(
            state="unknown",
            sent=old.sent,
            begun=old.begun,
            ended=old.ended,
            reason="its update server no longer knows it",
        )
    runs = robot.version if robot is not None and robot.version and robot.online else report.reported
    if runs == version:
        if report.state in ("downloading", "installing"):
            return Memory(state="commit_pending", sent=old.sent or now, begun=old.begun or now)
        return Memory(
            state="healthy", sent=old.sent, begun=old.begun, ended=old.ended if old.state == "healthy" else now
        )
    if old.state == "healthy":
        return Memory(
            state="rolled_back", sent=old.sent, begun=old.begun, ended=now, reason=f"went back to {runs} by itself"
        )
    if old.state in ("failed", "timed_out", "rejected", "rolled_back"):
        return old
    if report.desired != version:
        # never told, or what was told has been withdrawn (a pause): it begins anew when it may
        return _waiting(robot, report.desired, stage)
    sent = old.sent or now
    if report.state == "failed" and not old.stale_failure:
        return Memory(state="failed", sent=sent, begun=old.begun, ended=now, reason=old.reason)
    if report.state in _BEGUN:
        begun = old.begun or now
        if now - begun >= timeout:
            return Memory(
                state="timed_out",
                sent=sent,
                begun=begun,
                ended=now,
                reason=f"in progress for more than {timeout / 60:.0f} min",
            )
        state = "rebooting" if offline(robot) and report.state == "installing" else _BEGUN[report.state]
        return Memory(state=state, sent=sent, begun=begun)
    if report.state == "done" and now - sent >= timeout:
        return Memory(state="failed", sent=sent, begun=old.begun, ended=now, reason=f"reports success, runs {runs}")
    if old.begun and now - old.begun >= timeout:
        return Memory(
            state="timed_out", sent=sent, begun=old.begun, ended=now, reason="began and was not heard of again"
        )
    if offline(robot) and not old.begun:
        return Memory(state="offline", sent=sent, stale_failure=old.stale_failure, reason="offline since it was told")
    if report.state == "failed" and now - sent >= timeout:
        return Memory(state="failed", sent=sent, begun=old.begun, ended=now, reason="stayed in error")
    if robot is not None and not old.begun and now - sent >= timeout + 3 * robot.poll_s:
        return Memory(state="timed_out", sent=sent, ended=now, reason="online, but did not begin")
    return Memory(
        state="commit_pending" if report.state == "done" else "notified",
        sent=sent,
        begun=old.begun,
        stale_failure=old.stale_failure,
    )


def _waiting(robot: Robot | None, desired: str, stage: Mapping[str, Json]) -> Memory:
    if robot is None or offline(robot):
        return Memory(state="offline", reason="offline")
    signed = str(stage["origin"].get(robot.id, stage["previous"]))
    if robot.version and robot.version not in (signed, stage["version"]):
        return Memory(state="deferred", reason=f"runs {robot.version}, was {signed} when signed")
    if desired not in ("", robot.version, signed, stage["version"]):
        return Memory(state="deferred", reason=f"another update is under way: {desired}")
    reason = install_refusal(robot, min_battery=stage["rules"]["min_battery"])
    return Memory(state="deferred", reason=steady(reason)) if reason else Memory(state="eligible")


def _admitted(
    candidates: Sequence[Robot],
    memory: Mapping[str, Memory],
    robots: Mapping[str, Robot],
    *,
    rules: Mapping[str, Json],
    poll_s: float,
) -> list[str]:
    """Who begins in this round: the rate per region, and the share of a site that may be down together."""
    busy = Counter(robots[n].site for n, m in memory.items() if m.state in IN_PROGRESS and n in robots)
    size = Counter(r.site for r in robots.values())
    working = Counter(r.site for r in robots.values() if not offline(r))
    done = sum(1 for m in memory.values() if m.state == "healthy")
    rate = rules["rate"]
    per_min = min(1000.0, rate["base_per_min"] * rate["factor"] ** (done // max(1, int(rate["after"]))))
    budget = dict.fromkeys({r.region for r in candidates}, max(1, math.floor(per_min * poll_s / 60)))
    admitted: list[str] = []
    for robot in candidates:
        allowed = max(1, math.floor(rules["site_concurrency"] * size[robot.site]))
        last_one = size[robot.site] > 1 and working[robot.site] - busy[robot.site] <= 1
        if budget[robot.region] <= 0 or busy[robot.site] >= allowed or last_one:
            memory[robot.id].state = "deferred"
            memory[robot.id].reason = (
                "the site's last working robot"
                if last_one
                else "site limit: enough robots down together"
                if busy[robot.site] >= allowed
                else "rate limit"
            )
            continue
        budget[robot.region] -= 1
        busy[robot.site] += 1
        admitted.append(robot.id)
    return admitted


def _finished(tally: Tally, stage: Mapping[str, Json], elapsed: float) -> bool:
    """All have answered; or, after a while, enough have and the rest is out of reach: those become stragglers."""
    left = tally.planned - tally.executed
    if left == 0:
        return tally.ok > 0
    enough = tally.executed >= min(int(stage["rules"]["min_executed"]), tally.planned) and tally.ok > 0
    return enough and tally.in_progress == 0 and elapsed >= stage["straggler_after_s"]
