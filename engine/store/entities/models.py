"""Candidates, evaluation packs, their trials and comparisons, and the artifacts that come of them."""

from __future__ import annotations

from sqlmodel import Field

from engine.store.entities.base import RecordColumns


class CandidateRow(RecordColumns, table=True):
    __tablename__ = "candidates"
    line: str = Field(default="", index=True)
    version: str = Field(default="", index=True)
    model_digest: str = Field(default="", index=True)
    snapshot: str = Field(default="", index=True)
    training: str = Field(default="", index=True)
    pack: str = Field(default="", index=True)
    verdict: str = ""
    artifact: str = ""


class PackRow(RecordColumns, table=True):
    __tablename__ = "evaluation_packs"
    name: str = Field(default="", index=True)
    version: int = 0
    line: str = Field(default="", index=True)
    digest: str = Field(default="", index=True)


class TrialRow(RecordColumns, table=True):
    __tablename__ = "trials"
    candidate: str = Field(default="", index=True)
    task: str = Field(default="", index=True)
    arm: str = ""
    seed: int = 0
    purpose: str = ""
    outcome: str = ""


class ComparisonRow(RecordColumns, table=True):
    __tablename__ = "comparisons"
    candidate: str = Field(default="", index=True)
    pack: str = ""
    verdict: str = ""


class ArtifactRow(RecordColumns, table=True):
    __tablename__ = "artifacts"
    digest: str = Field(default="", index=True)
    line: str = Field(default="", index=True)
    version: str = Field(default="", index=True)
    candidate: str = Field(default="", index=True)
    content_of: str = ""
    expires_at: float = Field(default=0.0, index=True)
