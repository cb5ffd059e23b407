"""Promises of model registries. Writes happen under a model that carries the check's mark."""

from __future__ import annotations

from typing import Any

from engine.capabilities.ports import ActionError
from engine.capabilities.systems.conformance.every import listing
from engine.capabilities.systems.conformance.promise import Bench, NotTried, clean, must, promise, refuses, sane
from engine.capabilities.systems.ports import ModelVersion

DIGEST = "sha256:" + "5a" * 32


@promise("registry", "a model nobody registered has no versions")
async def a_strange_model_has_no_versions(port: Any, bench: Bench) -> None:
    try:
        found = await port.versions(bench.mark)
    except ActionError as error:
        must(error.kind in ("validation", "domain") and not error.retryable, f"{error.error}: {error.message[:160]}")
    else:
        must(not found, "a model that does not exist has versions")
    await refuses(port.version(bench.mark, "1"), kinds=("validation", "domain"))


@promise("registry", "mirrored models can be read with their versions")
async def mirrored_models_can_be_read(port: Any, bench: Bench) -> None:
    if "model" not in {feed.kind for feed in getattr(port, "feeds", ())}:
        raise NotTried("no feed of models")
    _, objects = await bench.once("listing of model", lambda: listing(port, "model"))
    if not objects:
        raise NotTried("no model is registered")
    for one in objects[:5]:
        for version in await port.versions(one.name or one.id):
            must(version.version, f"{one.id}: a version has no number")
            sane(version.created_at, bench.now(), f"{one.id} {version.version}: created_at")
            clean(version, f"{one.id} {version.version}")


async def _version(port: Any, bench: Bench) -> ModelVersion:
    async def make() -> ModelVersion:
        bench.undo(f"model {bench.mark}", lambda: _away(port, bench))
        made: ModelVersion = await _register(port, bench)
        return made

    return await bench.once("the model", make)


async def _register(port: Any, bench: Bench, in_doubt: bool = False) -> ModelVersion:
    found: ModelVersion = await port.register(
        bench.mark, digest=DIGEST, source=f"s3://example-invalid/{bench.mark}", tags={"made_by": "quarterdeck check"},
        key=bench.key("version"), in_doubt=in_doubt,
    )  # fmt: skip
    return found


async def _away(port: Any, bench: Bench) -> None:
    discard = getattr(port, "discard", None)
    if discard is None:
        bench.stays(f"model {bench.mark}: this port deletes no models")
    else:
        await discard("model", bench.mark)


@promise("registry", "registering twice with one key is one version", write=True)
async def registering_twice_is_one_version(port: Any, bench: Bench) -> None:
    first = await _version(port, bench)
    must(first.digest == DIGEST, f"its digest is {first.digest!r}")
    for in_doubt in (True, False):
        again = await _register(port, bench, in_doubt)
        must(again.version == first.version, f"versions {first.version} and {again.version} were made")
    must(len(await port.versions(bench.mark)) == 1, "there is more than one version")


@promise("registry", "tags can be set, and set again", write=True)
async def tags_can_be_set(port: Any, bench: Bench) -> None:
    made = await _version(port, bench)
    for value in ("one", "two", "two"):
        await port.tag(made.name, made.version, {"check": value})
    found = await port.version(made.name, made.version)
    must(found.tags.get("check") == "two", f"the tag is {found.tags.get('check')!r}")
    must(found.tags.get("made_by") == "quarterdeck check", "a tag given at registration is lost")


@promise("registry", "an alias points where it was put; with a wrong expectation it is a Conflict", write=True)
async def an_alias_is_compared(port: Any, bench: Bench) -> None:
    made = await _version(port, bench)
    await port.alias(made.name, "qd-check", made.version)
    must("qd-check" in (await port.version(made.name, made.version)).aliases, "the alias is not there")
    await port.alias(made.name, "qd-check", made.version, expect=made.version)
    await port.alias(made.name, "qd-check", made.version, expect="987654")  # it points there: a repeat changes nothing
    await refuses(port.alias(made.name, "qd-check-other", made.version, expect="987654"), "Conflict")
