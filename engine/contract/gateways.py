"""Gateways: hosts behind which robots stand, and the sessions people open on them.

Durations are seconds, times UTC epoch seconds, sizes bytes. A recording is asciicast v2; its digest is in the history.
"""

from __future__ import annotations

from engine.contract.common import Json, View
from engine.contract.records import RecordView

SESSION_LIVE = ("opening", "open")


class SshSession(RecordView, frozen=True, kw_only=True):
    """A session on a gateway: who, with which grant, as which certificate, until when; how it ended, and its recording.

    `command` is empty for a shell. `exit` is None when no status came. `fingerprint` is the host key it was opened on.
    `ended_why` in words; `watchers` who looked over a shoulder.
    """

    gateway: str = ""
    system: str = ""
    site: str = ""
    person: str = ""
    grant: str = ""
    purpose: str = ""
    command: str = ""
    account: str = ""
    serial: int = 0
    key_id: str = ""
    until: float = 0.0
    cols: int = 80
    rows: int = 24
    fingerprint: str = ""
    started_at: float = 0.0
    ended_at: float = 0.0
    ended_why: str = ""
    exit: int | None = None
    recording: str = ""
    recorded_s: float = 0.0
    output_b: int = 0
    input_b: int = 0
    watchers: tuple[str, ...] = ()


class GatewayRow(View, frozen=True, kw_only=True):
    """A gateway as it was last looked at, and what the caller could do there now.

    `host_key`: trusted, changed, unknown, revoked, expired. `clock_off_s` how far its clock is from ours, 0 when near.
    `grant` is the caller's own that would open it, `why_not` why they can't (empty: they can).
    """

    name: str
    system: str = ""
    host: str = ""
    port: int = 22
    account: str = ""
    site: str = ""
    region: str = ""
    reachable: bool = False
    host_key: str = "unknown"
    fingerprint: str = ""
    engine_version: str = ""
    clock_off_s: float = 0.0
    looked_at: float = 0.0
    error: str = ""
    sessions: tuple[SshSession, ...] = ()
    grant: str = ""
    until: float = 0.0
    why_not: str = ""


class GatewayPage(View, frozen=True, kw_only=True):
    """All gateways with what is open on them, and the sessions that ended lately."""

    gateways: tuple[GatewayRow, ...] = ()
    ended: tuple[SshSession, ...] = ()
    stale_s: float = 300.0
    as_of: float = 0.0


class CastPage(View, frozen=True, kw_only=True):
    """A part of a recording: events as asciicast v2 has them ([seconds, code, data]). `more`: ask again from `next`.

    `live`: the session still runs, more comes. `sound`: what is kept is what was recorded (its digest fits).
    """

    session: str = ""
    digest: str = ""
    header: dict[str, Json] = {}
    events: tuple[tuple[float, str, str], ...] = ()
    next: int = 0
    more: bool = False
    live: bool = False
    sound: bool = True
    size: int = 0
    title: str = ""


class SessionEnd(View, frozen=True, kw_only=True):
    """The last line of a session's stream."""

    session: str
    exit: int | None = None
    why: str = ""
    recording: str = ""
