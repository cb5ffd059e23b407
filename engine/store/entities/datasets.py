"""Datasets, their snapshots, label tasks and annotations, requests for more recordings, training runs."""

from __future__ import annotations

from sqlmodel import Field

from engine.store.entities.base import RecordColumns


class DatasetRow(RecordColumns, table=True):
    __tablename__ = "datasets"
    line: str = Field(default="", index=True)
    owner: str = ""
    newest: str = ""


class SnapshotRow(RecordColumns, table=True):
    """`snapshots` is the journal's table of run states."""

    __tablename__ = "dataset_snapshots"
    dataset: str = Field(default="", index=True)
    version: int = 0
    line: str = Field(default="", index=True)
    root_digest: str = Field(default="", index=True)
    episodes: int = 0


class LabelTaskRow(RecordColumns, table=True):
    __tablename__ = "label_tasks"
    session: str = Field(default="", index=True)
    dataset: str = Field(default="", index=True)
    snapshot: str = Field(default="", index=True)
    purpose: str = ""
    assignee: str = Field(default="", index=True)
    task: str = ""


class AnnotationRow(RecordColumns, table=True):
    __tablename__ = "annotations"
    task: str = Field(default="", index=True)
    session: str = Field(default="", index=True)
    dataset: str = Field(default="", index=True)
    author: str = ""
    purpose: str = ""


class CollectionRow(RecordColumns, table=True):
    __tablename__ = "collections"
    dataset: str = Field(default="", index=True)
    snapshot: str = Field(default="", index=True)
    due_at: float = 0.0


class TrainingRow(RecordColumns, table=True):
    __tablename__ = "trainings"
    snapshot: str = Field(default="", index=True)
    dataset: str = Field(default="", index=True)
    line: str = Field(default="", index=True)
    recipe_digest: str = Field(default="", index=True)
    seed: int = 0
    spent_s: float = 0.0
