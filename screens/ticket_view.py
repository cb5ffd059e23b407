"""A case's tickets elsewhere as lines of text: both sides of every field, what they disagree about, how old that is. Pure."""

from __future__ import annotations

from engine.contract.cases import CaseDetail
from engine.contract.tickets import LINK_OVER, TicketDetail, TicketPage, TicketSide
from screens import figures
from screens.layout import Line
from screens.model import age
from screens.widgets.parts import Part

FIELD, VALUE, WIDEST = 10, 16, 44
WORDS: dict[str, tuple[str, str]] = {
    "agreed": ("agreed", "muted"),
    "ours": ("goes there", "strong"),
    "theirs": ("comes here", "strong"),
    "conflict": ("! S chooses", "alarm"),
    "left out": ("left out", "muted"),
}


def first(detail: CaseDetail) -> TicketDetail | None:
    """The ticket that is kept in step with the case."""
    return next((one for one in detail.tickets if one.link.state not in LINK_OVER), None)


def line(detail: CaseDetail, now: float) -> list[Line]:
    """One line of the overview, a second one when both disagree; none where no ticket system is."""
    found: list[Line] = []
    one = first(detail)
    if one is not None:
        found.append(
            [("ticket ", "muted"), (_name(one), "strong"), "  ", *_state(one, now), ("   J opens it", "muted")]
        )
        found += [_disagree(side) for side in one.sides if side.word == "conflict"]
    elif detail.ticket_system and detail.case.state not in ("closed", "duplicate", "cancelled"):
        found.append([("ticket ", "muted"), ("none", "muted"), (f"   J: open one in {detail.ticket_system}", "muted")])
    for page in detail.pages[:1]:
        found.append([("page   ", "muted"), *_page(page, now)])
    return found


def _name(one: TicketDetail) -> str:
    return f"{one.link.system}/{one.link.ticket}" if one.link.ticket else f"{one.link.system}, being opened"


def _state(one: TicketDetail, now: float) -> Line:
    link = one.link
    if link.state == "failing":
        return [(f"! not in step for {age(max(0.0, now - link.failing_since))}: {link.error}", "alarm")]
    if link.state == "gone":
        return [("! deleted there", "caution")]
    if link.state == "unlinked":
        return [("let go", "muted")]
    if link.state == "opening":
        return [("not opened yet", "muted")]
    seen: Part = (f"compared {age(max(0.0, now - link.synced_at))} ago", "muted")
    stale: Line = [(f"  STALE {age(one.stale_s)}", "caution")] if one.stale_s else []
    word: Part = (f"{len(link.conflicts)} to choose  ", "alarm") if link.conflicts else "in step  "
    return [f"{link.their_state}  ", word, seen, *stale]


def _disagree(side: TicketSide) -> Line:
    why = side.why or "both changed: S chooses"
    return [("  ! ", "alarm"), f"{side.field}: ", (side.ours or "none", "strong"), " here, ", (side.theirs or "none", "strong"),
            (f" there ({why})", "muted")]  # fmt: skip


def _page(page: TicketPage, now: float) -> Line:
    if page.state == "ended":
        return [(f"ended {figures.clock(page.ended_at, now)}", "muted")]
    if page.state == "acknowledged":
        return [f"acknowledged {figures.clock(page.acked_at, now)}", (f"  {page.system}", "muted")]
    return [
        (f"somebody is being woken since {figures.clock(page.raised_at, now)}", "caution"),
        (f"  {page.system}", "muted"),
    ]


def sides(detail: CaseDetail, now: float, cells: int) -> list[Line]:
    """Every ticket of the case, both sides beside each other."""
    if not detail.tickets:
        where = detail.ticket_system
        says = f"N opens one in {where}." if where else "No ticket system is connected: F5, or qd connectors add."
        return [["This case has no ticket elsewhere. ", (says, "muted")]]
    wide = min(WIDEST, max(VALUE, (cells - FIELD - 16) // 2))
    found: list[Line] = []
    for one in detail.tickets:
        found += [[(_name(one), "strong"), "  ", *_state(one, now)]]
        if one.link.url:
            found.append([(one.link.url, "muted")])
        if one.link.state == "unlinked":
            found.append([""])
            continue
        found += [[""], [(f"{'':{FIELD}}{'here':{wide}}  {'there':{wide}}", "muted")]]
        for side in one.sides:
            said, tone = WORDS.get(side.word, (side.word, "muted"))
            here, there = _cut(side.ours, wide), _cut(side.theirs, wide)
            found.append([f"{side.field:{FIELD}}", f"{here:{wide}}  ", f"{there:{wide}}  ", (said, tone)])
            if side.why:
                found.append([f"{'':{FIELD}}", (side.why, "caution" if side.word == "conflict" else "muted")])
        passed = sum(1 for key in one.link.comments.values() if key)
        found.append([""])
        found.append([(f"{passed} comments and {len(one.link.attached)} files are on both sides", "muted")])
        if one.link.changed_there:
            found.append([(f"changed there {figures.clock(one.link.changed_there, now)}", "muted")])
        found.append([""])
    found += [[("page   ", "muted"), *_page(page, now)] for page in detail.pages]
    return found


def _cut(text: str, cells: int) -> str:
    shown = text or "-"
    return shown if len(shown) <= cells else shown[: cells - 1] + "\u2026"
