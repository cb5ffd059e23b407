"""Alerts and silences as rows and lines. Pure: structs and the engine's time in; cells and lines out."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from engine.contract.alerts import SILENCE_OVER, SilenceRecord
from engine.contract.systems import FeedView, MirrorObject, SystemPage
from screens import figures
from screens.alert_groups import FLOOD, NOBODY, Cluster, Held, clusters, fresh, heavy, holder, quiet, said
from screens.layout import Line
from screens.model import age, coarse
from screens.widgets.parts import Part
from screens.widgets.rows import Cells

FEED = "alert"


def summary(one: MirrorObject) -> str:
    found = one.data.get("annotations")
    return str(found.get("summary") or found.get("description") or "") if isinstance(found, dict) else ""


def ordered(rows: Sequence[MirrorObject], held: Held = NOBODY) -> list[MirrorObject]:
    """What fires, is heard and is nobody's first, the heaviest of it on top, the newest first among equals."""
    there = [one for one in rows if not one.deleted_at]
    return sorted(
        there, key=lambda one: (quiet(one), holder(one, held) is not None, not heavy(one), -one.changed_at, one.id)
    )


def rows_of(
    rows: Sequence[MirrorObject], held: Held, by: str, unfolded: Collection[str], now: float
) -> list[tuple[str, Cells]]:
    """The upper list: each alert, or clusters of them, those that are unfolded with their alerts below."""
    there = ordered(rows, held)
    if by == "each":
        return [(key_of(one), cells(one, now, held)) for one in there]
    found: list[tuple[str, Cells]] = []
    for cluster in clusters(there, by):
        if len(cluster.rows) == 1:
            found.append((key_of(cluster.rows[0]), cells(cluster.rows[0], now, held)))
            continue
        is_open = cluster.key in unfolded
        found.append((cluster.key, cluster_cells(cluster, now, held, is_open)))
        if is_open:
            found += [(key_of(one), cells(one, now, held, inside=True)) for one in cluster.rows]
    return found


def key_of(one: MirrorObject) -> str:
    return f"{one.system}/{one.id}"


def cluster_cells(one: Cluster, now: float, held: Held, is_open: bool) -> Cells:
    taken = sum(holder(row, held) is not None for row in one.rows)
    count = len(one.rows)
    mark = "\u25be" if is_open else "\u25b8"
    state: Part = (
        (f"{mark} {count} silenced", "muted")
        if one.quiet
        else (
            f"{mark} {count} {'taken' if taken == count else 'fire'}",
            "strong" if taken == count else "alarm" if one.heavy else "caution",
        )
    )
    where = ", ".join(one.sites[:3])
    where += f" and {len(one.sites) - 3} more" if len(one.sites) > 3 else ""
    who = f"{taken} of {count} taken" if 0 < taken < count else ""
    example = f"e.g. {summary(one.rows[0])}" if summary(one.rows[0]) else ""
    worst = next((said(row, "severity") for row in one.rows if heavy(row)), said(one.rows[0], "severity"))
    return (
        state,
        (one.name, "muted" if one.quiet else "strong"),
        figures.plural(one.robots, "robot") if one.robots else ("\u2014", "muted"),
        worst or ("\u2014", "muted"),
        "; ".join(word for word in (who, where, example) if word),
        one.rows[0].system,
        coarse(max(0.0, now - one.since)),
    )


def cells(one: MirrorObject, now: float, held: Held = NOBODY, *, inside: bool = False) -> Cells:
    grave, silent, has = heavy(one), quiet(one), holder(one, held)
    glyph: Part = (
        ("\u25cb silenced", "muted")
        if silent
        else (f"\u25c6 {has.person}", "strong")
        if has is not None
        else ("\u2717 fires", "alarm")
        if grave
        else ("! fires", "caution")
    )
    return (
        glyph,
        ([("  ", "")] if inside else []) + [(one.name, "muted" if silent else "strong")],
        said(one, "robot") or ("\u2014", "muted"),
        said(one, "severity") or ("\u2014", "muted"),
        summary(one),
        one.system,
        coarse(max(0.0, now - one.changed_at)),
    )


def silences(rows: Sequence[SilenceRecord]) -> list[SilenceRecord]:
    """Those that run, the first to end on top, then those that are over."""
    return sorted(
        rows, key=lambda r: (r.state in SILENCE_OVER, r.ends_at if r.state not in SILENCE_OVER else -r.ends_at)
    )


def matchers(one: SilenceRecord) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(one.matchers.items()))


def silence_cells(one: SilenceRecord, now: float) -> Cells:
    over = one.state in SILENCE_OVER
    tone = "muted" if over else "strong" if one.state == "active" else "caution"
    left: Part = (
        (f"{coarse(max(0.0, now - (one.ended_at or one.ends_at)))} ago", "muted") if over else coarse(one.ends_at - now)
    )
    return (one.id, (one.state, tone), matchers(one), one.owner, left, one.case or ("\u2014", "muted"), one.comment)


def feeds(page: SystemPage | None) -> list[tuple[str, FeedView]]:
    """The alert managers, each with how fresh its alerts are."""
    found = page.systems if page is not None else ()
    return [(one.name or one.id, feed) for one in found for feed in one.feeds if feed.kind == FEED]


def verdict(
    rows: Sequence[MirrorObject],
    silenced: Sequence[SilenceRecord],
    page: SystemPage | None,
    now: float,
    *,
    held: Held = NOBODY,
    by: str = "each",
) -> Line:
    """One sentence: how much fires and is heard, what somebody has, what is not heard, and how old that is."""
    known = feeds(page)
    if page is not None and not known:
        return ["No alert manager is connected:  qd connectors add alertmanager NAME --url \u2026"]
    there = ordered(rows)
    loud = [one for one in there if not quiet(one)]
    grave = sum(map(heavy, loud))
    new = fresh(there, now)
    line: Line = []
    if new > FLOOD:
        line += [
            ("FLOOD ", "alarm"),
            f"{new} new in 10 min, ",
            f"{figures.plural(len(clusters(loud, by)), 'cluster')}: " if by != "each" else "",
        ]
    line += [figures.plural(len(loud), "alert") + " firing"]
    if grave:
        line += [", ", (f"{grave} of weight", "alarm")]
    taken = sum(holder(one, held) is not None for one in loud)
    line += [f", {taken} taken"] if taken else []
    if len(there) > len(loud):
        line += [f", {len(there) - len(loud)} silenced"]
    running = sum(one.state not in SILENCE_OVER for one in silenced)
    line += [f", {figures.plural(running, 'silence')} from here"] if running else []
    for name, feed in known:
        if feed.state in ("stale", "failing") and feed.synced_at:
            line += ["  ", (f"STALE {age(max(0.0, now - feed.synced_at))} ({name})", "caution")]
    return line


def about_cluster(one: Cluster, now: float, held: Held = NOBODY) -> list[Line]:
    """A cluster in full: how many, where, since when, who has some of it, which robots."""
    count = figures.plural(len(one.rows), "alert")
    span = f"the first {age(max(0.0, now - one.since))} ago, the newest {age(max(0.0, now - one.newest))} ago"
    lines: list[Line] = [[(one.name, "strong"), f"  {count}, {span}"]]
    people = sorted({has.person for row in one.rows if (has := holder(row, held)) is not None})
    if people:
        lines.append([("taken by ", "muted"), (", ".join(people), "strong")])
    robots = sorted({said(row, "robot") for row in one.rows} - {""})
    shown = "  ".join(robots[:24]) + (f"  and {len(robots) - 24} more" if len(robots) > 24 else "")
    return [*lines, [(shown, "muted")]]


def about(
    one: MirrorObject | None,
    silence: SilenceRecord | None,
    now: float,
    held: Held = NOBODY,
) -> list[Line]:
    """What is under the cursor, in full."""
    if silence is not None:
        lines: list[Line] = [
            [(silence.id, "strong"), f"  {matchers(silence)}  by ", (silence.owner, "strong"), f": {silence.comment}"]
        ]
        if silence.state in SILENCE_OVER:
            lines.append([(f"{silence.state}" + (f" by {silence.ended_by}" if silence.ended_by else ""), "muted")])
        else:
            lines.append([f"until {figures.clock(silence.ends_at, now)}", ("  K ends it now", "muted")])
        return lines
    if one is None:
        return []
    labels = one.data.get("labels")
    shown = "  ".join(f"{k}={v}" for k, v in sorted(labels.items())) if isinstance(labels, dict) else ""
    lines = [[(one.name, "strong"), f"  {summary(one)}"], [(shown, "muted")]]
    has = holder(one, held)
    if has is not None:
        note = f": {has.note}" if has.note else ""
        lines.append(
            [
                (has.person, "strong"),
                f" has it since {figures.clock(has.created_at, now)}{note}",
                (f"  {has.id}", "muted"),
            ]
        )
    by = one.data.get("silenced_by")
    if isinstance(by, list) and by:
        lines.append([("not told to anybody: silenced as ", "muted"), ", ".join(str(each) for each in by[:3])])
    return lines
