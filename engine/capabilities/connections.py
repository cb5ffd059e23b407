"""From settings to ports: finds connectors by entry point, checks their settings, builds them in the order they need.

Built-in connectors come through the same door as third parties'. A capability nobody configured stays absent; asking
for it is an error that says so. When updates and signals are both there and no fleet is configured, the fleet is
joined from the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any

from engine.capabilities.ports import ActionError, Clock, Connector, Json, Param

GROUP = "quarterdeck.connectors"
IMPLIED = {"fleet": ("joined", ("updates", "signals"))}
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (dict,),
}


class Connections:
    """The ports of this engine: capability -> implementation."""

    def __init__(self, ports: Mapping[str, Any]) -> None:
        self.ports = dict(ports)

    def port(self, capability: str) -> Any:
        """Raises ActionError `NotConfigured`."""
        if capability not in self.ports:
            raise _wrong(f"no connector for {capability!r} is configured; add it under connectors: in quarterdeck.yaml")
        return self.ports[capability]

    async def check(self) -> dict[str, str]:
        """Asks every remote for a sign of life: capability -> its name and version, or `error: …`."""
        found: dict[str, str] = {}
        for capability, port in self.ports.items():
            check = getattr(port, "check", None)
            if check is None:
                continue
            try:
                found[capability] = str(await check())
            except ActionError as error:
                found[capability] = f"error: {error.message}"
        return found

    async def close(self) -> None:
        for port in {id(p): p for p in self.ports.values()}.values():
            close = getattr(port, "close", None)
            if close is not None:
                await close()


def installed() -> dict[str, Callable[[], Connector]]:
    """Kind -> how to load it. Loading is lazy: a connector nobody configured costs no import."""
    return {point.name: point.load for point in entry_points(group=GROUP)}


def connect(
    settings: Mapping[str, Mapping[str, Json]],
    secret: Callable[[str], str],
    clock: Clock,
    kinds: Mapping[str, Callable[[], Connector]] | None = None,
) -> Connections:
    """Builds what `settings` (capability -> {kind, url?, secret?, options?}) names. Opens no connection.

    Raises ActionError `NotConfigured` that names capability, key and fix.
    """
    kinds = installed() if kinds is None else kinds
    wanted: dict[str, dict[str, Json]] = {name: dict(each) for name, each in settings.items()}
    for capability, (kind, needs) in IMPLIED.items():
        if capability not in wanted and kind in kinds and all(n in wanted for n in needs):
            wanted[capability] = {"kind": kind}
    loaded: dict[str, Connector] = {}
    for capability, config in wanted.items():
        kind = str(config.get("kind", ""))
        if kind not in kinds:
            raise _wrong(f"connectors.{capability}.kind: no connector {kind!r}; installed: {', '.join(sorted(kinds))}")
        loaded[capability] = kinds[kind]()
        if capability not in loaded[capability].capabilities:
            can = ", ".join(loaded[capability].capabilities)
            raise _wrong(f"connectors.{capability}.kind: {kind!r} serves {can}, not {capability}")
    ports: dict[str, Any] = {}
    for capability in _in_order(loaded):
        connector = loaded[capability]
        ports[capability] = connector.build(_fields(capability, wanted[capability], connector), secret, clock, ports)[
            capability
        ]
    return Connections(ports)


def _in_order(loaded: Mapping[str, Connector]) -> Iterable[str]:
    """Each capability after those it needs."""
    left, done = dict(loaded), set[str]()
    while left:
        ready = [c for c, connector in left.items() if all(n in done for n in connector.needs)]
        if not ready:
            capability, connector = next(iter(left.items()))
            missing = ", ".join(n for n in connector.needs if n not in done)
            raise _wrong(f"connectors.{capability}: needs {missing}, which is not configured")
        for capability in ready:
            done.add(capability)
            del left[capability]
            yield capability


def _fields(capability: str, config: Mapping[str, Json], connector: Connector) -> dict[str, Json]:
    """`url`, `secret` and the options in one mapping, checked against what the connector declares."""
    given = {k: v for k, v in config.items() if k not in ("kind", "options") and v not in ("", None)}
    given |= config.get("options") or {}
    for name, value in given.items():
        declared = connector.fields.get(name)
        if declared is None:
            known = ", ".join(sorted(connector.fields)) or "none"
            raise _wrong(f"connectors.{capability}.{name}: unknown; {connector.kind} knows: {known}")
        if not _is(declared, value):
            raise _wrong(f"connectors.{capability}.{name}: must be a {declared.type}")
    for name, declared in connector.fields.items():
        if declared.required and name not in given:
            raise _wrong(f"connectors.{capability}.{name}: missing ({declared.description})")
    return given


def _is(declared: Param, value: Json) -> bool:
    if declared.type == "any":
        return True
    return isinstance(value, _TYPES[declared.type]) and (declared.type == "boolean" or not isinstance(value, bool))


def _wrong(message: str) -> ActionError:
    return ActionError("NotConfigured", message, kind="configuration", retryable=False)
