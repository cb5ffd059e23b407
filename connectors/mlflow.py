"""MLflow (tracking server and model registry). Written against 3.17.2, REST API 2.0.

What the server does, and what follows:

- It has no idempotency keys, and creating a version twice makes two. The digest of the content and the step's key stand as
  tags on a version and are looked for first; an answer that was lost is looked for again before anything is sent.
- A `source` under `mlflow-artifacts:` is only taken together with the run it belongs to: what is kept there gets a run of
  its own, known by its digest, on which what was measured is logged.
- Setting an alias has no compare-and-swap: it is read just before and just after.
- Setting an alias does not change when a model was last updated, and searching versions does not name their aliases: the
  models are listed every time, and the aliases are an own feed.
- A missing alias is 400 INVALID_PARAMETER_VALUE, a missing version 404 RESOURCE_DOES_NOT_EXIST, an unknown run has an empty
  metric history. NaN comes as the string "NaN"; versions are strings; times are milliseconds.
- Its webhook list is cached for a minute: events just after a webhook was made are lost, and the pull catches them.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from connectors import paging
from connectors.credentials import Basic, Bearer
from connectors.http import HttpClient
from connectors.mlflow_rows import (
    DIGEST,
    KEY,
    SCHEME,
    Experiment,
    File,
    Files,
    Metrics,
    Models,
    OneExperiment,
    OneModel,
    OneRun,
    OneVersion,
    Run,
    Runs,
    Version,
    Versions,
    Where,
    marker,
    mirrored_aliases,
    mirrored_model,
    mirrored_version,
    number,
    run_of,
    tags_of,
    version_of,
)
from connectors.mlflow_webhook import received
from connectors.remote_text import clean
from connectors.settings import FIELDS, SECRETS, client
from connectors.transfer import download
from engine.capabilities.ports import ActionError, Clock, InDoubt, Json, Param
from engine.capabilities.systems.ports import Feed, Incoming, ModelVersion, Pulled, Right

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
PAGE = 200
MOST_B = 64 << 30
SETTLE_S = 2.0
"""How long after a lost answer a version may still come to light before the same is sent again."""
_BESIDE = ("MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", "registered_model_meta")


class MLflow:
    """Implements the port Registry; a Source of `model`, `model_version` and `model_alias`."""

    traits: dict[str, str] = {
        "alias": "an alias is set without compare-and-swap: it is read just before and after, and another writer may come between",
        "identity": "without a proxy that knows people, whoever reaches the server may change everything",
        "delete": "versions are never deleted from here; they are tagged",
        "webhooks": "a new webhook is used a minute later; what happens before is noticed by the pull",
        "aliases": "the alias `latest` is the server's own",
    }
    feeds = (
        Feed(kind="model", title="registered models", every_s=60.0, full_every_s=0.0),
        Feed(kind="model_version", title="model versions", every_s=120.0, full_every_s=0.0, stale_s=600.0),
        Feed(kind="model_alias", title="model aliases", every_s=60.0, full_every_s=0.0),
    )

    def __init__(
        self,
        http: HttpClient,
        clock: Clock,
        *,
        experiment: str = "quarterdeck",
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._http, self._clock, self._experiment, self._sleep = http, clock, experiment, sleep
        self._writing = asyncio.Lock()  # two writers of one alias would each undo what the other checked

    async def close(self) -> None:
        await self._http.close()

    # -- reading ------------------------------------------------------------------------------------------------------

    async def check(self) -> str:
        await self._http.get(f"{API}/registered-models/search", Models, params={"max_results": "1"})
        version = await self._http.get("/version", str, accept="*/*")
        return f"MLflow {clean(version.strip(), 40)}"

    async def rights(self) -> Sequence[Right]:
        """Reading is tried; who may write is not told by this server."""
        await self._http.get(f"{API}/registered-models/search", Models, params={"max_results": "1"})
        return (
            Right(name="read registered models", has=True, needed_for="the mirror of models"),
            Right(name="register, tag and alias", has=None, needed_for="registry.register, registry.alias"),
        )

    async def versions(self, name: str) -> Sequence[ModelVersion]:
        """Every version, newest first, with its aliases."""
        aliases = await self._aliases(name)
        query = {"filter": f"name={_quoted(name)}", "order_by": "version_number DESC"}
        found = [one async for one in self._search(query)]
        return [version_of(one, aliases.get(one.version, ())) for one in found]

    async def version(self, name: str, version: str) -> ModelVersion:
        """With its aliases and the last value of each metric. Raises ActionError `NoSuchVersion`."""
        found = await self._one(name, version)
        metrics: dict[str, float] = {}
        if found.run_id:
            try:
                run = await self._http.get(f"{API}/runs/get", OneRun, params={"run_id": found.run_id})
                metrics = {clean(m.key, 120): number(m.value) for m in run.run.data.metrics[:500]}
            except ActionError as error:
                if error.error != "NotFound":  # a run that was deleted takes nothing from its version
                    raise
        return version_of(found, tuple(found.aliases), metrics)

    async def metrics(self, run: str, name: str) -> Sequence[tuple[float, float]]:
        """(UTC epoch s, value) in the order they were logged."""
        found: list[tuple[float, float]] = []
        async for page in paging.by_token(
            self._http, f"{API}/metrics/get-history", Metrics, lambda p: p.next_page_token, param="page_token",
            params={"run_id": run, "metric_key": name, "max_results": "1000"},
        ):  # fmt: skip
            found += [(m.timestamp / 1000, number(m.value)) for m in page.value.metrics]
        return found

    # -- writing ------------------------------------------------------------------------------------------------------

    async def register(
        self, name: str, *, digest: str, source: str, tags: Mapping[str, str], key: str, in_doubt: bool = False
    ) -> ModelVersion:
        """Raises ActionError `BadModel` (a name or source the registry does not take); InDoubt."""
        _named(name)
        async with self._writing:
            for _ in range(2 if in_doubt else 1):
                if (known := await self._known(name, digest)) is not None:
                    return await self.version(name, known.version)
                if in_doubt:
                    await self._sleep(SETTLE_S)
            await self._model(name)
            body = {
                "name": name, "source": source, "run_id": run_of(source),
                "tags": tags_of({**tags, DIGEST: digest, KEY: marker(key)}),
            }  # fmt: skip
            made = await self._http.send("POST", f"{API}/model-versions/create", OneVersion, json=body, safe=False)
        return await self.version(name, made.model_version.version)

    async def tag(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Sets tags, one call each; setting what stands is doing nothing. Raises `NoSuchVersion`."""
        has = {one.key: one.value for one in (await self._one(name, version)).tags}
        for key, value in sorted(tags.items()):
            if has.get(key) != value:
                body = {"name": name, "version": version, "key": key, "value": value}
                await self._http.send("POST", f"{API}/model-versions/set-tag", dict, json=body, safe=True)

    async def alias(self, name: str, alias: str, version: str, *, expect: str | None = None) -> None:
        """`expect` empty: only if nobody has the alias yet. Raises `Conflict`, `NoSuchVersion`, `BadAlias`."""
        async with self._writing:
            await self._one(name, version)
            stands = await self._pointed(name, alias)
            if stands == version:
                return
            if expect is not None and stands != expect:
                raise _conflict(name, alias, stands, expect)
            body = {"name": name, "alias": alias, "version": version}
            lost: InDoubt | None = None
            try:
                await self._http.send("POST", f"{API}/registered-models/alias", dict, json=body, safe=False)
            except InDoubt as error:
                lost = error
            after = await self._pointed(name, alias)
            if after == version:
                return
            if lost is not None:
                raise lost
            raise _conflict(name, alias, after, version)

    async def keep(
        self, name: str, file: Path, *, digest: str, metrics: Mapping[str, float], key: str, in_doubt: bool = False
    ) -> str:
        """In a run of its own; bytes that are there already are compared by length and not sent again."""
        _named(name)
        async with self._writing:
            run = await self._run(name, digest, key, in_doubt)
        if metrics:
            await self._measured(run.info.run_id, metrics)
        place = run.info.artifact_uri.removeprefix(SCHEME).strip("/")
        if not run.info.artifact_uri.startswith(SCHEME):
            raise ActionError(
                "NotHere",
                f"MLflow keeps files at {clean(run.info.artifact_uri, 120)}, not behind its own server: put the bytes there, "
                "and register them by their source",
                kind="configuration",
                retryable=False,
            )
        size = (await asyncio.to_thread(file.stat)).st_size
        there = {one.path: one.file_size for one in await self._listed(place)}
        if there.get(file.name) != size:
            path = f"{ARTIFACTS}/{quote(f'{place}/{file.name}')}"
            media = "application/octet-stream"
            await self._http.send("PUT", path, bytes, content=file, media=media, safe=True, timeout_s=3600.0)
        return f"{run.info.artifact_uri}/{file.name}"

    async def fetch(
        self, version: ModelVersion, target: Path, *, told: Callable[[int, int], None] | None = None
    ) -> str:
        source = version.source
        if not source.startswith(SCHEME):
            params = {"name": version.name, "version": version.version}
            found = await self._http.get(f"{API}/model-versions/get-download-uri", Where, params=params)
            source = found.artifact_uri
        if not source.startswith(SCHEME):
            raise ActionError(
                "NotHere",
                f"{version.name}/{version.version} lies at {clean(source, 200)}",
                retryable=False,
                detail={"source": clean(source, 1000)},
            )
        place = await self._file(source.removeprefix(SCHEME).strip("/"), version)
        done = await download(
            self._http, f"{ARTIFACTS}/{quote(place)}", target, limit_b=MOST_B, digest=version.digest, told=told
        )
        return done.digest

    async def discard(self, kind: str, id: str) -> None:
        """Takes away what a check of this connector made, and nothing else: every version has to carry the check's tag."""
        found = await self.versions(id) if kind == "model" else ()
        if not id.startswith("qd-check-") or any(one.tags.get("made_by") != "quarterdeck check" for one in found):
            raise _refusal("NotOurs", f"{clean(kind, 20)} {clean(id, 80)} was not made by a check: it is not deleted")
        await self._http.send("DELETE", f"{API}/registered-models/delete", dict, json={"name": id}, safe=True)

    # -- the mirror ---------------------------------------------------------------------------------------------------

    async def pull(self, feed: str, cursor: str) -> Pulled:
        """Everything, page by page. The cursor is the server's own token of the next page. Raises `CursorLost`."""
        try:
            return await self._pull(feed, cursor)
        except ActionError as error:
            if cursor and error.error == "Refused":
                what = "MLflow no longer knows that page: everything is listed anew"
                raise ActionError("CursorLost", what, kind="conflict") from error
            raise

    async def _pull(self, feed: str, cursor: str) -> Pulled:
        params = {"max_results": str(PAGE)} | ({"page_token": cursor} if cursor else {})
        if feed == "model_version":
            answer = await self._http.send_full(
                "GET", f"{API}/model-versions/search", Versions, params=params, safe=True
            )
            objects = [mirrored_version(one, self._http.url) for one in answer.value.model_versions]
            token, now = answer.value.next_page_token, answer.owner_now
        else:
            models = await self._http.send_full(
                "GET", f"{API}/registered-models/search", Models, params=params, safe=True
            )
            each = mirrored_model if feed == "model" else mirrored_aliases
            objects = [one for model in models.value.registered_models for one in each(model, self._http.url)]
            token, now = models.value.next_page_token, models.owner_now
        return Pulled(objects=tuple(objects), cursor=token, more=bool(token), full=True, owner_now=now)

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _search(self, query: Mapping[str, str]) -> AsyncIterator[Version]:
        async for page in paging.by_token(
            self._http, f"{API}/model-versions/search", Versions, lambda p: p.next_page_token, param="page_token",
            params={**query, "max_results": str(PAGE)},
        ):  # fmt: skip
            for one in page.value.model_versions:
                yield one

    async def _known(self, name: str, digest: str) -> Version | None:
        """The oldest version of this content."""
        query = {
            "filter": f"name={_quoted(name)} and tags.`{DIGEST}` = {_quoted(digest)}",
            "order_by": "version_number ASC",
        }
        return await anext(aiter(self._search(query)), None)

    async def _one(self, name: str, version: str) -> Version:
        try:
            found = await self._http.get(
                f"{API}/model-versions/get", OneVersion, params={"name": name, "version": version}
            )
        except ActionError as error:
            if error.error == "NotFound":
                what = f"MLflow has no version {clean(version, 20)} of {clean(name, 80)}"
                raise _refusal("NoSuchVersion", what) from error
            raise
        return found.model_version

    async def _aliases(self, name: str) -> dict[str, tuple[str, ...]]:
        """Version -> its aliases."""
        try:
            found = await self._http.get(f"{API}/registered-models/get", OneModel, params={"name": name})
        except ActionError as error:
            if error.error == "NotFound":
                return {}
            raise
        by_version: dict[str, tuple[str, ...]] = {}
        for one in found.registered_model.aliases:
            by_version[one.version] = (*by_version.get(one.version, ()), clean(one.alias, 120))
        return by_version

    async def _pointed(self, name: str, alias: str) -> str:
        """The version an alias points at; empty when there is none. Raises `BadAlias`."""
        try:
            found = await self._http.get(
                f"{API}/registered-models/alias", OneVersion, params={"name": name, "alias": alias}
            )
        except ActionError as error:
            if error.error in ("Refused", "NotFound") and "not found" in error.message:
                return ""
            if error.error == "Refused":
                raise _refusal("BadAlias", error.message) from error
            raise
        return found.model_version.version

    async def _model(self, name: str) -> None:
        """Makes the registered model unless it is there: a name is made once, so making it again is harmless."""
        try:
            await self._http.send("POST", f"{API}/registered-models/create", dict, json={"name": name}, safe=True)
        except ActionError as error:
            if "RESOURCE_ALREADY_EXISTS" not in error.message:
                raise

    async def _run(self, name: str, digest: str, key: str, in_doubt: bool) -> Run:
        experiment = await self._home()
        query = {
            "experiment_ids": [experiment],
            "filter": f"tags.`{DIGEST}` = {_quoted(digest)} and tags.`quarterdeck.model` = {_quoted(name)}",
            "order_by": ["attributes.start_time ASC"],
            "max_results": 1,
        }
        for _ in range(2 if in_doubt else 1):
            found = await self._http.send("POST", f"{API}/runs/search", Runs, json=query, safe=True, reads=True)
            if found.runs:
                return found.runs[0]
            if in_doubt:
                await self._sleep(SETTLE_S)
        body = {
            "experiment_id": experiment, "run_name": f"{name} {digest[7:19]}", "start_time": int(self._clock.now() * 1000),
            "tags": tags_of({DIGEST: digest, "quarterdeck.model": name, KEY: marker(key)}),
        }  # fmt: skip
        made = await self._http.send("POST", f"{API}/runs/create", OneRun, json=body, safe=False)
        ended = {"run_id": made.run.info.run_id, "status": "FINISHED", "end_time": int(self._clock.now() * 1000)}
        await self._http.send("POST", f"{API}/runs/update", dict, json=ended, safe=True)
        return made.run

    async def _home(self) -> str:
        """The experiment that our runs stand in, made when it is missing."""
        path = f"{API}/experiments/get-by-name"
        params = {"experiment_name": self._experiment}
        try:
            return (await self._http.get(path, OneExperiment, params=params)).experiment.experiment_id
        except ActionError as error:
            if error.error != "NotFound":
                raise
        try:
            body = {"name": self._experiment}
            made = await self._http.send("POST", f"{API}/experiments/create", Experiment, json=body, safe=True)
        except ActionError as error:
            if "RESOURCE_ALREADY_EXISTS" not in error.message:
                raise
            return (await self._http.get(path, OneExperiment, params=params)).experiment.experiment_id
        return made.experiment_id

    async def _measured(self, run: str, metrics: Mapping[str, float]) -> None:
        """The same values at the same time and step are one value each, however often they are sent."""
        found = await self._http.get(f"{API}/runs/get", OneRun, params={"run_id": run})
        has = {m.key: number(m.value) for m in found.run.data.metrics}
        at = int(self._clock.now() * 1000)
        fresh = [
            {"key": name, "value": value, "timestamp": at, "step": 0}
            for name, value in sorted(metrics.items())
            if math.isfinite(value) and has.get(name) != value
        ]
        if fresh:
            await self._http.send(
                "POST", f"{API}/runs/log-batch", dict, json={"run_id": run, "metrics": fresh[:1000]}, safe=True
            )

    async def _listed(self, place: str) -> list[File]:
        try:
            return (await self._http.get(ARTIFACTS, Files, params={"path": place})).files
        except ActionError as error:
            if error.error == "NotFound":
                return []
            raise

    async def _file(self, place: str, version: ModelVersion) -> str:
        """The one file of a version: its source itself, the one a tag names, or the only one in its folder."""
        listed = await self._listed(place)
        if not listed:
            return place
        named = version.tags.get("quarterdeck.file", "")
        files = [one.path for one in listed if not one.is_dir and one.path.rsplit("/", 1)[-1] not in _BESIDE]
        chosen = [one for one in files if one == named] if named else files
        if len(chosen) != 1:
            raise _refusal(
                "ManyFiles",
                f"{version.name}/{version.version} has {len(files)} files ({clean(', '.join(sorted(files)), 200)}): tag it with "
                "quarterdeck.file to say which one is the model",
            )
        return f"{place}/{chosen[0]}"


def _quoted(text: str) -> str:
    """A string of the search language. It knows no escapes, so a text that holds both quotes can't be asked for."""
    if "'" not in text:
        return f"'{text}'"
    if '"' not in text:
        return f'"{text}"'
    raise _refusal("BadModel", f"{clean(text, 80)!r} holds both kinds of quotes: MLflow can't search for it")


def _named(name: str) -> None:
    if not name.strip() or "/" in name or ":" in name:
        raise _refusal("BadModel", f"{clean(name, 80)!r} is no name MLflow takes: not empty, without / and :")


def _conflict(name: str, alias: str, stands: str, expect: str) -> ActionError:
    says = f"points at {clean(stands, 20)}" if stands else "is not set"
    wanted = f"version {clean(expect, 20)}" if expect else "nothing"
    return ActionError(
        "Conflict",
        f"{clean(alias, 80)} of {clean(name, 80)} {says}, not at {wanted}: somebody else moved it",
        kind="conflict",
        retryable=False,
        detail={"stands": clean(stands, 20), "expected": clean(expect, 20)},
    )


def _refusal(error: str, message: str) -> ActionError:
    return ActionError(error, message, kind="validation", retryable=False)


class MLflowConnector:
    """Settings: `url`; `secret` when a proxy in front wants a token, with `username` when it wants a password."""

    kind = "mlflow"
    title = "MLflow"
    docs = "REST API 2.0 and webhooks of MLflow 3.17; tested against the real server 3.17.2"
    capabilities = ("registry",)
    needs: tuple[str, ...] = ()
    secrets = {**SECRETS, "webhook_secret": "mlflow-webhook"}
    fields: dict[str, Param] = {
        **FIELDS,
        "secret": Param(type="string", required=False, description="name of the keyring entry: token or password"),
        "username": Param(type="string", required=False, description="user of the password; absent: secret is a token"),
        "webhook_secret": Param(
            type="string", required=False, description="name of the keyring entry that proves its webhooks"
        ),
        "experiment": Param(
            type="string", required=False, description="experiment whose runs hold what is kept there (quarterdeck)"
        ),
    }

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        entry, username = str(config.get("secret", "")), str(config.get("username", ""))
        auth: Basic | Bearer | None = None
        if entry:
            auth = Basic(username, lambda: secret(entry)) if username else Bearer(lambda: secret(entry))
        http = client(config, secret, name="MLflow", auth=auth)
        return {"registry": MLflow(http, clock, experiment=str(config.get("experiment", "quarterdeck")))}

    def receive(self, headers: Mapping[str, str], body: bytes, secret: str, now: float) -> Sequence[Incoming]:
        return received(headers, body, secret, now or time.time())


connector = MLflowConnector()
__all__ = ["MLflow", "MLflowConnector", "connector"]
