"""The embedded host: one asyncio process that owns one database, decides commands, records what follows, and carries it
out.

Promises:
- An answered command is on disk. A command repeated with its id gets the answer of the first time.
- An effect is carried out after the commit of the event it comes from, and again (`recovered`) after a crash.
- Runs that only wait for people, timers or events take no memory after a restart: tables find them when they are due.
- While the journal can't be written (`state` is `read_only`) commands from outside are refused with the reason; what
  actions and timers report is kept and recorded as soon as there is room.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from engine.capabilities.record_reads import RecordReads
from engine.capabilities.vault import Vault
from engine.core import commands as c
from engine.core import effects as f
from engine.core.commands import Command, Refusal
from engine.core.deciding import WindowState
from engine.core.definition import Definition
from engine.core.duties import pending
from engine.core.state import State
from engine.hosts.alarms import Alarms, Key
from engine.hosts.book import Book
from engine.hosts.carrier import Carrier
from engine.hosts.feed import Feed, Subscription
from engine.hosts.keeping import Keeper
from engine.hosts.live import Live, LiveRuns, seed_of
from engine.hosts.publishing import Publishing
from engine.hosts.running import Running
from engine.hosts.settings import Answer, Config
from engine.hosts.system import SystemRecords
from engine.hosts.triggers import Triggers
from engine.hosts.turns import Reply, Turn, Turns
from engine.store import statements as sql
from engine.store.errors import StoreClosed, StoreError, StoreFenced, StoreReadOnly
from engine.store.journal import Journal, JournalState
from engine.store.loading import CORE, Loader
from engine.store.reading import Reading
from engine.store.record_projection import RecordProjector
from engine.store.records import Actor, Commit

Json = Any
log = logging.getLogger("quarterdeck.host")

_answer_decoder = msgspec.json.Decoder(Answer)
ID_LIMIT = 200


class Host:
    """One engine on one database. Made by `Host.open`; all methods are for its loop, unless they say otherwise."""

    def __init__(self, config: Config, journal: Journal) -> None:
        self.config, self.journal, self.clock = config, journal, config.clock
        self.loader = Loader(journal.path)
        self.feed = Feed()
        self.runs = LiveRuns(self.loader, config.live)
        self.carrier = Carrier(self, self.loader)
        self.turns = Turns(
            journal=journal,
            runs=self.runs,
            clock=config.clock,
            evaluator=config.evaluator,
            feed=self.feed,
            windows=lambda: self.windows,
            carry=self._committed,
        )
        self.book = Book(self, config.catalogue, RecordReads(Reading(journal.path), config.catalogue))
        self.vault = config.vault or Vault(journal.path.parent / "vault")
        self.keeper = Keeper(self.book, self.vault)
        self.running = self.carrier.running = Running(
            actions=config.actions,
            ports=config.ports,
            policy=config.policy,
            clock=config.clock,
            report=self._report,
            mark=self._mark,
            keeper=self.keeper,
            started_by=self._started_by,
            installation=self.loader.installation,
        )
        self.alarms = self.carrier.alarms = Alarms(
            config.clock, read=self.loader.timers, fire=self.carrier.fire, horizon_s=config.horizon_s
        )
        self.system = SystemRecords(self)
        self.publishing = Publishing(self)
        self.triggers = Triggers(self)
        self.windows: Mapping[str, WindowState] | None = None
        self.on_fenced: Callable[[], None] = lambda: None
        self._number = self.loader.last_number()
        self.asked: dict[str, asyncio.Future[Answer]] = {}
        self._reading = threading.local()
        self._closing = False
        journal.on_state = self._journal_is

    @classmethod
    async def open(cls, config: Config) -> Host:
        """Opens (creates, migrates, checks) the database, takes it over, and sets every run going again.

        Raises StoreInUse, StoreCorrupt, StoreReadOnly, StoreTooNew.
        """
        gc.set_threshold(20_000, 20, 20)  # measured: the default costs a fifth of the CPU of a step
        journal = await asyncio.to_thread(
            Journal.open,
            config.database,
            owner=config.owner,
            now=config.clock.now,
            core=CORE,
            projectors=[
                RecordProjector({entity.kind: entity.table for entity in config.catalogue}),
                *config.projectors,
            ],
        )
        journal.start(asyncio.get_running_loop())
        host = cls(config, journal)
        host.system.note("EngineStarted", {"owner": config.owner, "epoch": journal.epoch})
        await host._recover()
        return host

    async def close(self) -> None:
        """Lets actions go (they are run again at the next start), writes what is queued, closes the database."""
        if self._closing:
            return
        self._closing = True
        self.triggers.close()
        self.alarms.close()
        await self.running.close()
        await self.keeper.settle()
        if self.journal.state == "ok":
            self.system.note("EngineStopped", {"owner": self.config.owner})
        await self.journal.close()
        await asyncio.sleep(0)  # what the last batch answered is delivered
        self.feed.close()
        self.loader.close()

    @property
    def state(self) -> tuple[JournalState, str]:
        """`ok`, `read_only` (with what to do), `fenced`, `closed`."""
        return self.journal.state, self.journal.message

    @property
    def closing(self) -> bool:
        return self._closing

    @property
    def epoch(self) -> int:
        return self.journal.epoch

    # -- commands ----------------------------------------------------------------------------------------------------

    async def start_run(
        self,
        workflow: str,
        inputs: dict[str, Json],
        *,
        id: str,
        actor: Any,
        attributes: dict[str, Json] | None = None,
        trigger: str | None = None,
        parent: str | None = None,
        preview: bool = False,
    ) -> Answer:
        """Starts a run of the newest definition of a workflow; the answer names the run."""
        if (known := await self.known(id)) is not None:
            return known
        definition = self.loader.newest(workflow)
        if definition is None:
            names = ", ".join(self.loader.workflows()[:10])
            fix = f"known here: {names}" if names else "register a definition first"
            refusal = Refusal(code="not_found", reason=f"no workflow {workflow!r} is registered", fix=fix)
            return Answer(seq=self.journal.seq, run="", refusal=refusal)
        by = actor_from(actor)
        number = self._number + 1
        start = c.Start(
            run=f"run-{number}",
            inputs=inputs,
            by=by.id,
            parent=parent,
            trigger=trigger,
            attributes=attributes or {},
        )
        if preview:
            live = Live(start.run, number, definition, State.new(start.run), seed_of(start.run))
            return self._foreseen(live, start)
        self._number = number
        turn = Turn(start.run, start, actor=by, cause=id, id=id)
        turn.birth = (number, definition)
        return await self._ask(turn)

    async def submit(self, run: str, command: Command, *, id: str, actor: Any, preview: bool = False) -> Answer:
        """Asks a run for something. Refusals are answers, not exceptions.

        Raises StoreReadOnly (nothing can be recorded now), StoreFenced, StoreError.
        """
        if (known := await self.known(id)) is not None:
            return known
        if preview:
            live = self.runs.get(run)
            if live is None:
                reason = f"there is no run {run!r}"
                return Answer(seq=self.journal.seq, run=run, refusal=Refusal(code="not_found", reason=reason))
            return self._foreseen(live, command)
        return await self._ask(Turn(run, command, actor=actor_from(actor), cause=id, id=id))

    async def register(self, text: str, *, id: str, actor: Any, source: str = "") -> Answer:
        """Checks and keeps a workflow definition; new runs use it. Raises what the loader raises, with its findings."""
        if self.config.load is None:
            raise StoreError("this host has no loader for definitions")
        definition = await asyncio.to_thread(self.config.load, text)
        return await self.register_definition(definition, text=text, id=id, actor=actor, source=source)

    async def register_definition(
        self, definition: Definition, *, id: str, actor: Any, text: str = "", source: str = ""
    ) -> Answer:
        """Keeps a definition that is already checked."""
        if (known := await self.known(id)) is not None:
            return known
        definition = with_digest(definition)
        result = {"workflow": definition.workflow, "version": definition.version, "digest": definition.digest}
        if self.loader.definition(definition.digest) is not None:
            return Answer(seq=self.journal.seq, run="", result={**result, "already": True})
        taken = self.loader.rows(
            "select digest from definitions where workflow = ? and version = ?",
            (definition.workflow, definition.version),
        )
        if taken:
            refusal = Refusal(
                code="already",
                reason=f"{definition.workflow} version {definition.version} is registered with another content",
                fix="raise `version:` in the definition",
                field="version",
            )
            return Answer(seq=self.journal.seq, run="", refusal=refusal)
        by = actor_from(actor)
        row = (
            *(definition.digest, definition.workflow, definition.version, definition.title, source, text),
            *(msgspec.json.encode(definition), self.clock.now(), by.id),
        )
        answer = await self.system.record(
            "WorkflowRegistered",
            result,
            actor=by,
            cause=id,
            id=id,
            extra=[(sql.DEFINITION, [row])],
            answer=Answer(seq=0, run="", events=("WorkflowRegistered",), result=result),
        )
        self.triggers.refresh()
        return answer

    async def publish(
        self,
        event: str,
        data: dict[str, Json],
        *,
        id: str,
        actor: Any,
        source: str,
        subject: str = "",
        cause: str = "",
    ) -> Answer:
        """Takes an outside event in, once per (source, id), and gives it to the runs that wait for it and to the rules.

        `cause` is the key of the event it follows from, if there is one.
        """
        return await self.publishing.take_in(
            event, data, id=id, actor=actor_from(actor), source=source, subject=subject, cause=cause
        )

    async def redact(self, seq: int, *, reason: str, id: str, actor: Any) -> Answer:
        """Takes the payload of one event of a run that is over out of the history; its digest stays, the chain holds.

        That payload is gone for good, also from the run's snapshot: the run can no longer be opened in full.
        """
        if (known := await self.known(id)) is not None:
            return known
        return await self.system.redact(seq, reason=reason, id=id, actor=actor_from(actor))

    def subscribe(self) -> Subscription:
        """Every event committed from now on."""
        return self.feed.subscribe()

    def answered(self, id: str) -> Answer | None:
        """The stored answer of a command. May be asked in any thread."""
        loader = getattr(self._reading, "loader", None)
        if loader is None:
            loader = self._reading.loader = Loader(self.journal.path)
        stored = loader.answer(id)
        return None if stored is None else _repeated(stored)

    # -- what the parts ask for (`carrier.Asker`) --------------------------------------------------------------------

    def tell(self, run: str, command: Command, cause: str, reply: Reply | None = None) -> None:
        """An internal command: kept and repeated until it is recorded."""
        self.turns.take(Turn(run, command, cause=cause, reply=reply))

    def begin(self, definition: Definition, start: c.Start, cause: str, reply: Reply) -> None:
        """Starts a run that nobody outside asked for."""
        self._number += 1
        turn = Turn(start.run, start, cause=cause, reply=reply)
        turn.birth = (self._number, definition)
        self.turns.take(turn)

    def next_number(self) -> tuple[int, str]:
        """The number and id of a run that is about to start."""
        self._number += 1
        return self._number, f"run-{self._number}"

    def drop_timer(self, key: Key) -> None:
        """Takes a stale timer out of the table."""

        def done(commit: Commit, error: BaseException | None) -> None:
            self.alarms.settled(key, again=error is not None)

        self.system.write([(sql.TIMER_OFF, [key])], done)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _committed(self, live: Live, events: Any, cause: str) -> None:
        if self._closing:
            return
        self.carrier.committed(live, events, cause)
        self.publishing.committed(events)

    def _report(self, run: str, command: Command) -> None:
        self.tell(run, command, "action")

    def _started_by(self, run: str) -> str:
        rows = self.loader.rows("select started_by from runs where id = ?", (run,))
        return str(rows[0][0]) if rows else ""

    def _mark(self, run: str, effect: f.RunAction) -> asyncio.Future[bool]:
        """Records that an `effect: once` action is about to be sent; true when the attempt still holds the step."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def settled(answer: Answer | None, error: BaseException | None) -> None:
            if not future.done():
                future.set_result(error is None and answer is not None and answer.refusal is None)

        command = c.MarkStarted(scope=effect.scope, step=effect.step, fence=effect.fence, owner=self.config.owner)
        self.tell(run, command, "action", settled)
        return future

    def _foreseen(self, live: Live, command: Command) -> Answer:
        decision = self.turns.preview(live, command)
        names = tuple(type(event).__name__ for event in decision.events)
        return Answer(seq=self.journal.seq, run=live.run, events=names, refusal=decision.refusal)

    async def known(self, id: str) -> Answer | None:
        """The answer of a command that was asked before; waits for it when it is still on its way."""
        if not id or len(id) > ID_LIMIT or not id.isprintable():
            raise ValueError(f"a command id is 1 to {ID_LIMIT} printable characters")
        on_its_way = self.asked.get(id)
        if on_its_way is not None:
            return msgspec.structs.replace(await asyncio.shield(on_its_way), repeated=True)
        stored = self.loader.answer(id)
        return None if stored is None else _repeated(stored)

    async def _ask(self, turn: Turn) -> Answer:
        self.check_writable()
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_retrieved)
        id_ = turn.id or ""
        self.asked[id_] = future

        def reply(answer: Answer | None, error: BaseException | None) -> None:
            self.asked.pop(id_, None)
            if future.done():
                return
            if answer is not None:
                future.set_result(answer)
            else:
                future.set_exception(error or StoreError("no answer"))

        turn.reply = reply
        self.turns.take(turn)
        return await asyncio.shield(future)

    def check_writable(self) -> None:
        state, message = self.state
        if self._closing or state == "closed":
            raise StoreClosed("the engine is stopping")
        if state == "fenced":
            raise StoreFenced(message)
        if state == "read_only":
            raise StoreReadOnly(message)

    def _journal_is(self, state: JournalState, message: str) -> None:
        if state == "ok":
            log.warning("the journal can be written again; %d reports were kept", self.turns.held)
            self.turns.resume()
            self.publishing.again()
            self.triggers.plan_all()
            self.alarms.sweep()
        elif state == "fenced":
            log.critical("%s", message)
            self.running.closing = True  # what still runs here belongs to the other engine now
            self.on_fenced()
        else:
            log.error("%s", message)

    async def _recover(self) -> None:
        """Everything that was going on when the last engine ended, from what it recorded."""
        for key, run, held in self.loader.locks():
            if held:
                self.carrier.locks.held(key, run)
        count = 0
        for loaded in self.loader.moving():
            definition = self.loader.definition(loaded.digest)
            if definition is None:
                log.error("%s can't go on: its definition %s is gone", loaded.run, loaded.digest)
                continue
            live = Live(
                loaded.run,
                loaded.number,
                definition,
                loaded.state,
                seed_of(loaded.run),
                attributes=loaded.attributes,
                snapshot_n=loaded.snapshot_n,
            )
            self.runs.add(live)
            for effect in pending(definition, live.state):
                if not isinstance(effect, f.ArmTimer):  # the table arms them
                    self.carrier.do(live.run, effect, "recovery")
            count += 1
            if count % 2000 == 0:
                await asyncio.sleep(0)  # the first runs already move while the last are read
        self.alarms.start()
        self.triggers.refresh()
        self.publishing.recover()


def actor_from(actor: Any) -> Actor:
    """The actor as the journal keeps it, from whatever has the same fields."""
    if isinstance(actor, Actor):
        return actor
    return Actor(
        kind=actor.kind,
        id=actor.id,
        via=getattr(actor, "via", "") or "",
        on_behalf_of=getattr(actor, "on_behalf_of", None),
        origin=getattr(actor, "origin", "") or "",
    )


def with_digest(definition: Definition) -> Definition:
    """The definition with its digest, if the loader did not set one."""
    if definition.digest:
        return definition
    body = msgspec.json.encode(msgspec.structs.replace(definition, digest=""), order="deterministic")
    return msgspec.structs.replace(definition, digest="sha256:" + hashlib.sha256(body).hexdigest())


def _repeated(stored: bytes) -> Answer:
    return msgspec.structs.replace(_answer_decoder.decode(stored), repeated=True)


def _retrieved(future: asyncio.Future[Answer]) -> None:
    """The caller may have gone (a dropped connection): its error was told to nobody, and that is fine."""
    if not future.cancelled():
        future.exception()
