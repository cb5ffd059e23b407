"""The table of robots' lifecycle records."""

from __future__ import annotations

from sqlmodel import Field

from engine.store.entities.base import RecordColumns


class RobotRecordRow(RecordColumns, table=True):
    __tablename__ = "robot_records"
    serial: str = Field(default="", index=True)
    site: str = Field(default="", index=True)
    customer: str = ""
    variant: str = ""
    software: str = ""
    dispatchable: bool = True
    lease: str = ""
