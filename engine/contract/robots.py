"""Our own record of a robot: its life, its identity, and what keeps it from work.

What a robot runs and how it is belongs to its owners and is read from them (`engine.contract.fleet`); what is kept here is
what nobody else keeps: that it may not be given tasks, why, and which serial numbers it has had.
"""

from __future__ import annotations

from engine.contract.common import View
from engine.contract.records import RecordView


class SerialChange(View, frozen=True, kw_only=True):
    """A robot that got another serial number (a board was changed): who says so, and why."""

    serial: str
    until: float
    by: str = ""
    reason: str = ""


class RobotRecord(RecordView, frozen=True, kw_only=True):
    """`holds` are ids of what keeps it from being given tasks (a case, an incident, a legal hold); it is `dispatchable`
    when there is none and its state is in_service or degraded. `lease` is the control lease on it, if any.
    `software` is what it ran when it was last looked at, with the time since when (UTC epoch s).
    """

    manufacturer: str = ""
    serial: str = ""
    asset_tag: str = ""
    nickname: str = ""
    variant: str = ""
    hw_rev: str = ""
    serial_history: tuple[SerialChange, ...] = ()
    site: str = ""
    customer: str = ""
    fleet: str = ""
    software: str = ""
    software_since: float = 0.0
    op_mode: str = ""
    dispatchable: bool = True
    holds: tuple[str, ...] = ()
    lease: str = ""
