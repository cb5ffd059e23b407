"""Tables of tickets that belong to cases, and of pages."""

from __future__ import annotations

from sqlmodel import Field

from engine.store.entities.base import RecordColumns


class TicketLinkRow(RecordColumns, table=True):
    __tablename__ = "ticket_links"
    case: str = Field(default="", index=True)
    system: str = ""
    ticket: str = Field(default="", index=True)
    synced_at: float = 0.0


class TicketPageRow(RecordColumns, table=True):
    __tablename__ = "ticket_pages"
    case: str = Field(default="", index=True)
    system: str = ""
    key: str = ""
