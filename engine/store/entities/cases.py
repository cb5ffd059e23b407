"""Tables of maintenance cases and problems."""

from __future__ import annotations

from sqlmodel import Field

from engine.store.entities.base import RecordColumns


class CaseRow(RecordColumns, table=True):
    __tablename__ = "cases"
    robot: str = Field(default="", index=True)
    site: str = ""
    variant: str = Field(default="", index=True)
    mode: str = Field(default="", index=True)
    component: str = ""
    cause: str = ""
    source: str = ""
    detector: str = Field(default="", index=True)
    queue: str = Field(default="", index=True)
    priority: int = 0
    assignee: str = Field(default="", index=True)
    problem: str = Field(default="", index=True)
    external_ref: str = Field(default="", index=True)
    safety_related: bool = False


class ProblemRow(RecordColumns, table=True):
    __tablename__ = "problems"
    variant: str = Field(default="", index=True)
    mode: str = Field(default="", index=True)
    fix_in: str = ""
