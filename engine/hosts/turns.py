"""One turn of a run: a command is decided on the state in memory, written, and only then answered and carried out.

Rules:
1. Deciding and queueing happen without an await between them: commands of one run stay in order, many runs share a
   commit.
2. Effects come from the events that were committed, never from the state, which may be ahead.
3. A commit that failed costs the state that was decided on; the next command loads it anew. What actions and timers
   report is never lost by that: it is decided again, or kept until the journal can be written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from engine.core import state as core_state
from engine.core.commands import Command, Migrate, Refusal
from engine.core.decide import Decision, WindowState, decide
from engine.core.definition import Definition
from engine.core.evaluator import Evaluator
from engine.core.events import Event
from engine.core.state import State
from engine.hosts.clock import Clock
from engine.hosts.feed import Feed
from engine.hosts.live import Live, LiveRuns, seed_of
from engine.hosts.settings import Answer
from engine.store.errors import StaleCommit, StoreClosed, StoreError, StoreFenced, StoreReadOnly
from engine.store.journal import Journal
from engine.store.lines import attributes_text, awaited, run_line
from engine.store.records import ENGINE, Actor, Commit

log = logging.getLogger("quarterdeck.host")

SMALL = 4096
"""Bytes below which a snapshot goes with every commit."""
EVERY = 16
"""Commits between snapshots of a larger state."""
TRIES = 3
"""How often a command is decided anew after its commit was refused through no fault of its own."""

Reply = Callable[[Answer | None, BaseException | None], None]
_encode = msgspec.json.Encoder().encode
_NOT_FOUND = Refusal(code="not_found", reason="there is no such run")


class Turn:
    """One command on its way. `birth` is given with a `Start`: number and definition."""

    __slots__ = (
        "actor",
        "birth",
        "cause",
        "command",
        "extra",
        "id",
        "live",
        "names",
        "refusal",
        "reply",
        "run",
        "tries",
    )

    def __init__(
        self,
        run: str,
        command: Command,
        *,
        actor: Actor = ENGINE,
        cause: str = "",
        id: str | None = None,
        reply: Reply | None = None,
        extra: Sequence[tuple[str, Sequence[tuple[Any, ...]]]] = (),
    ) -> None:
        self.run, self.command, self.actor, self.cause = run, command, actor, cause
        self.id, self.reply, self.extra = id, reply, extra
        self.birth: tuple[int, Definition] | None = None
        self.live: Live | None = None
        self.refusal: Refusal | None = None
        self.names: tuple[str, ...] = ()
        self.tries = 0


class Turns:
    """Takes commands to decisions, decisions to the journal, and what was committed to `carry`."""

    def __init__(
        self,
        *,
        journal: Journal,
        runs: LiveRuns,
        clock: Clock,
        evaluator: Evaluator,
        feed: Feed,
        windows: Callable[[], Mapping[str, WindowState] | None],
        carry: Callable[[Live, Sequence[Event], str], None],
    ) -> None:
        self.journal, self.runs, self.clock, self.evaluator, self.feed = journal, runs, clock, evaluator, feed
        self._windows, self._carry = windows, carry
        self._held: list[Turn] = []
        self._listens: dict[str, bool] = {}

    def take(self, turn: Turn) -> None:
        """Decides and queues."""
        try:
            live = self.runs.get(turn.run) if turn.birth is None else self._born(turn.run, turn.birth)
        except StoreError as error:  # its history can't be read (redacted, damaged, newer)
            self._lost(turn, error)
            return
        if live is None:
            self._refuse(turn, _NOT_FOUND)
            return
        turn.live = live
        state, before = live.state, live.state.n
        now = self.clock.now()
        try:
            decision = self._decide(live, turn.command, now)
            events = decision.events
            data = [_encode(event) for event in events]
        except Exception as error:  # noqa: BLE001 - a fault of the engine must not take other runs with it
            self.runs.drop(turn.run)
            self._lost(turn, error)
            return
        turn.refusal = decision.refusal
        if not events and turn.id is None:
            if turn.reply is not None:
                turn.reply(Answer(seq=self.journal.seq, run=turn.run, refusal=decision.refusal), None)
            return
        if before == 0:
            live.attributes = attributes_text(state.attributes)
        if state.digest != live.definition.digest:
            live.definition = self.runs.definition(state.digest) or live.definition
        turn.names = tuple([type(event).__name__ for event in events])
        live.pending += 1
        self.journal.put(
            Commit(
                run=turn.run,
                before=before,
                events=events,
                data=data,
                types=turn.names,
                at=int(now * 1e6),
                actor=turn.actor,
                cause=turn.cause,
                line=run_line(live.number, state, live.definition, now, live.attributes) if events else None,
                snapshot=self._snapshot(live),
                command=turn.id,
                answer=None if turn.id is None else lambda first: self._stored(turn, first),
                waits=self._waits(live),
                extra=turn.extra,
                done=self._done,
                context=turn,
            )
        )

    def preview(self, live: Live, command: Command) -> Decision:
        """What would happen: decided on a copy."""
        copy = core_state.decode(core_state.encode(live.state))
        twin = Live(live.run, live.number, live.definition, copy, live.seed)
        return self._decide(twin, command, self.clock.now())

    def resume(self) -> None:
        """The journal can be written again: what was kept is decided now, in its order."""
        held, self._held = self._held, []
        for turn in held:
            self.take(turn)

    @property
    def held(self) -> int:
        return len(self._held)

    def _born(self, run: str, birth: tuple[int, Definition]) -> Live:
        number, definition = birth
        live = Live(run, number, definition, State.new(run), seed_of(run))
        self.runs.add(live)
        return live

    @staticmethod
    def _lost(turn: Turn, error: Exception) -> None:
        log.error("deciding %s for %s failed", type(turn.command).__name__, turn.run, exc_info=error)
        if turn.reply is not None:
            turn.reply(None, error)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _decide(self, live: Live, command: Command, now: float) -> Decision:
        definition = live.definition
        if isinstance(command, Migrate):
            definition = self.runs.definition(command.digest) or definition
        return decide(
            definition,
            live.state,
            command,
            now=now,
            seed=live.seed,
            evaluator=self.evaluator,
            windows=self._windows(),
        )

    def _snapshot(self, live: Live) -> bytes | None:
        """While it is small with every commit, else with every sixteenth."""
        live.commits += 1
        if live.large and live.commits % EVERY:
            return None
        blob = core_state.encode(live.state)
        live.large = len(blob) > SMALL
        return blob

    def _waits(self, live: Live) -> tuple[tuple[str, str, str], ...] | None:
        """The events the run would take now, if they changed; most definitions take none."""
        listens = self._listens.get(live.definition.digest)
        if listens is None:
            listens = self._listens[live.definition.digest] = listens_for_events(live.definition)
        if not listens:
            return None
        waits = tuple(awaited(live.state, live.definition)) if live.state.open else ()
        if waits == live.waits:
            return None
        live.waits = waits
        return waits

    def _stored(self, turn: Turn, first: int) -> bytes:
        return _encode(self._answer(turn, first))

    @staticmethod
    def _answer(turn: Turn, first: int) -> Answer:
        last = first + len(turn.names) - 1 if turn.names else max(0, first - 1)
        return Answer(seq=last, run=turn.run, events=turn.names, refusal=turn.refusal)

    def _done(self, commit: Commit, error: BaseException | None) -> None:
        turn: Turn = commit.context
        live = turn.live
        if live is None:  # never: a commit is only queued with its live run
            return
        live.pending -= 1
        if error is not None:
            if self.runs.peek(turn.run) is live:
                self.runs.drop(turn.run)
            self._failed(turn, error)
            return
        if commit.events:
            if self.feed.subscriptions:
                self.feed.push(commit)
            self._carry(live, commit.events, turn.cause)
            if not live.state.open:
                self.runs.rest(live)
        if turn.reply is not None:
            turn.reply(self._answer(turn, commit.first), None)

    def _failed(self, turn: Turn, error: BaseException) -> None:
        internal = turn.id is None
        if isinstance(error, StoreReadOnly) and internal:
            self._held.append(turn)
            return
        turn.tries += 1
        again = isinstance(error, StaleCommit) or (internal and not isinstance(error, (StoreFenced, StoreClosed)))
        if again and turn.birth is None and turn.tries <= TRIES:
            self.take(turn)
            return
        if turn.reply is not None:
            turn.reply(None, error)
        elif not isinstance(error, (StoreFenced, StoreClosed)):
            kind = type(turn.command).__name__
            log.error("%s for %s was not recorded: %s", kind, turn.run, error)

    @staticmethod
    def _refuse(turn: Turn, refusal: Refusal) -> None:
        if turn.reply is not None:
            turn.reply(Answer(seq=0, run=turn.run, refusal=refusal), None)


def listens_for_events(definition: Definition) -> bool:
    """Whether any step of it waits for, or is interrupted by, an event."""
    return any(
        step.interrupt or (step.wait is not None and step.wait.event is not None) for step in definition.steps.values()
    )
