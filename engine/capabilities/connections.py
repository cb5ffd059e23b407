"""From settings to ports: finds connectors by entry point, checks their settings, builds them in the order they need.

A *system* is one remote system under the name it has here: `connectors: {NAME: {kind, url, secret, options, serves?}}`. It
serves the capabilities that `serves` names; without that, the one it is named after, else all of its kind. A capability
is asked of the system that bears its name, else of the first that serves it; `capability@NAME` asks the one named.

Systems come and go while the engine lives (`add`, `drop`, `suspend`): `ports` is one mapping that everybody holds, and its
entries change. Built-in connectors come through the same door as third parties'. A capability nobody serves stays absent;
asking for it is an error that says so. When updates and signals are both there and no fleet is configured, the fleet is
joined from the two.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from engine.capabilities.ports import ActionError, Clock, Connector, Deferred, Json, Param

GROUP = "quarterdeck.connectors"
DECLARED = "http"
"""The kind whose systems are described in YAML; files in a folder make kinds of their own of it."""
IMPLIED = {"fleet": ("joined", ("updates", "signals"))}
CAPABILITIES = frozenset(
    {
        "updates", "signals", "fleet", "recordings", "training", "sink", "tickets", "paging", "alerts", "registry", "labels",
        "objects", "decisions", "gateways", "notify",
    }
)  # fmt: skip
GRACE_S = 30.0
"""Real seconds that a system which was taken out still has for what is under way."""
ASK_AGAIN_S = 60.0
"""Seconds of the engine's clock after which a step asks again for a system that is suspended."""
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_KEYS = frozenset({"kind", "options", "serves"})
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (dict,),
}


class Ports(dict[str, Any]):
    """Capability -> implementation. `capability@NAME` is looked up too, though it is no entry of its own."""

    def __init__(self, systems: Mapping[str, System], lost: Mapping[str, str]) -> None:
        super().__init__()
        self._systems, self._lost = systems, lost

    def __missing__(self, key: str) -> Any:
        found = self._named(key)
        if found is None:
            raise KeyError(key)
        return found

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or (isinstance(key, str) and self._named(key) is not None)

    def get(self, key: str, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default

    def absent(self, key: str) -> ActionError:
        """Why `key` is not there, for who has to have it."""
        capability, _, name = key.partition("@")
        if name:
            system = self._systems.get(name)
            if system is None and name in self._lost:
                return _wrong(f"{name} can't be used: {self._lost[name]}")
            if system is None:
                known = ", ".join(self._systems) or "none"
                return _wrong(f"there is no system {name!r} here; there are: {known}")
            if system.suspended:
                return ActionError("Suspended", f"{name} is {system.suspended}", kind="unavailable")
            if system.error:
                return ActionError("NotConfigured", f"{name}: {system.error}", kind="configuration", retryable=False)
            return _wrong(f"{name} serves {', '.join(system.serves) or 'nothing'}, not {capability}")
        for system in self._systems.values():
            if capability in system.serves and system.suspended:
                return ActionError("Suspended", f"{system.name} is {system.suspended}", kind="unavailable")
            if capability in system.serves and system.error:
                return _wrong(f"{system.name}: {system.error}")
        return _wrong(
            f"no connector for {capability!r} is configured; add a system that serves it (qd connectors add) "
            "or name one under connectors: in quarterdeck.yaml"
        )

    def _named(self, key: str) -> Any:
        capability, at, name = key.partition("@")
        system = self._systems.get(name) if at else None
        return None if system is None or system.suspended else system.built.get(capability)


def port_of(ports: Mapping[str, Any], capability: str, *, may_wait: bool = False) -> Any:
    """The implementation, or an ActionError that says why there is none. With `may_wait`, one that is suspended is Deferred:
    the step waits until it is resumed."""
    found = ports.get(capability)
    if found is not None:
        return found
    absent = getattr(ports, "absent", None)
    error = (
        absent(capability)
        if absent is not None
        else ActionError("NotConfigured", f"no {capability} is configured here", kind="configuration", retryable=False)
    )
    if may_wait and error.error == "Suspended":
        raise Deferred(error.message, ASK_AGAIN_S)
    raise error


class System:
    """One remote system as it stands: its settings, its connector, what was built of it."""

    def __init__(
        self, name: str, config: Mapping[str, Json], connector: Connector, *, origin: str = "settings"
    ) -> None:
        self.name, self.config, self.connector, self.origin = name, dict(config), connector, origin
        self.kind = str(config.get("kind", ""))
        self.serves = _serves(name, config, connector)
        self.built: dict[str, Any] = {}
        self.error = ""
        self.suspended = ""
        self._made_of: tuple[int, ...] = ()

    @property
    def url(self) -> str:
        return str(self.config.get("url", "") or "")

    @property
    def implied(self) -> bool:
        return self.origin == "implied"

    @property
    def entries(self) -> dict[str, str]:
        """Secret-holding field -> the entry of the keyring that its settings name."""
        return entries_of(self.config, self.connector)

    @property
    def implementations(self) -> tuple[Any, ...]:
        """What was built for the capabilities it serves, each object once."""
        return tuple({id(one): one for name, one in self.built.items() if name in self.serves}.values())


class Connections:
    """The systems of this engine and the ports they make."""

    def __init__(
        self,
        secret: Callable[[str], str],
        clock: Clock,
        kinds: Mapping[str, Callable[[], Connector]] | None = None,
        folder: Path | None = None,
    ) -> None:
        self._secret, self._clock, self._folder = secret, clock, folder
        self.kinds = installed() if kinds is None else kinds
        self.systems: dict[str, System] = {}
        self.lost: dict[str, str] = {}
        """Systems that are recorded and can't be made (a kind that is no longer installed …), and why."""
        self.ports = Ports(self.systems, self.lost)
        self._embedded: dict[str, Any] = {}
        self._closing: dict[asyncio.Task[None], tuple[Any, ...]] = {}

    # -- asking ------------------------------------------------------------------------------------------------------

    def port(self, capability: str) -> Any:
        """Raises ActionError `NotConfigured`, `Suspended`."""
        return port_of(self.ports, capability)

    def first(self, capability: str) -> str:
        """The name of the system that is asked when none is named; empty when there is none."""
        able = [
            s
            for s in list(self.systems.values())
            if capability in s.built and capability in s.serves and not s.suspended
        ]
        return next((s.name for s in able if s.name == capability), able[0].name if able else "")

    def receiver(self, name: str) -> tuple[Any, dict[str, Json]] | None:
        """The connector of a system that sends webhooks, and the settings of that system."""
        system = self.systems.get(name)
        if system is None or system.suspended or not callable(getattr(system.connector, "receive", None)):
            return None
        return system.connector, {**system.config, **(system.config.get("options") or {})}

    def receivers(self) -> dict[str, tuple[Any, dict[str, Json], bool]]:
        """All systems that send webhooks: connector, settings, and whether the system is suspended just now."""
        return {
            name: (one.connector, {**one.config, **(one.config.get("options") or {})}, bool(one.suspended))
            for name, one in list(self.systems.items())
            if callable(getattr(one.connector, "receive", None))
        }

    async def check(self) -> dict[str, str]:
        """Asks every remote for a sign of life: name -> its server and version, or `error: …`."""
        asked = [s for s in self.systems.values() if not s.suspended and _checks(s)]
        said = await asyncio.gather(*(sign_of_life(each.implementations) for each in asked))
        return {system.name: words for system, words in zip(asked, said, strict=True)}

    # -- changing ----------------------------------------------------------------------------------------------------

    def embed(self, ports: Mapping[str, Any]) -> None:
        """What serves a capability as long as no system does."""
        self._embedded.update(ports)
        self._settle()

    def plan(self, name: str, config: Mapping[str, Json], *, origin: str = "added") -> System:
        """The system these settings make, checked and not yet built. Raises ActionError `NotConfigured` that names the key."""
        if not NAME.fullmatch(name):
            raise _wrong(f"connectors: {name[:70]!r} is no name: small letters, digits, dots, dashes and underscores")
        kind = str(config.get("kind", ""))
        declared = self.declared()
        if kind not in self.kinds and kind not in declared:
            known = ", ".join(sorted({*self.kinds, *declared}))
            raise _wrong(f"connectors.{name}.kind: no connector {kind!r}; installed: {known}")
        try:
            connector = (self.kinds.get(kind) or declared[kind])()
            of = getattr(connector, "of", None)  # what it can do depends on what it is given
            connector = of(config) if of is not None else connector
        except ActionError as error:
            raise _wrong(f"connectors.{name}: {error.message}") from error
        except Exception as error:
            raise _wrong(f"connectors.{name}.kind: {kind} can't be loaded ({type(error).__name__}: {error})") from error
        system = System(name, config, connector, origin=origin)
        _fields(name, config, connector)
        return system

    def declared(self) -> Mapping[str, Callable[[], Connector]]:
        """Kinds that a team described in files of its own (`connectors/*.yaml` of the configuration folder), as they now are."""
        if self._folder is None or DECLARED not in self.kinds or not any(self._folder.glob("*.yaml")):
            return {}
        describes: Any = self.kinds[DECLARED]()
        found: Mapping[str, Callable[[], Connector]] = describes.kinds(self._folder)
        return {kind: load for kind, load in found.items() if kind not in self.kinds}

    def trial(self, system: System) -> tuple[Any, ...]:
        """Builds a planned system for a look at it, apart from the others; its implementations. The caller closes them."""
        return tuple({id(one): one for one in self._make(system, self._wanted(system)).values()}.values())

    def add(self, system: System) -> None:
        """Takes a planned system in, or in place of the one of that name. Raises ActionError when it can't be built."""
        built = {} if system.connector.needs else self._make(system, {})
        old = self.systems.get(system.name)
        self.lost.pop(system.name, None)
        self.systems[system.name] = system
        system.built = built
        if old is not None:
            self._let_go(old)
        self._settle()

    def broken(self, system: System, error: str) -> None:
        """Keeps a system that can't be built, with the reason, so that who asks for it is told."""
        system.error = error
        self.systems[system.name] = system
        self._settle()

    def drop(self, name: str) -> None:
        """Takes a system out. What it has under way may still end."""
        self.lost.pop(name, None)
        system = self.systems.pop(name, None)
        if system is not None:
            self._let_go(system)
            self._settle()

    def suspend(self, name: str, why: str) -> None:
        """`why` follows "is": `suspended by ana: moving house`. An empty one resumes it."""
        if name in self.systems:
            self.systems[name].suspended = why
            self._settle()

    def rebuild(self, name: str) -> None:
        """Makes a system anew with the settings it has (a secret was changed)."""
        system = self.systems.get(name)
        if system is None:
            return
        fresh = System(name, system.config, system.connector, origin=system.origin)
        fresh.suspended = system.suspended
        try:
            self.add(fresh)
        except ActionError as error:
            self.broken(fresh, error.message)

    def order(self, names: Iterable[str]) -> None:
        """These come first, in this order: who is first that serves a capability is asked."""
        known = dict(self.systems)
        self.systems.clear()
        self.systems.update({name: known[name] for name in names if name in known} | known)
        self._settle()

    async def close(self) -> None:
        leaving, self._closing = self._closing, {}
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        await close_all(one for ports in leaving.values() for one in ports)
        held = [one for system in self.systems.values() for one in system.built.values()]
        await close_all((*held, *self._embedded.values()))

    # -- inside ------------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Makes `ports` what the systems now give: those built on others come after them."""
        self._imply()
        for system in self.systems.values():
            if system.connector.needs and not system.suspended:
                self._join(system)
        wanted = dict(self._embedded)
        for capability in {c for system in self.systems.values() for c in system.built}:
            name = self.first(capability)
            if name:
                wanted[capability] = self.systems[name].built[capability]
        for gone in [key for key in self.ports if not dict.__contains__(wanted, key)]:
            del self.ports[gone]
        self.ports.update(wanted)

    def _imply(self) -> None:
        for capability, (kind, needs) in IMPLIED.items():
            others = [s for s in self.systems.values() if capability in s.serves and not s.implied]
            wanted = kind in self.kinds and not others and all(self.first(n) for n in needs)
            there = self.systems.get(capability)
            if wanted and there is None:
                self.systems[capability] = System(capability, {"kind": kind}, self.kinds[kind](), origin="implied")
            elif not wanted and there is not None and there.implied:
                self._let_go(self.systems.pop(capability))

    def _join(self, system: System) -> None:
        """Builds one that is made of others, anew when they are others than before."""
        wanted = self._wanted(system)
        missing = [n for n in system.connector.needs if n not in wanted]
        if missing:
            system.error = f"needs {', '.join(missing)}, which is not configured"
            self._let_go(system)
            return
        made_of = tuple(id(wanted[n]) for n in system.connector.needs)
        if system.built and system._made_of == made_of:
            return
        self._let_go(system)
        try:
            system.built, system.error, system._made_of = self._make(system, wanted), "", made_of
        except ActionError as error:
            system.error = error.message

    def _wanted(self, system: System) -> dict[str, Any]:
        """What a system is built on."""
        found: dict[str, Any] = {}
        for need in system.connector.needs:
            if name := self.first(need):
                found[need] = self.systems[name].built[need]
            elif need in self._embedded:
                found[need] = self._embedded[need]
        return found

    def _make(self, system: System, ports: Mapping[str, Any]) -> dict[str, Any]:
        config = _fields(system.name, system.config, system.connector)
        return dict(system.connector.build(config, self._secret, self._clock, ports))

    def _let_go(self, system: System) -> None:
        """Closes what was built, after what it has under way."""
        built, system.built, system._made_of = system.built, {}, ()
        if not any(callable(getattr(one, "close", None)) for one in built.values()):
            return

        async def later() -> None:
            await asyncio.sleep(GRACE_S)
            await close_all(built.values())

        try:
            task = asyncio.get_running_loop().create_task(later())
        except RuntimeError:  # before the loop runs nothing is under way
            return
        self._closing[task] = tuple(built.values())
        task.add_done_callback(lambda done: self._closing.pop(done, None))


def installed() -> dict[str, Callable[[], Connector]]:
    """Kind -> how to load it. Loading is lazy: a connector nobody configured costs no import."""
    return {point.name: point.load for point in entry_points(group=GROUP)}


def connect(
    settings: Mapping[str, Mapping[str, Json]],
    secret: Callable[[str], str],
    clock: Clock,
    kinds: Mapping[str, Callable[[], Connector]] | None = None,
    folder: Path | None = None,
) -> Connections:
    """Builds what `settings` (name -> {kind, url?, secret?, options?, serves?}) names. Opens no connection.

    Raises ActionError `NotConfigured` that names system, key and fix.
    """
    connections = Connections(secret, clock, kinds, folder)
    planned = [connections.plan(name, config, origin="settings") for name, config in settings.items()]
    for system in sorted(planned, key=lambda each: bool(each.connector.needs)):  # stable: the order of the settings
        connections.add(system)
    connections.order(tuple(settings))
    for system in connections.systems.values():
        if system.error:
            raise _wrong(f"connectors.{system.name}: {system.error}")
    return connections


def entries_of(config: Mapping[str, Json], connector: Connector) -> dict[str, str]:
    """Secret-holding field -> the keyring entry named in these settings."""
    given = {**config, **(config.get("options") or {})}
    return {name: str(given[name]) for name in secret_fields(connector) if given.get(name)}


def secret_fields(connector: Connector) -> tuple[str, ...]:
    """The settings of a kind that name entries of the keyring."""
    known = ("secret", *(getattr(connector, "secrets", None) or {}))
    return tuple(dict.fromkeys(name for name in known if name in connector.fields))


async def sign_of_life(built: Iterable[Any]) -> str:
    """What a system says of itself, or `error: …`; each thing that was built of it is asked."""
    said = []
    for one in built:
        check = getattr(one, "check", None)
        if check is None:
            continue
        try:
            said.append(str(await check()))
        except ActionError as error:
            return f"error: {error.message}"
    return ", ".join(dict.fromkeys(said))


async def close_all(ports: Iterable[Any]) -> None:
    for port in {id(p): p for p in ports}.values():
        close = getattr(port, "close", None)
        if close is not None:
            await close()


def _checks(system: System) -> bool:
    return any(getattr(one, "check", None) is not None for one in system.implementations)


def _serves(name: str, config: Mapping[str, Json], connector: Connector) -> tuple[str, ...]:
    can, wanted = tuple(connector.capabilities), tuple(config.get("serves") or ())
    if wrong := [each for each in wanted if each not in can]:
        raise _wrong(f"connectors.{name}.serves: {connector.kind!r} serves {', '.join(can)}, not {wrong[0]}")
    if wanted:
        return wanted
    if name in can:
        return (name,)
    if name in CAPABILITIES:  # a name that promises what the system can't do would be believed
        raise _wrong(f"connectors.{name}.kind: {connector.kind!r} serves {', '.join(can)}, not {name}")
    return can


def _fields(name: str, config: Mapping[str, Json], connector: Connector) -> dict[str, Json]:
    """`url`, `secret` and the options in one mapping, checked against what the connector declares."""
    given = {k: v for k, v in config.items() if k not in _KEYS and v not in ("", None)}
    given |= config.get("options") or {}
    for key, value in given.items():
        declared = connector.fields.get(key)
        if declared is None:
            known = ", ".join(sorted(connector.fields)) or "none"
            raise _wrong(f"connectors.{name}.{key}: unknown; {connector.kind} knows: {known}")
        if not _is(declared, value):
            raise _wrong(f"connectors.{name}.{key}: must be a {declared.type}")
    for key, declared in connector.fields.items():
        if declared.required and key not in given:
            raise _wrong(f"connectors.{name}.{key}: missing ({declared.description})")
    return given


def _is(declared: Param, value: Json) -> bool:
    if declared.type == "any":
        return True
    return isinstance(value, _TYPES[declared.type]) and (declared.type == "boolean" or not isinstance(value, bool))


def _wrong(message: str) -> ActionError:
    return ActionError("NotConfigured", message, kind="configuration", retryable=False)
