"""An approval's way: from the vote handed in, over the commit, to the start of the action it lets go."""

from __future__ import annotations

import asyncio
import time
from argparse import Namespace
from typing import Any

from engine.capabilities.ports import Action
from engine.core.commands import Vote, Voter
from engine.hosts.embedded import Host
from engine.store.queries import Queries
from tests.benchmarks.harness_engine import PERSON, config, gated, percentile, scratch, waiting

OPTIONS = {"runs": 400, "waiting": 5000}


async def run(options: Namespace) -> dict[str, Any]:
    started: dict[str, asyncio.Future[float]] = {}

    async def act(context: Any, values: dict[str, Any]) -> None:
        started[context.run].set_result(time.perf_counter())

    with scratch() as folder:
        host = await Host.open(config(folder, {"act": Action(name="act", run=act, effect="read")}))
        await host.register_definition(gated(), id="register-gated", actor=PERSON)
        await host.register_definition(waiting(), id="register-waiting", actor=PERSON)
        for first in range(0, options.waiting, 500):
            some = range(first, min(first + 500, options.waiting))
            await asyncio.gather(*(host.start_run("resting", {}, id=f"wait-{at}", actor=PERSON) for at in some))
        runs = []
        for at in range(options.runs):
            answer = await host.start_run("gated", {}, id=f"run-{at}", actor=PERSON)
            runs.append(answer.run)
        reads = Queries(folder / "bench.db")
        gates = {gate.run: gate for gate in reads.gate_page(limit=1000).rows}
        while len(gates) < len(runs):
            gates |= {gate.run: gate for gate in reads.gate_rows([f"{run}.1" for run in runs if run not in gates])}
        digests = {run: reads.gate_detail(gates[run].id) for run in runs}
        voter = Voter(person="ana", roles=("approver",))
        acknowledged, moved = [], []
        for run_ in runs:
            detail = digests[run_]
            if detail is None:
                raise RuntimeError(f"{run_} has no gate")
            started[run_] = asyncio.get_running_loop().create_future()
            vote = Vote(gate=detail.gate.id, voter=voter, answer="approve", evidence_digest=detail.evidence_digest)
            asked = time.perf_counter()
            answer = await host.submit(run_, vote, id=f"vote-{run_}", actor=PERSON)
            told = time.perf_counter()
            if answer.refusal is not None:
                raise RuntimeError(answer.refusal.reason)
            acknowledged.append((told - asked) * 1e3)
            moved.append((await started[run_] - asked) * 1e3)
        await host.close()
    return {
        "p50_ms": round(percentile(moved, 0.50), 3),
        "p99_ms": round(percentile(moved, 0.99), 3),
        "ack_p50_ms": round(percentile(acknowledged, 0.50), 3),
        "ack_p99_ms": round(percentile(acknowledged, 0.99), 3),
        "approvals": len(moved),
        "waiting": options.waiting,
    }
