"""What is taken from a model registry: a version somebody points at, and its bytes. What was made here is not tried again
as if it were new, and a digest somebody wrote on a version is believed only once the bytes have it.
"""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Any

from engine.capabilities.model_registry.going import progress, registry_of
from engine.capabilities.ports import ActionError, Context
from engine.capabilities.systems.ports import ModelVersion, Objects, Registry
from engine.capabilities.vault import Kept

Json = Any
Input = dict[str, Json]


async def look(context: Context, given: Input) -> Json:
    """`model` may be `model@alias`, as the mirror names aliases. `wanted` false: with `says` why."""
    registry, system = registry_of(context, given)
    rules = context.policy("registry")
    name, _, at = str(given["model"]).partition("@")
    alias = str(given.get("alias") or at)
    version = await _version(registry, name, alias, str(given.get("version") or ""))
    line = str(dict(rules["lines"]).get(version.name) or version.tags.get("quarterdeck.line") or version.name)
    wanted, says = await _wanted(context, version, alias, rules["candidates"])
    return {
        "model": version.name, "version": version.version, "line": line, "digest": version.digest, "source": version.source,
        "wanted": wanted, "says": says, "system": system,
    }  # fmt: skip


async def fetch(context: Context, given: Input) -> Json:
    """Into the vault, from the registry or from the object store its source names."""
    registry, _ = registry_of(context, given)
    version = await registry.version(str(given["model"]), str(given["version"]))
    folder: Path = context.vault.folder
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True, mode=0o700)
    target = folder / f".fetching-{secrets.token_hex(12)}"
    what = f"{version.name}/{version.version}"
    try:
        await _brought(context, registry, version, target, what)
        size = (await asyncio.to_thread(target.stat)).st_size
        if size > int(context.policy("registry")["largest"]):
            raise ActionError("TooLarge", f"{what} has {size} bytes, more than the policy takes", retryable=False)
        kept: Kept = await asyncio.to_thread(
            context.vault.put_file,
            target,
            media="application/octet-stream",
            source=f"registry/{what}"[:500],
            name=what[:200],
        )
    finally:
        target.unlink(missing_ok=True)
    return {"digest": kept.digest, "size": kept.size, "model": version.name, "version": version.version}


async def _brought(context: Context, registry: Registry, version: ModelVersion, target: Path, what: str) -> None:
    told = progress(context, f"fetching {what}")
    try:
        await registry.fetch(version, target, told=told)
    except ActionError as error:
        source = str((error.detail or {}).get("source") or "") if error.error == "NotHere" else ""
        if not source.startswith("s3://"):
            raise
        objects: Objects = context.port("objects")
        await objects.get(source, target, digest=version.digest, told=told)


async def _version(registry: Registry, name: str, alias: str, number: str) -> ModelVersion:
    """The numbered one; else what the alias points at now. Raises ActionError `NoSuchVersion`."""
    if number:
        return await registry.version(name, number)
    for one in await registry.versions(name):
        if alias and alias in one.aliases:
            return one
    raise ActionError(
        "NoSuchVersion", f"{alias or 'no alias'} of {name} points nowhere", kind="validation", retryable=False
    )


async def _wanted(context: Context, version: ModelVersion, alias: str, aliases: list[str]) -> tuple[bool, str]:
    what = f"{version.name} version {version.version}"
    if alias and alias not in aliases:
        return False, f"the alias {alias} does not ask for {what} to be tried; {', '.join(aliases)} would"
    if alias and alias not in version.aliases:
        return False, f"{alias} no longer points at {what}"
    if version.digest:
        for kind, column in (("artifact", "digest"), ("candidate", "model_digest")):
            if known := await context.records.find(kind, where={column: version.digest}, limit=1):
                return False, f"{what} is {known[0].id} already ({known[0].state})"
    return True, f"{what} of the model registry{f', alias {alias}' if alias else ''}"
