"""What is told to a model registry: artifacts as versions, aliases, and what became of them.

The registry decides nothing here. A version is found by the digest of its bytes, so telling twice is telling once.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from engine.capabilities.ports import ActionError, Context
from engine.capabilities.systems.ports import Objects, Registry
from engine.contract.models import ArtifactView, CandidateView, ComparisonView

Json = Any
Input = dict[str, Json]
TEXT = 300


def registry_of(context: Context, given: Input) -> tuple[Registry, str]:
    """The registry that is meant, and how it was named (empty: the first one)."""
    name = str(given.get("system") or context.policy("registry")["system"] or "")
    return context.port(f"registry@{name}" if name else "registry"), name


async def register(context: Context, given: Input) -> Json:
    registry, system = registry_of(context, given)
    rules = context.policy("registry")
    artifact = await _artifact(context, given)
    if artifact.state != "eligible":
        raise _refused("NotEligible", f"{artifact.id} is {artifact.state}: only what may be rolled out is registered")
    candidate: CandidateView | None = await context.records.get("candidate", artifact.candidate)
    if not context.vault.has(artifact.digest):
        raise _refused("NoModel", f"the bytes of {artifact.id} ({artifact.digest[:19]}…) are not kept here")
    model, alias = str(rules["model"]).format(line=artifact.line), str(rules["alias"])
    stands = await _stands(registry, model, alias) if alias else ""
    known = next((one for one in await registry.versions(model) if one.digest == artifact.digest), None)
    source = known.source if known is not None else await _source(context, registry, model, artifact, candidate)
    tags = _tags(artifact, candidate)
    made = await registry.register(
        model, digest=artifact.digest, source=source, tags=tags, key=context.key, in_doubt=context.in_doubt
    )
    await registry.tag(made.name, made.version, tags)
    return {
        "model": made.name, "version": made.version, "source": made.source, "alias": alias, "stands": stands, "system": system,
        "settle_s": float(rules["settle"]),
    }  # fmt: skip


async def alias(context: Context, given: Input) -> Json:
    registry, _ = registry_of(context, given)
    model, name, version = str(given["model"]), str(given["alias"]), str(given["version"])
    expect = given.get("expect")
    await registry.alias(model, name, version, expect=None if expect is None else str(expect))
    return {"model": model, "alias": name, "version": version}


async def tag(context: Context, given: Input) -> Json:
    registry, _ = registry_of(context, given)
    tags = {str(key)[:120]: str(value)[:TEXT] for key, value in dict(given["tags"]).items()}
    await registry.tag(str(given["model"]), str(given["version"]), tags)
    return {"model": str(given["model"]), "version": str(given["version"])}


async def note(context: Context, given: Input) -> Json:
    """Of an artifact that was registered from here, or of a version that was tried here. One that is not there: nothing."""
    registry, _ = registry_of(context, given)
    if given.get("artifact"):
        artifact = await _artifact(context, given)
        model = str(context.policy("registry")["model"]).format(line=artifact.line)
        found = next((one for one in await registry.versions(model) if one.digest == artifact.digest), None)
        says = {"quarterdeck.artifact": artifact.id, "quarterdeck.state": artifact.state}
        why = str(given.get("reason") or artifact.why)
    else:
        found = await registry.version(str(given["model"]), str(given["version"]))
        says, why = await _became(context, str(given.get("digest") or found.digest))
        why = why or str(given.get("reason") or "")
    if found is None:
        return {"noted": False, "model": "", "version": "", "state": ""}
    if why:
        says["quarterdeck.reason"] = why[:TEXT]
    await registry.tag(found.name, found.version, says)
    return {"noted": True, "model": found.name, "version": found.version, "state": says["quarterdeck.state"]}


def progress(context: Context, what: str) -> Callable[[int, int], None]:
    """Tells the run screen how far a transfer is, in MB."""

    def told(done: int, of: int) -> None:
        context.heartbeat({"done": done // 1_000_000, "of": of // 1_000_000, "unit": "MB", "what": what[:100]})

    return told


async def _became(context: Context, digest: str) -> tuple[dict[str, str], str]:
    """What stands in the book about a model of this digest."""
    candidates: list[CandidateView] = (
        await context.records.find("candidate", where={"model_digest": digest}, limit=1) if digest else []
    )
    if not candidates:
        return {"quarterdeck.state": "not tried"}, ""
    one = candidates[0]
    says = {
        "quarterdeck.candidate": one.id,
        "quarterdeck.state": one.state,
        "quarterdeck.verdict": one.verdict,
        "quarterdeck.digest": digest,
    }
    return {key: value for key, value in says.items() if value}, one.why or one.sentence


async def _source(
    context: Context, registry: Registry, model: str, artifact: ArtifactView, candidate: CandidateView | None
) -> str:
    """Puts the bytes where the policy says, under a name that holds their digest."""
    path: Path = context.vault.path(artifact.digest)
    name = f"{artifact.line}-{artifact.version}-{artifact.digest[7:19]}.tar"
    store = str(context.policy("registry")["store"])
    if store:
        objects: Objects = context.port("objects")
        uri = f"{store.rstrip('/')}/{artifact.line}/{name}"
        return await objects.put(uri, path, digest=artifact.digest, told=progress(context, f"storing {name}"))
    metrics = await _metrics(context, candidate)
    with tempfile.TemporaryDirectory(prefix="qd-registry-") as folder:
        named = Path(folder) / name
        await asyncio.to_thread(named.symlink_to, path)
        return await registry.keep(
            model, named, digest=artifact.digest, metrics=metrics, key=context.key, in_doubt=context.in_doubt
        )


async def _metrics(context: Context, candidate: CandidateView | None) -> dict[str, float]:
    """The numbers of the comparison it was decided on, as far as they are numbers."""
    found: ComparisonView | None = (
        await context.records.get("comparison", candidate.comparison) if candidate and candidate.comparison else None
    )
    if found is None:
        return {}
    plain = {"safety_events": found.safety_events, "hours": found.hours, "excluded": found.excluded}
    if found.overall is not None:
        plain |= {f"overall.{key}": value for key, value in msgspec.to_builtins(found.overall).items()}
    return {
        key: float(value)
        for key, value in plain.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


async def _stands(registry: Registry, model: str, alias: str) -> str:
    """The version the alias points at now; empty when it points nowhere."""
    for one in await registry.versions(model):
        if alias in one.aliases:
            return one.version
    return ""


def _tags(artifact: ArtifactView, candidate: CandidateView | None) -> Mapping[str, str]:
    found = {
        "quarterdeck.artifact": artifact.id, "quarterdeck.line": artifact.line, "quarterdeck.release": artifact.version,
        "quarterdeck.state": artifact.state, "quarterdeck.candidate": artifact.candidate,
        "quarterdeck.targets": ", ".join(artifact.targets), "quarterdeck.sbom": artifact.sbom,
        "quarterdeck.provenance": artifact.provenance, "quarterdeck.key_id": artifact.key_id,
    }  # fmt: skip
    if candidate is not None:
        found |= {
            "quarterdeck.model_digest": candidate.model_digest, "quarterdeck.snapshot": candidate.snapshot_digest,
            "quarterdeck.verdict": candidate.verdict, "quarterdeck.evidence": candidate.evidence,
            "quarterdeck.approved_by": ", ".join(person for each in candidate.decisions[-1:] for person in each.people),
        }  # fmt: skip
    return {key: value[:TEXT] for key, value in found.items() if value}


async def _artifact(context: Context, given: Input) -> ArtifactView:
    found: ArtifactView | None = await context.records.get("artifact", str(given["artifact"]))
    if found is None:
        raise _refused("NoArtifact", f"there is no artifact {str(given['artifact'])[:80]}")
    return found


def _refused(error: str, message: str) -> ActionError:
    return ActionError(error, message, kind="validation", retryable=False)


__all__ = ["alias", "note", "progress", "register", "registry_of", "tag"]
