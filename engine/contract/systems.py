"""Remote systems as people see them: what can be added, what is there, how it is, what was asked of it, what it holds."""

from __future__ import annotations

from msgspec import field

from engine.contract.common import Json, View
from engine.contract.records import RecordView


class FieldView(View, frozen=True, kw_only=True):
    """A setting a kind asks for. `secret`: its value is a secret in the keyring; what is kept is the entry's name."""

    name: str
    type: str = "string"
    required: bool = False
    description: str = ""
    secret: bool = False


class KindView(View, frozen=True, kw_only=True):
    """A kind of system that can be added. `docs`: which published interface it was written against, and how it was tested.

    `package` is the distribution that brings it. `error`: it is installed and can't be loaded, and why.
    """

    kind: str
    title: str = ""
    capabilities: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    fields: tuple[FieldView, ...] = ()
    docs: str = ""
    package: str = ""
    webhooks: bool = False
    error: str = ""


class KindPage(View, frozen=True, kw_only=True):
    kinds: tuple[KindView, ...] = ()


class RightView(View, frozen=True, kw_only=True):
    """What the credentials may do; `has` None: it can't be found out without doing it."""

    name: str
    has: bool | None = None
    needed_for: str = ""


class FeedView(View, frozen=True, kw_only=True):
    """How one mirrored kind of object is. `state`: new, syncing, fresh, failing, stale, suspended.

    `synced_at`: the last success, `full_at`: the last listing of everything, `changed`: how many objects differed at the
    last success. `skew_s`: the owner's clock minus ours, 0 when it is right or says nothing. `late`: objects whose change
    was told later than it happened, ever. `doubt`: why a listing was not believed yet.
    """

    kind: str
    title: str = ""
    state: str = "new"
    objects: int = 0
    every_s: float = 0.0
    stale_s: float = 0.0
    tried_at: float = 0.0
    synced_at: float = 0.0
    full_at: float = 0.0
    next_at: float = 0.0
    took_s: float = 0.0
    changed: int = 0
    failures: int = 0
    error: str = ""
    skew_s: float = 0.0
    late: int = 0
    stale_since: float = 0.0
    doubt: str = ""


class SecretView(View, frozen=True, kw_only=True):
    """A secret of a system: which setting holds it, under which entry of the keyring, and whether it is there."""

    field: str
    entry: str
    stored: bool = False


class SystemRecord(RecordView, frozen=True, kw_only=True):
    """A remote system under the name it has here (`id`). `state`: active, suspended, removed.

    `origin`: `settings` (it stands in quarterdeck.yaml) or `added`. `secret` is the name of a keyring entry. `serves` are the
    capabilities it is asked for; empty: all it can.
    """

    name: str = ""
    system_kind: str = ""
    url: str = ""
    origin: str = "added"
    secret: str = ""
    options: dict[str, Json] = field(default_factory=dict)
    serves: tuple[str, ...] = ()


class SystemView(SystemRecord, frozen=True, kw_only=True):
    """A system with how it is now. `health`: ok, failing, unknown; `says`: server and version as it told them.

    `serves` here are the capabilities it serves in fact, `first` those for which it is the one asked when none is named.
    `stale`: at least one feed is older than it may be.
    """

    kind_title: str = ""
    docs: str = ""
    health: str = "unknown"
    says: str = ""
    error: str = ""
    checked_at: float = 0.0
    failing_since: float = 0.0
    latency_s: float = 0.0
    stale: bool = False
    objects: int = 0
    feeds: tuple[FeedView, ...] = ()
    rights: tuple[RightView, ...] = ()
    traits: dict[str, dict[str, str]] = field(default_factory=dict)
    """Capability -> what it can't do -> why."""
    secrets: tuple[SecretView, ...] = ()
    first: tuple[str, ...] = ()
    receives: bool = False


class SystemPage(View, frozen=True, kw_only=True):
    systems: tuple[SystemView, ...] = ()
    as_of: float = 0.0


class CallView(View, frozen=True, kw_only=True):
    """One request to a system, without headers and bodies, values of secret-sounding names masked. `status` 0: no answer."""

    at: float
    method: str
    path: str
    status: int = 0
    ms: float = 0.0
    bytes: int = 0
    attempt: int = 1
    error: str = ""


class CallPage(View, frozen=True, kw_only=True):
    calls: tuple[CallView, ...] = ()
    as_of: float = 0.0


class MirrorObject(View, frozen=True, kw_only=True):
    """A remote object as last read. `seen_at` when it last differed; `deleted_at`: its owner no longer has it."""

    system: str
    kind: str
    id: str
    name: str = ""
    state: str = ""
    url: str = ""
    changed_at: float = 0.0
    seen_at: float = 0.0
    deleted_at: float = 0.0
    data: dict[str, Json] = field(default_factory=dict)


class MirrorPage(View, frozen=True, kw_only=True):
    objects: tuple[MirrorObject, ...] = ()
    total: int = 0
    as_of: float = 0.0


class TestView(View, frozen=True, kw_only=True):
    """What a test of a system (or of settings before they are taken) found. `reads`: what would be mirrored, how often."""

    ok: bool = False
    says: str = ""
    error: str = ""
    fix: str = ""
    rights: tuple[RightView, ...] = ()
    reads: tuple[str, ...] = ()
    traits: dict[str, dict[str, str]] = field(default_factory=dict)


class SyncedFeed(View, frozen=True, kw_only=True):
    """What one manual sync of a feed did."""

    kind: str
    objects: int = 0
    changed: int = 0
    error: str = ""


class SecretNames(View, frozen=True, kw_only=True):
    """Entries of the keyring by name, where the back-end can list them; never values."""

    names: tuple[str, ...] = ()
    backend: str = ""
