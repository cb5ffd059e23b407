"""Alerts and silences as rows and lines. Pure: structs and the engine's time in; cells and lines out."""

from __future__ import annotations

from collections.abc import Sequence

from engine.contract.alerts import SILENCE_OVER, SilenceRecord
from engine.contract.systems import FeedView, MirrorObject, SystemPage
from screens import figures
from screens.layout import Line
from screens.model import age, coarse
from screens.widgets.parts import Part
from screens.widgets.rows import Cells

HEAVY = ("critical", "page", "safety")
FEED = "alert"


def said(one: MirrorObject, name: str) -> str:
    return str(one.data.get(name) or "")


def summary(one: MirrorObject) -> str:
    found = one.data.get("annotations")
    return str(found.get("summary") or found.get("description") or "") if isinstance(found, dict) else ""


def ordered(rows: Sequence[MirrorObject]) -> list[MirrorObject]:
    """What fires and is heard first, the heaviest of it on top, the newest first among equals."""
    there = [one for one in rows if not one.deleted_at]
    return sorted(
        there, key=lambda one: (one.state == "suppressed", said(one, "severity") not in HEAVY, -one.changed_at, one.id)
    )


def cells(one: MirrorObject, now: float) -> Cells:
    heavy, quiet = said(one, "severity") in HEAVY, one.state == "suppressed"
    glyph: Part = (
        ("\u25cb silenced", "muted") if quiet else ("\u2717 fires", "alarm") if heavy else ("! fires", "caution")
    )
    return (
        glyph,
        (one.name, "muted" if quiet else "strong"),
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


def verdict(rows: Sequence[MirrorObject], held: Sequence[SilenceRecord], page: SystemPage | None, now: float) -> Line:
    """One sentence: how much fires and is heard, what is not, and how old that is."""
    known = feeds(page)
    if page is not None and not known:
        return ["No alert manager is connected:  qd connectors add alertmanager NAME --url \u2026"]
    there = ordered(rows)
    loud = [one for one in there if one.state != "suppressed"]
    heavy = sum(said(one, "severity") in HEAVY for one in loud)
    line: Line = [figures.plural(len(loud), "alert") + " firing"]
    if heavy:
        line += [", ", (f"{heavy} of weight", "alarm")]
    if len(there) > len(loud):
        line += [f", {len(there) - len(loud)} silenced"]
    running = sum(one.state not in SILENCE_OVER for one in held)
    line += [f", {figures.plural(running, 'silence')} from here"] if running else []
    for name, feed in known:
        if feed.state in ("stale", "failing") and feed.synced_at:
            line += ["  ", (f"STALE {age(max(0.0, now - feed.synced_at))} ({name})", "caution")]
    return line


def about(one: MirrorObject | None, silence: SilenceRecord | None, now: float) -> list[Line]:
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
    by = one.data.get("silenced_by")
    if isinstance(by, list) and by:
        lines.append([("not told to anybody: silenced as ", "muted"), ", ".join(str(each) for each in by[:3])])
    return lines
