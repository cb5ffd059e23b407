"""Tables of access requests, grants and control leases."""

from __future__ import annotations

from sqlmodel import Field

from engine.store.entities.base import RecordColumns


class AccessRequestRow(RecordColumns, table=True):
    __tablename__ = "access_requests"
    sort: str = Field(default="", index=True)
    action: str = ""
    requester: str = Field(default="", index=True)
    employer: str = Field(default="", index=True)
    site: str = ""
    breakglass: bool = False


class GrantRow(RecordColumns, table=True):
    __tablename__ = "grants"
    request: str = Field(default="", index=True)
    actor: str = Field(default="", index=True)
    sort: str = ""
    site: str = ""
    expires_at: float = Field(default=0.0, index=True)
    serial: int = 0
    breakglass: bool = False


class ControlLeaseRow(RecordColumns, table=True):
    __tablename__ = "control_leases"
    robot: str = Field(default="", index=True)
    holder: str = Field(default="", index=True)
    mode: str = ""
    expires_at: float = 0.0
