"""Puts one engine together from its settings, and takes it apart again: the only place that knows all rooms."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import pwd
import signal
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import msgspec

from engine.api import config
from engine.api.application import application
from engine.api.config import Settings, SettingsError
from engine.api.door import VERSION, Door
from engine.api.listening import hook_server
from engine.api.server import Server, SocketError, bind, inherited
from engine.capabilities import policy as policies
from engine.capabilities import subjects
from engine.capabilities.connections import CAPABILITIES, Connections, connect
from engine.capabilities.packs import PackError, load_pack
from engine.capabilities.policy import Policy, PolicyError
from engine.capabilities.ports import ActionError
from engine.capabilities.registry import Registry, builtin
from engine.capabilities.rollout.foresee import Foresight
from engine.capabilities.rollout.projection import RolloutProjector
from engine.capabilities.rollout.reads import RolloutReads
from engine.capabilities.secrets import Secrets
from engine.capabilities.systems.live import Systems
from engine.contract.system import ValidationFinding
from engine.core.deciding import WindowState
from engine.hosts.clock import RealClock, ScaledClock
from engine.hosts.embedded import Host
from engine.hosts.noticing import Noticing
from engine.hosts.retention import Retention
from engine.hosts.settings import Answer, Config
from engine.hosts.syncing import Syncing
from engine.jobs import FleetWatch, SinkWatch, Soundness, lasting
from engine.language import DefinitionError, Expressions, World, load, read
from engine.store.errors import StoreError, StoreInUse, StoreReadOnly
from engine.store.integrity import FULL_AT_START
from engine.store.mirror import added_systems
from engine.store.queries import Queries
from engine.store.records import ENGINE

log = logging.getLogger("quarterdeck.engine")


class CannotStart(Exception):
    """The engine can't start as things are; the message says why and what to do. `status` is the exit code."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class ReadyWord(Protocol):
    def say(self, word: bytes) -> None: ...


class Windows(Mapping[str, WindowState]):
    """The policy's windows as they stand at the moment of asking."""

    def __init__(self, policy: Policy, clock: RealClock | ScaledClock) -> None:
        self._policy, self._clock = policy, clock

    def __getitem__(self, name: str) -> WindowState:
        return self._policy.window_state(name, self._clock.now())

    def __iter__(self) -> Iterator[str]:
        return iter(self._policy.calendar)

    def __len__(self) -> int:
        return len(self._policy.calendar)


def serve(config_folder: Path, state: Path, run: Path, ready: ReadyWord) -> None:
    """Serves until it is told to end. Raises `CannotStart`."""
    try:
        asyncio.run(_serve(config_folder, state, run, ready))
    except (SettingsError, SocketError, PackError, ActionError, PolicyError) as error:
        raise CannotStart(str(error)) from error
    except StoreReadOnly as error:
        advice = "make room on the disk (or restore write permission), then start the engine again"
        raise CannotStart(f"{error}; {advice}") from error
    except StoreInUse as error:
        raise CannotStart(f"{error}; {error.advice}", os.EX_TEMPFAIL) from error
    except StoreError as error:
        raise CannotStart(f"{error}; {error.advice}") from error


async def _serve(config_folder: Path, state: Path, run: Path, ready: ReadyWord) -> None:
    settings = config.load(config_folder / "quarterdeck.yaml")
    clock = _clock(settings)
    owner = pwd.getpwuid(os.geteuid()).pw_name
    policy = policies.load(config_folder / "policy.yaml", environment=settings.environment, owner=owner)
    secrets = Secrets(msgspec.to_builtins(settings.secrets), config_folder)
    registry = builtin()
    world = World(actions=registry.actions, roles=policy.known, people=policy.roster, windows=policy.calendar)
    connections = connect(
        {name: msgspec.to_builtins(each) for name, each in settings.connectors.items()},
        secrets.get,
        clock,
        folder=config_folder / "connectors",
    )
    home = subjects.Home(config=config_folder, state=state, clock=clock, secrets=secrets, policy=_pack(settings))
    systems = Systems(connections, secrets, clock)
    connections.embed({**subjects.embedded(home), "systems": systems})
    sock = inherited()
    ours = sock is None
    path = run / "engine.sock" if sock is None else Path(sock.getsockname())
    database = state / "quarterdeck.db"
    systems.restore(added_systems(database))  # before the host: runs that go on ask for them at once
    host = await Host.open(
        _config(
            database=database,
            settings=settings,
            clock=clock,
            registry=registry,
            connections=connections,
            world=world,
        )
    )
    tasks: list[asyncio.Task[None]] = []
    syncing = Syncing(host, clock)
    try:
        host.windows = Windows(policy, clock)
        await _register_patterns(host, world, connections.ports)
        soundness = Soundness(database)
        door = Door(
            host=host,
            records=host.system,
            reads=Queries(database, now=clock.now),
            rollouts=RolloutReads(database, now=clock.now),
            policy=policy,
            settings=settings,
            now=clock.now,
            socket=path,
            database=database,
            validate=lambda text: _findings(text, world),
            health=lambda: systems.health,
            state=lambda: soundness.state(host.state),
            epoch=lambda: host.epoch,
            foresee=Foresight(connections.ports, _pack(settings), clock.now),
            book=host.book,
            keeper=host.keeper,
            vault=host.vault,
            ports=connections.ports,
            pack=_pack(settings),
        )
        host.on_fenced = door.stopping.set
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, door.stopping.set)
        systems.changed = lambda: _again(host, world, connections.ports, tasks)
        await systems.begin(host.book.bound(actor=ENGINE, cause="settings"), syncing)
        tasks.append(asyncio.create_task(lasting("systems", systems.watch())))
        terminals = connections.ports["terminals"]
        terminals.bind(*host.keeper.for_asker(ENGINE, "gateway sessions"))
        tasks.append(asyncio.create_task(lasting("gateway sessions", terminals.run())))
        tasks.append(asyncio.create_task(_hang_up(door, terminals)))
        tasks.append(asyncio.create_task(lasting("retention", Retention(host).run())))
        noticing = Noticing(host, connections.ports, _pack(settings)("notices"))
        tasks.append(asyncio.create_task(lasting("noticing", noticing.run())))
        tasks.append(asyncio.create_task(lasting("telling", SinkWatch(host, connections.ports).run())))
        if host.journal.seq > FULL_AT_START:
            tasks.append(asyncio.create_task(lasting("verification", soundness.look())))
        fleet = FleetWatch(host, connections.ports, clock, settings.sync_s)
        tasks.append(asyncio.create_task(lasting("fleet sync", fleet.run())))
        if hooks := hook_server(
            settings,
            config_folder,
            connections.port("hooks"),
            host,
            host.keeper.for_asker,
            events=host.triggers.limits,
            pack=_pack(settings)("hooks"),
            receivers=connections.receivers,
            stopping=door.stopping.is_set,
            hint=connections.ports["systems"].hint,
        ):
            server, listening = hooks
            tasks.append(asyncio.create_task(lasting("webhooks", server.serve(sockets=[listening]))))
        sock = sock or bind(path, settings.socket.group)
        log.info("engine %s, pid %d, %s, %s", VERSION, os.getpid(), path, settings.environment)
        await Server(application(door), door, lambda: ready.say(b"R")).serve(sockets=[sock])
        log.info("ending")
    finally:
        syncing.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if ours:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        await connections.ports["terminals"].close()
        await host.close()
        await connections.close()


async def _hang_up(door: Door, terminals: Any) -> None:
    """Open sessions hear of the end while there is still somebody to tell them."""
    await door.stopping.wait()
    await terminals.close()


def _clock(settings: Settings) -> RealClock | ScaledClock:
    if settings.clock is None:
        return RealClock()
    return ScaledClock(settings.clock.sim0, settings.clock.wall0, settings.clock.speed)


def _pack(settings: Settings) -> Callable[[str], dict[str, Any]]:
    """The policy packs as this installation overrides them."""
    return lambda name: load_pack(name, environment=settings.environment, overrides=settings.policy.get(name))


def _config(
    *,
    database: Path,
    settings: Settings,
    clock: RealClock | ScaledClock,
    registry: Registry,
    connections: Connections,
    world: World,
) -> Config:
    pack = _pack(settings)
    for name in settings.policy:  # a mistake in an override is found now, not at the first rollout
        pack(name)
    return Config(
        database=database,
        actions=registry.actions,
        evaluator=Expressions(),
        clock=clock,
        load=lambda text: load(
            text, actions=world.actions, roles=world.roles, people=world.people, windows=world.windows
        ),
        ports=connections.ports,
        policy=pack,
        projectors=[RolloutProjector()],
        catalogue=subjects.catalogue(),
    )


def _again(host: Host, world: World, ports: Mapping[str, Any], tasks: list[asyncio.Task[None]]) -> None:
    """A system came: the workflows that waited for one are taken."""
    registering = lasting("patterns", _register_patterns(host, world, ports))
    tasks[:] = [task for task in tasks if not task.done()]
    tasks.append(asyncio.create_task(registering))


def _shipped(ports: Mapping[str, Any]) -> list[Any]:
    """The files of the shipped workflows that make sense with these ports."""
    patterns = list(resources.files("engine.patterns").iterdir())
    for folder in [each for each in patterns if each.name in CAPABILITIES and each.name in ports and each.is_dir()]:
        patterns += folder.iterdir()
    return sorted((each for each in patterns if each.name.endswith(".yaml")), key=lambda each: each.name)


async def _register_patterns(host: Host, world: World, ports: Mapping[str, Any]) -> None:
    """The shipped workflows, each text once: a definition that is already there is not even read again. Those in a folder
    named after a capability make no sense without it, and are taken once a system serves it.

    Whether somebody known holds the roles they ask for is not checked here: who does may be in a group, and shows when
    they connect.
    """
    known: list[tuple[str, Coroutine[Any, Any, Answer]]] = []
    for file in _shipped(ports):
        text = file.read_text("utf-8")
        command = f"pattern-{file.name}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"
        if host.answered(command) is not None:
            continue
        try:
            definition = load(
                text,
                actions=world.actions,
                roles=world.roles,
                windows=world.windows,
                source=file.name,
                shipped=True,
            )
        except DefinitionError as error:
            log.error("%s is not taken: %s", file.name, error)
            continue
        source = f"shipped/{file.name}"
        known.append(
            (file.name, host.register_definition(definition, text=text, id=command, actor=ENGINE, source=source))
        )
    answers = await asyncio.gather(*(registering for _, registering in known))  # one commit for all
    for (name, _), answer in zip(known, answers, strict=True):
        if answer.refusal is not None:
            log.error("%s is not taken: %s", name, answer.refusal.reason)


def _findings(text: str, world: World) -> Sequence[ValidationFinding]:
    return [
        ValidationFinding(line=f.line, field=f.field, message=f.message, fix=f.fix, severity=f.severity)
        for f in read(text, world).findings
    ]
