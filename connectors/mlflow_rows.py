"""MLflow's answers as they come, and what they are here: clean text, times in seconds, numbers that may be NaN."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Struct, field

from connectors.remote_text import clean
from engine.capabilities.ports import Json
from engine.capabilities.systems.ports import ModelVersion, RemoteObject

SCHEME = "mlflow-artifacts:/"
KEY, DIGEST = "quarterdeck.key", "quarterdeck.digest"


class Tag(Struct):
    key: str
    value: str = ""


class Alias(Struct):
    alias: str
    version: str


class Version(Struct):
    """A model version; `aliases` are told by a single read alone."""

    name: str
    version: str
    source: str = ""
    run_id: str = ""
    status: str = ""
    current_stage: str = "None"
    creation_timestamp: int = 0
    last_updated_timestamp: int = 0
    tags: list[Tag] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)


class Model(Struct):
    name: str
    creation_timestamp: int = 0
    last_updated_timestamp: int = 0
    description: str = ""
    tags: list[Tag] = field(default_factory=list)
    aliases: list[Alias] = field(default_factory=list)
    latest_versions: list[Version] = field(default_factory=list)


class Versions(Struct):
    model_versions: list[Version] = field(default_factory=list)
    next_page_token: str = ""


class Models(Struct):
    registered_models: list[Model] = field(default_factory=list)
    next_page_token: str = ""


class OneVersion(Struct):
    model_version: Version


class OneModel(Struct):
    registered_model: Model


class Metric(Struct):
    key: str = ""
    value: float | str = 0.0
    timestamp: int = 0


class Metrics(Struct):
    metrics: list[Metric] = field(default_factory=list)
    next_page_token: str = ""


class Info(Struct):
    run_id: str
    artifact_uri: str = ""
    experiment_id: str = ""


class Data(Struct):
    metrics: list[Metric] = field(default_factory=list)


class Run(Struct):
    info: Info
    data: Data = field(default_factory=Data)


class OneRun(Struct):
    run: Run


class Runs(Struct):
    runs: list[Run] = field(default_factory=list)


class Experiment(Struct):
    experiment_id: str


class OneExperiment(Struct):
    experiment: Experiment


class Where(Struct):
    artifact_uri: str = ""


class File(Struct):
    path: str
    is_dir: bool = False
    file_size: int = 0


class Files(Struct):
    files: list[File] = field(default_factory=list)


def version_of(one: Version, aliases: Sequence[str], metrics: Mapping[str, float] | None = None) -> ModelVersion:
    tags = _shown(one.tags)
    return ModelVersion(
        name=clean(one.name, 200), version=clean(one.version, 20), source=clean(one.source, 1000),
        digest=tags.get(DIGEST, ""), run=clean(one.run_id, 64), state=clean(one.status, 40),
        aliases=tuple(sorted(clean(a, 120) for a in aliases)), tags=tags, metrics=dict(metrics or {}),
        created_at=one.creation_timestamp / 1000,
    )  # fmt: skip


def mirrored_version(one: Version, base: str) -> RemoteObject:
    tags = _shown(one.tags)
    name, version = clean(one.name, 200), clean(one.version, 20)
    data = {
        "model": name, "version": version, "digest": tags.get(DIGEST, ""), "source": clean(one.source, 300),
        "run": clean(one.run_id, 64), "tags": tags,
    }  # fmt: skip
    return RemoteObject(
        id=f"{name}/{version}", name=f"{name} {version}", state=clean(one.status, 40),
        changed_at=one.last_updated_timestamp / 1000, etag=_etag(data, one.status),
        url=f"{base}/#/models/{quote(one.name, safe='')}/versions/{quote(version, safe='')}", data=data,
    )  # fmt: skip


def mirrored_model(one: Model, base: str) -> list[RemoteObject]:
    aliases = {clean(a.alias, 120): clean(a.version, 20) for a in one.aliases[:200]}
    newest = max((v.version for v in one.latest_versions), key=lambda v: (len(v), v), default="")
    data = {
        "aliases": aliases,
        "newest": clean(newest, 20),
        "tags": _shown(one.tags),
        "about": clean(one.description, 300),
    }
    return [
        RemoteObject(
            id=clean(one.name, 200), name=clean(one.name, 200), state="registered",
            changed_at=one.last_updated_timestamp / 1000, etag=_etag(data), url=f"{base}/#/models/{quote(one.name, safe='')}",
            data=data,
        )
    ]  # fmt: skip


def mirrored_aliases(one: Model, base: str) -> list[RemoteObject]:
    name = clean(one.name, 200)
    return [
        RemoteObject(
            id=f"{name}@{clean(a.alias, 120)}", name=clean(a.alias, 120), state=clean(a.version, 20), etag=clean(a.version, 20),
            url=f"{base}/#/models/{quote(one.name, safe='')}/versions/{quote(a.version, safe='')}",
            data={"model": name, "alias": clean(a.alias, 120), "version": clean(a.version, 20)},
        )
        for a in one.aliases[:200]
    ]  # fmt: skip


def _etag(*what: Json) -> str:
    """Aliases and tags change without a change of the server's own time: the content says whether it changed."""
    return hashlib.sha256(msgspec.json.encode(what, order="sorted")).hexdigest()[:16]


def _shown(tags: Sequence[Tag]) -> dict[str, str]:
    return {clean(one.key, 120): clean(one.value, 300) for one in tags[:100] if one.key != KEY}


def tags_of(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in sorted(tags.items())]


def marker(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:20]


def run_of(source: str) -> str:
    """The run a source under the server's own artifacts belongs to: mlflow-artifacts:/EXPERIMENT/RUN/artifacts/…"""
    parts = urlsplit(source).path.strip("/").split("/") if source.startswith(SCHEME) else []
    return parts[1] if len(parts) > 3 and parts[2] == "artifacts" else ""


def number(value: float | str) -> float:
    """NaN and the infinities come as text."""
    try:
        return float(value)
    except ValueError:
        return math.nan
