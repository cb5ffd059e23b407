"""How numbers are written: with unit, count, denominator and age, in the field's words. Pure text, no widgets.

Rules (domain notes, section 3): never a percentage without k/n; bounds beside every ratio; data older than twice its
expected interval says STALE with its age; "worse" only when a bound excludes the limit, never "safe".
"""

from __future__ import annotations

from datetime import UTC, datetime

from engine.contract.rollouts import Counts, SignalRow
from screens.model import age, coarse
from screens.widgets.parts import Part, width

GLYPHS: dict[str, Part] = {"!": ("!", "alarm"), "?": ("?", "caution"), "=": ("=", "good"), "": " "}
"""A signal's flag: fails, can't tell, passes, nothing to say."""

WORDS = {
    "PASS": ("\u2713 PASS", "good"),
    "FAIL": ("\u2717 FAIL", "alarm"),
    "INCONCLUSIVE": ("? INCONCLUSIVE", "caution"),
}
STATE_TONES = {
    "paused": "caution",
    "pause_requested": "caution",
    "held": "caution",
    "rolling_back": "alarm",
    "rollback_incomplete": "alarm",
    "failed": "alarm",
    "inconclusive": "caution",
    "aborted": "caution",
    "rejected": "alarm",
    "timed_out": "alarm",
    "unknown": "caution",
    "on_hold": "caution",
    "offline": "muted",
    "deferred": "muted",
    "planned": "muted",
    "pending": "muted",
    "awaiting_signoff": "strong",
    "completed_with_exceptions": "caution",
    "expired": "caution",
    "withdrawn": "muted",
}
STATE_GLYPHS = {
    "paused": "\u2016",
    "pause_requested": "\u2016",
    "held": "\u2016",
    "on_hold": "\u2016",
    "rolling_back": "\u21ba",
    "rolled_back": "\u21ba",
    "rollback_incomplete": "!",
    "failed": "\u2717",
    "rejected": "\u2717",
    "timed_out": "\u2717",
    "unknown": "?",
    "inconclusive": "?",
    "passed": "\u2713",
    "completed": "\u2713",
    "succeeded": "\u2713",
    "accepted": "\u2713",
    "completed_with_exceptions": "!",
    "healthy": "\u2713",
    "awaiting_signoff": "\u2691",
    "aborted": "\u2717",
    "pending": "\u00b7",
    "planned": "\u00b7",
    "deferred": "\u00b7",
    "offline": "\u25cb",
}


def share(k: int, n: int) -> str:
    """`9/10 90%`; `0/0` when there is nothing to divide by."""
    return f"{k}/{n} {100 * k / n:.0f}%" if n else f"{k}/{n}"


def percent(ratio: float | None) -> str:
    """For coverage, whose k and n are heartbeats counted elsewhere: the column names them."""
    return "-" if ratio is None else f"{100 * ratio:.0f}%"


def number(value: float | None) -> str:
    """Three significant digits without an exponent: 2.66 -> 2.7, 30.0 -> 30, 6865.3 -> 6865."""
    if value is None:
        return "-"
    size = abs(value)
    if size >= 30:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.0f}" if abs(value - round(value)) < 0.05 else f"{value:.1f}"
    return f"{value:.1f}" if size >= 0.1 or not value else f"{value:.2g}"


def bounds(row: SignalRow) -> str:
    """`2.7 [1.3 5.2]`; what can't be had is left out, never invented."""
    brief = said(row).split(", ", 1)[0]  # what follows repeats the columns before
    if row.ratio is None:
        return brief or "-"
    if row.low is None and row.high is None:
        return brief or number(row.ratio)
    high = "\u221e" if row.high is None or row.high == float("inf") else number(row.high)
    return f"{number(row.ratio)} [{number(row.low)} {high}]"


def said(row: SignalRow) -> str:
    """A signal's own words, without its name: that stands in the first column."""
    return row.text.removeprefix(row.name).lstrip(" :,")


def plural(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def minutes(seconds: float) -> str:
    """A duration as planned: `45 s`, `~14 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"~{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


_LAST = 253_402_300_800.0
"""The year 10000: a record may hold any number, a calendar does not."""


def clock(moment: float | None, now: float) -> str:
    """UTC time of day, with the date when it isn't today: `02:51Z`, `22 Nov 02:51Z`."""
    if not moment or not 0 < moment < _LAST:
        return "\u2014"
    when = datetime.fromtimestamp(moment, UTC)
    today = datetime.fromtimestamp(now, UTC).date()
    return f"{when:%H:%M}Z" if when.date() == today else f"{when:%d %b %H:%M}Z"


def day(moment: float) -> str:
    """The day of a moment, UTC: `Mon 02 Nov`."""
    return f"{datetime.fromtimestamp(moment, UTC):%a %d %b}" if 0 < moment < _LAST else "\u2014"


def aged(as_of: float, now: float, expected_s: float = 60.0) -> Part:
    """Age of data: muted while fresh, `STALE 4m12s` beyond twice the expected interval."""
    if not as_of:
        return ("age unknown", "caution")
    old = max(0.0, now - as_of)
    return (f"STALE {age(old)}", "caution") if old > 2 * expected_s else (f"{age(old)} old", "muted")


def until(moment: float | None, now: float) -> Part:
    """Time left: `in 3h`; under ten minutes it wants attention; passed says so."""
    if not moment:
        return ("no deadline", "muted")
    left = moment - now
    if left <= 0:
        return (f"overdue {coarse(-left)}", "alarm")
    return (f"in {coarse(left) if left >= 600 else age(left)}", "caution" if left < 600 else "")


def state(word: str) -> Part:
    """Glyph, word, and a tone only when it is abnormal or passed."""
    glyph = STATE_GLYPHS.get(word, "\u25b8")
    tone = STATE_TONES.get(word, "good" if word in ("passed", "completed", "healthy") else "")
    text = f"{glyph} {word.replace('_', ' ')}"
    return (text, tone) if tone else text


def verdict(word: str) -> Part:
    return WORDS.get(word, (word.lower() or "\u2014", "muted"))


def counts(row: Counts, cells: int = 160) -> list[Part]:
    """The denominators: planned to offline, then executed and what came of it. Zeros of bad things stay quiet."""
    bad = row.failed + row.timed_out + row.rejected
    parts: list[Part] = [
        f"plan {row.planned} eligible {row.eligible} deferred {row.deferred} ",
        (f"offline {row.offline}", "caution") if row.offline else "offline 0",
        " | ",
        (f"executed {row.executed}", "strong"),
        f" ok {row.ok} ",
        (f"failed {row.failed}", "alarm") if row.failed else "failed 0",
    ]
    if row.timed_out:
        parts += [" ", (f"timed out {row.timed_out}", "alarm")]
    if row.rejected:
        parts += [" ", (f"rejected {row.rejected}", "alarm")]
    if row.in_progress:
        parts.append(f" in progress {row.in_progress}")
    if row.unknown or width(parts) + len(" unknown 0") <= cells:
        parts += [" ", (f"unknown {row.unknown}", "caution") if row.unknown else "unknown 0"]
    if bad and row.executed:
        said = f"  = {share(bad, row.executed)} of executed"
        if width(parts) + len(said) <= cells:
            parts.append(said)
    return parts


def short(digest: str, size: int = 12) -> str:
    return digest.rpartition(":")[2][:size]


def site_of(parts: list[str]) -> str:
    """Several sites in one word: `HAM2`, `HAM2 +3`."""
    known = [part for part in dict.fromkeys(parts) if part]
    return "\u2014" if not known else known[0] if len(known) == 1 else f"{known[0]} +{len(known) - 1}"
