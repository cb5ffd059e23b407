"""The remote systems of a living engine: which are there, how each is, what was asked of it. The port `systems`.

What people decided about a system stands in its record; here it is made true. A system of the settings has a record too, so
that both kinds are suspended, synced and looked at alike. One that can't be built keeps the engine from nothing: it is there
with its reason.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from engine.capabilities.connections import Connections, System, close_all, sign_of_life
from engine.capabilities.ports import ActionError, Clock
from engine.capabilities.records import Records
from engine.capabilities.secrets import Secrets
from engine.contract.system import ConnectorHealth
from engine.contract.systems import (
    CallView,
    FeedView,
    RightView,
    SecretView,
    SyncedFeed,
    SystemRecord,
    SystemView,
    TestView,
)
from engine.store.errors import StoreError

Json = Any
log = logging.getLogger("quarterdeck.systems")
CHECK_S = 30.0
"""Real seconds between looks at the remote systems."""
ANSWER_S = 25.0
"""Real seconds a system gets to say how it is: one that hangs holds up nobody else."""
RIGHTS_S = 900.0
"""Real seconds after which the rights of the credentials are asked again."""
TESTED_S = 20.0
"""Real seconds for which a test of the same settings is not done again (the preview, then the act)."""
MOST = 10_000


class Follower(Protocol):
    """Who mirrors the objects of systems (`engine.hosts.syncing`)."""

    def follow(self, system: str, ports: Sequence[Any]) -> None:
        """From now on its feeds are mirrored, through these implementations."""
        ...

    noticed: Callable[[str], None]
    """Called with a system whose feed failed for the first time."""

    def pause(self, system: str) -> None: ...
    def nudge(self, system: str) -> None:
        """It answers again."""
        ...

    def hint(self, system: str) -> None: ...
    async def forget(self, system: str) -> None:
        """Stops, and drops what was mirrored."""
        ...

    async def sync(self, system: str, feed: str = "", *, full: bool = False) -> Sequence[SyncedFeed]: ...
    def feeds(self, system: str) -> tuple[FeedView, ...]: ...


class Look(Struct):
    """What a system last said of itself."""

    health: str = "unknown"
    says: str = ""
    error: str = ""
    checked_at: float = 0.0
    failing_since: float = 0.0
    latency_s: float = 0.0
    rights: tuple[RightView, ...] = ()
    rights_at: float = 0.0


class Systems:
    """Made by the composition root; `begin` once there is a book."""

    def __init__(self, connections: Connections, secrets: Secrets, clock: Clock) -> None:
        self.connections, self.secrets, self._clock = connections, secrets, clock
        self._looks: dict[str, Look] = {}
        self._tested: dict[bytes, tuple[float, TestView]] = {}
        self._follower: Follower | None = None
        self._followed: dict[str, tuple[int, ...]] = {}
        self._looking: set[asyncio.Task[Look]] = set()
        self.changed: Callable[[], None] = lambda: None
        """Called when a system was added or made anew."""

    def restore(self, records: Sequence[bytes]) -> None:
        """Builds the systems that were added, from their records as stored, before anything asks for them."""
        for stored in records:
            record = msgspec.json.decode(stored, type=SystemRecord)
            if record.id not in self.connections.systems:
                self.take(record)
                if record.state == "suspended":
                    self.connections.suspend(record.id, "suspended")

    async def begin(self, records: Records, follower: Follower) -> None:
        """Brings records and systems together: the settings' systems get their records, the added ones are built."""
        self._follower = follower
        follower.noticed = self._noticed
        try:
            await self._reconcile(records)
        except StoreError as error:  # the systems are there all the same, and their records follow at the next start
            log.error("what the settings say of systems could not be recorded: %s", error)
        self.followed()

    async def _reconcile(self, records: Records) -> None:
        known = await records.find("system", limit=MOST, order="created_at")
        found: dict[str, SystemRecord] = {each.id: each for each in known}
        for system in list(self.connections.systems.values()):
            if system.origin == "settings":
                found[system.name] = await self._recorded(records, found.get(system.name), system)
        for record in found.values():
            if record.origin == "settings" and record.id not in self.connections.systems and record.state != "removed":
                await records.change("system", record.id, to="removed", reason="no longer in the settings")
            if record.state == "suspended":
                self.connections.suspend(record.id, "suspended")

    async def _recorded(self, records: Records, known: SystemRecord | None, system: System) -> SystemRecord:
        """The record of a system of the settings, as the settings now are."""
        fields: dict[str, Json] = {**fields_of(system.name, system.config), "origin": "settings"}
        if known is None:
            made: SystemRecord = await records.create(
                "system", fields, key=f"system/{system.name}", id=system.name, reason="it stands in the settings"
            )
            return made
        to = "active" if known.state == "removed" else ""
        changed: SystemRecord = await records.change(
            "system", system.name, to=to, set=fields, reason="as the settings say"
        )
        return changed

    # -- coming and going --------------------------------------------------------------------------------------------

    def take(self, record: SystemRecord) -> None:
        """Makes an added system live, or anew with other settings. What can't be built stays, with the reason."""
        config = config_of(record)
        try:
            system = self.connections.plan(record.id, config)
        except ActionError as error:
            log.error("%s can't be used: %s", record.id, error.message)
            self._looks[record.id] = Look(health="failing", error=error.message, failing_since=self._clock.now())
            self.connections.drop(record.id)
            self.connections.lost[record.id] = error.message
            return
        old = self.connections.systems.get(record.id)
        system.suspended = old.suspended if old is not None else ""
        try:
            self.connections.add(system)
        except ActionError as error:
            log.error("%s can't be used: %s", record.id, error.message)
            self.connections.broken(system, error.message)
        self._looks.pop(record.id, None)
        self.followed()
        self.changed()

    async def gone(self, name: str) -> None:
        """Takes a system out, with what was mirrored of it."""
        self.connections.drop(name)
        self._looks.pop(name, None)
        self._followed.pop(name, None)
        if self._follower is not None:
            await self._follower.forget(name)
        self.followed()

    def suspend(self, name: str, why: str) -> None:
        """Nothing is read from it or written to it until it is resumed (`why` empty)."""
        self.connections.suspend(name, why)
        self._looks.pop(name, None)
        self.followed()

    def secret_changed(self, entry: str) -> tuple[str, ...]:
        """Makes those anew that use this entry of the keyring; their names."""
        self._tested.clear()
        users = self.users(entry)
        for name in users:
            self.connections.rebuild(name)
            self._looks.pop(name, None)
        self.followed()
        return users

    def first(self, capability: str) -> str:
        """The name of the system that is asked when none is named; empty when there is none."""
        return self.connections.first(capability)

    def users(self, entry: str) -> tuple[str, ...]:
        """The systems that use an entry of the keyring."""
        return tuple(s.name for s in list(self.connections.systems.values()) if entry in s.entries.values())

    def followed(self) -> None:
        """Brings what is mirrored in line with the systems there are now."""
        if self._follower is None:
            return
        for system in list(self.connections.systems.values()):
            ports = () if system.suspended else tuple(one for one in system.implementations if is_source(one))
            made_of = tuple(id(one) for one in ports)
            if self._followed.get(system.name, ()) == made_of:
                continue
            self._followed[system.name] = made_of
            if ports:
                self._follower.follow(system.name, ports)
            else:
                self._follower.pause(system.name)
        for name in [name for name in self._followed if name not in self.connections.systems]:
            del self._followed[name]
            self._follower.pause(name)

    async def sync(self, name: str, feed: str = "", *, full: bool = False) -> tuple[SyncedFeed, ...]:
        """Reads its feeds now. Raises ActionError `NoSuchFeed`."""
        return () if self._follower is None else tuple(await self._follower.sync(name, feed, full=full))

    def hint(self, name: str) -> None:
        """Something happened there (a webhook said so): its feeds are read soon, not only when their time comes."""
        if self._follower is not None:
            self._follower.hint(name)

    # -- looking -----------------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Looks at every system again and again."""
        while True:
            await self.look_at_all()
            await asyncio.sleep(CHECK_S)

    def _noticed(self, name: str) -> None:
        task = asyncio.get_running_loop().create_task(self.look_at(name))
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    async def look_at_all(self) -> None:
        await asyncio.gather(*(self.look_at(name) for name in list(self.connections.systems)))

    async def look_at(self, name: str) -> Look:
        """Asks one system how it is."""
        system = self.connections.systems.get(name)
        if system is None or system.suspended or system.error:
            look = Look(error=system.error) if system is not None else Look()
            look.health = "failing" if look.error else "unknown"
            self._looks[name] = look
            return look
        known = self._looks.get(name, Look())
        tested = await self._ask(system, system.implementations, rights=time.time() - known.rights_at > RIGHTS_S)
        now = self._clock.now()
        look = Look(
            health="ok" if tested.ok else "failing",
            says=tested.says or known.says,
            error=tested.error,
            checked_at=now,
            failing_since=0.0 if tested.ok else known.failing_since or now,
            latency_s=tested.took_s,
            rights=tested.rights or known.rights,
            rights_at=time.time() if tested.rights else known.rights_at,
        )
        if self.connections.systems.get(name) is system:
            self._looks[name] = look
            if tested.ok and known.health == "failing" and self._follower is not None:
                self._follower.nudge(name)
        return look

    async def test(self, name: str, config: Mapping[str, Json], *, fresh: bool = False) -> TestView:
        """What a system with these settings says, apart from the one that may be there. Raises ActionError `NotConfigured`
        when they can't even be tried."""
        key = msgspec.json.encode([name, config], order="deterministic")
        known = self._tested.get(key)
        if known is not None and known[0] > time.monotonic() and not fresh:
            return known[1]
        await self.loaded(str(config.get("kind", "")))
        system = self.connections.plan(name, config)
        built = self.connections.trial(system)
        try:
            found = (await self._ask(system, built, rights=True)).view()
        finally:
            await close_all(built)
        self._tested = {k: v for k, v in self._tested.items() if v[0] > time.monotonic()}
        self._tested[key] = (time.monotonic() + TESTED_S, found)
        return found

    async def _ask(self, system: System, built: Sequence[Any], *, rights: bool) -> _Tested:
        began = time.monotonic()
        found = _Tested(reads=_reads(built), traits=_traits(system))
        try:
            async with asyncio.timeout(ANSWER_S):
                said = await sign_of_life(built)
                found.ok, found.says = not said.startswith("error: "), said
                found.took_s = time.monotonic() - began
                if not found.ok:
                    found.says, found.error = "", said.removeprefix("error: ")
                elif rights:
                    found.rights = await _rights(built)
        except TimeoutError:
            found.ok, found.error = False, f"did not answer in {ANSWER_S:.0f} s"
        except ActionError as error:  # of the rights: that they can't be asked says nothing against the system
            found.error = "" if found.ok else error.message
        except Exception as error:
            log.exception("%s could not be looked at", system.name)
            found.ok, found.error = False, f"its connector failed: {type(error).__name__}"
        return found

    async def loaded(self, kind: str) -> None:
        """Imports a connector, in a thread: some bring much with them."""
        load = self.connections.kinds.get(kind)
        if load is not None:
            try:
                await asyncio.to_thread(load)
            except Exception as error:  # noqa: BLE001 - said again, in words, by whoever plans with it
                log.debug("connector %s: %s", kind, error)

    # -- showing (may be called in threads) --------------------------------------------------------------------------

    def view(self, record: SystemRecord, *, secrets: bool = False) -> SystemView:
        """A system with how it is now. With `secrets`: whether each is in the keyring (which has to be opened)."""
        system, look = self.connections.systems.get(record.id), self._looks.get(record.id, Look())
        feeds = self._follower.feeds(record.id) if self._follower is not None and record.state != "removed" else ()
        view = SystemView(**{name: getattr(record, name) for name in record.__struct_fields__})
        view = msgspec.structs.replace(
            view,
            health="unknown" if record.state != "active" else look.health,
            says=look.says,
            error=system.error or look.error if system is not None else look.error,
            checked_at=look.checked_at,
            failing_since=look.failing_since,
            latency_s=look.latency_s,
            rights=look.rights,
            feeds=feeds,
            stale=any(feed.state == "stale" for feed in feeds),
            objects=sum(feed.objects for feed in feeds),
        )
        if system is None:
            return view
        return msgspec.structs.replace(
            view,
            kind_title=str(getattr(system.connector, "title", "") or system.kind),
            docs=str(getattr(system.connector, "docs", "")),
            serves=system.serves,
            first=tuple(c for c in system.serves if self.connections.first(c) == system.name),
            traits=_traits(system),
            secrets=tuple(
                SecretView(field=name, entry=entry, stored=secrets and self.stored(entry))
                for name, entry in system.entries.items()
            ),
            receives=callable(getattr(system.connector, "receive", None)),
        )

    def stored(self, entry: str) -> bool:
        """Whether the keyring has it."""
        try:
            return bool(self.secrets.get(entry))
        except ActionError:
            return False

    def calls(self, name: str, limit: int) -> tuple[CallView, ...]:
        """What was last asked of a system, newest first."""
        system = self.connections.systems.get(name)
        found = [] if system is None else [_call(c) for one in system.implementations for c in _log(one)]
        return tuple(sorted(found, key=lambda call: -call.at)[:limit])

    @property
    def health(self) -> tuple[ConnectorHealth, ...]:
        """For the engine's status: every system that can say how it is, and those that can't be used at all."""
        lost = list(self.connections.lost.items())
        found = [ConnectorHealth(name=name, kind="", url="", ok=False, message=why) for name, why in lost]
        for system in list(self.connections.systems.values()):
            look = self._looks.get(system.name)
            if system.implied or (look is None and not system.suspended):
                continue
            feeds = self._follower.feeds(system.name) if self._follower is not None else ()
            stale = [feed.kind for feed in feeds if feed.state == "stale"]
            message = system.suspended or (look.error or look.says if look is not None else "")
            found.append(
                ConnectorHealth(
                    name=system.name,
                    kind=system.kind,
                    url=system.url,
                    ok=look is not None and look.health == "ok" and not stale,
                    checked_at=look.checked_at if look is not None else 0.0,
                    message=f"{message}; STALE: {', '.join(stale)}" if stale else message,
                    suspended=bool(system.suspended),
                )
            )
        return tuple(found)


class _Tested(Struct):
    ok: bool = False
    says: str = ""
    error: str = ""
    took_s: float = 0.0
    rights: tuple[RightView, ...] = ()
    reads: tuple[str, ...] = ()
    traits: dict[str, dict[str, str]] = {}

    def view(self) -> TestView:
        return TestView(
            ok=self.ok, says=self.says, error=self.error, rights=self.rights, reads=self.reads, traits=self.traits
        )


async def _rights(built: Sequence[Any]) -> tuple[RightView, ...]:
    found: dict[str, RightView] = {}
    for one in built:
        rights = getattr(one, "rights", None)
        for right in await rights() if rights is not None else ():
            found.setdefault(right.name, RightView(name=right.name, has=right.has, needed_for=right.needed_for))
    return tuple(found.values())


def is_source(port: Any) -> bool:
    return bool(getattr(port, "feeds", None)) and callable(getattr(port, "pull", None))


def config_of(record: SystemRecord) -> dict[str, Json]:
    """A record's settings as `connectors:` would have them."""
    return {
        "kind": record.system_kind, "url": record.url, "secret": record.secret, "options": dict(record.options),
        "serves": list(record.serves),
    }  # fmt: skip


def fields_of(name: str, config: Mapping[str, Json]) -> dict[str, Json]:
    """The same, the other way round."""
    return {
        "title": name, "name": name, "system_kind": str(config.get("kind", "")), "url": str(config.get("url", "") or ""),
        "secret": str(config.get("secret", "") or ""), "options": dict(config.get("options") or {}),
        "serves": list(config.get("serves") or ()),
    }  # fmt: skip


def _reads(built: Sequence[Any]) -> tuple[str, ...]:
    feeds = [feed for one in built if is_source(one) for feed in one.feeds]
    return tuple(dict.fromkeys(f"{feed.title or feed.kind}: every {_period(feed.every_s)}" for feed in feeds))


def _period(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 120 else f"{seconds:g} s"


def _traits(system: System) -> dict[str, dict[str, str]]:
    """What it can't do, by the capability that is asked for it."""
    built = list(system.built.items())
    return {
        name: dict(traits) for name, one in built if name in system.serves and (traits := getattr(one, "traits", None))
    }


def _log(port: Any) -> list[Any]:
    """The calls a port keeps: `calls`, or those of its client."""
    kept = getattr(port, "calls", None)
    if kept is None or callable(kept):
        client = getattr(port, "http", None) or getattr(port, "_http", None)
        kept = getattr(client, "log", None) or ()
    for _ in range(3):
        try:
            return list(kept)
        except RuntimeError:  # one more call came in meanwhile
            continue
    return []


def _call(logged: Any) -> CallView:
    return CallView(
        at=logged.at, method=logged.method, path=logged.path, status=logged.status, ms=logged.ms, bytes=logged.size,
        attempt=int(getattr(logged, "attempt", 1)), error=logged.error,
    )  # fmt: skip
