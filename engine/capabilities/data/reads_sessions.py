"""Computed views of sessions: everything that was found in one, and how a folder's recordings fared."""

from __future__ import annotations

import msgspec

from engine.capabilities.reads import Look, Read
from engine.capabilities.vault import VaultError
from engine.contract.sessions import SessionFunnel, SessionReport, SessionView

MOST = 100_000


def report(look: Look, at: dict[str, str], query: dict[str, str]) -> SessionReport | None:
    """All findings of a session; the record itself holds the worst twenty."""
    session: SessionView | None = look.get("session", at["session"])
    if session is None:
        return None
    try:
        kept = look.vault.read(session.report) if session.report else b""
        found = msgspec.json.decode(kept, type=SessionReport) if kept else None
    except (VaultError, msgspec.MsgspecError):
        found = None
    if found is None:
        return SessionReport(
            session=session.id, digest=session.digest, verdict=session.verdict, profile=session.profile, findings=session.findings,
            topics=session.topics, repaired=session.mended,
        )  # fmt: skip
    return msgspec.structs.replace(found, topics=session.topics)


def funnel(look: Look, at: dict[str, str], query: dict[str, str]) -> SessionFunnel:
    """Counts by state and by reason; `dataset`, `campaign`, `robot`, `site` narrow them."""
    where = {name: query[name] for name in ("dataset", "campaign", "robot", "site") if query.get(name)}
    found: list[SessionView] = look.find("session", where=where, limit=MOST)
    states: dict[str, int] = {}
    reasons: dict[str, int] = {}
    for session in found:
        states[session.state] = states.get(session.state, 0) + 1
        if session.state == "quarantined":
            reasons[session.code] = reasons.get(session.code, 0) + 1
    ordered = dict(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0])))
    return SessionFunnel(
        states=states, reasons=ordered, sessions=len(found), bytes=sum(one.bytes for one in found),
        hours=round(sum(one.duration_s for one in found) / 3600, 3), repaired=sum(one.repairs > 0 for one in found),
        lost_bytes=sum(one.lost_bytes for one in found),
    )  # fmt: skip


READS: tuple[Read, ...] = (
    Read(path="/v1/sessions/{session}/report", shape=SessionReport, says="Every finding of a session.", give=report),
    Read(
        path="/v1/session-funnel", shape=SessionFunnel, says="Sessions by state, and why some were set aside.", give=funnel,
        queries=("dataset", "campaign", "robot", "site"),
    ),
)  # fmt: skip
