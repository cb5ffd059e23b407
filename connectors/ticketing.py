"""What the connectors of ticket systems share: cleaned text of several lines, the cursor of a listing, refusals by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from msgspec import Struct

from connectors.remote_text import clean
from connectors.settings import FIELDS as FIELDS_OF_ALL
from engine.capabilities.ports import ActionError, Json, Param
from engine.capabilities.systems.ports import Feed, RemoteObject, Ticket
from engine.contract.tickets import MEANINGS, PRIORITIES

W = TypeVar("W", bound=str)

Shows = Callable[[str], str]
FIELDS = ("title", "body", "priority", "assignee", "meaning")
TITLE, LINE, BODY = 250, 1000, 20_000
OVERLAP_S = 2.0
"""Owners tell times in whole seconds and commit a little later: changes are asked for from a moment before."""
COMMENTS = 500

ISSUES = Feed(kind="issue", title="issues", every_s=60.0, full_every_s=21_600.0, stale_s=600.0)
"""Deletions are rare and noticed by listing everything, which is dear: every six hours."""

COMMON: dict[str, Param] = {
    **FIELDS_OF_ALL,
    "secret": Param(type="string", description="name of the keyring entry"),
    "webhook_secret": Param(
        type="string", required=False, description="name of the keyring entry that proves its webhooks"
    ),
}


def lines(text: object, limit: int = BODY) -> str:
    """Text of several lines, each of them inert."""
    raw = str(text)[: limit + 1].replace("\r\n", "\n").replace("\r", "\n")
    kept = "\n".join(clean(line.replace("\t", "    "), LINE) for line in raw[:limit].split("\n"))
    return kept + ("…" if len(raw) > limit else "")


class Walk(Struct, frozen=True, kw_only=True):
    """Where a listing stands. `since` what it asks for (epoch s; 0: everything), `began` when it began by the owner's
    clock, `page` the owner's word for what comes next, `total` how many it had, where it says so, `etag` of the last answer
    to this very question."""

    since: float = 0.0
    began: float = 0.0
    page: str = ""
    total: int = 0
    etag: str = ""

    @property
    def full(self) -> bool:
        return self.since == 0.0

    def written(self) -> str:
        return msgspec.json.encode(self).decode()

    def ended(self) -> str:
        """The cursor after the last page: changes since this listing began."""
        return Walk(since=max(1.0, self.began - OVERLAP_S)).written()


def walk(cursor: str, now: float) -> Walk:
    """The listing a cursor goes on with; a new one (that began `now`) for an empty cursor or a finished listing.

    Raises ActionError `CursorLost`.
    """
    if not cursor:
        return Walk(began=now)
    try:
        found = msgspec.json.decode(cursor.encode(), type=Walk)
    except msgspec.DecodeError as error:
        raise cursor_lost("it can't be read") from error
    return found if found.began else msgspec.structs.replace(found, began=now)


def onward(walk: Walk, newest: float, began: float, page: str) -> Walk:
    """The next page of what changed, oldest first: from the newest time seen, so that what is changed meanwhile (and moves to
    the end) shifts nothing past us; by `page` only where all of a page has one time."""
    if newest > walk.since:
        return Walk(since=newest, began=began)
    return Walk(since=walk.since, began=began, page=page)


def cursor_lost(why: str) -> ActionError:
    return ActionError("CursorLost", f"the listing begins anew: {why}", kind="conflict", retryable=True)


def as_object(ticket: Ticket) -> RemoteObject:
    """A ticket as it is mirrored."""
    return RemoteObject(
        id=ticket.id,
        name=ticket.title,
        state=ticket.state,
        changed_at=ticket.changed_at,
        etag=ticket.version,
        url=ticket.url,
        data={
            "title": ticket.title,
            "priority": ticket.priority,
            "assignee": ticket.assignee,
            "meaning": ticket.meaning,
        },
    )


def sought(changes: Mapping[str, str]) -> dict[str, str]:
    """The changes, checked. Raises ActionError `BadChange`."""
    for name, value in changes.items():
        allowed = {"meaning": MEANINGS, "priority": ("", *PRIORITIES)}.get(name)
        if name not in FIELDS or (allowed is not None and value not in allowed):
            said = f"{name} can't be set to {clean(value, 60)!r}" if name in FIELDS else f"there is no field {name!r}"
            raise ActionError("BadChange", said, kind="validation", retryable=False)
    return dict(changes)


def differing(ticket: Ticket, changes: Mapping[str, str]) -> dict[str, str]:
    """Those of the changes that the ticket does not have yet."""
    return {name: value for name, value in changes.items() if getattr(ticket, name) != value}


def remaining(system: str, ticket: Ticket, changes: Mapping[str, str], shows: Shows, version: str) -> dict[str, str]:
    """What is left to be written of the changes, on a ticket read just before. A repeat of a write that had arrived leaves
    nothing. Raises ActionError `BadChange`, and `Conflict` when there is something left and `version` is an older one."""
    left = differing(ticket, sought(changes))
    if "meaning" in left and shows(left["meaning"]) == ticket.meaning:
        del left["meaning"]
    if left and version and version != ticket.version:
        raise changed_meanwhile(system, ticket.id)
    return left


def no_ticket(system: str, id: str) -> ActionError:
    return ActionError("NoSuchTicket", f"{system} has no ticket {clean(id, 60)}", kind="validation", retryable=False)


def unsupported(system: str, said: str) -> ActionError:
    return ActionError("Unsupported", f"{system}: {said}", kind="validation", retryable=False)


def no_transition(system: str, id: str, meaning: str, ways: Sequence[str]) -> ActionError:
    known = f"; from where it is it goes to {', '.join(clean(one, 40) for one in ways[:12])}" if ways else ""
    said = f"{system}: {clean(id, 60)} can't become {meaning.replace('_', ' ')}{known}"
    return ActionError("NoTransition", said, kind="conflict", retryable=False)


def no_user(system: str, name: str) -> ActionError:
    return ActionError(
        "NoSuchUser", f"{system} knows nobody called {clean(name, 60)!r}", kind="validation", retryable=False
    )


def changed_meanwhile(system: str, id: str) -> ActionError:
    said = f"{system}: somebody changed {clean(id, 60)} since it was read"
    return ActionError("Conflict", said, kind="conflict", retryable=True)


def wrong(system: str, said: str) -> ActionError:
    return ActionError("NotConfigured", f"{system}: {said}", kind="configuration", retryable=False)


def words(option: Json, default: Mapping[str, W], allowed: Sequence[W], system: str, name: str) -> dict[str, W]:
    """A mapping from the settings (owner's word -> ours), laid over the default one."""
    found = dict(default)
    for key, value in (option or {}).items() if isinstance(option, Mapping) else ():
        ours = next((one for one in allowed if one == value), None)
        if ours is None:
            raise wrong(system, f"options.{name}.{clean(key, 40)}: {value!r} is none of {', '.join(allowed)}")
        found[str(key)] = ours
    return found


def back(mapping: Mapping[str, str]) -> dict[str, str]:
    """Ours -> the owner's word: the first that means it."""
    found: dict[str, str] = {}
    for theirs, ours in mapping.items():
        found.setdefault(ours, theirs)
    return found


def epoch(text: str | None, form: str = "") -> float:
    """A time as owners write it, UTC epoch s; 0 when it can't be read. Without a zone it is UTC."""
    if not text:
        return 0.0
    try:
        at = datetime.strptime(text, form) if form else datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return 0.0
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
