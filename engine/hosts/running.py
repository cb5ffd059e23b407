"""Actions under way: one asyncio task each.

Rules:
1. An action is never cancelled because its run is: it is told (`context.cancelled()`) and its answer is waited for.
2. Its time is up: then it is cancelled, and unless it only reads, its effect is in doubt (it may have been sent).
3. Whatever it raises becomes a `Fail` with a name; the text is cleaned and cut, for it may come from a robot.
4. When the host closes, tasks are abandoned without an answer: the run knows that they were scheduled, and a
   restarted host runs them again (`recovered`), reading back what may have been done.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from engine.capabilities.connections import port_of
from engine.capabilities.ports import Action, ActionError, Deferred, InDoubt
from engine.capabilities.vault import Vault
from engine.core.commands import Command, Complete, Defer, Fail
from engine.core.effects import RunAction
from engine.core.events import Failure
from engine.hosts.book import Bound
from engine.hosts.clock import Clock
from engine.hosts.keeping import Keeper
from engine.language.signatures import output_of
from engine.store.records import ENGINE

Json = Any
Report = Callable[[str, Command], None]
Key = tuple[str, str, int]

log = logging.getLogger("quarterdeck.actions")

TEXT = 2_000
"""Characters of an error message that are kept."""
OUTPUT = 8 * 1024 * 1024
"""Bytes above which an output is refused: what is that large belongs into an artifact store, not into a run."""
DETAIL = 16_000
SWEEP_S = 5.0
"""How often far deadlines are looked at; nearer ones have a timer of the loop."""
PATIENCE_S = 20.0
"""Real seconds an attempt gets at least, if its timeout is not shorter anyway: remote systems answer in real time."""
UNWIND_S = 5.0
"""Real seconds an action gets to clean up after its time is up."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
KINDS = frozenset(
    {
        "configuration",
        "validation",
        "expression",
        "authentication",
        "authorization",
        "timeout",
        "communication",
        "conflict",
        "unavailable",
        "unknown",
        "domain",
    }
)


def clean(text: object, limit: int = TEXT) -> str:
    """An error text fit for the journal and a terminal."""
    shown = _CONTROL.sub("?", str(text)[: limit * 2])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


class ActionContext:
    """The `Context` of one attempt."""

    __slots__ = (
        "_bound",
        "_cancelled",
        "_running",
        "attempt",
        "beat",
        "in_doubt",
        "installation",
        "key",
        "path",
        "progress",
        "recovered",
        "run",
    )

    def __init__(self, running: Running, run: str, effect: RunAction) -> None:
        self._running = running
        self.run = run
        scope, step = effect.scope, effect.step
        self.path = f"{scope}.{step.rpartition('.')[2]}" if scope else step
        self.installation = running.installation
        # elsewhere, or set up anew, there is a `run-1` too, and both may use one tracker
        self.key, self.attempt = f"{self.installation}/{effect.key}", effect.attempt
        self.in_doubt, self.recovered = effect.in_doubt, effect.recovered
        self.progress: Json = None
        self.beat = 0.0
        self._cancelled = False
        self._bound: tuple[Bound, Vault] | None = None

    @property
    def records(self) -> Bound:
        return self._for_asker()[0]

    @property
    def vault(self) -> Vault:
        return self._for_asker()[1]

    @property
    def started_by(self) -> str:
        return self._running.started_by(self.run)

    def _for_asker(self) -> tuple[Bound, Vault]:
        if self._bound is None:  # most actions write no records: made when it is needed
            keeper = self._running.keeper
            if keeper is None:
                raise ActionError("NotConfigured", "this host keeps no records", kind="configuration", retryable=False)
            cause = f"{self.run}/{self.path}"
            self._bound = keeper.for_asker(ENGINE, cause, run=self.run, scope=f"{self.run}:{self.key}")
        return self._bound

    def now(self) -> float:
        return self._running.clock.now()

    async def sleep(self, seconds: float) -> None:
        await self._running.clock.sleep(seconds)

    def heartbeat(self, progress: Json = None) -> None:
        self.beat = time.monotonic()
        if progress is not None:
            self.progress = progress

    def cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> None:
        self._cancelled = True

    def port(self, capability: str) -> Any:
        return port_of(self._running.ports, capability, may_wait=True)

    def policy(self, pack: str) -> dict[str, Json]:
        return self._running.policy(pack)


class Running:
    """The actions of all runs."""

    def __init__(
        self,
        *,
        actions: Mapping[str, Action],
        ports: Mapping[str, Any],
        policy: Callable[[str], dict[str, Json]],
        clock: Clock,
        report: Report,
        mark: Callable[[str, RunAction], asyncio.Future[bool]],
        keeper: Keeper | None = None,
        started_by: Callable[[str], str] = lambda run: "",
        installation: Callable[[], str] = lambda: "",
    ) -> None:
        self.keeper, self.started_by = keeper, started_by
        self._find_installation, self._installation = installation, ""
        self.actions, self.ports, self.policy, self.clock = actions, ports, policy, clock
        self._report, self._mark = report, mark
        self._tasks: dict[Key, tuple[asyncio.Task[None], ActionContext, RunAction]] = {}
        self.loop = asyncio.get_running_loop()
        self._watches: set[_Watch] = set()
        self._sweeping = False
        self.closing = False

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def installation(self) -> str:
        if not self._installation:
            self._installation = self._find_installation()
        return self._installation

    def start(self, run: str, effect: RunAction) -> None:
        """Begins an attempt; the same attempt twice is begun once."""
        key = (run, effect.scope, effect.fence)
        if key in self._tasks or self.closing:
            return
        context = ActionContext(self, run, effect)
        task = self.loop.create_task(self._attempt(run, effect, context))
        self._tasks[key] = (task, context, effect)
        task.add_done_callback(lambda done: self._gone(key, done))

    def cancel(self, run: str, scope: str, fence: int) -> None:
        """Tells the attempt that it is no longer wanted."""
        found = self._tasks.get((run, scope, fence))
        if found is not None:
            found[1].cancel()

    def view(self) -> list[tuple[str, str, int, float, Json]]:
        """What runs now: run, path, attempt, last heartbeat (monotonic), progress."""
        return [(run, c.path, c.attempt, c.beat, c.progress) for (run, _, _), (_, c, _) in self._tasks.items()]

    async def close(self) -> None:
        """Lets all go without an answer."""
        self.closing = True
        tasks = [task for task, _, _ in self._tasks.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=UNWIND_S)

    def _gone(self, key: Key, task: asyncio.Task[None]) -> None:
        _, _, effect = self._tasks.pop(key)
        if self.closing:
            return
        if task.cancelled():
            # Cancelled before its first step, or by someone who had no business to: the run must not hang for ever.
            failure = Failure(error="Abandoned", message="the attempt was cancelled from outside", kind="unknown")
            self._report(key[0], _failed(effect, failure, in_doubt=effect.effect != "read"))
        elif (error := task.exception()) is not None:
            log.error("the engine failed while it ran %s of %s", effect.action, key[0], exc_info=error)
            failure = Failure(error="EngineFault", message=clean(repr(error)), kind="unknown")
            self._report(key[0], _failed(effect, failure, in_doubt=effect.effect != "read"))

    async def _attempt(self, run: str, effect: RunAction, context: ActionContext) -> None:
        action = self.actions.get(effect.action)
        if action is None:
            failure = Failure(
                error="NoSuchAction", message=f"no action {effect.action!r} is installed here", kind="configuration"
            )
            self._report(run, _failed(effect, failure, retryable=False))
            return
        if effect.in_doubt and not action.reads_back:
            reason = f"{effect.action} was sent and not answered, and can't be read back"
            failure = Failure(error="InDoubt", message=reason, kind="unknown")
            self._report(run, _failed(effect, failure, in_doubt=True))
            return
        if effect.effect == "once" and not effect.started and not await self._mark(run, effect):
            return  # the attempt no longer holds the step
        answer = await self._answer(run, effect, context, action)
        if answer is not None:
            self._report(run, answer)

    async def _answer(self, run: str, effect: RunAction, context: ActionContext, action: Action) -> Command | None:
        limited = effect.timeout is not None or effect.heartbeat is not None
        try:
            if limited:
                output = await self._in_time(effect, context, action)
            else:
                output = await action.run(context, effect.input)
        except Deferred as later:
            return Defer(
                scope=effect.scope,
                step=effect.step,
                fence=effect.fence,
                recovered=effect.recovered,
                seconds=max(0.0, float(later.seconds)),
                reason=clean(later.reason, 300),
            )
        except ActionError as error:
            return _failed(
                effect,
                Failure(
                    error=clean(error.error, 80),
                    message=clean(error.message),
                    kind=error.kind if error.kind in KINDS else "domain",  # type: ignore[arg-type]
                    detail=_small(error.detail),
                ),
                in_doubt=isinstance(error, InDoubt),
                retryable=error.retryable,
                retry_after=error.retry_after,
            )
        except _TimeIsUp as up:
            failure = Failure(error="Timeout", message=str(up), kind="timeout")
            return _failed(effect, failure, in_doubt=effect.effect != "read")
        except asyncio.CancelledError:
            if self.closing:
                return None
            raise
        except Exception as error:
            name = type(error).__name__
            log.warning("%s of %s raised %s", effect.action, run, name, exc_info=error)
            failure = Failure(error=clean(name, 80), message=clean(error), kind="unknown")
            return _failed(effect, failure, in_doubt=effect.effect == "once")
        if output is not None:
            problem = _unfit(output)
            if problem:
                failure = Failure(error="BadOutput", message=problem, kind="validation")
                return _failed(effect, failure, retryable=False, in_doubt=effect.effect == "once")
            output = output_of(action, output)
        return Complete(scope=effect.scope, step=effect.step, fence=effect.fence, output=output, undo=effect.undo)

    async def _in_time(self, effect: RunAction, context: ActionContext, action: Action) -> Json:
        """Runs the action under its timeout (engine time) and its heartbeat interval."""
        watch = _Watch(self, effect, context)
        if not watch.armed:
            self._watch(watch)
        try:
            return await action.run(context, effect.input)
        except asyncio.CancelledError:
            if watch.up and not self.closing:
                raise _TimeIsUp(watch.up) from None
            raise
        finally:
            watch.close()
            self._watches.discard(watch)

    def _watch(self, watch: _Watch) -> None:
        self._watches.add(watch)
        if not self._sweeping:
            self._sweeping = True
            self.loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        now = time.monotonic()
        for watch in self._watches:
            watch.look_ahead(now)
        self._watches = {watch for watch in self._watches if not watch.armed}
        self._sweeping = bool(self._watches) and not self.closing
        if self._sweeping:
            self.loop.call_later(SWEEP_S, self._sweep)


def _patience(clock: Clock, seconds: float) -> float:
    """Real seconds an attempt gets for `seconds` of the engine's time. What it waits for is real, so a clock that runs
    faster than life does not shorten it below `PATIENCE_S`.
    """
    return max(clock.real_duration(seconds), min(seconds, PATIENCE_S))


class _Watch:
    """Cancels the task it is made in when the attempt's time is up or its heartbeat stops. Nearly every action has a
    timeout, so it is cheap: no task of its own, and the first look is put off to the sweep when there is time.
    """

    __slots__ = ("_beat", "_context", "_due", "_handle", "_loop", "_task", "_words", "armed", "up")

    def __init__(self, running: Running, effect: RunAction, context: ActionContext) -> None:
        clock = running.clock
        self._loop, self._context, self.up, self.armed = running.loop, context, "", False
        self._task = asyncio.current_task()
        now = context.beat = time.monotonic()
        self._due = float("inf") if effect.timeout is None else now + _patience(clock, effect.timeout)
        self._beat = float("inf") if effect.heartbeat is None else _patience(clock, effect.heartbeat)
        self._words = (effect.timeout, effect.heartbeat)
        self._handle: asyncio.TimerHandle | None = None
        self.look_ahead(now)

    def look_ahead(self, now: float) -> None:
        """Sets the loop's timer once it is near; until then the sweep comes by."""
        if not self.armed and min(self._due - now, self._beat) < 2 * SWEEP_S:
            self.armed = True
            self._arm(now)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _arm(self, now: float) -> None:
        wait = min(self._due - now, self._context.beat + self._beat - now)
        if wait != float("inf"):
            self._handle = self._loop.call_later(max(0.0, wait), self._look)

    def _look(self) -> None:
        now = time.monotonic()
        if now >= self._due:
            self.up = f"no answer within {self._words[0]:g} s"
        elif now - self._context.beat >= self._beat:
            self.up = f"no heartbeat for {self._words[1]:g} s"
        else:
            self._arm(now)
            return
        self._context.cancel()
        if self._task is not None:
            self._task.cancel()


class _TimeIsUp(Exception):
    """The attempt's own time, not a TimeoutError of something inside it."""


def _failed(
    effect: RunAction,
    failure: Failure,
    *,
    in_doubt: bool = False,
    retryable: bool = True,
    retry_after: float | None = None,
) -> Fail:
    return Fail(
        scope=effect.scope,
        step=effect.step,
        fence=effect.fence,
        failure=failure,
        undo=effect.undo,
        in_doubt=in_doubt,
        recovered=effect.recovered,
        retry_after=retry_after,
        retryable=retryable,
    )


def _unfit(output: Json) -> str:
    """Why an output can't be recorded; empty when it can."""
    try:
        size = len(msgspec.json.encode(output))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        return f"the output is not JSON: {clean(error, 200)}"
    return "" if size <= OUTPUT else f"the output has {size:,} bytes; the limit is {OUTPUT:,}"


def _small(detail: Json) -> Json:
    if detail is None:
        return None
    try:
        return detail if len(msgspec.json.encode(detail)) <= DETAIL else {"cut": clean(detail, 1000)}
    except (TypeError, ValueError, OverflowError, RecursionError):
        return {"text": clean(detail, 1000)}
