"""What Eclipse hawkBit answers, as far as it is read here, and what its states mean. Pure.

Two generations name an action's state differently: `status` was pending or finished with the real one in `detailStatus`;
now `status` is the real one beside `active`. Both are read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Generic, TypeVar
from urllib.parse import unquote

from msgspec import Struct, field

from connectors.remote_text import clean

T = TypeVar("T")
PAGE = 500  # the server's own limit of one page
SERVER_SAYS = "Update Server: "
"""How a message begins that the server wrote into an action's history, not the robot."""
BEGUN = frozenset({"retrieved", "download", "downloaded", "warning"})
DOWNLOADING = frozenset({"retrieved", "download"})
OVER = frozenset({"finished", "error", "canceled"})
_ACTION = re.compile(r"/targets/([^/?#]+)/actions/(\d+)")
_SET = re.compile(r"/distributionsets/(\d+)")


class Page(Struct, Generic[T]):
    """One page of a list; `total` counts all that match."""

    content: list[T] = field(default_factory=list)
    total: int = 0
    size: int = 0


class Link(Struct):
    href: str = ""
    name: str = ""


class Poll(Struct):
    """When the robot asked last, and when it should again (ms)."""

    lastRequestAt: int | None = None
    nextExpectedRequestAt: int | None = None
    overdue: bool = False


class Target(Struct):
    """A robot. `updateStatus`: unknown, registered, pending, in_sync, error. Times in ms of the server's clock."""

    controllerId: str
    name: str = ""
    updateStatus: str = "unknown"
    lastControllerRequestAt: int | None = None
    installedAt: int | None = None
    createdAt: int = 0
    lastModifiedAt: int = 0
    pollStatus: Poll | None = None
    targetTypeName: str = ""
    group: str | None = None

    @property
    def polled_at(self) -> float:
        """UTC epoch s; 0: never."""
        at = self.lastControllerRequestAt or (self.pollStatus.lastRequestAt if self.pollStatus else None)
        return (at or 0) / 1000


class Module(Struct):
    id: int
    name: str = ""
    version: str = ""
    type: str = ""


class DistributionSet(Struct):
    """A release. Only a `complete`, `valid` one that is not `deleted` can be assigned."""

    id: int
    name: str
    version: str
    type: str = ""
    typeName: str = ""
    complete: bool = False
    valid: bool = True
    deleted: bool = False
    createdAt: int = 0
    lastModifiedAt: int = 0
    modules: list[Module] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        return self.complete and self.valid and not self.deleted


class Action(Struct):
    """One assignment to one robot. Only `representation=full` carries the link to its distribution set."""

    id: int
    status: str = ""
    detailStatus: str = ""
    active: bool | None = None
    createdAt: int = 0
    lastModifiedAt: int = 0
    rollout: int | None = None
    forceType: str = ""
    links: dict[str, Any] = field(name="_links", default_factory=dict)

    @property
    def state(self) -> str:
        """The real state: running, retrieved, …, finished, error, canceling, canceled, wait_for_confirmation."""
        return (self.detailStatus or self.status).lower()

    @property
    def open(self) -> bool:
        if self.active is not None:
            return self.active
        return self.status == "pending" or (not self.detailStatus and self.state not in OVER)

    @property
    def robot(self) -> str:
        found = _ACTION.search(_href(self.links, "self"))
        return unquote(found.group(1)) if found else ""

    @property
    def set_id(self) -> int:
        found = _SET.search(_href(self.links, "distributionset"))
        return int(found.group(1)) if found else 0


class Status(Struct):
    """A line of an action's history."""

    id: int
    type: str
    messages: list[str] = field(default_factory=list)
    reportedAt: int = 0


class Rollout(Struct):
    """A rollout of hawkBit's own. `status`: creating, waiting_for_approval, approval_denied, ready, starting, running,
    paused, stopping, stopped, finished, deleting, deleted."""

    id: int
    name: str
    status: str = ""
    distributionSetId: int = 0
    targetFilterQuery: str = ""
    totalTargets: int = 0
    totalGroups: int = 0
    totalTargetsPerStatus: dict[str, int] = field(default_factory=dict)
    approvalRemark: str = ""
    approveDecidedBy: str = ""
    createdBy: str = ""
    lastModifiedAt: int = 0
    createdAt: int = 0
    deleted: bool = False


class Condition(Struct):
    condition: str = ""
    expression: str = ""


class Group(Struct):
    """A group of a rollout. `status`: creating, ready, scheduled, running, finished, error."""

    id: int
    name: str = ""
    status: str = ""
    totalTargets: int = 0
    totalTargetsPerStatus: dict[str, int] = field(default_factory=dict)
    successCondition: Condition | None = None
    errorCondition: Condition | None = None


class Assigned(Struct):
    assigned: int = 0
    alreadyAssigned: int = 0
    total: int = 0


class Metadata(Struct):
    key: str = ""
    value: str = ""


def _href(links: dict[str, Any], name: str) -> str:
    """A link may be one object or a list of them."""
    found = links.get(name)
    if isinstance(found, list):
        found = found[0] if found else None
    return str(found.get("href", "")) if isinstance(found, dict) else ""


def listed(field: str, values: Sequence[str]) -> str:
    """An RSQL test that a field is one of these values; everything in them is quoted."""
    return f"{field}=in=({','.join(quoted(v) for v in values)})"


def quoted(value: str) -> str:
    """A value inside an RSQL query. An asterisk would match anything, so it is escaped too."""
    inner = value.replace("\\", "\\\\").replace("'", "\\'").replace("*", "\\*")
    return f"'{inner}'"


def by_the_robot(history: Sequence[Status]) -> bool:
    """Whether the robot itself has said anything about the action: from then on it may be installing."""
    return any(
        line.type.lower() in BEGUN or any(not m.startswith(SERVER_SAYS) for m in line.messages) for line in history
    )


def shown(state: str) -> str:
    return clean(state.lower(), 40)
