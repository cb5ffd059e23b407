"""One access request as lines: who wants what of whom, what the rules say, what is missing, what was granted and used. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from engine.contract.access import AccessRequest, ControlLease, Grant, RequestDetail, RuleResult, Used, Volume
from engine.contract.gates import GateDetail
from engine.contract.records import RecordEvent
from screens import figures
from screens.layout import Line, heading, pairs, table
from screens.model import coarse
from screens.widgets.parts import Part
from screens.widgets.rows import Cells

MARKS: dict[str, Part] = {
    "ok": ("ok", "good"), "deny": ("!!", "alarm"), "error": ("!!", "alarm"), "ask": ("? ", "caution"), "hold": ("..", "caution"),
    "note": ("- ", "muted"),
}  # fmt: skip
OVER = ("closed", "denied", "withdrawn")
WANTS = {
    "view": "look", "copy": "copy", "export": "export", "shell": "shell", "observe": "observe", "assist": "assist", "direct": "DIRECT DRIVE",
}  # fmt: skip
TONES = {
    "needs_info": "caution", "held": "caution", "denied": "alarm", "granted": "strong", "in_review": "strong", "revoked": "caution",
    "lost": "alarm", "withdrawn": "muted", "closed": "muted", "expired": "muted", "relinquished": "muted", "recorded": "muted",
}  # fmt: skip
GLYPHS = {
    "needs_info": "?", "held": "\u2016", "denied": "\u2717", "granted": "\u25b8", "active": "\u25b8", "in_review": "\u2691", "closed": "\u2713",
    "withdrawn": "\u00b7", "revoked": "\u2717", "expired": "\u00b7", "relinquished": "\u00b7", "recorded": "\u00b7", "lost": "!",
}  # fmt: skip
LESS_IN = ("evaluated", "needs_info", "approved", "held", "denied")
"""While something less can still be asked for."""
PLAIN = "\u25b8"
SHOWN_OK = ("transfer", "teleop", "contract")
"""Stages whose rules are shown on the first page also when they hold; the others only when they do not."""


def without(key: str, bindings: Sequence[Any]) -> list[Any]:
    """Bindings of a widget without one of their keys, which the screen around it gives another meaning."""
    kept = [(one, ",".join(name for name in one.key.split(",") if name != key)) for one in bindings]
    return [replace(one, key=keys) for one, keys in kept if keys]


def state(word: str) -> Part:
    """Glyph and word; a tone only for what is not as usual."""
    text = f"{GLYPHS.get(word, PLAIN)} {word.replace('_', ' ')}"
    tone = TONES.get(word, "")
    return (text, tone) if tone else text


def where(robots: Sequence[str], sessions: Sequence[str], site: str) -> str:
    names = list(robots) or list(sessions)
    return names[0] + (f" +{len(names) - 1}" if len(names) > 1 else "") if names else site or "\u2014"


def request_cells(row: AccessRequest, due: float | None, now: float) -> Cells:
    """A row of the list: mark, id, state, who, wants, what, deadline, why."""
    decided = row.state == "evaluated" and due is not None
    mark: Part = (
        ("\u2691", "strong")
        if decided or row.state == "in_review"
        else ("!", "alarm")
        if row.breakglass and row.state not in OVER
        else " "
    )
    wants = WANTS.get(row.action, row.action)
    why = row.reason if row.state in ("held", "needs_info", "denied") and row.reason else row.purpose
    return (
        mark,
        row.id,
        state(row.state),
        (wants, "strong") if row.action == "direct" else wants,
        row.requester,
        (" ".join(part for part in (row.employer, row.actor_location) if part), "muted"),
        where(row.robots, row.sessions, row.site),
        figures.until(due, now) if due is not None and row.state not in OVER else ("", "muted"),
        (why, "muted"),
    )


def grant_cells(row: Grant, lease: ControlLease | None, now: float) -> Cells:
    mark: Part = ("!", "alarm") if row.breakglass or row.used.excess else " "
    mode = lease.mode if lease is not None else row.actions[-1] if row.actions else ""
    hand: Part = (WANTS.get(mode, mode), "strong") if mode in ("assist", "direct") else WANTS.get(mode, mode)
    return (
        mark,
        row.id,
        state(row.state),
        hand,
        row.actor,
        (f"for {row.on_behalf_of}" if row.on_behalf_of else "", "muted"),
        where(row.robots, row.sessions, row.site),
        figures.until(row.expires_at, now),
        (f"{row.request}, ended by its {row.enforced_by}", "muted"),
    )


def verdict(detail: RequestDetail, gate: GateDetail | None, now: float) -> list[Part]:
    """What this request waits for, in one sentence."""
    request = detail.request
    if request.state in ("submitted", "classified"):
        return [f"{request.id} is being looked at."]
    if request.state == "evaluated" and gate is not None:
        done = [f"{seat.role or seat.label} done" for seat in gate.seats if len(seat.filled_by) >= seat.count]
        open_ = [f"{seat.role or seat.label} open" for seat in gate.seats if len(seat.filled_by) < seat.count]
        total = sum(seat.count for seat in gate.seats)
        line: list[Part] = [
            ("\u2691 ", "strong"),
            (f"NEEDS {total}: ", "strong"),
            ", ".join([*done, *open_]),
            "  expires ",
        ]
        return [*line, figures.until(detail.gate_expires_at, now), " (it denies)"]
    words: dict[str, list[Part]] = {
        "evaluated": [f"{request.id} is evaluated."],
        "needs_info": [
            ("? ", "caution"),
            (f"More is needed from {request.requester} (i tells it): {request.reason}", "caution"),
        ],
        "approved": ["Approved; what it needs to start is looked at."],
        "held": [("\u2016 ", "caution"), (f"Approved, HELD: {request.reason}", "caution")],
        "denied": [("\u2717 ", "alarm"), (f"Denied: {request.reason}", "alarm")],
        "withdrawn": [f"{request.id} was withdrawn: {request.reason}"],
        "recorded": ["Over and recorded."],
        "in_review": [("\u2691 ", "strong"), "Over; to be looked at by compliance. A opens the review."],
        "closed": [
            f"Closed: {request.finding or request.ended}" + (f" by {request.reviewer}" if request.reviewer else "")
        ],
    }
    if request.state == "granted" and detail.grant is not None:
        grant = detail.grant
        start: Part = ("! BREAK-GLASS ", "alarm") if grant.breakglass else ("\u25b8 ", "strong")
        return [
            start,
            f"{grant.actor} has {grant.actions[-1]} ",
            figures.until(grant.expires_at, now),
            f" ({grant.id}). K ends it at once.",
        ]
    return words.get(request.state, [f"{request.id} is {request.state.replace('_', ' ')}."])


def facts(detail: RequestDetail, gate: GateDetail | None, now: float, cells: int, *, roomy: bool = False) -> list[Line]:
    """The first page: sentence, data, what is wrong, what would intrude less, history, who agrees, what was granted."""
    request = detail.request
    lines: list[Line] = [[(request.sentence or request.title, "strong")]]
    if request.offered:
        lines += [
            [""],
            [
                ("offered instead: ", "caution"),
                (request.offered, "strong"),
                f" by {request.offered_by}; {request.requester} takes or declines it",
            ],
        ]
    running = detail.grant is not None and detail.grant.state in ("issued", "active")
    lines += [[""], *session(detail, now, cells)] if running else []
    lines += [[""], *_data(request)]
    trace = [one for one in request.evaluation.trace if first_page(one, roomy)]
    wrong = [one for one in trace if one.result != "ok"]
    rest = [one for one in trace if one.result == "ok"]
    lines += [[""], *rules(wrong, cells)] if wrong else []
    lines += [[""]]
    if request.evaluation.alternatives and request.state in LESS_IN:
        lines += [[("less intrusive: ", "muted"), " | ".join(one.says for one in request.evaluation.alternatives)]]
    lines.append(_history(detail))
    lines += [[""], *rules(rest, cells)] if rest else []
    also = [one.rule for one in request.evaluation.trace if one.result == "ok" and one not in rest]
    if also:
        lines.append([(" ok  ", "good"), (f"{' '.join(also)}  (e: each with its facts)", "muted")])
    if gate is not None and gate.votes:
        agreed = [
            f"{vote.person} {vote.answer}{': ' + vote.rationale if vote.rationale else ''}"
            for vote in gate.votes
            if not vote.void
        ]
        lines += [[("so far: ", "muted"), "; ".join(agreed)]]
    elif request.approvals:
        lines += [[("agreed: ", "muted"), ", ".join(one.person for one in request.approvals)]]
    if request.info:
        lines += [[("said since: ", "muted"), "; ".join(request.info)]]
    if detail.grant is not None and not running:
        lines += [[""], *session(detail, now, cells)]
    if request.finding:
        follow = f"; follow-up: {request.follow_up}" if request.follow_up else ""
        tone = "" if request.finding == "ok" else "alarm"
        lines += [
            [""],
            [
                ("review: ", "muted"),
                (request.finding, tone) if tone else request.finding,
                f" by {request.reviewer}{follow}",
            ],
        ]
    if request.record:
        lines += [[("record: ", "muted"), figures.short(request.record, 16), ("  kept for good", "muted")]]
    return lines


def first_page(one: RuleResult, roomy: bool = False) -> bool:
    """What is said in words at once: what is wrong, who has to agree, the transfer; with room also the other ones."""
    if one.result == "note":
        return False
    return one.result != "ok" or bool(one.seats) or one.stage == "transfer" or (roomy and one.stage in SHOWN_OK)


def _data(request: AccessRequest) -> list[Line]:
    found = request.classification
    if not found.counts:
        return [[("data: not yet classified", "muted")]]
    names: list[Part] = []
    for one in found.counts:
        word = one.name.replace("_", " ")
        names += [", " if names else "", (word, "caution") if one.name != "telemetry" else word]
    how = "data shown live: " if found.live else "data: "
    seen = f"; {people(found.volume)}" if "personal_video" in found.classes else ""
    lines: list[Line] = [[(how, "muted"), *names, seen, *([("  copy: none", "muted")] if found.live else [])]]
    volume = found.volume
    if volume.files:
        lines.append(
            [
                (
                    f"{figures.plural(volume.files, 'file')}, {volume.minutes:.0f} min, {size(volume.bytes)}, of {figures.plural(volume.robots, 'robot')}",
                    "muted",
                )
            ]
        )
    if found.odd or found.missing:
        lines.append(
            [
                ("? ", "caution"),
                ("; ".join([*found.odd, *(f"nothing is known of {name[:40]}" for name in found.missing)]), "caution"),
            ]
        )
    return lines


def people(volume: Volume) -> str:
    if volume.faces is None:
        return "faces likely (nobody counted)"
    return f"{volume.faces} faces, {volume.plates or 0} plates counted"


def size(count: float) -> str:
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count:.0f} B"


def rules(trace: Sequence[RuleResult], cells: int) -> list[Line]:
    """Rules by what decides: what denies or is missing first, then who has to agree, then what holds."""
    rank = {"deny": 0, "error": 0, "ask": 1, "hold": 2}
    ordered = sorted(trace, key=lambda one: rank.get(one.result, 3 if one.seats else 4))
    lines: list[Line] = []
    wide = max((len(one.rule) for one in ordered), default=0)
    rows = []
    for one in ordered:
        if one.result in rank:  # what is wrong is said whole, however long
            tone = "alarm" if one.result in ("deny", "error") else "caution"
            lines.append([" ", MARKS.get(one.result, "  "), f"  {one.rule.ljust(wide)}  ", (one.says, tone)])
            continue
        seats: list[Part] = [(f"  \u2691 {', '.join(one.seats)}", "strong")] if one.seats else []
        rows.append((MARKS.get(one.result, "  "), one.rule, [one.says, *seats]))
    return lines + table(rows, cells, indent=1)


def trace(request: AccessRequest, cells: int) -> list[Line]:
    """Every rule in the order it was asked, with the facts it looked at and where it comes from."""
    found = request.evaluation
    lines: list[Line] = [
        heading(
            "Rules, in the order they are asked",
            (f"pack {figures.short(found.pack)} \u00b7 facts {figures.short(found.facts_digest)}", "muted"),
        ),
    ]
    stage = ""
    for one in found.trace:
        if one.stage != stage:
            stage = one.stage
            lines += [[""], [(stage, "strong")]]
        seats: list[Part] = [(f"  \u2691 {', '.join(one.seats)}", "strong")] if one.seats else []
        lines.append([" ", MARKS.get(one.result, "  "), f" {one.rule} rev {one.rev}  ", one.says, *seats])
        note = [
            part
            for part in (
                one.fact,
                one.source and f"{one.source}, verified {one.verified_on}" if one.verified_on else one.source,
            )
            if part
        ]
        lines += [[(f"      {text}", "muted")] for text in note]
    if found.skipped:
        lines += [[""], [("did not apply: ", "muted"), ", ".join(found.skipped)]]
    return lines


def _history(detail: RequestDetail) -> Line:
    over = sum(one.over_scope for one in detail.history)
    line: Line = [("last 30 d: ", "muted"), f"{figures.plural(len(detail.history), 'grant')}, "]
    line.append((f"{over} over scope", "alarm") if over else "0 over scope")
    line.append(f", {figures.plural(detail.denials, 'denial')}")
    if detail.request.sort == "teleop":
        ready = detail.request.readiness
        word = {True: "ready", False: "NOT READY", None: "not reported"}[ready.recording]
        line += [("     recording: ", "muted"), word if ready.recording else (word, "caution")]
    return line


def session(detail: RequestDetail, now: float, cells: int) -> list[Line]:
    """What was granted, and what is done with it."""
    grant, lease = detail.grant, detail.lease
    if grant is None:
        return [[("nothing is granted", "muted")]]
    rows: list[tuple[str, Part | list[Part]]] = [
        (
            "grant",
            [
                f"{grant.id} ",
                state(grant.state),
                f"  {', '.join(grant.actions)} on {where(grant.robots, grant.sessions, grant.site)}",
            ],
        ),
        (
            "ends",
            [
                figures.clock(grant.expires_at, now),
                "  ",
                figures.until(grant.expires_at, now)
                if grant.state in ("issued", "active")
                else (f"ended {figures.clock(grant.ended_at, now)} by {grant.ended_by}: {grant.reason}", "muted"),
            ],
        ),
        (
            "ended by its",
            f"{grant.enforced_by}"
            + (f" (serial {grant.serial}, {', '.join(grant.principals)})" if grant.serial else ""),
        ),
    ]
    if lease is not None:
        link = (
            f", link {coarse(max(0.0, now - lease.link_at))} ago" if lease.state == "active" and lease.link_at else ""
        )
        ack = f", on site {lease.site_ack_by}" if lease.site_ack_by else ""
        rows.append(
            (
                "lease",
                [
                    f"{lease.id} {lease.mode} ",
                    state(lease.state),
                    f"  latency p95 {lease.latency_p95_ms:.0f} ms{ack}{link}",
                ],
            )
        )
    rows.append(("used", used(grant.used, now)))
    return pairs(rows, cells)


def used(row: Used, now: float) -> list[Part]:
    if not row.started_at:
        return [("not yet", "muted"), *([(f", refused {row.refused} times", "caution")] if row.refused else [])]
    parts: list[Part] = [
        f"since {figures.clock(row.started_at, now)}: {figures.plural(row.sessions, 'session')}, {figures.plural(row.commands, 'command')}, {size(row.bytes)}"
    ]
    if row.recordings:
        parts.append((f", recorded as {', '.join(row.recordings[:2])}", "muted"))
    if row.refused:
        parts.append((f", refused {row.refused} times", "caution"))
    if row.excess:
        parts.append((f"  BEYOND WHAT WAS GRANTED: {'; '.join(row.excess)}", "alarm"))
    return parts


def grants(detail: RequestDetail, now: float, cells: int) -> list[Line]:
    """What this person was granted lately."""
    rows = [
        (
            one.id,
            ", ".join(one.actions),
            one.where,
            figures.clock(one.from_, now),
            state(one.state),
            ("over scope", "alarm") if one.over_scope else "",
        )
        for one in detail.history
    ]
    head = heading(
        f"Granted to {detail.request.requester} in 30 days", (figures.plural(detail.denials, "denial"), "muted")
    )
    if not rows:
        return [head, [""], [("nothing else", "muted")]]
    return [head, [""], *table(rows, cells, head=("grant", "may", "what", "from", "state", ""))]


def history(events: Sequence[RecordEvent], now: float) -> list[Line]:
    lines: list[Line] = [heading("Timeline", ("newest first", "muted")), [""]]
    for one in reversed(events):
        move: list[Part] = [state(one.to)] if one.to != one.from_ else [("\u00b7 noted", "muted")]
        lines.append(
            [(f"{figures.clock(one.at, now)}  ", "muted"), *move, f"  {one.actor.id}", (f"  {one.reason}", "muted")]
        )
    return lines
