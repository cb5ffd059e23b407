"""Observations: samples judged one by one until they pass, fail, or time is up. What can't be measured never passes.

A sample is `fail`, `pass`, `unsure` (neither) or `error` (it could not be had, or its condition could not be
evaluated). Rules, in this order:
1. more than `limits.fail` failing samples conclude `fail`; more than `limits.unsure` unsure ones `unsure`;
   `limits.error_in_a_row` errors one after the other `no_data`;
2. a sample that passes, with at least `min_samples` taken and `exposure` true, concludes `pass`, unless `hold` asks to
   wait for the end of `for`;
3. at the end of `for`: with `hold`, `pass` if the newest sample was ready to; else `no_data` when there is none or the
   newest was an error; else `unsure`.
"""

from __future__ import annotations

from typing import Any, Literal

from engine.core import events as e
from engine.core import state as s
from engine.core.deciding import Deciding
from engine.core.definition import Observe, Step
from engine.core.evaluator import ExpressionError
from engine.core.state import Observation, Token, path

Json = Any
Verdict = Literal["pass", "fail", "unsure", "no_data"]

SAMPLE_TIMEOUT = 600.0
ERROR_OF = {"fail": "Fail", "unsure": "Unsure", "no_data": "NoData"}


def sample_input(d: Deciding, token: Token, step: Step, last: Json) -> dict[str, Json]:
    """The input of the next sample; `sample` in it is the output of the one before, so that a source can remember."""
    given: dict[str, Json] = d.evaluator.value(step.with_, d.env(token, {"sample": last})) if step.with_ else {}
    return given


def schedule(d: Deciding, token: Token, step: Step, given: dict[str, Json]) -> None:
    seen, fence = token.observation, d.next_fence()
    number = 1 if seen is None else seen.samples + 1
    entry = fence if seen is None else seen.fence
    d.emit(
        e.StepScheduled(
            scope=token.scope,
            step=step.id,
            fence=fence,
            attempt=number,
            action=step.observe.source if step.observe else "",
            input=given,
            key=f"{d.state.run}/{path(token.scope, step.id)}/{entry}/{number}",
            effect="read" if step.effect == "once" else step.effect,
            at=d.now,
            timeout=SAMPLE_TIMEOUT,
            heartbeat=step.heartbeat,
            sample=True,
        )
    )


def next_sample(d: Deciding, token: Token) -> None:
    """It is time for another sample."""
    step, seen = d.step(token), token.observation
    try:
        given = sample_input(d, token, step, None if seen is None else seen.sample)
    except ExpressionError as error:
        judged(d, token, None, e.Failure(error="ExpressionError", message=str(error), kind="expression"))
        return
    schedule(d, token, step, given)


def judged(d: Deciding, token: Token, output: Json, failure: e.Failure | None = None) -> None:
    """A sample came in, or could not be had."""
    seen, step = token.observation, d.step(token)
    observe = step.observe
    if seen is None or observe is None:
        return
    number = seen.samples + 1
    verdict: Literal["pass", "fail", "unsure", "error"] = "error"
    ready = False
    if failure is None:
        try:
            verdict, ready = _judge(d, token, observe, number, output)
        except ExpressionError as error:
            failure = e.Failure(error="ExpressionError", message=str(error), kind="expression")
    d.emit(
        e.SampleJudged(
            scope=token.scope,
            step=step.id,
            fence=token.fence,
            number=number,
            verdict=verdict,
            at=d.now,
            sample=output,
            failure=failure,
            ready=ready,
        )
    )
    if token.leave is None:
        _weigh(d, token, observe, seen)
    d.touch(token.scope)


def _judge(
    d: Deciding, token: Token, observe: Observe, number: int, sample: Json
) -> tuple[Literal["pass", "fail", "unsure"], bool]:
    env = d.env(token, {"sample": sample})
    if observe.fail is not None and d.evaluator.truth(observe.fail, env):
        return "fail", False
    if not d.evaluator.truth(observe.pass_, env):
        return "unsure", False
    exposed = observe.exposure is None or d.evaluator.truth(observe.exposure, env)
    return "pass", exposed and number >= observe.min_samples


def _weigh(d: Deciding, token: Token, observe: Observe, seen: Observation) -> None:
    limits = observe.limits
    if seen.last == "fail" and seen.fails > limits.fail:
        conclude(d, token, "fail", f"{seen.fails} failing of {seen.samples} samples, {limits.fail} allowed")
    elif seen.last == "error" and seen.errors_in_a_row >= limits.error_in_a_row:
        conclude(d, token, "no_data", f"{seen.errors_in_a_row} samples in a row could not be had")
    elif seen.last == "unsure" and limits.unsure is not None and seen.unsures > limits.unsure:
        conclude(d, token, "unsure", f"{seen.unsures} unsure of {seen.samples} samples, {limits.unsure} allowed")
    elif seen.ready and not observe.hold:
        conclude(d, token, "pass", f"sample {seen.samples} passes")
    elif seen.over:
        time_up(d, token)
    else:
        d.arm(token, token.step, token.fence, "sample", d.now + seen.every)


def time_up(d: Deciding, token: Token) -> None:
    """The time of the observation is over and no sample is on its way."""
    seen = token.observation
    if seen is None or token.phase == s.CALL:
        return
    if seen.ready:
        conclude(d, token, "pass", f"held to the end, {seen.samples} samples")
    elif seen.samples == 0 or seen.last == "error":
        conclude(d, token, "no_data", "time is up and the newest sample could not be had")
    else:
        conclude(d, token, "unsure", f"time is up after {seen.samples} samples, the newest {seen.last}")


def conclude(d: Deciding, token: Token, verdict: Verdict, reason: str) -> None:
    seen = token.observation
    if seen is None:
        return
    d.disarm_all(token)
    d.emit(
        e.ObservationConcluded(
            scope=token.scope,
            step=token.step,
            fence=seen.fence,
            verdict=verdict,
            at=d.now,
            reason=reason,
            samples=seen.samples,
            output=seen.sample,
        )
    )
    if verdict != "pass":
        kind: Any = "unavailable" if verdict == "no_data" else "domain"
        d.emit(
            e.StepFailed(
                scope=token.scope,
                step=token.step,
                fence=token.fence,
                attempt=seen.samples,
                failure=e.Failure(error=ERROR_OF[verdict], message=reason, kind=kind, detail={"samples": seen.samples}),
                at=d.now,
                retryable=False,
                acted=False,
            )
        )
    d.touch(token.scope)
