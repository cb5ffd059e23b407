"""The whole history's verification: events a second, beside an idle engine, over what is stored."""

from __future__ import annotations

import time
from argparse import Namespace
from typing import Any

import msgspec

from engine.core import events as e
from engine.store import chain, integrity, schema
from engine.store import statements as sql
from engine.store.records import ENGINE, actor_text
from tests.benchmarks.harness_engine import scratch

OPTIONS = {"events": 1_000_000}


def run(options: Namespace) -> dict[str, Any]:
    with scratch() as folder:
        path = folder / "bench.db"
        schema.create_private(path)
        schema.migrate(path)
        connection = schema.connect(path)
        connection.execute("pragma synchronous = off")
        actor, hash_ = actor_text(ENGINE), chain.GENESIS
        for first in range(1, options.events + 1, 20_000):
            rows = []
            for seq in range(first, min(first + 20_000, options.events + 1)):
                run_, n = f"run-{(seq - 1) // 12 + 1}", (seq - 1) % 12 + 1
                event = e.StepCompleted(scope="", step=f"s{n}", fence=n, output={"at": seq}, at=1.7e9 + seq)
                data, at = msgspec.json.encode(event), 1_700_000_000_000_000 + seq
                prev = hash_
                hash_ = chain.link(prev, chain.header(run_, n, "StepCompleted", 1, at, actor, "action"), data)
                rows.append((seq, run_, n, "StepCompleted", 1, at, actor, "action", data, None, prev, hash_))
            connection.execute("begin")
            connection.executemany(sql.EVENT, rows)
            connection.execute("commit")
        connection.execute("pragma wal_checkpoint(truncate)")
        connection.close()
        best, checked = float("inf"), integrity.Verified(ok=False, events=0, head="", seconds=0)
        for _ in range(3):
            began = time.perf_counter()
            checked = integrity.verify(path)
            best = min(best, time.perf_counter() - began)
        size = path.stat().st_size
    return {
        "events_per_s": round(checked.events / best),
        "events": checked.events,
        "ok": checked.ok,
        "bytes_per_event": round(size / max(1, checked.events)),
    }
