"""A real book and vault, and a registry and an object store in memory that keep the ports' promises."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from engine.capabilities import subjects
from engine.capabilities.packs import load_pack
from engine.capabilities.ports import ActionError
from engine.capabilities.systems.ports import ModelVersion
from engine.hosts.embedded import Host
from engine.store.records import Actor

ACTIONS = subjects.actions()


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class MemoryRegistry:
    """Bytes by source; versions by model; aliases. `before_alias` happens just before an alias is moved."""

    def __init__(self) -> None:
        self.models: dict[str, list[ModelVersion]] = {}
        self.bytes: dict[str, bytes] = {}
        self.metrics_of: dict[str, Mapping[str, float]] = {}
        self.before_alias: Callable[[], None] = lambda: None

    def _put(self, one: ModelVersion) -> None:
        self.models[one.name][int(one.version) - 1] = one

    async def versions(self, name: str) -> list[ModelVersion]:
        return list(reversed(self.models.get(name, [])))

    async def version(self, name: str, version: str) -> ModelVersion:
        for one in self.models.get(name, []):
            if one.version == version:
                return one
        raise ActionError("NoSuchVersion", f"no {name}/{version}", kind="validation", retryable=False)

    async def register(
        self, name: str, *, digest: str, source: str, tags: Mapping[str, str], key: str, in_doubt: bool = False
    ) -> ModelVersion:
        every = self.models.setdefault(name, [])
        if digest and (known := next((one for one in every if one.digest == digest), None)) is not None:
            return known
        every.append(
            ModelVersion(name=name, version=str(len(every) + 1), source=source, digest=digest, tags=dict(tags))
        )
        return every[-1]

    async def keep(
        self, name: str, file: Path, *, digest: str, metrics: Mapping[str, float], key: str, in_doubt: bool = False
    ) -> str:
        source = f"memory:/{name}/{file.name}"
        self.bytes[source], self.metrics_of[digest] = file.read_bytes(), metrics
        return source

    async def fetch(self, version: ModelVersion, target: Path, *, told: Any = None) -> str:
        if version.source not in self.bytes:
            raise ActionError("NotHere", "elsewhere", retryable=False, detail={"source": version.source})
        content = self.bytes[version.source]
        if version.digest and digest_of(content) != version.digest:
            raise ActionError("DigestMismatch", "not what it says", kind="validation", retryable=False)
        target.write_bytes(content)
        return digest_of(content)

    async def tag(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        one = await self.version(name, version)
        self._put(msgspec.structs.replace(one, tags={**one.tags, **tags}))

    async def alias(self, name: str, alias: str, version: str, *, expect: str | None = None) -> None:
        self.before_alias()
        stands = next((one.version for one in self.models[name] if alias in one.aliases), "")
        if stands == version:
            return
        if expect is not None and stands != expect:
            raise ActionError("Conflict", f"{alias} points at {stands}", kind="conflict", retryable=False)
        await self.version(name, version)
        for one in list(self.models[name]):
            kept = set(one.aliases) - {alias} | ({alias} if one.version == version else set())
            self._put(msgspec.structs.replace(one, aliases=tuple(sorted(kept))))


class MemoryStore:
    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    async def put(self, uri: str, file: Path, *, digest: str, told: Any = None) -> str:
        assert digest_of(file.read_bytes()) == digest
        self.held[uri] = file.read_bytes()
        return uri

    async def get(self, uri: str, target: Path, *, digest: str = "", told: Any = None) -> str:
        if uri not in self.held:
            raise ActionError("NoSuchObject", uri, kind="validation", retryable=False)
        if digest and digest_of(self.held[uri]) != digest:
            raise ActionError("DigestMismatch", uri, kind="validation", retryable=False)
        target.write_bytes(self.held[uri])
        return digest_of(self.held[uri])

    async def delete(self, uri: str) -> None:
        self.held.pop(uri, None)


class Context:
    def __init__(self, ground: Ground, number: int) -> None:
        self.run, self.path, self.key, self.attempt = "run-1", "step", f"run-1/step/{number}", 1
        self.installation = "here"
        self.in_doubt = self.recovered = False
        self.started_by = "ana"
        self._ground = ground
        self.records, self.vault = ground.host.keeper.for_asker(
            Actor(kind="engine", id="engine"), self.key, run=self.run, scope=self.key
        )

    def now(self) -> float:
        return 1_790_000_000.0

    def heartbeat(self, progress: Any = None) -> None:
        return None

    def cancelled(self) -> bool:
        return False

    def port(self, capability: str) -> Any:
        if capability not in self._ground.ports:
            raise ActionError("NotConfigured", f"no {capability}", kind="configuration", retryable=False)
        return self._ground.ports[capability]

    def policy(self, pack: str) -> dict[str, Any]:
        return load_pack(pack, overrides=self._ground.overrides.get(pack))


class Ground:
    def __init__(self, host: Host) -> None:
        self.host, self.registry, self.store = host, MemoryRegistry(), MemoryStore()
        self.ports: dict[str, Any] = {"registry": self.registry, "objects": self.store}
        self.overrides: dict[str, dict[str, Any]] = {}
        self._number = 0

    @property
    def context(self) -> Context:
        self._number += 1
        return Context(self, self._number)

    async def act(self, name: str, **given: Any) -> Any:
        return await ACTIONS[name].run(self.context, given)

    async def artifact(self, content: bytes = b"archive", **more: Any) -> str:
        """One that may be rolled out, with its candidate."""
        context = self.context
        kept = context.vault.put_bytes(content, media="application/x-tar")
        candidate = await context.records.create(
            "candidate",
            {"line": "pick", "model_digest": digest_of(content + b"!"), "verdict": "better"},
            key=kept.digest,
        )
        fields = {
            "digest": kept.digest, "line": "pick", "version": "4.8.1", "candidate": candidate.id, "targets": ["go2"],
            "sbom": "sha256:s", "provenance": "sha256:p", "rollback_drilled": True,
        } | more  # fmt: skip
        made = await context.records.create("artifact", fields, key=kept.digest)
        signature = {"signature": "sha256:x", "key_id": "k1"}
        await context.records.change("artifact", made.id, to="signed", set=signature)
        await context.records.change("artifact", made.id, to="eligible")
        return str(made.id)
