"""The tables of the correction loop."""

from __future__ import annotations

from sqlmodel import Field

from engine.store.entities.base import RecordColumns


class CorrectionRow(RecordColumns, table=True):
    __tablename__ = "corrections"
    session: str = Field(default="", index=True)
    robot: str = Field(default="", index=True)
    site: str = Field(default="", index=True)
    task: str = ""
    version: str = Field(default="", index=True)
    cause: str = ""
    cluster: str = Field(default="", index=True)
    route: str = Field(default="", index=True)
    use: str = ""
    snapshot: str = ""
    pack: str = ""
    t0: float = Field(default=0.0, index=True)
    quality: int = 0
    count: int = 0
    double: bool = False


class ClusterRow(RecordColumns, table=True):
    __tablename__ = "correction_clusters"
    cause: str = Field(default="", index=True)
    task: str = Field(default="", index=True)
    zone: str = ""
    n: int = 0
    score: float = 0.0
    after: str = ""


class SpikeRow(RecordColumns, table=True):
    __tablename__ = "intervention_spikes"
    version: str = Field(default="", index=True)
    site: str = Field(default="", index=True)
    window_start: float = 0.0
    k: int = 0


class SessionScoreRow(RecordColumns, table=True):
    __tablename__ = "session_scores"
    session: str = Field(default="", index=True)
    site: str = Field(default="", index=True)
    version: str = Field(default="", index=True)
    task: str = Field(default="", index=True)
    start: float = Field(default=0.0, index=True)
    robot_h: float = 0.0
    interventions: int = 0
    flagged: bool = False
