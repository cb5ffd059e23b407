"""The shared HTTP client: what each word of a call does on the wire, and what each answer means."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors import paging
from connectors.answers import links
from connectors.credentials import ApiKey, Basic, Bearer, ClientCredentials, PagerDutyToken
from connectors.http import HttpClient, NoneType, NotModified, Part, Refusal
from connectors.transfer import download
from engine.capabilities import dry
from engine.capabilities.ports import ActionError, InDoubt

Give = Callable[[httpx.Request], httpx.Response]


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def client(give: Give, time: Time | None = None, **more: Any) -> HttpClient:
    found = time or Time()
    return HttpClient(
        "https://owner.example/api",
        name="Owner",
        transport=httpx.MockTransport(give),
        sleep=found.sleep,
        monotonic=lambda: found.now,
        **more,
    )


def saying(*answers: httpx.Response) -> tuple[list[httpx.Request], Give]:
    """Answers in order, the last one for ever."""
    seen: list[httpx.Request] = []

    def give(request: httpx.Request) -> httpx.Response:
        request.read()
        seen.append(request)
        return answers[min(len(seen), len(answers)) - 1]

    return seen, give


# -- what goes out ----------------------------------------------------------------------------------------------------


async def test_a_call_carries_what_it_says() -> None:
    seen, give = saying(httpx.Response(200, json=[1], headers={"ETag": '"v1"', "Date": formatdate(1e9, usegmt=True)}))
    http = client(give, headers={"X-Api-Version": "3"}, auth=Bearer(lambda: "tok\n"))
    answer = await http.send_full(
        "PATCH", "/x", list, json={"a": 1}, if_match='W/"v0"', idempotency_key="k-1", params={"q": "a b"}, safe=False
    )
    (sent,) = seen
    assert str(sent.url) == "https://owner.example/api/x?q=a+b" and json.loads(sent.content) == {"a": 1}
    wanted = {"x-api-version": "3", "if-match": 'W/"v0"', "idempotency-key": "k-1", "authorization": "Bearer tok"}
    assert wanted.items() <= dict(sent.headers).items() and sent.headers["content-type"] == "application/json"
    assert (answer.value, answer.etag, answer.owner_now) == ([1], '"v1"', 1e9)
    assert http.owner_offset_s is not None and http.owner_offset_s == pytest.approx(1e9 - time.time(), abs=2)


async def test_what_has_not_changed_is_said_so() -> None:
    seen, give = saying(
        httpx.Response(304, headers={"date": formatdate(5e8, usegmt=True)}), httpx.Response(200, json={})
    )
    http = client(give)
    same = await http.get_if_changed("/x", dict, '"v1"')
    assert isinstance(same, NotModified) and same.owner_now == 5e8 and seen[0].headers["if-none-match"] == '"v1"'
    with pytest.raises(ActionError):  # nobody asked whether it changed
        await client(lambda r: httpx.Response(304)).get("/x", dict)
    fresh = await http.get_if_changed("/x", dict, "")
    assert not isinstance(fresh, NotModified) and "if-none-match" not in seen[1].headers


async def test_bodies_of_every_kind(tmp_path: Path) -> None:
    file = tmp_path / "recording.mcap"
    file.write_bytes(b"m" * 300_000)
    seen, give = saying(httpx.Response(204))
    http = client(give)
    await http.send("PUT", "/raw", NoneType, content=file, media="application/x-mcap", safe=True)
    parts = [Part(name='a"b\r\nx: y', content=b"v"), Part(name="file", content=file, filename="r.mcap", media="x/y")]
    await http.send("POST", "/form", NoneType, parts=parts, safe=True)
    await http.send("POST", "/login", NoneType, form={"user": "kay ö"}, safe=True)
    raw, form, login = seen
    assert raw.content == file.read_bytes() and raw.headers["content-length"] == "300000"
    assert raw.headers["content-type"] == "application/x-mcap" and "transfer-encoding" not in raw.headers
    assert int(form.headers["content-length"]) == len(form.content) and b'name="a%22b%0D%0Ax: y"' in form.content
    assert form.content.count(b"m" * 300_000) == 1 and b'filename="r.mcap"' in form.content
    assert login.content == b"user=kay+%C3%B6"
    with pytest.raises(TypeError):
        await http.send("POST", "/", NoneType, json={}, form={}, safe=True)


async def test_raw_and_text_answers() -> None:
    _, give = saying(httpx.Response(200, content=b"\xff\x00"))
    http = client(give)
    assert await http.get("/x", bytes) == b"\xff\x00" and await http.get("/x", str) == "\ufffd\x00"
    assert await http.get("/x", NoneType) is None
    with pytest.raises(ActionError):
        await http.get("/x", bytes, limit_b=1)


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        (Basic("kay", lambda: "pw:1"), "authorization", "Basic a2F5OnB3OjE="),
        (ApiKey("X-Key", lambda: "abc", "Key "), "x-key", "Key abc"),
        (PagerDutyToken(lambda: "abc"), "authorization", "Token token=abc"),
        (Bearer(lambda: "abc", "Token"), "authorization", "Token abc"),
    ],
)
async def test_credentials_in_the_owners_way(auth: Any, header: str, value: str) -> None:
    seen, give = saying(httpx.Response(200, json=1))
    await client(give, auth=auth).get("/x", int)
    assert seen[0].headers[header] == value


@pytest.mark.parametrize("secret", ["", "  \n", "a\r\nx-evil: 1", "a\x00"])
async def test_a_secret_that_is_no_line_is_never_sent(secret: str) -> None:
    seen, give = saying(httpx.Response(200, json=1))
    with pytest.raises(ActionError) as caught:
        await client(give, auth=Bearer(lambda: secret)).get("/x", int)
    assert caught.value.kind == "authentication" and seen == []


async def test_headers_cannot_be_broken_out_of() -> None:
    seen, give = saying(httpx.Response(200, json=1))
    with pytest.raises(ActionError) as caught:
        await client(give).get("/x", int, if_none_match='"a"\r\nx-evil: 1')
    assert caught.value.error == "BadRequest" and seen == []


async def test_client_credentials_are_renewed_before_they_end_and_after_a_401() -> None:
    clock, given = Time(), [0]

    def token(request: httpx.Request) -> httpx.Response:
        request.read()
        given[0] += 1
        assert b"grant_type=client_credentials" in request.content and b"scope=tickets" in request.content
        assert request.headers["authorization"].startswith("Basic ")
        return httpx.Response(200, json={"access_token": f"t{given[0]}", "expires_in": 600, "token_type": "bearer"})

    seen, give = saying(*[httpx.Response(200, json=1)] * 2, httpx.Response(401), httpx.Response(200, json=1))
    tokens = HttpClient("https://id.example", name="Id", transport=httpx.MockTransport(token))
    auth = ClientCredentials(tokens, "/token", "qd", lambda: "s", scope="tickets", monotonic=lambda: clock.now)
    http = client(give, clock, auth=auth)
    for wait, expected in ((0.0, "t1"), (541.0, "t2"), (1.0, "t3")):
        clock.now += wait
        await http.get("/x", int)
        assert seen[-1].headers["authorization"] == f"Bearer {expected}"
    assert given[0] == 3 and len(seen) == 4
    await http.close()


# -- where it goes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "sent"),
    [
        ("https://owner.example/api/x?page=2", "https://owner.example/api/x?page=2"),
        ("https://owner.example:443/other", "https://owner.example/other"),
        ("/x", "https://owner.example/api/x"),
    ],
)
async def test_links_of_the_same_origin_are_followed(link: str, sent: str) -> None:
    seen, give = saying(httpx.Response(200, json=1))
    await client(give).get(link, int)
    assert str(seen[0].url) == sent


@pytest.mark.parametrize(
    "link", ["https://evil.example/x", "http://owner.example/x", "//evil.example/x", "https://owner.example:8443/x",
             "https://owner.example@evil.example/x", "file:///etc/passwd"],
)  # fmt: skip
async def test_links_elsewhere_are_not(link: str) -> None:
    seen, give = saying(httpx.Response(200, json=1))
    with pytest.raises(ActionError) as caught:
        await client(give, auth=Bearer(lambda: "tok")).get(link, int)
    assert caught.value.error == "Elsewhere" and seen == []


@pytest.mark.parametrize("url", ["socks5://p:1", "http://u:p@proxy:3128", "proxy:3128"])
def test_a_proxy_is_an_address_without_credentials(url: str) -> None:
    with pytest.raises(ActionError) as caught:
        client(lambda r: httpx.Response(200), proxy=url)
    assert caught.value.error == "NotConfigured" and "u:p" not in caught.value.message


async def test_a_proxy_is_used_and_told_its_own_credentials_only() -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n7")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        http = HttpClient(
            "http://owner.example", name="Owner", allow_plaintext=True, proxy=f"http://127.0.0.1:{port}", proxy_secret=lambda: "u:p"
        )  # fmt: skip
        assert await http.get("/x", int) == 7
        await http.close()
    assert heads[0].startswith(b"GET http://owner.example/x ") and b"Basic dTpw" in heads[0]


# -- what an answer means ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "error", "kind", "tries", "wait"),
    [
        (409, {}, "Conflict", "conflict", 1, None),
        (412, {}, "Conflict", "conflict", 1, None),
        (405, {}, "NotAllowed", "validation", 1, None),
        (410, {}, "Gone", "validation", 1, None),
        (403, {}, "Forbidden", "authorization", 1, None),
        (403, {"retry-after": "30"}, "RateLimited", "unavailable", 1, 30),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "77"}, "RateLimited", "unavailable", 1, 77),
        (429, {"retry-after": "1"}, "RateLimited", "unavailable", 4, 1),
        (429, {"ratelimit-reset": "42"}, "RateLimited", "unavailable", 1, 42),
        (503, {}, "Unavailable", "unavailable", 4, None),
        (307, {"location": "https://evil.example/"}, "Redirected", "configuration", 1, None),
    ],
)
async def test_refusals_by_name(
    *, status: int, headers: dict[str, str], error: str, kind: str, tries: int, wait: float | None
) -> None:
    seen, give = saying(httpx.Response(status, headers=headers, json={"message": "\x1b[31mno"}))
    with pytest.raises(Refusal) as caught:
        await client(give).send("POST", "/x", dict, json={}, safe=False)
    refused = caught.value
    assert (refused.error, refused.kind, refused.retry_after, refused.status) == (error, kind, wait, status)
    assert len(seen) == tries and "\x1b" not in refused.message and json.loads(refused.body)["message"]


async def test_githubs_secondary_limit_is_told_by_its_words() -> None:
    _, give = saying(httpx.Response(403, json={"message": "You have exceeded a secondary rate limit."}))
    with pytest.raises(Refusal) as caught:
        await client(give).get("/x", dict)
    assert (caught.value.error, caught.value.retry_after) == ("RateLimited", 60)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(502),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, text="x" * 5000),
    ],
    ids=["500", "502", "html", "huge"],
)
async def test_a_write_without_a_proper_answer_is_in_doubt_and_sent_once(answer: httpx.Response) -> None:
    seen, give = saying(answer)
    with pytest.raises(InDoubt):
        await client(give, max_body_b=4000).send("POST", "/x", dict, json={}, safe=False)
    assert len(seen) == 1


async def test_what_the_owner_has_left_for_us_is_spread_over_its_time() -> None:
    clock = Time()
    left = [12]

    def give(request: httpx.Request) -> httpx.Response:
        left[0] -= 1
        headers = {"x-ratelimit-limit": "100", "x-ratelimit-remaining": str(left[0]), "x-ratelimit-reset": "30"}
        return httpx.Response(200, json=1, headers=headers)

    http = client(give, clock)
    for _ in range(2):
        await http.get("/x", int)
    assert clock.now == 0
    for _ in range(9):
        await http.get("/x", int)
    assert 10 < clock.now < 50 and left[0] == 1
    await http.get("/x", int)
    with pytest.raises(ActionError) as caught:
        await http.get("/x", int)
    assert caught.value.error == "RateLimited" and 5 < (caught.value.retry_after or 0) <= 30 and left[0] == 0
    clock.now += 31
    left[0] = 100
    await http.get("/x", int)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "EPOCH"}, 90),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "ISO"}, 90),
        ({"ratelimit": "limit=10, remaining=0, reset=17"}, 17),
        ({"ratelimit": '"default";r=0;t=17'}, 17),
        ({"ratelimit-limit": "10, 10;w=60", "ratelimit-remaining": "0", "ratelimit-reset": "17"}, 17),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "17", "x-ratelimit-resource": "search"}, None),
        ({"x-ratelimit-remaining": "nan", "x-ratelimit-reset": "inf"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "rubbish"}, None),
    ],
)  # fmt: skip
async def test_rate_limit_headers_in_all_their_dialects(headers: dict[str, str], seconds: float | None) -> None:
    soon = time.time() + 90
    told = {"EPOCH": str(int(soon)), "ISO": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(soon))}
    _, give = saying(httpx.Response(200, json=1, headers={k: told.get(v, v) for k, v in headers.items()}))
    http = client(give)
    await http.get("/x", int)
    if seconds is None:
        assert await http.get("/x", int) == 1
        return
    with pytest.raises(ActionError) as caught:
        await http.get("/x", int)
    assert caught.value.retry_after == pytest.approx(seconds, abs=2)


# -- pages ------------------------------------------------------------------------------------------------------------


def test_link_headers() -> None:
    header = '<https://a/x?p=2>; rel="next", <https://a/x?p=9>; rel=last, </y>; title="a, b"; rel="prev first"'
    assert links(header) == {"next": "https://a/x?p=2", "last": "https://a/x?p=9", "prev": "/y", "first": "/y"}
    began = time.monotonic()
    assert links("<" * 50_000) == {} and links("<a>;" * 20_000) == {} and time.monotonic() - began < 1


def listing(total: int) -> Give:
    """A server that pages in every way at once."""

    def give(request: httpx.Request) -> httpx.Response:
        query = dict(request.url.params)
        size = int(query.get("limit") or query.get("per_page") or 3)
        start = int(query.get("offset", 0)) or (int(query.get("page", 1)) - 1) * size or int(query.get("token", 0))
        items = list(range(start, min(total, start + size)))
        after = start + size
        headers = {"link": f'<https://owner.example/api/x?token={after}>; rel="next"'} if after < total else {}
        body = {"items": items, "more": after < total, "total": total, "token": str(after) if after < total else None}
        return httpx.Response(200, json=body, headers=headers)

    return give


@pytest.mark.parametrize("total", [0, 1, 3, 6, 7])
async def test_every_way_of_paging_gives_every_entry_once(total: int) -> None:
    http = client(listing(total))

    def count(page: dict[str, Any]) -> int:
        return len(page["items"])

    ways = [
        paging.by_link(http, "/x", dict),
        paging.by_offset(http, "/x", dict, count, size=3),
        paging.by_offset(http, "/x", dict, count, size=3, more=lambda p: p["more"]),
        paging.by_offset(http, "/x", dict, count, size=3, total=lambda p: p["total"]),
        paging.by_page(http, "/x", dict, count, size=3),
        paging.by_token(http, "/x", dict, lambda p: p["token"], param="token"),
    ]
    for way in ways:
        assert [i for answer in [a async for a in way] for i in answer.value["items"]] == list(range(total))


async def test_a_list_that_turns_in_a_circle_or_never_ends_is_left() -> None:
    def circle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"items": [1], "token": "same"}, headers={"link": '</api/x>; rel="next"'})

    http = client(circle)
    with pytest.raises(ActionError) as caught:
        _ = [a async for a in paging.by_token(http, "/x", dict, lambda p: p["token"])]
    assert caught.value.error == "PagingLoop"
    with pytest.raises(ActionError) as caught:
        _ = [a async for a in paging.by_offset(http, "/x", dict, lambda p: 1, more=lambda p: True, pages=7)]
    assert caught.value.error == "TooManyPages"
    away = client(lambda r: httpx.Response(200, json={}, headers={"link": '<https://evil.example/>; rel="next"'}))
    with pytest.raises(ActionError) as caught:
        _ = [a async for a in paging.by_link(away, "/x", dict)]
    assert caught.value.error == "Elsewhere"


# -- files ------------------------------------------------------------------------------------------------------------


async def test_a_broken_transfer_goes_on_where_it_ended(tmp_path: Path) -> None:
    content = bytes(range(256)) * 4000
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        ranged = next((line for line in head.split("\r\n") if line.lower().startswith("range:")), "")
        asked.append(ranged)
        start = int(ranged.partition("bytes=")[2].rstrip("-") or 0)
        rest = content[start:]
        line = f"206 Partial\r\ncontent-range: bytes {start}-{len(content) - 1}/{len(content)}" if start else "200 OK"
        writer.write(f'HTTP/1.1 {line}\r\netag: "e"\r\ncontent-length: {len(rest)}\r\n\r\n'.encode() + rest[:400_000])
        await writer.drain()
        writer.close()

    target = tmp_path / "x"
    told: list[tuple[int, int]] = []
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        http = HttpClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", name="Owner", sleep=Time().sleep)
        found = await download(http, "/x", target, limit_b=2 << 20, told=lambda *p: told.append(p), sleep=Time().sleep)
        assert target.read_bytes() == content and found.bytes == len(content) and len(asked) == 3
        assert asked[0] == "" and asked[1].endswith("bytes=400000-") and told[-1] == (len(content), len(content))
        assert target.stat().st_mode & 0o777 == 0o600
        for wrong, error in (({"digest": "sha256:00"}, "DigestMismatch"), ({"limit_b": 1000}, "AnswerTooLarge")):
            with pytest.raises(ActionError) as caught:
                await download(http, "/x", target, **{"limit_b": 2 << 20, "sleep": Time().sleep, **wrong})  # type: ignore[arg-type]
            assert caught.value.error == error and not target.exists()
        await http.close()


# -- dry mode ---------------------------------------------------------------------------------------------------------


async def test_in_dry_mode_reads_go_through_and_writes_are_written_down_masked() -> None:
    seen, give = saying(httpx.Response(200, json={}))
    http = client(give, auth=Bearer(lambda: "hunter2"))
    with dry.recording() as would:
        await http.get("/x", dict)
        await http.send("POST", "/search", dict, json={}, safe=True, reads=True)
        with pytest.raises(dry.NotSent) as caught:
            await http.send(
                "POST",
                "/issue",
                dict,
                json={"title": "t", "api_token": "hunter2"},
                params={"key": "hunter2"},
                safe=False,
            )
    assert len(seen) == 2
    (one,) = would
    assert (one.system, one.method, one.url) == ("Owner", "POST", "https://owner.example/api/issue?key=***")
    assert one.body == {"title": "t", "api_token": "***"}
    assert "hunter2" not in repr(would) + repr(list(http.log)) + str(caught.value) + repr(caught.value.detail)
    await http.send("POST", "/issue", dict, json={}, safe=False)
    assert len(seen) == 3, "outside of it everything is sent again"


async def test_a_system_can_be_dry_for_good() -> None:
    seen, give = saying(httpx.Response(200, json={}))
    http = client(give, dry_only=True)
    with pytest.raises(dry.NotSent):
        await http.send("DELETE", "/x", NoneType, safe=True)
    assert seen == [] and http.log[-1].error == "not sent (dry)"
