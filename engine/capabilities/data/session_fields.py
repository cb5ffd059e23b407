"""From facts to the fields of a session's record, and back to the file that holds its content."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from engine.capabilities.data.facts import Facts, TopicFacts
from engine.capabilities.data.identity import Claim, header

Json = Any
MARKS, TOPICS, FEATURES, DIMS = 200, 200, 48, 8
INTERVENTION = "intervention"


def fields_of(facts: Facts, claim: Claim, ref: dict[str, Json]) -> dict[str, Json]:
    """What the record says once the content was read. The header outranks the sender; findings tell where they differ."""
    said = header(facts)

    def text(name: str, other: str = "") -> str:
        return str(said.get(name) or ref.get(name) or other)[:200]

    start = facts.start or int(float(ref.get("start") or 0) * 1e9)
    end = start + (facts.end - facts.start)
    robot = text("robot", claim.robot)
    site, operator, task = text("site", claim.site), text("operator", claim.operator), text("task", claim.task)
    interventions = [event for event in facts.events if event.kind == INTERVENTION]
    subjects = [one.strip() for one in said.get("consent_subjects", "").split(",") if one.strip()]
    day = time.strftime("%Y-%m-%d", time.gmtime(start / 1e9)) if start else "day unknown"
    return {
        "title": f"{task or 'recording'} by {robot or 'an unnamed robot'}"[:200],
        "robot": robot, "site": site, "region": text("region"), "customer": text("customer"), "variant": text("variant"),
        "task": task, "operator": operator, "outcome": text("outcome"),
        "start_ns": start, "end_ns": end, "start": start / 1e9, "end": end / 1e9, "duration_s": round(facts.duration_s, 3),
        "distance_m": _number(said.get("distance_m")), "bytes": facts.bytes, "frames": facts.frames, "fps": tidy(facts.fps),
        "interventions": len(interventions),
        "marks": [
            {"t0": round((e.t0 - facts.start) / 1e9, 3), "t1": round((e.t1 - facts.start) / 1e9, 3), "kind": e.kind, "text": e.text}
            for e in facts.events[:MARKS]
        ],
        "digest": facts.digest, "content": facts.digest, "fingerprint": facts.fingerprint, "trajectory": facts.trajectory,
        "columns": facts.columns[:100],
        "container": facts.container, "format": facts.format,
        "conditions": {k: v for k, v in facts.metadata.get("conditions", {}).items() if _maybe(v) is None},
        "features": features_of(facts), "topics": topics_of(facts), "bill": dict(facts.metadata.get("bill", {})),
        "consent_basis": text("consent_basis"), "consent_subjects": subjects[:50], "licence": text("licence"),
        "pii": said.get("pii", "").lower() in ("true", "yes", "1"),
        "group": f"{site}/{day}|{robot}|{operator}", "source_system": "object store" if "://" in str(ref.get("uri", "")) else "folder", "observed_at": end / 1e9,
    }  # fmt: skip


def measured(facts: Facts) -> dict[str, Json]:
    """What a repair changes of a record: what was measured, not whose it is nor what came in."""
    taken = fields_of(facts, Claim(), {})
    names = (
        "duration_s",
        "frames",
        "fps",
        "topics",
        "features",
        "trajectory",
        "marks",
        "interventions",
        "end_ns",
        "end",
    )
    return {name: taken[name] for name in names} | {"content": facts.digest}


def topics_of(facts: Facts) -> list[dict[str, Json]]:
    """Topics for people: those that matter first."""
    order = {"camera": 0, "action": 1, "state": 2, "events": 3}
    listed = sorted(facts.topics, key=lambda topic: (order.get(topic.role, 4), topic.name))
    return [
        {
            "name": t.name, "type": t.type, "encoding": t.encoding, "role": t.role, "hz": tidy(t.hz), "messages": t.messages,
            "bytes": t.bytes, "drop_ratio": round(t.drop_ratio, 5) if t.role in ("camera", "action", "state") else 0.0,
            "gap_s": round(max((gap.length for gap in t.gaps), default=int(t.period_s * 1e9)) / 1e9, 4),
        }
        for t in listed[:TOPICS]
    ]  # fmt: skip


def features_of(facts: Facts) -> dict[str, float]:
    """Numbers to compare snapshots by: length, means and spreads of actions and states, numeric conditions."""
    found: dict[str, float] = {"duration_s": round(facts.duration_s, 3)}
    for name, value in facts.metadata.get("conditions", {}).items():
        number = _maybe(value)
        if number is not None:
            found[name[:60]] = number
    for topic in facts.topics:
        for feature, amount in _spread(topic):
            if len(found) >= FEATURES:
                return found
            found[feature] = amount
    return found


def _spread(topic: TopicFacts) -> list[tuple[str, float]]:
    values = topic.values
    if values is None or not values.mean:
        return []
    short = topic.name.strip("/").replace("/", ".")
    named = [
        values.names[at] if at < len(values.names) and values.names[at] else str(at) for at in range(len(values.mean))
    ]
    return [
        pair
        for name, mean, std in list(zip(named, values.mean, values.std, strict=True))[:DIMS]
        for pair in ((f"{short}.{name}", mean), (f"{short}.{name} spread", std))
    ]


def tidy(value: float) -> float:
    """Three digits: a period is known to half a percent."""
    return float(f"{value:.3g}") if math.isfinite(value) else 0.0


def _number(text: str | None) -> float:
    return _maybe(text) or 0.0


def _maybe(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def place_of(uri: str, episode: int) -> str:
    """What a record's key is made of: one file, or one episode of a data set."""
    return f"{Path(uri)}#{episode}" if episode >= 0 else str(Path(uri))
