"""What remote systems are asked for: one small protocol per capability, beside those in `engine.capabilities.ports`.

Promises every implementation keeps:

1. A write takes `key`, which is the same over all attempts of one step. Where the owner has idempotency keys it is sent
   as one; where not, it is left in the object as a marker and looked for before a second write. Doing a write twice with
   one key is doing it once, also when the process died in between.
2. Sent and not properly answered is `InDoubt`; the caller calls again with the same key and `in_doubt=True`, which reads
   the owner back before anything is sent.
3. Text of the owner is clean (`connectors.remote_text`) before it leaves the connector. Times are UTC epoch seconds.
4. What the system cannot do is said in `traits` (what -> why, in words for people), before anybody presses a key.
5. `check()` is a read that proves the connection and the credentials and names server and version.

A system may also be a `Source` (its objects are mirrored) and answer `rights()` (what the credentials may do).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Literal, Protocol

from msgspec import Struct, field

from engine.contract.tickets import Meaning

Json = Any


class RemoteObject(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something a remote system owns. `id` is its owner's and stays; a change of `name` is a rename; `state` is the owner's
    word. `changed_at` by the owner's clock (0: it says none), `etag` its version of the object, `url` for people's browsers.
    """

    id: str
    name: str = ""
    state: str = ""
    changed_at: float = 0.0
    etag: str = ""
    url: str = ""
    data: dict[str, Json] = field(default_factory=dict)


class Feed(Struct, frozen=True, kw_only=True):
    """A kind of object that is mirrored: `device`, `issue`, `model_version` …

    `every_s`: how often changes are asked for; `full_every_s`: how often everything is listed again to notice deletions (0:
    every pull lists everything). `stale_s`: silence after which the mirror is called STALE.
    """

    kind: str
    title: str
    every_s: float = 60.0
    full_every_s: float = 3600.0
    stale_s: float = 300.0


class Pulled(Struct, frozen=True, kw_only=True):
    """One page of a feed. `cursor` goes on from here (kept over restarts; it holds no secret); `more`: ask again at once.

    `unchanged`: the owner said so (304), nothing else counts. `full`: this page belongs to a list of everything that began
    with an empty cursor, so what no page of it names is gone. `deleted`: ids the owner itself says are gone. `owner_now`:
    the owner's clock when it answered (0: unknown), by which late data and a wrong clock are told apart.
    """

    objects: tuple[RemoteObject, ...] = ()
    cursor: str = ""
    more: bool = False
    unchanged: bool = False
    full: bool = False
    deleted: tuple[str, ...] = ()
    owner_now: float = 0.0


class Source(Protocol):
    """A system whose objects are mirrored. An implementation of any port may be one too."""

    feeds: tuple[Feed, ...]

    async def pull(self, feed: str, cursor: str) -> Pulled:
        """The next page of what changed since `cursor`; with an empty one, of everything. A cursor the owner no longer
        knows raises ActionError `CursorLost`, and everything is listed anew."""
        ...


class Right(Struct, frozen=True, kw_only=True):
    """Something the credentials may or may not do; `has` None: could not be found out without doing it."""

    name: str
    has: bool | None
    needed_for: str = ""


class Privileged(Protocol):
    async def rights(self) -> Sequence[Right]: ...


class Incoming(Struct, frozen=True, kw_only=True):
    """An event a webhook told. `id` is what makes a repeat of it the same event; `at` when it happened (0: unknown)."""

    event: str
    id: str
    subject: str = ""
    at: float = 0.0
    data: dict[str, Json] = field(default_factory=dict)


class BadSignature(Exception):
    """The sender did not prove that it is who it says; nothing of what it sent is used or kept."""


class BadDelivery(Exception):
    """It is from who it says it is, and cannot be understood; it is kept aside with this reason."""


class Receiver(Protocol):
    """A connector (the entry point's object, not the port) whose system sends webhooks."""

    def receive(self, headers: Mapping[str, str], body: bytes, secret: str, now: float) -> Sequence[Incoming]:
        """Proves the sender and reads what it says. `headers` have lower-case names; `now` is wall time (replay window).
        No I/O. Raises BadSignature, BadDelivery."""
        ...


# -- tickets and paging -----------------------------------------------------------------------------------------------


class Ticket(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A ticket as its owner has it. `state` is the owner's word, `meaning` what it means here; `version` what the owner
    compares on a conditional write (ETag, sys_mod_count), empty where it has none. `body` plain text."""

    id: str
    title: str
    state: str
    meaning: Meaning
    body: str = ""
    priority: str = ""
    assignee: str = ""
    url: str = ""
    version: str = ""
    changed_at: float = 0.0
    comments: tuple[Comment, ...] = ()


class Comment(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A comment on a ticket; `key` is the marker we left when it was ours."""

    id: str
    text: str
    author: str = ""
    at: float = 0.0
    key: str = ""


class NewTicket(Struct, frozen=True, kw_only=True):
    """`priority` P1..P5 of the case; each connector maps it. `labels` are plain words."""

    title: str
    body: str
    priority: str = ""
    labels: tuple[str, ...] = ()


class Tickets(Protocol):
    """A ticket system. Mirrors feed `issue`; `data` of its objects has priority, assignee, meaning, title."""

    traits: dict[str, str]

    async def open(self, new: NewTicket, *, key: str, in_doubt: bool = False) -> Ticket: ...
    async def read(self, id: str) -> Ticket:
        """With its comments. Raises ActionError `NoSuchTicket`."""
        ...

    async def find(self, key: str) -> Ticket | None:
        """The ticket opened with this key."""
        ...

    async def update(
        self, id: str, changes: Mapping[str, str], *, version: str, key: str, in_doubt: bool = False
    ) -> Ticket:
        """Sets some of title, body, priority, assignee, meaning. With `version` only if nobody changed it since, where the
        owner can (else the connector reads and compares just before): ActionError `Conflict`. `NoTransition` when the
        owner's workflow does not lead there."""
        ...

    async def comment(self, id: str, text: str, *, key: str, in_doubt: bool = False) -> Comment: ...
    async def attach(
        self, id: str, name: str, content: bytes, media: str, *, key: str, in_doubt: bool = False
    ) -> None: ...
    async def check(self) -> str: ...


class Paging(Protocol):
    """Who wakes people up. The key is the owner's own dedup key: raising twice is one page."""

    traits: dict[str, str]

    async def raise_(
        self, summary: str, *, severity: str, source: str, link: str, details: Mapping[str, Json], key: str
    ) -> str: ...
    async def acknowledge(self, key: str) -> None: ...
    async def resolve(self, key: str) -> None: ...
    async def check(self) -> str: ...


# -- alerts -----------------------------------------------------------------------------------------------------------


class Silence(Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: str
    state: str
    matchers: dict[str, str]
    starts_at: float
    ends_at: float
    by: str = ""
    comment: str = ""


class Alerts(Protocol):
    """The alert manager. Mirrors feed `alert` (id: fingerprint and start)."""

    traits: dict[str, str]

    async def firing(self, labels: Mapping[str, str] | None = None) -> Sequence[RemoteObject]: ...
    async def silence(
        self, matchers: Mapping[str, str], *, until: float, by: str, comment: str, key: str, in_doubt: bool = False
    ) -> Silence: ...
    async def unsilence(self, id: str) -> None: ...
    async def silences(self) -> Sequence[Silence]: ...
    async def check(self) -> str: ...


# -- models, labels, objects ------------------------------------------------------------------------------------------


class ModelVersion(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A version in a model registry. `digest` as we tagged it; `metrics` the last value of each."""

    name: str
    version: str
    source: str = ""
    digest: str = ""
    run: str = ""
    state: str = ""
    aliases: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    created_at: float = 0.0


class Registry(Protocol):
    """A model registry. Mirrors feeds `model`, `model_version` (id `model/version`) and `model_alias` (id `model@alias`,
    state: the version it points at)."""

    traits: dict[str, str]

    async def versions(self, name: str) -> Sequence[ModelVersion]: ...
    async def version(self, name: str, version: str) -> ModelVersion: ...
    async def register(
        self, name: str, *, digest: str, source: str, tags: Mapping[str, str], key: str, in_doubt: bool = False
    ) -> ModelVersion:
        """A version of this content; one that has this digest already is that version, whatever key it came with."""
        ...

    async def keep(
        self, name: str, file: Path, *, digest: str, metrics: Mapping[str, float], key: str, in_doubt: bool = False
    ) -> str:
        """Puts the bytes where the registry itself keeps them, with what was measured; the `source` for `register`."""
        ...

    async def fetch(
        self, version: ModelVersion, target: Path, *, told: Callable[[int, int], None] | None = None
    ) -> str:
        """The version's one file from where the registry keeps it; its digest. `NotHere` when its bytes are somewhere else
        (`source` says where), `DigestMismatch` when they are not what the version says."""
        ...

    async def tag(self, name: str, version: str, tags: Mapping[str, str]) -> None: ...
    async def alias(self, name: str, alias: str, version: str, *, expect: str | None = None) -> None:
        """Points the alias there; with `expect` only from that version (`Conflict` else; where the owner has no
        compare-and-swap it is read just before and after)."""
        ...

    async def metrics(self, run: str, name: str) -> Sequence[tuple[float, float]]: ...
    async def check(self) -> str: ...


class LabelJob(Struct, frozen=True, kw_only=True):
    """Something to be labelled elsewhere: `id` is ours (the label task), `media` a URI the labelling system can open."""

    id: str
    media: str
    data: dict[str, Json] = field(default_factory=dict)


class RemoteLabel(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One person's answer to a job, as the labelling system has it. `choices` are of the whole recording (a number as its
    text)."""

    job: str
    id: str
    author: str
    at: float = 0.0
    cancelled: bool = False
    lead_s: float = 0.0
    choices: dict[str, str] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()


class Span(Struct, frozen=True, kw_only=True):
    """`name` has `value` from `t0` to `t1`, seconds in the recording."""

    name: str
    value: str
    t0: float
    t1: float


class Labels(Protocol):
    """A labelling system. Mirrors feeds `project`, `task`."""

    traits: dict[str, str]

    async def project(
        self,
        title: str,
        schema: Mapping[str, Sequence[str]],
        *,
        spans: Mapping[str, Sequence[str]] | None = None,
        numbers: Sequence[str] = (),
        key: str,
        in_doubt: bool = False,
    ) -> str:
        """A project that asks for one of the values of each name of `schema`, for `spans` in time and for `numbers`; its id.
        The one made with this key, if there is one."""
        ...

    async def push(self, project: str, jobs: Sequence[LabelJob], *, key: str, in_doubt: bool = False) -> int:
        """Hands jobs over, those that are not there yet; how many are there now."""
        ...

    async def labels(self, project: str, since: float = 0.0) -> Sequence[RemoteLabel]: ...
    async def check(self) -> str: ...


class Objects(Protocol):
    """An object store. `uri` as `s3://bucket/key`. Mirrors feed `object`."""

    traits: dict[str, str]

    async def put(
        self, uri: str, file: Path, *, digest: str, told: Callable[[int, int], None] | None = None
    ) -> str: ...
    async def get(
        self, uri: str, target: Path, *, digest: str = "", told: Callable[[int, int], None] | None = None
    ) -> str: ...
    async def presign(self, uri: str, *, method: Literal["GET", "PUT"], seconds: int) -> str: ...
    async def delete(self, uri: str) -> None: ...
    async def check(self) -> str: ...


# -- policy, gateways, people -----------------------------------------------------------------------------------------


class Decision(Struct, frozen=True, kw_only=True):
    """What a policy engine answered. Undefined is a deny. `id` its own decision id, for its log."""

    allow: bool
    reason: str = ""
    id: str = ""
    result: Json = None


class Decisions(Protocol):
    """A policy engine that is asked beside our own rules; no answer is a deny."""

    async def decide(self, path: str, input: Mapping[str, Json]) -> Decision: ...
    async def check(self) -> str: ...


class Ran(Struct, frozen=True, kw_only=True):
    """A command's end on a gateway: `exit` None when the connection ended before it. Output capped."""

    exit: int | None
    stdout: str
    stderr: str
    seconds: float


class GatewayState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A fleet gateway as last looked at. `host_key`: trusted, changed, unknown, revoked, expired; with one that is
    not trusted it is not `reachable`, and `fingerprint` is what it showed. `system` is whose it is."""

    name: str
    host: str
    port: int
    user: str
    site: str = ""
    region: str = ""
    reachable: bool = False
    host_key: str = "unknown"
    fingerprint: str = ""
    engine_version: str = ""
    looked_at: float = 0.0
    error: str = ""
    system: str = ""
    clock_off_s: float = 0.0


class Terminal(Protocol):
    """An interactive session, or one command, on a gateway. `exit` is None until it ended, and when no status came."""

    exit: int | None
    fingerprint: str

    async def read(self) -> bytes:
        """What comes next, as it comes; empty at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Raises ActionError `SessionEnded`."""
        ...

    def resize(self, cols: int, rows: int) -> None: ...
    async def close(self) -> None:
        """Cuts it. Nothing more is written to the gateway once this is called."""
        ...


class Gateways(Protocol):
    """Hosts behind which robots stand, reached by SSH. Host keys are strict. Mirrors feed `gateway`.

    Every method raises ActionError `NoSuchGateway`, `Unreachable`, `HostKeyUnknown`, `HostKeyChanged`, `HostKeyRevoked`,
    `HostKeyExpired`, `AccessDenied`.
    """

    traits: dict[str, str]

    async def names(self) -> Sequence[str]: ...
    async def look(self, gateway: str) -> GatewayState:
        """As it is now; what is wrong stands in it. Raises only `NoSuchGateway`."""
        ...

    def seen(self, gateway: str) -> GatewayState:
        """As it was last looked at (`looked_at` 0: never). No I/O."""
        ...

    def all_seen(self) -> Sequence[GatewayState]: ...

    async def run(self, gateway: str, command: str, *, timeout_s: float, limit_b: int = 1 << 20, key: str = "") -> Ran:
        """With `key` the command is run once however often this is called, and its output is what it said then; a
        command that a dead machine left behind raises ActionError `Unfinished`."""
        ...

    def stream(self, gateway: str, command: str) -> AsyncIterator[bytes]: ...
    async def fetch(self, gateway: str, remote: str, target: Path, *, limit_b: int) -> int: ...
    async def send(self, gateway: str, source: Path, remote: str) -> int:
        """The file appears there whole or not at all."""
        ...

    def forward(self, gateway: str, remote: str, local: Path) -> AbstractAsyncContextManager[Path]:
        """A Unix socket here that leads to one there, for as long as it is held."""
        ...

    async def open(
        self,
        gateway: str,
        *,
        key: str,
        certificate: str,
        command: str = "",
        term: str = "",
        cols: int = 80,
        rows: int = 24,
    ) -> Terminal:
        """With somebody's certificate; with `term` on a terminal. `key` is the private half, as OpenSSH text."""
        ...

    async def check(self) -> str: ...


class Notice(Struct, frozen=True, kw_only=True):
    """What people are told. `link` names a gate, case or run by id; it never approves anything by being opened."""

    title: str
    text: str
    severity: Literal["info", "warning", "critical"] = "info"
    link: str = ""


class Notify(Protocol):
    """Ways to tell people. `channel` is a name from the settings ("on-call", "ops-slack")."""

    traits: dict[str, str]

    async def channels(self) -> Sequence[str]: ...
    async def tell(self, channel: str, notice: Notice, *, key: str) -> None: ...
    async def check(self) -> str: ...
