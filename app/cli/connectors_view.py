"""Remote systems as text: one line each, one in full, what a check came to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click

from app import plain
from engine.contract.common import Json
from engine.contract.conformance import CheckReport, PromiseResult
from engine.contract.dry import CallForm, DryReport
from engine.contract.systems import (
    CallPage,
    FeedView,
    KindView,
    MirrorPage,
    RightView,
    SystemPage,
    SystemView,
    TestView,
)
from screens.secret_words import means, needed_first

MARK = {"kept": "ok  ", "broken": "FAIL", "skipped": "-   "}
HAS = {True: "yes", False: "NO", None: "unknown"}


def age(at: float, now: float) -> str:
    return f"{plain.span(now - at)} ago" if at else "never"


def health(one: SystemView) -> str:
    """One word: what an operator has to know first."""
    if one.state == "suspended":
        return "suspended"
    if one.health == "failing":
        return "FAILING"
    if one.stale:
        return "STALE"
    return "ok" if one.health == "ok" else "not yet asked"


def listed(page: SystemPage) -> str:
    heads = ("system", "kind", "health", "serves", "objects", "synced", "server")
    rows = []
    for one in page.systems:
        synced = [feed.synced_at for feed in one.feeds]
        rows.append(
            (
                one.id,
                one.system_kind,
                health(one),
                ", ".join(one.serves),
                f"{one.objects:,}" if one.feeds else "",
                age(min(synced), page.as_of) if synced else "",
                one.error or one.says,
            )
        )
    return plain.table(
        rows, heads, empty="no system is connected: qd connectors ls --available, then qd connectors add KIND"
    )


def available(kinds: Iterable[KindView]) -> str:
    """The kinds; what can't be loaded stands below with its reason."""
    found = list(kinds)
    rows = [
        (
            one.kind,
            one.title,
            ", ".join(one.capabilities) if not one.error else "can't be loaded",
            ", ".join(field.name for field in needed_first(one.fields) if field.required),
            "" if one.package in ("", "quarterdeck") else one.package,
        )
        for one in found
    ]
    text = plain.table(rows, ("kind", "system", "serves", "asks for", "from"), empty="no kind is installed")
    return "\n".join([text, *(f"{one.kind}: {plain.clean(one.error, 600)}" for one in found if one.error)])


def kind(one: KindView) -> str:
    """What a kind asks for and what it was tested against."""
    if one.error:
        return f"{one.kind} is installed and can't be loaded: {plain.clean(one.error)}"
    lines = [f"{one.kind}  {one.title}", f"serves    {', '.join(one.capabilities)}"]
    lines += [f"needs     {', '.join(one.needs)}"] if one.needs else []
    lines += [f"tested    {plain.clean(one.docs, 1000)}"] if one.docs else []
    lines += ["webhooks  yes: qd connectors show NAME says where they go once it is added"] if one.webhooks else []
    rows = [
        (
            field.name,
            "secret" if field.secret else field.type,
            "needed" if field.required else "",
            means(field) if field.secret else field.description,
        )
        for field in needed_first(one.fields)
    ]
    return "\n".join([*lines, "", plain.table(rows, ("setting", "type", "", "what it is"), empty="it has no settings")])


def shown(one: SystemView, now: float) -> str:
    lines = [
        f"{one.id}  {health(one)}  {one.kind_title or one.system_kind}",
        f"server    {plain.clean(one.says or 'not yet asked', 300)}  {plain.clean(one.url, 300)}",
        f"serves    {', '.join(one.serves)}" + (f"; asked first for {', '.join(one.first)}" if one.first else ""),
        f"added     {'by ' + one.created_by if one.origin == 'added' else 'in quarterdeck.yaml'}",
    ]
    if one.error:
        since = f"for {plain.span(now - one.failing_since)}: " if one.failing_since else ""
        lines.insert(1, f"failing   {since}{plain.clean(one.error, 400)}")
    if one.checked_at:
        lines.append(f"asked     {age(one.checked_at, now)}, answered in {one.latency_s * 1000:.0f} ms")
    for secret in one.secrets:
        stored = "stored" if secret.stored else f"MISSING: qd connectors secret {one.id} {secret.field}"
        lines.append(f"secret    {secret.field}: keyring entry {secret.entry}, {stored}")
    lines += [f"setting   {name} = {_value(value)}" for name, value in sorted(one.options.items())]
    lines += [f"webhooks  POST /hooks/{one.id} on the hook listener"] if one.receives else []
    if one.feeds:
        lines += ["", plain.table([_feed(feed, now) for feed in one.feeds], FEED_HEADS, empty="")]
        lines += [
            f"{feed.kind}: {plain.clean(feed.error or feed.doubt, 400)}"
            for feed in one.feeds
            if feed.error or feed.doubt
        ]
    if one.rights:
        lines += ["", rights(one.rights)]
    limits = [(capability, name, why) for capability, each in one.traits.items() for name, why in each.items()]
    if limits:
        lines += ["", plain.table(limits, ("capability", "limit", "because"), empty="")]
    lines += ["", f"written against: {plain.clean(one.docs, 1000)}"] if one.docs else []
    return "\n".join(lines)


FEED_HEADS = ("mirrors", "state", "objects", "synced", "full listing", "next", "every", "notes")


def _feed(feed: FeedView, now: float) -> tuple[str, ...]:
    notes = []
    if feed.failures:
        notes.append(f"failed {feed.failures} times")
    if abs(feed.skew_s) >= 1:
        notes.append(f"its clock is {abs(feed.skew_s):.0f} s {'ahead' if feed.skew_s > 0 else 'behind'}")
    if feed.late:
        notes.append(f"{feed.late} told late")
    return (
        feed.kind,
        feed.state if feed.state != "stale" else "STALE",
        f"{feed.objects:,}",
        age(feed.synced_at, now),
        age(feed.full_at, now),
        f"in {plain.span(feed.next_at - now)}" if feed.next_at > now else "",
        plain.span(feed.every_s),
        ", ".join(notes),
    )


def rights(found: Iterable[RightView]) -> str:
    rows = [(one.name, HAS[one.has], one.needed_for) for one in found]
    return plain.table(rows, ("right", "has", "needed for"), empty="the system tells no rights")


def tested(found: TestView) -> str:
    if not found.ok:
        return f"not connected: {plain.clean(found.error, 500)}" + (
            f"\n  {plain.clean(found.fix)}" if found.fix else ""
        )
    lines = [f"connected: {plain.clean(found.says, 300)}"]
    lines += [f"reads {plain.clean(one)}" for one in found.reads]
    lines += [rights(found.rights)] if found.rights else []
    return "\n".join(lines)


def checked(report: CheckReport) -> str:
    """Every promise with its outcome, and the reason where it was not kept."""
    lines: list[str] = []
    several = len({one.capability for one in report.results}) > 1
    for capability in dict.fromkeys(one.capability for one in report.results):
        lines += [capability] if several else []
        lines += _promises([one for one in report.results if one.capability == capability])
    lines += [f"LEFT BEHIND  {plain.clean(one, 300)}" for one in report.left]
    told = f"{report.kept} kept, {report.broken} broken, {report.skipped} skipped"
    if not report.write:
        told += "; nothing was written (--write tries the rest)"
    return "\n".join([*lines, "", told])


def _promises(rows: Sequence[PromiseResult]) -> list[str]:
    """Each on a line of its own; those skipped for one reason together at the end."""
    skipped: dict[str, list[PromiseResult]] = {}
    for one in rows:
        if one.outcome == "skipped":
            skipped.setdefault(one.reason, []).append(one)
    alike = {reason: len(found) for reason, found in skipped.items() if len(found) > 1}
    lines = [_promise(one) for one in rows if not (one.outcome == "skipped" and one.reason in alike)]
    return [
        *lines,
        *(f"{MARK['skipped']}  {count} more: {plain.clean(reason, 400)}" for reason, count in alike.items()),
    ]


def _promise(one: PromiseResult) -> str:
    wrote = " (by writing)" if one.write and one.outcome != "skipped" else ""
    line = f"{MARK[one.outcome]}  {plain.clean(one.says)}{wrote}"
    return line + (f"\n        {plain.clean(one.reason, 400)}" if one.reason else "")


def nested(values: Sequence[str]) -> dict[str, Json]:
    """`a=1 b.c=text` as `{"a": 1, "b": {"c": "text"}}`. Raises UsageError."""
    found: dict[str, Any] = {}
    for pair in values:
        name, sign, text = pair.partition("=")
        if not sign or not all(name.split(".")):
            raise click.UsageError(f"an argument is NAME=VALUE, not {pair!r}")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        *outer, last = name.split(".")
        into = found
        for one in outer:
            into = into.setdefault(one, {})
            if not isinstance(into, dict):
                raise click.UsageError(f"{name}: {one} has a value already")
        into[last] = value
    return found


def callable_(calls: Sequence[CallForm]) -> str:
    rows = [(one.call, "; ".join(f"{name}: {how}" for name, how in one.asks.items()) or "nothing") for one in calls]
    return plain.table(rows, ("call", "asks for"), empty="nothing it serves can be tried dry")


def rehearsed(report: DryReport) -> str:
    """The requests as they would go out."""
    if report.error:
        return f"nothing would be sent: {plain.clean(report.error, 500)}"
    if not report.would:
        return f"nothing would be sent; it gives {_value(report.result)}"
    lines: list[str] = []
    for one in report.would:
        lines.append(f"{one.method} {plain.clean(one.url, 500)}")
        lines += [f"{plain.clean(name)}: {plain.clean(value, 300)}" for name, value in sorted(one.headers.items())]
        body = one.body if isinstance(one.body, str) else plain.as_json(one.body) if one.body is not None else ""
        lines += ["", plain.clean_lines(body)] if body else []
        lines.append("")
    return "\n".join([*lines, "not sent; what would follow depends on the answer"])


def calls(page: CallPage) -> str:
    rows = [
        (
            plain.moment(one.at)[11:],
            one.status or "-",
            f"{one.ms:.0f} ms",
            f"{one.bytes:,}" if one.bytes else "",
            f"#{one.attempt}" if one.attempt > 1 else "",
            f"{one.method} {one.path}",
            one.error,
        )
        for one in sorted(page.calls, key=lambda one: one.at)
    ]
    return plain.table(
        rows, ("at", "status", "took", "bytes", "try", "call", "error"), empty="nothing was asked of it yet"
    )


def objects(page: MirrorPage) -> str:
    rows = [
        (
            one.kind,
            one.id,
            one.name if one.name != one.id else "",
            f"gone {age(one.deleted_at, page.as_of)}" if one.deleted_at else one.state,
            age(one.changed_at, page.as_of) if one.changed_at else "",
            one.url,
        )
        for one in page.objects
    ]
    text = plain.table(
        rows, ("kind", "id", "name", "state", "changed", "address"), empty="nothing is mirrored that fits"
    )
    more = page.total - len(page.objects)
    return f"{text}\n{more:,} more" if more > 0 else text


def _value(value: Json) -> str:
    return plain.clean(value if isinstance(value, str) else json.dumps(value), 200)
