"""Benches are programs, and programs lie, hang, shout and die: what each comes to."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from engine.capabilities.models import runner
from engine.capabilities.models.runner import Programs
from engine.capabilities.ports import ActionError
from tests.unit.models.conftest import Site

HELLO = {"event": "hello", "simulator": "bench-arm/3", "judged_by": "bench"}


def program(folder: Path, body: str) -> list[str]:
    """A bench that does this with its job."""
    path = folder / "bench.py"
    path.write_text(
        f"import json, os, signal, sys, time\njob = json.load(open(sys.argv[2]))\ndef say(**x): print(json.dumps(x), flush=True)\n{body}\n"
    )
    return [sys.executable, str(path)]


async def said(
    folder: Path, body: str, *, wanted: Any = lambda: True, limit_s: float = 20.0, job: Any = None
) -> list[Any]:
    bench = Programs(folder / "jobs")
    return [
        one async for one in bench.lines(program(folder, body), job or {"kind": "x"}, wanted=wanted, limit_s=limit_s)
    ]


async def test_talk_is_ignored_and_answers_are_taken(tmp_path: Path) -> None:
    found = await said(tmp_path, "print('warming up'); print('[1, 2]'); say(event='a', job=job); print('{broken')")
    assert found == [{"event": "a", "job": {"kind": "x"}}]
    assert not list((tmp_path / "jobs").iterdir()), "a job leaves nothing behind"


async def test_it_gets_no_secrets_and_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QD_TOKEN", "secret")
    found = await said(tmp_path, "say(event='e', env=sorted(os.environ), cwd=os.getcwd(), tty=sys.stdin.read())")
    assert (
        "QD_TOKEN" not in found[0]["env"]
        and found[0]["cwd"].startswith(str(tmp_path / "jobs"))
        and found[0]["tty"] == ""
    )


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("sys.exit(3)", "status 3"),
        ("os.kill(os.getpid(), 9)", "status -9"),
        ("print('x' * 400_000)", "a line of more than"),
        ("say(event='error', error='Odd', message='no')", "no"),
        ("sys.stderr.write('gpu on fire\\x1b[2J'); sys.exit(1)", "gpu on fire"),
    ],
)
async def test_a_bench_that_fails_is_worth_another_try_and_says_why(tmp_path: Path, body: str, error: str) -> None:
    with pytest.raises(ActionError, match=error) as refused:
        await said(tmp_path, body)
    assert refused.value.error == "BenchTrouble" and refused.value.retryable and "\x1b" not in refused.value.message


async def test_a_model_it_can_not_read_is_not_tried_again(tmp_path: Path) -> None:
    with pytest.raises(ActionError) as refused:
        await said(tmp_path, "say(event='error', error='BadModel', message='cut'); sys.exit(3)")
    assert refused.value.error == "BadModel" and not refused.value.retryable


async def test_more_lines_than_anyone_needs_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LINES", 100)
    with pytest.raises(ActionError, match="more than 100 lines"):
        await said(tmp_path, "while True: print('{}')")


@pytest.mark.parametrize("stubborn", ["", "signal.signal(15, signal.SIG_IGN)"])
async def test_time_up_or_unwanted_it_is_ended_with_what_it_started(
    tmp_path: Path, stubborn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "GRACE_S", 0.5)
    body = f"{stubborn}\nif os.fork() == 0:\n    time.sleep(60)\nopen('{tmp_path}/pid', 'w').write(str(os.getpgrp()))\ntime.sleep(60)"
    began = time.monotonic()
    with pytest.raises(ActionError, match="no end after"):
        await said(tmp_path, body, limit_s=1.0)
    assert time.monotonic() - began < 10
    await asyncio.sleep(0.1)
    with pytest.raises(ActionError, match="no longer wanted"):
        await said(tmp_path, body, wanted=lambda: False)
    group = int((tmp_path / "pid").read_text())
    alive = [p for p in Path("/proc").glob("[0-9]*/stat") if _group(p) == group and _state(p) != "Z"]
    assert not alive


def _group(path: Path) -> int:
    try:
        return int(path.read_text().rpartition(") ")[2].split()[2])
    except (OSError, IndexError, ValueError):
        return -1


def _state(path: Path) -> str:
    try:
        return path.read_text().rpartition(") ")[2].split()[0]
    except (OSError, IndexError):
        return "Z"


# -- what the trials make of it ----------------------------------------------------------------------------------------


async def ready(site: Site, models: dict[str, bytes], body: str) -> str:
    site.policy["runners"] = {"bench": site.policy["runners"]["bench"]}
    await site.pack({"4.7.3": site.keep(models["today"])}, plan={"n_max": 4, "batch": 4})
    id_ = await site.candidate(models["better"])
    await site.act("models.attach", candidate=id_)
    site.policy["runners"] = {"bench": {"argv": program(site.folder, body)}}
    return id_


TRIAL = "for c in job['cases']: say(event='trial', id=c['id'], outcome='success', rubric=1.0, duration_s=2, safety_events=[], simulator=%s)"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (f"say(**{dict(HELLO, judged_by='policy')!r})", "judge itself"),
        (f"say(**{dict(HELLO, simulator='bench-arm/2')!r})", "bench-arm/2"),
        (f"say(**{HELLO!r})\n{TRIAL % repr('bench-arm/2')}", "different builds"),
    ],
)
async def test_a_bench_that_proves_nothing_is_refused(
    site: Site, models: dict[str, bytes], body: str, says: str
) -> None:
    id_ = await ready(site, models, body)
    with pytest.raises(ActionError, match=says) as refused:
        await site.act("models.evaluate", candidate=id_)
    assert refused.value.error == "BenchUnfit" and not refused.value.retryable and not await site.find("trial")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (f"say(**{HELLO!r})", "unanswered"),
        (f"say(**{HELLO!r})\nsay(event='trial', id=9999, outcome='success', simulator='bench-arm/3')", "not asked for"),
        (f"say(**{HELLO!r})\nsay(event='trial', id=0, outcome='maybe', simulator='bench-arm/3')", "none: maybe"),
        (
            f"say(**{HELLO!r})\nfor _ in 1, 2: say(event='trial', id=0, outcome='success', simulator='bench-arm/3')",
            "not asked for",
        ),
    ],
)
async def test_answers_that_make_no_sense_are_trouble_of_the_bench(
    site: Site, models: dict[str, bytes], body: str, says: str
) -> None:
    id_ = await ready(site, models, body)
    with pytest.raises(ActionError, match=says) as refused:
        await site.act("models.evaluate", candidate=id_)
    assert refused.value.error == "BenchTrouble" and refused.value.retryable


async def test_trouble_is_tried_again_on_the_same_seed_and_a_failure_never(
    site: Site, models: dict[str, bytes]
) -> None:
    body = f"""say(**{HELLO!r})
for c in job['cases']:
    open('{site.folder}/asked', 'a').write(json.dumps(c) + '\\n')
    if c['seed'] == 1 and c['attempt'] == 1: say(event='infra', id=c['id'], error='camera lost')
    elif c['seed'] == 2: say(event='infra', id=c['id'], error='no light')
    else: say(event='trial', id=c['id'], outcome='failure', rubric=0.2, duration_s=3, safety_events=[], simulator='bench-arm/3')"""
    id_ = await ready(site, models, body)
    found = await site.act("models.evaluate", candidate=id_)
    asked = [json.loads(line) for line in (site.folder / "asked").read_text().splitlines()]
    tries = {seed: {c["attempt"] for c in asked if c["seed"] == seed} for seed in range(4)}
    assert tries == {0: {1}, 1: {1, 2}, 2: {1, 2}, 3: {1}}, "a failure of the policy must not be tried again"
    trials = {(t.arm, t.task, t.seed): t for t in await site.find("trial")}
    lost = [t for t in trials.values() if t.seed == 2]
    assert {t.state for t in lost} == {"excluded"} and lost[0].excluded == "infra: no light"
    assert {t.attempts for t in trials.values() if t.seed == 1} == {2}
    assert found["excluded"] == {"infra": len(lost)} and found["verdict"] == "inconclusive"


async def test_the_bench_is_told_code_names_in_mixed_order(site: Site, models: dict[str, bytes]) -> None:
    body = f"open('{site.folder}/job', 'w').write(json.dumps(job))\nsay(**{HELLO!r})\n{TRIAL % repr('bench-arm/3')}"
    id_ = await ready(site, models, body)
    await site.act("models.evaluate", candidate=id_)
    job = (site.folder / "job").read_text()
    assert "candidate" not in job and "baseline" not in job and set(json.loads(job)["models"]) == {"x", "y"}
    codes = [case["code"] for case in json.loads(job)["cases"]]
    assert codes != sorted(codes) and codes != sorted(codes, reverse=True)


async def test_an_engine_that_died_goes_on_from_the_trials_it_has(site: Site, models: dict[str, bytes]) -> None:
    await site.pack({"4.7.3": site.keep(models["today"])}, plan={"n_max": 20, "batch": 5})
    id_ = await site.candidate(models["better"])
    await site.act("models.attach", candidate=id_)
    context = site.context()
    original, looks = context.heartbeat, []

    def beat(progress: Any = None) -> None:
        looks.append(progress)
        original(progress)
        site.cancelled = len(looks) > 8

    context.heartbeat = beat  # type: ignore[method-assign]
    from tests.unit.models.conftest import ACTIONS

    with pytest.raises(ActionError, match="no longer wanted"):
        await ACTIONS["models.evaluate"].run(context, {"candidate": id_})
    before = {t.id for t in await site.find("trial")}
    site.cancelled = False
    await site.act("models.evaluate", candidate=id_)
    trials = await site.find("trial")
    keys = [(t.arm, t.task, t.seed) for t in trials if t.purpose == "sim"]
    assert before and before < {t.id for t in trials} and len(keys) == len(set(keys))
