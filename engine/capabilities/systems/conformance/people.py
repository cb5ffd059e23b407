"""Promises of what wakes and tells people. Both reach somebody, so both want to be named before they are tried."""

from __future__ import annotations

from typing import Any

from engine.capabilities.systems.conformance.promise import Bench, NotTried, clean, must, promise, refuses
from engine.capabilities.systems.ports import Notice

PAGE = {"page": "yes: whoever is on call there may be paged once"}
CHANNEL = {"channel": "a channel that may get a test notice"}


@promise("paging", "raising twice with one key is one page, which is resolved again", write=True, needs=PAGE)
async def raising_twice_is_one_page(port: Any, bench: Bench) -> None:
    key = bench.key("page")
    said = []
    for _ in range(2):
        said.append(
            await port.raise_(
                f"Quarterdeck check {bench.mark}: nothing is wrong", severity="info", source="quarterdeck", link="",
                details={"check": bench.mark}, key=key,
            )
        )  # fmt: skip
        if len(said) == 1:
            bench.undo("the page", lambda: port.resolve(key))
    must(said[0] == said[1], f"two pages were raised: {said[0]!r} and {said[1]!r}")


@promise("paging", "acknowledging and resolving may be repeated", write=True, needs=PAGE)
async def resolving_may_be_repeated(port: Any, bench: Bench) -> None:
    key = bench.key("page")
    await port.acknowledge(key)
    for _ in range(2):
        await port.resolve(key)


@promise("notify", "channels have names")
async def channels_have_names(port: Any, bench: Bench) -> None:
    names = await port.channels()
    must(len(set(names)) == len(names), "two channels have one name")
    for name in names:
        must(isinstance(name, str) and name, "a channel has no name")
        must("://" not in name, "a channel's name holds an address; that is a secret")
        clean(name, f"channel {name!r}")
    if not names:
        raise NotTried("no channel is configured")


@promise("notify", "a channel nobody configured is refused")
async def a_strange_channel_is_refused(port: Any, bench: Bench) -> None:
    notice = Notice(title="check", text="nobody should read this")
    await refuses(port.tell(bench.mark, notice, key=bench.key("stranger")), kinds=("validation", "configuration"))


@promise("notify", "telling twice with one key tells people once", write=True, needs=CHANNEL)
async def telling_twice_tells_once(port: Any, bench: Bench) -> None:
    channel = bench.given["channel"]
    notice = Notice(
        title=f"Quarterdeck check {bench.mark}",
        text="Sent by a check of the connection. It should be here once.\x1b[2J",
    )
    for _ in range(2):
        await port.tell(channel, notice, key=bench.key("notice"))
    bench.stays(f"a notice {bench.mark} in {channel}: look whether it is there once")
