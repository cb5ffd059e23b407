"""Promises of alert managers."""

from __future__ import annotations

from typing import Any

from engine.capabilities.systems.conformance.promise import Bench, clean, must, promise, refuses, sane

MINUTE_S = 60.0


@promise("alerts", "firing alerts have an id and clean labels")
async def firing_alerts_are_sound(port: Any, bench: Bench) -> None:
    found = await port.firing()
    must(len({one.id for one in found}) == len(found), "an alert stands there twice")
    for one in found:
        must(one.id, "an alert has no id")
        clean(one, f"alert {one.id!r}")
    must(not await port.firing({"alertname": bench.mark}), "an alert nobody raised is firing")


@promise("alerts", "silences have their state, matchers and end")
async def silences_are_sound(port: Any, bench: Bench) -> None:
    for one in await port.silences():
        must(one.id and one.state, "a silence has no id or state")
        must(one.ends_at >= one.starts_at, f"silence {one.id} ends before it begins")
        sane(one.starts_at, bench.now(), f"silence {one.id}: starts_at")
        clean(one, f"silence {one.id}")


@promise("alerts", "a silence without matchers, or one that ended, is refused", write=True)
async def a_silence_of_everything_is_refused(port: Any, bench: Bench) -> None:
    end = bench.now() + MINUTE_S
    await refuses(
        port.silence({}, until=end, by="quarterdeck check", comment=bench.mark, key=bench.key("all")),
        kinds=("validation",),
    )
    await refuses(
        port.silence(
            {"alertname": bench.mark},
            until=bench.now() - 60,
            by="quarterdeck check",
            comment=bench.mark,
            key=bench.key("over"),
        ),
        kinds=("validation",),
    )


@promise("alerts", "silencing twice with one key is one silence, which can be ended twice", write=True)
async def silencing_twice_is_one_silence(port: Any, bench: Bench) -> None:
    key, end = bench.key("silence"), bench.now() + 2 * MINUTE_S
    first = await port.silence(
        {"alertname": bench.mark}, until=end, by="quarterdeck check", comment=bench.mark, key=key
    )
    bench.undo(f"silence {first.id}", lambda: port.unsilence(first.id))
    must(abs(first.ends_at - end) < 2, f"it ends at {first.ends_at:.0f}, not at {end:.0f}")
    again = await port.silence(
        {"alertname": bench.mark}, until=end, by="quarterdeck check", comment=bench.mark, key=key, in_doubt=True
    )
    must(again.id == first.id, f"there are two silences: {first.id} and {again.id}")
    ours = [
        one for one in await port.silences() if one.matchers.get("alertname") == bench.mark and one.state != "expired"
    ]
    must(len(ours) == 1, f"{len(ours)} silences stand there")
    for _ in range(2):
        await port.unsilence(first.id)
    left = [one for one in await port.silences() if one.id == first.id and one.state != "expired"]
    must(not left, "the silence goes on after it was ended")
