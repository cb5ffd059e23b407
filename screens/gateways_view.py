"""Gateways and sessions on them as rows and lines. Pure: structs, the engine's time and a width in; cells and lines out."""

from __future__ import annotations

from collections.abc import Sequence

from engine.contract.gateways import SESSION_LIVE, GatewayPage, GatewayRow, SshSession
from screens import figures, layout
from screens.layout import Line
from screens.model import age, coarse
from screens.widgets.parts import Part
from screens.widgets.rows import Cells

DISTRUSTED = ("changed", "revoked", "expired")
CLOCK_OFF_S = 30.0
"""A clock that is off by more makes certificates begin and end wrongly."""
_OVER = {"ended": "", "cut": "caution", "lost": "caution", "refused": "muted", "failed": "caution"}


def distrusted(row: GatewayRow) -> bool:
    """Its host key is not the one that is known: nothing is sent there."""
    return row.host_key in DISTRUSTED or (row.host_key == "unknown" and bool(row.fingerprint))


def stale(row: GatewayRow, now: float, stale_s: float) -> bool:
    return bool(row.looked_at) and now - row.looked_at > stale_s


def state(row: GatewayRow, now: float, stale_s: float) -> Line:
    """What is wrong first."""
    if not row.looked_at:
        return [("not looked at yet", "muted")]
    found: Line
    if distrusted(row):
        found = [(f"\u2717 HOST KEY {row.host_key.upper()}", "alarm")]
    elif not row.reachable:
        found = [("\u25cb away", "caution")]
    elif row.error:
        found = [("\u2717 no login", "caution")]
    elif abs(row.clock_off_s) > CLOCK_OFF_S:
        found = [(f"\u2260 clock {row.clock_off_s:+.0f} s", "caution")]
    else:
        found = ["\u25cf up"]
    if stale(row, now, stale_s):
        found += [" ", (f"STALE {coarse(now - row.looked_at)}", "caution")]
    return found


def mine(row: GatewayRow, now: float) -> Part:
    """What I could do there: my grant and what is left of it."""
    if row.grant:
        return f"{row.grant} {coarse(max(0.0, row.until - now))}"
    return ("no grant", "muted") if row.why_not else "free"


def cells(row: GatewayRow, now: float, stale_s: float) -> Cells:
    people = [one.person for one in row.sessions]
    return (
        row.name,
        row.site,
        state(row, now, stale_s),
        (row.host_key, "alarm") if distrusted(row) else (_key_word(row), "muted"),
        row.engine_version or ("\u2014", "muted"),
        (f"{len(people)}: {', '.join(dict.fromkeys(people))}", "strong") if people else ("\u2014", "muted"),
        mine(row, now),
        f"{row.account}@{row.host}:{row.port}",
        coarse(max(0.0, now - row.looked_at)) if row.looked_at else ("never", "muted"),
    )


def _key_word(row: GatewayRow) -> str:
    """One that was never reached showed no key."""
    return "\u2014" if row.host_key == "unknown" else row.host_key


def about(row: GatewayRow | None, now: float, cells_wide: int) -> list[Line]:
    """The gateway under the cursor: where it is, which key it showed, what is wrong and what I can do."""
    if row is None:
        return []
    where = f"{row.account}@{row.host}:{row.port}"
    lines: list[Line] = [
        [
            (row.name, "strong"),
            f"  {where}  ",
            (row.fingerprint or "host key not seen", "alarm" if distrusted(row) else "muted"),
        ]
    ]
    if row.error:
        lines.append([(row.error, "alarm" if distrusted(row) else "caution")])
    elif row.why_not:
        lines.append([(row.why_not, "muted")])
    elif row.grant:
        lines.append(
            [f"S opens a session with {row.grant}, for at most {age(max(0.0, row.until - now))}; it is recorded"]
        )
    else:
        lines.append(["S opens a session: no grant is needed here; it is recorded"])
    return lines


def session_cells(one: SshSession, now: float) -> Cells:
    live = one.state in SESSION_LIVE
    word: Part = (one.state, "strong") if live else (one.state, _OVER.get(one.state, ""))
    length = now - one.started_at if live else one.recorded_s
    what = one.command or one.ended_why
    return (
        one.id,
        word,
        one.person,
        one.gateway,
        one.grant or ("\u2014", "muted"),
        age(max(0.0, length)) if one.started_at else ("\u2014", "muted"),
        [
            *([("watched by " + ", ".join(one.watchers) + "  ", "caution")] if one.watchers else []),
            what or ("a shell", "muted"),
        ],
        figures.short(one.recording) if one.recording else ("\u2014", "muted"),
        figures.clock(one.ended_at or one.started_at, now),
    )


def ordered(page: GatewayPage) -> list[SshSession]:
    """Open ones first, then what ended, newest first."""
    live = {one.id: one for row in page.gateways for one in row.sessions}
    return [*live.values(), *(one for one in page.ended if one.id not in live)]


def summary(page: GatewayPage, now: float) -> list[Part]:
    """The verdict line: how many, what is wrong, how many sessions."""
    rows: Sequence[GatewayRow] = page.gateways
    if not rows:
        return ["No gateway is known: ", ("qd connectors add ssh", "strong"), " adds them."]
    line: list[Part] = [(figures.plural(len(rows), "gateway"), "strong")]
    bad = [row.name for row in rows if row.looked_at and distrusted(row)]
    away = [row.name for row in rows if row.looked_at and not row.reachable and not distrusted(row)]
    unseen = sum(not row.looked_at for row in rows)
    if bad:
        line += [
            ", ",
            (
                f"\u2717 HOST KEY of {', '.join(bad[:2])}{f' +{len(bad) - 2}' if len(bad) > 2 else ''}: nothing is sent there",
                "alarm",
            ),
        ]
    if away:
        line += [", ", (f"{len(away)} away ({', '.join(away[:2])})", "caution")]
    if unseen:
        line += [", ", (f"{unseen} not looked at yet", "muted")]
    sessions = sum(len(row.sessions) for row in rows)
    line += [", ", f"{figures.plural(sessions, 'session')} open" if sessions else "no session open", "."]
    return line


def brief(page: GatewayPage) -> list[Part]:
    """For the fleet's own verdict line: only what is abnormal, and that there are gateways."""
    bad = sum(bool(row.looked_at) and distrusted(row) for row in page.gateways)
    away = sum(bool(row.looked_at) and not row.reachable and not distrusted(row) for row in page.gateways)
    sessions = sum(len(row.sessions) for row in page.gateways)
    line: list[Part] = []
    if bad:
        line += [" Gateways: ", (f"{bad} WRONG HOST KEY", "alarm")]
    if away:
        line += [", " if line else " Gateways: ", (f"{away} away", "caution")]
    if sessions:
        line += [", " if line else " Gateways: ", f"{figures.plural(sessions, 'session')} open"]
    return [*line, "."] if line else line


def detail(one: SshSession, now: float, cells_wide: int) -> list[Line]:
    """A session in lines: for one that has no recording to play."""
    rows: list[tuple[str, layout.Cell]] = [
        ("who", f"{one.person} on {one.gateway} as {one.account or 'nobody'}"),
        ("state", [one.state, (f"  {one.ended_why}", "caution") if one.ended_why else ""]),
        ("when", figures.clock(one.started_at or one.ended_at, now)),
        ("grant", one.grant or "none"),
        ("command", one.command or "a shell"),
        ("why", one.purpose or "\u2014"),
        ("recording", one.recording or "none: it never began"),
    ]
    return [[("SESSION ", "muted"), (one.id, "strong")], [""], *layout.pairs(rows, cells_wide)]
