"""The life of a ticket that belongs to a case, and of a page."""

from __future__ import annotations

from typing import Any

from engine.capabilities.entities import ANY, Entity, Facts, Guard
from engine.contract.tickets import TicketLink, TicketPage


def _named(link: Any, facts: Facts) -> str | None:
    return None if link.ticket else f"{link.id} has no ticket yet"


def _agreed(link: Any, facts: Facts) -> str | None:
    if not link.conflicts:
        return None
    fields = ", ".join(one.field for one in link.conflicts)
    return f"{link.id} and its case disagree about {fields}: somebody has to choose"


TICKET_LINK = Entity(
    kind="ticket_link",
    table="ticket_links",
    prefix="TL",
    shape=TicketLink,
    start=("opening", "synced"),
    moves={
        "opening": ("synced", "conflict", "failing", "unlinked", "gone"),
        "synced": ("conflict", "failing", "unlinked", "gone"),
        "conflict": ("synced", "failing", "unlinked", "gone"),
        "failing": ("opening", "synced", "conflict", "unlinked", "gone"),
        "gone": ("synced", "conflict", "unlinked"),
    },
    guards=(
        Guard(ANY, "synced", _named, "the ticket's number"),
        Guard(ANY, "conflict", _named, "the ticket's number"),
        Guard(ANY, "synced", _agreed, "no field about which case and ticket disagree"),
    ),
    immutable_in=dict.fromkeys(("synced", "conflict", "gone", "unlinked"), ("case", "system", "ticket")),
    title="ticket",
)

TICKET_PAGE = Entity(
    kind="ticket_page",
    table="ticket_pages",
    prefix="PG",
    shape=TicketPage,
    start=("raised",),
    moves={"raised": ("acknowledged", "ended"), "acknowledged": ("ended", "raised"), "ended": ("raised",)},
    immutable_in=dict.fromkeys(("raised", "acknowledged", "ended"), ("case", "key")),
    title="page",
)

ENTITIES = (TICKET_LINK, TICKET_PAGE)
