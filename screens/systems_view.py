"""Remote systems as lines of parts: health in one word, what is mirrored and how old it is, rights, limits, calls, promises."""

from __future__ import annotations

import json
from collections.abc import Sequence

from engine.contract.common import Json
from engine.contract.conformance import CheckReport
from engine.contract.records import RecordEvent
from engine.contract.systems import CallPage, FeedView, KindView, MirrorPage, RightView, SystemView
from screens import figures, layout
from screens.model import age, coarse
from screens.secret_words import means, needed_first
from screens.widgets.parts import Part
from screens.widgets.rows import Cells

Line = list[Part]
SHORT = 80
"""A longer error is told in full below, the verdict line has room for its beginning."""
RANK = {"failing": 0, "stale": 1, "suspended": 3}
LATE_CLOCK_S = 1.0
"""A clock that is off by less than this is right: a request takes as long."""


def health(one: SystemView) -> Part:
    """Glyph and word: what has to be known first."""
    if one.state == "suspended":
        return ("\u2016 suspended", "caution")
    if one.health == "failing":
        return ("\u2717 failing", "alarm")
    if one.stale:
        return ("! STALE", "caution")
    return ("\u2713 ok", "") if one.health == "ok" else ("\u00b7 not yet asked", "muted")


def rank(one: SystemView) -> tuple[int, str]:
    """What needs somebody first."""
    state = "failing" if one.health == "failing" else "stale" if one.stale else one.state
    return RANK.get(state, 2), one.id


def synced(one: SystemView, now: float) -> Part:
    """Age of the oldest thing mirrored of it."""
    if not one.feeds:
        return ("\u2014", "muted")
    oldest = min(feed.synced_at for feed in one.feeds)
    if not oldest:
        return ("not yet", "muted")
    old = coarse(max(0.0, now - oldest))
    return (old, "caution") if one.stale else old


def cells(one: SystemView, now: float) -> Cells:
    said: Part = (one.error, "alarm") if one.health == "failing" else (one.says or one.url, "muted")
    mirrored: Part = f"{one.objects:,}" if one.feeds else ("\u2014", "muted")
    return (one.id, (one.system_kind, "muted"), health(one), ", ".join(one.serves), mirrored, synced(one, now), said)


def verdict(rows: Sequence[SystemView], now: float) -> Line:
    """One sentence about all of them."""
    failing = [one for one in rows if one.health == "failing" and one.state != "suspended"]
    stale = [one for one in rows if one.stale and one.state != "suspended" and one not in failing]
    resting = [one for one in rows if one.state == "suspended"]
    line: Line = []
    if failing:
        worst = min(failing, key=lambda one: one.failing_since or now)
        since = f" for {coarse(now - worst.failing_since)}" if worst.failing_since else ""
        line.append((f"\u2717 {worst.id} does not answer{since}", "alarm"))
        line += [(f", {len(failing) - 1} more", "alarm")] if failing[1:] else []
        line += [": runs that need it wait. "]
    if stale:
        line += [
            (f"! {', '.join(one.id for one in stale[:3])} {'is' if len(stale) == 1 else 'are'} STALE", "caution"),
            ". ",
        ]
    if resting:
        line += [(f"\u2016 {', '.join(one.id for one in resting[:3])} suspended", "caution"), ". "]
    well = len(rows) - len(failing) - len(stale) - len(resting)
    objects = sum(one.objects for one in rows)
    return [*line, f"{well} of {figures.plural(len(rows), 'system')} well, {objects:,} objects mirrored."]


def summary(one: SystemView, now: float) -> Line:
    """The verdict line of one system."""
    line: Line = [(f"{one.id} ", "strong"), health(one), f"  {one.kind_title or one.system_kind}"]
    if one.health == "failing":
        since = f" for {coarse(now - one.failing_since)}" if one.failing_since else ""
        return [*line, ("  ", ""), (f"no answer{since}: {one.error}", "alarm")] if since or one.error else line
    return [*line, (f"  {one.says}", "muted")]


def facts(one: SystemView, now: float, width: int) -> list[Line]:
    """Everything about it: what it serves, what is mirrored, rights it has and lacks, what it can't do."""
    rows: list[tuple[str, Part | Line]] = [
        ("address", one.url or "\u2014"),
        ("serves", _serves(one)),
        ("asked", _asked(one, now)),
    ]
    for secret in one.secrets:
        held: Line = [
            f"keyring entry {secret.entry} ",
            ("stored", "muted") if secret.stored else ("MISSING: K stores it", "alarm"),
        ]
        rows.append((secret.field, held))
    rows += [(name, _value(value)) for name, value in sorted(one.options.items())]
    rows.append(
        (
            "added",
            f"by {one.created_by}, {figures.clock(one.created_at, now)}"
            if one.origin == "added"
            else "in quarterdeck.yaml",
        )
    )
    if one.receives:
        rows.append(("webhooks", f"POST /hooks/{one.id} on the hook listener"))
    if one.health == "failing" and len(one.error) > SHORT:
        rows.insert(0, ("error", (one.error, "alarm")))
    lines: list[Line] = layout.pairs(rows, width)
    lines += [[""], *feeds(one.feeds, now, width)]
    lines += [[""], *rights(one.rights, width)] if one.rights else []
    lines += [[""], *limits(one, width)] if any(one.traits.values()) else []
    if one.docs:
        lines += [[""], [("written against  ", "muted"), one.docs]]
    return lines


def _serves(one: SystemView) -> Line:
    """What it serves; the capabilities for which it is asked when nobody says which system."""
    line: Line = []
    for name in one.serves:
        line += [", "] if line else []
        line.append((name, "strong") if name in one.first else name)
    others = [name for name in one.serves if name not in one.first]
    if others and one.first:
        line.append(("  (asked first in bold)", "muted"))
    if one.serves and not one.first and one.state == "active":
        line.append((f"  only when named: {one.serves[0]}@{one.id}", "muted"))
    return line or ["\u2014"]


def _asked(one: SystemView, now: float) -> Line:
    if not one.checked_at:
        return [("not yet", "muted")]
    return [
        f"{coarse(max(0.0, now - one.checked_at))} ago",
        (f", answered in {one.latency_s * 1000:.0f} ms" if one.latency_s else "", "muted"),
    ]


def feeds(rows: Sequence[FeedView], now: float, width: int) -> list[Line]:
    """What is mirrored, how old it is, when it is asked again."""
    if not rows:
        return [[("Nothing of it is mirrored.", "muted")]]
    shown: list[list[Part | Line]] = []
    told: list[Line] = []
    for feed in rows:
        state: Part = {
            "stale": ("! STALE", "caution"), "failing": ("\u2717 failing", "alarm"), "fresh": ("\u2713 fresh", ""),
            "suspended": ("\u2016 suspended", "caution"),
        }.get(feed.state, (feed.state, "muted"))  # fmt: skip
        soon = (
            f"in {age(feed.next_at - now)}"
            if feed.next_at > now
            else ("now", "muted")
            if feed.next_at
            else ("\u2014", "muted")
        )
        was = age(now - feed.synced_at) if feed.synced_at else ("never", "muted")
        shown.append([feed.kind, state, f"{feed.objects:,}", was, soon, coarse(feed.every_s), _notes(feed)])
        if feed.error or feed.doubt:
            told.append([(f"{feed.kind}: ", "muted"), (feed.error or feed.doubt, "caution")])
    head = ("mirrors", "state", "objects", "synced", "again", "every", "")
    return [*layout.table(shown, width, head=head, right=frozenset({2, 3})), *told]


def _notes(feed: FeedView) -> Line:
    notes: Line = []
    if feed.failures:
        notes.append((f"failed {feed.failures} in a row", "caution"))
    if abs(feed.skew_s) >= LATE_CLOCK_S:
        way = "ahead" if feed.skew_s > 0 else "behind"
        notes += [", "] if notes else []
        notes.append((f"its clock is {age(abs(feed.skew_s))} {way}", "caution"))
    if feed.late:
        notes += [", "] if notes else []
        notes.append((f"{feed.late} told late", "muted"))
    if not notes and feed.changed:
        notes.append((f"{feed.changed:,} changed", "muted"))
    return notes


def rights(rows: Sequence[RightView], width: int) -> list[Line]:
    shown: list[list[Part | Line]] = []
    for one in rows:
        mark: Part = (
            ("\u2713 has", "")
            if one.has
            else ("\u2717 lacks", "caution")
            if one.has is False
            else ("? unknown", "muted")
        )
        shown.append([one.name, mark, (one.needed_for, "muted")])
    return layout.table(shown, width, head=("right", "", "needed for"))


def limits(one: SystemView, width: int) -> list[Line]:
    rows: list[tuple[str, Part | Line]] = []
    for capability, each in one.traits.items():
        rows += [(f"{capability}: {name}" if len(one.traits) > 1 else name, why) for name, why in each.items()]
    return [[("What it can't do, or does otherwise", "muted")], *layout.pairs(rows, width)]


def calls(page: CallPage, now: float, width: int) -> list[Line]:
    """What was asked of it, newest first."""
    if not page.calls:
        return [[("Nothing was asked of it since the engine started.", "muted")]]
    shown: list[list[Part | Line]] = []
    for one in sorted(page.calls, key=lambda one: -one.at):
        bad = one.status == 0 or one.status >= 400
        status: Part = (str(one.status) if one.status else "none", "alarm" if bad else "")
        more = f" #{one.attempt}" if one.attempt > 1 else ""
        said: Line = [f"{one.method} {one.path}{more}", (f"  {one.error}" if one.error else "", "caution")]
        shown.append([age(max(0.0, now - one.at)), status, f"{one.ms:.0f} ms", said])
    return layout.table(shown, width, head=("ago", "status", "took", "call"), right=frozenset({0, 2}))


def objects(page: MirrorPage, now: float, width: int) -> list[Line]:
    """What is mirrored of it, newest change first."""
    if not page.objects:
        return [[("Nothing is mirrored of it.", "muted")]]
    shown: list[list[Part | Line]] = []
    for one in page.objects:
        state: Part = (f"gone {coarse(max(0.0, now - one.deleted_at))} ago", "muted") if one.deleted_at else one.state
        changed: Part = coarse(max(0.0, now - one.changed_at)) if one.changed_at else ("\u2014", "muted")
        shown.append([(one.kind, "muted"), one.id, one.name if one.name != one.id else "", state, changed])
    lines = layout.table(shown, width, head=("kind", "id", "name", "state", "changed"), right=frozenset({4}))
    more = page.total - len(page.objects)
    return [*lines, [(f"{more:,} more: qd connectors objects NAME --text WORD", "muted")]] if more > 0 else lines


def promises(report: CheckReport | None, width: int) -> list[Line]:
    """Each promise with its outcome; broken ones first."""
    if report is None:
        return [[("Trying every promise of its ports by reading \u2026 nothing is changed there.", "muted")]]
    lines: list[Line] = []
    told: Line = [
        (f"\u2717 {report.broken} broken", "alarm") if report.broken else ("\u2713 none broken", "good"),
        f", {report.kept} kept, {report.skipped} skipped",
    ]
    lines += [told, [""]]
    order = {"broken": 0, "kept": 1, "skipped": 2}
    for one in sorted(report.results, key=lambda one: order[one.outcome]):
        mark: Part = {"kept": ("\u2713 ", ""), "broken": ("\u2717 ", "alarm")}.get(one.outcome, ("\u00b7 ", "muted"))
        lines.append([mark, (one.says, "muted") if one.outcome == "skipped" else one.says])
        if one.reason:
            lines.append(["    ", (one.reason, "alarm" if one.outcome == "broken" else "muted")])
    lines += [[("! left behind: ", "caution"), (one, "caution")] for one in report.left]
    if not report.write:
        lines += [[""], [("What can only be told by writing: qd connectors check NAME --write", "muted")]]
    return lines


def history(events: Sequence[RecordEvent], now: float) -> list[Line]:
    if not events:
        return [[("Nothing was changed yet.", "muted")]]
    lines: list[Line] = []
    for one in reversed(events):
        moved = one.to if one.to and one.to != one.from_ else "changed"
        fields = ", ".join(name for name in (one.set or {}) if name not in ("title", "updated_at"))
        lines.append(
            [
                (f"{figures.clock(one.at, now)}  ", "muted"),
                (moved, "strong"),
                f"  {one.actor.id}",
                (f"  {one.reason or fields}", "muted"),
            ]
        )
    return lines


def kind_cells(one: KindView) -> Cells:
    said: Part = (f"can't be loaded: {one.error}", "alarm") if one.error else (one.title or one.kind, "")
    package = "" if one.package in ("", "quarterdeck") else one.package
    return (one.kind, said, ", ".join(one.capabilities), (package, "muted"))


def kind_page(one: KindView, width: int) -> list[Line]:
    """What a kind asks for, and against what it was tested."""
    lines: list[Line] = [[(one.title or one.kind, "strong")]]
    if one.error:
        lines += [[(f"can't be loaded: {one.error}", "alarm")]]
    lines += [[""], *layout.pairs([("serves", ", ".join(one.capabilities)), *_more(one)], width)]
    asks: list[list[Part | Line]] = [
        [
            field.name,
            ("needed", "caution") if field.required else "",
            ("secret" if field.secret else field.type, "muted"),
            (means(field) if field.secret else field.description, "muted"),
        ]
        for field in needed_first(one.fields)
    ]
    lines += [[""], *layout.table(asks, width, head=("it asks for", "", "", "which is"))]
    return lines


def _more(one: KindView) -> list[tuple[str, Part | Line]]:
    rows: list[tuple[str, Part | Line]] = []
    if one.needs:
        rows.append(("needs", f"{', '.join(one.needs)}, served by another system"))
    if one.docs:
        rows.append(("tested", one.docs))
    if one.webhooks:
        rows.append(("webhooks", "can tell of changes by itself"))
    return rows


def _value(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)
