"""Policy packs: a workflow's numbers as data. The shipped file, then the overlay of the environment, then the
installation's own overrides; a key the shipped file doesn't know is an error, so that a typing mistake can't turn a
rule off in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any

import yaml

from engine.core.durations import seconds

Json = Any


class PackError(Exception):
    """A policy pack that can't be used: which pack, which key, what to do."""


def load_pack(
    name: str, *, environment: str = "production", overrides: Mapping[str, Json] | None = None
) -> dict[str, Json]:
    """The pack as resolved for this installation. Raises PackError."""
    shipped = _read(name)
    if shipped is None:
        raise PackError(f"there is no policy pack {name!r}")
    resolved = merged(shipped, _read(f"{name}.{environment}") or {}, source=f"{name}.{environment}")
    return merged(resolved, overrides or {}, source=f"overrides of {name}")


def merged(pack: Mapping[str, Json], over: Mapping[str, Json], *, source: str) -> dict[str, Json]:
    """`pack` with single values replaced. Unknown keys and a length of time that can't be read raise PackError."""
    result = dict(pack)
    for key, value in over.items():
        if key not in pack:
            raise PackError(f"{source}: {key!r} is not a key of this policy; it has {', '.join(sorted(pack))}")
        old = pack[key]
        if isinstance(old, dict) and isinstance(value, Mapping):
            result[key] = {**old, **_plain(dict(value))}
            continue
        if isinstance(old, bool) != isinstance(value, bool) or isinstance(old, list) != isinstance(value, list):
            raise PackError(f"{source}: {key!r} is {type(value).__name__}, expected {type(old).__name__}")
        if isinstance(old, int | float) and not isinstance(old, bool):
            try:
                value = seconds(value) if isinstance(value, str) else float(value)
            except (TypeError, ValueError) as error:
                raise PackError(f"{source}: {key!r}: {error}") from error
        result[key] = value
    return result


@lru_cache(maxsize=32)
def _read(name: str) -> dict[str, Json] | None:
    file = resources.files("engine.patterns") / "policies" / f"{name}.yaml"
    if not file.is_file():
        return None
    found = yaml.load(
        file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    )
    if not isinstance(found, dict):
        raise PackError(f"policy pack {name!r} is not a mapping")
    return {
        key: _plain(value)
        for key, value in found.items()
        if key not in ("quarterdeck-policy", "overlay", "verified_on")
    }


def _plain(value: Json) -> Json:
    """Lengths of time become seconds, wherever they stand; every other text stays as it is."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, str):
        try:
            return seconds(value)
        except ValueError:
            return value
    return value
