"""The newest 50 runs of 100,000 under any filter."""

from __future__ import annotations

import random
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from engine.store import schema
from engine.store import statements as sql
from engine.store.queries import Queries
from engine.store.text_index import TextIndex
from tests.benchmarks.harness_engine import linear, percentile, scratch

OPTIONS = {"runs": 100_000}
WORKFLOWS = ("staged-rollout", "data-campaign", "model-candidate", "incident", "correction", "access", "rare-one")
STATUSES = (("completed", 90), ("failed", 3), ("cancelled", 2), ("terminated", 0.5), ("waiting", 3), ("running", 1.5))
SITES = ("HAM2", "HAM5", "UTR1", "LYO1", "AUS3", "MEM4", "OSA1", "SIN2")
PEOPLE = ("ana", "bo", "cy", "dee", "eli")


def fill(path: Path, runs: int) -> None:
    """A database with so many runs, as the journal would have left it (rows only: histories are not read here)."""
    import msgspec

    from engine.hosts.embedded import with_digest

    schema.create_private(path)
    schema.migrate(path)
    connection = schema.connect(path)
    rng = random.Random(7)
    names, weights = [name for name, _ in STATUSES], [weight for _, weight in STATUSES]
    order = list(range(1, runs + 1))
    rng.shuffle(order)
    rows = []
    for number in range(1, runs + 1):
        status = rng.choices(names, weights)[0]
        workflow = WORKFLOWS[6] if number % 20_000 == 0 else rng.choices(WORKFLOWS[:6], (30, 25, 20, 10, 10, 5))[0]
        open_ = status in ("running", "waiting")
        attention = "failed" if status == "failed" else "gate" if status == "waiting" and number % 3 == 0 else ""
        rows.append(
            (
                *(number, f"run-{number}", workflow, "sha256:" + "a" * 64, workflow.replace("-", " "), status, 12),
                *(order[number - 1] * 12, 1.7e9 + number, 1.7e9 + order[number - 1], None if open_ else 1.7e9 + number),
                *("" if open_ else status, "sign-off" if open_ else "", f"step{number % 9}" if open_ else ""),
                *(
                    rng.choice(PEOPLE),
                    0,
                    attention,
                    None,
                    f"site={rng.choice(SITES)} release=4.{number % 10}.{number % 7}",
                ),
            )
        )
    connection.execute("begin")
    connection.executemany(sql.RUN, rows)
    definition = with_digest(linear(9, prefix="step"))
    doc = msgspec.json.encode(definition)
    connection.execute(sql.DEFINITION, (definition.digest, "linear", 1, "", "", "", doc, 0.0, "bench"))
    connection.execute("commit")
    index = TextIndex(connection)
    while index.behind:
        index.catch_up()
    connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()


FILTERS: tuple[dict[str, Any], ...] = (
    {},
    *({"status": status} for status, _ in STATUSES),
    {"status": "open"},
    {"status": "ended"},
    {"status": "attention"},
    *({"workflow": name} for name in WORKFLOWS),
    {"workflow": "incident", "status": "failed"},
    {"workflow": "rare-one", "status": "running"},
    {"workflow": "rare-one", "status": "completed"},
    {"text": "run-77777"},
    {"text": "HAM2"},
    {"text": "release=4.3.3"},
    {"text": "nothing at all"},
    {"text": "ana"},
    {"text": "run"},
    {"text": "step7"},
    {"text": "p7"},
    {"text": "77"},
    {"text": "OSA1", "status": "failed"},
    {"text": "OSA1", "status": "completed"},
    {"text": "rollout", "workflow": "incident"},
    {"text": "zzz", "status": "completed"},
    {"text": "dee", "workflow": "access", "status": "waiting"},
    {"sort": "updated"},
    {"sort": "-started"},
    {"sort": "started", "status": "failed"},
    {"sort": "-started", "workflow": "rare-one"},
)


def run(options: Namespace) -> dict[str, Any]:
    with scratch() as folder:
        path = folder / "bench.db"
        fill(path, options.runs)
        reads = Queries(path)
        times: list[float] = []
        worst: dict[str, float] = {}
        for _ in range(8):
            for asked in FILTERS:
                began = time.perf_counter()
                page = reads.run_page(limit=50, **asked)
                first = time.perf_counter()
                times.append((first - began) * 1e3)
                if page.next:
                    reads.run_page(limit=50, cursor=page.next, **asked)
                    times.append((time.perf_counter() - first) * 1e3)
                name = " ".join(f"{key}={value}" for key, value in asked.items()) or "all"
                worst[name] = max(worst.get(name, 0.0), times[-1], (first - began) * 1e3)
    slowest = sorted(worst.items(), key=lambda item: -item[1])[:3]
    return {
        "p99_ms": round(percentile(times, 0.99), 2),
        "p50_ms": round(percentile(times, 0.50), 2),
        "runs": options.runs,
        "queries": len(times),
        "slowest": {name: round(spent, 1) for name, spent in slowest},
    }
