"""Lists that come in pages: by `Link` header, offset, page number or token. Each yields answers, one page at a time.

No list is endless and none turns in a circle: a page asked for twice, or more than `pages` of them, is an ActionError
(`PagingLoop`, `TooManyPages`). Links stay with their origin.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import TypeVar, Unpack

from connectors.answers import Answer
from connectors.bodies import Sending
from connectors.http import HttpClient
from engine.capabilities.ports import ActionError

T = TypeVar("T")
MOST = 10_000


async def by_link(
    http: HttpClient,
    path: str,
    type: type[T],
    *,
    next_of: Callable[[T], str] | None = None,
    pages: int = MOST,
    **sending: Unpack[Sending],
) -> AsyncIterator[Answer[T]]:
    """Follows `rel="next"` of the Link header (GitHub, ServiceNow), or what `next_of` finds in the page itself."""
    seen: set[str] = set()
    while path:
        _guard(http, path, seen, pages)
        answer = await http.send_full("GET", path, type, safe=True, **sending)
        yield answer
        path = (next_of(answer.value) if next_of is not None else "") or answer.link("next")
        sending.pop("params", None)  # they are part of the link
        sending.pop("if_none_match", None)


async def by_offset(
    http: HttpClient,
    path: str,
    type: type[T],
    count: Callable[[T], int],
    *,
    offset: str = "offset",
    limit: str = "limit",
    size: int = 100,
    more: Callable[[T], bool] | None = None,
    total: Callable[[T], int | None] | None = None,
    pages: int = MOST,
    **sending: Unpack[Sending],
) -> AsyncIterator[Answer[T]]:
    """`count` says how many entries a page holds. The list ends by `more`, by `total`, or with a page that is not full."""
    at, seen = 0, set[str]()
    params = _pairs(sending)
    while True:
        _guard(http, str(at), seen, pages)
        sending["params"] = {**params, offset: str(at), limit: str(size)}
        answer = await http.send_full("GET", path, type, safe=True, **sending)
        yield answer
        held = count(answer.value)
        at += held
        whole = total(answer.value) if total is not None else None
        if held == 0 or not _goes_on(held, size, more(answer.value) if more is not None else None, whole, at):
            return


async def by_page(
    http: HttpClient,
    path: str,
    type: type[T],
    count: Callable[[T], int],
    *,
    page: str = "page",
    per_page: str = "per_page",
    size: int = 100,
    first: int = 1,
    more: Callable[[T], bool] | None = None,
    total: Callable[[T], int | None] | None = None,
    pages: int = MOST,
    **sending: Unpack[Sending],
) -> AsyncIterator[Answer[T]]:
    """Pages by number (Mender, Roundup), ended as in `by_offset`."""
    number, held_all, seen = first, 0, set[str]()
    params = _pairs(sending)
    while True:
        _guard(http, str(number), seen, pages)
        sending["params"] = {**params, page: str(number), per_page: str(size)}
        answer = await http.send_full("GET", path, type, safe=True, **sending)
        yield answer
        held = count(answer.value)
        held_all, number = held_all + held, number + 1
        whole = total(answer.value) if total is not None else None
        if held == 0 or not _goes_on(held, size, more(answer.value) if more is not None else None, whole, held_all):
            return


async def by_token(
    http: HttpClient,
    path: str,
    type: type[T],
    token_of: Callable[[T], str | None],
    *,
    param: str = "page_token",
    start: str = "",
    body: Mapping[str, object] | None = None,
    pages: int = MOST,
    **sending: Unpack[Sending],
) -> AsyncIterator[Answer[T]]:
    """Goes on with what `token_of` finds in the page. With `body` the list is asked for by POST and the token goes into
    it (Jira's search, MLflow); otherwise into the query."""
    token, seen = start, set[str]()
    params = _pairs(sending)
    while True:
        _guard(http, token, seen, pages)
        given = {param: token} if token else {}
        if body is not None:
            sending["json"], sending["reads"] = {**body, **given}, True
            answer = await http.send_full("POST", path, type, safe=True, **sending)
        else:
            sending["params"] = {**params, **given}
            answer = await http.send_full("GET", path, type, safe=True, **sending)
        yield answer
        token = token_of(answer.value) or ""
        if not token:
            return


def _pairs(sending: Sending) -> dict[str, str]:
    return dict(sending.get("params") or {})


def _goes_on(held: int, size: int, more: bool | None, total: int | None, so_far: int) -> bool:
    if more is not None:
        return more
    if total is not None:
        return so_far < total
    return held >= size


def _guard(http: HttpClient, place: str, seen: set[str], pages: int) -> None:
    if place in seen:
        raise ActionError("PagingLoop", f"{http.name}: the list leads back to a page it had", kind="validation")
    if len(seen) >= pages:
        raise ActionError(
            "TooManyPages", f"{http.name}: the list has more than {pages} pages", kind="validation", retryable=False
        )
    seen.add(place)
