"""Tickets in other systems that belong to cases here: what both agree on, what they don't, and pages that were raised.

Times UTC epoch s.
"""

from __future__ import annotations

from typing import Literal, get_args

from engine.contract.common import View
from engine.contract.records import RecordView

TICKET_FIELDS = ("title", "priority", "assignee", "meaning")
"""What is kept in step."""
Meaning = Literal["open", "in_progress", "on_hold", "resolved", "closed", "cancelled"]
MEANINGS: tuple[Meaning, ...] = get_args(Meaning)
PRIORITIES = ("P1", "P2", "P3", "P4", "P5")
LINK_OVER = ("gone", "unlinked")


class Agreed(View, frozen=True, kw_only=True):
    """What a field was on either side when both last agreed. They may differ: owners have fewer words than we."""

    ours: str = ""
    theirs: str = ""


class TicketConflict(View, frozen=True, kw_only=True):
    """A field that both sides say differently, and neither is overwritten. `why` says what keeps one value from being
    taken by the other side; empty when both were changed and a person has to choose."""

    field: str
    ours: str = ""
    theirs: str = ""
    base: str = ""
    since: float = 0.0
    why: str = ""


class TicketLink(RecordView, frozen=True, kw_only=True):
    """A case and its ticket. `agreed` by field, `comments` the id of a comment there -> the key of the note here."""

    case: str = ""
    system: str = ""
    ticket: str = ""
    url: str = ""
    agreed: dict[str, Agreed] = {}
    conflicts: tuple[TicketConflict, ...] = ()
    comments: dict[str, str] = {}
    attached: tuple[str, ...] = ()
    theirs: dict[str, str] = {}
    their_state: str = ""
    changed_there: float = 0.0
    synced_at: float = 0.0
    error: str = ""
    failing_since: float = 0.0
    left_out: dict[str, str] = {}
    """Fields that are not kept in step, and why."""


class TicketPage(RecordView, frozen=True, kw_only=True):
    """Somebody was woken for a case. `key` is what the paging system knows it by."""

    case: str = ""
    system: str = ""
    key: str = ""
    severity: str = ""
    raised_at: float = 0.0
    acked_at: float = 0.0
    ended_at: float = 0.0


class TicketSide(View, frozen=True, kw_only=True):
    """A field as it stands on both sides."""

    field: str
    ours: str = ""
    theirs: str = ""
    word: str = ""
    """agreed, ours (changed here), theirs (changed there), conflict, left out."""
    why: str = ""


class TicketDetail(View, frozen=True, kw_only=True):
    """A link with both sides of every field."""

    link: TicketLink
    sides: tuple[TicketSide, ...] = ()
    case_state: str = ""
    stale_s: float = 0.0


class CaseTickets(View, frozen=True, kw_only=True):
    """Everything elsewhere that belongs to one case."""

    tickets: tuple[TicketDetail, ...] = ()
    pages: tuple[TicketPage, ...] = ()
    as_of: float = 0.0
