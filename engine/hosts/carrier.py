"""Carries out the effects of committed events: actions, timers, locks, children, events to other runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from engine.core import commands as c
from engine.core import effects as f
from engine.core.definition import Definition
from engine.core.duties import effects
from engine.core.events import Event, Failure
from engine.core.state import State
from engine.hosts.alarms import Alarms, Key
from engine.hosts.live import Live
from engine.hosts.locks import Locks
from engine.hosts.running import Running
from engine.hosts.settings import Answer
from engine.store.loading import Loader

log = logging.getLogger("quarterdeck.host")
Json = Any


class Asker(Protocol):
    """What the carrier needs of the host."""

    def tell(self, run: str, command: c.Command, cause: str, reply: Callable[..., None] | None = None) -> None: ...
    def begin(self, definition: Definition, start: c.Start, cause: str, reply: Callable[..., None]) -> None: ...
    def drop_timer(self, key: Key) -> None: ...


class Carrier:
    """Dispatches effects. `notify` is told of gates, reminders and escalations (run, effect)."""

    def __init__(self, host: Asker, loader: Loader) -> None:
        self._host, self._loader = host, loader
        self.running: Running
        self.alarms: Alarms
        self.locks = Locks(self._grant, self._deny)
        self.notify: list[Callable[[str, f.Notify], None]] = []

    def committed(self, live: Live, events: Sequence[Event], cause: str) -> None:
        """Everything that follows from these events."""
        for event in events:
            for effect in effects(live.state, event):
                self.do(live.run, effect, cause)

    def do(self, run: str, effect: f.Effect, cause: str) -> None:
        match effect:
            case f.RunAction():
                self.running.start(run, effect)
            case f.ArmTimer():
                self.alarms.arm((run, effect.scope, effect.step, effect.fence, effect.purpose), effect.due)
            case f.DisarmTimer():
                self.alarms.disarm((run, effect.scope, effect.step, effect.fence, effect.purpose))
            case f.CancelAction():
                self.running.cancel(run, effect.scope, effect.fence)
            case f.TakeLock():
                self.locks.take(effect.key, run, effect.limit, effect.queue)
            case f.FreeLock():
                self.locks.free(effect.key, run)
            case f.StartChild():
                self._start_child(run, effect, cause)
            case f.CancelChild():
                self._host.tell(effect.child, c.Cancel(by=f"run:{run}", reason="the parent was cancelled"), cause)
            case f.TellParent():
                self._tell_parent(run, effect, cause)
            case f.Publish():
                pass  # it stands in the outbox since the commit; the host delivers from there
            case f.Notify():
                for hook in self.notify:
                    hook(run, effect)
            case _:
                log.error("no one carries out %s of %s", type(effect).__name__, run)

    # -- timers ------------------------------------------------------------------------------------------------------

    def fire(self, key: Key) -> None:
        """A timer is due: the run decides what that means."""
        run, scope, step, fence, purpose = key

        def settled(answer: Answer | None, error: BaseException | None) -> None:
            if error is not None:
                self.alarms.settled(key, again=True)
            elif answer is None or answer.refusal is None:
                self.alarms.settled(key)
            elif answer.refusal.code == "suspended":
                self.alarms.settled(key, again=True)  # it stays due; the next sweep asks again
            else:
                self._host.drop_timer(key)  # stale: its step went on without it

        self._host.tell(
            run, c.FireTimer(scope=scope, step=step, fence=fence, purpose=purpose), f"timer:{purpose}", settled
        )

    # -- locks -------------------------------------------------------------------------------------------------------

    def _grant(self, run: str, key: str) -> None:
        def settled(answer: Answer | None, error: BaseException | None) -> None:
            if error is None and answer is not None and not answer.events:
                self.locks.free(key, run)  # the run ended, or asks no longer

        self._host.tell(run, c.GrantLock(key=key), "lock", settled)

    def _deny(self, run: str, key: str, holders: tuple[str, ...]) -> None:
        self._host.tell(run, c.DenyLock(key=key, holders=holders), "lock")

    # -- children ----------------------------------------------------------------------------------------------------

    def _start_child(self, run: str, effect: f.StartChild, cause: str) -> None:
        known = self._loader.load(effect.child)
        if known is not None:
            if not known.state.open and known.state.status != "new":
                self._host.tell(run, ended(effect, effect.child, known.state), f"run:{effect.child}")
            return
        definition = self._loader.newest(effect.workflow)
        if definition is None:
            failure = Failure(
                error="NoSuchWorkflow", message=f"no workflow {effect.workflow!r} is registered", kind="configuration"
            )
            self._fail_child(run, effect, failure)
            return
        start = c.Start(
            run=effect.child,
            inputs=effect.inputs,
            by=f"run:{run}",
            parent=run,
            parent_scope=effect.scope,
            parent_step=effect.step,
            parent_fence=effect.fence,
        )

        def settled(answer: Answer | None, error: BaseException | None) -> None:
            if error is not None:
                failure = Failure(error="NotStarted", message=str(error)[:500], kind="unknown")
                self._fail_child(run, effect, failure)
            elif answer is not None and answer.refusal is not None:
                failure = Failure(error="ChildRefused", message=answer.refusal.reason[:500], kind="validation")
                self._fail_child(run, effect, failure)

        self._host.begin(definition, start, cause, settled)

    def _fail_child(self, run: str, effect: f.StartChild, failure: Failure) -> None:
        command = c.EndChild(
            scope=effect.scope,
            step=effect.step,
            fence=effect.fence,
            child=effect.child,
            status="failed",
            failure=failure,
        )
        self._host.tell(run, command, f"run:{effect.child}")

    def _tell_parent(self, run: str, effect: f.TellParent, cause: str) -> None:
        command = c.EndChild(
            scope=effect.scope,
            step=effect.step,
            fence=effect.fence,
            child=run,
            status=effect.status,
            output=effect.output,
            failure=None if effect.failure is None else msgspec.convert(effect.failure, Failure),
        )
        self._host.tell(effect.parent, command, f"run:{run}")


def ended(effect: f.StartChild, child: str, state: State) -> c.EndChild:
    """What a child that ended long ago has to say."""
    return c.EndChild(
        scope=effect.scope,
        step=effect.step,
        fence=effect.fence,
        child=child,
        status=state.status,
        output=state.output,
        failure=state.cause if state.status != "completed" else None,
    )
