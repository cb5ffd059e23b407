"""Tables of incidents and of what they leave standing."""

from __future__ import annotations

from sqlmodel import Field

from engine.store.entities.base import RecordColumns


class IncidentRow(RecordColumns, table=True):
    __tablename__ = "incidents"
    sev: int = Field(default=0, index=True)
    version: str = Field(default="", index=True)
    line: str = ""
    digest: str = ""
    site: str = ""
    ic: str = ""
    phase: str = ""
    detector: str = ""


class HoldRow(RecordColumns, table=True):
    __tablename__ = "holds"
    robot: str = Field(default="", index=True)
    incident: str = Field(default="", index=True)
    purpose: str = ""


class FollowUpRow(RecordColumns, table=True):
    __tablename__ = "followups"
    incident: str = Field(default="", index=True)
    what: str = ""
    owner: str = ""
    robot: str = ""


class StandingRuleRow(RecordColumns, table=True):
    __tablename__ = "standing_rules"
    incident: str = Field(default="", index=True)
    version: str = Field(default="", index=True)
