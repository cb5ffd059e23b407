"""The book: the one place where records are made and changed.

Promises:
- A change that is answered is on disk, with its event, its row and whatever it tells, in one transaction.
- A move the table does not have, or whose guard says no, changes nothing (`RecordError`).
- Changes of one record come one after another, each seeing the last; `expect` refuses one that was decided on an older
  revision. Setting what already stands there is no change and no event.
- A create is done once per key, also after a crash between the commit and the answer.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from engine.capabilities.entities import Catalogue, Entity
from engine.capabilities.record_reads import RecordReads
from engine.capabilities.records import Change, Emit, RecordError
from engine.contract.records import RecordEvent
from engine.hosts.settings import Answer
from engine.store.record_projection import CHANGED
from engine.store.records import SYSTEM, Actor, Commit
from engine.store.statements import COMMAND_ONCE

if TYPE_CHECKING:
    from engine.hosts.embedded import Host

Json = Any
RESERVED = frozenset({"id", "kind", "rev", "state", "created_at", "created_by", "updated_at"})
TITLE = 300


class Book:
    """All records of one engine. Use `bound` to write: every change has an actor and a cause."""

    def __init__(self, host: Host, catalogue: Catalogue, reads: RecordReads) -> None:
        self._host, self.catalogue, self.reads = host, catalogue, reads
        self._numbers: dict[str, int] = {}
        self._locks: dict[tuple[str, str], tuple[asyncio.Lock, int]] = {}

    def bound(self, *, actor: Actor, cause: str, run: str = "", scope: str = "") -> Bound:
        """The book for one asker. `scope` is put before the keys of creates, so that two askers never share one."""
        return Bound(self, actor, cause, run, scope)

    async def write(
        self, changes: Sequence[Change], *, actor: Actor, cause: str, run: str, scope: str
    ) -> tuple[list[Any], int]:
        """All of the changes or none: the records, and the sequence of the last event (0: nothing changed).

        Raises RecordError, and what the journal says.
        """
        self._host.check_writable()
        prepared = [await self._prepared(change, scope) for change in changes]
        told: list[tuple[str, str]] = []
        keys = {(one.kind, one.id) for one, _ in prepared} | {("", command) for _, command in prepared if command}
        async with self._held(keys):
            held: dict[tuple[str, str], dict[str, Json]] = {}
            types: list[str] = []
            data: list[bytes] = []
            for change, command in prepared:
                if command is not None and (known := await self._host.known(command)) is not None:
                    told.append((change.kind, str(known.result)))
                    continue
                told.append((change.kind, change.id))
                body = self._decided(change, held, run)
                if body is None:
                    continue
                types.append(CHANGED)
                data.append(msgspec.json.encode(body))
                for number, emit in enumerate(change.emit):
                    types.append("EventPublished")
                    data.append(msgspec.json.encode(self._published(change, body, emit, number, run)))
            seq = 0
            if types:
                commands = [(command, one.id) for one, command in prepared if command is not None]
                seq = await self._commit(types, data, actor=actor, cause=cause, commands=commands)
            if len(types) != types.count(CHANGED):
                self._host.publishing.recover()
            return [self.reads.get(kind, id_) for kind, id_ in told], seq

    async def answered(self, id_: str, result: Json, *, seq: int = 0, events: tuple[str, ...] = ()) -> Answer:
        """Keeps the answer of a request, so that its repeat gets this one. `seq` of its last event, if it made any."""
        answer = Answer(seq=seq or self._host.journal.seq, run="", events=events, result=result)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(commit: Commit, error: BaseException | None) -> None:
            if not future.done():
                future.set_exception(error) if error is not None else future.set_result(None)

        row = (id_, self._host.clock.now(), "", msgspec.json.encode(answer))
        self._host.system.write([(COMMAND_ONCE, [row])], done)
        await asyncio.shield(future)
        return answer

    # -- deciding ----------------------------------------------------------------------------------------------------

    async def _prepared(self, change: Change, scope: str) -> tuple[Change, str | None]:
        """The change with its id, and for a create the command that makes it happen once."""
        entity = self.catalogue.get(change.kind)
        if entity is None:
            raise RecordError("NoSuchKind", f"there are no records of kind {change.kind!r}")
        wrong = sorted(RESERVED & set(change.set))
        if wrong:
            raise RecordError("BadField", f"{wrong[0]} of a {change.kind} is kept by the book", field=wrong[0])
        if not change.key:
            if not change.id:
                raise RecordError("NoSuchRecord", f"which {change.kind}? the change names none", field="id")
            return change, None
        command = _command(f"record:{change.kind}:{scope}:{change.key}")
        known = await self._host.known(command)
        if known is not None:
            return msgspec.structs.replace(change, id=str(known.result)), command
        id_ = change.id or self._next(entity)
        return msgspec.structs.replace(change, id=id_), command

    def _next(self, entity: Entity) -> str:
        number = self._numbers.get(entity.kind)
        if number is None:
            number = self.reads.newest_number(entity)
        self._numbers[entity.kind] = number + 1
        return f"{entity.prefix}-{number + 1}"

    def _decided(
        self, change: Change, held: dict[tuple[str, str], dict[str, Json]], run: str
    ) -> dict[str, Json] | None:
        """The event's body; None when nothing would change. `held` has what earlier changes of the batch made."""
        entity = self.catalogue[change.kind]
        key = (change.kind, change.id)
        stored = held.get(key) or self.reads.plain(*key)
        if change.key and stored is not None:
            raise RecordError("Exists", f"{change.kind} {change.id} is there already")
        if not change.key and stored is None:
            raise RecordError("NoSuchRecord", f"there is no {change.kind} {change.id[:80]}")
        before = stored or {}
        rev, from_ = int(before.get("rev") or 0), str(before.get("state") or "")
        if change.expect is not None and change.expect != rev:
            raise RecordError(
                "Conflict", f"{change.kind} {change.id} was changed meanwhile (revision {rev}, not {change.expect})",
                fix="look at it again",
            )  # fmt: skip
        to = change.to or from_ or entity.start[0]
        if not before and to not in entity.start:
            raise RecordError("IllegalMove", f"a {change.kind} begins as {' or '.join(entity.start)}, not as {to}")
        if before and from_ == to and all(n in before and before[n] == v for n, v in change.set.items()):
            return None
        fixed = set(entity.immutable_in.get(from_, ())) & {n for n, v in change.set.items() if before.get(n) != v}
        if fixed:
            name = min(fixed)
            raise RecordError(
                "IllegalMove", f"{name} of {change.kind} {change.id} no longer changes: it is {from_}", field=name
            )
        after = {**before, **change.set, "kind": change.kind, "id": change.id, "rev": rev + 1, "state": to}
        if len(str(after.get("title", ""))) > TITLE:
            after["title"] = change.set["title"] = str(after["title"])[: TITLE - 1] + "…"
        try:
            record = msgspec.convert(after, entity.shape, strict=False)
        except msgspec.ValidationError as error:
            field = str(error).rpartition("`$.")[2].rstrip("`") if "`$." in str(error) else ""
            raise RecordError("BadField", f"{change.kind} {change.id}: {error}", field=field) from error
        unknown = sorted(set(change.set) - set(entity.shape.__struct_fields__))
        if unknown:
            raise RecordError("BadField", f"a {change.kind} has no field {unknown[0]!r}", field=unknown[0])
        if before and (no := entity.why_not(from_, to, record, change.facts)):
            raise RecordError(no[0], no[1])
        held[key] = after
        body: dict[str, Json] = {
            "type": CHANGED, "kind": change.kind, "id": change.id, "rev": rev + 1, "from": from_, "to": to,
            "set": change.set, "reason": change.reason[:2000],
        }  # fmt: skip
        if run:
            body["run"] = run
        if change.facts:
            body["facts"] = change.facts
        return body

    def _published(
        self, change: Change, body: Mapping[str, Json], emit: Emit, number: int, run: str
    ) -> dict[str, Json]:
        return {
            "type": "EventPublished",
            "event": emit.event,
            "id": f"{change.kind}/{change.id}/{body['rev']}/{number}",
            "source": f"/quarterdeck/records/{change.kind}/{change.id}",
            "subject": emit.subject or change.id,
            "data": emit.data,
            "run": run,
        }

    # -- writing -----------------------------------------------------------------------------------------------------

    async def _commit(
        self,
        types: Sequence[str],
        data: Sequence[bytes],
        *,
        actor: Actor,
        cause: str,
        commands: Sequence[tuple[str, str]],
    ) -> int:
        host = self._host
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def done(commit: Commit, error: BaseException | None) -> None:
            if error is None:
                host.feed.push(commit)
            if not future.done():
                future.set_exception(error) if error is not None else future.set_result(commit.first + len(types) - 1)

        now = host.clock.now()
        extra: list[tuple[str, Sequence[tuple[Any, ...]]]] = []
        if commands:
            rows = [(c, now, "", msgspec.json.encode(Answer(seq=0, run="", result=id_))) for c, id_ in commands]
            extra.append((COMMAND_ONCE, rows))
        host.journal.put(
            Commit(
                run=SYSTEM, before=0, events=(), types=types, data=data, at=int(now * 1e6), actor=actor, cause=cause[:200],
                done=done, extra=extra,
            )
        )  # fmt: skip
        return await asyncio.shield(future)

    @asynccontextmanager
    async def _held(self, keys: Iterable[tuple[str, str]]) -> AsyncIterator[None]:
        """These records are nobody else's to change meanwhile; taken in order, so that two askers never wait for each other."""
        async with AsyncExitStack() as stack:
            for key in sorted(keys):
                lock, users = self._locks.get(key, (None, 0))
                lock = lock or asyncio.Lock()
                self._locks[key] = (lock, users + 1)
                stack.callback(self._let_go, key)
                await stack.enter_async_context(lock)
            yield

    def _let_go(self, key: tuple[str, str]) -> None:
        lock, users = self._locks[key]
        if users <= 1:
            del self._locks[key]
        else:
            self._locks[key] = (lock, users - 1)


class Bound:
    """The book for one asker (`engine.capabilities.records.Records`)."""

    def __init__(self, book: Book, actor: Actor, cause: str, run: str, scope: str) -> None:
        self._book, self._actor, self._cause, self._run, self._scope = book, actor, cause, run, scope
        self.seq = 0
        """The last event this asker made; 0 before any."""

    async def create(
        self,
        kind: str,
        fields: Mapping[str, Json],
        *,
        key: str,
        id: str = "",
        state: str = "",
        reason: str = "",
        emit: Sequence[Emit] = (),
        facts: Mapping[str, Json] | None = None,
    ) -> Any:
        change = Change(
            kind=kind,
            id=id,
            to=state,
            set=_plain(fields),
            reason=reason,
            emit=tuple(emit),
            facts=dict(facts or {}),
            key=key,
        )
        return (await self.change_many((change,)))[0]

    async def change(
        self,
        kind: str,
        id: str,
        *,
        to: str = "",
        set: Mapping[str, Json] | None = None,
        reason: str = "",
        emit: Sequence[Emit] = (),
        expect: int | None = None,
        facts: Mapping[str, Json] | None = None,
    ) -> Any:
        change = Change(
            kind=kind,
            id=id,
            to=to,
            set=_plain(set or {}),
            reason=reason,
            emit=tuple(emit),
            expect=expect,
            facts=dict(facts or {}),
        )
        return (await self.change_many((change,)))[0]

    async def change_many(self, changes: Sequence[Change]) -> list[Any]:
        if not changes:
            return []
        found, seq = await self._book.write(
            changes, actor=self._actor, cause=self._cause, run=self._run, scope=self._scope
        )
        self.seq = max(self.seq, seq)
        return found

    async def get(self, kind: str, id: str) -> Any | None:
        return self._book.reads.get(kind, id)

    async def find(
        self,
        kind: str,
        *,
        state: str | Sequence[str] = (),
        where: Mapping[str, Json] | None = None,
        text: str = "",
        limit: int = 200,
        order: str = "-updated_at",
    ) -> list[Any]:
        return self._book.reads.find(kind, state=state, where=where, text=text, limit=limit, order=order)

    async def history(self, kind: str, id: str) -> list[RecordEvent]:
        return self._book.reads.history(kind, id)


def _plain(fields: Mapping[str, Json]) -> dict[str, Json]:
    """Structs and tuples as JSON has them, so that what is compared is what is stored."""
    found: dict[str, Json] = msgspec.json.decode(msgspec.json.encode(dict(fields)))
    return found


def _command(name: str) -> str:
    """A command id of bounded length and printable text."""
    if len(name) <= 150 and name.isprintable():
        return name
    return f"record:{hashlib.sha256(name.encode()).hexdigest()}"
