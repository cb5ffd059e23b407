"""Prometheus (metrics server): per-robot series, by plain selectors only.

Queries are made of a metric's name and exact labels; names and labels are checked, so no text from a robot or a person
becomes PromQL. Long robot lists are sent in chunks, by POST. `NaN` and infinities are "no value", never a number; labels
are cleaned and cut. Written against 2.42 (the stable v1 API).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from connectors.http import Bearer, HttpClient
from connectors.listing import listed
from connectors.remote_text import clean
from engine.capabilities.ports import ActionError, Clock, Json, Param, Sample
from engine.capabilities.systems.ports import Feed, Pulled, RemoteObject

CHUNK = 100  # robots of one query
MAX_POINTS = 10_000  # Prometheus refuses more than 11,000 points of one series
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_MAX_LABELS, _MAX_LABEL_TEXT = 30, 200


class _Series(Struct):
    metric: dict[str, str]
    value: tuple[float, str] | None = None
    values: list[tuple[float, str]] = field(default_factory=list)


class _Data(Struct):
    resultType: str
    result: list[_Series] = field(default_factory=list)


class _Answer(Struct):
    status: str
    data: _Data | None = None
    error: str = ""


class _Build(Struct):
    version: str = ""


class _BuildAnswer(Struct):
    data: _Build = field(default_factory=_Build)


class Prometheus:
    """Implements the port Signals. `label` is the label that names the robot. Mirrors what is scraped, and whether it answers."""

    feeds = (Feed(kind="target", title="scrape targets", every_s=60.0, full_every_s=0.0, stale_s=300.0),)

    def __init__(self, http: HttpClient, clock: Clock, label: str = "robot") -> None:
        self._http, self._clock, self._label = http, clock, label

    async def close(self) -> None:
        await self._http.close()

    async def instant(
        self, name: str, labels: dict[str, str] | None = None, at: float | None = None
    ) -> list[tuple[dict[str, str], Sample]]:
        form = {"query": selector(name, labels or {})}
        if at is not None:
            form["time"] = repr(at)
        found = []
        for series in await self._query("/api/v1/query", form):
            value = number(series.value[1]) if series.value else None
            if series.value and value is not None:
                found.append((_cleaned(series.metric), Sample(series.value[0], value)))
        return found

    async def instants(self, names: Sequence[str]) -> dict[str, list[tuple[dict[str, str], Sample]]]:
        """The latest values of several metrics, in one question."""
        if not all(_METRIC.fullmatch(n) for n in names):
            raise ActionError("BadQuery", "not a metric's name", kind="validation", retryable=False)
        found: dict[str, list[tuple[dict[str, str], Sample]]] = {n: [] for n in names}
        for series in await self._query("/api/v1/query", {"query": f'{{__name__=~"{"|".join(names)}"}}'}):
            value, name = number(series.value[1]) if series.value else None, series.metric.get("__name__", "")
            if series.value and value is not None and name in found:
                found[name].append((_cleaned(series.metric), Sample(series.value[0], value)))
        return found

    async def range(
        self, name: str, start: float, end: float, step: float, robots: Sequence[str] | None = None
    ) -> dict[str, list[Sample]]:
        if not (math.isfinite(start) and math.isfinite(end) and step > 0):
            raise ActionError("BadRange", f"not a range: {start}..{end} by {step}", kind="validation", retryable=False)
        found: dict[str, list[Sample]] = {}
        lists = [None] if robots is None else [list(robots[i : i + CHUNK]) for i in _count(0, len(robots), CHUNK)]
        for chunk in lists:
            query = selector(name, {}, self._label, chunk)
            at = start
            while at <= end:
                until = min(end, at + (MAX_POINTS - 1) * step)
                form = {"query": query, "start": repr(at), "end": repr(until), "step": repr(step)}
                for series in await self._query("/api/v1/query_range", form):
                    robot = series.metric.get(self._label, "")
                    points = [Sample(t, v) for t, text in series.values if (v := number(text)) is not None]
                    if robot and points:
                        found.setdefault(clean(robot, _MAX_LABEL_TEXT), []).extend(points)
                at += MAX_POINTS * step
        for points in found.values():
            points.sort(key=lambda p: p.t)
        return found

    async def check(self) -> str:
        found = await self._http.get("/api/v1/status/buildinfo", _BuildAnswer)
        await self.instant("up")  # proves that queries are allowed
        return f"Prometheus {clean(found.data.version, 40)}".strip()

    async def pull(self, feed: str, cursor: str) -> Pulled:
        """Implements Source: the targets, by the metric `up` that the server itself keeps of each."""
        found = []
        for labels, sample in await self.instant("up"):
            job, instance = labels.get("job", ""), labels.get("instance", "")
            state = "up" if sample.value == 1.0 else "down"
            data = {"job": job, "instance": instance}
            found.append(RemoteObject(id=f"{job}/{instance}", name=instance, state=state, data=data))
        return listed(found, cursor)

    async def _query(self, path: str, form: dict[str, str]) -> list[_Series]:
        answer = await self._http.send("POST", path, _Answer, form=form, safe=True, reads=True)
        if answer.status != "success" or answer.data is None:
            raise ActionError("BadQuery", f"Prometheus: {clean(answer.error, 200)}", kind="validation", retryable=False)
        return answer.data.result


_count = range  # the port's method hides the built-in inside the class


def selector(name: str, labels: Mapping[str, str], robot_label: str = "", robots: Sequence[str] | None = None) -> str:
    """A metric's plain selector. Everything but checked names is quoted, so nothing in it can be read as PromQL."""
    if not _METRIC.fullmatch(name) or not all(_LABEL.fullmatch(k) for k in labels):
        raise ActionError(
            "BadQuery", f"not a metric or label name: {clean(name, 60)}", kind="validation", retryable=False
        )
    tests = [f'{k}="{_quoted(v)}"' for k, v in sorted(labels.items())]
    if robots is not None:
        tests.append(f'{robot_label}=~"{_quoted("|".join(_literal(r) for r in robots))}"')
    return f"{name}{{{','.join(tests)}}}" if tests else name


def _literal(text: str) -> str:
    """A name inside an RE2 expression. `re.escape` also escapes characters RE2 knows no escape for."""
    return "".join(f"\\{c}" if c in r"\.+*?()|[]{}^$-" else c for c in text)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def number(text: str) -> float | None:
    """A sample's value; None for NaN, infinities and anything that is not a number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _cleaned(metric: dict[str, str]) -> dict[str, str]:
    kept = list(metric.items())[:_MAX_LABELS]
    return {clean(k, 60): clean(v, _MAX_LABEL_TEXT) for k, v in kept if k != "__name__"}


class PrometheusConnector:
    """Settings: `url`, and `secret` when a proxy in front of it wants a bearer token."""

    kind = "prometheus"
    title = "Prometheus"
    docs = "HTTP API v1 of Prometheus 2.42; tested against the real server"
    capabilities = ("signals",)
    needs: tuple[str, ...] = ()
    fields: dict[str, Param] = {
        "url": Param(type="string", description="base URL, e.g. https://metrics.example.com"),
        "secret": Param(type="string", required=False, description="name of the keyring entry of a bearer token"),
        "label": Param(type="string", required=False, description="label that names the robot (robot)"),
        "ca": Param(type="string", required=False, description="file of certificate authorities to trust"),
        "allow_plaintext": Param(type="boolean", required=False, description="http to another machine"),
        "timeout_s": Param(type="number", required=False, description="seconds one call may take (20)"),
    }

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        label, name = str(config.get("label", "robot")), str(config.get("secret", ""))
        if not _LABEL.fullmatch(label):
            raise ActionError(
                "NotConfigured", "prometheus: label is not a label's name", kind="configuration", retryable=False
            )
        http = HttpClient(
            str(config["url"]),
            name="Prometheus",
            auth=Bearer(lambda: secret(name)) if name else None,
            ca=str(config.get("ca", "")),
            allow_plaintext=config.get("allow_plaintext") is True,
            timeout_s=float(config.get("timeout_s", 20.0)),
        )
        return {"signals": Prometheus(http, clock, label)}


connector = PrometheusConnector()
