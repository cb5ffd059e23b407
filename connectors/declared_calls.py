"""Carries out the calls of a declared connector: templates filled in, paths quoted, pages walked, answers mapped."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from connectors import pacing
from connectors.bodies import Part, Sending
from connectors.http import HttpClient, NoneType
from connectors.remote_text import clean
from engine.capabilities.ports import ActionError, Json
from engine.capabilities.tickets.marking import mark
from engine.language import ExpressionError
from engine.language.expressions import Expressions, evaluate, parse, render, template_parts

MOST_PAGES = 10_000
_EXPRESSIONS = Expressions()
METHODS = ("get", "post", "put", "patch", "delete")
_EMPTY: tuple[Json, ...] = (None, "", [])


class Page(Struct, frozen=True, kw_only=True):
    """One page of a list. `next` leads to the next one (empty: there is none)."""

    items: list[Json]
    next: str = ""
    etag: str = ""
    owner_now: float = 0.0


def keyed(key: str) -> dict[str, str]:
    """What a write's expressions know of its key: itself, and the mark that can stand in any text."""
    return {"key": key, "marker": mark(key)}


class Caller:
    """One declared system. `config` is what its expressions know under that name: no secrets are in it."""

    def __init__(self, http: HttpClient, config: Mapping[str, Json], title: str) -> None:
        self.http, self._config, self.title = http, dict(config), title

    async def call(
        self,
        spec: Mapping[str, Json],
        env: Mapping[str, Json],
        *,
        file: Part | None = None,
        version: str = "",
        body: Mapping[str, Json] | None = None,
    ) -> Json:
        """The answer's `item`, or the whole answer. `body` is laid over the call's `json`. Raises as HttpClient, and
        `BadAnswer`."""
        method, path, safe, sending = self._sending(spec, env, version)
        if body:
            sending["json"] = merged(sending.get("json") or {}, body)
        if file is not None:
            fields = sending.pop("form", None) or {}
            sending["parts"] = [*(Part(name=k, content=v.encode()) for k, v in fields.items()), file]
        wanted = "item" in spec or method == "GET"
        answer = await self.http.send_full(method.upper(), path, object if wanted else NoneType, safe=safe, **sending)
        return self.value(spec["item"], {"answer": answer.value}) if "item" in spec else answer.value

    async def answered(self, spec: Mapping[str, Json], env: Mapping[str, Json]) -> Json:
        """The whole answer."""
        return await self.call({k: v for k, v in spec.items() if k != "item"}, env)

    async def all(self, spec: Mapping[str, Json], env: Mapping[str, Json]) -> AsyncIterator[Json]:
        """Every entry of a list, page by page."""
        at, seen = "", set[str]()
        while True:
            page = await self.page(spec, env, at)
            for item in page.items:
                yield item
            at = page.next
            if not at:
                return
            if at in seen or len(seen) >= MOST_PAGES:
                raise self.bad(f"the list leads back to a page it had, or has more than {MOST_PAGES}")
            seen.add(at)

    async def page(self, spec: Mapping[str, Json], env: Mapping[str, Json], at: str, etag: str = "") -> Page:
        """The page at `at` (empty: the first). With `etag` raises NotModified when it is still the same."""
        method, path, _, sending = self._sending(spec, env, "")
        paging = spec.get("paging", {})
        params = dict(sending.get("params") or {})
        size, number = 0, 0
        if "offset" in paging:
            way, number = paging["offset"], int(at or 0)
            size = way.get("size", 100)
            params |= {way.get("offset", "offset"): str(number), way.get("limit", "limit"): str(size)}
        elif "page" in paging:
            way = paging["page"]
            number, size = int(at or way.get("first", 1)), way.get("size", 100)
            params |= {way.get("page", "page"): str(number), way.get("per_page", "per_page"): str(size)}
        elif "token" in paging and at:
            way = paging["token"]
            if way.get("in") == "json":
                sending["json"] = {**(sending.get("json") or {}), way["param"]: at}
            else:
                params[way["param"]] = at
        elif "link" in paging and at:
            path, params = at, {}
        sending["params"] = params
        if etag and not at:
            sending["if_none_match"] = etag
        sending["reads"] = True
        answer = await self.http.send_full(method.upper(), path, object, safe=True, **sending)
        known = {"answer": answer.value}
        items = self.value(spec.get("items", "answer"), known)
        if not isinstance(items, list):
            raise self.bad(f"{spec.get('items', 'answer')} is no list in the answer of {path}")
        return Page(
            items=items,
            next=self._next(paging, known, answer.link("next"), items=len(items), size=size, number=number),
            etag=answer.etag if not paging else "",
            owner_now=answer.owner_now,
        )

    def _next(
        self, paging: Mapping[str, Any], known: Mapping[str, Json], link: str, *, items: int, size: int, number: int
    ) -> str:
        if "link" in paging:
            return link
        if "token" in paging:
            return self.text(paging["token"]["from"], known)
        if not paging or items == 0:
            return ""
        way = paging.get("offset") or paging["page"]
        first = way.get("first", 1)
        so_far = number + items if "offset" in paging else (number - first) * size + items
        total = self.number(way["total"], known) if "total" in way else None
        if so_far >= total if total is not None else items < size:
            return ""
        return str(number + items if "offset" in paging else number + 1)

    def _sending(
        self, spec: Mapping[str, Json], env: Mapping[str, Json], version: str
    ) -> tuple[str, str, bool, Sending]:
        known = {"config": self._config, **env}
        method = next(m for m in METHODS if m in spec)
        sending = Sending(params=self._pairs(spec.get("query", {}), known))
        if "headers" in spec:
            sending["headers"] = {k: self.filled(v, known) for k, v in spec["headers"].items()}
        if "json" in spec:
            sending["json"] = self.filled(spec["json"], known)
        if "form" in spec:
            sending["form"] = self._pairs(spec["form"], known)
        if spec.get("reads"):
            sending["reads"] = True
        if spec.get("if_match") and version:
            sending["if_match"] = version
        once = spec.get("once") == "key"
        if once:
            sending["idempotency_key"] = mark(str(env["key"]))  # no text of ours that may say more than it should
        safe = once or method in ("get", "put", "delete") or bool(spec.get("reads"))
        return method.upper(), self._path(spec[method], known), safe, sending

    def _path(self, template: str, known: Mapping[str, Json]) -> str:
        """Every value is one segment: it can't lead to another resource."""
        made = ""
        for part in template_parts(template):
            if isinstance(part, str):
                made += part
                continue
            text = render(self._evaluated(part, known))
            if not text or set(text) <= {"."} or "/" in text or "\\" in text:  # servers unquote before they route
                raise ActionError(
                    "NotFound", f"{self.title}: {clean(text, 40)!r} is no id", kind="validation", retryable=False
                )
            made += quote(text, safe="")
        return made if made.startswith("/") else "/" + made

    def _pairs(self, values: Mapping[str, Json], known: Mapping[str, Json]) -> dict[str, str]:
        found = {name: self.filled(value, known) for name, value in values.items()}
        return {
            name: ",".join(map(render, value)) if isinstance(value, list) else render(value)
            for name, value in found.items()
            if value not in _EMPTY
        }

    # -- values -------------------------------------------------------------------------------------------------------

    def filled(self, template: Json, known: Mapping[str, Json]) -> Json:
        try:
            return _EXPRESSIONS.value(template, {"config": self._config, **known})
        except ExpressionError as error:
            raise self.bad(str(error)) from error

    def value(self, cel: str, known: Mapping[str, Json]) -> Json:
        return self._evaluated(parse(cel), {"config": self._config, **known})

    def _evaluated(self, expression: Any, known: Mapping[str, Json]) -> Json:
        try:
            return evaluate(expression, known)
        except ExpressionError as error:
            raise self.bad(str(error)) from error

    def optional(self, cel: str | None, known: Mapping[str, Json]) -> Json:
        """None where the owner left the field out."""
        if cel is None:
            return None
        try:
            return evaluate(parse(cel), {"config": self._config, **known})
        except ExpressionError:
            return None

    def text(self, cel: str | None, known: Mapping[str, Json], limit: int = 500) -> str:
        value = self.optional(cel, known)
        return "" if value in _EMPTY else clean(render(value), limit)

    def id(self, cel: str, known: Mapping[str, Json]) -> str:
        """An owner's id, which has to be there. Raises BadAnswer."""
        found = self.text(cel, known, 200)
        if not found:
            raise self.bad(f"{cel} gives no id")
        return found

    def number(self, cel: str | None, known: Mapping[str, Json]) -> float | None:
        value = self.optional(cel, known)
        try:
            return float(value) if value is not None and not isinstance(value, bool) else None
        except (TypeError, ValueError):
            return None

    def time(self, cel: str | None, known: Mapping[str, Json]) -> float:
        """Epoch seconds, from seconds, milliseconds or an ISO time; 0 when it can't be read."""
        value = self.optional(cel, known)
        if isinstance(value, str):
            try:
                at = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
                return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
            except ValueError:
                pass
        found = self.number(cel, known) or 0.0
        return found / 1000 if found > 1e11 else max(0.0, found)

    def plain(self, mapping: Mapping[str, str], known: Mapping[str, Json]) -> dict[str, Json]:
        """Data of an object: texts inert and bounded, depth and width too."""
        return {name: _inert(self.optional(cel, known)) for name, cel in mapping.items()}

    def now(self) -> float:
        """The owner's clock as far as it is known."""
        return pacing.wall() + (self.http.owner_offset_s or 0.0)

    def bad(self, why: str) -> ActionError:
        return ActionError("BadAnswer", f"{self.title}: {clean(why, 300)}", kind="validation", retryable=False)


def merged(one: Mapping[str, Json], other: Json) -> dict[str, Json]:
    """`other` laid over `one`, mapping by mapping."""
    found = dict(one)
    for key, value in other.items() if isinstance(other, Mapping) else ():
        old = found.get(key)
        found[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return found


def _inert(value: Json, depth: int = 0) -> Json:
    if isinstance(value, str):
        return clean(value, 500)
    if isinstance(value, Mapping):
        return {clean(k, 80): _inert(v, depth + 1) for k, v in list(value.items())[:50]} if depth < 4 else "…"
    if isinstance(value, list):
        return [_inert(v, depth + 1) for v in value[:100]] if depth < 4 else "…"
    return value
