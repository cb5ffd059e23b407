"""Robots and cohorts, as mirrored from their owners."""

from __future__ import annotations

from engine.contract.common import Page, View


class RobotRow(View, frozen=True, kw_only=True):
    """`mode` after VDA 5050 operatingMode, or OFFLINE / CONNECTION_BROKEN. `drift`: desired and reported differ past the
    deadline; `differs_since`: when that was first seen, 0 while they agree.
    """

    id: str
    serial: str
    site: str
    region: str
    customer: str
    variant: str
    mode: str
    desired: str
    reported: str
    battery: float | None = None
    last_seen_at: float = 0.0
    poll_s: float = 0.0
    online: bool = True
    drift: bool = False
    differs_since: float = 0.0
    rollout: str = ""
    state: str = ""
    hold: str = ""
    lookalike: str = ""
    as_of: float = 0.0


class RobotPage(Page, frozen=True, kw_only=True):
    rows: tuple[RobotRow, ...] = ()


class CohortView(View, frozen=True, kw_only=True):
    id: str
    selector: str
    robots: int
    digest: str
    frozen_at: float
    strata: dict[str, int] = {}
    used_by: str = ""
    members: tuple[str, ...] = ()
