"""What Mender answers, as far as it is read here, and what its states mean. Pure."""

from __future__ import annotations

import datetime
import hashlib
from typing import Any

from msgspec import Struct, field

from connectors.remote_text import clean
from engine.capabilities.ports import ActionError, InstallReport, Release
from engine.capabilities.systems.ports import RemoteObject

PAGE = 500  # the most the deployments API gives at once
DOWNLOADING = frozenset({"downloading"})
BEGUN = frozenset(
    {
        "downloading", "installing", "rebooting", "pause_before_installing", "pause_before_rebooting", "pause_before_committing",
    }
)  # fmt: skip
ACTIVE = BEGUN | {"pending"}
INSTALLED = frozenset({"success", "already-installed"})
FAILED = frozenset({"failure", "noartifact"})


class Attribute(Struct):
    name: str
    scope: str = "inventory"
    value: Any = ""


class Device(Struct):
    """A device as the inventory has it; `updated_ts` is its last attribute update."""

    id: str
    attributes: list[Attribute] = field(default_factory=list)
    updated_ts: str = ""

    def text(self, scope: str, name: str) -> str:
        for one in self.attributes:
            if one.name == name and one.scope == scope:
                return one.value if isinstance(one.value, str) else str(one.value)
        return ""


class File(Struct):
    name: str = ""
    checksum: str = ""
    size: int = 0


class Update(Struct):
    files: list[File] | None = None


class Artifact(Struct):
    id: str = ""
    device_types_compatible: list[str] = field(default_factory=list)
    size: int = 0
    updates: list[Update] | None = None


class ReleaseRow(Struct):
    """A release: the artifacts of one name, one per kind of device."""

    name: str
    artifacts: list[Artifact] = field(default_factory=list)
    modified: str = ""
    tags: list[str] | None = None


class Deployment(Struct):
    """`status`: pending, inprogress, finished."""

    id: str
    name: str
    artifact_name: str = ""
    created: str = ""
    finished: str | None = None
    status: str = ""
    device_count: int = 0
    type: str = "software"
    groups: list[str] | None = None


class Deployed(Struct):
    """A device inside a deployment."""

    id: str
    status: str
    substate: str | None = None
    finished: str | None = None
    log: bool = False


class Naming(Struct, frozen=True, kw_only=True):
    """Which attribute names the robot (empty: the device's own id), and what stands around the version in a release's name."""

    scope: str = ""
    attribute: str = ""
    before: str = ""
    after: str = ""

    @classmethod
    def read(cls, robot: str, artifact: str) -> Naming:
        """Raises ActionError `NotConfigured`."""
        scope, _, name = robot.rpartition("/")
        if artifact.count("{version}") != 1:
            raise ActionError(
                "NotConfigured",
                "mender: artifact must hold {version} once, e.g. nav-{version}",
                kind="configuration",
                retryable=False,
            )
        before, _, after = artifact.partition("{version}")
        return cls(scope=scope or "inventory", attribute=name, before=before, after=after)

    def robot(self, one: Device) -> str:
        return one.text(self.scope, self.attribute) if self.attribute else one.id

    def fits(self, artifact: str) -> bool:
        return (
            artifact.startswith(self.before)
            and artifact.endswith(self.after)
            and len(artifact) > len(self.before) + len(self.after)
        )

    def version(self, artifact: str) -> str:
        """The version in an artifact's name; a name of another kind as it stands."""
        return clean(
            artifact[len(self.before) : len(artifact) - len(self.after)] if self.fits(artifact) else artifact, 64
        )

    def artifact_of(self, version: str) -> str:
        return f"{self.before}{version}{self.after}"


class Order(Struct, frozen=True, kw_only=True):
    """A deployment, for one robot."""

    deployment: Deployment
    status: str
    substate: str = ""
    ended_at: float = 0.0


class Standing(Struct, kw_only=True):
    """Where one robot stands; `orders` oldest first."""

    robot: str
    device: str
    artifact: str = ""
    device_type: str = ""
    seen_at: float = 0.0
    withdrawn: str = ""
    orders: list[Order] = field(default_factory=list)

    @property
    def runs(self) -> str:
        """The artifact it runs: by its inventory, or by a success that is newer than that (an inventory comes hours later)."""
        for order in reversed(self.orders):
            if order.status in INSTALLED:
                return order.deployment.artifact_name if order.ended_at > self.seen_at else self.artifact
        return self.artifact

    @property
    def last(self) -> Order | None:
        return self.orders[-1] if self.orders else None

    @property
    def begun(self) -> Order | None:
        """What it is at: orders are worked off oldest first."""
        return next((o for o in self.orders if o.status in BEGUN), None)

    @property
    def waiting(self) -> bool:
        """Told, and nothing begun: it can still be called back for good."""
        return self.begun is None and any(o.status == "pending" for o in self.orders)

    @property
    def failed(self) -> Order | None:
        """Its last order, when that failed and is not laid to rest."""
        last = self.last
        if last is None or last.status not in FAILED or self.withdrawn == last.deployment.id:
            return None
        return last

    @property
    def still(self) -> bool:
        """Nothing will be installed at the next poll."""
        return not any(o.status in ACTIVE for o in self.orders) and self.failed is None

    @property
    def wanted(self) -> str:
        """The artifact it is to have."""
        told = next((o for o in reversed(self.orders) if o.status in ACTIVE), None) or self.failed
        return told.deployment.artifact_name if told is not None else self.runs


def report(one: Standing, naming: Naming) -> InstallReport:
    error = ""
    begun, last, failed = one.begun, one.last, one.failed
    if begun is not None:
        state = "downloading" if begun.status in DOWNLOADING else "installing"
        if begun.status.startswith("pause_"):
            error = f"the robot waits in {begun.status.removeprefix('pause_').replace('_', ' ')}"
    elif one.waiting:
        state = "assigned"
    elif failed is not None:
        state = "failed"
        error = (
            f"no artifact of it is made for {clean(one.device_type, 60) or 'its device type'}"
            if failed.status == "noartifact"
            else "the last deployment failed; it is not tried again by itself"
        )
    else:
        state = "done" if last is not None and last.status in INSTALLED else "idle"
    return InstallReport(
        robot=one.robot,
        state=state,
        desired=naming.version(one.wanted),
        reported=naming.version(one.runs),
        progress=100 if state == "done" else 0,
        last_seen_at=one.seen_at,
        error=error,
    )


def release(one: ReleaseRow, naming: Naming) -> Release:
    sums = sorted(f.checksum for a in one.artifacts for u in a.updates or () for f in u.files or () if f.checksum)
    single = sums[0] if len(sums) == 1 else ""
    digest = (
        f"sha256:{single}" if len(single) == 64 else f"files:{hashlib.sha256(chr(10).join(sums).encode()).hexdigest()}"
    )
    return Release(
        id=clean(one.name, 120),
        version=naming.version(one.name),
        digest=digest if sums else "",
        size_b=max((a.size for a in one.artifacts), default=0),
        models=tuple(sorted({clean(m, 64) for a in one.artifacts for m in a.device_types_compatible})),
        name=clean(one.name, 120),
    )


def mirrored_device(one: Device, naming: Naming) -> RemoteObject:
    artifact = one.text("inventory", "artifact_name")
    return RemoteObject(
        id=clean(one.id, 200),
        name=clean(naming.robot(one) or one.id, 200),
        state=clean(one.text("identity", "status"), 40),
        changed_at=seconds(one.updated_ts),
        data={
            "installed": naming.version(artifact),
            "artifact": clean(artifact, 120),
            "type": clean(one.text("inventory", "device_type"), 60),
            "group": clean(one.text("system", "group"), 120),
        },
    )


def mirrored_release(one: ReleaseRow, naming: Naming) -> RemoteObject:
    found = release(one, naming)
    return RemoteObject(
        id=found.id,
        name=found.name,
        state="complete" if one.artifacts else "incomplete",
        changed_at=seconds(one.modified),
        data={"version": found.version, "digest": found.digest, "models": list(found.models), "bytes": found.size_b},
    )


def mirrored_deployment(one: Deployment) -> RemoteObject:
    return RemoteObject(
        id=clean(one.id, 100),
        name=clean(one.name, 200),
        state=clean(one.status, 40),
        changed_at=seconds(one.finished or one.created),
        data={
            "artifact": clean(one.artifact_name, 120),
            "robots": one.device_count,
            "type": clean(one.type, 40),
            "groups": [clean(g, 80) for g in (one.groups or ())[:20]],
        },
    )


def seconds(text: str) -> float:
    """UTC epoch s of an RFC 3339 time, 0 when there is none."""
    if not text:
        return 0.0
    head, dot, rest = text.replace("Z", "+00:00").partition(".")
    if dot:  # nanoseconds
        digits = "".join(c for c in rest[:6] if c.isdigit())
        zone = rest.lstrip("0123456789")
        head = f"{head}.{digits or '0'}{zone}"
    try:
        return datetime.datetime.fromisoformat(head).timestamp()
    except ValueError:
        return 0.0
