"""Table of webhook deliveries that were kept aside."""

from __future__ import annotations

from sqlmodel import Field

from engine.store.entities.base import RecordColumns


class DeliveryRow(RecordColumns, table=True):
    __tablename__ = "deliveries"
    source: str = Field(default="", index=True)
    digest: str = ""
    size_b: int = 0
