"""`python -m connectors.sandbox.policy_evaluate --job JOB.json`: the bench on which policies are tried.

It reads one job and answers in JSON Lines on standard output, each flushed as it happens. It knows the models by code
names only, so it can't favour one, and it judges success itself; a policy has no say in that.

    describe {model}                                    -> {"event": "described", ...header}
    trials   {models: {code: path}, cases: [{id, code, task, seed, init, attempt}]}
                                                        -> {"event": "trial", id, outcome, rubric, ...} | {"event": "infra", id, error}
    replay   {model, sessions: [{id, file}]}            -> {"event": "session", id, divergence, ...}, {"event": "latency", ...}
    convert  {model, out, precision}                    -> {"event": "converted", path, digest, size}
    record, demonstrate                                 -> files to replay, or to learn from
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from connectors.sandbox.policy_model import (
    MAX_ACCELERATION,
    PERIOD_S,
    PRECISIONS,
    SIMULATOR,
    TASKS,
    BadCheckpoint,
    Numbers,
    Policy,
    decode,
    demonstration,
    digest_of,
    encode,
    expert,
    features,
    trial,
)
from connectors.sandbox.policy_train import say, steps_of

FLAKY = 0.004
"""Share of trials whose first try ends in trouble of the bench itself, as benches do."""


class BadJob(ValueError):
    """A job this bench can't do."""


def _model(path: str) -> Policy:
    if path == "expert":
        raise BadJob("the expert is no model")
    return decode(Path(path).read_bytes())


def describe(job: dict[str, Any]) -> None:
    data = Path(job["model"]).read_bytes()
    policy = decode(data)
    say("described", digest=digest_of(data), size=len(data), **{k: v for k, v in policy.header.items() if k != "event"})


def trials(job: dict[str, Any]) -> None:
    models = {code: _model(path) for code, path in job["models"].items()}
    say("hello", simulator=SIMULATOR, judged_by="bench", period_s=PERIOD_S, tasks=sorted(TASKS))
    done = 0
    for case in job["cases"]:
        task, seed = str(case["task"]), int(case["seed"])
        if task not in TASKS:
            say("infra", id=case["id"], error=f"this bench has no task {task!r}", lasting=True)
            continue
        if int(case.get("attempt", 1)) == 1 and Numbers("bench", case["code"], task, seed).uniform() < FLAKY:
            say("infra", id=case["id"], error="the bench lost its clock", lasting=False)
            continue
        found = trial(task, seed, models[case["code"]].act, case.get("init"))
        done += 1
        say(
            "trial", id=case["id"], outcome="success" if found.success else "failure", rubric=found.rubric,
            duration_s=found.duration_s, safety_events=found.safety_events, mode=found.mode, simulator=SIMULATOR,
        )  # fmt: skip
    say("done", trials=done)


def replay(job: dict[str, Any]) -> None:
    """Open loop: the model's answer beside what was done, along what was seen. A smoke test, not a verdict."""
    policy = _model(job["model"])
    taken: list[float] = []
    say("hello", simulator=SIMULATOR, judged_by="bench", period_s=PERIOD_S, tasks=sorted(TASKS))
    for session in job["sessions"]:
        try:
            steps = list(steps_of(Path(session["file"]), session))
        except (OSError, ValueError, KeyError, TypeError) as error:
            say("infra", id=session["id"], error=f"{error.__class__.__name__}: {error}", lasting=True)
            continue
        total, worst, violations = 0.0, 0.0, 0
        for step in steps:
            task = str(step.get("task", session.get("task", "")))
            seen, act = step["observation"], step["action"]
            before = time.perf_counter_ns()
            ax, ay = policy.act(task, seen)
            taken.append((time.perf_counter_ns() - before) / 1e6)
            far = ((ax - act[0]) ** 2 + (ay - act[1]) ** 2) ** 0.5
            total, worst = total + far, max(worst, far)
            raw = [sum(row[i] * value for i, value in features(task, seen)) for row in policy.weights]
            violations += any(abs(value) > 1.25 * MAX_ACCELERATION for value in raw)
        n = len(steps)
        say(
            "session", id=session["id"], frames=n, divergence=round(total / n, 6) if n else None, worst=round(worst, 6),
            violations=violations,
        )  # fmt: skip
    taken.sort()

    def at(share: float) -> float:
        return round(taken[min(len(taken) - 1, int(share * len(taken)))], 4) if taken else 0.0

    say("latency", p50_ms=at(0.50), p95_ms=at(0.95), p99_ms=at(0.99), frames=len(taken), period_ms=PERIOD_S * 1000)
    say("done", sessions=len(job["sessions"]))


def convert(job: dict[str, Any]) -> None:
    precision = str(job.get("precision", "f64"))
    if precision not in PRECISIONS:
        raise BadJob(f"precision is one of {', '.join(PRECISIONS)}")
    data = encode(_model(job["model"]), precision)
    Path(job["out"]).write_bytes(data)
    say("converted", path=str(job["out"]), digest=digest_of(data), size=len(data), precision=precision)


def record(job: dict[str, Any]) -> None:
    """Recordings of a practised hand on the bench, one JSON Lines file each: what a pack replays."""
    folder = Path(job["out"])
    folder.mkdir(parents=True, exist_ok=True)
    for at, task in enumerate(job.get("tasks") or TASKS):
        seed = int(job.get("seed", 7)) + at
        path = folder / f"session-{seed}-{task.replace(' ', '-')}.jsonl"
        lines = [
            json.dumps({"task": task, "observation": seen, "action": act})
            for seen, act in trial(task, 2_000_000 + seed, expert).path
        ]
        path.write_text("\n".join(lines) + "\n", "utf-8")
        say("recorded", path=str(path), task=task, digest=digest_of(path.read_bytes()))


def demonstrate(job: dict[str, Any]) -> None:
    """Demonstrations as the training program reads them: `shown` lists {task, episodes, skill, seed}."""
    folder = Path(job["out"])
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for one in job["shown"]:
        for at in range(int(one["episodes"])):
            seed = int(one.get("seed", 0)) + at
            steps = demonstration(one["task"], seed, float(one.get("skill", 1.0)))
            split = "val" if at % 8 == 7 else "train"
            about = {"episode": f"{one['task']} {seed}", "split": split, "task": one["task"], "steps": steps}
            lines.append(json.dumps(about))
    (folder / "episodes.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    say("demonstrated", path=str(folder / "episodes.jsonl"), episodes=len(lines))


KINDS = {
    "describe": describe,
    "trials": trials,
    "replay": replay,
    "convert": convert,
    "record": record,
    "demonstrate": demonstrate,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="policy_evaluate", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--job", required=True, type=Path)
    try:
        job = json.loads(parser.parse_args().job.read_text("utf-8"))
        KINDS[job["kind"]](job)
    except BadCheckpoint as error:
        say("error", error="BadModel", message=str(error))
        return 3
    except (OSError, ValueError, KeyError, TypeError) as error:
        say("error", error="BadJob", message=f"{error.__class__.__name__}: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
